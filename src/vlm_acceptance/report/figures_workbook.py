"""The figures of a stored run as report.xlsx, where openpyxl is installed: a sheet for each kind of figure.

Texts of a run are foreign: each is written as a text, never as a formula.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.files import BadFile, read_json
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.plots import accuracy, latency, logprobs, soak
from vlm_acceptance.report.plots.scale import is_shown
from vlm_acceptance.report.plots.stored import MOST_ROWS, listed, mapping, objects, observed
from vlm_acceptance.report.store import OBSERVATIONS

NAME = "report.xlsx"
SUMMARY_BYTES = 64 << 20
# Excel takes 32,767 characters in a cell, and 31 in the name of a sheet
LONGEST, LONGEST_NAME = 2000, 31
WIDEST = 60
FORMULA = ("=", "+", "-", "@", "\t", "\r")
TIMES = ("ttft_s", "tpot_s", "e2e_s")
Row = Sequence[object]
Sheet = tuple[str, Row, Iterable[Row]]  # name, titles of the columns, rows


def workbook(folder: Path) -> bytes | None:
    """The workbook of a run's folder; None without openpyxl, or when summary.json cannot be read.

    HarnessProblem when it cannot be made.
    """
    try:
        openpyxl = importlib.import_module("openpyxl")
        summary = read_json(folder / "summary.json", SUMMARY_BYTES)
    except (ImportError, BadFile):
        return None
    if not isinstance(summary, dict):
        return None
    try:
        return _made(openpyxl, folder, summary)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as broken:
        raise HarnessProblem(f"{NAME} was not made: {type(broken).__name__}: {broken}") from broken


def _made(openpyxl: Any, folder: Path, summary: Mapping[str, Any]) -> bytes:
    made = openpyxl.Workbook(write_only=True)
    cell_of = importlib.import_module("openpyxl.cell").WriteOnlyCell
    for name, titles, rows in _sheets(folder, summary):
        _add(made.create_sheet(name[:LONGEST_NAME]), titles, rows, cell_of)
    written = io.BytesIO()
    made.save(written)
    return written.getvalue()


def write(folder: Path) -> Path | None:
    """Write report.xlsx into a run's folder; None when there is no openpyxl.

    HarnessProblem when it cannot be made, OSError when it cannot be written.
    """
    content = workbook(folder)
    if content is None:
        return None
    path = folder / NAME
    partial = path.with_name(f".{NAME}.part")
    partial.write_bytes(content)
    partial.replace(path)
    return path


def _add(sheet: Any, titles: Row, rows: Iterable[Row], cell_of: Any) -> None:
    """A sheet with its titles in the first row, which stays in sight."""
    sheet.freeze_panes = "A2"
    for place, title in enumerate(titles):
        sheet.column_dimensions[chr(ord("A") + place)].width = min(WIDEST, max(12, len(str(title)) + 2))
    sheet.append([_cell(sheet, title, cell_of) for title in titles])
    for number, row in enumerate(rows):
        if number >= MOST_ROWS:
            return
        sheet.append([_cell(sheet, value, cell_of) for value in row])


def _cell(sheet: Any, value: object, cell_of: Any) -> Any:
    """A cell with a number, a truth value or a text; None for nothing."""
    if value is None or isinstance(value, bool) or is_shown(value):
        return value
    if isinstance(value, (list, dict)):
        return None
    text = printable(str(value)[:LONGEST])
    cell = cell_of(sheet, value=text)
    if text.startswith(FORMULA):
        # openpyxl takes a text that begins with = for a formula
        cell.data_type, cell.quotePrefix = "s", True
    return cell


def _sheets(folder: Path, summary: Mapping[str, Any]) -> Iterator[Sheet]:
    """The sheets of the figures that the run stored."""
    yield _tests(summary)
    for sheet in (_latency(folder), *_soak(folder), _capacity(summary), *_accuracy(folder), _logprobs(folder)):
        if sheet[2]:
            yield sheet


def _tests(summary: Mapping[str, Any]) -> Sheet:
    keys = ("area", "id", "outcome", "seconds", "message")
    rows = [[row.get(key) for key in keys] for row in objects(summary.get("tests"))]
    return tr("tests"), [tr("area"), tr("test"), tr("outcome"), tr("seconds"), tr("message")], rows


def _latency(folder: Path) -> Sheet:
    titles = [tr("category"), tr("cold"), "TTFT, s", "TPOT, s", "E2E, s", tr("output tokens")]
    titles += [tr("budget of {name}, s", name=name) for name in ("TTFT", "TPOT", "E2E")]
    rows = []
    for name, row in mapping(observed(folder, latency.OBSERVATION).get("categories")).items():
        budget = mapping(mapping(row).get("budget"))
        for sample in objects(mapping(row).get("samples")):
            times = [sample.get(key) for key in TIMES]
            bounds = [budget.get(key) for key in TIMES]
            rows.append([name, sample.get("cold") is True, *times, sample.get("tokens"), *bounds])
    return tr("latency"), titles, rows


def _columns(stored: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    return list(zip(*(listed(stored.get(name)) for name in names), strict=False))


def _soak(folder: Path) -> Iterator[Sheet]:
    """Answers, readings and fits of the soak."""
    stored = observed(folder, soak.OBSERVATION)
    answers = _columns(mapping(stored.get("answers")), ("began_s", *TIMES, "tokens"))
    yield tr("soak answers"), [tr("sent at, s"), "TTFT, s", "TPOT, s", "E2E, s", tr("output tokens")], answers
    names = ("at_s", "done", "in_flight", "running", "waiting", "rss_mb", "hbm_mb")
    titles = [
        tr("at, s"), tr("answered"), tr("in flight"), tr("running"), tr("waiting"), tr("memory of processes, MB"),
        tr("memory of the card, MB"),
    ]  # fmt: skip
    yield tr("soak readings"), titles, _columns(mapping(stored.get("readings")), names)
    keys = ("value", "low", "high", "limit", "unit", "n", "blocks")
    titles = [
        tr("figure"), tr("trend"), tr("99 % interval from"), tr("to"), tr("limit"), tr("unit"), tr("samples"),
        tr("blocks"),
    ]  # fmt: skip
    fits = [[name, *(mapping(row).get(key) for key in keys)] for name, row in mapping(stored.get("fits")).items()]
    yield tr("soak trends"), titles, fits


def _capacity(summary: Mapping[str, Any]) -> Sheet:
    titles = [tr("prompt"), tr("prompt tokens"), tr("capacity"), tr("requests at once"), tr("step"), tr("requests")]
    titles += [
        f"{short} {name.upper()}, s" for short in ("TTFT", "TPOT", "ITL", "E2E") for name in ("p50", "p90", "p99")
    ]
    titles += [tr("requests a second"), tr("output tokens a second")]
    rows = []
    for row in objects(summary.get("capacity")):
        for step in objects(row.get("steps")):
            times = [
                mapping(step.get(key)).get(name)
                for key in ("ttft_s", "tpot_s", "itl_s", "e2e_s")
                for name in ("p50", "p90", "p99")
            ]
            first = [row.get("prompt"), row.get("prompt_tokens"), row.get("capacity"), step.get("concurrency")]
            rates = [step.get("requests_per_s"), step.get("output_tokens_per_s")]
            rows.append([*first, step.get("state"), step.get("requests"), *times, *rates])
    return tr("capacity"), titles, rows


def _accuracy(folder: Path) -> Iterator[Sheet]:
    """Subjects and scorers, letters, and the questions that changed against a stored run."""
    report = accuracy.report_of(folder)
    kinds = ((tr("all questions"), "total"), (tr("subject"), "subjects"), (tr("scorer"), "scorers"))
    keys = ("right", "answered", "questions", "share", "low", "high")
    rows: list[Row] = []
    for label, key in kinds:
        found = {"": report.get(key)} if key == "total" else mapping(report.get(key))
        rows += [[label, name, *(mapping(row).get(one) for one in keys)] for name, row in found.items() if mapping(row)]
    titles = [
        tr("kind"), tr("name"), tr("right"), tr("answered"), tr("questions"), tr("share"), tr("95 % interval from"),
        tr("to"),
    ]  # fmt: skip
    yield tr("accuracy"), titles, rows
    stored = mapping(report.get("letters"))
    given, golds = mapping(stored.get("answers")), mapping(stored.get("golds"))
    letters = [[name, given.get(name), golds.get(name)] for name in sorted({*given, *golds})]
    yield tr("letters"), [tr("letter"), tr("given by the model"), tr("right by the data")], letters
    seen = mapping(report.get("comparison"))
    changed = [
        [key, *(row.get(name) for name in ("id", "group", "then", "now"))]
        for key in ("lost", "gained")
        for row in objects(seen.get(key))
    ]
    yield tr("changed answers"), [tr("change"), tr("question"), tr("subject"), tr("then"), tr("now")], changed


def _logprobs(folder: Path) -> Sheet:
    titles = [
        tr("test"), tr("prompt"), tr("mean |Δ log probability|, nats"), tr("largest"), tr("first other token"),
        tr("limit of a prompt"),
    ]  # fmt: skip
    rows = []
    for path in sorted((folder / OBSERVATIONS).glob(f"{logprobs.PREFIX}*.json"))[: logprobs.MOST_TESTS]:
        stored = observed(folder, path.stem)
        test = str(stored.get("test"))[:LONGEST].rpartition("::")[2]
        for row in objects(stored.get("prompts")):
            figures = [row.get(key) for key in ("id", "mean", "largest", "diverged")]
            rows.append([test, *figures, stored.get("limit_prompt")])
    return tr("log probabilities"), titles, rows
