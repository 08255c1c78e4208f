"""Log probabilities: what is compared up to the first different token, and which differences are findings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from vlm_acceptance.checks.logprobs import (
    against_baseline,
    alike,
    difference,
    distance_of,
    figures_of,
    files_are_the_references,
    repeat,
    totals,
)
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.logprobs import LogProbs

LIMITS = LogProbLimits(alarm=0.04, alarm_prompt=0.1, common_top=0.9, tie=0.5, steady=0.02, steady_prompt=0.1)


def numbers(*tokens: int, off: float = 0.0, lists: Mapping[int, Mapping[int, float]] | None = None) -> LogProbs:
    """Token n at -0.05, four others far behind; every log probability `off` from there."""
    top = []
    for place, token in enumerate(tokens):
        listed = (lists or {}).get(place) or {token: -0.05, **{900 + n: -8.0 - n for n in range(4)}}
        top.append({name: p + off for name, p in listed.items()})
    return LogProbs(" ".join(map(str, tokens)), tokens, tuple(top))


def checks(found: list) -> list[tuple[str, str]]:
    return [(one.check, one.where) for one in found]


def test_equal_log_probabilities_do_not_differ() -> None:
    one = difference(numbers(1, 2, 3), numbers(1, 2, 3))
    assert (one.diverged, one.behind, one.possible, len(one.listed), sum(one.chosen)) == (None, None, 15, 15, 0)
    assert one.shift == 0


def test_the_list_at_the_first_different_token_is_compared_and_later_ones_are_not() -> None:
    known = numbers(1, 2, 3)
    one = difference(known, numbers(1, 7, 3, off=-0.25, lists={1: {7: -0.05, 2: -9.0}}))
    assert (one.diverged, len(one.chosen), one.possible) == (1, 1, 10)
    assert one.chosen == pytest.approx((0.25,))
    assert len(one.listed) == 5 + 1  # of the second list only token 2 is known


def test_a_shorter_answer_differs_at_its_end() -> None:
    one = difference(numbers(1, 2, 3), numbers(1, 2))
    assert (one.diverged, one.behind, len(one.chosen), one.possible) == (2, None, 2, 10)


def test_a_near_tie_shows_how_much_less_likely_the_other_token_was() -> None:
    known = numbers(1, 2, lists={1: {2: -0.7, 3: -0.8}})
    assert difference(known, numbers(1, 3)).behind == pytest.approx(0.1)
    assert difference(known, numbers(1, 4)).behind is None


def test_totals_are_means_over_tokens_not_prompts() -> None:
    both = totals([difference(numbers(1), numbers(1, off=-0.3)), difference(numbers(1, 2, 3), numbers(1, 2, 3))])
    assert both.shift == pytest.approx(0.3 / 4)
    assert (both.prompts, both.diverged, both.common) == (2, 0, 1)
    assert (both.chosen_mean, both.chosen_max) == (pytest.approx(0.075), pytest.approx(0.3))


def test_no_token_in_common_is_an_infinite_difference() -> None:
    nothing = totals([difference(numbers(1, lists={0: {1: -0.05}}), numbers(2, lists={0: {2: -0.05}}))])
    assert (nothing.common, nothing.shift, nothing.chosen_mean) == (0, math.inf, math.inf)


def test_log_probabilities_within_the_alarm_have_no_finding() -> None:
    known = {"a": numbers(1, 2), "b": numbers(3)}
    found, together = against_baseline(known, {"a": numbers(1, 2, off=-0.03), "b": numbers(3, off=-0.03)}, LIMITS)
    assert found == []
    assert together is not None
    assert together.shift == pytest.approx(0.03)


def test_a_mean_above_the_alarm_is_found_though_every_token_is_right() -> None:
    found, _ = against_baseline({"a": numbers(1, 2)}, {"a": numbers(1, 2, off=-0.05)}, LIMITS)
    assert checks(found) == [("logprobs.shift", "")]
    assert found[0].observed == "0.0500 over 1 prompts"


def test_one_prompt_far_away_is_found_among_many_that_are_right() -> None:
    known = {str(n): numbers(n) for n in range(20)}
    found, _ = against_baseline(known, {**known, "7": numbers(7, off=-0.2)}, LIMITS)
    assert checks(found) == [("logprobs.prompt", "7")]


def test_few_common_tokens_are_found() -> None:
    other = numbers(1, lists={0: {1: -0.05, **{800 + n: -8.0 for n in range(4)}}})
    found, _ = against_baseline({"a": numbers(1)}, {"a": other}, LIMITS)
    assert checks(found) == [("logprobs.top5", "")]


@pytest.mark.parametrize(
    ("lead", "refused"), [(0.4, []), (0.6, [("logprobs.token", "a")])], ids=["undecided", "decided"]
)
def test_another_token_is_accepted_only_at_a_near_tie(lead: float, refused: list) -> None:
    lists = {0: {1: -0.1, 2: -0.1 - lead}}
    found, _ = against_baseline({"a": numbers(1, lists=lists)}, {"a": numbers(2, lists=lists)}, LIMITS)
    assert checks(found) == refused


def test_an_answer_cut_or_continued_is_found() -> None:
    known = {"a": numbers(1, 2)}
    for seen in (numbers(1), numbers(1, 2, 3)):
        found, _ = against_baseline(known, {"a": seen}, LIMITS)
        assert checks(found) == [("logprobs.token", "a")]
        assert f"{len(seen.tokens)} tokens, not 2" in found[0].observed


def test_an_answer_without_log_probabilities_is_fatal() -> None:
    found, together = against_baseline({"a": numbers(1)}, {"a": NoReply("HTTP 500")}, LIMITS)
    assert (checks(found), found[0].fatal, found[0].observed) == ([("logprobs.missing", "a")], True, "HTTP 500")
    assert together is None


@pytest.mark.parametrize("far", [1e308, -1e308])
def test_log_probabilities_too_large_to_add_up_are_findings(far: float) -> None:
    known, seen = {"7": numbers(1, 2, 3)}, {"7": numbers(1, 2, 3, off=far)}
    stored, again = against_baseline(known, seen, LIMITS)[0], alike(known, seen, LIMITS, exact=False)[0]
    assert checks(stored) == [("logprobs.shift", ""), ("logprobs.prompt", "7")]
    assert checks(again) == [("logprobs.unsteady", "7"), ("logprobs.unsteady", "")]


def test_two_answers_within_the_limit_have_no_finding() -> None:
    found, together = alike({"a": numbers(1, 2)}, {"a": numbers(1, 2, off=-0.01)}, LIMITS, exact=True)
    assert (found, together is not None) == ([], True)


def test_two_answers_beyond_the_limit_are_unsteady() -> None:
    found, _ = alike({"a": numbers(1, 2)}, {"a": numbers(1, 2, off=-0.03)}, LIMITS, exact=False)
    assert checks(found) == [("logprobs.unsteady", "")]


@pytest.mark.parametrize(("off", "refused"), [(-0.09, []), (-0.11, [("logprobs.unsteady", "7")])])
def test_one_prompt_may_be_less_steady_than_all_together(off: float, refused: list) -> None:
    first = {str(n): numbers(n) for n in range(20)}
    found, _ = alike(first, {**first, "7": numbers(7, off=off)}, LIMITS, exact=False)
    assert checks(found) == refused


@pytest.mark.parametrize("exact", [True, False])
def test_another_text_at_a_near_tie_is_found_only_if_texts_must_be_equal(exact: bool) -> None:
    lists = {0: {1: -0.70, 2: -0.71}}
    found, _ = alike({"a": numbers(1, lists=lists)}, {"a": numbers(2, lists=lists)}, LIMITS, exact=exact)
    assert checks(found) == ([("logprobs.text", "a")] if exact else [])


def test_another_text_of_the_same_tokens_is_found() -> None:
    one = numbers(1, 2)
    found, _ = alike({"a": one}, {"a": replace(one, text="1 3")}, LIMITS, exact=False)
    assert checks(found) == [("logprobs.text", "a")]


def test_a_missing_second_answer_is_reported() -> None:
    found, together = alike({"a": numbers(1)}, {"a": NoReply("gone")}, LIMITS, exact=False)
    assert (checks(found), together) == ([("logprobs.missing", "a")], None)


def test_the_stored_distances_are_those_that_are_judged() -> None:
    known = {"a": numbers(1, 2), "b": numbers(1, 2), "lost": numbers(1)}
    seen = {"a": numbers(1, 2, off=-0.3), "b": numbers(1, 9, lists={1: {9: -0.1}}), "lost": NoReply("nothing")}
    row = figures_of(known, seen, LIMITS, "right.jsonl")
    assert (row["against"], row["limit"], row["limit_prompt"]) == ("right.jsonl", 0.04, 0.1)
    assert [one["id"] for one in row["prompts"]] == ["a", "b", "lost"]
    assert row["prompts"][0]["mean"] == difference(known["a"], seen["a"]).shift == pytest.approx(0.3)
    assert row["prompts"][0]["largest"] == pytest.approx(0.3) and row["prompts"][1]["diverged"] == 1
    assert row["prompts"][2] == {"id": "lost", "mean": None, "largest": None, "diverged": None}


def test_answers_of_one_deployment_have_the_limits_of_repetition() -> None:
    row = figures_of({}, {"a": numbers(1)}, LIMITS)
    assert (row["against"], row["limit"], row["limit_prompt"]) == ("", 0.02, 0.1)
    assert row["prompts"][0]["mean"] is None


def test_a_repeat_keeps_the_sums_of_each_prompt_that_was_answered() -> None:
    known = {"a": numbers(1, 2), "b": numbers(3)}
    made = repeat("together", known, {"a": numbers(1, 2, off=-0.5), "b": NoReply("HTTP 500")})
    assert (made.name, made.floor, list(made.prompts)) == ("repeat: together", True, ["a"])
    one = made.prompts["a"]
    assert (one.listed, one.possible, one.tokens) == (10, 10, 2)
    assert (one.shift, one.largest, one.chosen) == pytest.approx((5, 0.5, 1))


def test_a_prompt_without_a_common_token_has_a_distance_of_nothing() -> None:
    one = distance_of(difference(numbers(1, lists={0: {1: -0.1}}), numbers(2, lists={0: {2: -0.1}})))
    assert (one.shift, one.largest, one.listed, one.possible) == (0, 0, 0, 1)


def test_files_of_another_checkpoint_are_named() -> None:
    assert files_are_the_references([], "m") == []
    (found,) = files_are_the_references(["config.json", "a.safetensors"], "m")
    assert (found.check, found.observed) == ("logprobs.files", "absent or changed: config.json, a.safetensors")
