"""`vlm-acceptance --help`: all commands and the options of a run on one page."""

from __future__ import annotations

import sys

from vlm_acceptance.cli.main import COMMANDS
from vlm_acceptance.config.options import OPTIONS, Option
from vlm_acceptance.core.language import tr

WIDTH = 30
HEAD = "usage: vlm-acceptance COMMAND [OPTIONS] [-- PYTEST OPTIONS]\n"
OPTIONS_HEAD = """
options of smoke, slow, nightly and plan; `--profile X` and `--vlm-profile=X` mean the same, VLM_PROFILE sets a default:
"""
EXITS = """
exit codes: 0 accepted, 1 rejected, 4 a wrong option, profile or file, 10 a broken environment, 11 inconclusive
"""


def main(args: list[str]) -> int:  # noqa: ARG001  (every command takes arguments)
    """Print the page."""
    rows = [_row(name, command.purpose, 12) for name, command in COMMANDS.items()]
    sys.stdout.write("\n".join([tr(HEAD), *rows, tr(OPTIONS_HEAD), *map(_option, OPTIONS), tr(EXITS)]))
    return 0


def _option(option: Option) -> str:
    return _row(f"--{option.name}" if option.flag else f"--{option.name} {option.metavar}", option.help, WIDTH)


def _row(name: str, text: str, width: int) -> str:
    return f"  {name:<{width}} {tr(text)}"
