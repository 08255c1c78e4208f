"""Offline answers compared with served ones, and how an engine ended."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vlm_acceptance.checks.release import ended_cleanly, hardly_alike, memory_returned, reply_to, same_texts
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply, Request

CLEAN = ExitReport(code=0, on_request=True, seconds=2.0)


def reply(text: str) -> Reply:
    return Reply(text, "stop", None, "m", 0.1)


def test_an_offline_answer_is_found_by_its_id_or_is_a_missing_answer() -> None:
    replies = {"ocr/sign-1": reply("RIVER")}
    assert reply_to(replies, "ocr/sign-1") == reply("RIVER")
    missing = reply_to(replies, "ocr/sign-2")
    assert isinstance(missing, NoReply)
    assert "ocr/sign-2" in str(missing)


def served(text: str | None, *likely: tuple[str, float]) -> Exchange:
    """A served answer of one token with its alternatives; None: no answer."""
    listed = [{"token": text, "logprob": -0.6}, *({"token": token, "logprob": p} for token, p in likely)]
    content = [{**listed[0], "top_logprobs": listed}]
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "length", "logprobs": {"content": content}}
    raw = json.dumps({"choices": [choice]}).encode()
    return Exchange("r", Request("POST", "/"), "", 0, 1, 500 if text is None else 200, body=raw)


def test_equal_texts_are_counted_and_each_different_one_is_found() -> None:
    online = [served("a"), served("b"), served(None), served("d"), served(None)]
    offline = [reply("a"), reply("B"), reply("c"), NoReply("lost"), NoReply("gone")]
    same = same_texts("sign", online, offline)
    assert (same.equal, same.near_ties, same.agreed) == (1, 0, 1)
    assert [finding.where for finding in same.found] == ["sign-2", "sign-3", "sign-4", "sign-5"]
    assert "HTTP 500" in same.found[1].expected
    assert "lost" in same.found[2].observed


@pytest.mark.parametrize(("tie", "near_ties"), [(None, 0), (0.05, 0), (0.5, 1)])
def test_an_offline_text_may_differ_at_a_near_tie(tie: float | None, near_ties: int) -> None:
    same = same_texts("sign", [served("red", ("blue", -0.7)), served("red")], [reply("blue"), reply("blue")], tie)
    assert (same.equal, same.near_ties) == (0, near_ties)
    assert [finding.where for finding in same.found] == ["sign-1", "sign-2"][near_ties:]


@pytest.mark.parametrize(("alike", "is_found"), [(0, True), (1, True), (2, False), (8, False)])
def test_an_engine_of_which_hardly_an_answer_agrees_is_another_one(alike: int, is_found: bool) -> None:
    same = same_texts("sign", [served("a")] * 8, [reply("a")] * alike + [reply("b")] * (8 - alike))
    assert [finding.observed for finding in hardly_alike("sign", same)] == [f"{alike} of 8 agree"] * is_found


def test_an_orderly_end_has_no_finding() -> None:
    assert ended_cleanly(CLEAN, "the engine") == []
    assert ended_cleanly(replace(CLEAN, code=-15), "the engine") == []


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (None, ["release.ending"]),
        (replace(CLEAN, on_request=False, killed=("pid 7 vllm",)), ["release.sigterm"]),
        (replace(CLEAN, killed=("pid 8 EngineCore",)), ["release.children"]),
        (replace(CLEAN, left=("pid 9 VLLM::Worker",)), ["release.left"]),
        (replace(CLEAN, on_request=False, left=("pid 9 VLLM::Worker",)), ["release.sigterm", "release.left"]),
    ],
)
def test_a_process_that_did_not_end_on_request_is_found(ending: ExitReport | None, expected: list[str]) -> None:
    assert [finding.check for finding in ended_cleanly(ending, "the engine")] == expected


def test_memory_that_was_not_returned_is_found_and_unobserved_memory_is_not_judged() -> None:
    assert [finding.observed for finding in memory_returned(False, "21000 MB in use")] == ["21000 MB in use"]
    assert memory_returned(True, "3000 MB in use") == memory_returned(None, "unobserved") == []
