"""`vlm-acceptance profile new FOLDER|URL`: writes a profile for a model from its files, or from an endpoint."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import PROFILES, api_key, overrides
from vlm_acceptance.config.profile_file import base_names
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.run.new_profile import drafted, is_url, write
from vlm_acceptance.run.profile_choice import client_of
from vlm_acceptance.run.profile_draft import Draft

COMMANDS = ("new",)
USAGE = "usage: vlm-acceptance profile new FOLDER|URL"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(
            f"{message}; {USAGE} [--name N] [--id ID] [--base B] [--out FILE] [--api-key-env NAME] [--vlm-set X=Y]"
        )


def main(args: list[str]) -> int:
    """Write the profile and say what to do next; returns 0. UsageProblem for a wrong argument, folder or endpoint."""
    if args and args[0] not in (*COMMANDS, "-h", "--help"):
        raise UsageProblem(f"profile: there is no {args[0]!r}; there is: new.{nearest(args[0], COMMANDS)} {USAGE}")
    given = _parser().parse_args(args)
    draft = drafted(given.source, given.id, given.name, given.base, _client(given))
    path = write(draft, given.out)
    sys.stdout.write("\n".join(_told(draft, path, _reaching(given))) + "\n")
    return 0


def _client(given: argparse.Namespace) -> Client | None:
    """The client of the endpoint, as a run would have it; None for a folder. UsageProblem for a wrong option."""
    of_endpoint = {"vlm_set": given.vlm_set}
    for key, _, source in overrides(of_endpoint, {}):
        if not is_url(given.source):
            raise UsageProblem(f"{source}: it says how an endpoint is reached, and a folder is given; leave it out")
        if not key.startswith("endpoint."):
            raise UsageProblem(f"{source}: {key!r} is not taken here, only endpoint.*; set it in the new profile")
    if not is_url(given.source):
        api_key(given.vlm_api_key_env, "--vlm-api-key-env", os.environ)
        return None
    values = {**of_endpoint, "vlm_base_url": given.source, "vlm_api_key_env": given.vlm_api_key_env}
    return client_of(values, os.environ, source="URL")


def _reaching(given: argparse.Namespace) -> list[str]:
    """The options of a run that reach the same endpoint; none for a folder."""
    if not is_url(given.source):
        return []
    key = given.vlm_api_key_env
    named = [f"--vlm-api-key-env={key}"] if key else []
    return [f"--vlm-base-url={given.source}", *named, *(f"--vlm-set={text}" for text in given.vlm_set)]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vlm-acceptance profile", description=__doc__, formatter_class=HelpText, allow_abbrev=False)
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    parser.add_argument("source", metavar="FOLDER|URL", help="the model's folder, or the URL of an endpoint")
    parser.add_argument("--name", metavar="N", help="name of the profile (default: that of the model)")
    parser.add_argument("--id", metavar="ID", help="the model's name in requests (default: that of the folder)")
    parser.add_argument(
        "--base", metavar="B", help=f"what it extends: {', '.join(base_names(PROFILES))} (default: this machine's)"
    )
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: NAME.yaml)")
    key, reached = "name of the variable that holds the endpoint's API key", "how the endpoint is reached (endpoint.*)"
    parser.add_argument("--api-key-env", "--vlm-api-key-env", dest="vlm_api_key_env", metavar="NAME", help=key)
    parser.add_argument("--vlm-set", "--set", metavar="KEY=VALUE", action="append", default=[], help=reached)
    return parser


def _told(draft: Draft, path: Path, reaching: list[str]) -> list[str]:
    count = len(draft.values) + bool(draft.arguments) * 2
    extends = f", extends {draft.base}" if draft.base else ""
    options = [f"--vlm-profile={path if path.is_absolute() else f'./{path}'}", *reaching]
    return [
        f"written: {path} ({count} values{extends})",
        f"not known: {', '.join(draft.unknown)}; the file says why",
        f"next: {shlex.join(['vlm-acceptance', 'plan', *options])}",
        f"then: {shlex.join(['vlm-acceptance', 'smoke', *options])}",
    ]
