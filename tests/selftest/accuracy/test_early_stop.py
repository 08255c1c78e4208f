"""The early stop of a run: in time, never too early, and the same for any order of the answers."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from tests.support.made_run import answered, choice, exact, failed, open_item

from vlm_acceptance.accuracy.early_stop import FIRST_STOP, LAST_STOP, SILENT_IN_A_ROW, EarlyStop
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

TOTAL = 200
ORDER = [f"q{number}" for number in range(TOTAL)]
# no letter is right more often than another, every tenth question is open
ITEMS = {
    ident: open_item(ident) if number % 10 == 9 else choice(ident, gold="ABCD"[number % 4])
    for number, ident in enumerate(ORDER)
}


def early_stop(limit: int | None = 60, top_letter: float | None = 0.6) -> EarlyStop:
    score = ScoreStop(limit, TOTAL, 0.01) if limit is not None else None
    letters = LetterStop(top_letter, 0.001) if top_letter is not None else None
    return EarlyStop(ORDER, ITEMS.__getitem__, exact, score, letters)


def fed(seen: EarlyStop, answers: Iterable[Answer]) -> EarlyStop:
    """The early stop after these answers, or after the one that stopped the run."""
    for answer in answers:
        seen.add(answer)
        if seen.stop is not None:
            break
    return seen


def right(ident: str) -> Answer:
    return answered(ident, ITEMS[ident].gold[0])


def wrong(ident: str) -> Answer:
    """A wrong answer; its letters are spread like those of the golds."""
    item = ITEMS[ident]
    return answered(ident, "ABCD"["ABCD".index(item.gold[0]) - 1] if item.options else "0")


def cause(seen: EarlyStop) -> str | None:
    return seen.stop.cause if seen.stop else None


def test_a_run_of_right_answers_is_not_stopped() -> None:
    seen = fed(early_stop(), map(right, ORDER))
    assert seen.stop is None
    assert (seen.done, seen.right, seen.errors) == (TOTAL, TOTAL, 0)


def test_a_run_at_its_lower_limit_is_not_stopped() -> None:
    good = set(random.Random(1).sample(ORDER, 60))
    seen = fed(early_stop(limit=60), (right(ident) if ident in good else wrong(ident) for ident in ORDER))
    assert seen.stop is None
    assert seen.right == 60


def test_a_run_of_wrong_answers_is_stopped_by_its_score_at_the_first_possible_answer() -> None:
    seen = fed(early_stop(), map(wrong, ORDER))
    assert seen.stop is not None
    assert seen.stop.cause == "score"
    assert seen.stop.after == seen.done == FIRST_STOP
    assert "0 of the first" in seen.stop.reason


def test_a_limit_out_of_reach_stops_the_run() -> None:
    seen = fed(early_stop(limit=TOTAL), [right(ORDER[0]), wrong(ORDER[1]), *map(right, ORDER[2:])])
    assert cause(seen) == "score"
    assert "can no longer be reached" in (seen.stop.reason if seen.stop else "")


@pytest.mark.parametrize(("good", "stops_after"), [(10, 151), (19, 160), (20, None), (40, None)])
def test_near_its_end_a_hopeless_run_continues_for_the_sake_of_its_metrics(good: int, stops_after: int | None) -> None:
    # with so small an alpha only a limit that is certainly out of reach stops the run
    seen = EarlyStop(ORDER, ITEMS.__getitem__, exact, ScoreStop(60, TOTAL, 1e-300), None)
    fed(seen, (right(ident) if number < good else wrong(ident) for number, ident in enumerate(ORDER)))
    assert (seen.stop.after if seen.stop else None) == stops_after
    assert LAST_STOP * TOTAL == 160


def test_without_early_stopping_no_run_is_stopped() -> None:
    assert fed(early_stop(limit=None, top_letter=None), map(wrong, ORDER)).stop is None
    assert fed(early_stop(limit=None, top_letter=None), (answered(ident, "A") for ident in ORDER)).stop is None


def test_a_repeated_letter_stops_before_the_score_that_it_causes() -> None:
    seen = fed(early_stop(), (answered(ident, "B") for ident in ORDER))
    assert seen.stop is not None
    assert seen.stop.cause == "letters"
    assert seen.stop.reason.startswith("B answers ")


def test_spread_letters_never_stop_a_run() -> None:
    assert fed(early_stop(limit=None), map(right, ORDER)).stop is None
    half = (answered(ident, "A" if number % 2 else "BCD"[number % 3]) for number, ident in enumerate(ORDER))
    assert fed(early_stop(limit=None), half).stop is None


def test_letters_of_open_questions_are_not_counted() -> None:
    only_open = {ident: open_item(ident) for ident in ORDER}
    seen = EarlyStop(ORDER, only_open.__getitem__, exact, None, LetterStop(0.6, 0.001))
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
def test_the_stop_is_the_same_for_any_order_of_the_answers(answer, expected: str | None) -> None:
    answers = [answer(ident) for ident in ORDER]
    straight = fed(early_stop(), answers)
    assert cause(straight) == expected
    for seed in range(20):
        # at most 16 are in flight: a later answer overtakes no more than those
        rng = random.Random(seed)
        mixed = sorted(range(TOTAL), key=lambda place: place + rng.uniform(0, 16))
        seen = fed(early_stop(), (answers[place] for place in mixed))
        assert cause(seen) == expected
        if straight.stop is not None and seen.stop is not None:
            assert seen.stop.reason == straight.stop.reason
            assert straight.stop.after <= seen.stop.after < straight.stop.after + 16


def test_answers_in_reverse_order_stop_nothing_before_the_first_one() -> None:
    seen = early_stop()
    for ident in reversed(ORDER[1:]):
        seen.add(wrong(ident))
    assert seen.stop is None
    seen.add(wrong(ORDER[0]))
    assert cause(seen) == "score"


@pytest.mark.parametrize("status", ["lost", "refused"])
def test_an_unanswered_question_never_causes_a_rejection(status) -> None:
    # rows of failures too short to stop the run, between exactly as many right answers as are necessary
    limit = TOTAL // 5
    answers = [right(ident) if number % 5 == 4 else failed(ident, status, "x") for number, ident in enumerate(ORDER)]
    seen = fed(early_stop(limit=limit), answers)
    assert seen.stop is None
    assert (seen.right, seen.errors) == (limit, TOTAL - limit)


def test_failures_between_wrong_answers_delay_the_stop() -> None:
    straight = fed(early_stop(), map(wrong, ORDER))
    mixed = fed(early_stop(), (failed(ident, "lost", "x") if n % 2 else wrong(ident) for n, ident in enumerate(ORDER)))
    assert straight.stop is not None
    assert mixed.stop is None or mixed.stop.after > straight.stop.after


@pytest.mark.parametrize(
    ("kinds", "named"), [(("lost",), "endpoint"), (("refused",), "refused"), (("lost", "refused"), "endpoint")]
)
def test_failures_in_a_row_stop_the_run_and_one_fewer_do_not(kinds, named) -> None:
    failures = [failed(ident, kinds[n % len(kinds)], f"why {ident}") for n, ident in enumerate(ORDER)]
    row = SILENT_IN_A_ROW
    some = [*failures[: row - 1], right(ORDER[row - 1]), *failures[row : 2 * row - 1]]
    assert fed(early_stop(), some).stop is None
    seen = fed(early_stop(), [right(ORDER[0]), *failures[1:]])
    assert cause(seen) == named
    assert seen.stop is not None
    assert seen.stop.after == row + 1
    assert seen.stop.reason == f"{row} requests in a row got no completion, the last: why {ORDER[row]}"


def test_the_first_stop_is_kept() -> None:
    seen = fed(early_stop(), map(wrong, ORDER))
    first = seen.stop
    for ident in ORDER[FIRST_STOP:]:
        seen.add(failed(ident, "lost", "x"))
    assert seen.stop is first


class Recorder:
    """A sequential test that only records what it gets."""

    stopped = False

    def __init__(self) -> None:
        self.got: list[bool] = []

    def add(self, right: bool) -> None:
        self.got.append(right)


def test_the_sequential_tests_get_each_answer_as_soon_as_all_before_it_have_arrived() -> None:
    ids = ORDER[:50]
    for seed in range(20):
        rng = random.Random(seed)
        rights = [rng.random() < 0.5 for _ in ids]
        recorder = Recorder()
        seen = EarlyStop(ids, ITEMS.__getitem__, exact, recorder, None)
        arrived: set[str] = set()
        for ident in rng.sample(ids, len(ids)):
            seen.add((right if rights[ids.index(ident)] else wrong)(ident))
            arrived.add(ident)
            prefix = next((n for n, one in enumerate(ids) if one not in arrived), len(ids))
            assert recorder.got == rights[:prefix]


def test_the_path_has_a_point_for_each_question_in_the_planned_order() -> None:
    answers = [right(ident) if number % 4 else wrong(ident) for number, ident in enumerate(ORDER)]
    random.Random(5).shuffle(answers)
    seen = fed(early_stop(), answers)
    assert seen.stop is None and [point.asked for point in seen.path] == list(range(1, TOTAL + 1))
    assert [point.right for point in seen.path] == [number + 1 - (number // 4 + 1) for number in range(TOTAL)]
    assert seen.path[-1].score < 1 and all(0 < point.letters < 1000 for point in seen.path)


def test_the_path_of_a_stopped_run_ends_beyond_its_bound() -> None:
    seen = fed(early_stop(), map(wrong, ORDER))
    assert cause(seen) == "score" and len(seen.path) == FIRST_STOP
    assert seen.path[-1].score >= 1 / 0.01 and seen.path[-1].right == 0


def test_without_both_tests_there_is_no_path() -> None:
    assert fed(early_stop(limit=None), map(right, ORDER)).path == []
