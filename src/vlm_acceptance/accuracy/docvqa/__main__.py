"""`python -m vlm_acceptance.accuracy.docvqa COMMAND`: commands for DocVQA outside of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vlm_acceptance.accuracy.anls import SCORERS
from vlm_acceptance.accuracy.command_line import prepare_command, run_command
from vlm_acceptance.accuracy.docvqa.splits import PREPARATIONS, check_prepared
from vlm_acceptance.accuracy.score_command import score_command

COMMANDS = {"prepare": prepare_command(PREPARATIONS), "score": score_command(PREPARATIONS, SCORERS, check_prepared)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error."""
    return run_command("docvqa", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
