"""Two sets of numbers for the same prompt: first other token, |Δ logprob| before it, and the tokens both list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.text import trimmed

SHOWN = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """How far `seen` is from `known`, in natural log units, up to and with the first other token.

    `chosen` and `listed` are |Δ| of the known token where both chose it, and of every token in both lists; `possible`
    counts the tokens the known lists hold there. `diverged` is the place of the first other token, None without one;
    `behind` is how much less likely the known numbers hold that token than their own, None when they do not list it.
    """

    chosen: tuple[float, ...]
    listed: tuple[float, ...]
    possible: int
    diverged: int | None
    behind: float | None

    @property
    def shift(self) -> float:
        """Mean |Δ| of the tokens in both lists; infinite when there is none."""
        return sum(self.listed) / len(self.listed) if self.listed else float("inf")


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
    length = max(len(known.tokens), len(seen.tokens))
    same = [a == b for a, b in zip(known.tokens, seen.tokens, strict=False)]
    diverged = next((n for n in range(length) if n >= len(same) or not same[n]), None)
    # at the first other token both still speak of what follows the same text
    shared = [(a, b) for a, b in zip(known.top, seen.top, strict=False)][: None if diverged is None else diverged + 1]
    before = len(known.tokens) if diverged is None else diverged
    chosen = [abs(known.top[n][t] - seen.top[n][t]) for n, t in enumerate(known.tokens[:before])]
    listed = [abs(a[token] - b[token]) for a, b in shared for token in a if token in b]
    return Difference(
        tuple(chosen), tuple(listed), sum(len(a) for a, _ in shared), diverged, _behind(known, seen, diverged)
    )


def _behind(known: LogProbs, seen: LogProbs, place: int | None) -> float | None:
    if place is None or place >= len(known.tokens) or place >= len(seen.tokens):
        return None
    listed = known.top[place]
    other = listed.get(seen.tokens[place])
    return None if other is None else listed[known.tokens[place]] - other


def totals(differences: Sequence[Difference]) -> Totals:
    """The differences of all prompts together; there must be one."""
    chosen = [delta for one in differences for delta in one.chosen]
    listed = [delta for one in differences for delta in one.listed]
    possible = sum(one.possible for one in differences)
    return Totals(
        len(differences),
        sum(one.diverged is not None for one in differences),
        sum(chosen) / len(chosen) if chosen else float("inf"),
        max(chosen, default=float("inf")),
        len(listed) / possible if possible else 0.0,
        sum(listed) / len(listed) if listed else float("inf"),
    )


def missing(seen: Mapping[str, LogProbs | NoReply]) -> list[Finding]:
    """Prompts whose answer has no numbers: the first few."""
    lost = {name: one for name, one in seen.items() if isinstance(one, NoReply)}
    expected = "an answer with log probabilities by token id"
    few = list(lost.items())[:SHOWN]
    return [Finding(kinds.LOGPROBS_MISSING, expected, str(why), name, why.exchange) for name, why in few]


def against_baseline(
    known: Mapping[str, LogProbs], seen: Mapping[str, LogProbs | NoReply], limits: LogProbLimits
) -> tuple[list[Finding], Totals | None]:
    """Numbers against stored ones, prompt by prompt and together; None when no prompt has numbers."""
    found = missing(seen)
    differences = {name: difference(known[name], one) for name, one in seen.items() if isinstance(one, LogProbs)}
    if not differences:
        return found, None
    together = totals(list(differences.values()))
    if together.shift > limits.alarm:
        expected = f"log probabilities of common top-5 tokens within {limits.alarm:g} of the baseline in the mean"
        found.append(Finding(kinds.LOGPROBS_SHIFT, expected, f"{together.shift:.4f} over {together.prompts} prompts"))
    if together.common < limits.common_top5:
        expected = f"at least {limits.common_top5:.0%} of the top-5 tokens in common with the baseline"
        found.append(Finding(kinds.LOGPROBS_TOP5, expected, f"{together.common:.1%} over {together.prompts} prompts"))
    for name, one in differences.items():
        found += _other_token(name, one, known[name], seen[name], limits.tie)
    far = {name: one.shift for name, one in differences.items() if one.shift > limits.alarm_prompt}
    expected = f"a mean |Δ logprob| of at most {limits.alarm_prompt:g} in every prompt"
    worst = sorted(far, key=lambda name: -far[name])
    more = f"; {len(far)} prompts are beyond it" if len(far) > 1 else ""
    found += [
        Finding(kinds.LOGPROBS_PROMPT, expected, f"{far[name]:.4f}{more}", name, seen[name].exchange)
        for name in worst[:1]
    ]
    return found, together


def alike(
    first: Mapping[str, LogProbs | NoReply],
    second: Mapping[str, LogProbs | NoReply],
    limits: LogProbLimits,
    exact: bool,
) -> tuple[list[Finding], Totals | None]:
    """Two answers of one deployment to each prompt: no mean |Δ logprob| beyond `steady`, no prompt's beyond its own.

    With `exact` no text may differ, else only where the first answer was undecided (`tie`).
    """
    found = [*missing(first), *missing(second)]
    differences: list[Difference] = []
    for name, one in first.items():
        other = second[name]
        if isinstance(one, NoReply) or isinstance(other, NoReply):
            continue
        differences.append(difference(one, other))
        if exact and one.text != other.text:
            found.append(Finding(kinds.LOGPROBS_TEXT, trimmed(one.text), trimmed(other.text), name, other.exchange))
        else:
            found += _other_token(name, differences[-1], one, other, limits.tie)
        if differences[-1].shift > limits.steady_prompt:
            expected = f"the same log probabilities, within {limits.steady_prompt:g} in the mean of a prompt"
            found.append(
                Finding(kinds.LOGPROBS_UNSTEADY, expected, f"{differences[-1].shift:.4f}", name, other.exchange)
            )
    if not differences:
        return found, None
    together = totals(differences)
    if together.shift > limits.steady:
        expected = f"the same log probabilities, within {limits.steady:g} in the mean of all"
        found.append(
            Finding(kinds.LOGPROBS_UNSTEADY, expected, f"{together.shift:.4f} over {together.prompts} answers")
        )
    return found, together


def _other_token(name: str, one: Difference, known: LogProbs, seen: object, tie: float) -> list[Finding]:
    if one.diverged is None or (one.behind is not None and one.behind <= tie):
        return []
    assert isinstance(seen, LogProbs)
    ahead = "which is not among the five likeliest" if one.behind is None else f"{one.behind:.2f} less likely"
    if one.diverged >= len(known.tokens) or one.diverged >= len(seen.tokens):
        ahead = f"of {len(seen.tokens)} tokens, not {len(known.tokens)}"
    observed = f"another token at place {one.diverged}, {ahead}: {trimmed(seen.text)}"
    return [Finding(kinds.LOGPROBS_TOKEN, trimmed(known.text), observed, name, seen.exchange)]
