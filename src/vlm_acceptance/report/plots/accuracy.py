"""The accuracy run: subjects and scorers with their intervals, letters, and what changed against a stored run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import BadFile, read_json
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Bars, Intervals, Series
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import Axis, Kind, percent
from vlm_acceptance.report.plots.scale import number as shown
from vlm_acceptance.report.plots.stored import FILE_BYTES, Section, listed, mapping, number, objects, section, text

FILES = "*_accuracy_*.json"
MOST_NAMES = 60
Row = Mapping[str, Any]


def plots(folder: Path) -> list[Section]:
    """The plots of the accuracy run; none without one."""
    report = report_of(folder)
    if not mapping(report.get("total")):
        return []
    found = [_subjects(report), _scorers(report), _letters(report), _difference(report), _changed(report)]
    return [one for one in found if one is not None]


def report_of(folder: Path) -> Row:
    """The description of the run's accuracy run; empty without one, or when it cannot be read."""
    for path in sorted(folder.glob(FILES)):
        try:
            value = read_json(path, FILE_BYTES)
        except BadFile:
            continue
        if isinstance(value, dict):
            return value
    return {}


def _share(report: Row, key: str) -> float | None:
    """A limit of the run as a share of its questions."""
    limits, total = mapping(mapping(report.get("statistics")).get("limits")), mapping(report.get("total"))
    right, questions = number(limits.get(key)), number(total.get("questions"))
    return right / questions if right is not None and questions else None


def _references(report: Row) -> list[Series]:
    """The limits of the verdict and the published score."""
    found: list[Series] = []
    fewest, most = _share(report, "low"), _share(report, "high")
    if fewest is not None:
        found.append(Reference(tr("fewest accepted: {share}", share=percent(fewest)), fewest, upright=True))
    if most is not None and most < 1:
        found.append(Reference(tr("most accepted: {share}", share=percent(most)), most, upright=True))
    published = mapping(mapping(report.get("statistics")).get("reference"))
    correct, total = number(published.get("correct")), number(published.get("total"))
    if correct is not None and total and 0 <= correct <= total:
        label = tr("published reference: {share}", share=percent(correct / total))
        found.append(Reference(label, correct / total, upright=True, tone="open"))
    return found


def _intervals(name: str, rows: Mapping[str, Row]) -> Intervals | None:
    """The shares of rows of the report with their intervals; None if no row has any."""
    places, values, low, high, texts = [], [], [], [], []
    for place, (label, row) in enumerate(rows.items()):
        share, least, most = (number(row.get(key)) for key in ("share", "low", "high"))
        if share is None or least is None or most is None:
            continue
        places.append(float(place))
        values.append(share)
        low.append(least)
        high.append(most)
        right, of = text(row.get("right")), text(row.get("answered", row.get("of", "?")))
        interval = f"{percent(least)} – {percent(most)}"
        texts.append(tr("{name}: {right} of {of}, {interval}", name=label, right=right, of=of, interval=interval))
    return Intervals(name, places, values, low, high, texts, across=True) if places else None


def _subjects(report: Row) -> Section | None:
    stored = mapping(report.get("subjects"))
    rows = {text(name): mapping(row) for name, row in list(stored.items())[:MOST_NAMES]}
    total = {tr("all questions"): mapping(report.get("total"))}
    seen = _intervals(tr("right answers, 95 % interval (Wilson)"), {**total, **rows})
    if seen is None:
        return None
    described = tr("The share of right answers in each subject, with its 95 % interval.")
    what = tr("The score of all questions is judged against the limits; a subject alone is not judged.")
    return _shares("accuracy-subjects", tr("Right answers by subject"), described, [*total, *rows], seen, report, what)


def _shares(
    ident: str, title: str, described: str, names: Sequence[str], seen: Intervals, report: Row, *caption: str
) -> Section:
    axis = Axis(tr("share of right answers"), Kind.SHARE, low=0.0, high=1.0)
    chart = Chart(title, described, axis, Axis("", names=names), [seen, *_references(report)])
    return section(ident, "accuracy", chart, described, *caption)


def _scorers(report: Row) -> Section | None:
    answered = mapping(report.get("total")).get("answered")
    rows = {
        text(name): {**mapping(row), "answered": answered}
        for name, row in list(mapping(report.get("scorers")).items())[:MOST_NAMES]
    }
    seen = _intervals(tr("right answers, 95 % interval (Wilson)"), rows)
    if seen is None:
        return None
    described = tr("The same answers, read by each scorer.")
    deciding = tr("The scorer {name} decides.", name=text(report.get("scorer")))
    return _shares("accuracy-scorers", tr("Scorers side by side"), described, list(rows), seen, report, deciding)


def _letters(report: Row) -> Section | None:
    """How often each letter was given, and how often it is right."""
    stored = mapping(report.get("letters"))
    given, golds = mapping(stored.get("answers")), mapping(stored.get("golds"))
    names = sorted({text(name, 3) for name in (*given, *golds)})[:26]
    if not names:
        return None
    series: list[Series] = []
    for place, (label, counts) in enumerate(((tr("given by the model"), given), (tr("right by the data"), golds))):
        values = [number(counts.get(name)) or 0.0 for name in names]
        texts = [f"{name}: {shown(value)}" for name, value in zip(names, values, strict=True)]
        series.append(Bars(label, [float(n) for n in range(len(names))], values, texts, place, 2))
    described = tr("How often the model gave each letter, and how often the letter is the right answer.")
    title = tr("Letters given against the right ones")
    chart = Chart(title, described, Axis("", names=names), Axis(tr("questions"), zero=True), series, height=200)
    return section("accuracy-letters", "accuracy", chart, described)


def _difference(report: Row) -> Section | None:
    """The difference to the stored run, its interval, and the margin."""
    seen = mapping(report.get("comparison"))
    lost, gained = len(objects(seen.get("lost"))), len(objects(seen.get("gained")))
    compared, margin = number(seen.get("compared")), number(seen.get("margin"))
    ends = [number(end) for end in listed(seen.get("interval_95"))]
    if not compared or len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    value = (gained - lost) / compared
    label = tr("gained less lost, 95 % interval")
    series: list[Series] = [
        Intervals(label, [0.0], [value], [ends[0]], [ends[1]], [percent(value)], across=True),
        Reference(tr("no difference"), 0.0, upright=True, tone="idle"),
    ]
    if margin is not None:
        series.append(Reference(tr("margin: {margin}", margin=percent(-margin)), -margin, upright=True))
    described = tr(
        "{compared} questions were answered in both runs: right in both {both}, in neither {neither}, lost {lost}, "
        "gained {gained}.",
        compared=shown(compared), both=text(seen.get("both")), neither=text(seen.get("neither")), lost=lost,
        gained=gained,
    )  # fmt: skip
    axis = Axis(tr("difference of the shares of right answers"), Kind.SHARE)
    name = text(seen.get("name"), 24)
    chart = Chart(tr("Against the stored run"), described, axis, Axis("", names=[name]), series)
    return section("accuracy-difference", "accuracy", chart, described)


def _changed(report: Row) -> Section | None:
    """Lost and gained questions by subject."""
    seen = mapping(report.get("comparison"))
    counts: dict[str, list[int]] = {}
    for place, key in enumerate(("lost", "gained")):
        for row in objects(seen.get(key)):
            counts.setdefault(text(row.get("group")), [0, 0])[place] += 1
    if not counts:
        return None
    names = list(counts)[:MOST_NAMES]
    places = [float(place) for place in range(len(names))]
    lost, gained = ([float(counts[name][side]) for name in names] for side in (0, 1))
    series = [
        Bars(tr("lost"), places, lost, [shown(one) for one in lost], 0, 2, tone="bad", across=True),
        Bars(tr("gained"), places, gained, [shown(one) for one in gained], 1, 2, tone="good", across=True),
    ]
    described = tr("Questions that only the stored run has right (lost), or only this run (gained), by subject.")
    axis = Axis(tr("questions"), zero=True)
    chart = Chart(tr("Lost and gained by subject"), described, axis, Axis("", names=names), series)
    return section("accuracy-changed", "accuracy", chart, described)
