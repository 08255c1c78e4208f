"""A deployment that answers nothing in time: said once, and no further test waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.made_context import attached

from vlm_acceptance.client.chat import get
from vlm_acceptance.core.errors import EngineFailure, NotRun
from vlm_acceptance.core.exchange import ErrorDetail, Exchange
from vlm_acceptance.engine.server import Deployment
from vlm_acceptance.run.context import HUNG, RunContext
from vlm_acceptance.run.lazy import OnceResource

LATE = Exchange("r1", get("/health", 1), "", 0, 1, error=ErrorDetail("timeout", "not complete after 1 s"))
ANSWERED = Exchange("r2", get("/health", 1), "", 0, 1, status=200)


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    made = attached(tmp_path)
    deployment = Deployment(made.profile, "http://127.0.0.1:9", None)  # type: ignore[arg-type]
    made.launch = OnceResource(lambda: deployment)
    return made


def after(context: RunContext, *exchanges: Exchange) -> Deployment:
    for one in exchanges:
        context.sent(one)
    return context.answering_deployment()


def test_some_late_requests_are_judged_by_their_tests(context: RunContext) -> None:
    assert after(context, *[LATE] * (HUNG - 1))
    assert after(context, ANSWERED, *[LATE] * (HUNG - 1))


def test_a_deployment_that_hangs_is_a_failure_once(context: RunContext) -> None:
    with pytest.raises(EngineFailure, match=f"hangs: none of the last {HUNG} requests ended within its deadline"):
        after(context, ANSWERED, *[LATE] * HUNG)
    with pytest.raises(NotRun, match="answers no request in time"):
        after(context)
    # its end is examined all the same
    assert context.deployment_to_release()
