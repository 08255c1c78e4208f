"""`vlm-acceptance compare`: two stored runs beside each other, or two profiles of one model by their log probabilities.

    vlm-acceptance compare RUN RUN [--out FILE]
    vlm-acceptance compare --profile A --profile B [--reports DIR] [pytest options for both]

RUN is the folder of a run, for example reports/latest. The page is compare.html in the folder of reports of the second
run. Exit code: 0 when the runs were compared, whatever differs; 4 for a wrong argument. Of two profiles it is that of
the first run that does not accept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vlm_acceptance.cli.stored import run_folder
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import BadFile, expanded, is_folder
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report import comparison, comparison_page

PICTURES = ROOT / "fixtures" / "images"
USAGE = "usage: vlm-acceptance compare RUN RUN [--out FILE], or --profile A --profile B"
OPTIONS = ("--out", "--profile", "--reports", "--help")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"compare: {message}; {USAGE}")


def main(args: Sequence[str]) -> int:
    """Compare and print the most important differences; 0 when it is done. UsageProblem for a wrong argument."""
    if any(word.partition("=")[0] in ("--profile", "--vlm-profile") for word in args):
        return _profiles(list(args))
    given, unknown = _parser().parse_known_args(list(args))
    if unknown:
        word = unknown[0].partition("=")[0]
        raise UsageProblem(f"compare: unknown option {word!r}.{nearest(word, OPTIONS)} {USAGE}")
    if len(given.runs) != 2:
        raise UsageProblem(f"compare: two folders of runs are needed, and {len(given.runs)} given; {USAGE}")
    first, second = map(run_folder, given.runs)
    page = _page(given.out, second)
    try:
        compared = comparison.compare(first, second, [PICTURES])
    except BadFile as broken:
        raise UsageProblem(f"compare: {broken}") from None
    comparison_page.write_page(compared, page)
    shown = [*comparison_page.lines(compared), tr("page: {page}", page=page)]
    sys.stdout.write("\n".join(printable(line) for line in shown) + "\n")
    return 0


def _profiles(args: list[str]) -> int:
    from vlm_acceptance.run import compare  # it imports what only a run needs

    return compare.main(args)


def _page(out: str | None, second: Path) -> Path:
    if out is None:
        return comparison_page.default_page(second)
    path = expanded(out).absolute()
    if not is_folder(path.parent):
        raise UsageProblem(f"--out: the folder of {out!r} does not exist")
    if is_folder(path):
        raise UsageProblem(f"--out: {out!r} is a folder; give the name of a file")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("vlm-acceptance compare", description=__doc__, formatter_class=HelpText, allow_abbrev=False)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="the folder of a run, for example reports/latest")
    parser.add_argument("--out", metavar="FILE", help="the page to write (default: compare.html beside the runs)")
    return parser
