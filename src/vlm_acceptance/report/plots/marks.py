"""The marks of a chart as SVG: points, lines, bands, bars, intervals, spans, reference lines.

Each group of marks has the exact figures as data attributes: `data-x` and `data-y`, or what the class says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from markupsafe import Markup, escape

from vlm_acceptance.core.text import printable
from vlm_acceptance.report.plots.scale import Scale, is_shown

# of marks in a group, so that each has its own form and text under the pointer: beyond it they are one path of dots
TITLED = 120
LONGEST = 160  # characters of a text
LETTER = 7.1  # pixels of a letter, in the mean, at the size of plots.css
# forms of points, in pixels around their place: circle, square, triangle, diamond, cross, bar
SHAPES = (
    "m-3,0a3,3 0 1 0 6,0a3,3 0 1 0 -6,0z",
    "m-2.6,-2.6h5.2v5.2h-5.2z",
    "m0,-3.4l3.2,5.8h-6.4z",
    "m0,-3.6l3.6,3.6l-3.6,3.6l-3.6,-3.6z",
    "m-3.2,-0.9h2.3v-2.3h1.8v2.3h2.3v1.8h-2.3v2.3h-1.8v-2.3h-2.3z",
    "m-3.4,-1.2h6.8v2.4h-6.8z",
)
TONES = len(SHAPES)
_TONE = re.compile(r"[a-z][a-z0-9]*")


def element(name: str, attributes: Iterable[tuple[str, object]], *children: object) -> Markup:
    """An element; texts in attributes and children are escaped, what is Markup stays as it is."""
    shown = "".join(f' {key}="{_clean(value)}"' for key, value in attributes)
    inner = f">{''.join(map(_clean, children))}</{name}>" if children else "/>"
    return Markup(f"<{name}{shown}{inner}")  # noqa: S704  (names are ours, every value is escaped)


def _clean(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return place(value)
    text = str(value)
    return escape(text if text.isprintable() else printable(text))


def place(value: float) -> str:
    """A place in the drawing, in tenths of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def exact(values: Iterable[float]) -> str:
    """Figures as they are stored, so that they can be read back."""
    return " ".join(repr(value).removesuffix(".0") for value in values)


def cut(text: str, most: int = LONGEST) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def width_of(text: str) -> float:
    """About how many pixels wide a text is; a Chinese character is as wide as it is high."""
    return sum(13.0 if unicodedata.east_asian_width(letter) in "WF" else LETTER for letter in text)


@dataclass(frozen=True, slots=True)
class Frame:
    """The scales of a chart."""

    x: Scale
    y: Scale


class Series(Protocol):
    """Something that a chart shows: its `name` in the legend ('' for none), and its `tone`, a class of plots.css."""

    @property
    def name(self) -> str:
        """The text of the legend."""

    @property
    def tone(self) -> str:
        """A class of plots.css; '' to take the next one."""

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The marks, without those that an axis cannot show."""

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""


def group(series: Series, kind: str, figures: Iterable[tuple[str, str]], *children: Markup) -> Markup:
    """The group of a series' marks with its figures."""
    named = [("class", kind), ("data-series", cut(series.name)), *((f"data-{key}", text) for key, text in figures)]
    return element("g", named, *children)


def titled(name: str, attributes: Iterable[tuple[str, object]], text: str) -> Markup:
    """A mark with a text under the pointer, if it has any."""
    return element(name, attributes, *([element("title", (), cut(text))] if text else []))


def rows(frame: Frame, xs: Sequence[float], *columns: Sequence[float]) -> list[int]:
    """The numbers of the rows whose x and further (y) values the axes can show."""
    return [
        number
        for number, row in enumerate(zip(xs, *columns, strict=False))
        if is_shown(row[0], frame.x.log) and all(is_shown(value, frame.y.log) for value in row[1:])
    ]


@dataclass(frozen=True)
class Points:
    """Single values, with a text for each if there are any; `joined` by a line. Figures: x, y."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    texts: Sequence[str] = ()
    joined: bool = False
    tone: str = ""
    kind: ClassVar[str] = "points"

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return self.x

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return self.y

    def draw(self, frame: Frame, shape: str, /) -> Markup:
        """The marks."""
        kept = rows(frame, self.x, self.y)
        at = [(frame.x.at(self.x[n]), frame.y.at(self.y[n])) for n in kept]
        starts = [f"M{place(x)},{place(y)}" for x, y in at]
        made = [element("path", [("class", "line"), ("d", _through(at))])] if self.joined and len(at) > 1 else []
        if len(kept) <= TITLED:
            texts = [self.texts[n] if n < len(self.texts) else "" for n in kept]
            made += [titled("path", [("d", one + shape)], text) for one, text in zip(starts, texts, strict=True)]
        else:
            made.append(element("path", [("class", "dots"), ("d", "".join(f"{one}h0" for one in starts))]))
        figures = [("x", exact(self.x[n] for n in kept)), ("y", exact(self.y[n] for n in kept))]
        return group(self, self.kind, figures, *made)

    def sign(self, x: float, y: float, shape: str, /) -> Markup:
        """The mark of the legend."""
        line = [element("path", [("class", "line"), ("d", f"M{place(x)},{place(y)}h16")])] if self.joined else []
        return Markup("").join([*line, element("path", [("d", f"M{place(x + 8)},{place(y)}{shape}")])])


def _through(at: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{place(x)},{place(y)}" for x, y in at)


@dataclass(frozen=True)
class Line:
    """A line without marks, such as a fit. Figures: x, y."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    steps: bool = False
    text: str = ""
    tone: str = ""

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return self.x

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return self.y

    @property
    def _look(self) -> str:
        return "line dashed" if self.dashed else "line"

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The marks."""
        kept = rows(frame, self.x, self.y)
        at = [(frame.x.at(self.x[n]), frame.y.at(self.y[n])) for n in kept]
        if self.steps and at:
            path = f"M{place(at[0][0])},{place(at[0][1])}" + "".join(f"H{place(x)}V{place(y)}" for x, y in at[1:])
        else:
            path = _through(at)
        figures = [("x", exact(self.x[n] for n in kept)), ("y", exact(self.y[n] for n in kept))]
        made = [titled("path", [("class", self._look), ("d", path)], self.text or self.name)] if len(at) > 1 else []
        return group(self, "lines", figures, *made)

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""
        return element("path", [("class", self._look), ("d", f"M{place(x)},{place(y)}h16")])


@dataclass(frozen=True)
class Band:
    """What lies between two lines. Figures: x, low, high."""

    name: str
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    tone: str = ""

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return self.x

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return [*self.low, *self.high]

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The marks."""
        kept = rows(frame, self.x, self.low, self.high)
        there = [(frame.x.at(self.x[n]), frame.y.at(self.high[n])) for n in kept]
        back = [(frame.x.at(self.x[n]), frame.y.at(self.low[n])) for n in reversed(kept)]
        figures = [(key, exact(getattr(self, key)[n] for n in kept)) for key in ("x", "low", "high")]
        made = [element("path", [("class", "band"), ("d", _through([*there, *back]) + "z")])] if len(kept) > 1 else []
        return group(self, "bands", figures, *made)

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""
        return element("path", [("class", "band"), ("d", f"M{place(x)},{place(y - 4)}h16v8h-16z")])


@dataclass(frozen=True)
class Bars:
    """Bars from 0 at places of an axis with names. Several series stand side by side: `number` of `of`.

    Figures: place, value.
    """

    name: str
    places: Sequence[float]
    values: Sequence[float]
    texts: Sequence[str] = ()
    number: int = 0
    of: int = 1
    tone: str = ""
    across: bool = False

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return self.values if self.across else self.places

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return self.places if self.across else self.values

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The marks."""
        along, value = (frame.y, frame.x) if self.across else (frame.x, frame.y)
        kept = [n for n, one in enumerate(zip(self.places, self.values, strict=False)) if all(map(is_shown, one))]
        thick, zero, made = 0.8 / self.of, value.at(max(value.low, 0.0)), []
        for n in kept:
            first = along.at(self.places[n] - 0.4 + self.number * thick)
            last = along.at(self.places[n] - 0.4 + (self.number + 1) * thick)
            end = value.at(self.values[n])
            box = (min(first, last), min(zero, end), abs(last - first), abs(end - zero))
            names = ("y", "x", "height", "width") if self.across else ("x", "y", "width", "height")
            text = self.texts[n] if n < len(self.texts) else ""
            made.append(titled("rect", list(zip(names, box, strict=True)), text))
        figures = [("place", exact(self.places[n] for n in kept)), ("value", exact(self.values[n] for n in kept))]
        return group(self, "bars", figures, *made)

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""
        return element("rect", [("x", x), ("y", y - 4), ("width", 16), ("height", 8)])


@dataclass(frozen=True)
class Intervals:
    """Values with their intervals at places of an axis. Figures: place, value, low, high."""

    name: str
    places: Sequence[float]
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    texts: Sequence[str] = ()
    tone: str = ""
    across: bool = False

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return [*self.low, *self.high, *self.values] if self.across else self.places

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return self.places if self.across else [*self.low, *self.high, *self.values]

    def draw(self, frame: Frame, shape: str, /) -> Markup:
        """The marks."""
        along, value = (frame.y, frame.x) if self.across else (frame.x, frame.y)
        columns = (self.places, self.values, self.low, self.high)
        kept = [n for n, row in enumerate(zip(*columns, strict=False)) if all(map(is_shown, row))]
        made = []
        for n in kept:
            at, low, high, seen = along.at(self.places[n]), *map(value.at, (self.low[n], self.high[n], self.values[n]))
            line = (
                f"M{place(low)},{place(at)}H{place(high)}"
                if self.across
                else f"M{place(at)},{place(low)}V{place(high)}"
            )
            middle = f"M{place(seen)},{place(at)}" if self.across else f"M{place(at)},{place(seen)}"
            text = self.texts[n] if n < len(self.texts) else ""
            parts = [element("path", [("class", "line"), ("d", line)]), element("path", [("d", middle + shape)])]
            made.append(element("g", (), *([element("title", (), cut(text))] if text else []), *parts))
        names = ("place", "value", "low", "high")
        figures = [(key, exact(column[n] for n in kept)) for key, column in zip(names, columns, strict=True)]
        return group(self, "intervals", figures, *made)

    def sign(self, x: float, y: float, shape: str, /) -> Markup:
        """The mark of the legend."""
        line = element("path", [("class", "line"), ("d", f"M{place(x)},{place(y)}h16")])
        return line + element("path", [("d", f"M{place(x + 8)},{place(y)}{shape}")])
