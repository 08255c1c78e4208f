"""The last tests: the engine ends, also while it answers, and no part of it is left."""

import pytest

from vlm_acceptance.checks import draining
from vlm_acceptance.checks import release as checks
from vlm_acceptance.config.engine_args import stated_seconds
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.engine import port
from vlm_acceptance.workloads.draining import drain

# clients wait so long for an engine that ends
LEFT_S = 10

pytestmark = pytest.mark.needs("launched")


@pytest.mark.slow
def test_ending_engine_gives_no_half_answer(client, deployment, profile, findings, known, chance):
    """On SIGTERM, requests in flight and new ones MUST be answered as a whole, refused, or cut so that it shows."""
    promised_s = stated_seconds(profile.engine.args, "shutdown-timeout")
    # the suite kills what has not ended in time, and an engine may wait for its clients
    patience_s = min(promised_s + LEFT_S, profile.engine.stop_timeout_s / 2)
    seen = drain(client, deployment.stop, profile.model.max_model_len, patience_s, chance)
    findings.note(**draining.figures(seen))
    findings.add(draining.half_answers(seen))
    findings.add(draining.cut_too_early(seen, min(promised_s, patience_s)))
    still_open = draining.left_open(seen)
    issues = known.of("ending") if still_open else []
    for issue in issues:
        known.report(issue)
    findings.add([] if issues else still_open)
    if not seen.in_flight and not findings.all:
        pytest.skip("no request was in flight any more when the engine was asked to end")


@pytest.mark.smoke
def test_engine_is_released(vllm_server, context, findings):
    """On SIGTERM the engine MUST end in time, leave no process, free its port and return the device memory."""
    deployment = context.deployment_to_release()
    findings.note(alive="yes" if not deployment.process.has_exited else "no")
    ending = deployment.stop()
    findings.add(checks.ended_cleanly(ending, "the engine"))
    context.record.late_children["server"] = ending.late
    host, number = deployment.profile.engine.host, deployment.port
    if context.observed("port_open", bool, lambda: port.is_open(number, host)):
        findings.add([Finding(kinds.RELEASE_PORT, f"port {deployment.port} closed", "it still accepts connections")])
    release = context.record.server_release = context.device_returned()
    findings.add(checks.memory_returned(release.returned, release.seen))
    findings.note(seconds=ending.seconds, exit_code=ending.code, device_memory=release.seen)
