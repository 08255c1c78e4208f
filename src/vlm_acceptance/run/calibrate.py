"""Records a finished run as the calibration of its deployment: right answers, latency budgets, capacity.

    python -m vlm_acceptance.run.calibrate RUN FILE

RUN is the folder of the run, or reports/latest. FILE becomes a profile that extends the profile of the run; it must
not exist. Do this only if the deployment is known to be right.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from vlm_acceptance.config.ladder_sections import RecordedCapacity
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import SMOKE, output_file
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import MB, BadFile, is_file, read_json
from vlm_acceptance.core.help_text import HelpText
from vlm_acceptance.run import calibration

USAGE, ENVIRONMENT = 4, 10
SUMMARY_BYTES = 32 * MB


def proposal_of(run: Path) -> Mapping[str, Any]:
    """What a finished run can record; UsageProblem when the folder holds no finished run."""
    path = run / "summary.json"
    if not is_file(path):
        raise UsageProblem(f"{run} is not the folder of a finished run: it holds no summary.json")
    try:
        summary = read_json(path, SUMMARY_BYTES)
        found = _Proposal.model_validate(summary["calibration"])
    except BadFile as broken:
        raise UsageProblem(f"{path} {broken}") from None
    except (ValueError, LookupError, TypeError):
        raise UsageProblem(f"{path} has no calibration: it is of another release, or not a summary") from None
    return found.model_dump(exclude_unset=True)


class _Capability(Section):
    """The keys of `capability` that a run records."""

    calibrated: Literal[True]
    recorded: dict[str, int]


class _Latency(Section):
    """The keys of `latency` that a run records."""

    recorded: Literal[True]
    categories: dict[str, Budget]


class _Ladder(Section):
    """The keys of `ladder` that a run records."""

    baseline: dict[str, RecordedCapacity]


class _Content(Section):
    """What a part adds to a profile: no other key, so that a stored run cannot change how an engine is started."""

    capability: _Capability | None = None
    latency: _Latency | None = None
    ladder: _Ladder | None = None


class _Part(BaseModel):
    content: _Content
    summary: str


class _Proposal(BaseModel):
    """What `calibration.proposal` has written."""

    base: str
    missing: list[Literal["capability", "latency", "ladder"]]
    parts: dict[Literal["capability", "latency", "ladder"], _Part]


def record(run: Path, file: Path) -> tuple[bool, list[str]]:
    """Write the profile; whether anything was recorded, and the lines to print."""
    proposed = proposal_of(run)
    base = Path(proposed["base"])
    if not base.is_absolute() or not is_file(base):
        raise UsageProblem(f"{run}: the profile of the run, {base}, does not exist any more")
    load_profile(str(base), PROFILES)
    if absent := [part for part in proposed["missing"] if part not in proposed["parts"]]:
        raise UsageProblem(f"{run}: summary.json proposes nothing for {', '.join(absent)}")
    if not proposed["missing"]:
        return False, [f"  nothing to record: the profile {base.name} is calibrated"]
    lines = calibration.write_profile(file, base, proposed["missing"], proposed, run.resolve().name)
    return file.exists(), lines


def main(args: Sequence[str] | None = None) -> int:
    """Record the run; 0 if anything was recorded, 1 if not, 4 for a wrong argument."""
    program = None if args is None else "vlm-acceptance calibrate"
    options = argparse.ArgumentParser(program, description=__doc__, formatter_class=HelpText)
    options.add_argument("run", type=Path, metavar="RUN")
    options.add_argument("file", metavar="FILE")
    given = options.parse_args(args)
    try:
        file = output_file(given.file, "FILE")
        assert file is not None
        is_recorded, lines = record(given.run, file)
    except OSError as broken:
        sys.stderr.write(f"{given.file!r} cannot be written: {broken.strerror}\n")
        return ENVIRONMENT
    except UsageProblem as wrong:
        sys.stderr.write(f"{wrong}\n")
        return USAGE
    if is_recorded:
        lines.append(f"  next: {shlex.join([*SMOKE, f'--vlm-profile={file}'])}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if is_recorded else 1


if __name__ == "__main__":
    sys.exit(main())
