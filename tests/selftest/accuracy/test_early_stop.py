"""The watch over a run: every stop comes when it must, never earlier, and the same in whatever order answers come."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from tests.support.made_run import answered, choice, exact, failed, open_item

from vlm_acceptance.accuracy.early_stop import FIRST_LOOK, LAST_LOOK, SILENT_IN_A_ROW, EarlyStop
from vlm_acceptance.accuracy.item import Answer, Item, Score
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

TOTAL = 200
ORDER = [f"q{number}" for number in range(TOTAL)]
# no letter is right more often than another, every tenth question is open
ITEMS = {
    ident: open_item(ident) if number % 10 == 9 else choice(ident, gold="ABCD"[number % 4])
    for number, ident in enumerate(ORDER)
}


def mark(item: Item, text: str) -> Score:
    return exact([item], {item.id: text})[item.id]


def watch(limit: int | None = 60, top_letter: float | None = 0.6) -> EarlyStop:
    score = ScoreStop(limit, TOTAL, 0.01) if limit is not None else None
    letters = LetterStop(top_letter, 0.001) if top_letter is not None else None
    return EarlyStop(ORDER, ITEMS.__getitem__, mark, score, letters)


def fed(seen: EarlyStop, answers: Iterable[Answer]) -> EarlyStop:
    """Answers until the watch stops the run."""
    for answer in answers:
        seen.add(answer)
        if seen.stop is not None:
            break
    return seen


def right(ident: str) -> Answer:
    return answered(ident, ITEMS[ident].gold[0])


def wrong(ident: str) -> Answer:
    """A wrong answer whose letters spread as those of the golds."""
    item = ITEMS[ident]
    return answered(ident, "ABCD"["ABCD".index(item.gold[0]) - 1] if item.options else "0")


def clause(seen: EarlyStop) -> str | None:
    return seen.stop.cause if seen.stop else None


def test_a_right_run_goes_to_its_end() -> None:
    seen = fed(watch(), map(right, ORDER))
    assert seen.stop is None
    assert (seen.done, seen.right, seen.errors, seen.total) == (TOTAL, TOTAL, 0, TOTAL)


def test_a_run_at_its_lower_limit_is_not_stopped() -> None:
    good = set(random.Random(1).sample(ORDER, 60))
    seen = fed(watch(limit=60), (right(ident) if ident in good else wrong(ident) for ident in ORDER))
    assert seen.stop is None
    assert seen.right == 60


def test_a_run_of_wrong_answers_is_stopped_by_its_score_and_not_before_the_first_look() -> None:
    seen = fed(watch(), map(wrong, ORDER))
    assert seen.stop is not None
    assert seen.stop.cause == "score"
    assert seen.stop.asked == seen.done == FIRST_LOOK
    assert "0 of the first" in seen.stop.reason


def test_a_limit_out_of_reach_stops_where_early_stopping_looks() -> None:
    seen = fed(watch(limit=TOTAL), [right(ORDER[0]), wrong(ORDER[1]), *map(right, ORDER[2:])])
    assert clause(seen) == "score"
    assert "can no longer be reached" in (seen.stop.reason if seen.stop else "")


@pytest.mark.parametrize(("good", "stops_after"), [(10, 151), (19, 160), (20, None), (40, None)])
def test_near_its_end_a_hopeless_run_goes_on_for_the_sake_of_its_figures(good: int, stops_after: int | None) -> None:
    # so small an alpha leaves only what is out of reach for certain
    seen = EarlyStop(ORDER, ITEMS.__getitem__, mark, ScoreStop(60, TOTAL, 1e-300), None)
    fed(seen, (right(ident) if number < good else wrong(ident) for number, ident in enumerate(ORDER)))
    assert (seen.stop.asked if seen.stop else None) == stops_after
    assert LAST_LOOK * TOTAL == 160


def test_nothing_is_stopped_where_early_stopping_is_off() -> None:
    assert fed(watch(limit=None, top_letter=None), map(wrong, ORDER)).stop is None
    assert fed(watch(limit=None, top_letter=None), (answered(ident, "A") for ident in ORDER)).stop is None


def test_a_letter_that_repeats_is_named_before_the_score_it_comes_with() -> None:
    seen = fed(watch(), (answered(ident, "B") for ident in ORDER))
    assert seen.stop is not None
    assert seen.stop.cause == "letters"
    assert seen.stop.reason.startswith("B answers ")


def test_letters_that_spread_never_stop_a_run() -> None:
    assert fed(watch(limit=None), map(right, ORDER)).stop is None
    half = (answered(ident, "A" if number % 2 else "BCD"[number % 3]) for number, ident in enumerate(ORDER))
    assert fed(watch(limit=None), half).stop is None


def test_the_letter_of_an_open_question_is_no_letter() -> None:
    only_open = {ident: open_item(ident) for ident in ORDER}
    seen = EarlyStop(ORDER, only_open.__getitem__, mark, None, LetterStop(0.6, 0.001))
    assert fed(seen, (answered(ident, "A") for ident in ORDER)).stop is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (wrong, "score"),
        (lambda ident: answered(ident, "C"), "letters"),
        (lambda ident: answered(ident, ""), "score"),
        (right, None),
    ],
    ids=["wrong", "one letter", "mute", "right"],
)
def test_the_stop_is_the_same_in_whatever_order_answers_come(answer, expected: str | None) -> None:
    answers = [answer(ident) for ident in ORDER]
    straight = fed(watch(), answers)
    assert clause(straight) == expected
    for seed in range(20):
        # at most 16 are under way at once: a later one may overtake no more than those
        rng = random.Random(seed)
        mixed = sorted(range(TOTAL), key=lambda place: place + rng.uniform(0, 16))
        seen = fed(watch(), (answers[place] for place in mixed))
        assert clause(seen) == expected
        if straight.stop is not None and seen.stop is not None:
            assert seen.stop.reason == straight.stop.reason
            assert straight.stop.asked <= seen.stop.asked < straight.stop.asked + 16


def test_answers_in_reverse_say_nothing_until_the_first_is_there() -> None:
    seen = watch()
    for ident in reversed(ORDER[1:]):
        seen.add(wrong(ident))
    assert seen.stop is None
    seen.add(wrong(ORDER[0]))
    assert clause(seen) == "score"


@pytest.mark.parametrize("status", ["lost", "refused"])
def test_a_question_without_an_answer_never_helps_to_reject(status) -> None:
    # runs of failures shorter than those that stop, between answers that are right exactly as often as they must be
    limit = TOTAL // 5
    answers = [right(ident) if number % 5 == 4 else failed(ident, status, "x") for number, ident in enumerate(ORDER)]
    seen = fed(watch(limit=limit), answers)
    assert seen.stop is None
    assert (seen.right, seen.errors) == (limit, TOTAL - limit)


def test_failures_between_wrong_answers_put_the_stop_off() -> None:
    straight = fed(watch(), map(wrong, ORDER))
    mixed = fed(watch(), (failed(ident, "lost", "x") if n % 2 else wrong(ident) for n, ident in enumerate(ORDER)))
    assert straight.stop is not None
    assert mixed.stop is None or mixed.stop.asked > straight.stop.asked


@pytest.mark.parametrize(
    ("kinds", "named"), [(("lost",), "endpoint"), (("refused",), "refused"), (("lost", "refused"), "endpoint")]
)
def test_failures_in_a_row_stop_and_one_fewer_do_not(kinds, named) -> None:
    failures = [failed(ident, kinds[n % len(kinds)], f"why {ident}") for n, ident in enumerate(ORDER)]
    row = SILENT_IN_A_ROW
    some = [*failures[: row - 1], right(ORDER[row - 1]), *failures[row : 2 * row - 1]]
    assert fed(watch(), some).stop is None
    seen = fed(watch(), [right(ORDER[0]), *failures[1:]])
    assert clause(seen) == named
    assert seen.stop is not None
    assert seen.stop.asked == row + 1
    assert seen.stop.reason == f"{row} requests in a row got no completion, the last: why {ORDER[row]}"


def test_the_first_stop_stands() -> None:
    seen = fed(watch(), map(wrong, ORDER))
    first = seen.stop
    for ident in ORDER[FIRST_LOOK:]:
        seen.add(failed(ident, "lost", "x"))
    assert seen.stop is first
