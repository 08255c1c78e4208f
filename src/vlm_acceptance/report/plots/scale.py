"""Scales of a chart: where a value lies on an axis, and which ticks the axis shows."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

# a larger value, or on a logarithmic axis a smaller one, is no measurement
LARGEST, SMALLEST = 1e15, 1e-9
STEPS = (1, 2, 5, 10)
MINUTE, HOUR, DAY = 60, 3600, 86400
# seconds between the ticks of a time
TIME_STEPS = (
    1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR,
    6 * HOUR, 12 * HOUR, DAY,
)  # fmt: skip
DATE_STEPS = tuple(days * DAY for days in (1, 2, 7, 14, 28, 91, 182, 364))
# the year 9999: Python has no later dates
LAST_DATE = 253_000_000_000
# of a logarithmic axis over fewer decades the ticks between these are shown, too
FEW_DECADES = 2


class Kind(enum.Enum):
    """What the values of an axis are. TIME: seconds since a start; DATE: seconds since 1970 (UTC)."""

    NUMBER = "number"
    SECONDS = "seconds"
    SHARE = "share"
    TIME = "time"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its title with the unit, and what its values are.

    With `names` the values are places, 0 for the first name. `zero`: a linear axis begins at 0 or below. `low` and
    `high` widen the range of the data.
    """

    title: str
    kind: Kind = Kind.NUMBER
    log: bool = False
    zero: bool = False
    low: float | None = None
    high: float | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` at the places `start` to `end` of the drawing; `ticks` are values and texts."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    ticks: Sequence[tuple[float, str]] = field(default=())

    def at(self, value: float) -> float:
        """The place of a value; a value beyond the scale is placed at its end."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def is_shown(value: object, log: bool = False) -> bool:
    """Whether a stored value is a number that an axis can show: finite, no truth value, on a log axis above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return (SMALLEST if log else -LARGEST) <= value <= LARGEST  # false for NaN


def scale_of(axis: Axis, values: Iterable[float], start: float, end: float, most: int = 6) -> Scale:
    """The scale of an axis for these values, with at most about `most` ticks; for no value, one from 0 to 1."""
    if axis.names:
        count = len(axis.names)
        ticks = [(float(place), name) for place, name in enumerate(axis.names)]
        return Scale(-0.5, count - 0.5, start, end, ticks=ticks)
    seen = [*values, *(value for value in (axis.low, axis.high) if value is not None)]
    low, high = (min(seen), max(seen)) if seen else (0.1 if axis.log else 0.0, 1.0)
    if axis.log:
        return _log_scale(axis, max(low, SMALLEST), max(high, SMALLEST), start, end)
    if axis.zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if not high > low:
        room = abs(high) * 0.1 or 1.0
        low, high = low - (0.0 if axis.zero and low == 0 else room), high + room
    if axis.kind is Kind.DATE:  # whole days
        low, high = math.floor(low / DAY) * DAY, max(math.ceil(high / DAY), math.floor(low / DAY) + 1) * DAY
    places = _places(axis.kind, low, high, most) or [low]
    if axis.kind is Kind.NUMBER or axis.kind is Kind.SECONDS:  # begin and end at a tick
        step = places[1] - places[0] if len(places) > 1 else high - low
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        places = _multiples(low, high, step)
    shown = _texts(axis.kind, places)
    return Scale(low, high, start, end, ticks=list(zip(places, shown, strict=True)))


def _log_scale(axis: Axis, low: float, high: float, start: float, end: float) -> Scale:
    if high / low < 1.1:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    is_fine = math.log10(high / low) < FEW_DECADES
    step = 1 if last - first <= 6 else math.ceil((last - first) / 6)
    between = STEPS[:-1] if is_fine else (1,)
    places = [part * 10.0**decade for decade in range(first - 1, last + 1, step) for part in between]
    # up to the nearest ticks around the data
    low = max((place for place in places if place <= low * (1 + 1e-9)), default=low)
    high = min((place for place in places if place >= high * (1 - 1e-9)), default=high)
    places = [place for place in places if low <= place <= high]
    return Scale(low, high, start, end, True, list(zip(places, _texts(axis.kind, places), strict=True)))


def _places(kind: Kind, low: float, high: float, most: int) -> list[float]:
    """The ticks from `low` to `high`."""
    if kind is Kind.TIME:
        step = _first_step(TIME_STEPS, high - low, most)
    elif kind is Kind.DATE:
        step = _first_step(DATE_STEPS, high - low, most)
    else:
        rough = (high - low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(part for part in STEPS if part * power >= rough * (1 - 1e-9))
    return _multiples(low, high, step)


def _first_step(steps: Sequence[int], span: float, most: int) -> float:
    return float(next((step for step in steps if span / step <= most), math.ceil(span / most / DAY) * DAY))


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 50) + 1)]


def _texts(kind: Kind, places: Sequence[float]) -> list[str]:
    texts: dict[Kind, Callable[[float], str]] = {Kind.SECONDS: duration, Kind.SHARE: percent, Kind.TIME: clock}
    if kind is Kind.DATE and all(0 <= place < LAST_DATE for place in places):
        dates = [datetime.fromtimestamp(place, timezone.utc) for place in places]
        form = "%m-%d" if len({date.year for date in dates}) <= 1 else "%Y-%m-%d"
        return [date.strftime(form) for date in dates]
    return [texts.get(kind, number)(place) for place in places]


def number(value: float) -> str:
    """A number with at most four digits that count, thousands with a comma."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def percent(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.3g} %"


def duration(value: float) -> str:
    """Seconds with a unit that fits: µs, ms, s or min."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        return f"{value * 1e6:.3g} µs"
    if size < 1:
        return f"{value * 1000:.4g} ms"
    return f"{value:.4g} s" if size < 10 * MINUTE else f"{value / MINUTE:.4g} min"


def clock(value: float) -> str:
    """Seconds since a start as 1:05 or 1:00:05; below a minute `5 s`."""
    whole = round(value)
    if abs(whole) < MINUTE:
        return f"{value:g} s" if value else "0"
    sign, whole = "-" if whole < 0 else "", abs(whole)
    hours, rest = divmod(whole, HOUR)
    minutes, seconds = divmod(rest, MINUTE)
    return f"{sign}{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{sign}{minutes}:{seconds:02d}"
