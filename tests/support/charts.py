"""Reads a chart back from its SVG: the figures of each group of marks, and the values at which they are drawn."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

START = re.compile(r"M(-?[\d.]+),(-?[\d.]+)")
ALLOWED = {"svg", "title", "desc", "g", "path", "rect", "text"}


@dataclass(frozen=True)
class ScaleRead:
    """A scale of a chart, read from its axes."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def value(self, place: float) -> float:
        """The value at a place of the drawing."""
        share = (place - self.start) / (self.end - self.start)
        if self.is_log:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def near(self, place: float, value: float) -> bool:
        """Whether a value is drawn at this place, within the rounding of a tenth of a pixel."""
        ends = sorted((self.value(place - 0.11), self.value(place + 0.11)))
        return ends[0] <= value <= ends[1]


@dataclass(frozen=True)
class Group:
    """The marks of a series: their figures by name, and the elements."""

    series: str
    kind: str
    tone: str
    figures: dict[str, list[float]]
    marks: Sequence[ElementTree.Element]

    @property
    def titles(self) -> list[str]:
        """The texts of the marks."""
        return [found.text or "" for mark in self.marks for found in mark.iter("title")]


class ChartRead:
    """A chart that was read back; fails for anything that a chart must not hold."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(str(svg))
        for one in root.iter():
            assert one.tag in ALLOWED, one.tag
            assert not [name for name in one.attrib if name.startswith(("on", "href", "style", "xlink"))]
        assert root.tag == "svg" and root.attrib["role"] == "img" and root.attrib["aria-label"]
        assert root.attrib["viewBox"].startswith("0 0 480 ") and root.attrib["width"] == "100%"
        self.title, self.description = root.findtext("title"), root.findtext("desc")
        assert self.title and self.description
        self.height = float(root.attrib["viewBox"].split()[3])
        self.texts = [one.text or "" for one in root.iter("text")]
        axes = next(one for one in root.iter("g") if one.attrib.get("class") == "axes")
        self.x, self.y = (_scale(axes.attrib[key]) for key in ("data-x", "data-y"))
        self.groups = [
            _group(inner, outer.attrib["class"])
            for outer in root.iter("g")
            for inner in outer
            if "data-series" in inner.attrib
        ]
        for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf", _drawn(root)):
            assert math.isfinite(float(number)), number

    def group(self, series: str) -> Group:
        """The group of the series whose name begins so."""
        (found,) = [one for one in self.groups if one.series.startswith(series)]
        return found

    def require_places(self, group: Group) -> None:
        """Points must be drawn where their figures say."""
        starts = [(float(x), float(y)) for x, y in START.findall(_paths(group))]
        assert len(starts) == len(group.figures["x"])
        for (x, y), seen_x, seen_y in zip(starts, group.figures["x"], group.figures["y"], strict=True):
            assert self.x.near(x, seen_x) and self.y.near(y, seen_y), (x, y, seen_x, seen_y)


def _paths(group: Group) -> str:
    return "".join(one.attrib["d"] for one in group.marks if one.attrib.get("class") != "line")


def _drawn(root: ElementTree.Element) -> str:
    names = ("d", "x", "y", "width", "height")
    return " ".join(one.attrib[name] for one in root.iter() for name in names if name in one.attrib and one is not root)


def _scale(text: str) -> ScaleRead:
    low, high, start, end, kind = text.split()
    return ScaleRead(float(low), float(high), float(start), float(end), kind == "log")


def _group(element: ElementTree.Element, tone: str) -> Group:
    figures = {
        name.removeprefix("data-"): [float(value) for value in text.split()]
        for name, text in element.attrib.items()
        if name not in ("class", "data-series", "data-axis")
    }
    return Group(
        element.attrib["data-series"], element.attrib["class"], tone.removeprefix("series "), figures, list(element)
    )
