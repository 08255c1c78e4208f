"""The timeline of a run: engine starts, tests by area with their outcome, and waits for a processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Line, Series
from vlm_acceptance.report.plots.references import Spans
from vlm_acceptance.report.plots.scale import Axis, Kind, duration
from vlm_acceptance.report.plots.stored import (
    MOST_POINTS,
    Section,
    listed,
    mapping,
    number,
    objects,
    observed,
    pairs,
    section,
    text,
)

OBSERVATION = "timeline"
MOST_AREAS = 60
Row = Mapping[str, Any]


def plots(folder: Path) -> list[Section]:
    """The timeline, and the waits for a processor; none where it was not stored."""
    stored = observed(folder, OBSERVATION)
    began = text(stored.get("began_utc"), 19).replace("T", " ")
    found = [_timeline(stored, began), _waits(mapping(stored.get("waits")))]
    return [one for one in found if one is not None]


def _axis() -> Axis:
    return Axis(tr("time since the start of the run"), Kind.TIME, low=0.0)


def _stretch(row: Row) -> tuple[float, float] | None:
    begin, end = number(row.get("begin_s")), number(row.get("end_s"))
    return (begin, end) if begin is not None and end is not None and begin <= end else None


def _timeline(stored: Row, began: str) -> Section | None:
    rows = [(row, stretch) for row in objects(stored.get("spans")) if (stretch := _stretch(row)) is not None]
    stages = [(row, stretch) for row, stretch in rows if row.get("kind") == "stage"][:100]
    tests = [(row, stretch) for row, stretch in rows if row.get("kind") == "test"]
    steps = [(row, stretch) for row in objects(stored.get("readiness")) if (stretch := _stretch(row)) is not None][:20]
    kept = tests[:MOST_POINTS]
    if not stages and not kept:
        return None
    names = list(dict.fromkeys([text(row.get("name"), 40) for row, _ in stages]))[:10]
    ready = [tr("start of the engine")] if steps else []
    areas = list(dict.fromkeys(text(row.get("area"), 40) for row, _ in kept))[:MOST_AREAS]
    series: list[Series] = [_spans(tr("stage of the run"), "s0", stages, names)]
    if steps:
        series.append(_spans(tr("step of the start"), "s1", steps, ready, len(names), fixed=0))
    series += _tests(kept, areas, len(names) + len(ready))
    described = tr("When the engines were started and each test ran; a row for each area.")
    chart = Chart(
        tr("Timeline of the run"), described, _axis(), Axis("", names=[*names, *ready, *areas]),
        [one for one in series if one.xs()],
    )  # fmt: skip
    left = len(tests) - len(kept)
    more = tr("{count} further tests are not shown.", count=left) if left else ""
    return section("timeline", "timeline", chart, tr("It began at {time} (UTC).", time=began), described, more)


def _spans(
    name: str,
    tone: str,
    rows: Sequence[tuple[Row, tuple[float, float]]],
    names: Sequence[str],
    first: int = 0,
    key: str = "name",
    fixed: int | None = None,
) -> Spans:
    """Stretches in the row that is `first` and the place of their name, or the `fixed` one."""
    places = {label: place for place, label in enumerate(names)}
    found = [
        (float(first + (places[label] if fixed is None else fixed)), stretch, row)
        for row, stretch in rows
        if (label := text(row.get(key), 40)) in places or fixed is not None
    ]
    texts = [
        tr(
            "{name}: {time}",
            name=text(row.get("name"), 300).rpartition("::")[2],
            time=duration(stretch[1] - stretch[0]),
        )
        for _, stretch, row in found
    ]
    begins, ends = [stretch[0] for _, stretch, _ in found], [stretch[1] for _, stretch, _ in found]
    return Spans(name, [place for place, _, _ in found], begins, ends, texts, tone)


def _tests(tests: Sequence[tuple[Row, tuple[float, float]]], areas: Sequence[str], first: int) -> list[Series]:
    """The tests by their outcome."""
    outcomes = (
        (tr("passed"), "good", {Outcome.PASSED.value}),
        (tr("failed"), "bad", {Outcome.FAILED.value}),
        (tr("error or to be calibrated"), "open", {Outcome.ERROR.value, Outcome.TO_CALIBRATE.value}),
    )
    named = set().union(*(values for _, _, values in outcomes))
    found: list[Series] = []
    for label, tone, values in outcomes:
        own = [one for one in tests if one[0].get("outcome") in values]
        found.append(_spans(label, tone, own, areas, first, "area"))
    rest = [one for one in tests if not isinstance(one[0].get("outcome"), str) or one[0]["outcome"] not in named]
    return [*found, _spans(tr("not run or skipped"), "idle", rest, areas, first, "area")]


def _waits(stored: Row) -> Section | None:
    """Waiting for a processor, as a share of each stretch of time."""
    begins, ends, waited = (listed(stored.get(key)) for key in ("begin_s", "end_s", "waited_s"))
    known = [
        (begin, end, wait)
        for one in zip(begins, ends, waited, strict=False)
        for begin, end, wait in [tuple(map(number, one))]
        if begin is not None and end is not None and wait is not None and end > begin
    ]
    share = pairs([(begin + end) / 2 for begin, end, _ in known], [wait / (end - begin) for begin, end, wait in known])
    if not share.y:
        return None
    total, of = sum(wait for _, _, wait in known), sum(end - begin for begin, end, _ in known)
    described = tr("The longest delay that waiting for a processor can explain, as a share of the time.")
    summed = tr("Together {waited} of {time}.", waited=duration(total), time=duration(of))
    series: list[Series] = [Line("", share.x, share.y)]
    axis = Axis(tr("share of the time"), Kind.SHARE, low=0.0, high=1.0)
    chart = Chart(tr("Waiting for a processor"), described, _axis(), axis, series, height=170)
    return section("timeline-waits", "timeline", chart, described, summed)
