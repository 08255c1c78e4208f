"""Requests for log probabilities: asked, scored, repeated, and of the offline engine."""

from __future__ import annotations

import pytest

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.logprobs import MOST_TOP, listed, read_baseline
from vlm_acceptance.workloads import logprobs

IMAGES = ROOT / "fixtures" / "images"
ROWS = read_baseline(ROOT / "fixtures" / "baselines" / "control.jsonl")


def test_a_stored_answer_is_scored_as_the_last_message_that_is_to_be_continued() -> None:
    row = next(one for one in ROWS if one.prompt.pictures)
    asked, scored = logprobs.logprob_body("m", row.prompt, IMAGES, 7), logprobs.score_body("m", row, IMAGES, 7)
    assert scored["messages"] == [*asked["messages"], {"role": "assistant", "content": row.logprobs.text}]
    wanted = {"add_generation_prompt": False, "continue_final_message": True, "prompt_logprobs": 7, "max_tokens": 1}
    assert wanted.items() <= scored.items()
    assert asked["max_tokens"] == row.prompt.max_tokens
    assert asked["top_logprobs"] == scored["top_logprobs"] == 7


def test_as_many_tokens_are_asked_for_as_every_place_lists() -> None:
    assert listed(ROWS) == min(len(top) for row in ROWS for top in row.logprobs.top) <= MOST_TOP
    (request,) = logprobs.offline_requests([ROWS[0].prompt], IMAGES, 20)
    assert request["sampling"]["logprobs"] == 20


@pytest.mark.parametrize(("condition", "at_once"), [("one-at-a-time", 1), ("together", 16), ("no-cache", 4)])
def test_a_repeat_changes_one_condition(condition: str, at_once: int) -> None:
    concurrency, fields = logprobs.repeated(condition, Chance(1), [])
    assert (concurrency, list(fields)) == (at_once, ["cache_salt"] if condition == "no-cache" else [])
    assert logprobs.repeated(condition, Chance(1), ["cache_salt"]) == (at_once, {})
