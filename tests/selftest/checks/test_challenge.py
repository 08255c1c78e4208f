"""What no earlier run can have asked: blindness, mix-ups, caches and stored answers each have their own finding."""

from __future__ import annotations

import pytest

from vlm_acceptance.cases.challenge_pictures import draw, questions
from vlm_acceptance.checks.challenge import (
    LAYOUTS,
    NewPictures,
    answers_vary,
    read_new_pictures,
    repeats_are_computed,
    tokens_follow_texts,
)
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.finding_classes import Severity

DRAWN = draw(1, 112, [(2, 1)])
OTHER_RUN = draw(2, 112, [(2, 1)])
ASKED = questions(DRAWN)
RIGHT = [one.answer for one in DRAWN]
UNREADABLE = "I cannot say."
COUNTS = {"AA": 30, "AB": 50, "BA": 50, "BB": 70, "AAA": 40, "AAAA": 50}


def reply(text: str, prompt: int = 100) -> Reply:
    return Reply(text, "stop", Usage(prompt, 5, prompt + 5), "m", 0.1)


def seen(*texts: str, min_correct: int = 4) -> NewPictures:
    return read_new_pictures(ASKED, [reply(text) for text in texts], min_correct)


def wrong(count: int, text: str = UNREADABLE) -> list[str]:
    return [*[text] * count, *RIGHT[count:]]


def test_right_answers_are_no_finding() -> None:
    assert seen(*RIGHT) == NewPictures([], 8, 0)


def test_right_answers_may_be_sentences() -> None:
    (word,), (number,) = DRAWN[0].parts
    said = f"The word is {word.title()}, and the number is {number}."
    assert seen(said, *RIGHT[1:], min_correct=8).findings == []


@pytest.mark.parametrize(("count", "right"), [(1, 7), (4, 4)])
def test_a_bar_that_is_reached_is_no_finding(count: int, right: int) -> None:
    assert seen(*wrong(count)) == NewPictures([], right, 0)


@pytest.mark.parametrize("count", [5, 6])
def test_two_or_three_right_answers_can_be_calibrated(count: int) -> None:
    found = seen(*wrong(count))
    assert found.right == 8 - count
    assert found.findings[0].kind is kinds.NEW_COUNT
    assert {one.severity for one in found.findings} == {Severity.ABILITY}
    assert f"{8 - count} of 8 right; wrong: 1-read-en, 2-read-zh" in found.findings[0].observed


@pytest.mark.parametrize("count", [7, 8])
def test_one_right_answer_or_none_is_blindness_on_the_first_day_too(count: int) -> None:
    first = seen(*wrong(count)).findings[0]
    assert (first.kind, first.fatal) == (kinds.NEW_UNREAD, True)
    assert f"the same answer for {count} different pictures" in first.observed


def test_answers_of_an_earlier_run_are_blindness_that_names_its_numbers() -> None:
    first = seen(*(one.answer for one in OTHER_RUN)).findings[0]
    assert (first.kind, first.fatal) == (kinds.NEW_UNREAD, True)
    assert "; 7 with a number that no picture of this run shows: guessed, or stored" in first.observed


def test_the_answer_to_another_new_picture_is_fatal_at_any_count() -> None:
    found = seen(RIGHT[6], *RIGHT[1:])
    assert (found.right, found.findings[0].fatal) == (7, True)
    (mixed,) = [one for one in found.findings if one.kind is kinds.NEW_MIXED_UP]
    assert (mixed.where, mixed.fatal) == ("1-read-en", True)
    assert DRAWN[6].parts[1][0] in mixed.observed


def test_another_number_of_the_same_picture_is_only_wrong() -> None:
    number = next(text.text for text in DRAWN[2].texts if text.text != DRAWN[2].answer)
    assert seen(*RIGHT[:2], number, *RIGHT[3:]) == NewPictures([], 7, 0)


def test_all_numbers_of_a_picture_are_no_answer() -> None:
    every = " ".join(sorted((text.text for text in DRAWN[2].texts), key=lambda text: text == DRAWN[2].answer))
    assert seen(*RIGHT[:2], every, *RIGHT[3:]).right == 7


def test_a_missing_answer_is_fatal_and_one_of_a_busy_machine_is_excused() -> None:
    replies = [NoReply("HTTP 500: x"), *map(reply, RIGHT[1:])]
    found = read_new_pictures(ASKED, replies, 4)
    assert (found.right, found.findings[0].fatal, found.late) == (7, True, 0)


def test_one_answer_to_each_text_is_named_a_cache_by_text() -> None:
    by_text: dict[str, str] = {}
    texts = [by_text.setdefault(one.prompt, answer) for one, answer in zip(DRAWN, RIGHT, strict=True)]
    found = seen(*texts)
    (cached,) = [one for one in found.findings if one.kind is kinds.CACHED_BY_TEXT]
    assert cached.fatal
    assert "for all 2 prompts asked so" in cached.observed
    assert not any(one.kind is kinds.CACHED_BY_TEXT for one in seen(*wrong(5)).findings)


def test_degenerate_text_is_fatal() -> None:
    found = read_new_pictures(ASKED, [reply(f"{RIGHT[0]}<|im_end|>"), *map(reply, RIGHT[1:])], 4, ["<|im_end|>"])
    assert found.findings[0].fatal


def counted(**changes: int) -> list[str]:
    replies: dict[str, Reply | NoReply] = {name: reply("x", {**COUNTS, **changes}[name]) for name in LAYOUTS}
    return [f"{one.check}: {one.expected}" for one in tokens_follow_texts(replies)]


def test_tokens_that_add_up_are_no_finding() -> None:
    assert counted() == []
    # what a line costs may depend on its place: the first one, or the last one
    assert counted(AB=47, BA=53) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"AB": 51}, "AB and BA together"),
        ({"BB": 69}, "AB and BA together"),
        ({"AAAA": 51}, "AAAA as many more"),
        (dict.fromkeys(LAYOUTS, 30), "AAA more than AA; BB"),
        ({"AAA": 29, "AAAA": 28}, "AAA more than AA"),
    ],
)
def test_tokens_of_other_texts_do_not_add_up(changes: dict[str, int], rule: str) -> None:
    (found,) = counted(**changes)
    assert found.startswith(f"challenge.stored: {rule}")


def test_a_text_without_a_count_is_found() -> None:
    replies: dict[str, Reply | NoReply] = {name: reply("x", COUNTS[name]) for name in LAYOUTS}
    (found,) = tokens_follow_texts({**replies, "BB": NoReply("HTTP 500: x")})
    assert (found.check, found.where, found.observed) == ("challenge.stored", "BB", "HTTP 500: x")


def test_sampled_answers_must_not_all_be_the_same() -> None:
    (found,) = answers_vary([reply("one")] * 6, kinds.CACHED_BY_BODY, "one body")
    assert (found.check, found.fatal, found.observed) == ("challenge.cached_body", True, "6 times 'one'")
    assert answers_vary([reply("one")] * 5 + [reply("two")], kinds.CACHED_BY_BODY, "one body") == []


def test_a_sampled_answer_that_is_missing_is_found() -> None:
    lost = Exchange("r1", Request("POST", "/"), "", 0, 9, error=ErrorDetail("reset", "gone"))
    (found,) = answers_vary([reply("one"), lost.reply], kinds.CACHED_BY_TEXT, "one text")
    assert (found.check, found.exchange) == ("answer.missing", lost)


@pytest.mark.parametrize(
    ("new", "again", "is_found"),
    [
        (6, 6, False),
        (6, 7, False),
        (6, 5, True),
        (6, 0, True),
        (9, 1, True),
        # another replica counts the rest
        (3, 2, False),
    ],
)
def test_repeated_requests_must_be_counted_like_new_ones(new: float, again: float, is_found: bool) -> None:
    assert [one.check for one in repeats_are_computed(new, again, 6)] == ["challenge.cached_body"] * is_found


def test_requests_that_are_not_counted_are_found() -> None:
    for new, again in ((None, 6), (6, None), (float("nan"), 6)):
        assert [one.check for one in repeats_are_computed(new, again, 6)] == ["metrics.text"]
