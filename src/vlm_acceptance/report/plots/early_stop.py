"""The early stop of an accuracy run: its path against the bounds that stop a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Line, Series
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import Axis
from vlm_acceptance.report.plots.scale import number as shown
from vlm_acceptance.report.plots.stored import Section, listed, mapping, note, number, observed, pairs, section, text

OBSERVATION = "early-stop"
# lower evidence is drawn here: it says nothing more, and would make the rest flat
LOWEST = 1e-3
Row = Mapping[str, Any]


def plots(folder: Path) -> list[Section]:
    """Right answers against what can still be reached, and the statistics of both tests against their bounds."""
    stored = observed(folder, OBSERVATION)
    found = [_right(stored), _evidence(stored)]
    return [one for one in found if one is not None]


def _stopped(stored: Row) -> str:
    cause = stored.get("stopped")
    return (
        tr("The run was stopped early: {cause}.", cause=text(cause)) if cause else tr("The run was not stopped early.")
    )


def _axis(stored: Row) -> Axis:
    return Axis(tr("questions in the order of asking"), low=0.0, high=number(stored.get("total")))


def _right(stored: Row) -> Section | None:
    path = pairs(listed(stored.get("asked")), listed(stored.get("right")), 500)
    limit, total = number(stored.get("limit")), number(stored.get("total"))
    if not path.y or limit is None or total is None:
        return None
    series: list[Series] = [Line(tr("right answers so far"), path.x, path.y, steps=True)]
    reach = [max(total - limit, 0.0), total]
    label = tr("below this line {limit} of {total} cannot be reached", limit=shown(limit), total=shown(total))
    series.append(Line(label, reach, [max(limit - total, 0.0), limit], dashed=True, tone="bad"))
    described = tr("Right answers after each question, and the fewest from which the limit can still be reached.")
    chart = Chart(tr("Path of the score"), described, _axis(stored), Axis(tr("right answers"), zero=True), series)
    return section("accuracy-path", "accuracy", chart, described, _stopped(stored), note(path))


def _evidence(stored: Row) -> Section | None:
    asked, bounds = listed(stored.get("asked")), mapping(stored.get("stops_at"))
    names = {"score": tr("evidence for too low a score"), "letters": tr("evidence for one letter only")}
    series: list[Series] = []
    lowest = False
    for key, name in names.items():
        path = pairs(asked, listed(stored.get(key)), 400)
        lowest = lowest or any(value < LOWEST for value in path.y)
        if path.y:
            series.append(Line(name, path.x, [max(value, LOWEST) for value in path.y]))
    if not series:
        return None
    for key, tone in (("score", "bad"), ("letters", "open")):
        if (bound := number(bounds.get(key))) is not None and bound > 0:
            name = tr("too low a score: stop at {bound}", bound=shown(bound))
            if key == "letters":
                name = tr("one letter only: stop at {bound}", bound=shown(bound))
            series.append(Reference(name, bound, tone=tone))
    described = tr("What the early stop has against the deployment after each question, on a logarithmic axis.")
    first, last = number(stored.get("not_before")), number(stored.get("not_after"))
    rule = ""
    if first is not None and last is not None:
        rule = tr("The score stops a run from question {first} to {last} only.", first=shown(first), last=shown(last))
    below = tr("Values below {lowest} are drawn at {lowest}.", lowest=shown(LOWEST)) if lowest else ""
    chart = Chart(tr("Path of the early stop"), described, _axis(stored), Axis(tr("evidence"), log=True), series)
    return section("accuracy-early-stop", "accuracy", chart, described, rule, below)
