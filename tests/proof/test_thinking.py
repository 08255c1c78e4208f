"""Reasoning: a stand-in that thinks, as no model here does, and each way in which its reasoning is not apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from check_ids import node
from fault_stages import Call, Frames, Response, Stages, chunk_of, edits_answers, frame_of, said
from owners_tools import REASONING, THINKING
from standins.fault_proxy import FaultProxy
from standins.quick_server import MODEL, Behaviour, QuickServer

THOUGHT = "From 9:40 to 11:05 it is one hour and 25 minutes."
ANSWER = "It takes 85 minutes."
THINKS = (
    *("--vlm-profile=control-cpu", f"--vlm-set=model.id={MODEL}", "--vlm-set=api.reasoning=true"),
    *map(node, THINKING),
)
Edit = Callable[[dict[str, Any]], None]


def thinking(field: str = "reasoning", edit: Edit = lambda part: None) -> Stages:
    """Stages of an endpoint that thinks, with the thought in this field; `edit` changes the part that has it.

    That part is the message, in a stream the first delta.
    """

    def think(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            if said(choice).get("role") == "assistant":
                said(choice)[field] = THOUGHT
                edit(said(choice))

    return edits_answers(think)


def into_text(part: dict[str, Any]) -> None:
    part["content"] = f"{part.pop('reasoning')} {part['content']}"


def marked(part: dict[str, Any]) -> None:
    part["content"] = f"</think>{part['content']}"


def copied(part: dict[str, Any]) -> None:
    part["content"] = f"{THOUGHT} {part['content']}"


def dropped(part: dict[str, Any]) -> None:
    del part["reasoning"]


def unanswered() -> Stages:
    """All of the answer is taken for reasoning, where the model is asked to think."""

    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"] if b"Think first" in call.body else ():
            said(choice)["reasoning"], said(choice)["content"] = said(choice).get("content"), None

    return edits_answers(edit)


def late() -> Stages:
    """The reasoning is in the last event of a stream with a choice."""

    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            chunk = chunk_of(frame)
            if chunk is not None and any(choice.get("finish_reason") for choice in chunk["choices"]):
                chunk["choices"][0]["delta"]["reasoning"] = THOUGHT
                yield frame_of(chunk)
            else:
                yield frame

    return replace(thinking(), frames=frames)


def only_streams(stages: Stages) -> Stages:
    def response(call: Call, response: Response) -> Response:
        return thinking().response(call, response)

    return replace(stages, response=response)


FAULTS = {
    "reasoning-in-text": (thinking(edit=into_text), "no reasoning beside the text"),
    "reasoning-mark-left": (thinking(edit=marked), "'</think' is left in the text"),
    "reasoning-copied": (thinking(edit=copied), "the reasoning is in the text, too"),
    "reasoning-dropped": (thinking(edit=dropped), "no reasoning beside the text"),
    "reasoning-without-answer": (unanswered(), "no text after the reasoning"),
    "reasoning-late": (late(), "after the text began"),
    "reasoning-in-text-streamed": (only_streams(thinking(edit=into_text)), "no reasoning beside the text"),
}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_in_a_field_of_its_own_is_accepted(accept, field):
    with QuickServer(Behaviour(says=ANSWER)) as server, FaultProxy(server.url, stages=thinking(field)) as proxy:
        run = accept(*THINKS, f"--vlm-base-url={proxy.url}")
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(THINKING)), run.out


@pytest.mark.parametrize("fault", REASONING)
def test_reasoning_that_is_not_apart_is_refused(accept, prove, fault):
    stages, says = FAULTS[fault]
    with QuickServer(Behaviour(says=ANSWER)) as server, FaultProxy(server.url, stages=stages) as proxy:
        run = accept(*THINKS, f"--vlm-base-url={proxy.url}")
    assert says in run.messages
    prove(fault, run)
