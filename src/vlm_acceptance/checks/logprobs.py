"""Log probabilities of two answers to one prompt: the first different token, and |Δ logprob| up to it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.numbers import is_at_least, is_at_most, is_figure, largest, mean
from vlm_acceptance.core.reference import Change, PromptDistance
from vlm_acceptance.core.text import trimmed

SHOWN = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """How far `seen` is from `known`, in nats, up to and including the first different token.

    `chosen` and `listed` are |Δ| of the tokens that both chose, and of every token in both lists; `possible` counts the
    tokens in the lists of `known`. `diverged` is the place of the first different token, None without one; `behind` is
    how much less likely `known` lists that token than its own, None if it does not list it.
    """

    chosen: tuple[float, ...]
    listed: tuple[float, ...]
    possible: int
    diverged: int | None
    behind: float | None

    @property
    def shift(self) -> float:
        """Mean |Δ| of the tokens in both lists; infinite if there is none."""
        return mean(self.listed)


@dataclass(frozen=True, slots=True)
class Totals:
    """All differences together: means over every token, not over prompts."""

    prompts: int
    diverged: int
    chosen_mean: float
    chosen_max: float
    common: float
    shift: float


def difference(known: LogProbs, seen: LogProbs) -> Difference:
    """Compare two answers to one prompt; neither may be empty."""
    pairs = itertools.zip_longest(known.tokens, seen.tokens)
    diverged = next((place for place, (a, b) in enumerate(pairs) if a != b), None)
    before = len(known.tokens) if diverged is None else diverged
    # the lists at the first different token still follow the same text
    shared = list(zip(known.top, seen.top, strict=False))[: before + 1]
    chosen = tuple(abs(known.top[n][t] - seen.top[n][t]) for n, t in enumerate(known.tokens[:before]))
    listed = tuple(abs(a[token] - b[token]) for a, b in shared for token in a if token in b)
    behind = None
    if before < min(len(known.tokens), len(seen.tokens)) and seen.tokens[before] in known.top[before]:
        behind = known.top[before][known.tokens[before]] - known.top[before][seen.tokens[before]]
    return Difference(chosen, listed, sum(len(a) for a, _ in shared), diverged, behind)


def totals(differences: Sequence[Difference]) -> Totals:
    """The differences of all prompts together; there must be at least one."""
    chosen = [delta for one in differences for delta in one.chosen]
    listed = [delta for one in differences for delta in one.listed]
    possible = sum(one.possible for one in differences)
    diverged = sum(one.diverged is not None for one in differences)
    common = len(listed) / possible if possible else 0.0
    return Totals(len(differences), diverged, mean(chosen), largest(chosen), common, mean(listed))


def figures_of(
    known: Mapping[str, LogProbs | NoReply],
    seen: Mapping[str, LogProbs | NoReply],
    limits: LogProbLimits,
    against: str = "",
) -> dict[str, Any]:
    """The distance of each prompt in nats, with its limits, for reports; `against` names a stored baseline.

    Without it, both are answers of one deployment.
    """
    rows: list[dict[str, Any]] = []
    for name, one in seen.items():
        other = known.get(name)
        if isinstance(one, NoReply) or not isinstance(other, LogProbs):
            rows.append({"id": name, "mean": None, "largest": None, "diverged": None})
            continue
        change = difference(other, one)
        rows.append({"id": name, "mean": change.shift, "largest": largest(change.listed), "diverged": change.diverged})
    most = (limits.alarm, limits.alarm_prompt) if against else (limits.steady, limits.steady_prompt)
    return {"against": against, "limit": most[0], "limit_prompt": most[1], "prompts": rows}


def distance_of(change: Difference) -> PromptDistance:
    """The difference of one prompt as the sums that a file keeps."""
    far = largest(change.listed) if change.listed else 0.0
    return PromptDistance(
        sum(change.listed), far, len(change.listed), change.possible, sum(change.chosen), len(change.chosen)
    )


def repeat(condition: str, known: Mapping[str, LogProbs], seen: Mapping[str, LogProbs | NoReply]) -> Change:
    """How far a repeat under a condition is from the recording, for each prompt that got an answer."""
    answers = {name: one for name, one in seen.items() if isinstance(one, LogProbs)}
    moved = {name: distance_of(difference(known[name], one)) for name, one in answers.items()}
    return Change(f"repeat: {condition}", floor=True, prompts=moved)


def missing(seen: Mapping[str, LogProbs | NoReply]) -> list[Finding]:
    """Prompts whose answer has no log probabilities: the first few."""
    lost = [(name, one) for name, one in seen.items() if isinstance(one, NoReply)][:SHOWN]
    expected = "an answer with log probabilities by token id"
    return [Finding(kinds.LOGPROBS_MISSING, expected, str(why), name, why.exchange) for name, why in lost]


def scoring_broke(why: NoReply) -> list[Finding]:
    """The first request to score an answer failed in the server: nothing more was asked."""
    expected = "an answer that is scored, or a status that refuses it"
    return [Finding(kinds.LOGPROBS_MISSING, expected, f"{why}; no other answer was sent", exchange=why.exchange)]


def files_are_the_references(other: Sequence[str], model: str) -> list[Finding]:
    """`other` names files of the served folder that are not those from which the reference of `model` was computed."""
    expected = f"the files from which the reference of {model} was computed"
    return [Finding(kinds.LOGPROBS_FILES, expected, f"absent or changed: {', '.join(other)}")] if other else []


def against_baseline(
    known: Mapping[str, LogProbs], seen: Mapping[str, LogProbs | NoReply], limits: LogProbLimits
) -> tuple[list[Finding], Totals | None]:
    """Compare with stored log probabilities, prompt by prompt and together; None if no prompt has any."""
    found = missing(seen)
    answers = {name: one for name, one in seen.items() if isinstance(one, LogProbs)}
    differences = {name: difference(known[name], one) for name, one in answers.items()}
    if not differences:
        return found, None
    together = totals(list(differences.values()))
    if not is_at_most(together.shift, limits.alarm):
        expected = f"log probabilities of common top tokens within {limits.alarm:g} of the baseline in the mean"
        found.append(Finding(kinds.LOGPROBS_SHIFT, expected, f"{together.shift:.4f} over {together.prompts} prompts"))
    if not is_at_least(together.common, limits.common_top):
        expected = f"at least {limits.common_top:.0%} of the top tokens in common with the baseline"
        found.append(Finding(kinds.LOGPROBS_TOP5, expected, f"{together.common:.1%} over {together.prompts} prompts"))
    for name, one in differences.items():
        found += _other_token(name, one, known[name], answers[name], limits.tie)
    far = {name: one.shift for name, one in differences.items() if not is_at_most(one.shift, limits.alarm_prompt)}
    if far:
        worst = max(far, key=lambda name: (not is_figure(far[name]), far[name]))
        expected = f"a mean |Δ logprob| of at most {limits.alarm_prompt:g} in every prompt"
        observed = f"{far[worst]:.4f}" + (f"; {len(far)} prompts are above it" if len(far) > 1 else "")
        found.append(Finding(kinds.LOGPROBS_PROMPT, expected, observed, worst, answers[worst].exchange))
    return found, together


def alike(
    first: Mapping[str, LogProbs | NoReply],
    second: Mapping[str, LogProbs | NoReply],
    limits: LogProbLimits,
    exact: bool,
) -> tuple[list[Finding], Totals | None]:
    """Compare two answers of one deployment to each prompt: mean |Δ logprob| within `steady` and `steady_prompt`.

    With `exact`, or with the same tokens, no text may differ; otherwise only where the first answer had nearly a tie.
    """
    found = [*missing(first), *missing(second)]
    differences: list[Difference] = []
    for name, one in first.items():
        other = second[name]
        if isinstance(one, NoReply) or isinstance(other, NoReply):
            continue
        change = difference(one, other)
        differences.append(change)
        if (exact or one.tokens == other.tokens) and one.text != other.text:
            found.append(Finding(kinds.LOGPROBS_TEXT, trimmed(one.text), trimmed(other.text), name, other.exchange))
        else:
            found += _other_token(name, change, one, other, limits.tie)
        if not is_at_most(change.shift, limits.steady_prompt):
            expected = f"the same log probabilities, within {limits.steady_prompt:g} in the mean of a prompt"
            found.append(Finding(kinds.LOGPROBS_UNSTEADY, expected, f"{change.shift:.4f}", name, other.exchange))
    if not differences:
        return found, None
    together = totals(differences)
    if not is_at_most(together.shift, limits.steady):
        expected = f"the same log probabilities, within {limits.steady:g} in the mean of all"
        observed = f"{together.shift:.4f} over {together.prompts} answers"
        found.append(Finding(kinds.LOGPROBS_UNSTEADY, expected, observed))
    return found, together


def _other_token(name: str, change: Difference, known: LogProbs, seen: LogProbs, tie: float) -> list[Finding]:
    if change.diverged is None or is_at_most(change.behind, tie):
        return []
    how = "which is not among the likeliest" if change.behind is None else f"{change.behind:.2f} less likely"
    if change.diverged >= min(len(known.tokens), len(seen.tokens)):
        how = f"of {len(seen.tokens)} tokens, not {len(known.tokens)}"
    observed = f"another token at place {change.diverged}, {how}: {trimmed(seen.text)}"
    return [Finding(kinds.LOGPROBS_TOKEN, trimmed(known.text), observed, name, seen.exchange)]
