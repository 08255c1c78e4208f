"""`vlm-acceptance profile new FOLDER|URL`: writes a profile for a model from its files, or from an endpoint."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from vlm_acceptance.config.options import PROFILES, api_key
from vlm_acceptance.config.profile_file import base_names
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.run.new_profile import drafted, is_url, write
from vlm_acceptance.run.profile_draft import Draft

COMMANDS = ("new",)
USAGE = "usage: vlm-acceptance profile new FOLDER|URL"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{message}; {USAGE} [--name N] [--id ID] [--base B] [--out FILE] [--api-key-env NAME]")


def main(args: list[str]) -> int:
    """Write the profile and say what to do next; returns 0. UsageProblem for a wrong argument, folder or endpoint."""
    if args and args[0] not in (*COMMANDS, "-h", "--help"):
        raise UsageProblem(f"profile: there is no {args[0]!r}; there is: new.{nearest(args[0], COMMANDS)} {USAGE}")
    given = _parser().parse_args(args)
    key = api_key(given.api_key_env, "--api-key-env", os.environ)
    draft = drafted(given.source, given.id, given.name, given.base, key)
    path = write(draft, given.out)
    sys.stdout.write("\n".join(_told(draft, path, given.source)) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vlm-acceptance profile", description=__doc__, allow_abbrev=False)
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    parser.add_argument("source", metavar="FOLDER|URL", help="the model's folder, or the URL of an endpoint")
    parser.add_argument("--name", metavar="N", help="name of the profile (default: that of the model)")
    parser.add_argument("--id", metavar="ID", help="the model's name in requests (default: that of the folder)")
    parser.add_argument(
        "--base", metavar="B", help=f"what it extends: {', '.join(base_names(PROFILES))} (default: this machine's)"
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: NAME.yaml)")
    parser.add_argument("--api-key-env", metavar="NAME", help="name of the variable that holds the endpoint's API key")
    return parser


def _told(draft: Draft, path: Path, source: str) -> list[str]:
    count = len(draft.values) + bool(draft.arguments) * 2
    extends = f", extends {draft.base}" if draft.base else ""
    mode = [f"--vlm-base-url={source}"] if is_url(source) else []
    options = [f"--vlm-profile={path if path.is_absolute() else f'./{path}'}", *mode]
    return [
        f"written: {path} ({count} values{extends})",
        f"not known: {', '.join(draft.unknown)}; the file says why",
        f"next: {shlex.join(['vlm-acceptance', 'plan', *options])}",
        f"then: {shlex.join(['vlm-acceptance', 'smoke', *options])}",
    ]
