"""`vlm-acceptance judge RUN`: the acceptance tests over a stored run, without a server."""

from __future__ import annotations

import sys
from pathlib import Path

from vlm_acceptance.cli import run as runs
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.language import tr
from vlm_acceptance.run import stored

MARK = ("-m", "--mark")
HELP = """usage: vlm-acceptance judge RUN [--vlm-profile NAME] [--vlm-set KEY=VALUE] [-m smoke|slow|nightly] [OPTIONS]
       [-- PYTEST OPTIONS]

Judges a stored run again: the same tests, with the answers and times that the run has stored. No engine is started
and no server is asked. Without options the verdict is that of the run; another profile, other limits or newer known
issues may give another one. What the run has not stored is not run, and the verdict says so (exit code 11).

RUN is the folder of a finished run, for example reports/latest. A run whose files were changed since it was attested
is refused (exit code 4). The judgement has a folder of its own, reports/runs/…-judged.
"""


def main(args: list[str]) -> int:
    """Run pytest over the stored run; returns its exit code, that of the verdict."""
    own = args[: args.index("--")] if "--" in args else args
    if {"-h", "--help"} & set(own):
        sys.stdout.write(tr(HELP))
        return 0
    words, rest = list(own), args[len(own) :]
    if not words or words[0].startswith("-"):
        raise UsageProblem("name the folder of a finished run first: vlm-acceptance judge reports/latest")
    folder = words.pop(0)
    command = _command(words) or stored.opened(folder, "judge").mark
    return runs.main([command, f"{stored.OPTION}={Path(folder).absolute()}", *words, *rest])


def _command(words: list[str]) -> str | None:
    """Take the option -m out of the words; its value, or None without it."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name not in MARK:
            continue
        if not equals and number + 1 == len(words):
            raise UsageProblem(f"{name}: its value is missing, give {name} {'|'.join(runs.MARKS)}")
        value = value if equals else words[number + 1]
        if value not in runs.MARKS:
            allowed = f"{', '.join(runs.MARKS)}.{nearest(value, runs.MARKS)}"
            raise UsageProblem(f"{name}: {value!r} is not a run; it is one of: {allowed}")
        del words[number : number + (1 if equals else 2)]
        return value
    return None
