"""The ladder of load: what a rising load breaks, how many requests at once are held, and whether that shrank."""

from __future__ import annotations

import math
from typing import Any

from vlm_acceptance.checks.load_steps import (
    SHOWN,
    Climb,
    State,
    Step,
    causes_of,
    failure_of,
    losses,
)
from vlm_acceptance.config.ladder_sections import RecordedCapacity, StepBudgets
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_figure, middle
from vlm_acceptance.core.waiting import Waited, explained_share, in_words
from vlm_acceptance.stats.quantiles import median_interval

# of the comparison with a recorded median
ALPHA_RECORDED = 0.0005
# a record of a busier machine would excuse any slowness
MOST_WAITED = 1 / 3
# with fewer answers their median has no limits
FEWEST = 11
# of the tokens of a prompt: the same words in another order may join to other tokens at their borders
PROMPT_SHARE, PROMPT_TOKENS = 0.01, 8


def waits_at(climb: Climb, concurrency: int) -> list[Waited]:
    """What was waited for a processor in the step at this concurrency."""
    step = climb.at(concurrency)
    return step.waits if step else []


def end_of(climb: Climb, budgets: StepBudgets) -> str:
    """Why a climb ended, in words."""
    if climb.broken is not None:
        return f"the first request got no answer: {failure_of(climb.broken)[0]}"
    if not climb.rungs:
        return f"not run: {climb.why_not}"
    last = climb.rungs[-1]
    rest = f"; not run: {', '.join(map(str, climb.left_out))}" if climb.left_out else ""
    if last.state is State.HELD:
        return f"{last.concurrency} is the most that was tried"
    if last.state is State.BUSY:
        return f"the machine was busy at {last.concurrency}{rest}"
    return f"lost twice at {last.concurrency}: {'; '.join(losses(last.last, budgets)[:SHOWN])}{rest}"


def ended(climb: Climb, budgets: StepBudgets) -> str:
    """The capacity of a climb, and why it ended, in words."""
    known = "not known" if climb.capacity is None else f"{climb.capacity}"
    return f"capacity {known}; {end_of(climb, budgets)}"


def row_of(climb: Climb, budgets: StepBudgets) -> dict[str, Any]:
    """A climb as JSON, for summary.json; `recorded` is what a profile may store of it, None if nothing."""
    steps = [{**step.row, "state": state.value} for rung in climb.rungs for step, state in rung.steps]
    return {
        "prompt": climb.name,
        "prompt_tokens": climb.tokens,
        "capacity": climb.capacity,
        "end": end_of(climb, budgets),
        "steps": steps,
        "budgets": budgets.model_dump(exclude_none=True),
        "recorded": recorded_of(climb),
    }


def recorded_of(climb: Climb) -> dict[str, float | int] | None:
    """The keys of RecordedCapacity; None if no step held, its figures are not complete, or the machine was busy."""
    capacity = climb.capacity
    step = climb.at(capacity) if capacity else None
    values = step.times("e2e_s") if step else []
    if step is None or not values or not all(map(is_figure, values)) or explained_share(step.waits) > MOST_WAITED:
        return None
    high = median_interval(values, ALPHA_RECORDED)[1]
    high = high if math.isfinite(high) else max(values)
    return {"concurrency": step.concurrency, "e2e_s": round(middle(values), 6), "e2e_high_s": round(high, 6)}


def failed(climb: Climb) -> list[Finding]:
    """Requests without an answer that are no overload, hangs, prompts that were cut, and answers that were."""
    if climb.broken is not None:
        seen = f"the first request got no answer: {climb.broken}"
        return [Finding(kinds.CAPACITY_NO_ANSWER, "an answer", seen, climb.name, climb.broken.exchange)]
    found = []
    for rung in climb.rungs:
        for step, _ in rung.steps:
            found += [*_no_answers(step), *_cut(climb, step)]
    return [one.at(climb.name) for one in found]


def _no_answers(step: Step) -> list[Finding]:
    broken = [one for one in step.taken if one.failure and not one.is_overload]
    if not broken:
        return []
    expected = "each request answered, or refused with HTTP 429, 503 or 504"
    seen = f"{len(broken)} of {len(step.taken)} got no answer: {causes_of(step)}"
    return [Finding(kinds.CAPACITY_NO_ANSWER, expected, seen, f"{step.concurrency} at once", broken[0].exchange)]


def _cut(climb: Climb, step: Step) -> list[Finding]:
    """Answers shorter than all those of the first step, and prompts that the server counted with too few tokens."""
    usual = {one.tokens for one in climb.rungs[0].steps[0][0].samples if one.tokens is not None}
    where, found = f"{step.concurrency} at once", []
    lengths = [(one.sample.tokens, one) for one in step.taken if one.sample and one.sample.tokens is not None]
    short = [one for tokens, one in lengths if len(usual) == 1 and tokens < min(usual)]
    if short:
        seen = f"{len(short)} of {len(lengths)} answers have fewer tokens, the first {short[0].sample.tokens}"  # type: ignore[union-attr]
        expected = f"answers of {min(usual)} tokens, as with {climb.rungs[0].concurrency} at once"
        found.append(Finding(kinds.CAPACITY_CUT, expected, seen, where, short[0].exchange))
    known, tokens = [one for one in step.taken if one.prompt_tokens is not None], climb.tokens or 0
    least = tokens - max(PROMPT_TOKENS, PROMPT_SHARE * tokens)
    cut = [one for one in known if (one.prompt_tokens or 0) < least]
    if cut:
        seen = f"{len(cut)} of {len(known)} prompts have fewer tokens, the first {cut[0].prompt_tokens}"
        found.append(Finding(kinds.CAPACITY_PROMPT, f"prompts of {tokens} tokens", seen, where, cut[0].exchange))
    return found


def none_held(climb: Climb, budgets: StepBudgets) -> list[Finding]:
    """The budgets hold at the lowest concurrency, at least."""
    if climb.capacity != 0 or not climb.rungs:
        return []
    expected = f"the budgets hold with {climb.rungs[0].concurrency} at once"
    return [Finding(kinds.CAPACITY_NONE, expected, end_of(climb, budgets), climb.name)]


def shrunk(climb: Climb, recorded: RecordedCapacity, budgets: StepBudgets) -> list[Finding]:
    """The budgets hold at the recorded concurrency; not judged where the machine was busy."""
    if climb.capacity is None or climb.held >= recorded.concurrency:
        return []
    expected = f"capacity {recorded.concurrency}, as recorded"
    return [Finding(kinds.CAPACITY_SHRUNK, expected, ended(climb, budgets), climb.name)]


def busy(climb: Climb, least: int) -> str:
    """Why a climb says nothing about `least` requests at once: the machine was busy; '' if it does."""
    if not climb.is_busy or climb.held >= least:
        return ""
    step = climb.rungs[-1].last
    return f"machine busy: {in_words(step.waits)}; {climb.name}, {step.concurrency} at once"


def too_few(climb: Climb, recorded: RecordedCapacity) -> str:
    """Why the time at the recorded concurrency cannot be compared: too few answers; '' if it can, or is not reached."""
    step = climb.at(recorded.concurrency)
    if step is None or climb.held < recorded.concurrency or len(step.times("e2e_s")) >= FEWEST:
        return ""
    seen = f"{len(step.times('e2e_s'))} answers, at least {FEWEST} are needed"
    return f"too few answers to compare with the record: {climb.name}, {step.concurrency} at once: {seen}"


def slower(climb: Climb, recorded: RecordedCapacity, share: float, *, without: bool = False) -> list[Finding]:
    """The median end to end time at the recorded concurrency is no longer than recorded, by more than `share`.

    Judged by intervals: slower is what lies wholly above the recorded interval. `without`: without waits.
    """
    step = climb.at(recorded.concurrency)
    if step is None or climb.held < recorded.concurrency:
        return []
    values = (step.without_waits if without else step).times("e2e_s")
    bound, is_known = recorded.e2e_high_s * (1 + share), bool(values) and all(map(is_figure, values))
    low = median_interval(values, ALPHA_RECORDED)[0] if is_known else math.nan
    if low <= bound:
        return []
    expected = (
        f"median end to end within {bound:.4g} s at {recorded.concurrency} at once (recorded {recorded.e2e_s:g} s)"
    )
    seen = f"median {middle(values) if values else math.nan:.4g} s, at least {low:.4g} s for sure (n={len(values)})"
    return [Finding(kinds.CAPACITY_SLOWER, expected, seen, climb.name)]
