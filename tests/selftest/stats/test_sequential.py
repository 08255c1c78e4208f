"""Early stops: how often they reject a sound run, by enumeration where possible, and how soon a broken one."""

from __future__ import annotations

import itertools
import random
import statistics
from collections import Counter
from collections.abc import Iterable

import pytest

from vlm_acceptance.accuracy.plan import stratified_order
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

LIMIT, TOTAL, ALPHA = 303, 900, 0.005


def fed(stop: ScoreStop, answers: Iterable[bool]) -> ScoreStop:
    for right in answers:
        stop.add(right)
    return stop


def stopped_after(answers: Iterable[bool], round_size: int = 1) -> int | None:
    stop = fed(ScoreStop(LIMIT, TOTAL, ALPHA, round_size=round_size), answers)
    return stop.asked if stop.stopped else None


def every_order(right: int, total: int) -> Iterable[list[bool]]:
    for places in itertools.combinations(range(total), right):
        yield [place in places for place in range(total)]


def shuffled(right: int, rng: random.Random) -> list[bool]:
    answers = [True] * right + [False] * (TOTAL - right)
    rng.shuffle(answers)
    return answers


@pytest.mark.parametrize("alternatives", [((0.247, 0.9), (0.05, 0.1)), ((0.5, 0.5), (0.0, 0.5))])
def test_no_sound_small_run_is_stopped_more_often_than_alpha(alternatives: tuple[tuple[float, float], ...]) -> None:
    stopped_some = False
    for total in range(1, 11):
        for limit, alpha in itertools.product(range(total + 1), (0.05, 0.2, 0.5)):
            for right in range(limit, total + 1):
                orders = list(every_order(right, total))
                stopped = sum(
                    fed(ScoreStop(limit, total, alpha, alternatives=alternatives), order).stopped for order in orders
                )
                assert stopped <= alpha * len(orders), (total, limit, right, alpha)
                stopped_some |= stopped > 0
    assert stopped_some  # a test in which no run stops proves nothing


def test_the_bets_of_a_run_at_its_limit_neither_gain_nor_lose_on_average() -> None:
    alternatives, after = ((0.1, 0.5), (0.2, 0.5)), 4  # too few answers for a bet to pause, or for a stop
    orders = list(every_order(8, 12))
    mean = statistics.fmean(
        fed(ScoreStop(8, 12, 1e-9, alternatives=alternatives), order[:after]).statistic for order in orders
    )
    assert mean == pytest.approx(1)


def test_a_run_with_more_than_the_limit_right_loses_its_bets_on_average() -> None:
    orders = list(every_order(10, 12))
    assert statistics.fmean(fed(ScoreStop(8, 12, 1e-9), order[:4]).statistic for order in orders) < 0.9


@pytest.mark.parametrize("limit", range(14))
def test_a_run_that_misses_the_limit_is_stopped_at_the_latest_when_it_is_out_of_reach(limit: int) -> None:
    for right, order in itertools.product((0, 3, 12), (False, True)):
        answers = sorted([True] * right + [False] * (12 - right), reverse=order)
        assert fed(ScoreStop(limit, 12, 1e-9), answers).stopped == (right < limit)


def test_the_reason_names_a_limit_that_can_no_longer_be_reached() -> None:
    stop = fed(ScoreStop(10, 12, 1e-9), [True, False, False, False])
    assert stop.stopped
    assert stop.reason() == "1 of the first 4 answers are right: 10 of 12 can no longer be reached"
    assert ScoreStop(13, 12, ALPHA).stopped


def test_empty_answers_stop_within_28_questions() -> None:
    assert stopped_after([False] * TOTAL) == stopped_after([False] * TOTAL, round_size=30) == 21


def test_random_letters_stop_before_question_200_in_half_of_the_runs() -> None:
    rng = random.Random(1)
    stops = [stopped_after((rng.random() < 0.245 for _ in range(TOTAL)), round_size=30) for _ in range(1000)]
    assert statistics.median(stop or TOTAL for stop in stops) <= 200


@pytest.mark.parametrize(("right", "most"), [(303, 10), (327, 2), (900, 0)])
def test_a_sound_run_is_rarely_stopped(right: int, most: int) -> None:
    rng = random.Random(2)
    assert sum(stopped_after(shuffled(right, rng)) is not None for _ in range(500)) <= most


def every_stratified_order(right: tuple[int, ...], size: int) -> Iterable[list[bool]]:
    """All orders in rounds over groups of `size` questions with so many right in each."""
    groups = len(right)
    within = [list(every_order(count, size)) for count in right]
    for answers in itertools.product(*within):
        for rounds in itertools.product(itertools.permutations(range(groups)), repeat=size):
            yield [answers[group][number] for number, order in enumerate(rounds) for group in order]


@pytest.mark.parametrize(("groups", "size"), [(2, 2), (2, 3), (2, 4), (3, 2), (4, 2)])
def test_no_sound_small_run_in_rounds_is_stopped_more_often_than_alpha(groups: int, size: int) -> None:
    stopped_some = False
    for right in itertools.combinations_with_replacement(range(size + 1), groups):
        limit = sum(right)
        counts = Counter(tuple(order) for order in every_stratified_order(right, size))
        for alpha in (0.05, 0.2, 0.5):
            stopped = sum(
                count
                for order, count in counts.items()
                if fed(ScoreStop(limit, groups * size, alpha, groups), order).stopped
            )
            assert stopped <= alpha * counts.total(), (right, alpha)
            stopped_some |= stopped > 0
    assert stopped_some


def test_equal_groups_need_a_bound_that_is_renewed_between_rounds_only() -> None:
    # 100 groups of three, one right in each: no later question of a round makes up for a wrong one
    rng, stops = random.Random(5), Counter[int]()
    for _ in range(1000):
        places = [rng.randrange(3) for _ in range(100)]
        answers = [place == number for number in range(3) for place in rng.sample(places, 100)]
        for round_size in (1, 100):
            stops[round_size] += fed(ScoreStop(100, 300, 0.02, round_size), answers).stopped
    assert stops[100] <= 0.02 * 1000 < stops[1]


def test_a_sound_run_whose_groups_are_right_or_wrong_as_a_whole_is_not_stopped() -> None:
    pairs = [(str(place), str(place // 30)) for place in range(TOTAL)]
    for seed in range(100):
        answers = (int(one) < LIMIT for one in stratified_order(pairs, seed))
        assert not fed(ScoreStop(LIMIT, TOTAL, ALPHA, round_size=30), answers).stopped


def test_a_run_that_has_reached_its_limit_is_no_longer_stopped() -> None:
    stop = fed(
        ScoreStop(1, 900, 0.9, round_size=900, alternatives=((0.0, 1.0),)), [False] * 80 + [True] + [False] * 819
    )
    assert (stop.stopped, stop.asked, stop.reason()) == (False, 900, "")


def test_a_run_far_below_the_limit_is_stopped_before_its_end() -> None:
    rng = random.Random(3)
    for _ in range(20):
        stop = stopped_after(shuffled(250, rng))
        assert stop is not None
        assert stop < 850


def test_a_stop_is_final_and_has_a_reason() -> None:
    stop = ScoreStop(LIMIT, TOTAL, ALPHA)
    assert (stop.stopped, stop.reason(), stop.statistic) == (False, "", pytest.approx(1))
    fed(stop, [False] * 21)
    reason, statistic = stop.reason(), stop.statistic
    assert reason.startswith("0 of the first 21 answers are right: a run that gets 303 or more of 900 right")
    assert reason.endswith("at most 0.5 %")
    fed(stop, [True] * 400)
    assert (stop.stopped, stop.asked, stop.reason(), stop.statistic) == (True, 21, reason, statistic)


def test_an_answer_after_the_last_question_is_an_error() -> None:
    stop = fed(ScoreStop(2, 3, ALPHA), [True] * 3)
    with pytest.raises(ValueError, match="all 3 questions"):
        stop.add(True)


def test_many_right_answers_do_not_overflow() -> None:
    stop = fed(ScoreStop(303, 11_000, ALPHA), [True] * 11_000)
    assert not stop.stopped
    assert stop.statistic >= 0


@pytest.mark.parametrize("letter", ["A", "D", "J"])
def test_one_letter_for_everything_stops_within_25_questions(letter: str) -> None:
    stop = LetterStop()
    for _ in range(100):
        stop.add(letter)
    assert stop.stopped
    assert stop.asked == 23
    assert stop.reason().startswith(f"{letter} answers 23 of the first 23 multiple-choice questions")


def test_one_letter_stops_although_a_few_answers_have_no_letter() -> None:
    stop = LetterStop()
    for number in range(100):
        stop.add("" if number % 20 == 0 else "B")
    assert stop.stopped
    assert "B answers" in stop.reason()


def test_the_limit_may_be_any_share() -> None:
    for limit_share, asked in ((0.0, 1), (0.3, 9), (0.95, 100), (1.0, 100)):
        stop = LetterStop(limit_share)
        for _ in range(100):
            stop.add("C")
        assert (stop.stopped, stop.asked) == (asked < 100, asked)


@pytest.mark.parametrize("others", ["", "other", "?"])
def test_answers_without_a_letter_do_not_count_as_one_letter(others: str) -> None:
    stop = LetterStop()
    for _ in range(900):
        stop.add(others)
    assert (stop.stopped, stop.reason(), stop.asked) == (False, "", 900)


@pytest.mark.parametrize("often", [30, 60])
def test_a_letter_up_to_the_limit_is_rarely_stopped(often: int) -> None:
    rng, stops = random.Random(4), 0
    for _ in range(200):
        stop = LetterStop()
        for _ in range(300):
            stop.add("A" if rng.random() < often / 100 else rng.choice("BCD"))
        stops += stop.stopped
    assert stops <= 2


def test_no_sound_share_of_letters_is_stopped_more_often_than_alpha() -> None:
    # every sequence of ten answers from a model at the limit, weighted with its probability
    limit_share, alpha, error = 0.5, 0.5, 0.0
    for answers in itertools.product("AB", repeat=10):
        stop = LetterStop(limit_share, alpha)
        for letter in answers:
            stop.add(letter)
        error += stop.stopped * 0.5**10
    assert 0 < error <= alpha


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScoreStop(3, 9, alpha=0),
        lambda: ScoreStop(3, 9, ALPHA, alternatives=((0.2, 0.5), (0.1, 0.4))),
        lambda: LetterStop(alpha=1.5),
    ],
)
def test_settings_without_an_error_bound_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"alpha|weights"):
        make()
