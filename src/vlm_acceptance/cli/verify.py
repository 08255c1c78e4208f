"""`vlm-acceptance verify RUN`: whether the files of a stored run are those that the run left."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from vlm_acceptance.core.errors import UsageProblem, WeightsProblem
from vlm_acceptance.core.files import BadFile, expanded, is_folder, shown
from vlm_acceptance.core.finding import Verdict
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.engine import weights
from vlm_acceptance.report import attestation
from vlm_acceptance.report.attestation_files import STATEMENT
from vlm_acceptance.report.attestation_statement import EXTENSION, MODEL_FILES, SAMPLED, WEIGHTS, WEIGHTS_KEY

USAGE = "usage: vlm-acceptance verify RUN [--accepted] [--model FOLDER]"
DESCRIPTION = """\
Whether the files of a stored run are those that the run left: each file or line that was changed, removed or added
since is named. RUN is the folder of one run, for example reports/latest. docs/attestation.md says how to sign a run.

Exit code: 0 nothing is wrong, 1 something is, 4 no folder of a finished run.
"""
CHANGED = 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{message}; {USAGE}")


def main(args: list[str]) -> int:
    """Print what differs, one line each, or what was attested; 0 when nothing is wrong, else 1."""
    given = _parser().parse_args(args)
    folder = expanded(given.run)
    if not is_folder(folder):
        raise UsageProblem(f"RUN: {given.run!r} is not a folder")
    if not attestation.is_attested(folder):
        raise UsageProblem(
            f"RUN: {given.run!r} holds no {STATEMENT}: the run did not finish, or an earlier release made it"
        )
    problems = attestation.verify(folder)
    try:
        statement = attestation.read(folder)
    except BadFile:  # verify() has said so
        return _told(problems)
    about = statement["predicate"][EXTENSION]
    if given.accepted and about.get("verdict") != Verdict.ACCEPTED.value:
        problems.append(tr("the verdict is {verdict}, not accepted", verdict=shown(about.get("verdict"), 40)))
    if given.model is not None:
        problems += _of_model(statement, given.model)
    if problems:
        return _told(problems)
    count = len(about["evidence"])
    lines = [
        tr("unchanged: {count} files; chain {head}", count=count, head=shown(attestation.head_of(statement), 64)),
        tr(
            "verdict: {verdict}, {statement}", verdict=about.get("verdict"), statement=tr(shown(about.get("statement")))
        ),
    ]
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    return 0


def _told(problems: Sequence[str]) -> int:
    sys.stdout.write("".join(f"{printable(line)}\n" for line in problems))
    return CHANGED


def _of_model(statement: Mapping[str, Any], name: str) -> list[str]:
    """How the files of a model folder differ from those that were tested."""
    folder = expanded(name)
    if not is_folder(folder):
        raise UsageProblem(f"--model: {name!r} is not a folder")
    try:
        found = dataclasses.asdict(weights.fingerprint(folder))
    except WeightsProblem as broken:
        raise UsageProblem(f"--model: {name!r}: {broken}") from None
    attested = {row["name"]: row["digest"] for row in _subjects(statement)}
    if WEIGHTS not in attested:
        return [tr("the run does not say which model files were tested: it examined an endpoint, not a folder")]
    pairs = [(WEIGHTS, SAMPLED, WEIGHTS_KEY), *((part, "sha256", key) for part, key in MODEL_FILES.items())]
    return [
        tr("{folder}: {part}: not the one that was tested", folder=shown(name), part=part)
        for part, kind, key in pairs
        if attested.get(part, {}).get(kind) != found[key]
    ]


def _subjects(statement: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The named subjects of a statement with their digests."""
    rows = statement.get("subject")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("digest"), dict):
            yield row


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vlm-acceptance verify",
        description=DESCRIPTION,
        formatter_class=HelpText,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="the folder of one run")
    parser.add_argument("--accepted", action="store_true", help="also 1 unless the verdict is accepted")
    parser.add_argument("--model", metavar="FOLDER", help="also 1 unless these are the files of the tested model")
    return parser
