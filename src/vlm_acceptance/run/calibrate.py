"""Records a finished run as the calibration of its deployment: the right answers of each question, latency budgets.

    python -m vlm_acceptance.run.calibrate RUN FILE

RUN is the folder of the run, or reports/latest. FILE becomes a profile that extends the profile of the run; it must
not exist. Do this only if the deployment is known to be right.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.config.paths import output_file
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.run import calibration

USAGE = 4


def proposal_of(run: Path) -> Mapping[str, Any]:
    """What a finished run can record; UsageProblem when the folder holds no finished run."""
    path = run / "summary.json"
    try:
        summary = json.loads(path.read_text("utf-8"))
        found: Mapping[str, Any] = summary["calibration"]
        return {**found, "parts": dict(found["parts"]), "missing": list(found["missing"]), "base": str(found["base"])}
    except OSError as broken:
        raise UsageProblem(f"{run} is not the folder of a finished run: {broken}") from None
    except (ValueError, LookupError, TypeError):
        raise UsageProblem(f"{path} has no calibration: it is of another release, or not a summary") from None


def record(run: Path, file: Path) -> tuple[bool, list[str]]:
    """Write the profile; whether anything was recorded, and the lines to print."""
    proposed = proposal_of(run)
    base = Path(proposed["base"])
    if not base.is_file():
        raise UsageProblem(f"{run}: the profile of the run, {base}, does not exist any more")
    if not proposed["missing"]:
        return False, [f"  nothing to record: the profile {base.name} is calibrated"]
    lines = calibration.write_profile(file, base, proposed["missing"], proposed, run.resolve().name)
    return file.exists(), lines


def main(args: Sequence[str] | None = None) -> int:
    """Record the run; 0 if anything was recorded, 1 if not, 4 for a wrong argument."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run", type=Path, metavar="RUN")
    options.add_argument("file", metavar="FILE")
    given = options.parse_args(args)
    try:
        file = output_file(given.file, "FILE")
        assert file is not None
        is_recorded, lines = record(given.run, file)
    except UsageProblem as wrong:
        sys.stderr.write(f"{wrong}\n")
        return USAGE
    if is_recorded:
        lines.append(f"  next: {shlex.join(['pytest', '-m', 'smoke', f'--vlm-profile={file}'])}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if is_recorded else 1


if __name__ == "__main__":
    sys.exit(main())
