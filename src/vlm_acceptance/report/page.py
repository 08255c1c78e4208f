"""What the page of a run shows: the values of its templates, made from the files of the run's folder."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vlm_acceptance.core.capability import CATEGORY_ORDER
from vlm_acceptance.core.files import BadFile, is_file, read_json
from vlm_acceptance.core.finding import Outcome, Verdict
from vlm_acceptance.core.language import tr, tr_lines
from vlm_acceptance.report import causes
from vlm_acceptance.report.page_causes import causes_of
from vlm_acceptance.report.page_files import folders_of
from vlm_acceptance.report.page_gallery import gallery_of
from vlm_acceptance.report.plots.sections import plots_of
from vlm_acceptance.report.store import OBSERVATIONS
from vlm_acceptance.report.stored_run import KNOWN_ISSUE, Test, rows_of, tests_of
from vlm_acceptance.report.thumbnails import Sheet
from vlm_acceptance.report.verdict_text import headline, named, next_steps, right_of

TONES = {Verdict.ACCEPTED.value: "good", Verdict.REJECTED.value: "bad"}
TIMES = ("ttft_s", "tpot_s", "e2e_s", "cold_ttft_s", "cold_e2e_s")
MAPPINGS = (
    "scope", "suite", "profile", "versions", "model_files", "device", "engine", "areas", "not_applicable", "latency",
    "references", "calibration", "guide_names", "right", "offline", "device_memory", "stage_seconds",
)  # fmt: skip
LISTS = ("command", "notes", "guide", "tests", "capacity", "causes", "accuracy")
# the value of a key that a summary lacks
ABSENT: Mapping[str, Any] = {
    "verdict": Verdict.NONE.value,
    "exit_code": None,
    "control": False,
    "new_pictures": None,
    **dict.fromkeys(("reason", "statement", "narrowed", "files"), ""),
    **dict.fromkeys(LISTS, ()),
    **{key: {} for key in MAPPINGS},
}
# the notes of the summary about known issues: the page shows these with their tests
KNOWN_NOTE = "known issue, in "
NOT_JUDGED = (Outcome.NOT_RUN.value, Outcome.SKIPPED.value)
PROFILE = f"{OBSERVATIONS}/profile.json"
DEFAULT = "default"
# of the page, those that may have plots
PARTS = ("latency", "soak", "capacity", "accuracy", "logprobs", "timeline")
# broken tests, whose exchanges and commands are not printed on paper
MANY = 10


def view(folder: Path, later: Sequence[str] = ()) -> dict[str, Any]:
    """The values of report.html.j2 for the run in this folder."""
    summary = json.loads((folder / "summary.json").read_text("utf-8", errors="replace"))
    summary = {key: summary[key] if summary.get(key) is not None else absent for key, absent in ABSENT.items()}
    gaps: list[str] = []
    sheet = Sheet()
    gallery = gallery_of(folder, sheet, gaps)
    tests = tests_of(folder, summary, gaps, sheet)
    summary["causes"] = summary["causes"] or _explained(folder)
    return {
        "run": summary,
        "name": folder.name,
        "began": _began(folder),
        "headline": headline(summary),
        "tone": TONES.get(summary["verdict"], "open"),
        "next_steps": next_steps(summary),
        "causes": causes_of(summary, tests),
        "is_explained": bool(summary["causes"]) and summary["verdict"] == Verdict.REJECTED.value,
        "is_long": sum(test.broken for test in tests) > MANY,
        "areas": _areas(summary, tests),
        "tests": _by(tests, lambda test: test.area),
        "count": len(tests),
        "outcomes": dict(Counter(test.shown for test in tests).most_common()),
        "seconds": sum(test.seconds for test in tests),
        "is_whole": all(test.is_whole for test in tests),
        "right": right_of(summary),
        "accuracy_lines": tr_lines(map(str, summary["accuracy"])),
        "gallery": gallery,
        "sheet": sheet.markup(),
        **_plots(folder, summary, gaps),
        **_latency(summary),
        **_limits(summary, tests),
        **_environment(summary),
        **_profile(folder),
        "folders": folders_of(folder, later, gaps),
        "gaps": gaps,
    }


def _explained(folder: Path) -> list[Mapping[str, Any]]:
    """The causes of a run of a former version, whose summary has none."""
    return [one.row() for one in causes.causes_of(rows_of(folder / "results.jsonl", []))]


def _began(folder: Path) -> datetime | None:
    """When the run began, by the name of its folder."""
    stamp = re.match(r"\d{8}T\d{6}Z", folder.name)
    return datetime.strptime(stamp[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc) if stamp else None


def _by(items: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


@dataclass(frozen=True, slots=True)
class Area:
    """An area: how many of its tests passed, how many did not by outcome, how many seconds they took."""

    name: str
    passed: int
    total: int
    rest: Mapping[str, int]
    seconds: float


def _areas(summary: Mapping[str, Any], tests: Sequence[Test]) -> list[Area]:
    """The areas of the summary, whose passed tests with a known issue are counted apart."""
    known = Counter(test.area for test in tests if test.shown == KNOWN_ISSUE)
    seconds = {
        area: sum(test.seconds for test in members) for area, members in _by(tests, lambda one: one.area).items()
    }
    found = []
    for name, counts in summary["areas"].items():
        passed = int(counts.get(Outcome.PASSED.value, 0)) - known[name]
        rest = {outcome: int(count) for outcome, count in sorted(counts.items()) if outcome != Outcome.PASSED.value}
        rest |= {KNOWN_ISSUE: known[name]} if known[name] else {}
        found.append(Area(name, passed, sum(map(int, counts.values())), rest, seconds.get(name, 0.0)))
    return found


def _latency(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Category, the row of this run and the row of the guide; either may be empty."""
    guide = {row["category"]: row for row in summary["guide"]}
    ours = summary["latency"]
    return {
        "times": TIMES,
        "latency": [(name, ours.get(name, {}), guide.get(name, {})) for name in {**ours, **guide}],
        "named": {category: named(summary, category) for category in CATEGORY_ORDER},
    }


def _limits(summary: Mapping[str, Any], tests: Sequence[Test]) -> dict[str, Any]:
    """What the verdict does not cover: notes, known issues, tests without a judgement and why."""
    notes = [str(note) for note in summary["notes"]]
    known = _by([test for test in tests if test.known_issue], lambda test: test.known_issue)
    return {
        "notes": [note for note in notes if not (known and note.startswith(KNOWN_NOTE))],
        "known": known,
        "left_out": _by(summary["not_applicable"], lambda test: str(summary["not_applicable"][test])),
        "unjudged": _by([test for test in tests if test.outcome in NOT_JUDGED], lambda test: test.message),
    }


def _environment(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of names and values, and the commands."""
    engine = summary["engine"]
    return {
        "tables": {
            tr("Versions"): summary["versions"],
            tr("Model files"): summary["model_files"],
            tr("Device before the launch"): summary["device"],
            tr("Device memory after an engine ended"): summary["device_memory"],
            tr("Engine, from its log"): engine.get("log"),
            tr("Offline engine, from its log"): summary["offline"].get("log"),
            tr("Engine, how it ended"): engine.get("ending"),
            tr("Suite"): summary["suite"],
            tr("Profile"): summary["profile"],
        },
        "stages": engine.get("stages") or engine.get("rungs") or [],
        "engine_command": shlex.join(map(str, engine.get("command") or ())),
        "started_with": shlex.join(map(str, summary["command"])),
    }


def _profile(folder: Path) -> dict[str, Any]:
    """The rows of the effective profile: those that a file or an option sets, and those with their default."""
    rows: list[dict[str, str]] = []
    if is_file(folder / PROFILE):
        try:
            read = read_json(folder / PROFILE)
            rows = [{key: str(row[key]) for key in ("key", "value", "source")} for row in read]
        except (BadFile, TypeError, KeyError):
            rows = []
    return {
        "profile_set": [row for row in rows if row["source"] != DEFAULT],
        "profile_defaults": [row for row in rows if row["source"] == DEFAULT],
    }


def _plots(folder: Path, summary: Mapping[str, Any], gaps: list[str]) -> dict[str, Any]:
    """The plots of the run by the part of the page that they belong to; what cannot be drawn costs a note."""
    titles = {"logprobs": tr("Log probabilities"), "timeline": tr("Timeline"), "plots": tr("Plots")}
    plots = dict.fromkeys((*PARTS, "plots"), ()) | _by(_drawn(folder, summary, gaps), _part)
    return {"plots": plots, "further_plots": titles}


def _part(plot: Any) -> str:
    return plot.part if plot.part in PARTS else "plots"


def _drawn(folder: Path, summary: Mapping[str, Any], gaps: list[str]) -> list[Any]:
    try:
        return list(plots_of(folder, summary))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as broken:
        gaps.append(f"the plots are not shown: {type(broken).__name__}: {broken}")
        return []
