"""Latency: every answer of each category, the cold one and the warm ones apart, against budgets and the guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Points, Series
from vlm_acceptance.report.plots.references import Spans
from vlm_acceptance.report.plots.scale import Axis, Kind, duration
from vlm_acceptance.report.plots.stored import (
    Section,
    listed,
    mapping,
    middle_of,
    note,
    number,
    objects,
    observed,
    pairs,
    section,
    text,
)

OBSERVATION = "latency"
MOST_CATEGORIES = 30


@dataclass(frozen=True, slots=True)
class Category:
    """The stored answers of a category: rows of times in seconds, and its budgets."""

    name: str
    samples: Sequence[Mapping[str, Any]]
    budget: Mapping[str, Any]


def plots(folder: Path, summary: Mapping[str, Any]) -> list[Section]:
    """A plot for the time to first token, one for the time per output token, one for end to end."""
    stored = mapping(observed(folder, OBSERVATION).get("categories"))
    categories = [
        Category(text(name), objects(mapping(row).get("samples")), mapping(mapping(row).get("budget")))
        for name, row in list(stored.items())[:MOST_CATEGORIES]
    ]
    if not categories:
        return []
    names = {
        "ttft_s": (tr("Time to first token"), tr("From the request to the first text of the answer.")),
        "tpot_s": (tr("Time per output token"), tr("The mean time of each token after the first one.")),
        "e2e_s": (tr("End to end"), tr("From the request to the end of the answer.")),
    }
    found = [_plot(key, *names[key], categories, summary) for key in names]
    return [one for one in found if one is not None]


def _plot(
    key: str, title: str, what: str, categories: Sequence[Category], summary: Mapping[str, Any]
) -> Section | None:
    """One time of all categories, on a logarithmic axis; None if no answer has it."""
    places, values, is_cold = [], [], []
    for place, category in enumerate(categories):
        for sample in category.samples:
            places.append(place)
            values.append(sample.get(key))
            is_cold.append(sample.get("cold") is True)
    half = 500
    warm = pairs(
        [p for p, c in zip(places, is_cold, strict=True) if not c], _of(values, is_cold, False), half, log=True
    )
    cold = pairs([p for p, c in zip(places, is_cold, strict=True) if c], _of(values, is_cold, True), half, log=True)
    if not warm.y and not cold.y:
        return None
    series: list[Series] = [
        Points(tr("warm answer"), warm.y, warm.x, [duration(value) for value in warm.y]),
        Points(tr("cold answer (sent first, not judged)"), cold.y, cold.x, [duration(value) for value in cold.y]),
        *_medians(categories, key),
        *_budgets(categories, key),
        *(_guide(categories, summary) if key == "e2e_s" else []),
    ]
    names = [category.name for category in categories]
    chart = Chart(
        title,
        tr("Each answer of the categories {names} as a point on a logarithmic axis.", names=", ".join(names)),
        Axis("", Kind.SECONDS, log=True),
        Axis("", names=names),
        [one for one in series if one.xs()],
        row=26,
    )
    judged = tr("The median of the warm answers is judged against the budget.")
    return section(f"latency-{key.removesuffix('_s')}", "latency", chart, what, judged, note(warm, cold))


def _of(values: Sequence[object], is_cold: Sequence[bool], wanted: bool) -> list[object]:
    return [value for value, cold in zip(values, is_cold, strict=True) if cold is wanted]


def _medians(categories: Sequence[Category], key: str) -> list[Series]:
    """The median of the warm answers of each category, as it is judged, as a mark of a row's height."""
    medians = [
        middle_of(number(sample.get(key)) for sample in category.samples if sample.get("cold") is not True)
        for category in categories
    ]
    return _marks(tr("median of the warm answers"), medians, "s3")


def _budgets(categories: Sequence[Category], key: str) -> list[Series]:
    return _marks(tr("budget of the median"), [number(category.budget.get(key)) for category in categories], "bad")


def _guide(categories: Sequence[Category], summary: Mapping[str, Any]) -> list[Series]:
    rows = {text(row.get("category")): number(row.get("seconds")) for row in objects(_as_list(summary.get("guide")))}
    values = [rows.get(category.name) for category in categories]
    return _marks(tr("figure of the deployment guide"), values, "open")


def _as_list(value: object) -> list[Any]:
    return list(value) if isinstance(value, tuple) else list(listed(value))


def _marks(name: str, values: Sequence[float | None], tone: str) -> list[Series]:
    known = [(float(place), value) for place, value in enumerate(values) if value is not None and value > 0]
    if not known:
        return []
    rows, at = [row for row, _ in known], [value for _, value in known]
    return [Spans(name, rows, at, at, [f"{name}: {duration(value)}" for value in at], tone, thin=True)]
