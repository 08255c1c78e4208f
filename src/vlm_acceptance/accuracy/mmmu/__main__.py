"""`python -m vlm_acceptance.accuracy.mmmu COMMAND`: commands for MMMU outside of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vlm_acceptance.accuracy.command_line import Command, prepare_command, run_command
from vlm_acceptance.accuracy.mmmu import cli_ask, cli_rescore
from vlm_acceptance.accuracy.mmmu.cli_prepare import PREPARATION

COMMANDS = {
    "prepare": prepare_command({"val": PREPARATION}),
    "re-score": Command(
        "Score the stored answers of a run again with every scorer.", cli_rescore.add_arguments, cli_rescore.main
    ),
    "ask": Command("Send one question to a running endpoint and show all scores.", cli_ask.add_arguments, cli_ask.main),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a problem is one line on standard error."""
    return run_command("mmmu", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
