"""The HTML page of a run, made from the files of its folder. It needs no network, no script and no server."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from vlm_acceptance.core.capability import CATEGORY_ORDER
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.finding import Verdict
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.store import OBSERVATIONS
from vlm_acceptance.report.stored_run import files_of, tests_of
from vlm_acceptance.report.verdict_text import headline, named, next_steps, right_of, seconds

TEMPLATES = Path(__file__).with_name("templates")
PAGE_BYTES = 2_000_000
# characters of one text; the shorter cuts are used only when the page is larger than PAGE_BYTES
CUTS = (2000, 400, 80)
# a text that is only this much longer is not cut: the note of the cut would be as long
SLACK = 40
TONES = {Verdict.ACCEPTED.value: "good", Verdict.REJECTED.value: "bad"}
TIMES = ("ttft_s", "tpot_s", "e2e_s", "cold_ttft_s", "cold_e2e_s")
MAPPINGS = (
    "scope", "suite", "profile", "versions", "model_files", "device", "engine", "areas", "not_applicable", "latency",
    "references", "calibration", "guide_names", "right",
)  # fmt: skip
# the value of a key that a summary lacks
ABSENT: Mapping[str, Any] = {
    "verdict": Verdict.NONE.value,
    "exit_code": None,
    "control": False,
    **dict.fromkeys(("reason", "statement", "narrowed", "files"), ""),
    **dict.fromkeys(("command", "notes", "guide", "tests", "capacity"), ()),
    **{key: {} for key in MAPPINGS},
}


def render(folder: Path) -> str:
    """The page of a run's folder; texts are cut at 2,000 characters, with a note. Only summary.json must exist.

    HarnessProblem when summary.json cannot be read or the page cannot be made.
    """
    page = ""
    try:
        view = _view(folder.resolve())
        for cut in CUTS:
            page = _environment(cut).get_template("report.html.j2").render(view)
            if len(page.encode()) <= PAGE_BYTES:
                break
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, TemplateError) as broken:
        raise HarnessProblem(f"report.html was not made: {type(broken).__name__}: {broken}") from broken
    return page


@lru_cache
def _environment(cut: int) -> Environment:
    def shown(value: object) -> object:
        # every value of the page is cut here, and its control characters are escaped
        if hasattr(value, "__html__"):  # the output of a macro, whose values were shown already
            return value
        text = str(value)
        if len(text) <= cut + SLACK:
            return printable(text)
        return f"{printable(text[:cut])}… (cut, {len(text):,} characters)"

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(time=seconds, plain=_plain, figure=_figure, percentiles=_percentiles)
    made.tests["web"] = lambda text: re.match(r"https?://", str(text)) is not None
    return made


def _view(folder: Path) -> dict[str, Any]:
    """The values of the template."""
    summary = json.loads((folder / "summary.json").read_text("utf-8", errors="replace"))
    summary = {key: summary[key] if summary.get(key) is not None else absent for key, absent in ABSENT.items()}
    gaps: list[str] = []
    tests = tests_of(folder, summary, gaps)
    started = re.match(r"\d{8}T\d{6}Z", folder.name)
    began = datetime.strptime(started[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc) if started else None
    return {
        "run": summary,
        "name": folder.name,
        "began": began,
        "seconds": sum(test.seconds for test in tests),
        "headline": headline(summary),
        "tone": TONES.get(summary["verdict"], "open"),
        "broken": [test for test in tests if test.broken],
        "tests": _by(tests, lambda test: test.area),
        "times": TIMES,
        "latency": _latency(summary),
        "named": {category: named(summary, category) for category in CATEGORY_ORDER},
        "right": right_of(summary),
        "next_steps": next_steps(summary),
        "command": shlex.join(map(str, summary["engine"].get("command") or ())),
        "stages": summary["engine"].get("stages") or summary["engine"].get("rungs") or [],
        "started_with": shlex.join(map(str, summary["command"])),
        "left_out": _by(summary["not_applicable"], lambda test: str(summary["not_applicable"][test])),
        "gaps": gaps,
        "files": [*files_of(folder, folder), *files_of(folder, folder / OBSERVATIONS)],
    }


def _by(items: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _latency(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Category, the row of this run and the row of the guide; either may be empty."""
    guide = {row["category"]: row for row in summary["guide"]}
    ours = summary["latency"]
    return [(category, ours.get(category, {}), guide.get(category, {})) for category in {**ours, **guide}]


def _percentiles(value: Mapping[str, Any] | None) -> str:
    """The three percentiles of a time; `no data` without any."""
    return " / ".join(seconds(value[name]) for name in ("p50", "p90", "p99")) if value else "no data"


def _plain(value: object) -> str:
    """A JSON value as text for a reader."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return str(value)


def _figure(text: str, name: str) -> str:
    """A property; seconds are shown as a time."""
    try:
        return seconds(float(text)) if name.endswith("_s") else text
    except ValueError:
        return text
