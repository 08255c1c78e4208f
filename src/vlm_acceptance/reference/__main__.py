"""`python -m vlm_acceptance.reference COMMAND`: a reference without an accelerator, from the checkpoint itself.

It needs torch and transformers, such as the engine's interpreter has. Only the module of the command is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import language_of, option_in, set_language, tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.reference.arguments import Parser
from vlm_acceptance.reference.told import tell

INTERRUPTED, USAGE, ENVIRONMENT = 2, 4, 10
MODULE, FRONT = "python -m vlm_acceptance.reference", "vlm-acceptance reference"
PROGRAM = "VLM_REFERENCE_PROGRAM"  # how the person called it, when `vlm-acceptance` started this interpreter
# torch would load torch_npu by itself, which takes memory of a card that may be serving; models are read from folders
ALONE = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class Command:
    """What a command is for, and the module with its `add_arguments(parser)` and `main(given)`."""

    purpose: str
    module: str


COMMANDS = {
    "record": Command(
        "compute the answers of a checkpoint to the prompts of a baseline, with their log probabilities",
        "vlm_acceptance.reference.record_command",
    ),
    "power": Command(
        "measure which faults a reference would refuse, and what arithmetic alone changes",
        "vlm_acceptance.reference.power_command",
    ),
    "profile": Command(
        "write a profile whose limits come from a reference's power", "vlm_acceptance.reference.profile_command"
    ),
    "compare": Command("the distance between two references", "vlm_acceptance.reference.compare_command"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error."""
    program = os.environ.get(PROGRAM, MODULE) if argv is None else FRONT
    try:
        words, chosen = option_in(list(sys.argv[1:] if argv is None else argv))
        if argv is None:
            os.environ.update(ALONE)
            set_language(language_of(chosen, os.environ))
        if not words or words[0] in ("-h", "--help"):
            tell(_overview(program))
            return 0
        return _run(program, words[0], words[1:])
    except UsageProblem as problem:
        return _ended(str(problem), USAGE)
    except EnvironmentProblem as problem:
        return _ended(str(problem), ENVIRONMENT)
    except KeyboardInterrupt:
        return _ended("interrupted: what was computed is stored, and the same command goes on", INTERRUPTED)
    except BrokenPipeError:  # such as `| head -1`: whoever reads has seen enough, but no result was delivered
        return ENVIRONMENT
    except SystemExit as ended:  # argparse has shown the help
        return int(ended.code or 0)


def _run(program: str, name: str, words: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise UsageProblem(f"no command {name!r}; there are: {', '.join(COMMANDS)}.{nearest(name, COMMANDS)}")
    command = COMMANDS[name]
    try:
        module = import_module(command.module)
    except ModuleNotFoundError as absent:
        raise EnvironmentProblem(f"{absent.name} is not installed in {sys.executable}") from None
    parser = Parser(prog=f"{program} {name}", description=command.purpose, formatter_class=HelpText, allow_abbrev=False)
    module.add_arguments(parser)
    given = parser.parse_args(list(words))
    code = int(module.main(given))
    if code == 0 and getattr(given, "then_power", False):
        return int(import_module(COMMANDS["power"].module).after_record(given))
    return code


def _overview(program: str) -> str:
    lines = [f"  {name:8} {tr(command.purpose)}" for name, command in COMMANDS.items()]
    return "\n".join([tr(f"usage: {program} COMMAND [OPTIONS]"), "", *lines]) + "\n"


def _ended(problem: str, code: int) -> int:
    sys.stderr.write(f"{tr('error')}: {tr(' '.join(printable(problem).split()))}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
