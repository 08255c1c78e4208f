"""The ladder of load: times and rates by the number of requests at once, against the budgets, with the capacity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Points, Series
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import Axis, Kind, duration
from vlm_acceptance.report.plots.scale import number as shown
from vlm_acceptance.report.plots.stored import Section, mapping, number, objects, section, text

QUANTILES = ("p50", "p90", "p99")
MOST_PROMPTS, MOST_STEPS = 12, 20
SMALL = 190.0
Row = Mapping[str, Any]


def plots(summary: Row) -> list[Section]:
    """For each kind of prompt its times; then the output tokens a second of all."""
    rows = [row for row in objects(_list(summary.get("capacity"))) if _steps(row)][:MOST_PROMPTS]
    titles = {
        "ttft_s": tr("time to first token"),
        "tpot_s": tr("time per output token"),
        "e2e_s": tr("end to end"),
    }
    found = [_times(number_of, row, key, title) for number_of, row in enumerate(rows) for key, title in titles.items()]
    return [*_rates(rows), *(one for one in found if one is not None)]


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _steps(row: Row) -> list[Row]:
    """The step that decided at each number of requests at once: the last one."""
    steps: dict[float, Row] = {}
    for step in objects(row.get("steps"))[: 2 * MOST_STEPS]:
        at_once = number(step.get("concurrency"))
        if at_once is not None and at_once > 0:
            steps[at_once] = step
    return [steps[at_once] for at_once in sorted(steps)]


def _axis() -> Axis:
    return Axis(tr("requests at once"), log=True)


def _times(place: int, row: Row, key: str, title: str) -> Section | None:
    """The percentiles of one time of one kind of prompt."""
    series: list[Series] = []
    for quantile in QUANTILES:
        known = [(_at_once(step), number(mapping(step.get(key)).get(quantile))) for step in _steps(row)]
        seen = [(at_once, value) for at_once, value in known if value is not None and value > 0]
        if seen:
            x, y = [at_once for at_once, _ in seen], [value for _, value in seen]
            series.append(Points(quantile.upper(), x, y, [duration(value) for value in y], joined=True))
    if not series:
        return None
    budgets = mapping(mapping(row.get("budgets")).get(key))
    for quantile in QUANTILES:
        if (limit := number(budgets.get(quantile))) is not None:
            label = tr("budget of the {name}: {limit}", name=quantile.upper(), limit=duration(limit))
            series.append(Reference(label, limit))
    series += _capacity(row)
    prompt = text(row.get("prompt"))
    described = tr("Percentiles of the measured answers at each number of requests at once.")
    chart = Chart(
        tr("{prompt}: {title}", prompt=prompt, title=title),
        described,
        _axis(),
        Axis("", Kind.SECONDS, log=True),
        series,
        height=SMALL + 16 * (len(series) > 3),
    )
    ident = f"capacity-{place}-{re.sub(r'[^a-z]', '', key.removesuffix('_s'))}"
    return section(ident, "capacity", chart, described if key == "ttft_s" else "", _end(row) if key == "e2e_s" else "")


def _at_once(step: Row) -> float:
    return number(step.get("concurrency")) or 0.0


def _capacity(row: Row) -> list[Series]:
    capacity = number(row.get("capacity"))
    if capacity is None or capacity <= 0:
        return []
    return [Reference(tr("capacity: {count} at once", count=shown(capacity)), capacity, upright=True, tone="good")]


def _end(row: Row) -> str:
    capacity = number(row.get("capacity"))
    known = tr("not known") if capacity is None else shown(capacity)
    return tr("Capacity {capacity}: {why}", capacity=known, why=tr(text(row.get("end"), 300)))


def _rates(rows: Sequence[Row]) -> list[Section]:
    """Output tokens a second of each kind of prompt."""
    series: list[Series] = []
    for row in rows:
        known = [(_at_once(step), number(step.get("output_tokens_per_s"))) for step in _steps(row)]
        seen = [(at_once, value) for at_once, value in known if value is not None]
        if seen:
            x, y = [at_once for at_once, _ in seen], [value for _, value in seen]
            label = tr("{prompt}, {count} prompt tokens", prompt=text(row.get("prompt"), 40), count=_tokens(row))
            series.append(Points(label, x, y, [shown(value) for value in y], joined=True))
    if not series:
        return []
    described = tr("Output tokens a second of all answers at each number of requests at once.")
    unit = tr("output tokens a second")
    height = 250.0 + 8 * len(series)
    chart = Chart(tr("Throughput by load"), described, _axis(), Axis(unit, zero=True), series, height=height)
    return [section("capacity-rate", "capacity", chart, described)]


def _tokens(row: Row) -> str:
    tokens = number(row.get("prompt_tokens"))
    return "?" if tokens is None else shown(tokens)
