"""The session's fixtures: profile, server, offline engine, and for each test a deployment, an asker and a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from vlm_acceptance.accuracy.run import Accuracy
from vlm_acceptance.cases.picture_servers import serve_pictures
from vlm_acceptance.checks import edge_inputs
from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.client.recording import Asker
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.logprobs import Numbers
from vlm_acceptance.engine.offline import OfflineRun
from vlm_acceptance.engine.server import Deployment
from vlm_acceptance.pytest_plugin import FINDINGS, PROPERTIES, SUITE
from vlm_acceptance.run import summary
from vlm_acceptance.run.context import IMAGES, Once, Suite
from vlm_acceptance.run.findings import Judge

pytest_plugins = ["vlm_acceptance.pytest_plugin"]


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config) -> Suite:
    """The state of this run."""
    return pytestconfig.stash[SUITE]


@pytest.fixture(scope="session", autouse=True)
def junit_properties(pytestconfig: pytest.Config, record_testsuite_property: Callable[..., None]) -> Iterator[None]:
    """What was judged, in the JUnit file; the first half is there even when the run is interrupted."""
    suite = pytestconfig.stash.get(SUITE, None)
    for name, value in summary.known_before(suite).items() if suite else ():
        record_testsuite_property(name, value)
    yield
    for name, value in summary.known_after(suite).items() if suite else ():
        record_testsuite_property(name, value)


@pytest.fixture(scope="session")
def profile(suite: Suite) -> Profile:
    """What is deployed and what it must reach."""
    return suite.profile


@pytest.fixture(scope="session")
def vllm_server(suite: Suite) -> Iterator[Once[Deployment]]:
    """`vllm serve`, started when the first test asks for it (or the attached endpoint), released at the end."""
    yield suite.launch
    suite.release()


@pytest.fixture(scope="session")
def offline_llm(suite: Suite) -> Once[OfflineRun]:
    """The offline `LLM`: one batch, run before the server starts, gone when it is done."""
    return suite.offline


@pytest.fixture
def deployment(suite: Suite, vllm_server: Once[Deployment]) -> Deployment:
    """The deployment, every rung of its readiness proven, still alive."""
    return suite.ready_deployment()


@pytest.fixture
def offline(offline_llm: Once[OfflineRun]) -> OfflineRun:
    """The offline engine's answers."""
    return offline_llm.get()


@pytest.fixture
def offline_numbers(offline: OfflineRun) -> Mapping[str, Numbers]:
    """The offline engine's log probabilities by prompt id; a test that asks for them has them made."""
    return {name.removeprefix("numbers/"): found for name, found in offline.numbers.items()}


@pytest.fixture(scope="session")
def picture_server() -> Iterator[str]:
    """Base URL under which a launched engine finds the pictures."""
    with serve_pictures(IMAGES) as url:
        yield url


@pytest.fixture
def ask(suite: Suite, deployment: Deployment, judge: Judge, request: pytest.FixtureRequest) -> Asker:
    """Asks the deployment; every exchange is recorded under this test's id, and no answer may be degenerate."""

    def record(exchange: Exchange) -> None:
        suite.store.exchange(request.node.nodeid, exchange)
        judge.watch(edge_inputs.sane(exchange, suite.profile.model.special_tokens), exchange)

    defaults = chat_defaults(suite.profile.model.thinking)
    return Asker(deployment.client, deployment.model_id, suite.profile.deadlines, record, suite.warm, defaults)


@pytest.fixture
def judge(suite: Suite, request: pytest.FixtureRequest) -> Judge:
    """Collects findings; the test fails at its end with all of them."""
    settings = suite.settings
    base_url = suite.launch.value.base_url if suite.launch.value else ""
    made = Judge(request.node.nodeid, suite.store, base_url, settings.api_key_env, settings.evidence)
    request.node.stash[PROPERTIES] = made.properties
    request.node.stash[FINDINGS] = made.rows
    return made


@pytest.fixture
def accuracy(suite: Suite, vllm_server: Once[Deployment]) -> Accuracy:
    """The accuracy run, made once: by the server, or before it starts by the offline engine."""
    return suite.accuracy.get()
