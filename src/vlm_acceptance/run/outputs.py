"""The files of a finished run: summary.json, verdict, page, masked JUnit file."""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

import yaml

from vlm_acceptance import __version__
from vlm_acceptance.accuracy import report as accuracy_report
from vlm_acceptance.config import profile_file
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import Ruling
from vlm_acceptance.engine import serve_benchmark
from vlm_acceptance.report import attestation, attestation_files, figures_workbook, html, runs_index, verdict_text
from vlm_acceptance.report.masked import mask_junit, mask_lines
from vlm_acceptance.report.store import OBSERVATIONS, RunStore
from vlm_acceptance.run import calibration, summary, timeline
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.stored import PROFILE
from vlm_acceptance.run.tape import RUN

LATEST = "latest"
# JSON files that engines and tools write into the folder of a run
FOREIGN = ("offline-answers.jsonl", serve_benchmark.RESULT)
# files of a run that are written after its page
LATER = ("junit.xml", "verdict.txt", attestation_files.STATEMENT, attestation_files.LINES)
LINE_FILES = ("results.jsonl", "exchanges.jsonl")


def header(context: RunContext) -> list[str]:
    """Lines for pytest's header: what is tested, the profile and why, overrides, the report folder."""
    settings, profile = context.settings, context.profile
    overridden = summary.profile_facts(context)["overrides"]
    lines = [
        f"vlm-acceptance {__version__}: {summary.statement(context)}",
        f"profile: {profile.name} ({settings.profile_reason})",
    ]
    if overridden:
        lines.append("overrides: " + ", ".join(f"{key} ({source})" for key, source in overridden.items()))
    lines += [f"note: {note}" for note in settings.loaded.notes]
    return [*lines, f"seed: {settings.seed}", f"reports: {settings.reports}"]


def write_run(context: RunContext, ruling: Ruling) -> list[str]:
    """Write summary.json, report.html and verdict.txt; returns the verdict's lines for the terminal."""
    _require_evidence(context.store)
    context.record.accuracy = write_accuracy(context, ruling)
    store = context.store
    store.observation("timeline", timeline.row_of(context))
    context.record.gallery.write(store)
    values = store.masked(profile_file.values(context.settings.loaded), ("key",))
    store.write(f"{OBSERVATIONS}/profile.json", json.dumps(values, ensure_ascii=False) + "\n")
    keep_for_judgement(context)
    collected = store.masked({**summary.collect(context, ruling), **context.judged_facts}, summary.OWN_TEXTS)
    whole = [printable(line) for line in verdict_text.lines(collected)]
    lines = [printable(line) for line in verdict_text.terminal_lines(collected)]
    store.write("summary.json", json.dumps(collected, indent=1, ensure_ascii=False, default=str) + "\n")
    notes = [*write_workbook(store), *write_page(store)]
    store.write("verdict.txt", "\n".join(tr(line) for line in [*whole, *notes]) + "\n")
    lines += notes
    if not context.settings.judged:
        _point_latest(store.reports, store.folder)
    lines += runs_index.rewrite_index(store.reports)
    lines += calibration.record(context, ruling)
    for log in store.folder.glob("*.log"):
        store.mask_file(log)
    for name in FOREIGN:
        mask_lines(store.folder / name, store.mask)
    store.close()
    return lines


def keep_for_judgement(context: RunContext) -> None:
    """Write what a later judgement of this run needs beside its tests: the effective profile, facts of the machine."""
    if context.settings.judged:
        return
    content = context.store.masked(context.profile.model_dump(mode="json", exclude_unset=True))
    context.store.write(PROFILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    if "preflight" in context.__dict__:
        context.tape.observed("preflight", context.preflight.facts, test=RUN)
    if (release := context.record.offline_release) is not None:
        context.tape.observed("offline_release", lambda: release, test=RUN)


def _require_evidence(store: RunStore) -> None:
    """EnvironmentProblem when the files that were written during the run are gone: an open file does not show it."""
    gone = [name for name in LINE_FILES if not (store.folder / name).is_file()]
    if gone:
        raise EnvironmentProblem(f"files of this run were removed while it ran: {store.folder / gone[0]}")


def write_accuracy(context: RunContext, ruling: Ruling) -> list[str]:
    """Write the accuracy run's report, if there was one; returns its lines for the verdict."""
    made = context.accuracy.value
    if made is None:
        return []
    profile = context.profile
    started_utc = min((answer.started_utc for answer in made.answers.values()), default="")
    run = {"verdict": ruling.verdict.value, "reason": ruling.reason, "run": context.store.folder.name}
    run["started_utc"] = started_utc
    about = accuracy_report.about(made.plan, profile.device.kind, summary.versions(context), profile.model.id, run)
    try:
        described = accuracy_report.describe(made, about, context.settings.baseline)
        if path := accuracy_report.early_stop_path(made):
            context.store.observation("early-stop", path)
        return accuracy_report.write(context.store, made.plan.dataset.stem, described)
    except (VlmAcceptanceError, OSError) as broken:  # the verdict stands without this report
        return [f"no accuracy report: {printable(context.mask(str(broken)))}"]


def write_page(store: RunStore) -> list[str]:
    """Write report.html; returns a note when it cannot be made."""
    try:
        store.write("report.html", html.render(store.folder, LATER))
    except (HarnessProblem, EnvironmentProblem, OSError) as broken:
        return [f"  note: {printable(store.mask(str(broken)))}"]
    return []


def write_workbook(store: RunStore) -> list[str]:
    """Write report.xlsx where openpyxl is installed; returns a note when it cannot be written."""
    try:
        content = figures_workbook.workbook(store.folder)
        if content is not None:
            store.write_bytes(figures_workbook.NAME, content)
    except (HarnessProblem, EnvironmentProblem, OSError) as broken:
        return [f"  note: {printable(store.mask(str(broken)))}"]
    return []


def _point_latest(reports: Path, folder: Path) -> None:
    link = reports / LATEST
    fresh = reports / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(folder.relative_to(reports), target_is_directory=True)
        fresh.replace(link)
    except OSError:  # a file system without links: the folder's name is in the verdict
        fresh.unlink(missing_ok=True)


def keep_earlier(xml: Path, runs: Path) -> None:
    """Take away the JUnit file of an earlier run; one that no folder of a run holds is moved into `runs`.

    If the new run dies, the file must not be taken for its own.
    """
    with contextlib.suppress(OSError):
        if xml.is_symlink() or not xml.is_file():  # such as /dev/null
            return
        if any(filecmp.cmp(xml, kept, shallow=False) for kept in runs.glob("*/junit.xml")):
            xml.unlink()
            return
        written = datetime.fromtimestamp(xml.stat().st_mtime, timezone.utc)
        runs.mkdir(exist_ok=True)
        shutil.move(xml, runs / f"{written:%Y%m%dT%H%M%S.%fZ}-junit.xml")


def finish_junit(context: RunContext, xml: Path) -> None:
    """Mask the values of the JUnit file that pytest has written and copy it beside the run's other files.

    The verdict stands by now. A file that cannot be masked is removed: it may be cut, or hold the key.
    """
    if not xml.is_file():
        return
    try:
        mask_junit(xml, context.store.mask)
    except (VlmAcceptanceError, OSError, MemoryError, ValueError, SyntaxError):  # the last: XML that is cut
        with contextlib.suppress(OSError):
            xml.unlink()
        return
    with contextlib.suppress(OSError):  # the verdict has reported by now that the disk is full
        shutil.copyfile(xml, context.store.folder / "junit.xml")


def attest(context: RunContext) -> list[str]:
    """Write attestation.json over all files of the run, the JUnit file included; returns a note when that fails.

    A judgement of a stored run is not attested: nothing was deployed under it.
    """
    try:
        if not context.settings.judged and (context.store.folder / "summary.json").is_file():
            attestation.write(context.store.folder)
    except (HarnessProblem, EnvironmentProblem, OSError) as broken:
        return [f"  note: {printable(context.mask(str(broken)))}"]
    return []
