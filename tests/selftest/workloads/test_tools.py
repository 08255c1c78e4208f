"""Requests with tools: what they ask for, and that one part alone is made longer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.core.chance import Chance
from vlm_acceptance.workloads import tools as workload

MORE = "amber lantern violin"


def bodies(shape: str) -> dict[str, dict[str, Any]]:
    return workload.growth_bodies("m", Chance("1"), MORE, shape)


@pytest.mark.parametrize("name", workload.CHOICES)
def test_a_demanded_call_is_one_of_several_tools(name: str) -> None:
    wanted, names, _, has_picture = workload.CHOICES[name]
    body = workload.call_body("m", name, stream=True)
    assert [tool["function"]["name"] for tool in body["tools"]] == list(workload.PARAMETERS)
    assert all(tool["function"]["strict"] for tool in body["tools"])
    assert (body["tool_choice"], body["parallel_tool_calls"], body["stream"]) == (wanted, False, True)
    assert set(names) <= set(workload.PARAMETERS)
    assert isinstance(body["messages"][0]["content"], list) is has_picture


def test_a_call_is_written_as_the_profile_says() -> None:
    sent = workload.written_body("m", '<call>{"name": "{name}", "arguments": {arguments}}', stream=True)
    text = '<call>{"name": "open_gate", "arguments": {"gate": "north"}}'
    assert sent["structured_outputs"] == {"grammar": f"root ::= {json.dumps(text)}"}
    assert (sent["tool_choice"], sent["stream"]) == ("auto", True)
    assert not any(tool["function"]["strict"] for tool in sent["tools"])


@pytest.mark.parametrize("shape", workload.SHAPES)
def test_each_part_alone_is_made_longer(shape: str) -> None:
    sent = bodies(shape)
    texts = {name: json.dumps([body["messages"], body["tools"]]) for name, body in sent.items()}
    assert texts[workload.ALONE].count(MORE) == texts[workload.BASE].count(MORE) == 0
    for name in (workload.ALONE_LONGER, *workload.SHAPES[shape].parts):
        assert texts[name].count(MORE) == 1
        other = workload.ALONE if name == workload.ALONE_LONGER else workload.BASE
        assert texts[name].replace(f"{MORE} ", "") == texts[other]


def test_the_answer_of_a_tool_is_sent_in_each_shape() -> None:
    for name, shape in workload.SHAPES.items():
        body = bodies(name)[workload.BASE]
        _, called, result, *after = body["messages"]
        assert result["tool_call_id"] == called["tool_calls"][0]["id"]
        assert isinstance(result["content"], list) is shape.is_list
        assert [one["role"] for one in after] == (["assistant", "user"] if shape.has_question else [])
        assert any(isinstance(one["content"], list) for one in after) is shape.has_picture
        assert body.get("stream", False) is shape.is_streamed


def test_a_picture_is_in_the_answer_of_a_tool_alone() -> None:
    sent = {name: json.dumps(body["messages"]) for name, body in workload.picture_bodies("m").items()}
    seen = {name for name, text in sent.items() if "image_url" in text}
    assert seen == {workload.ALONE_SEEN, workload.BASE_SEEN}


def test_every_bad_request_is_another_one() -> None:
    sent = {json.dumps(fields) for fields in workload.bad_tools().values()}
    assert len(sent) == len(workload.bad_tools())
