"""Commands of a data set outside of a run: `python -m vlm_acceptance.accuracy.NAME COMMAND`, and `prepare` for all."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vlm_acceptance.accuracy.prepare_command import HUBS, Preparation, Request, prepare
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import expanded
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable

USAGE, ENVIRONMENT, INTERRUPTED = 4, 10, 130
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


def run_command(package: str, commands: Mapping[str, Command], argv: Sequence[str] | None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error.

    `argv` None: the arguments of the process, which was started by the name of the `package`'s module.
    """
    program = f"python -m vlm_acceptance.accuracy.{package}" if argv is None else f"vlm-acceptance {package}"
    try:
        name, rest = _command(list(sys.argv[1:] if argv is None else argv), commands)
        if name is None:
            sys.stdout.write(_overview(program, commands))
            return 0
        command = commands[name]
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


def _command(words: list[str], commands: Mapping[str, Command]) -> tuple[str | None, list[str]]:
    if not words or words[0] in ("-h", "--help"):
        return None, []
    if words[0] not in commands:
        raise UsageProblem(f"no command {words[0]!r}, expected {' or '.join(commands)}.{nearest(words[0], commands)}")
    return words[0], words[1:]


def _overview(program: str, commands: Mapping[str, Command]) -> str:
    lines = [f"  {name:10} {tr(command.purpose)}" for name, command in commands.items()]
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


def prepare_command(splits: Mapping[str, Preparation]) -> Command:
    """`prepare` for a data set with these splits; the first one is the default."""
    return Command(
        "Fetch, check and convert the data once, for all runs.",
        lambda parser: _prepare_options(parser, splits),
        lambda given: _prepare(given, splits),
    )


def _prepare_options(parser: argparse.ArgumentParser, splits: Mapping[str, Preparation]) -> None:
    add = parser.add_argument
    first = next(iter(splits.values()))
    where = f"{', '.join(HUBS)}, {first.expected} (default: %(default)s)"
    add("--from", dest="source", default="modelscope", metavar="WHERE", help=where)
    ids = ", ".join(f"{id} of {name}" for name, id in first.ids.items())
    add("--id", help=f"the hub's data set (default: {ids})")
    add("--revision", help="branch, tag or commit of the hub's data set")
    folders = " or ".join(str(split.default_folder()) for split in splits.values())
    folders = folders.replace("%", "%%")  # argparse puts values in place of `%`
    add("--to", type=_folder, metavar="DIR", help=f"the folder for it (default: {folders})")
    names = " or ".join(split.dataset for split in splits.values())
    add("--dataset", metavar="NAME", help=f"name of the data set (default: that in counts.json, else {names})")
    if len(splits) > 1:
        add("--split", choices=list(splits), default=next(iter(splits)), help="the split (default: %(default)s)")
    add("--jobs", type=_jobs, default=os.cpu_count() or 1, metavar="N", help="pictures at once (default: %(default)s)")
    add("--force", action="store_true", help="replace existing data")


def _prepare(given: argparse.Namespace, splits: Mapping[str, Preparation]) -> int:
    options = dict(vars(given))
    wanted = splits[options.pop("split", next(iter(splits)))]
    request = Request(**{**options, "to": options["to"] or wanted.default_folder()})
    made = prepare(wanted, request, _print)
    _print(f"{made.folder}: {len(made)} questions of {made.dataset}, index {made.sha256[:12]}")
    return 0
