"""The control on an engine whose rounding changes with every request, and the tests that compare two greedy answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acceptance_runs import CONTROL, PROOF, Run, run_suite
from check_ids import OPENAI, SAME, SAME_LOGPROBS, STOP, node
from mutant_engine import NOISY

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine.installation import find_engine
from vlm_acceptance.engine.process import run_tag
from vlm_acceptance.engine.server import launch

# as the profile of a real model has it: the default limits, and no promise of equal texts
REAL = (
    "--vlm-profile=control-cpu",
    "--vlm-set=logprobs.batch_invariant=false",
    "--vlm-set=logprobs.baseline=null",
    "--vlm-set=logprobs.steady=0.14",
    "--vlm-set=logprobs.steady_prompt=0.4",
)
TESTS = (SAME, STOP, OPENAI, SAME_LOGPROBS)


@contextmanager
def noisy_engine(folder: Path) -> Iterator[str]:
    """The root URL of the control with noise."""
    profile = load_profile("control-cpu", PROFILES).profile
    python = find_engine(None, None, os.environ).python or Path(sys.executable)
    command = (str(python), str(PROOF / "mutant_engine.py"))
    env = {**os.environ, "CONTROL_MUTANT": NOISY}
    deployment = launch(
        profile, command, CONTROL, env, folder / "server.log", run_tag(), api_key=None, progress=lambda _: None
    )
    try:
        assert deployment.ready, deployment.stages[-1].detail
        yield deployment.base_url
    finally:
        deployment.stop()


def asked(url: str, place: Path, *tests: str) -> Run:
    """One run, at an endpoint, of the tests that compare two greedy answers, or of these."""
    chosen = map(node, tests or TESTS)
    return run_suite(place, "-m", "smoke or slow", *REAL, f"--vlm-base-url={url}", *chosen, timeout_s=600)


def near_ties(run: Run) -> int:
    """How many streams of a run differed from the plain answer at a near-tie."""
    tests = run.summary["tests"] if run.summary else []
    return sum("nats apart" in str(value) for test in tests for value in (test.get("properties") or {}).values())
