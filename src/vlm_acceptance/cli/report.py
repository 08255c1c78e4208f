"""`vlm-acceptance report RUN`: writes report.html of a stored run again, from its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, UsageProblem
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.report import html

PAGE = "report.html"
HELP = """usage: vlm-acceptance report RUN

Writes report.html of a stored run again, from its files. RUN is the folder of one run, for example reports/latest.
"""


def main(args: list[str]) -> int:
    """Write the page of the named folder; 0 when it is written."""
    if {"-h", "--help"} & set(args):
        sys.stdout.write(HELP)
        return 0
    if len(args) != 1 or args[0].startswith("-"):
        raise UsageProblem("give the folder of one run: vlm-acceptance report reports/latest")
    folder = expanded(args[0])
    if not is_file(folder / "summary.json"):
        raise UsageProblem(f"{args[0]!r} is not the folder of a finished run: it holds no summary.json")
    try:
        page = html.render(folder)
    except HarnessProblem as broken:
        raise UsageProblem(f"{args[0]!r}: {broken}") from None
    try:
        _replace(folder / PAGE, page)
    except OSError as broken:
        raise EnvironmentProblem(f"{folder / PAGE} cannot be written: {broken.strerror}") from None
    sys.stdout.write(f"{folder / PAGE}\n")
    return 0


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text, "utf-8", errors="replace")
    partial.replace(path)
