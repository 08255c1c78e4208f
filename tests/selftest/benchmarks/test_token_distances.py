"""Samples of tokens and what they say about two deployments, on made-up answers."""

from __future__ import annotations

import random

import pytest
from benchmarks.token_distances import Sampler, Token, auc, distances, projected, rows_together, summed, tokens_of

from vlm_acceptance.checks.logprobs import difference, totals
from vlm_acceptance.core.logprobs import LogProbs


def answer(*top: dict[int, float]) -> LogProbs:
    """An answer whose tokens are the likeliest of each list."""
    return LogProbs("", tuple(max(listed, key=listed.__getitem__) for listed in top), top)


KNOWN = answer({1: -0.1, 2: -3.0, 3: -4.0}, {4: -0.2, 5: -2.0, 6: -5.0}, {7: -0.3, 8: -2.0, 9: -6.0})
OTHER = answer({1: -0.2, 2: -2.5, 9: -4.0}, {5: -0.4, 4: -1.0, 6: -5.0}, {7: -0.3, 8: -2.0, 9: -6.0})


def test_sums_are_those_of_the_suite() -> None:
    whole = summed(tokens_of(KNOWN, OTHER))
    suite = totals([difference(KNOWN, OTHER)])
    assert whole.mean == pytest.approx(suite.shift)
    assert whole.common == pytest.approx(suite.common)


def test_tokens_end_at_the_first_different_one() -> None:
    assert [token.others for token in tokens_of(KNOWN, OTHER)] == [0, 1]
    assert [token.others for token in tokens_of(KNOWN, KNOWN)] == [0, 0, 0]


def test_given_answer_counts_tokens_that_would_not_have_been_chosen() -> None:
    scored = LogProbs("", KNOWN.tokens, OTHER.top)
    assert [token.others for token in tokens_of(KNOWN, scored)] == [0, 1, 0]


def test_prompts_without_an_answer_are_left_out() -> None:
    assert set(distances({"a": KNOWN, "b": KNOWN}, {"a": OTHER})) == {"a"}
    assert set(distances({"a": KNOWN, "b": KNOWN}, {"a": OTHER, "b": OTHER}, {"b": OTHER})) == {"b"}


@pytest.mark.parametrize("offset", [0.0, 0.7], ids=["plain", "all moved alike"])
def test_the_predicted_change_is_found_whole_or_not_at_all(offset: float) -> None:
    known, fault = KNOWN.top[0], {1: -0.4, 2: -2.0, 3: -4.5}
    for seen, share in ((known, 0.0), (fault, 1.0)):
        along, length = projected(known, {token: p + offset for token, p in seen.items()}, fault)
        assert along == pytest.approx(share * length)
        assert length > 0


def test_lists_without_a_common_token_say_nothing_of_a_fault() -> None:
    assert projected({1: -1.0}, {2: -1.0}, {3: -1.0}) == (0.0, 0.0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_sample_has_exactly_so_many_tokens(size: int) -> None:
    sampler = Sampler({"a": [Token(tokens=1)] * 3, "b": [Token(tokens=1)] * 2, "empty": []})
    assert {sampler.draw(size, random.Random(seed)).tokens for seed in range(20)} == {size}


def test_runs_of_one_deployment_are_drawn_from_together() -> None:
    assert len(rows_together({"a": [Token()]}, {"a": [Token()]})) == 2


@pytest.mark.parametrize(
    ("right", "wrong", "share"),
    [([1, 2], [3, 4], 1.0), ([3, 4], [1, 2], 0.0), ([1, 1], [1, 1], 0.5), ([1, 3], [2, 2], 0.5)],
    ids=["apart", "the wrong way round", "equal", "in between"],
)
def test_auc_is_the_share_of_pairs_in_the_right_order(right: list[float], wrong: list[float], share: float) -> None:
    assert auc(right, wrong) == share
