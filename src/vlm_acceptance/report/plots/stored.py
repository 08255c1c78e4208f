"""Figures of a stored run, read for plots: only finite numbers, and no more of them than a plot can show.

A stored run may come from elsewhere. What is no number, or is absent, is left out; nothing here raises for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vlm_acceptance.core.files import MB, BadFile, read_json
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.scale import is_shown
from vlm_acceptance.report.store import OBSERVATIONS

# of one plot
MOST_POINTS = 1000
# of lists and mappings of a stored file
MOST_ROWS = 20_000
FILE_BYTES = 8 * MB


@dataclass(frozen=True, slots=True)
class Section:
    """One plot of a page: its anchor, the part of the page that it belongs to, and what is shown."""

    id: str
    part: str
    title: str
    caption: str
    svg: Markup


def section(ident: str, part: str, chart: Chart, *caption: str) -> Section:
    """The section of a chart; the sentences of its caption that are not empty follow each other."""
    return Section(ident, part, chart.title, " ".join(filter(None, caption)), chart.svg)


def observed(folder: Path, name: str) -> Mapping[str, Any]:
    """The JSON object in `observations/NAME.json`; an empty one when there is none, or it cannot be read."""
    try:
        value = read_json(folder / OBSERVATIONS / f"{name}.json", FILE_BYTES)
    except BadFile:
        return {}
    return value if isinstance(value, dict) else {}


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object; else an empty one. At most MOST_ROWS keys are kept."""
    if not isinstance(value, Mapping):
        return {}
    return value if len(value) <= MOST_ROWS else dict(list(value.items())[:MOST_ROWS])


def listed(value: object) -> Sequence[Any]:
    """The value if it is a JSON list; else an empty one. At most MOST_ROWS entries are kept."""
    return value[:MOST_ROWS] if isinstance(value, list) else ()


def objects(value: object) -> list[Mapping[str, Any]]:
    """The JSON objects of a list."""
    return [one for one in listed(value) if isinstance(one, Mapping)]


def number(value: object) -> float | None:
    """The value as a float if an axis can show it; else None."""
    return float(value) if is_shown(value) else None  # type: ignore[arg-type]


def numbers(value: object) -> list[float | None]:
    """The numbers of a list; None where an entry is none."""
    return [number(one) for one in listed(value)]


def text(value: object, most: int = 80) -> str:
    """A text to show, cut; what is no text and no number is `?`."""
    return str(value)[:most] if isinstance(value, (str, int, float)) else "?"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two columns of numbers. `of` were there, `left_out` of them are no numbers, the others beyond `most` thinned."""

    x: list[float]
    y: list[float]
    rows: list[int]
    of: int
    left_out: int


def pairs(xs: Sequence[object], ys: Sequence[object], most: int = MOST_POINTS, *, log: bool = False) -> Pairs:
    """The rows in which both columns are numbers, evenly thinned to `most`, the first and the last among them.

    A row without a y (None) counts as absent, not as left out. `log`: y must be above 0.
    """
    of, kept = 0, []
    for row, (x, y) in enumerate(zip(xs, ys, strict=False)):
        of += y is not None
        if is_shown(x) and is_shown(y, log):
            kept.append(row)
    left_out = of - len(kept)
    chosen = thinned(kept, most)
    return Pairs([float(xs[n]) for n in chosen], [float(ys[n]) for n in chosen], chosen, of, left_out)  # type: ignore[arg-type]


def thinned(rows: Sequence[int], most: int) -> list[int]:
    """At most `most` of the rows, evenly spread, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    if most < 2:
        return list(rows[:most])
    return [rows[number * (len(rows) - 1) // (most - 1)] for number in range(most)]


def note(*shown: Pairs) -> str:
    """What a caption says about values that a plot does not show; '' if it shows all."""
    left_out, of = sum(one.left_out for one in shown), sum(one.of for one in shown)
    there = sum(len(one.x) for one in shown)
    found = []
    if there + left_out < of:
        found.append(tr("{there} of {of} values are shown, evenly spread.", there=there, of=of))
    if left_out:
        found.append(tr("{count} values are no finite numbers and are left out.", count=left_out))
    return " ".join(found)


def middle_of(values: Iterable[float | None]) -> float | None:
    """The median of the numbers; None without any."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    half = len(known) // 2
    return known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2
