"""A chart as inline SVG: axes with ticks, a legend and marks. It needs no script, no network and no other library.

Colours are classes of templates/plots.css, which a page includes once. Texts are texts, and read well at 400 pixels.
"""

# Why no library: of those that need no numpy, pygal writes <script> elements with an address of its own project, fixed
# colours that no dark page can change, and random ids; it has no reference lines and no bands. A chart of this kind is
# a few elements, and a test must be able to read its figures back.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from vlm_acceptance.report.plots.marks import LETTER, SHAPES, TONES, Frame, Series, cut, element, place, width_of
from vlm_acceptance.report.plots.scale import Axis, Scale, is_shown, scale_of

WIDTH, HEIGHT, ROW = 480.0, 250.0, 17.0
RIGHT, SIGN, LINE = 12.0, 16.0, 17.0
LONGEST_NAME = 26  # characters of a name on an axis


@dataclass(frozen=True)
class Chart:
    """A chart with its title, a sentence on what it shows for those who cannot see it, its axes and its series.

    `height` is in pixels of a drawing 480 wide; with names on the y axis it follows from their number and `row`.
    """

    title: str
    text: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    height: float = HEIGHT
    row: float = ROW

    @property
    def svg(self) -> Markup:
        """The chart as one <svg> element."""
        toned = self._toned()
        legend, top = _legend([one for one in toned if one[0].name])
        top += LINE if self.y.title else 4.0
        frame, bottom = self._frame(top)
        height = bottom + 2 * LINE + (4.0 if self.x.title else -LINE + 4.0)
        below = f"translate(0,{place(LINE if self.y.title else 4)})"
        parts = [
            _axis_title(self.y.title, 0.0, 12.0, "start"),
            element("g", [("class", "legend"), ("transform", below)], legend),
            _axes(frame, self, bottom),
            *(
                element("g", [("class", f"series {tone}")], one.draw(frame, shape))
                for one, tone, shape in toned
            ),
            _axis_title(self.x.title, WIDTH - RIGHT, bottom + 2 * LINE, "end"),
        ]  # fmt: skip
        head = [
            ("class", "plot"),
            ("viewBox", f"0 0 {place(WIDTH)} {place(height)}"),
            ("width", "100%"),
            ("role", "img"),
            ("aria-label", cut(self.title)),
        ]
        return element(
            "svg", head, element("title", (), cut(self.title)), element("desc", (), cut(self.text, 1000)), *parts
        )

    def _toned(self) -> list[tuple[Series, str, str]]:
        """Each series with its class and the form of its points: those without a tone get one after the other."""
        found, number = [], 0
        for one in self.series:
            place_of = number % TONES
            found.append((one, one.tone or f"s{place_of}", SHAPES[place_of]))
            number += not one.tone
        return found

    def _frame(self, top: float) -> tuple[Frame, float]:
        """The scales, and where the drawing ends below."""
        height = self.row * len(self.y.names) if self.y.names else self.height - top - 2 * LINE
        bottom = top + max(height, 2 * ROW) + 4.0
        ys = _shown([value for one in self.series for value in one.ys()], self.y.log)
        xs = _shown([value for one in self.series for value in one.xs()], self.x.log)
        if self.y.names:  # the first name stands on top
            y = scale_of(replace(self.y, names=_cut_names(self.y.names)), ys, top + 4, bottom)
        else:
            y = scale_of(self.y, ys, bottom, top + 4, most=5)
        left = max((width_of(text) for _, text in y.ticks), default=0.0) + 8
        widest = 75.0
        x = scale_of(self.x, xs, left, WIDTH - RIGHT, most=max(2, int((WIDTH - RIGHT - left) / widest)))
        return Frame(x, y), bottom


def _shown(values: Sequence[float], log: bool) -> list[float]:
    return [value for value in values if is_shown(value, log)]


def _cut_names(names: Sequence[str]) -> list[str]:
    return [cut(name, LONGEST_NAME) for name in names]


def _axis_title(text: str, x: float, y: float, anchor: str) -> Markup:
    if not text:
        return Markup("")
    return element("text", [("class", "axis-title"), ("x", x), ("y", y), ("text-anchor", anchor)], cut(text))


def _axes(frame: Frame, chart: Chart, bottom: float) -> Markup:
    """Grid lines, ticks and their texts."""
    made = []
    for value, text in frame.y.ticks:
        at = frame.y.at(value)
        if not chart.y.names:
            made.append(_grid(f"M{place(frame.x.start)},{place(at)}H{place(frame.x.end)}"))
        made.append(element("text", [("x", frame.x.start - 6), ("y", at + 4), ("text-anchor", "end")], text))
    slot = (frame.x.end - frame.x.start) / max(1, len(frame.x.ticks))
    ends = -1.0
    for value, text in frame.x.ticks:
        at = frame.x.at(value)
        if not chart.x.names:
            made.append(_grid(f"M{place(at)},{place(min(frame.y.start, frame.y.end))}V{place(bottom)}"))
        shown = cut(text, max(3, int(slot / LETTER))) if chart.x.names else text
        half = width_of(shown) / 2
        at = min(at, WIDTH - half)
        if at - half < ends:  # it would touch the one before it
            continue
        ends = at + half + 4
        title = [element("title", (), cut(text))] if shown != text else []
        made.append(element("text", [("x", at), ("y", bottom + 15), ("text-anchor", "middle")], shown, *title))
    scales = [("data-x", _described(frame.x)), ("data-y", _described(frame.y))]
    return element("g", [("class", "axes"), *scales], *made)


def _grid(path: str) -> Markup:
    return element("path", [("class", "grid"), ("d", path)])


def _described(scale: Scale) -> str:
    """Low and high value, their places, and the kind of scale: a place can be turned into its value again."""
    ends = " ".join(repr(value) for value in (scale.low, scale.high, scale.start, scale.end))
    return f"{ends} {'log' if scale.log else 'linear'}"


def _legend(named: Sequence[tuple[Series, str, str]]) -> tuple[Markup, float]:
    """The legend in as many lines as it needs, and its height."""
    x, y, made = 0.0, 10.0, []
    for one, tone, shape in named:
        name = cut(one.name, 60)
        wide = SIGN + 5 + width_of(name) + 12
        if x and x + wide > WIDTH:
            x, y = 0.0, y + LINE
        text = element("text", [("x", x + SIGN + 5), ("y", y + 4)], name)
        made.append(element("g", [("class", f"series {tone}")], one.sign(x, y, shape), text))
        x += wide
    return Markup("").join(made), (y + 16 if named else 6.0)
