"""The last test: the engine is released, and nothing of it is left."""

import pytest

from vlm_acceptance.checks import release as checks
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.engine import port

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched")]


def test_engine_is_released(deployment, suite, judge):
    """On SIGTERM the engine MUST end within its time, leave no process, free its port and give device memory back."""
    judge.note(alive="yes" if not deployment.process.has_exited else "no")
    ending = deployment.stop()
    judge.add(checks.ended_cleanly(ending, "the engine"))
    if port.is_open(deployment.port, deployment.profile.engine.host):
        judge.add([Finding("release.port", f"port {deployment.port} closed", "it still accepts connections")])
    back, seen = suite.device_returned()
    judge.add(checks.memory_returned(back, seen))
    judge.note(seconds=ending.seconds, exit_code=ending.code, device_memory=seen)
