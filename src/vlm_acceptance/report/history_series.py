"""The figures of a history as series, one value a night, and the steps in them that chance does not explain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.history_night import SOAK, Night, Score
from vlm_acceptance.stats.regression import slope
from vlm_acceptance.stats.steps import arcsine, steps

_Name = TypeVar("_Name", str, tuple[str, str])
# of a whole history: a step or a trend where nothing changed
ALPHA = 0.05
TREND_SHARE = 0.2  # of ALPHA, for trends
FEWEST_FOR_TREND = 20
# of a figure over all nights, so that a trend is named; of a share in points
LEAST_TREND, LEAST_TREND_POINTS = math.log(1.1), 0.02
# the least spread of figures from night to night that is assumed; of a count it is one answer
LEAST_LOG = 0.01
MOST_SERIES = 100


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over the nights: `kind` and `subject` name it, None is a night without it.

    Kinds: `score` (shares, with their counts), `size` (memory, start), and the figures of latency, in seconds.
    """

    kind: str
    subject: str
    values: Sequence[float | None]
    scores: Sequence[Score | None] = ()

    @property
    def is_judged(self) -> bool:
        """Whether steps are looked for: not in percentiles of a few answers."""
        return "_p90_" not in self.kind or self.subject == SOAK

    @property
    def is_score(self) -> bool:
        """Whether its values are shares of right answers."""
        return self.kind == "score"


@dataclass(frozen=True, slots=True)
class Mark:
    """A step of a series: nights `start` to `end` (the first after it); `before` and `now` are its levels."""

    series: Series
    start: int
    end: int
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """How many times the level before."""
        return self.now / self.before if self.before else math.inf

    @property
    def is_worse(self) -> bool:
        """Whether the deployment is slower, larger or less often right than before."""
        return is_worse(self.series, self.before, self.now)


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure that changed little by little: its level in the first and the last of the nights that have it."""

    series: Series
    first: int
    last: int
    before: float
    now: float


MORE_IS_BETTER = ("kv_cache_tokens", "kv_cache_gib")


def is_worse(series: Series, before: float, now: float) -> bool:
    """Whether a change is for the worse: longer, larger, less often right, less room for answers."""
    return (now < before) is (series.is_score or series.subject in MORE_IS_BETTER)


def series_of(nights: Sequence[Night]) -> list[Series]:
    """The series of nights of one track; runs that were narrowed are nights without figures."""
    whole = [None if night.narrowed else night for night in nights]
    found = [*_scores(whole), *_latency(whole), *_sizes(whole)]
    return found[:MOST_SERIES]


def _scores(nights: Sequence[Night | None]) -> Iterator[Series]:
    for name in _names(nights, lambda night: night.scores):
        counts = [night.scores.get(name) if night else None for night in nights]
        shares = [count.right / count.total if count else None for count in counts]
        yield Series("score", name, shares, counts)


def _latency(nights: Sequence[Night | None]) -> Iterator[Series]:
    for figure, category in sorted(_names(nights, lambda night: night.latency), key=lambda key: key[1] == SOAK):
        yield Series(figure, category, [night.latency.get((figure, category)) if night else None for night in nights])


def _sizes(nights: Sequence[Night | None]) -> Iterator[Series]:
    for name in _names(nights, lambda night: night.sizes):
        yield Series("size", name, [night.sizes.get(name) if night else None for night in nights])


def _names(nights: Sequence[Night | None], of: Callable[[Night], Mapping[_Name, Any]]) -> dict[_Name, None]:
    """Names in the order in which the nights have them."""
    return dict.fromkeys(name for night in nights if night for name in of(night))


def marks_of(found: Sequence[Series], alpha: float = ALPHA) -> list[Mark]:
    """The steps of all series in their order. Without a change there is a step or a trend with at most `alpha`."""
    judged = [series for series in found if series.is_judged]
    share = alpha * (1 - TREND_SHARE) / max(1, len(judged))
    marks = [mark for series in judged for mark in (_of_score if series.is_score else _of_figure)(series, share)]
    return sorted(marks, key=lambda mark: mark.start)


def _of_figure(series: Series, alpha: float) -> Iterator[Mark]:
    logs = [None if value is None else math.log(value) for value in series.values]
    for step in steps(logs, alpha, LEAST_LOG):
        yield Mark(series, step.start, step.end, math.exp(step.before), math.exp(step.level))


def _of_score(series: Series, alpha: float) -> Iterator[Mark]:
    known = [score for score in series.scores if score]
    if not known:
        return
    total = min(score.total for score in known)
    right = sum(score.right for score in known) * total // sum(score.total for score in known)
    # one answer more or less where the scores usually lie
    least = (arcsine(min(right + 1, total), total) - arcsine(max(right - 1, 0), total)) / 2
    angles = [arcsine(score.right, score.total) if score else None for score in series.scores]
    for step in steps(angles, alpha, least):
        yield Mark(series, step.start, step.end, _share(step.before), _share(step.level))


def trends_of(found: Sequence[Series], marks: Sequence[Mark], alpha: float = ALPHA) -> list[Trend]:
    """The series without a step whose slope over all nights chance does not explain; the rest of `alpha` is theirs."""
    judged = [series for series in found if series.is_judged]
    confidence = 1 - alpha * TREND_SHARE / max(1, len(judged))
    stepped = {id(mark.series) for mark in marks}
    trends = (_trend(series, confidence) for series in judged if id(series) not in stepped)
    return [trend for trend in trends if trend is not None]


def _trend(series: Series, confidence: float) -> Trend | None:
    known = [(at, value) for at, value in enumerate(series.values) if value is not None]
    if len(known) < FEWEST_FOR_TREND:
        return None
    nights = [at for at, _ in known]
    levels = [value if series.is_score else math.log(value) for _, value in known]
    line = slope(nights, levels, confidence)
    first, last = nights[0], nights[-1]
    if line is None or line.low <= 0 <= line.high:
        return None
    change, middle = line.value * (last - first), fmean(levels)
    if abs(change) < (LEAST_TREND_POINTS if series.is_score else LEAST_TREND):
        return None
    ends = (middle + line.value * (at - fmean(nights)) for at in (first, last))
    before, now = (min(max(end, 0.0), 1.0) if series.is_score else math.exp(end) for end in ends)
    return Trend(series, first, last, before, now)


def _share(angle: float) -> float:
    return math.sin(angle) ** 2


def figure_name(kind: str) -> str:
    """The short name of a figure of latency."""
    name = kind.removesuffix("_s")
    if name.endswith("_p90"):
        return tr("p90 of {figure}", figure=name.removesuffix("_p90").upper())
    return name.upper()


def figure_title(kind: str) -> str:
    """What a figure of latency measures."""
    titles = {
        "ttft_s": tr("Time to first token (TTFT)"),
        "tpot_s": tr("Time per output token (TPOT)"),
        "e2e_s": tr("Time of a whole answer (E2E)"),
        "ttft_p90_s": tr("Time to first token (TTFT), 90th percentile"),
        "tpot_p90_s": tr("Time per output token (TPOT), 90th percentile"),
        "e2e_p90_s": tr("Time of a whole answer (E2E), 90th percentile"),
    }
    return titles.get(kind, kind)


def subject_name(series: Series) -> str:
    """What a series is about, for people."""
    if series.kind == "size":
        return size_name(series.subject)
    if series.is_score:
        return score_name(series.subject)
    return tr("the soak") if series.subject == SOAK else series.subject


def score_name(subject: str) -> str:
    """The questions of a score."""
    names = {"fixed": tr("the questions of every run"), "new": tr("the questions drawn anew for each run")}
    return names.get(subject, subject)


def size_name(subject: str) -> str:
    """What a size measures."""
    names = {
        "model_memory_gib": tr("Memory of the model"),
        "kv_cache_gib": tr("Memory of the KV cache"),
        "kv_cache_tokens": tr("KV cache"),
        "start_s": tr("Start of the engine"),
        "rss_mb": tr("Memory of the engine's processes after the soak"),
        "hbm_mb": tr("Memory of the card after the soak"),
    }
    return names.get(subject, subject)


def size_text(subject: str, value: float) -> str:
    """A size with its unit."""
    if subject.endswith("_gib"):
        return f"{value:.3g} GiB"
    if subject.endswith("_mb"):
        return f"{value:,.0f} MB"
    if subject.endswith("_s"):
        return f"{value:.3g} s"
    return tr("{count} tokens", count=f"{value:,.0f}")
