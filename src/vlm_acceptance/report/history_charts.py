"""The charts of a history: scores with intervals, latency, sizes, tests that did not pass, with marks and changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from markupsafe import Markup

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.history_night import Night
from vlm_acceptance.report.history_series import (
    Mark,
    Series,
    figure_title,
    score_name,
    size_name,
    size_text,
    subject_name,
)
from vlm_acceptance.report.history_words import changes_before
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import Band, Points
from vlm_acceptance.report.plots.marks import Series as Drawn
from vlm_acceptance.report.plots.references import Reference
from vlm_acceptance.report.plots.scale import Axis, Kind
from vlm_acceptance.report.verdict_text import seconds
from vlm_acceptance.stats.binomial import wilson

MOST_CHANGES = 40
SHORT_S = 3 * 86400.0  # runs of so few days are shown by the clock
UNITS = {"_gib": "GiB", "_mb": "MB", "_tokens": "tokens"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart of the page with its title and the words below it."""

    title: str
    caption: str
    svg: Markup


def charts(nights: Sequence[Night], found: Sequence[Series], marks: Sequence[Mark]) -> list[Drawing]:
    """The charts of nights of one track; figures of nights whose time is not known are left out."""
    drawer = _Drawer(nights, marks)
    made = [drawer.not_passed()]
    made += [drawer.score(one) for one in found if one.is_score]
    kinds = dict.fromkeys(one.kind for one in found if not one.is_score and one.kind != "size")
    made += [drawer.latency([one for one in found if one.kind == kind]) for kind in kinds]
    made += [drawer.size(one) for one in found if one.kind == "size"]
    return made


class _Drawer:
    """The charts of one track share their dates, and the lines where something changed."""

    def __init__(self, nights: Sequence[Night], marks: Sequence[Mark]) -> None:
        self.nights, self.marks = nights, marks
        self.times = [night.began.timestamp() if night.began else None for night in nights]
        self.dates = Axis("", Kind.DATE)
        known = [time for time in self.times if time is not None]
        if known and max(known) - min(known) < SHORT_S:
            start = min(known)
            self.times = [None if time is None else time - start for time in self.times]
            self.dates = Axis(tr("time since {first}", first=_utc(start)), Kind.TIME)
        self.changes: list[Drawn] = list(self._changes())

    def not_passed(self) -> Drawing:
        """How many tests did not pass."""
        one = Series("count", "", [float(night.total - night.passed) for night in self.nights])
        return self._drawing(
            tr("Tests that did not pass"),
            tr("How many tests of each night did not pass."),
            Axis("", zero=True, high=1.0),
            [self._points(one, tr("tests"))],
            [],
        )

    def score(self, one: Series) -> Drawing:
        """The shares of right answers with their intervals."""
        rows = [(time, score) for time, score in zip(self.times, one.scores, strict=True) if time is not None and score]
        ends = [wilson(score.right, score.total) for _, score in rows]
        dates = [row[0] for row in rows]
        name = tr("95 % interval (Wilson)")
        band = Band(name, dates, [low for low, _ in ends], [high for _, high in ends], tone="s0")
        return self._drawing(
            tr("Right answers: {what}", what=score_name(one.subject)),
            tr("The share of right answers of each night, with its interval."),
            Axis("", Kind.SHARE),
            [band, self._points(one, tr("share of right answers"), tone="s0")],
            [one],
        )

    def latency(self, group: Sequence[Series]) -> Drawing:
        """One figure of all categories."""
        text = tr("The median of each night by category, on a logarithmic axis.")
        if "p90" in group[0].kind:
            text = tr("The 90th percentile of each night, on a logarithmic axis.")
        return self._drawing(
            figure_title(group[0].kind),
            text,
            Axis("", Kind.SECONDS, log=True),
            [self._points(one, subject_name(one)) for one in group],
            group,
        )

    def size(self, one: Series) -> Drawing:
        """A size of memory, or the time of the start."""
        name = size_name(one.subject)
        unit = next((unit for end, unit in UNITS.items() if one.subject.endswith(end)), "")
        axis = Axis(tr(unit), zero=True) if unit else Axis("", Kind.SECONDS, zero=True)
        return self._drawing(name, tr("The figure of each night."), axis, [self._points(one, name)], [one])

    def _changes(self) -> Iterator[Reference]:
        """An upright line for each night on which a version, a file or a setting changed; the first has the legend."""
        name = tr("a version, file or setting changed")
        changed = [at for at in range(1, len(self.nights)) if changes_before(self.nights, at)]
        for at in changed[-MOST_CHANGES:]:
            time = self.times[at]
            if time is not None:
                yield Reference(name, time, upright=True, tone="idle")
                name = ""

    def _points(self, one: Series, name: str, tone: str = "") -> Points:
        rows = [
            (time, value, at)
            for at, (time, value) in enumerate(zip(self.times, one.values, strict=True))
            if time is not None and value is not None
        ]
        texts = [self._text(one, at, value) for _, value, at in rows]
        return Points(name, [row[0] for row in rows], [row[1] for row in rows], texts, joined=True, tone=tone)

    def _marked(self, series: Sequence[Series]) -> list[Drawn]:
        """The first night of each step, once more and in red."""
        own = [mark for mark in self.marks if mark.series in series]
        found = [(self.times[mark.start], mark.series.values[mark.start], mark) for mark in own]
        rows = [(time, value, mark) for time, value, mark in found if time is not None and value is not None]
        texts = [self._text(mark.series, mark.start, value) for _, value, mark in rows]
        name = tr("a step begins")
        return [Points(name, [row[0] for row in rows], [row[1] for row in rows], texts, tone="bad")] if rows else []

    def _text(self, one: Series, at: int, value: float) -> str:
        day = self.nights[at].day
        if one.is_score:
            return f"{day}: {value:.1%}"
        if one.kind == "size":
            return f"{day}: {size_text(one.subject, value)}"
        return f"{day}: {value:g}" if one.kind == "count" else f"{day}, {subject_name(one)}: {seconds(value)}"

    def _drawing(self, title: str, text: str, y: Axis, drawn: Sequence[Drawn], series: Sequence[Series]) -> Drawing:
        every = [*drawn, *self.changes, *self._marked(series)]
        return Drawing(title, text, Chart(title, text, self.dates, y, every).svg)


def _utc(time: float) -> str:
    return f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d %H:%M} UTC"
