"""The metrics of a run: counts with shares, and None for a missing value."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from tests.support.made_run import DOMAINS, answered, choice, exact, failed, generous, open_item

from vlm_acceptance.accuracy.item import Answer, Item, Score
from vlm_acceptance.accuracy.metrics import ShapeCounts, measure, score, shape_of
from vlm_acceptance.stats.binomial import wilson

SCORERS = {"exact": exact, "generous": generous}


def by_id(answers: Iterable[Answer]) -> dict[str, Answer]:
    return {answer.id: answer for answer in answers}


def measured(items: Sequence[Item], answers: Iterable[Answer], **more: Any) -> dict[str, Any]:
    given = by_id(answers)
    found = measure(items, given, score(items, given, SCORERS), "exact", DOMAINS, **more)
    json.dumps(found, allow_nan=False)
    return found


def shaped(items: Sequence[Item], answers: Iterable[Answer]) -> ShapeCounts:
    given = by_id(answers)
    return shape_of(items, given, score(items, given, SCORERS)["exact"])


def thirty() -> tuple[list[Item], list[Answer]]:
    """Ten choices each in Art, Math and Law (which is in no domain), every third answered wrong."""
    items = [choice(f"{group}_{n}", group) for group in ("Math", "Law", "Art") for n in range(10)]
    return items, [answered(item.id, "B" if number % 3 == 0 else "A") for number, item in enumerate(items)]


def test_the_total_has_count_share_and_interval() -> None:
    total = measured(*thirty())["total"]
    low, high = wilson(20, 30)
    expected = {"right": 20, "answered": 30, "questions": 30, "share": 20 / 30, "low": low, "high": high}
    assert total == {**expected, "refused": 0, "lost": 0, "not_asked": 0}


def test_domains_and_subjects_have_the_order_of_the_domains_and_other_subjects_follow() -> None:
    found = measured(*thirty())
    assert list(found["subjects"]) == ["Art", "Math", "Law"]
    assert list(found["domains"]) == ["Art and Design", "Science"]
    assert found["domains"]["Science"]["subjects"] == ["Math"]
    assert sum(row["right"] for row in found["subjects"].values()) == found["total"]["right"]
    assert found["subjects"]["Art"]["low"] == wilson(found["subjects"]["Art"]["right"], 10)[0]


def test_a_domain_sums_its_subjects() -> None:
    items = [choice("a", "Math"), choice("b", "Physics"), choice("c", "Physics")]
    science = measured(items, [answered("a", "A"), answered("b", "A"), answered("c", "B")])["domains"]["Science"]
    assert (science["right"], science["questions"], science["subjects"]) == (2, 3, ["Math", "Physics"])


def test_choices_and_open_questions_are_counted_apart() -> None:
    items = [choice("a"), choice("b"), open_item("c")]
    kinds = measured(items, [answered("a", "A"), answered("b", "C"), answered("c", "60")])["kinds"]
    assert [(row["right"], row["questions"]) for row in kinds.values()] == [(1, 2), (1, 1)]


def test_every_scorer_is_counted_on_the_same_answers() -> None:
    items = [choice("a"), choice("b"), choice("c")]
    scorers = measured(items, [answered("a", "A"), answered("b", "what?"), answered("c", "Z")])["scorers"]
    assert (scorers["exact"]["right"], scorers["generous"]["right"]) == (1, 3)
    assert (scorers["exact"]["unresolved"], scorers["exact"]["declined"]) == (1, 1)
    assert scorers["generous"]["unresolved"] == 0


def test_a_failed_request_never_reaches_a_scorer_nor_the_denominator() -> None:
    items = [choice("a"), choice("b"), choice("c"), choice("d")]
    seen: list[str] = []

    def watching(questions: Iterable[Item], texts: Mapping[str, str]) -> dict[str, Score]:
        seen.extend(texts)
        return exact(questions, texts)

    given = by_id([answered("a", "A"), failed("b", "refused", "400 A"), failed("c", "lost", "timeout")])
    found = measure(items, given, score(items, given, {"exact": watching}), "exact", DOMAINS)
    assert seen == ["a"]
    total = found["total"]
    assert (total["right"], total["answered"], total["share"]) == (1, 1, 1.0)
    assert (total["refused"], total["lost"], total["not_asked"]) == (1, 1, 1)
    assert not found["complete"]
    assert [(row["id"], row["status"]) for row in found["failures"]] == [("b", "refused"), ("c", "lost")]


def test_a_missing_value_is_null_and_never_zero() -> None:
    found = measured([choice("a")], [])
    total = found["total"]
    assert (total["right"], total["share"], total["low"], total["high"]) == (0, None, None, None)
    assert found["tokens"] == {"answers": 0, "prompt": None, "completion": None}
    assert set(found["time"].values()) == {None}
    assert found["shape"]["empty"] == {"count": 0, "of": 0, "share": None}
    assert (found["shape"]["top_letter"], found["shape"]["top_share"]) == (None, None)
    assert found["scorers"]["exact"]["share"] is None


def test_answers_to_other_questions_are_not_counted() -> None:
    items, answers = thirty()
    extra = [answered("blank_1", "A", attempts=("reset",), prompt_tokens=9_999), failed("blank_2", "lost", "x")]
    assert measured(items, [*answers, *extra]) == measured(items, answers)


def test_tokens_are_summed_over_the_answers_that_have_them() -> None:
    items = [choice("a"), choice("b")]
    tokens = measured(items, [answered("a", "A"), answered("b", "A", prompt_tokens=None)])["tokens"]
    assert tokens == {"answers": 1, "prompt": 100, "completion": 2}


def test_latencies_are_the_median_and_measured_times() -> None:
    items = [choice(f"q{n}") for n in range(20)]
    times = measured(items, [answered(f"q{n}", "A", elapsed_s=float(n + 1)) for n in range(20)])["time"]
    assert (times["median_s"], times["p95_s"], times["max_s"]) == (10.5, 19.0, 20.0)


def test_the_rate_is_of_the_questions_that_this_run_asked() -> None:
    items, answers = thirty()
    assert measured(items, answers, span_s=5.0, new_answers=10)["time"]["questions_per_s"] == 2.0
    assert measured(items, answers, span_s=0.0, new_answers=0)["time"]["questions_per_s"] is None
    assert measured(items, answers)["time"]["questions_per_s"] is None


def test_every_repeated_request_is_listed_with_its_reasons() -> None:
    items, answers = thirty()
    answers[4] = answered(answers[4].id, "A", attempts=("connect: refused", "reset\x1b" * 1_000_000))
    (row,) = measured(items, answers)["retries"]
    assert row["id"] == answers[4].id
    assert row["attempts"][0] == "'connect: refused'"
    assert len(row["attempts"][1]) < 300


def test_letters_of_answers_and_golds_are_counted() -> None:
    items = [choice("a", gold="C"), choice("b"), choice("c"), open_item("d")]
    answers = [answered("a", "B"), answered("b", "A"), answered("c", "?"), answered("d", "A")]
    assert measured(items, answers)["letters"] == {"answers": {"A": 1, "B": 1}, "golds": {"A": 2, "C": 1}}


def test_a_text_that_is_not_a_letter_of_its_question_is_not_counted() -> None:
    items = [choice("a", options=2), choice("b")]
    scores = {"a": Score(False, "D"), "b": Score(False, "the raw text")}
    assert shape_of(items, by_id([answered("a", "D"), answered("b", "x")]), scores).letters == Counter()


def test_the_shape_of_an_ordinary_run() -> None:
    items = [choice(f"q{n}", gold="ABCD"[n % 4]) for n in range(20)] + [open_item("o")]
    seen = shaped(items, [*(answered(f"q{n}", "ABCD"[n % 4]) for n in range(20)), answered("o", "60")])
    assert seen == ShapeCounts(
        answered=21, choice_answers=20, open_answers=1, letters=Counter({"A": 5, "B": 5, "C": 5, "D": 5})
    )
    assert (seen.top_letter, seen.top_share) == ("A", 0.25)


def test_a_constant_letter_is_seen_on_choices_and_on_open_questions() -> None:
    items = [*(choice(f"q{n}") for n in range(10)), *(open_item(f"o{n}") for n in range(3))]
    seen = shaped(items, [answered(item.id, "A") for item in items])
    assert (seen.top_letter, seen.top_share, seen.open_a, seen.open_answers) == ("A", 1.0, 3, 3)


def test_the_top_letter_is_the_most_frequent_and_not_the_first() -> None:
    items = [choice(f"q{n}") for n in range(4)]
    seen = shaped(items, [answered(item.id, letter) for item, letter in zip(items, "ACCB")])
    assert (seen.top_letter, seen.top_share) == ("C", 0.5)


def test_a_server_of_empty_answers_is_seen() -> None:
    items = [choice("a"), choice("b"), open_item("c")]
    seen = shaped(items, [answered("a", ""), answered("b", " \n\t"), answered("c", "")])
    assert (seen.empty, seen.answered, seen.choice_unresolved) == (3, 3, 2)


def test_truncated_declined_refused_and_lost_are_counted_apart() -> None:
    items = [choice(name) for name in "abcde"]
    answers = [answered("a", "A", finish_reason="length"), answered("b", "Z"), answered("c", "A B")]
    seen = shaped(items, [*answers, failed("d", "refused", "400"), failed("e", "lost", "reset")])
    assert (seen.truncated, seen.declined, seen.choice_unresolved, seen.refused, seen.lost) == (1, 1, 1, 1, 1)
    assert seen.answered == 3


def test_a_text_that_was_cut_is_truncated_once() -> None:
    cut = "text cut at 65536 of 300000 characters"
    answers = [answered("a", "A", error=cut), answered("b", "A", error=cut, finish_reason="length"), answered("c", "A")]
    seen = shaped([choice(name) for name in "abc"], answers)
    assert (seen.truncated, seen.answered, seen.refused) == (2, 3, 0)
    assert measured([choice("a")], answers[:1])["failures"] == []


@pytest.mark.parametrize("text", ["A", " A\n", "(A)", "A.", "**A**", "'A'", "A A A\nA", "[A]:"])
def test_a_bare_a_is_recognised_with_any_punctuation(text: str) -> None:
    assert shaped([open_item("o")], [answered("o", text)]).open_a == 1


@pytest.mark.parametrize("text", ["a", "B", "AA", "A curve", "60", "", ".", "A or B", "A " * 6_000, "Ａ"])
def test_other_texts_are_not_a_bare_a(text: str) -> None:
    assert shaped([open_item("o")], [answered("o", text)]).open_a == 0


def test_a_bare_a_on_a_choice_is_not_counted() -> None:
    assert shaped([choice("a")], [answered("a", "A")]).open_a == 0


def test_hostile_answers_leave_only_counts() -> None:
    items = [choice("a"), choice("b"), open_item("c")]
    texts = ["A" * 10_000_000, "\x1b]0;\x07\ud800</td><script>", "\0" * 1000]
    found = measured(items, [answered(item.id, text) for item, text in zip(items, texts)])
    assert len(json.dumps(found)) < 5_000
    assert "script" not in json.dumps(found)


def test_the_error_of_a_failure_is_cut_and_cannot_steer_a_terminal() -> None:
    (row,) = measured([choice("a")], [failed("a", "refused", "\x1b[2J" + "x" * 10_000_000)])["failures"]
    assert row["error"].startswith("'\\x1b[2J")
    assert len(row["error"]) < 300
