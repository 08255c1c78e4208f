"""`vlm-acceptance COMMAND`: one front for runs and for what belongs to them. Only the named command is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from vlm_acceptance import __version__
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.language import VARIABLE, language_of, option_in, set_language, tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.streams import drop

INTERRUPTED, USAGE, ENVIRONMENT = 2, 4, 10
ARGPARSE_USAGE = 2
RUNS = "vlm_acceptance.cli.run"


@dataclass(frozen=True, slots=True)
class Command:
    """What a command is for, and the module whose `main(args)` returns its exit code; `fixed` come before the rest."""

    purpose: str
    module: str
    fixed: tuple[str, ...] = ()


COMMANDS = {
    "smoke": Command("accept the deployment: minutes, after every installation", RUNS, ("smoke",)),
    "slow": Command("load, soak, log probabilities, accuracy", RUNS, ("slow",)),
    "nightly": Command("smoke and slow in one run with one verdict", RUNS, ("nightly",)),
    "plan": Command("[smoke|slow|nightly]: what a run would do and leave out; nothing is started", RUNS, ("plan",)),
    "doctor": Command(
        "[URL]: what can be known of this machine or an endpoint before a run", "vlm_acceptance.cli.doctor"
    ),
    "profile": Command("new FOLDER|URL: write a profile for another model", "vlm_acceptance.cli.profile"),
    "report": Command("RUN...: pages of stored runs again; --history: the runs over time", "vlm_acceptance.cli.report"),
    "judge": Command("RUN: judge a stored run again, by another profile or limits", "vlm_acceptance.cli.judge"),
    "verify": Command("RUN: whether a stored run was changed since; needed to sign it", "vlm_acceptance.cli.verify"),
    "mmmu": Command("prepare, re-score, ask: the questions of MMMU", "vlm_acceptance.accuracy.mmmu.__main__"),
    "ocrbench": Command("prepare, score: the questions of OCRBench", "vlm_acceptance.accuracy.ocrbench.__main__"),
    "chartqa": Command("prepare, score: the questions of ChartQA", "vlm_acceptance.accuracy.chartqa.__main__"),
    "textvqa": Command("prepare, score: the questions of TextVQA", "vlm_acceptance.accuracy.textvqa.__main__"),
    "docvqa": Command("prepare, score: the questions of DocVQA", "vlm_acceptance.accuracy.docvqa.__main__"),
    "infovqa": Command("prepare, score: the questions of InfographicVQA", "vlm_acceptance.accuracy.infovqa.__main__"),
    "calibrate": Command("RUN FILE: record a run that is known to be right", "vlm_acceptance.run.calibrate"),
    "reference": Command(
        "record, power, profile, compare: log probabilities of the checkpoint, without a card",
        "vlm_acceptance.cli.reference",
    ),
    "compare": Command(
        "RUN RUN: what differs; --profile A --profile B: log probabilities", "vlm_acceptance.cli.compare"
    ),
}

HELP = Command("this page", "vlm_acceptance.cli.overview")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error."""
    try:
        words, chosen = option_in(list(sys.argv[1:] if argv is None else argv))
        set_language(language_of(chosen, os.environ))
        if chosen:
            os.environ[VARIABLE] = chosen  # for the run that a command starts
        code = _front(words)
        _flush()
        return code
    except UsageProblem as wrong:
        return _ended(str(wrong), USAGE)
    except EnvironmentProblem as problem:
        return _ended(str(problem), ENVIRONMENT)
    except KeyboardInterrupt:
        sys.stderr.write(f"{tr('interrupted')}\n")
        return INTERRUPTED
    except BrokenPipeError:  # such as `| head -1`: whoever reads has seen enough, but no verdict was delivered
        drop(sys.stdout)
        return ENVIRONMENT


def _front(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        sys.stdout.write(f"vlm-acceptance {__version__}\n")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        return _run(HELP, [])
    name, *rest = words
    if name not in COMMANDS:
        hint = nearest(name, COMMANDS)
        raise UsageProblem(f"no command {name!r}; there are: {', '.join(COMMANDS)}.{hint}")
    return _run(COMMANDS[name], rest)


def _run(command: Command, args: list[str]) -> int:
    try:
        module = import_module(command.module)
    except ModuleNotFoundError as absent:
        raise EnvironmentProblem(
            f"{absent.name}, which this command needs, is not installed; `{sys.executable} -m pip check` lists "
            "what is missing"
        ) from None
    try:
        return int(module.main([*command.fixed, *args]))
    except SystemExit as ended:  # argparse has written why
        return USAGE if ended.code == ARGPARSE_USAGE else int(ended.code or 0)


def _flush() -> None:
    # here, where it can be answered: at the exit of the interpreter it is a traceback
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as broken:
        drop(sys.stdout)
        raise EnvironmentProblem(f"standard output cannot be written: {broken.strerror}") from None


def _ended(problem: str, code: int) -> int:
    sys.stderr.write(f"{tr('error')}: {tr(' '.join(printable(problem).split()))}\n")
    return code
