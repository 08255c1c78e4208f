"""Whether limits from a reference's power refuse what they promise, in samples of 12 prompts drawn at random.

`python benchmarks/reference_limits.py [FILE ...]` prints the table of each reference's power, then how many of 20 drawn
samples of each change its limits refuse. Without FILE, references of the control are recorded in float32 and bfloat16
and their power is measured: about five minutes of one core. Exit code 1 when a fault that must be refused is accepted
in a sample, or right arithmetic is refused in one. It runs in the engine's interpreter.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from vlm_acceptance.checks.reference_limits import Limits, is_refused, limits_of  # noqa: E402
from vlm_acceptance.core.reference import Change  # noqa: E402
from vlm_acceptance.reference.__main__ import main as reference  # noqa: E402
from vlm_acceptance.reference.power import Reference, read_reference  # noqa: E402
from vlm_acceptance.reference.power_command import shown_table  # noqa: E402

SAMPLE, SAMPLES = 12, 20
MUST = ("int4", "noise5", "no-bos", "nearest", "norm-eps", "no-thumbnail", "tiles-reversed")


def main() -> int:
    """Print a table and the counts for each reference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reference-") as temp:
        files = given.files or [recorded(Path(temp), kind) for kind in ("float32", "bfloat16")]
        wrong = [name for file in files for name in missed(read_reference(file), given.seed)]
    return int(bool(wrong))


def recorded(folder: Path, arithmetic: str) -> Path:
    """A reference of the control with its power."""
    file, model = folder / f"{arithmetic}.jsonl", str(ROOT / "fixtures" / "control" / "model")
    threads = ("--threads", "1")
    for words in (
        ["record", "--model", model, "--out", str(file), "--arithmetic", arithmetic, *threads],
        ["power", str(file), "--model", model, *threads],
    ):
        if code := reference(words):
            sys.exit(code)
    return file


def missed(found: Reference, seed: int) -> list[str]:
    """The changes on which the limits are wrong in a sample; prints what was counted."""
    print(f"\n{found.path.name}: {found.origin.model}, {found.origin.arithmetic}\n")
    print(shown_table(found, SAMPLE, markdown=True))
    limits, wrong = limits_of(found.changes, SAMPLE), []
    for change in found.changes:
        count = refused(change, limits, seed)
        is_wrong = count > 0 if change.floor else change.name in MUST and count < SAMPLES
        wrong += [change.name] * is_wrong
        print(f"{change.name}: refused {count} of {SAMPLES}{', WRONG' * is_wrong}")
    return wrong


def refused(change: Change, limits: Limits, seed: int) -> int:
    """How many samples of different prompts, drawn at random, the limits refuse."""
    chance, prompts = random.Random(f"{seed} {change.name}"), list(change.prompts.values())
    return sum(is_refused(limits, chance.sample(prompts, SAMPLE)) for _ in range(SAMPLES))


if __name__ == "__main__":
    sys.exit(main())
