"""The control that knows long texts, at nearly the whole length of its context: what is lost there is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from check_ids import LONGEST_PROMPT, node, short
from conftest import control_engine
from standins.fault_proxy import FaultProxy

from vlm_acceptance.engine.server import Deployment

PROFILE = "control-long"
# always the same texts: one guess in sixty at a lost password is right, and one of two in its place is enough
OPTIONS = ("-m", "slow", f"--vlm-profile={PROFILE}", "--vlm-seed=3", node(LONGEST_PROMPT))
LOST = ("long-beginning-unattended", "long-picture-unattended")
LOST_IN_PART = "long-middle-unattended"


@pytest.fixture(scope="module")
def long_control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """This control on a real engine, which reads long prompts in pieces of 512 tokens."""
    yield from control_engine(tmp_path_factory.mktemp("long") / "server.log", profile=PROFILE)


def test_everything_hidden_in_a_prompt_of_nearly_the_whole_context_is_found(accept, long_control):
    run = accept(*OPTIONS, f"--vlm-base-url={long_control.base_url}", timeout_s=280)
    assert [short(ident) for ident in run.ids("passed")] == [LONGEST_PROMPT], run.out


@pytest.mark.parametrize("lost", [*LOST, pytest.param(LOST_IN_PART, marks=pytest.mark.part)])
def test_a_part_of_it_that_is_not_attended_to_is_refused(accept, long_control, seed, lost):
    with FaultProxy(long_control.base_url, lost, seed=seed) as proxy:
        run = accept(*OPTIONS, f"--vlm-base-url={proxy.url}", timeout_s=280)
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == {LONGEST_PROMPT}
