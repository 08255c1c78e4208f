"""The criteria of the accuracy verdict: each holds at its limit and fails one step beyond it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.made_run import answered, failed

from vlm_acceptance.accuracy import criteria
from vlm_acceptance.accuracy.baseline import Comparison
from vlm_acceptance.accuracy.criteria import Limits, TokenCount
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.metrics import ShapeCounts
from vlm_acceptance.config.profile import Mmmu, Paired, PictureAblation, Reference, Shape
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.stats.binomial import at_least, at_most, mcnemar

GPU = {"MMMU_val": Reference(score=36.3, correct=327, total=900, source="model card"), "half": Reference(score=36.3)}
LIMITS = Limits(303, 372, "so it is")


def checks(found: list[Finding]) -> list[str]:
    return [one.check for one in found]


def by_id(*answers: Answer) -> dict[str, Answer]:
    return {answer.id: answer for answer in answers}


def whole(count: int) -> dict[str, Answer]:
    return by_id(*(answered(f"q{number}", "A") for number in range(count)))


def test_limits_are_the_exact_binomial_bounds_of_the_reference() -> None:
    limits = criteria.limits_of(Mmmu(), GPU, 900)
    assert (limits.low, limits.high) == (303, 372)
    share = 327 / 900
    assert at_most(limits.low - 1, 900, share) <= 0.05 < at_most(limits.low, 900, share)
    assert at_least(limits.high + 1, 900, share) <= 0.001 < at_least(limits.high, 900, share)
    for words in ("327 of 900", "model card", "5 % below", "0.1 % above"):
        assert words in limits.basis


def test_limits_of_the_profile_take_precedence_over_the_reference() -> None:
    limits = criteria.limits_of(Mmmu(min_correct=90, max_correct=91), GPU, 120)
    assert (limits.low, limits.high) == (90, 91)
    assert "mmmu.min_correct" in limits.basis
    assert "327" not in limits.basis


def test_a_limit_that_the_profile_leaves_out_comes_from_the_reference() -> None:
    low = criteria.limits_of(Mmmu(min_correct=310), GPU, 900)
    high = criteria.limits_of(Mmmu(max_correct=360), GPU, 900)
    assert (low.low, low.high, high.low, high.high) == (310, 372, 303, 360)
    assert "the profile's mmmu.min_correct below, 0.1 % above" in low.basis
    assert "5 % below, the profile's mmmu.max_correct above" in high.basis


def test_a_reference_of_another_protocol_is_named_as_such() -> None:
    known = {"MMMU_val": Reference(score=36.3, correct=327, total=900, protocol="vlmevalkit")}
    assert "not" not in criteria.limits_of(Mmmu(protocol="vlmevalkit-20240708"), known, 900).basis
    assert "vlmevalkit measured and not official" in criteria.limits_of(Mmmu(protocol="official"), known, 900).basis
    own = {**known, "MMMU_val_internvl": Reference(score=34.3, correct=309, total=900, protocol="internvl")}
    limits = criteria.limits_of(Mmmu(protocol="internvl"), own, 900)
    assert limits.low < 303
    assert "309 of 900" in limits.basis


@pytest.mark.parametrize("changes", [{"reference": "none"}, {"reference": "half"}])
@pytest.mark.parametrize("given", [{}, {"min_correct": 1}, {"max_correct": 1}])
def test_missing_limits_are_reported_with_the_keys(changes: dict[str, Any], given: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem, match=r"mmmu\.reference: .* mmmu\.min_correct and mmmu\.max_correct"):
        criteria.limits_of(Mmmu(**changes, **given), GPU, 900)


def test_a_run_with_a_completion_for_every_question_is_complete() -> None:
    assert criteria.incomplete(10, whole(10), 0.01) == ""
    assert criteria.incomplete(10, {**whole(9), "q9": failed("q9", "refused", "500: no")}, 0.01) == ""


def test_one_lost_request_or_one_question_not_asked_makes_a_run_incomplete() -> None:
    lost = {**whole(9), "q9": failed("q9", "lost", "timeout: not complete after 1 s")}
    assert criteria.incomplete(10, lost, 0.01) == "1 of 10 requests got no whole response (1 x timeout), first q9"
    assert criteria.incomplete(10, whole(9), 0.01) == "1 of 10 questions were not asked"
    assert criteria.incomplete(10, {}, 0.01) == "10 of 10 questions were not asked"
    both = criteria.incomplete(11, lost, 0.01)
    assert "no whole response" in both
    assert "1 of 11 questions were not asked" in both


@pytest.mark.parametrize(("again", "is_complete"), [(9, True), (10, False)])
def test_more_than_the_share_of_requests_sent_again_makes_a_run_incomplete(again: int, is_complete: bool) -> None:
    answers = whole(900 - again) | by_id(
        *(answered(f"again{n}", "A", attempts=("reset: by peer",)) for n in range(again))
    )
    said = criteria.incomplete(900, answers, 0.01)
    assert (said == "") == is_complete
    if said:
        assert "10 of 900 requests broke" in said
        assert "more than 1%" in said
        assert "reset: by peer" in said


def test_no_request_may_be_sent_again_where_the_share_is_0() -> None:
    assert criteria.incomplete(1, by_id(answered("q0", "A", attempts=("connect: refused",))), 0.0)


def test_one_refused_question_rejects_and_a_lost_one_does_not() -> None:
    assert criteria.refusals(3, {**whole(2), "q2": failed("q2", "lost", "reset: x")}) == []
    refused = by_id(failed("q1", "refused", "400: too\nlong"), failed("q2", "refused", "500"))
    found = criteria.refusals(3, refused)
    assert checks(found) == ["accuracy.refused"]
    assert found[0].fatal
    assert found[0].where == "q1"
    assert found[0].observed == r"2 refused, this one with '400: too\nlong'"


def test_the_lower_limit_itself_is_enough_and_one_less_is_not() -> None:
    assert criteria.score_too_low(303, 900, LIMITS) == []
    found = criteria.score_too_low(302, 900, LIMITS)
    assert checks(found) == ["accuracy.score"]
    assert "at least 303 of 900" in found[0].expected
    assert found[0].observed == "302 of 900 = 33.6%"


def test_the_upper_limit_itself_is_accepted_and_one_more_is_not() -> None:
    assert criteria.score_too_high(372, 900, LIMITS) == ""
    assert "373 of 900 right, more than 372" in criteria.score_too_high(373, 900, LIMITS)


SPREAD = Counter("ABCD" * 25)
SHARES: list[tuple[str, str, Callable[[int, int], ShapeCounts]]] = [
    ("unresolved", "unresolved", lambda n, of: ShapeCounts(choice_answers=of, choice_unresolved=n, letters=SPREAD)),
    ("empty", "empty", lambda n, of: ShapeCounts(answered=of, empty=n)),
    ("truncated", "truncated", lambda n, of: ShapeCounts(answered=of, truncated=n)),
    ("declined", "declined", lambda n, of: ShapeCounts(answered=of, declined=n)),
    ("open_a", "open_a", lambda n, of: ShapeCounts(open_answers=of, open_a=n)),
    ("top_letter", "letters", lambda n, of: ShapeCounts(letters=Counter({"A": n, "B": of - n}))),
]


@pytest.mark.parametrize(("key", "check", "counts"), SHARES, ids=[row[0] for row in SHARES])
def test_each_share_is_allowed_up_to_its_limit_and_not_beyond(
    key: str, check: str, counts: Callable[[int, int], ShapeCounts]
) -> None:
    # binary fractions of these shares lie on either side of them
    for percent, total in ((1, 900), (5, 900), (10, 900), (29, 100), (35, 180), (55, 100), (57, 1100), (60, 900)):
        limits = Shape(**{key: percent / 100, "letters": 2 if key == "top_letter" else 1})
        if key == "top_letter" and percent < 50:
            continue  # then another letter is in more than the share
        edge = percent * total // 100
        assert criteria.wrong_shape(counts(edge, total), limits) == [], (percent, total)
        assert checks(criteria.wrong_shape(counts(edge + 1, total), limits)) == [f"accuracy.{check}"], (percent, total)


def test_a_finding_of_shape_has_count_total_and_share() -> None:
    found = criteria.wrong_shape(ShapeCounts(answered=200, empty=3), Shape())
    assert found == [Finding(kinds.ACCURACY_EMPTY, "at most 1% empty answers", "3 of 200 = 1.5%")]


def test_a_run_without_answers_has_no_wrong_shape() -> None:
    assert criteria.wrong_shape(ShapeCounts(), Shape()) == []


def test_a_repeated_letter_is_fatal_and_shows_the_histogram() -> None:
    found = criteria.wrong_shape(ShapeCounts(letters=Counter(A=61, B=20, C=19)), Shape())
    assert checks(found) == ["accuracy.letters"]
    assert found[0].fatal
    assert found[0].observed == "A in 61 of 100: A 61, B 20, C 19"


@pytest.mark.parametrize(("letters", "is_sound"), [("AABBC", True), ("AABBB", False), ("AAABB", False)])
def test_fewer_letters_than_required_are_refused(letters: str, is_sound: bool) -> None:
    found = criteria.wrong_shape(ShapeCounts(letters=Counter(letters)), Shape())
    assert checks(found) == ([] if is_sound else ["accuracy.few_letters"])
    assert not any(one.fatal for one in found)


def test_every_broken_limit_of_shape_is_reported() -> None:
    seen = ShapeCounts(
        answered=10, choice_answers=6, choice_unresolved=6, open_answers=4, open_a=4, empty=5, declined=5
    )
    assert checks(criteria.wrong_shape(seen, Shape())) == [
        "accuracy.unresolved",
        "accuracy.empty",
        "accuracy.declined",
        "accuracy.open_a",
    ]


TILE = 20


def count_of(ident: str, seen: int | None, small: int | None = 57, text: int | None = 16) -> TokenCount:
    """A question with two pictures of three tiles: 16 tokens of text, 17 when it is encoded with pictures."""
    return TokenCount(ident, seen, 60, small, 2 * TILE, text)


def test_tokens_beside_the_tiles_and_of_the_tiles_are_right_and_one_more_or_less_is_not() -> None:
    assert criteria.wrong_tokens([count_of("q", 77)], TILE) == []
    for seen in (57, 97, 17, 76, 78):
        found = criteria.wrong_tokens([count_of("q", seen)], TILE)
        assert checks(found) == ["accuracy.tokens"]
        assert found[0].fatal
        assert found[0].where == "q"
        assert found[0].observed == f"{seen - 17} ({seen} prompt tokens, 17 beside the pictures)"
        assert criteria.uncounted_tokens([count_of("q", seen)]) == ""


@pytest.mark.parametrize(("small", "seen"), [(17, 37), (37, 57), (77, 97)])
def test_small_pictures_that_cost_other_tiles_are_wrong_even_if_the_answer_has_the_same_fault(
    small: int, seen: int
) -> None:
    (found,) = criteria.wrong_tokens([count_of("q", seen, small)], TILE)
    assert found.expected == "about 40 tokens of pictures of one tile each"
    assert found.observed == f"{small} prompt tokens with them, 16 without"


def test_an_answer_without_usage_is_wrong() -> None:
    found = criteria.wrong_tokens([count_of("q", None)], TILE)
    assert [one.observed for one in found] == ["no usage in the answer"]


def test_uncounted_prompts_are_inconclusive() -> None:
    rows = [count_of("q", 77), count_of("r", 77, small=None), count_of("s", 77, text=None), count_of("t", None, None)]
    assert criteria.wrong_tokens(rows[:3], TILE) == []
    assert criteria.uncounted_tokens(rows) == "the prompt of 2 questions was not counted, first r"
    assert criteria.uncounted_tokens(rows[:1]) == ""


@pytest.mark.parametrize(("wrong", "findings"), [(5, 5), (6, 6), (900, 6)])
def test_many_wrong_counts_are_reported_as_five_examples_and_their_number(wrong: int, findings: int) -> None:
    found = criteria.wrong_tokens((count_of(f"q{n}", 57) for n in range(wrong)), TILE)
    assert len(found) == findings
    assert (found[-1].observed == f"{wrong} answers in all") == (wrong > 5)


@pytest.mark.parametrize(
    ("asked", "margin", "fewer"), [(100, 0.05, 5), (100, 0.07, 7), (120, 0.3, 36), (180, 0.55, 99), (101, 0.05, 6)]
)
def test_the_margin_of_blank_pictures_is_enough_and_one_less_is_not(asked: int, margin: float, fewer: int) -> None:
    wanted = PictureAblation(sample=asked, margin=margin)
    assert criteria.ignores_pictures(99, 99 - fewer, asked, wanted) == []
    found = criteria.ignores_pictures(99, 100 - fewer, asked, wanted)
    assert checks(found) == ["accuracy.ablation"]
    assert found[0].fatal
    assert found[0].observed == f"99 of {asked} with pictures, {100 - fewer} with blank ones"


def test_a_model_that_is_better_blind_is_refused() -> None:
    assert criteria.ignores_pictures(10, 20, 100, PictureAblation(margin=0.0))


def paired(lost: int, gained: int, compared: int = 900, **wanted: Any) -> tuple[Comparison, Paired]:
    lost_ids, gained_ids = (tuple(f"{sign}{n}" for n in range(count)) for sign, count in (("l", lost), ("g", gained)))
    return Comparison(lost_ids, gained_ids, compared - lost - gained, 0), Paired(**wanted)


def test_a_significant_loss_is_refused_and_the_next_smaller_one_is_not() -> None:
    gained = 20
    most = next(lost for lost in range(900) if mcnemar(lost + 1, gained) < 0.01)
    assert criteria.worse_than_baseline(*paired(most, gained)) == []
    found = criteria.worse_than_baseline(*paired(most + 1, gained))
    assert checks(found) == ["accuracy.paired"]
    assert f"{most + 1} lost and 20 gained of 900" in found[0].observed
    assert "lost l0, l1, l2, l3, l4 …" in found[0].observed


def test_a_p_of_alpha_itself_is_not_refused() -> None:
    assert criteria.worse_than_baseline(*paired(1, 1, alpha=0.75)) == []
    assert checks(criteria.worse_than_baseline(*paired(1, 1, alpha=0.7500001))) == ["accuracy.paired"]


def test_more_gained_than_lost_is_never_worse() -> None:
    assert criteria.worse_than_baseline(*paired(0, 50, require_margin=True)) == []
    assert criteria.worse_than_baseline(*paired(0, 0, require_margin=True)) == []


def test_a_margin_that_is_not_ruled_out_is_refused_only_if_the_profile_requires_it() -> None:
    seen, _ = paired(12, 8, compared=100)
    assert not seen.rules_out(Paired().margin)
    assert criteria.worse_than_baseline(seen, Paired()) == []
    found = criteria.worse_than_baseline(seen, Paired(require_margin=True))
    assert checks(found) == ["accuracy.margin"]
    assert found[0].expected == "a loss of 2% ruled out at 5 %"


def test_the_interval_of_the_paired_difference_contains_the_observed_one() -> None:
    seen, _ = paired(30, 12)
    assert seen.interval[0] < (12 - 30) / 900 < seen.interval[1]
    assert (seen.compared, len(seen.lost), len(seen.gained)) == (900, 30, 12)


def test_golden_answers_must_be_given_exactly() -> None:
    known = {"a": "The answer is C.", "b": ""}
    right = by_id(answered("a", " The answer is C.\n"), answered("b", ""), answered("more", "x"))
    assert criteria.unlike_golden_answers(known, right) == []
    wrong = by_id(answered("a", "The answer is C"), failed("b", "lost", "reset"))
    found = criteria.unlike_golden_answers(known, wrong)
    assert [(one.where, one.expected, one.observed) for one in found] == [
        ("a", "'The answer is C.'", "'The answer is C'"),
        ("b", "''", "'no answer'"),
    ]
    assert [one.where for one in criteria.unlike_golden_answers(known, {})] == ["a", "b"]


@pytest.mark.parametrize("seen", [{"one": 89}, {"one": 91}, {}])
def test_every_scorer_must_find_its_golden_count(seen: dict[str, int]) -> None:
    assert criteria.unlike_golden_scores({"one": 90}, {"one": 90, "two": 3}) == []
    found = criteria.unlike_golden_scores({"one": 90}, seen)
    assert [(one.check, one.expected) for one in found] == [("accuracy.golden_score", "90 right by one")]
