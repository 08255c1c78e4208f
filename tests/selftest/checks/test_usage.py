"""Token counts that add up, and those that do not."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.usage import prompt_tokens_are, usage_is_sound
from vlm_acceptance.core.exchange import Reply, Usage


def reply(usage: Usage | None, text: str = "RIVER 472", finish: str = "stop") -> Reply:
    return Reply(text, finish, usage, "internvl2-2b", 0.2)


def checks(answer: Reply, **limits: int) -> list[str]:
    return [finding.check for finding in usage_is_sound(answer, **limits)]


def test_sound_counts_have_no_finding() -> None:
    assert checks(reply(Usage(106, 8, 114)), max_tokens=64, max_model_len=4096) == []


def test_a_missing_usage_block_is_a_finding_and_not_zero() -> None:
    assert checks(reply(None)) == ["usage.missing"]


@pytest.mark.parametrize("total", [113, 115, 0])
def test_counts_that_do_not_add_up_are_found(total: int) -> None:
    assert checks(reply(Usage(106, 8, total))) == ["usage.sum"]


def test_an_empty_prompt_is_found() -> None:
    assert checks(reply(Usage(0, 8, 8))) == ["usage.prompt"]


def test_a_text_without_tokens_is_found() -> None:
    assert checks(reply(Usage(106, 0, 106))) == ["usage.completion"]
    assert checks(reply(Usage(106, 0, 106), text="")) == []


def test_more_tokens_than_asked_for_are_found() -> None:
    assert checks(reply(Usage(106, 9, 115)), max_tokens=8) == ["usage.limit"]
    assert checks(reply(Usage(106, 8, 114)), max_tokens=8) == []


def test_length_means_that_a_limit_was_reached() -> None:
    assert checks(reply(Usage(106, 8, 114), finish="length"), max_tokens=8) == []
    assert checks(reply(Usage(106, 7, 113), finish="length"), max_tokens=8) == ["usage.limit"]
    assert checks(reply(Usage(106, 7, 113), finish="length")) == []


def test_a_full_context_window_is_such_a_limit() -> None:
    full = reply(Usage(4000, 96, 4096), finish="length")

    assert checks(full, max_tokens=200, max_model_len=4096) == []
    assert checks(full, max_tokens=200, max_model_len=8192) == ["usage.limit"]


def test_the_prompt_has_exactly_the_expected_tokens() -> None:
    assert prompt_tokens_are(reply(Usage(106, 8, 114)), 106) == []


def test_another_prompt_length_is_fatal_and_says_by_how_much() -> None:
    (finding,) = prompt_tokens_are(reply(Usage(90, 8, 98)), 106)

    assert finding.fatal
    assert finding.observed == "prompt_tokens 90 (-16)"


def test_a_prompt_length_that_is_not_told_is_fatal() -> None:
    assert [finding.fatal for finding in prompt_tokens_are(reply(None), 106)] == [True]
