"""A test that could judge nothing is never a pass: it is skipped and says why, or names what the deployment did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acceptance_runs import Run, run_suite
from check_ids import node
from fault_stages import Call, Response, Stages, error_response
from owners_clients import KINDS_PNG, LEFT_PICTURES, LEFT_WAITING
from standins.fault_proxy import FaultProxy
from standins.quick_server import Behaviour, QuickServer, Seen

SERVED = "vlm-acceptance/control"
LONG_S = 60
ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu")


def signs_fail(call: Call) -> Response | None:
    is_sign = call.is_chat and b"data:image" in call.body and b"sign" in call.body
    return error_response(500, "no room for a picture") if is_sign else None


class AllAtOnce(QuickServer):
    """Takes its time for long answers, and counts every connection but the reader's as a request that runs."""

    def answer(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        is_long = b'"ignore_eos"' in seen.body
        self.behaviour = replace(self.behaviour, token_delay_s=LONG_S if is_long else 0)
        return super().answer(seen)

    def metrics_page(self) -> str:
        return super().metrics_page().replace(" 0.0", f" {len(self.connections) - 1}.0", 1)


def outcome_of(run: Run, test: str) -> tuple[str, str]:
    assert run.summary is not None, run.out
    [found] = [one for one in run.summary["tests"] if one["id"].endswith(node(test))]
    return found["outcome"], found["message"]


def test_leavers_of_whom_none_waited_show_nothing(tmp_path: Path) -> None:
    with AllAtOnce(Behaviour(model=SERVED)) as server:
        run = run_suite(
            tmp_path, *ATTACHED, f"--vlm-base-url={server.url}", node(LEFT_WAITING), "--vlm-set=engine.args=[]"
        )
    why = "none of 304 clients waited for a slot when they left: vllm:num_requests_waiting 0"
    assert outcome_of(run, LEFT_WAITING) == ("skipped", why), run.out


def test_requests_that_fail_are_named_where_nothing_can_be_compared(tmp_path: Path) -> None:
    tests = (LEFT_PICTURES, KINDS_PNG)
    with (
        QuickServer(Behaviour(model=SERVED)) as server,
        FaultProxy(server.url, stages=Stages(instead=signs_fail)) as proxy,
    ):
        run = run_suite(tmp_path, *ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, tests))
    for test in tests:
        outcome, message = outcome_of(run, test)
        assert outcome == "failed", run.out
        assert 'the first: HTTP 500: \'{"error":{"message":"no room for a picture"' in message
