"""The files a finished run leaves: summary.json, verdict, page, the masked JUnit file, recorded profiles."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import yaml

from vlm_acceptance import __version__, facts
from vlm_acceptance.errors import HarnessProblem
from vlm_acceptance.outcome import Outcome, printable
from vlm_acceptance.report import html, summary
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.suite import Suite
from vlm_acceptance.verdict import Ruling

LATEST = "latest"
HEADROOM = 1.5


def header(suite: Suite) -> list[str]:
    """Lines for pytest's header: suite, profile and why, target, report folder."""
    settings, profile = suite.settings, suite.profile
    overridden = facts.profile_facts(suite)["overrides"]
    lines = [
        f"vlm-acceptance {__version__}: {facts.statement(suite)}",
        f"profile: {profile.name} ({settings.profile_reason})",
    ]
    if overridden:
        lines.append("overrides: " + ", ".join(f"{key} ({source})" for key, source in overridden.items()))
    return [*lines, f"reports: {settings.reports}"]


def write_run(suite: Suite, ruling: Ruling) -> list[str]:
    """Write summary.json, report.html and verdict.txt; returns the verdict's lines for the terminal."""
    collected = facts.collect(suite, ruling)
    lines = [printable(line) for line in summary.lines(collected)]
    store = suite.store
    store.write("summary.json", json.dumps(collected, indent=1, ensure_ascii=False, default=str) + "\n")
    lines += write_page(store)
    store.write("verdict.txt", "\n".join(lines) + "\n")
    _point_latest(store.reports, store.folder)
    lines += record(suite)
    for log in store.folder.glob("*.log"):
        store.mask_file(log)
    store.close()
    return [store.mask(line) for line in lines]


def write_page(store: RunStore) -> list[str]:
    """Write report.html; a page that cannot be made costs the run a note, never its verdict."""
    try:
        store.write("report.html", html.render(store.folder))
    except (HarnessProblem, OSError) as broken:
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


def finish_junit(suite: Suite, xml: Path) -> None:
    """Mask the JUnit file that pytest has written and copy it beside the run's other files."""
    if not xml.is_file():
        return
    suite.store.mask_file(xml)
    shutil.copyfile(xml, suite.store.folder / "junit.xml")


def record(suite: Suite) -> list[str]:
    """Profiles asked for with --vlm-calibrate and --vlm-record-baseline; they extend the present one."""
    said = []
    if suite.settings.calibrate:
        said.append(_calibration(suite, suite.settings.calibrate))
    if suite.settings.baseline:
        said.append(_baseline(suite, suite.settings.baseline))
    return said


def _calibration(suite: Suite, path: Path) -> str:
    capability = [result for result in suite.results if result.area == "capability" and "category" in result.properties]
    if not capability or any(result.outcome in (Outcome.ERROR, Outcome.NOT_RUN) for result in capability):
        return f"  calibration: not recorded, the capability cases did not all run ({path})"
    demoted = sorted({result.properties["category"] for result in capability if result.outcome is Outcome.FAILED})
    _write_overlay(suite, path, {"capability": {"calibrated": True, "demoted": demoted}})
    return f"  calibration: {path} ({'demotes ' + ', '.join(demoted) if demoted else 'every category keeps its bar'})"


def _baseline(suite: Suite, path: Path) -> str:
    measured = suite.notes.get("latency")
    if not isinstance(measured, dict) or not measured:
        return f"  baseline: not recorded, no latency was measured ({path})"
    keys = ("ttft_s", "tpot_s", "e2e_s")
    categories = {
        name: {key: round(row[key] * HEADROOM, 4) for key in keys if row.get(key) is not None}
        for name, row in measured.items()
    }
    _write_overlay(suite, path, {"latency": {"recorded": True, "categories": categories}})
    return f"  baseline: {path} (budgets are {HEADROOM} x the medians of this run)"


def _write_overlay(suite: Suite, path: Path, content: dict[str, object]) -> None:
    loaded = suite.settings.loaded
    overlay = {"extends": str(loaded.path.resolve()), "name": path.stem, **content}
    path.write_text(
        f"# recorded by {suite.store.folder.name}\n" + yaml.safe_dump(overlay, sort_keys=False, allow_unicode=True),
        "utf-8",
    )
