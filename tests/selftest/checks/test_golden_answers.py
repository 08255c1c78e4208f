"""Golden answers: text and prompt tokens equal the stored ones, or a count and the first few findings."""

from __future__ import annotations

from vlm_acceptance.checks.golden_answers import SHOWN, answers_match
from vlm_acceptance.core.exchange import NoReply, Reply, Usage

ROWS = [{"id": f"ocr/{n}", "answer": f"RIVER {n}", "prompt_tokens": 100 + n} for n in range(12)]


def reply(n: int, text: str | None = None, tokens: int | None = None) -> Reply:
    usage = Usage(100 + n if tokens is None else tokens, 2, 0)
    return Reply(f"RIVER {n}" if text is None else text, "stop", usage, "m", 0.1)


def right() -> list[Reply | NoReply]:
    return [reply(n) for n in range(len(ROWS))]


def test_equal_answers_have_no_finding() -> None:
    assert answers_match(ROWS, right()) == []


def test_a_text_that_differs_in_one_letter_is_found() -> None:
    replies = right()
    replies[3] = reply(3, "RIVER 3 ")
    count, found = answers_match(ROWS, replies)
    assert (count.fatal, count.observed.partition(";")[0]) == (True, "11 of 12 equal")
    assert (found.check, found.where, found.observed) == ("golden_answer.text", "ocr/3", "'RIVER 3 '")


def test_other_prompt_tokens_are_found_though_the_text_is_right() -> None:
    replies = right()
    replies[0] = reply(0, tokens=84)
    count, found = answers_match(ROWS, replies)
    assert (found.check, found.observed) == ("golden_answer.prompt_tokens", "84")
    assert "0 texts differ" in count.observed
    assert "not rightly seen" not in count.observed


def test_missing_usage_and_missing_answers_are_found() -> None:
    replies = right()
    replies[0] = Reply("RIVER 0", "stop", None, "m", 0.1)
    replies[1] = NoReply("timeout: gone")
    _, usage, missing = answers_match(ROWS, replies)
    assert (usage.check, usage.observed) == ("golden_answer.prompt_tokens", "no usage")
    assert (missing.check, missing.observed, missing.fatal) == ("golden_answer.missing", "timeout: gone", True)


def test_many_wrong_answers_are_counted_and_a_few_shown() -> None:
    count, *shown = answers_match(ROWS, [reply(n, "A cat.") for n in range(len(ROWS))])
    assert count.observed.startswith("0 of 12 equal; 12 texts differ: the picture or the prompt")
    assert len(shown) == SHOWN


def test_a_row_without_a_token_count_is_judged_only_by_its_text() -> None:
    assert answers_match([{"id": "a", "answer": "RIVER 0"}], [reply(0, tokens=7)]) == []
