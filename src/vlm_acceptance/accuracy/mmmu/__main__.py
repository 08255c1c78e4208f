"""`python -m vlm_acceptance.accuracy.mmmu COMMAND`: commands for MMMU outside of a run."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vlm_acceptance.accuracy.mmmu import cli_ask, cli_rescore
from vlm_acceptance.accuracy.mmmu.cli_prepare import PUBLISHERS, Request, default_folder, prepare
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import expanded
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable

USAGE, ENVIRONMENT, INTERRUPTED = 4, 10, 130
MODULE = "python -m vlm_acceptance.accuracy.mmmu"
_INVALID_CHOICE = re.compile(r"invalid choice: '?(.*?)'? \(choose from")  # as argparse words it


class Parser(argparse.ArgumentParser):
    """Wrong arguments are a UsageProblem of one line with the nearest valid word."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{message}.{self._hint(message)} See `{self.prog} --help`")

    def _hint(self, message: str) -> str:
        known = {option: action for action in self._actions for option in action.option_strings}
        words = [word.partition("=")[0].strip(":,") for word in message.split() if word.startswith("--")]
        if wrong_value := _INVALID_CHOICE.search(message):
            choices = known[words[0]].choices if words and words[0] in known else None
            return nearest(wrong_value[1], map(str, choices or ()))
        wrong = next((word for word in words if word not in known), "")
        return nearest(wrong, known) if wrong else ""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its purpose, its options and its function, which returns the exit code."""

    purpose: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error."""
    program = MODULE if argv is None else "vlm-acceptance mmmu"
    try:
        name, rest = _command(list(sys.argv[1:] if argv is None else argv))
        if name is None:
            sys.stdout.write(_overview(program))
            return 0
        command = COMMANDS[name]
        parser = Parser(
            prog=f"{program} {name}", description=command.purpose, formatter_class=HelpText, allow_abbrev=False
        )
        command.options(parser)
        return command.run(parser.parse_args(rest))
    except UsageProblem as problem:
        return _ended(str(problem), USAGE)
    except EnvironmentProblem as problem:
        return _ended(str(problem), ENVIRONMENT)
    except KeyboardInterrupt:
        return _ended("stopped", INTERRUPTED)


def _command(words: list[str]) -> tuple[str | None, list[str]]:
    if not words or words[0] in ("-h", "--help"):
        return None, []
    if words[0] not in COMMANDS:
        raise UsageProblem(f"no command {words[0]!r}, expected {' or '.join(COMMANDS)}.{nearest(words[0], COMMANDS)}")
    return words[0], words[1:]


def _overview(program: str) -> str:
    lines = [f"  {name:10} {tr(command.purpose)}" for name, command in COMMANDS.items()]
    return "\n".join([tr(f"usage: {program} COMMAND [OPTIONS]"), "", *lines]) + "\n"


def _ended(problem: str, code: int) -> int:
    sys.stderr.write(f"{tr('error')}: {tr(' '.join(printable(problem).split()))}\n")
    return code


def _print(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def _folder(text: str) -> Path:
    return expanded(text)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    where = f"{', '.join(PUBLISHERS)}, a folder, a .parquet or a .tsv file (default: %(default)s)"
    add("--from", dest="source", default="modelscope", metavar="WHERE", help=where)
    ids = ", ".join(f"{publisher.id} of {name}" for name, publisher in PUBLISHERS.items())
    add("--id", help=f"the hub's data set (default: {ids})")
    add("--revision", help="branch, tag or commit of the hub's data set")
    add("--to", type=_folder, default=default_folder(), metavar="DIR", help="the folder for it (default: %(default)s)")
    add("--dataset", metavar="NAME", help="name of the data set (default: that in counts.json, else MMMU_val)")
    add("--jobs", type=_jobs, default=os.cpu_count() or 1, metavar="N", help="pictures at once (default: %(default)s)")
    add("--force", action="store_true", help="replace existing data")


def _prepare(given: argparse.Namespace) -> int:
    made = prepare(Request(**vars(given)), _print)
    _print(f"{made.folder}: {len(made)} questions of {made.dataset}, index {made.sha256[:12]}")
    return 0


COMMANDS = {
    "prepare": Command("Fetch, check and convert the data once, for all runs.", _prepare_options, _prepare),
    "re-score": Command(
        "Score the stored answers of a run again with every scorer.", cli_rescore.add_arguments, cli_rescore.main
    ),
    "ask": Command("Send one question to a running endpoint and show all scores.", cli_ask.add_arguments, cli_ask.main),
}


if __name__ == "__main__":
    sys.exit(main())
