"""`reference profile`: a profile whose limits come from a reference's power, from its options."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from vlm_acceptance.checks.reference_limits import limits_of
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import SMOKE, input_file, output_file
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.language import tr
from vlm_acceptance.reference.arguments import counted
from vlm_acceptance.reference.profile_section import changes_of, profile_text, said
from vlm_acceptance.reference.told import tell

NOTHING = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add = parser.add_argument
    add("file", metavar="FILE", help="a reference, or log probabilities recorded from a deployment")
    add("--profile", metavar="NAME", required=True, help="the profile to extend, by name or file")
    add("--power", metavar="FILE", help="a reference whose faults are taken, when FILE has only a floor")
    add("--floor", metavar="NAMES", help="only this part of the floor: for an engine that is known to round so")
    add("--sample", metavar="N", type=counted, default=12, help="prompts that smoke sends (default: 12)")
    add("--out", metavar="X.yaml", help="the profile to write (default: print it)")


def main(given: argparse.Namespace) -> int:
    """Write the profile; 1 if no fault can be told from the floor, and nothing is written."""
    baseline, power = input_file(given.file, "FILE"), input_file(given.power, "--power")
    out = output_file(given.out, "--out")
    assert baseline is not None
    base = load_profile(given.profile, PROFILES).path
    limits = limits_of(changes_of(baseline, power, given.floor), given.sample)
    if limits.tells_nothing:
        lines = [tr(f"no fault can be told from the floor by {given.sample} prompts: no profile is written")]
        sys.stderr.write("\n".join([*lines, *(tr(line) for line in said(limits)[2:])]) + "\n")
        return NOTHING
    text = profile_text(out.stem if out else f"{base.stem}-reference", _name(base, given.profile), baseline, limits)
    if out is None:
        tell(text)
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as broken:
        raise UsageProblem(f"--out: {shown(out)} cannot be written: {broken.strerror}") from None
    lines = [*said(limits), f"written: {out}", f"next: {shlex.join([*SMOKE, f'--vlm-profile={out}'])}"]
    tell("".join(f"{tr(line)}\n" for line in lines))
    return 0


def _name(base: Path, given: str) -> str:
    """How the profile names the one that it extends: by name if it is of the suite, else by its path."""
    return given if base.parent == PROFILES else str(base.resolve())
