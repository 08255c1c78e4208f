"""The last test: the engine ends, and no part of it is left."""

import pytest

from vlm_acceptance.checks import release as checks
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.engine import port

pytestmark = [pytest.mark.smoke, pytest.mark.needs("launched")]


def test_engine_is_released(deployment, context, findings):
    """On SIGTERM the engine MUST end in time, leave no process, free its port and return the device memory."""
    findings.note(alive="yes" if not deployment.process.has_exited else "no")
    ending = deployment.stop()
    findings.add(checks.ended_cleanly(ending, "the engine"))
    context.record.late_children["server"] = ending.late
    if port.is_open(deployment.port, deployment.profile.engine.host):
        findings.add([Finding(kinds.RELEASE_PORT, f"port {deployment.port} closed", "it still accepts connections")])
    release = context.record.server_release = context.device_returned()
    findings.add(checks.memory_returned(release.returned, release.seen))
    findings.note(seconds=ending.seconds, exit_code=ending.code, device_memory=release.seen)
