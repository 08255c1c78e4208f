"""Further marks of a chart: reference lines, such as budgets, and spans of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vlm_acceptance.report.plots.marks import Frame, element, exact, group, place, titled
from vlm_acceptance.report.plots.scale import is_shown

# of a span, so that a short one is seen
LEAST_PIXELS = 1.5


@dataclass(frozen=True)
class Reference:
    """A line across the whole chart at a value: of y, or `upright` of x. Figures: value."""

    name: str
    value: float
    upright: bool = False
    tone: str = "bad"

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return [self.value] if self.upright else []

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return [] if self.upright else [self.value]

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The mark."""
        scale = frame.x if self.upright else frame.y
        if not is_shown(self.value, scale.log):
            return group(self, "references", [("value", "")])
        at = place(scale.at(self.value))
        if self.upright:
            path = f"M{at},{place(frame.y.start)}V{place(frame.y.end)}"
        else:
            path = f"M{place(frame.x.start)},{at}H{place(frame.x.end)}"
        mark = titled("path", [("class", "line dashed"), ("d", path)], self.name)
        return group(self, "references", [("value", exact([self.value])), ("axis", "x" if self.upright else "y")], mark)

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""
        return element("path", [("class", "line dashed"), ("d", f"M{place(x)},{place(y)}h16")])


@dataclass(frozen=True)
class Spans:
    """Stretches from `begins` to `ends` (x) in rows of a y axis with names; `thin` if they are only marks in a row.

    Figures: row, begin, end.
    """

    name: str
    rows: Sequence[float]
    begins: Sequence[float]
    ends: Sequence[float]
    texts: Sequence[str] = ()
    tone: str = ""
    thin: bool = False

    def xs(self) -> Sequence[float]:
        """Values that the x axis must hold."""
        return [*self.begins, *self.ends]

    def ys(self) -> Sequence[float]:
        """Values that the y axis must hold."""
        return self.rows

    def draw(self, frame: Frame, _shape: str, /) -> Markup:
        """The marks."""
        columns = (self.rows, self.begins, self.ends)
        kept = [n for n, row in enumerate(zip(*columns, strict=False)) if all(map(is_shown, row))]
        made = []
        for n in kept:
            left, right = frame.x.at(self.begins[n]), frame.x.at(self.ends[n])
            top, bottom = frame.y.at(self.rows[n] - 0.4), frame.y.at(self.rows[n] + 0.4)
            box = [("x", left), ("y", min(top, bottom)), ("width", max(right - left, LEAST_PIXELS))]
            text = self.texts[n] if n < len(self.texts) else ""
            made.append(titled("rect", [*box, ("height", abs(bottom - top))], text))
        names = ("row", "begin", "end")
        figures = [(key, exact(column[n] for n in kept)) for key, column in zip(names, columns, strict=True)]
        return group(self, "spans", figures, *made)

    def sign(self, x: float, y: float, _shape: str, /) -> Markup:
        """The mark of the legend."""
        return element(
            "rect",
            [
                ("x", x + 7 * self.thin),
                ("y", y - 4 - self.thin),
                ("width", 2 if self.thin else 16),
                ("height", 8 + 2 * self.thin),
            ],
        )
