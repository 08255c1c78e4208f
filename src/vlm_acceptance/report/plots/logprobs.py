"""Log probabilities: how far each prompt is from what it is compared with, against the limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Points, Series
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import Axis
from vlm_acceptance.report.plots.scale import number as shown
from vlm_acceptance.report.plots.stored import Section, note, number, objects, observed, pairs, section, text
from vlm_acceptance.report.store import OBSERVATIONS

PREFIX = "logprobs-"
MOST_TESTS = 12
Row = Mapping[str, Any]


def plots(folder: Path) -> list[Section]:
    """A plot for each test that compared log probabilities."""
    files = sorted((folder / OBSERVATIONS).glob(f"{PREFIX}*.json"))[:MOST_TESTS]
    found = [_plot(place, observed(folder, path.stem)) for place, path in enumerate(files)]
    return [one for one in found if one is not None]


def _plot(place: int, stored: Row) -> Section | None:
    prompts = objects(stored.get("prompts"))
    means, lost = [row.get("mean") for row in prompts], sum(row.get("mean") is None for row in prompts)
    points = pairs([float(number_of) for number_of in range(1, len(prompts) + 1)], means)
    if not points.y:
        return None
    labels = [
        tr("{name}: {distance}", name=text(prompts[row].get("id"), 60), distance=shown(value))
        for row, value in zip(points.rows, points.y, strict=True)
    ]
    series: list[Series] = [Points(tr("prompt: mean |Δ| of its tokens"), points.x, points.y, labels)]
    together = number(stored.get("mean"))
    if together is not None:
        label = tr("mean of all: {mean}", mean=shown(together))
        series.append(Reference(label, together, tone="idle"))
    limit, of_prompt = number(stored.get("limit")), number(stored.get("limit_prompt"))
    if limit is not None:
        series.append(Reference(tr("limit of the mean of all: {limit}", limit=shown(limit)), limit, tone="open"))
    if of_prompt is not None:
        series.append(Reference(tr("limit of a prompt: {limit}", limit=shown(of_prompt)), of_prompt))
    test, against = text(stored.get("test"), 200).rpartition("::")[2], stored.get("against")
    what = tr("Two answers of this deployment to the same prompts.")
    if against:
        what = tr("Against the stored log probabilities in {name}.", name=text(against))
    described = tr("The distance of each prompt in nats: the mean of |Δ log probability| of the tokens in both lists.")
    axis = Axis(tr("mean |Δ log probability|, nats"), zero=True)
    chart = Chart(tr("Log probabilities: {test}", test=test), described, Axis(tr("prompt")), axis, series)
    gone = tr("{count} prompts cannot be compared.", count=lost) if lost else ""
    return section(f"logprobs-{place}", "logprobs", chart, what, described if place == 0 else "", gone, note(points))
