"""Fixtures: profile and engines of the session, and for each test the deployment, a client and its findings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from vlm_acceptance.accuracy.run import AccuracyResult
from vlm_acceptance.cases.picture_servers import serve_pictures
from vlm_acceptance.checks import edge_inputs
from vlm_acceptance.client.gateway import TOO_MANY
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.engine.offline import OfflineRun
from vlm_acceptance.engine.server import Deployment
from vlm_acceptance.report.evidence import Further
from vlm_acceptance.run import calibration, summary
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.findings import FindingCollector
from vlm_acceptance.run.inputs import IMAGES, RunInputs
from vlm_acceptance.run.lazy import OnceResource
from vlm_acceptance.run.stash_keys import COLLECTOR, CONTEXT
from vlm_acceptance.workloads.logprobs import OFFLINE

# in place of a server that a stored run needs no more; its requests name the port of that run
NOWHERE = "http://127.0.0.1:1"

pytest_plugins = ["vlm_acceptance.pytest_plugin"]


@pytest.fixture(scope="session")
def context(pytestconfig: pytest.Config) -> RunContext:
    """The engines and the record of this run."""
    return pytestconfig.stash[CONTEXT]


@pytest.fixture(scope="session", autouse=True)
def junit_properties(pytestconfig: pytest.Config, record_testsuite_property: Callable[..., None]) -> Iterator[None]:
    """Properties of the JUnit file; those known before the tests are written even when the run is interrupted."""
    context = pytestconfig.stash.get(CONTEXT, None)
    for name, value in summary.known_before(context).items() if context else ():
        record_testsuite_property(name, value)
    yield
    for name, value in summary.known_after(context).items() if context else ():
        record_testsuite_property(name, value)


@pytest.fixture(scope="session")
def profile(context: RunContext) -> Profile:
    """The profile: what is deployed, and what it must reach."""
    return context.profile


@pytest.fixture(scope="session")
def inputs(context: RunContext) -> RunInputs:
    """The questions and prompts of the run."""
    return context.inputs


@pytest.fixture(scope="session")
def vllm_server(context: RunContext) -> Iterator[OnceResource[Deployment]]:
    """`vllm serve`, started when the first test needs it, or the attached endpoint; released at the end."""
    yield context.launch
    context.release()


@pytest.fixture(scope="session")
def offline_llm(context: RunContext) -> OnceResource[OfflineRun]:
    """The offline `LLM`: one batch; it runs and ends before the server starts."""
    return context.offline


@pytest.fixture
def deployment(context: RunContext, vllm_server: OnceResource[Deployment]) -> Deployment:
    """The deployment, alive, with every stage of its readiness proven."""
    return context.answering_deployment()


@pytest.fixture
def offline(offline_llm: OnceResource[OfflineRun]) -> OfflineRun:
    """The offline engine's answers."""
    return offline_llm.get()


@pytest.fixture
def offline_logprobs(offline: OfflineRun) -> Mapping[str, LogProbs]:
    """The offline engine's log probabilities by prompt id; they are computed only when a test needs them."""
    return {name.removeprefix(OFFLINE): found for name, found in offline.logprobs.items()}


@pytest.fixture(scope="session")
def picture_server(context: RunContext) -> Iterator[str]:
    """Base URL of the pictures for a launched engine."""
    with serve_pictures(IMAGES) if not context.settings.judged else contextlib.nullcontext(NOWHERE) as url:
        yield url


@pytest.fixture
def client(
    context: RunContext, deployment: Deployment, findings: FindingCollector, request: pytest.FixtureRequest
) -> RecordingClient:
    """Sends requests to the deployment, records every exchange of this test, and watches for degenerate answers."""

    def record(exchange: Exchange) -> None:
        context.store.exchange(request.node.nodeid, context.with_waits(exchange))
        context.sent(exchange)
        context.record.too_many += exchange.status == TOO_MANY
        findings.watch(edge_inputs.sane(exchange, context.profile.model.special_tokens), exchange)

    return context.recording_client(deployment, record)


@pytest.fixture
def findings(context: RunContext, request: pytest.FixtureRequest) -> FindingCollector:
    """Collects findings; the test fails with all of them when it ends."""
    settings = context.settings
    base_url = context.launch.value.base_url if context.launch.value else ""
    made = FindingCollector(
        request.node.nodeid,
        context.store,
        base_url,
        settings.api_key_env,
        settings.evidence,
        partial(calibration.can_wait, context),
        context.inputs.guide_names,
        context.waited,
        Further(context.profile.endpoint.headers, context.gateway.ca_bundle) if settings.base_url else Further(),
    )
    request.node.stash[COLLECTOR] = made
    return made


@pytest.fixture
def accuracy(context: RunContext, vllm_server: OnceResource[Deployment]) -> AccuracyResult:
    """The accuracy run, made once: by the server, or by the offline engine before the server starts."""
    return context.accuracy.get()
