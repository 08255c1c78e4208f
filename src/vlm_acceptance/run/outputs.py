"""The files a finished run leaves: summary.json, verdict, page, the masked JUnit file, recorded profiles."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from vlm_acceptance import __version__
from vlm_acceptance.accuracy import report as accuracy_report
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, VlmAcceptanceError
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.severity import Severity
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import EXIT, Ruling
from vlm_acceptance.report import html, verdict_text
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run import summary as facts
from vlm_acceptance.run.context import RunContext

LATEST = "latest"
HEADROOM = 1.5


def header(context: RunContext) -> list[str]:
    """Lines for pytest's header: context, profile and why, target, report folder."""
    settings, profile = context.settings, context.profile
    overridden = facts.profile_facts(context)["overrides"]
    lines = [
        f"vlm-acceptance {__version__}: {facts.statement(context)}",
        f"profile: {profile.name} ({settings.profile_reason})",
    ]
    if overridden:
        lines.append("overrides: " + ", ".join(f"{key} ({source})" for key, source in overridden.items()))
    lines += [f"note: {note}" for note in settings.loaded.notes]
    return [*lines, f"reports: {settings.reports}"]


def write_run(context: RunContext, ruling: Ruling) -> list[str]:
    """Write summary.json, report.html and verdict.txt; returns the verdict's lines for the terminal."""
    context.notes["accuracy"] = write_accuracy(context, ruling)
    collected = facts.collect(context, ruling)
    lines = [printable(line) for line in verdict_text.lines(collected)]
    store = context.store
    store.write("summary.json", json.dumps(collected, indent=1, ensure_ascii=False, default=str) + "\n")
    lines += write_page(store)
    store.write("verdict.txt", "\n".join(lines) + "\n")
    _point_latest(store.reports, store.folder)
    lines += record(context, ruling)
    for log in store.folder.glob("*.log"):
        store.mask_file(log)
    store.close()
    return [store.mask(line) for line in lines]


def write_accuracy(context: RunContext, ruling: Ruling) -> list[str]:
    """Write the accuracy run's report, if there was one; returns its lines for the verdict."""
    made = context.accuracy.value
    if made is None:
        return []
    profile = context.profile
    started = min((answer.started_utc for answer in made.answers.values()), default=None)
    run = {"verdict": ruling.verdict.value, "reason": ruling.reason, "run": context.store.folder.name}
    run["started_utc"] = started or ""
    about = accuracy_report.about(made.plan, profile.device.kind, facts.versions(context), profile.model.id, run)
    try:
        described = accuracy_report.describe(made, about, context.settings.baseline)
        return accuracy_report.write(context.store, made.plan.dataset.stem, described)
    except (VlmAcceptanceError, OSError) as broken:  # costs the run its report, never its verdict
        return [f"no accuracy report: {printable(str(broken))}"]


def write_page(store: RunStore) -> list[str]:
    """Write report.html; a page that cannot be made costs the run a note, never its verdict."""
    try:
        store.write("report.html", html.render(store.folder))
    except (HarnessProblem, EnvironmentProblem, OSError) as broken:
        return [f"  note: {printable(str(broken))}"]
    return []


def _point_latest(reports: Path, folder: Path) -> None:
    link = reports / LATEST
    fresh = reports / f".latest-{os.getpid()}"
    try:
        fresh.symlink_to(folder.relative_to(reports), target_is_directory=True)
        fresh.replace(link)
    except OSError:  # a file system without links: the folder's name is in the verdict
        fresh.unlink(missing_ok=True)


def finish_junit(context: RunContext, xml: Path) -> None:
    """Mask the JUnit file that pytest has written and copy it beside the run's other files."""
    if not xml.is_file():
        return
    with contextlib.suppress(OSError):  # the verdict has said by now that the disk takes no reports
        context.store.mask_file(xml)
        shutil.copyfile(xml, context.store.folder / "junit.xml")


def record(context: RunContext, ruling: Ruling) -> list[str]:
    """Profiles asked for with --vlm-calibrate and --vlm-record-baseline; they extend the present one.

    Given one file, both go into it; given two, the second extends the first, so that neither loses the other.
    """
    said = record_numbers(context, ruling)
    base = context.settings.loaded.path.resolve()
    written: dict[Path, dict[str, Any]] = {}
    for path, what, make in (
        (context.settings.calibrate, "calibration", _calibration),
        (context.settings.record_baseline, "baseline", _baseline),
    ):
        if path is None:
            continue
        content, word = make(context, ruling)
        said.append(f"  {what}: {path if content else 'not recorded'} ({word})")
        if content:
            extended = written.setdefault(path, {"extends": str(base), "name": path.stem})
            extended.update(content)
            base = path.resolve()
    for path, content in written.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        path.write_text(context.mask(f"# recorded by {context.store.folder.name}\n{text}"), "utf-8")
    return said


def record_numbers(context: RunContext, ruling: Ruling) -> list[str]:
    """The numbers asked for with --vlm-record-baseline=FILE.jsonl, if the deployment was found right."""
    path, taken = context.settings.record_logprobs, context.notes.get("numbers")
    if path is None:
        return []
    if not isinstance(taken, list) or len(taken) < len(context.number_prompts):
        return [f"  baseline: not recorded (the numbers were not all taken): {path}"]
    if context.narrowed or ruling.code != EXIT["accepted"]:
        why = "the run was narrowed" if context.narrowed else "the deployment was not found right"
        return [f"  baseline: not recorded ({why}): {path}"]
    lines = "".join(f"{context.mask(logprobs.line_of(known))}\n" for known in taken)
    part = path.with_name(f"{path.name}.part")
    part.write_text(lines, "utf-8", errors="replace")  # a lone surrogate has no form in UTF-8
    part.replace(path)  # never half a baseline
    return [f"  baseline: {path} ({len(taken)} prompts)"]


def _calibration(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """What a calibration holds, or nothing and why: only a right deployment can say what it cannot do."""
    judged = [result for result in context.results if result.categories]
    refused = [result for result in context.results if result.outcome is Outcome.FAILED]
    if context.narrowed or not judged or any(r.outcome in (Outcome.ERROR, Outcome.NOT_RUN) for r in judged):
        return {}, "the capability cases did not all run"
    found = [finding for result in refused for finding in result.findings]
    if any(finding.fatal for finding in found):
        return {}, "fatal findings cannot be calibrated away"
    others = [finding for finding in found if finding.severity is not Severity.ABILITY]
    if ruling.code == EXIT["environment"] or others or not all(result.categories for result in refused):
        return {}, "something else than the capability cases failed"
    demoted = sorted({category for result in refused for category in result.categories})
    word = f"demotes {', '.join(demoted)}" if demoted else "every category keeps its bar"
    return {"capability": {"calibrated": True, "report_only": demoted}}, word


def _baseline(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """What a baseline holds, or nothing and why."""
    measured = context.notes.get("latency")
    if context.narrowed or not isinstance(measured, dict) or not measured:
        return {}, "the latencies were not all measured"
    wrong = (Outcome.FAILED, Outcome.ERROR, Outcome.NOT_RUN)
    if ruling.code == EXIT["environment"] or any(r.outcome in wrong and r.area != "latency" for r in context.results):
        return {}, "the deployment was not found right"
    keys = ("ttft_s", "tpot_s", "e2e_s")
    categories = {
        name: {key: round(row[key] * HEADROOM, 4) for key in keys if row.get(key) is not None}
        for name, row in measured.items()
    }
    return {"latency": {"recorded": True, "categories": categories}}, f"{HEADROOM} x the medians of this run"
