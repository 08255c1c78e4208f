"""Figures with their units, by the suffix of their names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.verdict_text import seconds

_NUMBER = re.compile(r"[+-]?\d[\d.]*(?:e[+-]?\d+)?")
_STARTS_WITH_A_NUMBER = re.compile(r"[+-]?\d")


def _units() -> tuple[tuple[str, str], ...]:
    """Suffixes with their units, the longer suffix first: a rate per second is no time."""
    return (
        ("_kb_per_request", tr("KB per request")),
        ("_per_s", tr("per second")),
        ("_bytes", tr("bytes")),
        ("_mib", "MiB"),
        ("_gib", "GiB"),
        ("_mb", "MB"),
        ("_px", "px"),
    )


def outcome(word: str) -> str:
    """The word for an outcome."""
    words = {
        "passed": tr("passed"),
        "failed": tr("failed"),
        "error": tr("error"),
        "to be calibrated": tr("to be calibrated"),
        "skipped": tr("skipped"),
        "not run": tr("not run"),
        "known issue": tr("known issue"),
    }
    return words.get(word, word)


def figure(value: str, name: str) -> str:
    """A property of a test with the unit that its name has; a text that begins with no number is shown as it is."""
    for suffix, unit in _units():
        if name.endswith(suffix):
            return f"{_grouped(value)} {unit}" if _STARTS_WITH_A_NUMBER.match(value) else value
    if name.endswith("_s") or name == "seconds":
        number = _number(value)
        return value if number is None else seconds(number)
    return value


def _number(value: str) -> float | None:
    if not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _grouped(value: str) -> str:
    return f"{int(value):,}" if value.isdecimal() and len(value) < 20 else value


def percentiles(value: Mapping[str, float] | None) -> str:
    """The three percentiles of a time; `no data` without any."""
    return " / ".join(seconds(value[name]) for name in ("p50", "p90", "p99")) if value else tr("no data")


def duration(value: float) -> str:
    """The time of a test or a run for a reader: 40 ms, 3.2 s, 5 min 20 s."""
    if value < 60:
        return seconds(value)
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """The size of a file for a reader."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def plain(value: object) -> str:
    """A JSON value as text for a reader."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(plain, value))
    return str(value)
