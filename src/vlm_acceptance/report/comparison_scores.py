"""The scores of two stored runs beside each other: question by question where both runs say which are right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.history_night import Night, Score, accuracy_reports
from vlm_acceptance.report.history_series import score_name
from vlm_acceptance.stats.binomial import mcnemar, paired_difference, wilson

ALPHA = 0.05  # two-sided, of one comparison


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: `mark` is `worse`, `better` or ''; `is_figure` for what was measured in both runs."""

    name: str
    before: str
    now: str
    note: str = ""
    mark: str = ""
    is_figure: bool = False


def score_rows(one: Night, two: Night) -> Iterator[Row]:
    """A row of each score that both runs have."""
    before, now = (_by_question(night) for night in (one, two))
    for name, score in one.scores.items():
        if name not in two.scores:
            continue
        known = before.get(name, {}).keys() & now.get(name, {}).keys()
        note, mark = _paired(before[name], now[name]) if known else _unpaired(score, two.scores[name])
        yield Row(score_name(name), _share(score), _share(two.scores[name]), note, mark)


def _by_question(night: Night) -> dict[str, dict[str, bool]]:
    """Whether each question is right, by data set and protocol, where the run stored it."""
    found = {}
    for name, report in accuracy_reports(night.folder):
        stored = report.get("by_question")
        if isinstance(stored, dict):
            found[name] = {ident: right for ident, right in stored.items() if isinstance(right, bool)}
    return found


def _paired(before: Mapping[str, bool], now: Mapping[str, bool]) -> tuple[str, str]:
    """Of the questions that both runs answered: lost and gained, McNemar's exact test, Tango's interval."""
    both = before.keys() & now.keys()
    lost = sum(before[ident] and not now[ident] for ident in both)
    gained = sum(now[ident] and not before[ident] for ident in both)
    low, high = paired_difference(len(both), lost, gained)
    p = min(1.0, 2 * min(mcnemar(lost, gained), mcnemar(gained, lost)))
    note = tr(
        "{lost} lost, {gained} gained of {both}: {points} points (95 %: {low} to {high}), McNemar p {p}",
        lost=lost,
        gained=gained,
        both=len(both),
        points=f"{100 * (gained - lost) / len(both):+.1f}",
        low=f"{100 * low:+.1f}",
        high=f"{100 * high:+.1f}",
        p=f"{p:.2g}",
    )
    return note, ("worse" if lost > gained else "better") if p < ALPHA else ""


def _unpaired(before: Score, now: Score) -> tuple[str, str]:
    low, high = newcombe(before, now)
    points = f"{100 * (now.right / now.total - before.right / before.total):+.1f}"
    fields = {"points": points, "low": f"{100 * low:+.1f}", "high": f"{100 * high:+.1f}"}
    mark = "worse" if high < 0 else "better" if low > 0 else ""
    return tr("{points} points (95 %: {low} to {high})", **fields), mark


def _share(score: Score) -> str:
    low, high = wilson(score.right, score.total)
    fields = {"share": f"{score.right / score.total:.1%}", "right": score.right, "total": score.total}
    return tr("{share} ({right}/{total}; {low} to {high})", **fields, low=f"{low:.1%}", high=f"{high:.1%}")


def newcombe(before: Score, now: Score) -> tuple[float, float]:
    """The 95 % interval of a difference of shares, from Wilson's of each (Newcombe's method 10).

    It takes the runs as independent; for the same questions it is wider than it must be.
    """
    (low1, high1), (low2, high2) = (wilson(score.right, score.total) for score in (before, now))
    share1, share2 = (score.right / score.total for score in (before, now))
    difference = share2 - share1
    return (
        difference - math.hypot(share2 - low2, high1 - share1),
        difference + math.hypot(high2 - share2, share1 - low1),
    )
