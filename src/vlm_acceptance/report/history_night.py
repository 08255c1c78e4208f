"""One stored run as a row of a history: what its files say, as far as they can be read and are what they should be."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

from vlm_acceptance.core.files import MB, BadFile, inside, is_file, read_json
from vlm_acceptance.core.finding import Outcome, Verdict
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.store import OBSERVATIONS

SUMMARY_BYTES, ACCURACY_BYTES = 8 * MB, 8 * MB
TEXT, MANY = 300, 200  # characters of a text, entries of a mapping
ACCURACY_FILES = 4
LATENCIES = ("ttft_s", "tpot_s", "e2e_s")
FEWEST = 5  # answers that have a 90th percentile; of fewer than ten it is the slowest one
# questions of a run that no other run has; their answers vary by chance
NEW_QUESTIONS = ("conversations", "long_prompts")
SOAK = "soak"
_NUMBER = r"(\d{1,12}(?:\.\d{1,9})?(?:e-\d{1,2})?)"
_P50, _P90 = re.compile(rf"\bp50 {_NUMBER}"), re.compile(rf"\bp90 {_NUMBER}")
_FROM_TO = re.compile(rf"^[\d.]{{1,20}} to {_NUMBER}$")
_STAMP = re.compile(r"(\d{8}T\d{6})Z")
_ACCURACY = re.compile(r"[a-z0-9_.-]+_accuracy_[a-z0-9_.-]+\.json")


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers of how many; a share when `total` is not 0."""

    right: int
    total: int


@dataclass(frozen=True, slots=True)
class Night:
    """A run: `facts` are versions, files and settings that should stay the same, by (group, name).

    `latency` has medians in seconds by (figure, category), `sizes` memory and start times by name, `waited_s` what
    waiting for a processor explains of an answer, by category. `causes` are titles.
    `judged` is the run that this one judged again, without an engine.
    """

    name: str
    folder: Path
    began: datetime | None
    verdict: str
    code: int | None
    reason: str
    model: str
    profile: str
    deployment: str
    is_control: bool
    narrowed: str
    seconds: float | None
    facts: Mapping[tuple[str, str], str]
    latency: Mapping[tuple[str, str], float]
    waited_s: Mapping[str, float]
    scores: Mapping[str, Score]
    sizes: Mapping[str, float]
    capacity: Mapping[str, float]
    passed: int
    total: int
    causes: tuple[str, ...] = ()
    clock: str = ""
    judged: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def track(self) -> tuple[str, str, str]:
        """Runs of one track are compared with each other."""
        return self.profile, self.model, self.deployment

    @property
    def day(self) -> str:
        """The date of the run, with the time where it was not the only one of that day; else its name."""
        return f"{self.began:%Y-%m-%d}{self.clock}" if self.began else self.name


def with_times(nights: Sequence[Night]) -> list[Night]:
    """The nights, those of one day with the time (UTC) in their `day`."""
    days = Counter(night.day for night in nights)
    return [replace(one, clock=f"{one.began: %H:%M:%S}") if one.began and days[one.day] > 1 else one for one in nights]


def read_night(folder: Path, *, with_summary: bool = False) -> Night:
    """The run of a folder; BadFile when it has no readable summary.json. Values of a wrong type are left out."""
    summary = read_json(inside(folder, "summary.json"), SUMMARY_BYTES)
    if not isinstance(summary, dict):
        raise BadFile("is not the summary of a run")
    scope = mapping(summary.get("scope"))
    tests = _tests(summary)
    outcomes = [row["outcome"] for row in tests]
    verdict = text(summary.get("verdict"))
    code = summary.get("exit_code")
    return Night(
        name=printable(folder.name[:TEXT]),
        folder=folder,
        began=began_of(folder.name),
        verdict=verdict if verdict in {one.value for one in Verdict} else Verdict.NONE.value,
        code=code if isinstance(code, int) and not isinstance(code, bool) else None,
        reason=text(summary.get("reason")),
        model=text(scope.get("model")) or "–",
        profile=text(scope.get("profile")) or "–",
        deployment=text(scope.get("deployment")) or "–",
        is_control=summary.get("control") is True,
        narrowed=text(summary.get("narrowed")),
        seconds=_seconds(summary),
        facts=dict(_facts(summary)),
        latency=dict([*_latency(summary), *_ninetieth(folder), *_soak(tests)]),
        waited_s={
            name: row["waited_s"] for name, row in _rows(summary.get("latency")) if is_positive(row.get("waited_s"))
        },
        scores={**_right(summary), **_accuracy(folder)},
        sizes=dict(_sizes(summary, tests)),
        capacity={
            text(row.get("prompt")): float(row["capacity"])
            for row in _list(summary.get("capacity"))
            if isinstance(row, dict) and is_figure(row.get("capacity"))
        },
        passed=outcomes.count(Outcome.PASSED.value),
        total=len(outcomes),
        causes=tuple(_causes(summary)),
        judged=text(mapping(summary.get("judged")).get("run")),
        summary=summary if with_summary else {},
    )


def began_of(name: str) -> datetime | None:
    """When a run began, from the name of its folder; None when that begins with no time."""
    found = _STAMP.match(name)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc) if found else None
    except ValueError:
        return None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object with at most MANY entries; an empty one for anything else."""
    return dict(islice(value.items(), MANY)) if isinstance(value, Mapping) else {}


def text(value: object) -> str:
    """A JSON value as a text of one line for people, cut; '' for None."""
    if value is None:
        return ""
    line = " ".join((value if isinstance(value, str) else str(value))[:TEXT].split())
    return line if line.isprintable() else printable(line)


def is_positive(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number above zero that can be plotted on a logarithmic axis."""
    return is_figure(value) and 1e-9 < value < 1e15


def _list(value: object) -> list[Any]:
    return value[:MANY] if isinstance(value, list) else []


def _tests(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = summary.get("tests")
    known = rows if isinstance(rows, list) else []
    return [row for row in known if isinstance(row, dict) and isinstance(row.get("outcome"), str)]


def _rows(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, row in mapping(value).items():
        if isinstance(row, dict):
            yield text(name), row


def _facts(summary: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Versions, files and settings that a reader compares first when figures change."""
    suite, profile, engine = (mapping(summary.get(name)) for name in ("suite", "profile", "engine"))
    if suite:
        changed = " (changed)" if suite.get("dirty") is True else ""
        yield ("suite", "suite"), f"{text(suite.get('version'))} {text(suite.get('commit'))[:12]}{changed}".strip()
    for name, version in mapping(summary.get("versions")).items():
        yield ("version", text(name)), text(version)
    for name, value in mapping(summary.get("model_files")).items():
        yield ("model file", text(name)), text(value)
    if profile:
        yield ("profile", "profile"), text(profile.get("sha256"))
    for name, value in mapping(profile.get("overrides")).items():
        yield ("override", text(name)), text(value)
    device, log = mapping(summary.get("device")), mapping(engine.get("log"))
    if device.get("name"):
        yield ("device", "device"), f"{text(device.get('kind'))} {text(device.get('name'))}"
    if log.get("mode"):
        yield ("engine", "mode"), "eager" if text(log["mode"]).startswith("eager") else text(log["mode"])[:40]


def _latency(summary: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    for category, row in _rows(summary.get("latency")):
        for figure in LATENCIES:
            if is_positive(row.get(figure)):
                yield (figure, category), float(row[figure])


def _ninetieth(folder: Path) -> Iterator[tuple[tuple[str, str], float]]:
    """The 90th percentiles (nearest rank) of warm answers, where the run stored enough of them."""
    try:
        stored = read_json(inside(folder, f"{OBSERVATIONS}/latency.json"), SUMMARY_BYTES)
    except BadFile:
        return
    for category, row in _rows(mapping(stored).get("categories")):
        samples = row.get("samples")
        known = samples if isinstance(samples, list) else []
        warm = [one for one in known if isinstance(one, dict) and not one.get("cold")]
        for figure in LATENCIES:
            times = sorted(value for one in warm if is_positive(value := one.get(figure)))
            if len(times) >= FEWEST:
                yield (figure.replace("_s", "_p90_s"), category), float(times[math.ceil(0.9 * len(times)) - 1])


def _right(summary: Mapping[str, Any]) -> dict[str, Score]:
    """Right answers to the questions that every run asks, and to those that are drawn anew for each run."""
    counts = {"fixed": [0, 0], "new": [0, 0]}
    for name, pair in mapping(summary.get("right")).items():
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, int) for one in pair):
            right, total = pair
            if 0 <= right <= total <= 10**6:
                kind = counts["new" if str(name).startswith(NEW_QUESTIONS) else "fixed"]
                kind[0] += right
                kind[1] += total
    drawn = summary.get("new_pictures")
    if isinstance(drawn, int) and 0 <= drawn <= 8:
        counts["new"] = [counts["new"][0] + drawn, counts["new"][1] + 8]
    return {name: Score(right, total) for name, (right, total) in counts.items() if total}


def accuracy_reports(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The accuracy reports of a run that can be read, by data set and protocol."""
    for path in sorted(islice((one for one in folder.glob("*.json") if _ACCURACY.fullmatch(one.name)), ACCURACY_FILES)):
        if (report := accuracy_report(path)) is not None:
            yield f"{text(report.get('dataset'))}, {text(report.get('protocol'))}", report


def _accuracy(folder: Path) -> dict[str, Score]:
    """Scores of the accuracy runs of the folder, by data set and protocol."""
    found = {}
    for name, report in accuracy_reports(folder):
        total = mapping(report.get("total"))
        right, answered = total.get("right"), total.get("answered")
        if isinstance(right, int) and isinstance(answered, int) and 0 <= right <= answered <= 10**7 and answered:
            found[name] = Score(right, answered)
    return found


def accuracy_report(path: Path) -> Mapping[str, Any] | None:
    """The report of an accuracy run; None when it cannot be read or is something else."""
    try:
        report = read_json(path, ACCURACY_BYTES) if is_file(path) else None
    except BadFile:
        return None
    return report if isinstance(report, dict) else None


def _sizes(summary: Mapping[str, Any], tests: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    engine, stages = mapping(mapping(summary.get("engine")).get("log")), mapping(summary.get("stage_seconds"))
    for name, value in (
        ("model_memory_gib", engine.get("model_memory_gib")),
        ("kv_cache_gib", engine.get("kv_cache_gib")),
        ("kv_cache_tokens", engine.get("kv_cache_tokens")),
        ("start_s", stages.get("engine")),
        ("rss_mb", _noted(tests, "rss_mb", _FROM_TO)),
        ("hbm_mb", _noted(tests, "hbm_mb", _FROM_TO)),
    ):
        if is_positive(value):
            yield name, float(value)


def _soak(tests: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], float]]:
    """Percentiles of the soak, as its test noted them."""
    for short in ("ttft", "tpot", "e2e"):
        for name, pattern in (("", _P50), ("_p90", _P90)):
            value = _noted(tests, short, pattern)
            if is_positive(value):
                yield (f"{short}{name}_s", SOAK), float(value)


def _noted(tests: Sequence[Mapping[str, Any]], wanted: str, pattern: re.Pattern[str]) -> float | None:
    """A figure in the properties of the soak's tests."""
    for row in tests:
        noted = row.get("properties")
        if isinstance(noted, dict) and wanted in noted and (wanted.endswith("_mb") or "soak" in text(row.get("id"))):
            found = pattern.search(text(noted[wanted]))
            if found:
                return float(found[1])
    return None


def _seconds(summary: Mapping[str, Any]) -> float | None:
    stages = [value for value in mapping(summary.get("stage_seconds")).values() if is_positive(value)]
    return float(sum(stages)) if stages else None


def _causes(summary: Mapping[str, Any]) -> Iterator[str]:
    for row in _list(summary.get("causes")):
        if isinstance(row, dict) and (title := text(row.get("title") or row.get("id"))):
            yield title
