"""Each request of a load gets its own answer, no request starves, and percentiles show their number of samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.load import (
    Asked,
    at_least,
    counted,
    errors_within,
    fair,
    fault_of,
    fewest,
    finished,
    good,
    own_answers,
    percentiles,
    within,
)
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.config.profile_sections import Limits
from vlm_acceptance.core.exchange import NS, Exchange, NoReply, Reply, Request
from vlm_acceptance.core.waiting import ProcessorReading
from vlm_acceptance.stats.binomial import at_most

RIVER = Asked("ocr/sign-1", (("RIVER",), ("472",)), frozenset({"RIVER", "472"}))
BRIDGE = Asked("ocr/sign-5", (("BRIDGE",), ("164",)), frozenset({"BRIDGE", "164"}))
TEA = Asked("reasoning/cheaper-1", (("TEA",),), frozenset({"TEA", "COFFEE"}))
COFFEE = Asked("reasoning/cheaper-2", (("COFFEE",),), frozenset({"COFFEE", "SOUP"}))
FIVE = Asked("text/sum", (("5",),), is_picture=False)
ALL = [RIVER, BRIDGE, TEA, COFFEE, FIVE]
RIGHT = ["It says RIVER 472.", "BRIDGE, 164", "tea", "Coffee", "5"]


def reply(text: str) -> Reply:
    return Reply(text, "stop", None, "m", 0.1)


def checks_of(texts: list[str], min_correct: int = 4) -> list[str]:
    return [found.check for found in own_answers(ALL, [reply(text) for text in texts], min_correct)]


def test_own_answers_pass() -> None:
    assert checks_of(RIGHT, 8) == []


def test_an_answer_to_another_request_is_fatal_and_names_that_request() -> None:
    found = own_answers(ALL, [reply(text) for text in [RIGHT[1], *RIGHT[1:]]], 1)
    assert [one.check for one in found] == ["load.count", "load.mixed_up"]
    assert found[1].fatal
    assert found[1].observed.startswith("the answer to ocr/sign-5")


def test_a_small_share_of_wrong_answers_is_allowed() -> None:
    wrong = ["nothing", *RIGHT[1:]]
    assert checks_of(wrong) == []
    assert checks_of(wrong, 8) == ["load.count", "load.answer"]


def test_a_report_only_category_does_not_count_unless_it_is_fatal() -> None:
    asked = [replace(RIVER, report_only=True), *ALL[1:]]
    texts = ["nothing", *RIGHT[1:]]
    assert own_answers(asked, [reply(text) for text in texts], 8) == []
    (summary, wrong) = own_answers(asked, [reply(text) for text in ["nothing", "nor this", *RIGHT[2:]]], 8)
    assert (summary.observed[:6], wrong.where) == ("3 of 4", "ocr/sign-5")
    for broken in (reply(RIGHT[1]), NoReply("HTTP 500"), reply("river river " * 20)):
        assert own_answers(asked, [broken, *[reply(text) for text in RIGHT[1:]]], 8)[0].fatal


def test_a_model_just_good_enough_does_not_fail_by_chance() -> None:
    assert [fewest(total, 6) for total in (0, 12, 16, 64)] == [0, 4, 6, 37]
    for total in (12, 16, 64):
        assert at_most(fewest(total, 6) - 1, total, 0.75) <= 0.001 < at_most(fewest(total, 6), total, 0.75)
    assert fewest(16, 8) == 16
    # a picture asked again and again is one picture
    assert fewest(6400, 6, different=64) == 3700
    assert fewest(30, 6, different=64) == fewest(30, 6)
    assert counted([fault_of(RIVER, reply("no"), ALL)] * 10, 16, fewest(16, 6)) == []  # type: ignore[list-item]
    assert counted([fault_of(RIVER, reply("no"), ALL)] * 11, 16, fewest(16, 6)) != []  # type: ignore[list-item]


def test_degenerate_text_is_fatal_though_it_holds_the_answer() -> None:
    fault = fault_of(TEA, reply("tea <|im_end|>"), ALL)
    assert fault is not None
    assert (fault.check, fault.where, fault.fatal) == ("degeneracy.special_token", "reasoning/cheaper-1", True)
    assert fault_of(TEA, reply("tea [OWN]"), ALL) is None
    assert fault_of(TEA, reply("tea [OWN]"), ALL, ["[OWN]"]) is not None
    counting = Asked("text/count", (("20",),), is_picture=False)
    assert fault_of(counting, reply(", ".join(map(str, range(1, 21)))), ALL) is None


def test_an_answer_that_was_not_finished_is_not_an_answer() -> None:
    assert all(isinstance(finished(Reply("x", ending, None, "m", 0.1)), Reply) for ending in ("stop", "length"))
    for ending in (None, "abort", "error"):
        seen = finished(Reply("RIVER 472", ending, None, "m", 0.1, exchange=lasting(1)))
        assert isinstance(seen, NoReply)
        assert seen.exchange is not None  # its evidence is kept
        assert repr(ending) in str(seen)


def test_a_word_that_the_own_picture_shows_is_wrong_but_not_mixed_up() -> None:
    fault = fault_of(TEA, reply("COFFEE"), ALL)
    assert fault is not None
    assert fault.check == "load.answer"
    assert not fault.fatal


def test_the_answer_to_a_text_is_no_evidence_of_a_mix_up() -> None:
    fault = fault_of(RIVER, reply("5"), ALL)
    assert fault is not None
    assert fault.check == "load.answer"


def test_a_word_of_another_picture_in_a_sentence_about_the_own_one_is_no_mix_up() -> None:
    receipt = Asked("receipt", (("HUGO",), ("41.0",)), frozenset({"HUGO", "41.0"}))
    drink = Asked("drink", (("COFFEE",),), frozenset({"COFFEE", "TEA"}))
    text = "A receipt for a cup of coffee, customer Hugo. The total is 4."
    wrong = fault_of(receipt, reply(text), [receipt, drink])
    assert wrong is not None
    assert wrong.check == "load.answer"
    other = fault_of(receipt, reply("It is coffee."), [receipt, drink])
    assert other is not None
    assert other.check == "load.mixed_up"


def test_a_request_without_an_answer_is_fatal() -> None:
    found = own_answers(ALL, [NoReply("HTTP 500: x"), *[reply(text) for text in RIGHT[1:]]], 1)
    assert [one.check for one in found] == ["load.count", "load.no_answer"]
    assert "1 not answered" in found[0].observed


def test_a_golden_answer_must_be_equal() -> None:
    known = Asked("a", (("RIVER",),), frozenset({"RIVER"}), golden="RIVER.")
    other = Asked("b", (("BRIDGE",),), frozenset({"BRIDGE"}), golden="BRIDGE.")
    assert fault_of(known, reply("RIVER."), [known, other]) is None
    for text, check in (("RIVER", "load.answer"), ("BRIDGE.", "load.mixed_up")):
        fault = fault_of(known, reply(text), [known, other])
        assert fault is not None
        assert (fault.check, fault.fatal) == (check, True)


def lasting(seconds: float) -> Exchange:
    return Exchange("r", Request("GET", "/"), "", 0, round(seconds * NS), 200)


def test_one_slow_request_of_many_is_starved() -> None:
    usual = {f"r{n}": lasting(0.2 + n / 100) for n in range(49)}
    assert fair(usual, 10, 5) == []
    (found,) = fair({**usual, "slow": lasting(8)}, 10, 5)
    assert (found.check, found.where, found.observed) == ("load.starved", "slow", "8 s")
    assert fair({**usual, "slow": lasting(4.9)}, 10, 5) == []  # below the floor
    assert fair({f"r{n}": lasting(4 + n) for n in range(9)}, 10, 5) == []  # all are slow
    assert fair({}, 10, 5) == []


def test_a_request_that_could_not_run_is_not_starved_by_the_deployment() -> None:
    usual = {f"r{n}": lasting(0.2) for n in range(9)}
    readings = (ProcessorReading(0, 0, 0, 0, 0), ProcessorReading(8 * NS, 0, 4 * NS, 0, 16 * NS))
    slow = {**usual, "slow": replace(lasting(8), readings=readings)}
    assert [one.where for one in fair(slow, 10, 5)] == ["slow"]
    assert fair(slow, 10, 5, without_waits=True) == []
    (found,) = fair({**usual, "slow": replace(lasting(8), readings=readings)}, 10, 3, without_waits=True)
    assert found.observed == "4 s"
    assert [one.where for one in fair({**usual, "slow": lasting(8)}, 10, 5, without_waits=True)] == ["slow"]


def test_percentiles_are_values_that_occurred() -> None:
    seen = percentiles([n / 1000 for n in range(1, 1001)])
    assert seen is not None
    assert (seen.p50, seen.p90, seen.p99, seen.n) == (0.5, 0.9, 0.99, 1000)
    assert str(seen) == "p50 0.5, p90 0.9, p99 0.99 s (n=1000)"
    assert percentiles([]) is None


@pytest.mark.parametrize(
    ("limits", "n", "found"),
    [
        (Limits(), 1000, []),
        (Limits(p50=1, p90=1, p99=1), 1000, []),
        (Limits(p90=0.5), 1000, ["load.ttft"]),
        (Limits(p99=0.5), 1000, ["load.ttft"]),
        (Limits(p99=0.5), 999, []),
        (Limits(p50=0.1), 20, ["load.ttft"]),
        (Limits(p50=0.1), 0, ["load.no_data"]),
    ],
)
def test_percentiles_are_judged_if_there_are_enough_samples(limits: Limits, n: int, found: list[str]) -> None:
    seen = percentiles([(k + 1) / n for k in range(n)])
    assert [one.check for one in within(limits, seen, "ttft")] == found


def test_goodput_counts_answers_within_every_budget() -> None:
    budget = Budget(ttft_s=0.1, e2e_s=1)
    samples = [Sample(0.05, None, 0.5, 3), Sample(0.2, None, 0.5, 3), Sample(None, 0.9, 0.9, 3), Sample(0.05, 1, 2, 3)]
    assert good(samples, budget) == 2


def test_rates_and_errors_have_bounds() -> None:
    assert at_least("goodput", 0.9, None, "x") == []
    assert at_least("goodput", 0.9, 0.9, "x") == []
    assert at_least("goodput", 0.8, 0.9, "x") != []
    assert errors_within(0, 0, 0) == []
    assert errors_within(2, 200, 0.01) == []
    assert errors_within(3, 200, 0.01)[0].fatal
