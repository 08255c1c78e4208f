"""The soak: times, rates, requests in flight and memory over time, with the fits by which its trends are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Line, Points, Series
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import TIME_STEPS, Axis, Kind, duration, percent
from vlm_acceptance.report.plots.scale import number as shown
from vlm_acceptance.report.plots.stored import (
    Section,
    listed,
    mapping,
    note,
    number,
    numbers,
    observed,
    pairs,
    section,
)

OBSERVATION = "soak-figures"
BINS = 40
KB_PER_MB = 1024
Row = Mapping[str, Any]


def plots(folder: Path) -> list[Section]:
    """The plots of the soak; none where no soak was stored."""
    stored = observed(folder, OBSERVATION)
    answers, readings, fits, budgets = (mapping(stored.get(key)) for key in ("answers", "readings", "fits", "budgets"))
    names = {
        "ttft_s": tr("Soak: time to first token"),
        "tpot_s": tr("Soak: time per output token"),
        "e2e_s": tr("Soak: end to end"),
    }
    found = [_times(key, names[key], answers, mapping(fits.get(key)), budgets) for key in names]
    found += _throughput(answers, number(stored.get("seconds")), budgets)
    found.append(_in_flight(readings, number(stored.get("concurrency"))))
    memories = {"rss_mb": tr("Soak: memory of the engine's processes"), "hbm_mb": tr("Soak: memory of the card")}
    found += [_memory(key, memories[key], readings, mapping(fits.get(key))) for key in memories]
    return [one for one in found if one is not None]


def _time_axis() -> Axis:
    return Axis(tr("time since the start of the soak"), Kind.TIME, low=0.0)


def _times(key: str, title: str, answers: Row, fit: Row, budgets: Row) -> Section | None:
    """One time of every answer, at the moment its request was sent."""
    points = pairs(listed(answers.get("began_s")), listed(answers.get(key)), log=True)
    if not points.y:
        return None
    series: list[Series] = [Points(tr("answer"), points.x, points.y, [duration(value) for value in points.y])]
    series += _fit(fit)
    for name, bound in sorted(mapping(budgets.get(key)).items()):
        if (limit := number(bound)) is not None and name in ("p50", "p90", "p99"):
            label = tr("budget of the {name}: {limit}", name=name, limit=duration(limit))
            series.append(Reference(label, limit, tone="open"))
    text = tr("Each answer of the soak as a point: when it was sent, and how long it took.")
    chart = Chart(title, text, _time_axis(), Axis("", Kind.SECONDS, log=True), series)
    ident = f"soak-{key.removesuffix('_s')}"
    return section(ident, "soak", chart, text, _drift(fit), _unanswered(key, answers), note(points))


def _unanswered(key: str, answers: Row) -> str:
    if key != "e2e_s":
        return ""
    times, of = numbers(answers.get("e2e_s")), number(answers.get("of"))
    lost = sum(value is None for value in times)
    if not lost or of is None:
        return ""
    return tr("{count} of {of} requests got no answer.", count=lost, of=len(times))


def _fit(fit: Row) -> list[Series]:
    """The line that is judged and the steepest one within the limit."""
    x, y, limit_y = (listed(fit.get(key)) for key in ("x", "y", "limit_y"))
    line, most = pairs(x, y), pairs(x, limit_y)
    if not line.y:
        return []
    return [
        Line(tr("fit that is judged"), line.x, line.y, tone="s3"),
        Line(tr("steepest line within the limit"), most.x, most.y, dashed=True, tone="bad"),
    ]


def _figures(fit: Row) -> list[float] | None:
    """Value, ends of the interval, limit and number of samples of a fit; None if one is no number."""
    found = [number(fit.get(key)) for key in ("value", "low", "high", "limit", "n")]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _drift(fit: Row) -> str:
    figures = _figures(fit)
    if figures is None:
        return tr("There are too few times to judge whether they grow.")
    value, low, high, limit, n = figures
    return tr(
        "From the first third to the last, times change by {value} (99 % interval {low} to {high}, {n} answers); the "
        "limit is {limit}.",
        value=percent(value), low=percent(low), high=percent(high), n=shown(n), limit=percent(limit),
    )  # fmt: skip


def _throughput(answers: Row, seconds: float | None, budgets: Row) -> list[Section | None]:
    """Answers and output tokens a second, counted when the answer was complete, in equal stretches of time."""
    ends, tokens = _ended(answers)
    if not ends:
        return []
    whole = seconds if seconds is not None and 0 < seconds <= 2 * max(ends) else max(ends)
    width = stretch_of(whole)
    kinds = (
        ("requests_per_s", tr("Soak: answers a second"), tr("answers a second"), [1.0] * len(ends)),
        ("output_tokens_per_s", tr("Soak: output tokens a second"), tr("output tokens a second"), tokens),
    )
    share = len(ends) / _answered(answers, len(ends))
    return [
        _rate(key, title, unit, rates(ends, [weight / share for weight in weights], whole, width), width, budgets)
        for key, title, unit, weights in kinds
        if any(weights)
    ]


def stretch_of(whole: float) -> float:
    """The seconds of a stretch, so that there are at most BINS of them."""
    return float(next((step for step in TIME_STEPS if step * BINS >= whole), math.ceil(whole / BINS)))


def _answered(answers: Row, seen: int) -> float:
    """How many answers there were, also if fewer are stored."""
    stored, of = len(numbers(answers.get("began_s"))), number(answers.get("of"))
    return seen * of / stored if of is not None and of > stored > 0 else float(seen)


def _ended(answers: Row) -> tuple[list[float], list[float]]:
    """When each answer was complete (second of the soak), and its tokens."""
    columns = (numbers(answers.get(key)) for key in ("began_s", "e2e_s", "tokens"))
    rows = [
        (began + took, tokens or 0.0)
        for began, took, tokens in zip(*columns, strict=False)
        if began is not None and took is not None and began + took >= 0
    ]
    return [end for end, _ in rows], [tokens for _, tokens in rows]


def rates(
    ends: Sequence[float], weights: Sequence[float], whole: float, width: float
) -> tuple[list[float], list[float]]:
    """Middles of stretches of `width` seconds, and the sum of the weights a second in each; the last may be shorter."""
    count = max(1, math.ceil(whole / width - 1e-9))
    sums = [0.0] * count
    for end, weight in zip(ends, weights, strict=True):
        sums[min(int(end / width), count - 1)] += weight
    # answers that were complete after the end belong to the last stretch, and to its time
    last = max(whole, max(ends)) - (count - 1) * width
    widths = [width] * (count - 1) + [max(last, 1e-6)]
    starts = [number * width for number in range(count)]
    return (
        [start + wide / 2 for start, wide in zip(starts, widths, strict=True)],
        [total / wide for total, wide in zip(sums, widths, strict=True)],
    )


def _rate(
    key: str, title: str, unit: str, found: tuple[list[float], list[float]], width: float, budgets: Row
) -> Section:
    x, y = found
    series: list[Series] = [Points("", x, y, [f"{shown(value)} {unit}" for value in y], joined=True)]
    if (least := number(budgets.get(key))) is not None:
        series.append(Reference(tr("least by the budget: {least}", least=shown(least)), least))
    text = tr("In stretches of {width}, counted when an answer was complete.", width=duration(width))
    chart = Chart(title, text, _time_axis(), Axis(unit, zero=True), series)
    return section(f"soak-{key.removesuffix('_per_s').replace('_', '-')}", "soak", chart, text)


def _in_flight(readings: Row, concurrency: float | None) -> Section | None:
    """Requests in flight as we count them, and those that the server reports as running and waiting."""
    at_s = listed(readings.get("at_s"))
    names = {
        "in_flight": tr("sent and not answered"),
        "running": tr("running, by /metrics"),
        "waiting": tr("waiting, by /metrics"),
    }
    columns = {key: pairs(at_s, listed(readings.get(key)), 300) for key in names}
    if not any(column.y for column in columns.values()):
        return None
    series: list[Series] = [
        Line(names[key], column.x, column.y, steps=True, dashed=key == "waiting")
        for key, column in columns.items()
        if column.y
    ]
    text = tr("Requests in flight at each reading of /metrics.")
    chart = Chart(tr("Soak: requests in flight"), text, _time_axis(), Axis(tr("requests"), zero=True), series)
    wanted = "" if concurrency is None else tr("The soak sends {count} requests at once.", count=shown(concurrency))
    return section("soak-in-flight", "soak", chart, text, wanted, note(*columns.values()))


def _memory(key: str, title: str, readings: Row, fit: Row) -> Section | None:
    """Memory over time. It is judged by requests, so that the fit is drawn at the requests done at each moment."""
    at_s, done = numbers(readings.get("at_s")), numbers(readings.get("done"))
    points = pairs(listed(readings.get("at_s")), listed(readings.get(key)))
    if not points.y:
        return None
    series: list[Series] = [
        Points(tr("reading"), points.x, points.y, [tr("{mb} MB", mb=shown(value)) for value in points.y]),
        *_growth_lines(at_s, done, fit),
    ]
    text = tr("Memory at each reading, in megabytes.")
    chart = Chart(title, text, _time_axis(), Axis(tr("megabytes")), series)
    return section(f"soak-memory-{key.removesuffix('_mb')}", "soak", chart, text, _growth(fit), note(points))


def _growth_lines(at_s: Sequence[float | None], done: Sequence[float | None], fit: Row) -> list[Series]:
    """The fit and its limit over time: straight lines by requests, at the readings from the first that is judged."""
    x, y, limit_y = (numbers(fit.get(key)) for key in ("x", "y", "limit_y"))
    if len(x) != 2 or len(y) != 2 or len(limit_y) != 2 or None in (*x, *y, *limit_y) or x[0] == x[1]:
        return []
    known = [(at, count) for at, count in zip(at_s, done, strict=False) if at is not None and count is not None]
    seen = [(at, count) for at, count in known if x[0] <= count <= x[1]]  # type: ignore[operator]
    if len(seen) < 2:
        return []

    def along(ends: Sequence[float | None]) -> list[float]:
        rise = (ends[1] - ends[0]) / (x[1] - x[0])  # type: ignore[operator]
        return [ends[0] + rise * (count - x[0]) for _, count in seen]  # type: ignore[operator]

    fitted, most = pairs([at for at, _ in seen], along(y), 300), pairs([at for at, _ in seen], along(limit_y), 300)
    return [
        Line(tr("fit that is judged"), fitted.x, fitted.y, tone="s3"),
        Line(tr("steepest line within the limit"), most.x, most.y, dashed=True, tone="bad"),
    ]


def _growth(fit: Row) -> str:
    figures = _figures(fit)
    if figures is None:
        return tr("There are too few readings to judge whether the memory grows.")
    value, low, high, limit, n = figures
    return tr(
        "After the first third it changes by {value} KB a request (99 % interval {low} to {high}, {n} readings); the "
        "limit is {limit} KB.",
        value=shown(value), low=shown(low), high=shown(high), n=shown(n), limit=shown(limit),
    )  # fmt: skip
