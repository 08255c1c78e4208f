"""Limits on log probabilities from what was measured: between what arithmetic alone changes and what faults change.

The judged figures of a run are those of checks/logprobs.py over a sample of prompts: the mean |Δ| of the tokens that
both list, the largest such mean of a prompt, and the share of tokens in common. How they scatter over prompts is
imitated by samples of the measured prompts: for a fault as the suite asks them, evenly spread over the file; for the
floor any, with replacement, so that no choice of prompts makes a right deployment wrong.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.reference import Change, PromptDistance
from vlm_acceptance.stats.resampling import Drawn, draws, lower, maxima, ratios, spread_draws, upper

# the share of runs in which a right deployment may be refused, or a promised fault accepted
ALPHA = 0.001
DRAWS = 2000
# of files with many changes, so that they cost a second or two: the fewest that show one run of a thousand
MANY, FEWER_DRAWS = 40, 1000
# floors by each figure, the farthest ones, of a file with many
FARTHEST = 8
# a change differs clearly from the floor if it is this many times as far: each side of the limit has its square root
APART = 2.0
# a change that shares no token with the reference is infinitely far; a limit is a number
FAR = 1e4
# Repeats of one machine may agree to the last digit. Two right implementations in fp32 are up to 1e-4 apart, and a
# near-tie that falls the other way moves one short answer by ten times as much.
LEAST_MEAN, LEAST_PROMPT, LEAST_LOST = 1e-4, 1e-3, 1e-3
# lists of which no fault needs a narrower limit: a fifth of the tokens, as long as the floor stays well below it
WIDE_LOST = 0.2
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for a run of `sample` prompts, in nats, and what they see.

    `floor` and `floor_prompt` are what right arithmetic exceeds in one run of a thousand. `rates` holds for each change
    that is no floor the share of runs that refuse it, and `refused` those of at least 999 in 1,000; `not_refused` has
    the others with their mean distance. `margin_below` is alarm / floor, `margin_above` what the nearest change that
    `alarm` refuses keeps above it (None if there is none). `needed` is how many prompts would
    tell one that is not refused from the floor, None if all together do not.
    """

    sample: int
    alarm: float
    alarm_prompt: float
    common_top: float
    floor: float
    floor_prompt: float
    refused: tuple[str, ...]
    not_refused: tuple[tuple[str, float], ...]
    rates: Mapping[str, float]
    margin_below: float
    margin_above: float | None
    margin_above_prompt: float | None
    needed: Mapping[str, int | None]

    @property
    def tells_nothing(self) -> bool:
        """Whether no change differs clearly from the floor."""
        return not self.refused


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the drawn runs see of one change: nats, nats, and the share of tokens that are not in common."""

    mean: Sequence[float]
    prompt: Sequence[float]
    lost: Sequence[float]

    def columns(self) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
        return self.mean, self.prompt, self.lost


@dataclass(frozen=True, slots=True)
class _Bound:
    """A limit of one figure between a floor and the nearest change that clearly exceeds it, None without one."""

    floor: float
    nearest: float | None

    @property
    def limit(self) -> float:
        """The geometric middle; without a change that is apart, as far above the floor as one would have to be."""
        return self.floor * (APART if self.nearest is None else math.sqrt(min(self.nearest / self.floor, FAR)))

    @property
    def margin_above(self) -> float | None:
        return None if self.nearest is None else self.nearest / self.limit


def limits_of(changes: Iterable[Change], sample: int, *, count_needed: bool = True) -> Limits:
    """The limits for runs of `sample` prompts. UsageProblem without a floor, or without prompts.

    Without `count_needed`, which takes seconds, `needed` is empty.
    """
    floors, faults = _parted(changes)
    count = _draws_for(len(floors) + len(faults))
    seen = {change.name: _figures(change, sample, count) for change in faults}
    mean, prompt, lost = _bounds([_figures(change, sample, count) for change in _farthest(floors)], list(seen.values()))
    by_mean_or_prompt = _rates(seen, (mean.limit, prompt.limit, math.inf))
    rates = _rates(seen, (mean.limit, prompt.limit, lost.limit))
    wide = max(WIDE_LOST, APART * lost.floor)
    if {name for name, rate in rates.items() if _sure(rate)} == {n for n, r in by_mean_or_prompt.items() if _sure(r)}:
        lost_limit, rates = wide, _rates(seen, (mean.limit, prompt.limit, wide))
    else:
        lost_limit = lost.limit
    refused = tuple(name for name, rate in rates.items() if _sure(rate))
    missed = sorted(((c.name, distance(c)) for c in faults if c.name not in refused), key=lambda each: -each[1])
    return Limits(
        sample,
        mean.limit,
        prompt.limit,
        max(0.0, 1 - lost_limit),
        mean.floor,
        prompt.floor,
        refused,
        tuple(missed),
        rates,
        mean.limit / mean.floor,
        mean.margin_above,
        prompt.margin_above,
        prompts_needed([*floors, *faults], [name for name, _ in missed]) if count_needed else {},
    )


def prompts_needed(changes: Iterable[Change], names: Collection[str] | None = None) -> dict[str, int | None]:
    """How many prompts tell each fault, or those of these names, from the floor; None if all that were measured do not.

    One number for all figures: the mean, the largest mean of a prompt and the tokens in common.
    """
    floors, faults = _parted(changes)
    known: dict[int, list[_Figures]] = {}

    def is_apart(fault: Change, size: int) -> bool:
        at_floor = known.setdefault(size, [_figures(floor, size) for floor in floors])
        return any(bound.nearest is not None for bound in _bounds(at_floor, [_figures(fault, size)]))

    needed: dict[str, int | None] = {}
    for fault in faults:
        if names is None or fault.name in names:
            *fewer, most = _sizes(len(fault.prompts))
            # most faults need few prompts or more than there are, so the large samples between are drawn last
            sizes = [*fewer, most] if is_apart(fault, most) else []
            needed[fault.name] = next((size for size in sizes if is_apart(fault, size)), None)
    return needed


def distance(change: Change) -> float:
    """The mean |Δ| of a change over all its prompts, nats; infinite if no token is in common."""
    listed = sum(prompt.listed for prompt in change.prompts.values())
    return sum(prompt.shift for prompt in change.prompts.values()) / listed if listed else math.inf


def worst_prompt(change: Change) -> float:
    """The largest mean |Δ| of a prompt, nats."""
    return max(map(_prompt_mean, change.prompts.values()))


def is_floor(change: Change) -> bool:
    """Whether a change is a floor: finite at every prompt, as an overflow says nothing about right arithmetic."""
    return change.floor and all(math.isfinite(_prompt_mean(prompt)) for prompt in change.prompts.values())


def is_refused(limits: Limits, prompts: Sequence[PromptDistance]) -> bool:
    """Whether a run that saw these distances is refused."""
    listed, possible = sum(prompt.listed for prompt in prompts), sum(prompt.possible for prompt in prompts)
    mean = sum(prompt.shift for prompt in prompts) / listed if listed else math.inf
    common = listed / possible if possible else 0.0
    worst = max(map(_prompt_mean, prompts))
    return mean > limits.alarm or worst > limits.alarm_prompt or common < limits.common_top


def _parted(changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    whole = list(changes)
    for change in whole:
        if not change.prompts:
            raise UsageProblem(f"the change {change.name!r} was measured with no prompt")
    floors = [change for change in whole if is_floor(change)]
    if not floors:
        raise UsageProblem("no floor was measured, so there is nothing to tell a fault from: reference power adds it")
    return floors, [change for change in whole if not change.floor]


def _sizes(most: int) -> list[int]:
    return [size for size in SIZES if size < most] + [most]


def _sure(rate: float) -> bool:
    return rate >= 1 - ALPHA


def _farthest(floors: Sequence[Change]) -> list[Change]:
    """The floors from which the limits follow: all, or of many those that are the farthest by any figure."""
    if len(floors) <= MANY:
        return list(floors)

    def lost(change: Change) -> int:
        return sum(prompt.possible - prompt.listed for prompt in change.prompts.values())

    kept = [one for figure in (distance, worst_prompt, lost) for one in sorted(floors, key=figure)[-FARTHEST:]]
    return list({change.name: change for change in kept}.values())


def _draws_for(changes: int) -> int:
    return DRAWS if changes <= MANY else FEWER_DRAWS


def _figures(change: Change, size: int, count: int = DRAWS) -> _Figures:
    prompts = list(change.prompts.values())
    drawn = _drawn(len(prompts), size, count, is_floor=change.floor)
    listed = [prompt.listed for prompt in prompts]
    kept = ratios(listed, [prompt.possible for prompt in prompts], drawn)
    return _Figures(
        ratios([prompt.shift for prompt in prompts], listed, drawn),
        maxima([_prompt_mean(prompt) for prompt in prompts], drawn),
        [1 - share if share <= 1 else 1.0 for share in kept],
    )


def _drawn(prompts: int, size: int, count: int, *, is_floor: bool) -> Drawn:
    if is_floor or size > prompts:
        return draws(prompts, size, count)
    # there is one spread sample of all
    return spread_draws(prompts, size, 1 if size == prompts else count)


def _prompt_mean(prompt: PromptDistance) -> float:
    return prompt.shift / prompt.listed if prompt.listed else math.inf


def _bounds(floors: Sequence[_Figures], faults: Sequence[_Figures]) -> tuple[_Bound, _Bound, _Bound]:
    """Of the mean, of the largest mean of a prompt, and of the share that is not in common."""
    found = []
    for place, least in enumerate((LEAST_MEAN, LEAST_PROMPT, LEAST_LOST)):
        floor = max(least, *(upper(each.columns()[place], ALPHA) for each in floors))
        near = [lower(each.columns()[place], ALPHA) for each in faults]
        found.append(_Bound(floor, min((value for value in near if value >= APART * floor), default=None)))
    mean, prompt, lost = found
    return mean, prompt, lost


def _rates(seen: Mapping[str, _Figures], most: tuple[float, float, float]) -> dict[str, float]:
    """The share of the drawn runs in which any figure is beyond its limit."""
    rates = {}
    for name, figures in seen.items():
        runs = list(zip(*figures.columns(), strict=True))
        rates[name] = sum(any(value > limit for value, limit in zip(run, most, strict=True)) for run in runs) / len(
            runs
        )
    return rates


def seen_by(changes: Iterable[Change], sample: int, limits: tuple[float, float, float]) -> Mapping[str, float]:
    """The share of runs of `sample` prompts in which each fault is refused, by `alarm`, `alarm_prompt`, `common_top`.

    `limits` may be others than those of `limits_of`: a profile may name its own. A change without prompts is left out.
    """
    alarm, alarm_prompt, common_top = limits
    whole = list(changes)
    count = _draws_for(len(whole))
    measured = [change for change in whole if not change.floor and change.prompts and sample]
    figures = {change.name: _figures(change, sample, count) for change in measured}
    return _rates(figures, (alarm, alarm_prompt, 1 - common_top))
