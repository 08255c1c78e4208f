"""Whether chance is accepted and a swapped word refused, at an engine whose rounding changes with every request.

`python benchmarks/near_ties.py [--runs N]` starts the control once, with rounding noise of bfloat16 on every logit and
near-ties of two tokens (`tests/proof/mutant_engine.py`). The tests that compare two greedy answers run N times; then N
times behind a proxy that swaps two words, in every answer or in every second one. Exit code 1 when a run of the first
kind is refused, when one of the second kind is not, or when no answer differed at a near-tie.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROOF = ROOT / "tests" / "proof"
sys.path[:0] = [str(ROOT / "src"), str(PROOF)]  # the stand-ins are scripts, not a package

from acceptance_runs import CONTROL, Run, run_suite  # noqa: E402
from check_ids import OPENAI, SAME, SAME_LOGPROBS, node  # noqa: E402
from mutant_engine import NOISY  # noqa: E402
from standins.fault_proxy import FaultProxy  # noqa: E402

from vlm_acceptance.config.options import PROFILES  # noqa: E402
from vlm_acceptance.config.profile_file import load_profile  # noqa: E402
from vlm_acceptance.engine.installation import find_engine  # noqa: E402
from vlm_acceptance.engine.process import run_tag  # noqa: E402
from vlm_acceptance.engine.server import launch  # noqa: E402

# as the profile of a real model has it: the default limits, and no promise of equal texts
REAL = (
    "--vlm-profile=control-cpu",
    "--vlm-set=logprobs.batch_invariant=false",
    "--vlm-set=logprobs.baseline=null",
    "--vlm-set=logprobs.steady=0.14",
    "--vlm-set=logprobs.steady_prompt=0.4",
)
TESTS = tuple(map(node, (SAME, OPENAI, "schema::test_stop_string_stops", SAME_LOGPROBS)))


@contextmanager
def noisy_engine(folder: Path) -> Iterator[str]:
    """The root URL of the control with noise."""
    profile = load_profile("control-cpu", PROFILES).profile
    python = str(find_engine(None, None, os.environ).python or sys.executable)
    env = {**os.environ, "CONTROL_MUTANT": NOISY}
    command = (python, str(PROOF / "mutant_engine.py"))
    deployment = launch(
        profile, command, CONTROL, env, folder / "server.log", run_tag(), api_key=None, progress=lambda _: None
    )
    try:
        if deployment.broken:
            raise SystemExit(f"the engine did not get ready: {deployment.broken.detail}")
        yield deployment.base_url
    finally:
        deployment.stop()


def asked(url: str, place: Path) -> Run:
    """One run of the tests that compare two greedy answers."""
    return run_suite(place, "-m", "smoke or slow", *REAL, f"--vlm-base-url={url}", *TESTS, timeout_s=600)


def differed(run: Run) -> int:
    """How many comparisons of a stream with the plain answer differed at a near-tie."""
    tests = run.summary["tests"] if run.summary else []
    values = [str(value) for test in tests for value in (test.get("properties") or {}).values()]
    return sum("nats apart" in value for value in values)


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
            accepted, ties = accepted + good, ties + differed(run)
            print(f"noise {number + 1}: {'accepted' if good else run.messages}; {differed(run)} near-ties", flush=True)
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
