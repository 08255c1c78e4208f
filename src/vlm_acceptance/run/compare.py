"""Compares two profiles of one model by their log probabilities, for example eager and graph, in one command.

    vlm-acceptance compare --profile A --profile B [--reports DIR] [pytest options for both]

The smoke run of A records its log probabilities, if it is accepted; that of B is compared with all of them by the
limits of B.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vlm_acceptance.config.paths import NO_CACHE, ROOT, writable_folder
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import expanded
from vlm_acceptance.core.help_text import HelpText

USAGE = 4
EVERY_PROMPT = "logprobs.sample=100000"
# what the first profile does to itself is no limit for the second one
ITS_OWN_LIMITS = "logprobs.limits=stated"
Run = Callable[[Sequence[str]], int]


def commands(first: str, second: str, reports: Path, more: Sequence[str]) -> tuple[list[str], list[str]]:
    """The two runs of pytest: the first one records, the second one compares."""
    stored = reports / "logprobs.jsonl"
    base = [sys.executable, "-m", "pytest", str(ROOT / "tests" / "acceptance"), "-m", "smoke", *NO_CACHE, *more]
    one = [f"--vlm-profile={first}", f"--vlm-reports={reports / 'first'}", f"--vlm-record-baseline={stored}"]
    two = [f"--vlm-profile={second}", f"--vlm-reports={reports / 'second'}", f"--vlm-baseline={stored}"]
    return [*base, *one], [*base, *two, f"--vlm-set={EVERY_PROMPT}", f"--vlm-set={ITS_OWN_LIMITS}"]


def compare(first: str, second: str, reports: Path, more: Sequence[str], run: Run) -> int:
    """Exit code of the first run that does not accept, else 0. Files of an earlier comparison are replaced."""
    writable_folder(reports, "--reports")
    try:
        (reports / "logprobs.jsonl").unlink(missing_ok=True)
    except OSError as broken:
        raise UsageProblem(
            f"--reports: logprobs.jsonl of {str(reports)!r} cannot be replaced: {broken.strerror}"
        ) from None
    return next((code for command in commands(first, second, reports, more) if (code := run(command))), 0)


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


def main(args: Sequence[str] | None = None) -> int:
    """Run both; returns the exit code."""
    program = None if args is None else "vlm-acceptance compare"
    options = argparse.ArgumentParser(program, description=__doc__, formatter_class=HelpText)
    options.add_argument("--profile", action="append", required=True, help="give it twice; A first")
    # of the current folder, as the other commands do
    folder = expanded(os.environ.get("VLM_REPORTS") or "reports") / "compare"
    options.add_argument("--reports", type=Path, default=folder, help="default: reports/compare")
    given, more = options.parse_known_args(args)
    if len(given.profile) != 2:
        options.error("give --profile twice, e.g. --profile internvl2-2b-ascend --profile internvl2-2b-ascend-graph")
    try:
        return compare(given.profile[0], given.profile[1], given.reports.absolute(), more, _run)
    except UsageProblem as wrong:
        sys.stderr.write(f"{wrong}\n")
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
