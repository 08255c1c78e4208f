"""Whether chance is accepted and a swapped word refused, at an engine whose rounding changes with every request.

`python benchmarks/near_ties.py [--runs N]` starts the control once, with rounding noise of bfloat16 on every logit and
near-ties of two tokens (`tests/proof/mutant_engine.py`). The tests that compare two greedy answers run N times; then N
times behind a proxy that swaps two words, in every answer or in every second one. Exit code 1 when a run of the first
kind is refused, when one of the second kind is not, or when no answer differed at a near-tie.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROOF = ROOT / "tests" / "proof"
sys.path[:0] = [str(ROOT / "src"), str(PROOF)]  # the stand-ins are scripts, not a package

from noisy import TESTS, asked, near_ties, noisy_engine  # noqa: E402
from standins.fault_proxy import FaultProxy  # noqa: E402


def main() -> int:
    """Print one line per run and the totals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    accepted = refused = ties = 0
    with tempfile.TemporaryDirectory(prefix="ties-") as temp, noisy_engine(Path(temp)) as url:
        for number in range(given.runs):
            run = asked(url, Path(temp) / f"clean-{number}")
            good = not run.refused_by and len(run.ids("passed")) == len(TESTS)
            accepted, ties = accepted + good, ties + near_ties(run)
            print(f"noise {number + 1}: {'accepted' if good else run.messages}; {near_ties(run)} near-ties", flush=True)
        for number in range(given.runs):
            share = (1.0, 0.5)[number % 2]
            with FaultProxy(url, "word-swapped", magnitude=share, seed=number) as proxy:
                run = asked(proxy.url, Path(temp) / f"swapped-{number}")
            refused += run.code == 1
            print(
                f"word swapped in {share:.0%} of the answers: exit {run.code}, {len(run.refused_by)} tests", flush=True
            )
    print(
        f"noise accepted {accepted} of {given.runs}, {ties} near-ties; swapped word refused {refused} of {given.runs}"
    )
    return int(accepted < given.runs or refused < given.runs or not ties)


if __name__ == "__main__":
    sys.exit(main())
