"""`vlm-acceptance report`: pages of stored runs again, from their files: of one run, of many, or over time.

    vlm-acceptance report RUN...                 report.html of each run
    vlm-acceptance report --history [REPORTS]    history.html: the runs of a folder of reports over time

RUN is the folder of one run, for example reports/latest. index.html beside the runs is written again, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vlm_acceptance.cli.stored import run_folder
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_folder
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report import figures_workbook, html
from vlm_acceptance.report.history import Track, write_history
from vlm_acceptance.report.runs_index import write_index
from vlm_acceptance.report.small_pages import replace_file

PAGE = "report.html"
HISTORY = "--history"
USAGE = "usage: vlm-acceptance report RUN..., or --history [REPORTS]"
MOST_SENTENCES = 12


def main(args: list[str]) -> int:
    """Write the pages and print where they are; 0 when all are written."""
    if {"-h", "--help"} & set(args):
        sys.stdout.write(f"{USAGE}\n\n{__doc__}")
        return 0
    options = [word for word in args if word.startswith("-")]
    if wrong := [word for word in options if word != HISTORY]:
        raise UsageProblem(f"report: unknown option {wrong[0]!r}.{nearest(wrong[0], [HISTORY])} {USAGE}")
    names = [word for word in args if word not in options]
    if options:
        return _history(names)
    if not names:
        raise UsageProblem(f"give the folder of one run: vlm-acceptance report reports/latest; {USAGE}")
    folders = {run_folder(name): name for name in names}
    for folder, name in folders.items():
        _write(folder, name)
        sys.stdout.write(f"{printable(str(folder / PAGE))}\n")
    for reports in dict.fromkeys(folder.parents[1] for folder in folders if folder.parent.name == "runs"):
        write_index(reports)
    return 0


def _write(folder: Path, name: str) -> None:
    try:
        page = html.render(folder)
        figures_workbook.write(folder)
    except HarnessProblem as broken:
        raise UsageProblem(f"{name!r}: {broken}") from None
    except OSError as broken:
        raise EnvironmentProblem(f"{folder / figures_workbook.NAME} cannot be written: {broken.strerror}") from None
    replace_file(folder / PAGE, page)


def _history(names: Sequence[str]) -> int:
    if len(names) > 1:
        raise UsageProblem(f"--history: one folder of reports, and {len(names)} are given; {USAGE}")
    given = names[0] if names else os.environ.get("VLM_REPORTS") or "reports"
    reports = expanded(given).absolute()
    if not is_folder(reports):
        raise UsageProblem(f"--history: the folder {given!r} does not exist")
    page, tracks = write_history(reports)
    sys.stdout.write("\n".join(printable(line) for line in [*_said(tracks), str(page)]) + "\n")
    try:
        write_index(reports)  # it links to the history
    except EnvironmentProblem as problem:
        sys.stderr.write(f"note: {printable(str(problem))}\n")
    return 0


def _said(tracks: Sequence[Track]) -> list[str]:
    """The newest sentences of each track."""
    shown = []
    for track in tracks:
        shown.append(tr("{name}: {count} runs", name=track.name, count=len(track.nights)))
        shown += [f"  {sentence.text}" for sentence in track.sentences[:MOST_SENTENCES]]
        if not track.sentences:
            shown.append("  " + tr("No step in any figure, and no change of the verdict."))
    return shown
