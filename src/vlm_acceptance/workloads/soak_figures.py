"""The figures of a soak for reports: columns of numbers, and the fits by which its trends are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm_acceptance.checks.hang import RUNNING, WAITING, Reading
from vlm_acceptance.checks.server_info import figure_of
from vlm_acceptance.checks.trend_lines import Fit, drift_fit, growth_fit
from vlm_acceptance.config.profile_sections import Load
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.workloads.soak import TIMES, Served, Soak

# rows of a column: a soak of a day stays a file of a megabyte
MOST_ROWS = 10_000
DIGITS = 6


def figures_of(soak: Soak, wanted: Load) -> dict[str, Any]:
    """Answers and readings as columns (seconds of the soak, MB), the fits with their limits, and the budgets.

    `of` says how many rows there were; with more than MOST_ROWS they are evenly thinned.
    """
    rss, hbm = (
        growth_fit(*soak.memory("rss_mb"), wanted.leak_kb_per_request),
        growth_fit(*soak.memory("hbm_mb"), wanted.hbm_leak_kb_per_request),
    )
    fits: dict[str, Fit | None] = {name: drift_fit(soak.points(name), wanted.drift) for name in TIMES}
    fits |= {"rss_mb": rss, "hbm_mb": hbm}
    return {
        "seconds": round(soak.seconds, DIGITS),
        "concurrency": wanted.soak_concurrency,
        "answers": _answers(soak.served),
        "readings": _readings(soak.readings),
        "fits": {name: fit.row for name, fit in fits.items() if fit is not None},
        "budgets": wanted.budgets.model_dump(exclude_none=True),
    }


def _answers(served: Sequence[Served]) -> dict[str, Any]:
    rows = [
        (
            one.began_s,
            *(getattr(one.sample, name) if one.sample is not None else None for name in TIMES),
            one.sample.tokens if one.sample is not None else None,
        )
        for one in served
    ]
    return _columns(("began_s", *TIMES, "tokens"), rows)


def _readings(readings: Sequence[Reading]) -> dict[str, Any]:
    rows = [
        (
            one.at_s,
            one.done,
            one.in_flight,
            figure_of(one.figures, RUNNING),
            figure_of(one.figures, WAITING),
            one.rss_mb,
            one.hbm_mb,
        )
        for one in readings
    ]
    return _columns(("at_s", "done", "in_flight", "running", "waiting", "rss_mb", "hbm_mb"), rows)


def _columns(names: Sequence[str], rows: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    kept = rows
    if len(rows) > MOST_ROWS:
        kept = [rows[number * (len(rows) - 1) // (MOST_ROWS - 1)] for number in range(MOST_ROWS)]
    columns: Mapping[str, list[float | None]] = {
        name: list(_rounded(row[place] for row in kept)) for place, name in enumerate(names)
    }
    return {"of": len(rows), **columns}


def _rounded(values: Iterable[float | None]) -> Iterable[float | None]:
    """Microseconds are exact enough; what is no figure stays absent."""
    return (round(value, DIGITS) if is_figure(value) else None for value in values)
