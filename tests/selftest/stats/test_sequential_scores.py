"""Early stops by scores between 0 and 1: how often they reject a sound run, by enumeration and by simulation."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Iterable

import pytest
from scipy import stats

from vlm_acceptance.stats.sequential import ScoreStop, alternatives_below

BETS = ((0.1, 0.5), (0.3, 0.5))


def fed(stop: ScoreStop, scores: Iterable[float]) -> ScoreStop:
    for score in scores:
        stop.add(score)
    return stop


@pytest.mark.parametrize(
    "scores",
    [
        [0, 0, 0.3, 0.6, 0.9, 1],
        [0, 0.1, 0.2, 0.3, 0.4, 0.5],
        [0, 0, 0, 0, 0.5, 1],
        [0.3, 0.3, 0.3, 0.3, 0.3, 1],
        [0.75, 0.75, 1, 1, 1, 1],
    ],
)
@pytest.mark.parametrize("alternatives", [BETS, ((0.05, 0.1), (0.0, 0.9)), ((0.247, 0.9), (0.05, 0.1))])
def test_no_sound_small_run_is_stopped_more_often_than_alpha(
    scores: list[float], alternatives: tuple[tuple[float, float], ...]
) -> None:
    orders = list(itertools.permutations(scores))
    for limit, alpha in itertools.product((sum(scores), 0.8 * sum(scores)), (0.05, 0.2, 0.5)):
        stopped = sum(fed(ScoreStop(limit, 6, alpha, alternatives=alternatives), order).stopped for order in orders)
        assert stopped <= alpha * len(orders)


def test_some_sound_small_run_is_stopped() -> None:
    # the test above would hold for a stop that never acts
    orders = list(itertools.permutations([0, 0, 0.3, 0.6, 0.9, 1]))
    assert any(fed(ScoreStop(2.8, 6, 0.5, alternatives=BETS), order).stopped for order in orders)


def test_the_bets_of_a_run_at_its_limit_neither_gain_nor_lose_on_average() -> None:
    scores = [1, 1, 1, 0.9, 0.6, 0.5, 0.3, 0]
    orders = itertools.permutations(scores, 3)
    mean = statistics.fmean(fed(ScoreStop(5.3, 8, 1e-9, alternatives=BETS), order).statistic for order in orders)
    assert mean == pytest.approx(1)


def factor_of_an_answer(share: float, bound: float, is_hit: bool) -> float:
    """The factor of one right or wrong answer."""
    return share / bound if is_hit else (1 - share) / (1 - bound)


@pytest.mark.parametrize("round_size", [1, 3])
@pytest.mark.parametrize("answers", [[1] * 8, [0, 0, 1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1, 1, 1]])
def test_right_and_wrong_answers_are_bet_on_up_to_a_bound_of_1(answers: list[int], round_size: int) -> None:
    limit, reached, bound, bets = sum(answers), 0, 0.0, dict(BETS)
    stop = ScoreStop(limit, 8, 1e-12, round_size, BETS)
    for place, answer in enumerate(answers):
        if place % round_size == 0:
            bound = (limit - reached) / (8 - place)
        reached += answer
        bets = {share: bet * factor_of_an_answer(share, bound, bool(answer)) for share, bet in bets.items()}
        stop.add(answer)
        assert stop.statistic == sum(bets.values())
    assert bound == 1
    assert stop.statistic < 0.01


def test_a_score_just_below_1_does_not_bet_on_a_bound_of_1() -> None:
    stop = fed(ScoreStop(3.0, 3, 0.01, alternatives=BETS), [1 - 1e-12])
    assert (stop.statistic, stop.stopped) == (1, False)


def test_equal_alternatives_add_their_weights() -> None:
    stop = ScoreStop(0.0, 9, 0.01, alternatives=alternatives_below(0.0))
    assert fed(stop, [0.0] * 9).statistic == pytest.approx(1)
    twice = fed(ScoreStop(5, 9, 0.01, alternatives=((0.2, 0.5), (0.2, 0.5))), [1, 0, 0])
    assert twice.statistic == fed(ScoreStop(5, 9, 0.01, alternatives=((0.2, 1.0),)), [1, 0, 0]).statistic


def test_a_score_between_moves_the_bets_less_than_a_miss() -> None:
    seen = [fed(ScoreStop(700.0, 1000, 1e-9), [score]).statistic for score in (0, 0.3, 0.6, 0.9, 1)]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 1 > seen[-1]


def test_a_sound_run_of_vqa_scores_is_stopped_as_often_as_allowed() -> None:
    rng, runs, alpha, stops = random.Random(1), 300, 0.2, 0
    scores = [0] * 70 + [0.3, 0.6, 0.9] * 10 + [1] * 200
    limit = sum(scores)
    for _ in range(runs):
        rng.shuffle(scores)
        stops += fed(ScoreStop(limit, 300, alpha, alternatives=alternatives_below(limit / 300)), scores).stopped
    assert 0 < stops <= stats.binom.isf(0.001, runs, alpha)


@pytest.mark.parametrize(("share", "latest"), [(0.0, 20), (0.36, 100), (0.6, 700)])
def test_a_broken_run_stops_early(share: float, latest: int) -> None:
    rng = random.Random(2)
    asked = []
    for _ in range(20):
        stop = ScoreStop(0.72 * 1000, 1000, 0.003, alternatives=alternatives_below(0.72))
        asked.append(
            fed(stop, [0.3 * (rng.random() < share) + 0.7 * (rng.random() < share) for _ in range(1000)]).asked
        )
    assert statistics.median(asked) <= latest


def test_rounding_of_sums_neither_stops_a_run_nor_bets() -> None:
    # ten tenths are less than 1, and the limit is reached by the last of them only
    stop = fed(ScoreStop(1.0, 10, 0.01), [0.1] * 10)
    assert not stop.stopped or stop.is_out_of_reach
    for total in (30, 3000):
        scores = [0.3, 0.9, 0.6] * (total // 3)
        assert not fed(ScoreStop(0.6 * total, total, 0.001), scores).stopped
        assert not fed(ScoreStop(float(total), total, 0.001), [1.0] * total).stopped


def test_the_reason_names_sums_of_scores() -> None:
    stop = fed(ScoreStop(3640.0, 5000, 0.003), [0.3] * 40)
    assert stop.reason() == (
        "the first 8 answers score 2.40: a run that scores 3640.00 or more of 5000 is stopped with a probability of "
        "at most 0.3 %"
    )
    stop = fed(ScoreStop(9.5, 10, 1e-9), [0.3])
    assert stop.reason() == "the first 1 answers score 0.30: 9.50 of 10 can no longer be reached"


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"not in 0\.\.1"):
        ScoreStop(3.0, 9, 0.01).add(score)


@pytest.mark.parametrize("share", [0.0, 0.036, 0.5, 1.0])
def test_the_bets_for_a_limit_are_below_it(share: float) -> None:
    bets = alternatives_below(share)
    assert sum(weight for _, weight in bets) == pytest.approx(1)
    assert all(0 <= one <= share for one, _ in bets)
