"""Facts that only the profile states: a model that takes videos, tiles that differ from the served model's."""

from __future__ import annotations

import pytest
from check_ids import SERVED_TILES, VIDEO_TAKEN, node
from fault_stages import Stages, error_response
from faults_routes import card
from owners_clients import CARD, UNOFFERED
from owners_tools import UNOFFERED_TOOLS
from standins.fault_proxy import FaultProxy
from standins.quick_server import MODEL, Behaviour, QuickServer

# no model here takes videos: a stand-in does
TAKES_VIDEOS = ("--vlm-profile=control-cpu", f"--vlm-set=model.id={MODEL}", "--vlm-set=model.video=true")
# vLLM has no cards of single models: a gateway may have them
WANTS_CARDS = ("--vlm-profile=control-cpu", f"--vlm-set=model.id={MODEL}", "--vlm-set=api.routes=[models]", node(CARD))
OFFERS_NO_CONSTRAINTS = (
    *("--vlm-profile=control-cpu", f"--vlm-set=model.id={MODEL}", "--vlm-set=api.structured_output=false"),
    *map(node, UNOFFERED),
)

OFFERS_NO_TOOLS = (
    *("--vlm-profile=control-cpu", f"--vlm-set=model.id={MODEL}", "--vlm-set=api.tools=false"),
    *map(node, UNOFFERED_TOOLS),
)


def test_answered_video_is_accepted(accept):
    with QuickServer() as server:
        run = accept(*TAKES_VIDEOS, f"--vlm-base-url={server.url}", node(VIDEO_TAKEN))
        sent = server.seen[-1].json()["messages"][0]["content"][0]
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert len(run.ids("passed")) == 1
    assert sent["video_url"]["url"].startswith("data:video/x-msvideo;base64,UklGR")


@pytest.mark.fault("video-refused")
def test_refused_video_is_rejected(accept, prove):
    with QuickServer(Behaviour(takes_videos=False)) as server:
        run = accept(*TAKES_VIDEOS, f"--vlm-base-url={server.url}", node(VIDEO_TAKEN))
    assert "HTTP 400" in run.messages
    prove("video-refused", run)


def test_the_card_of_the_served_model_is_accepted(accept):
    with QuickServer() as server, FaultProxy(server.url, stages=card(MODEL)) as proxy:
        run = accept(*WANTS_CARDS, f"--vlm-base-url={proxy.url}")
    assert (run.refused_by, len(run.ids("passed"))) == (set(), 1), run.out


@pytest.mark.fault("model-card-of-another")
def test_the_card_of_another_model_is_rejected(accept, prove):
    with QuickServer() as server, FaultProxy(server.url, stages=card("another")) as proxy:
        run = accept(*WANTS_CARDS, f"--vlm-base-url={proxy.url}")
    assert "another" in run.messages
    prove("model-card-of-another", run)


@pytest.mark.fault("model-card-missing")
def test_a_missing_card_is_rejected_and_its_key_named(accept, prove):
    with QuickServer() as server:
        run = accept(*WANTS_CARDS, f"--vlm-base-url={server.url}")
    assert "api.routes: models" in run.messages
    prove("model-card-missing", run)


def refuses_constraints(status):
    """Stages of an endpoint that answers each constraint with this status."""

    def instead(call):
        body = call.json() or {}
        is_constrained = bool(body.get("response_format") or body.get("structured_outputs"))
        return error_response(status, "no structured output here") if is_constrained else None

    return Stages(instead=instead)


def test_readable_refusals_of_what_is_not_offered_are_accepted(accept):
    with QuickServer() as server, FaultProxy(server.url, stages=refuses_constraints(400)) as proxy:
        run = accept(*OFFERS_NO_CONSTRAINTS, f"--vlm-base-url={proxy.url}")
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(UNOFFERED)), run.out


@pytest.mark.fault("unoffered-constraint-error")
def test_server_errors_at_what_is_not_offered_are_rejected(accept, prove):
    with QuickServer() as server, FaultProxy(server.url, stages=refuses_constraints(500)) as proxy:
        run = accept(*OFFERS_NO_CONSTRAINTS, f"--vlm-base-url={proxy.url}")
    assert "HTTP 500" in run.messages
    prove("unoffered-constraint-error", run)


def refuses_tools(status):
    """Stages of an endpoint that answers each request with tools with this status."""

    def instead(call):
        return error_response(status, "no tools here") if (call.json() or {}).get("tools") else None

    return Stages(instead=instead)


@pytest.mark.parametrize("stages", [refuses_tools(400), Stages()], ids=["refused", "passed-over"])
def test_readable_refusals_of_tools_and_plain_answers_are_accepted(accept, stages):
    with QuickServer() as server, FaultProxy(server.url, stages=stages) as proxy:
        run = accept(*OFFERS_NO_TOOLS, f"--vlm-base-url={proxy.url}")
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(UNOFFERED_TOOLS)), run.out


@pytest.mark.fault("unoffered-tools-error")
def test_server_errors_at_tools_are_rejected(accept, prove):
    with QuickServer() as server, FaultProxy(server.url, stages=refuses_tools(500)) as proxy:
        run = accept(*OFFERS_NO_TOOLS, f"--vlm-base-url={proxy.url}")
    assert "HTTP 500" in run.messages
    prove("unoffered-tools-error", run)


@pytest.mark.fault("unoffered-tools-marked")
def test_marks_of_calls_that_no_parser_reads_are_rejected(accept, prove):
    with QuickServer(Behaviour(says='<tool_call>{"name": "open_gate", "arguments": {}}</tool_call>')) as server:
        run = accept(*OFFERS_NO_TOOLS, f"--vlm-base-url={server.url}")
    assert "'<tool_call' is left in the text" in run.messages
    prove("unoffered-tools-marked", run)


@pytest.mark.fault("tiles-said-otherwise")
def test_profile_of_other_tiles_than_the_served_models_is_an_error(accept, prove):
    run = accept("--vlm-profile=control-cpu", "--vlm-set=model.pictures.tile_px=448", node(SERVED_TILES))
    assert "the profile says model.pictures.tile_px: 448, the served config.json 112" in run.messages
    prove("tiles-said-otherwise", run)
