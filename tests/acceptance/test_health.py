"""Is it up, is it the right deployment, and does it answer? `/health` alone does not prove liveness."""

import pytest

from vlm_acceptance.checks import completion, server_info
from vlm_acceptance.client.chat import plain_url
from vlm_acceptance.engine import log as engine_log

pytestmark = pytest.mark.smoke


# engine starts have their own deadlines, longer than that of a test
@pytest.mark.timeout(0)
def test_readiness(context, vllm_server, findings, stage):
    """The deployment MUST reach every stage of readiness, in order."""
    findings.note(seen=context.require_stage(stage))


@pytest.mark.needs("server_paths")
def test_health_answers(client, findings):
    """`/health` MUST answer 200 within its deadline."""
    exchange = client.get("/health")
    findings.add(server_info.healthy(exchange), exchange)


def test_models_lists_the_served_model(client, findings, profile):
    """`/v1/models` MUST list the profile's model with its context length."""
    exchange = client.get("/v1/models")
    findings.add(server_info.lists_model(exchange, client.model_id, profile.model.max_model_len), exchange)


@pytest.mark.needs("server_paths")
def test_version_is_reported(client, findings, profile):
    """`/version` MUST give the engine's version, and that of the profile where it has one."""
    exchange = client.get("/version")
    findings.add(server_info.reports_version(exchange, profile.versions.get("vllm")), exchange)
    findings.note(version=exchange.body.decode("utf-8", "replace")[:80])


@pytest.mark.needs("server_paths")
def test_metrics_count(client, findings, profile):
    """`/metrics` MUST have vLLM's counters, and they MUST count a request."""
    before = client.get("/metrics")
    client.chat("Reply with OK.", max_tokens=1)
    after = client.get("/metrics")
    findings.add(server_info.metrics_present(after, profile.metrics), after)
    findings.add(server_info.metrics_moved(before, after, ("vllm:prompt_tokens", "vllm:generation_tokens")), after)


def test_text_probe(client, findings):
    """A warm text request MUST be answered within its deadline."""
    exchange = client.chat("Reply with OK.", max_tokens=8)
    findings.add(completion.answered(exchange.reply), exchange)


def test_picture_probe(client, findings):
    """A warm request about a picture MUST be answered within its deadline."""
    picture = plain_url(64, 64, (255, 0, 0))
    exchange = client.chat("What colour is this picture? Answer with one word.", (picture,), max_tokens=8)
    findings.add(completion.answered(exchange.reply), exchange)


@pytest.mark.needs("launched")
def test_engine_log_figures(deployment, findings, profile):
    """Mode and model memory in the log MUST be those of the profile; load time and KV cache are reported."""
    facts = engine_log.figures(deployment.log_text().splitlines())
    findings.note(**server_info.shown(facts))
    if profile.model_memory_gib is not None:
        findings.add(server_info.close_to(facts.model_memory_gib, profile.model_memory_gib, "model memory in GiB"))
    if profile.engine.mode is not None:
        findings.add(server_info.mode_is(facts, profile.engine.mode))
    findings.add(server_info.graphs_are(facts, profile.engine.graph_sizes))
