"""Medians against budgets, and figures that are absent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlm_acceptance.checks.latency import Figure, Sample, flows, from_reply, median_of, row_of, starved, within
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.core.exchange import CHAT, Exchange, Frame, Reply, Request, Usage
from vlm_acceptance.core.waiting import ProcessorReading, Waited

MS = 1_000_000


def streamed(tokens: int, *chunks_ms: int, elapsed_s: float = 1.0) -> Reply:
    stamps = tuple(at * MS for at in chunks_ms)
    return Reply("text", "stop", Usage(10, tokens, 10 + tokens), "m", elapsed_s, 0, stamps)


def sample(ttft: float | None = 0.1, tpot: float | None = 0.02, e2e: float = 1.0, tokens: int = 50) -> Sample:
    return Sample(ttft, tpot, e2e, tokens)


def checks(budget: Budget, *samples: Sample) -> list[str]:
    return [finding.check for finding in within(budget, samples, "ocr")]


def test_times_are_read_from_a_streamed_reply() -> None:
    read = from_reply(streamed(11, 100, 300, 500, elapsed_s=0.6))

    assert (read.ttft_s, read.e2e_s, read.tokens) == (0.1, 0.6, 11)
    assert read.tpot_s == pytest.approx(0.04)


@pytest.mark.parametrize("few", [streamed(7, 100, 200), streamed(9, 100), streamed(9, 100, 100)])
def test_time_per_token_of_few_tokens_or_text_at_once_is_absent_not_zero(few: Reply) -> None:
    assert from_reply(few).tpot_s is None


def test_an_unstreamed_reply_has_only_its_end_to_end_time() -> None:
    assert from_reply(streamed(30, elapsed_s=0.5)) == Sample(None, None, 0.5, 30)


def test_a_reply_without_usage_has_no_token_count() -> None:
    read = from_reply(Reply("text", "stop", None, "m", 1.0, 0, (100 * MS, 200 * MS)))

    assert (read.tokens, read.tpot_s, read.ttft_s) == (None, None, 0.1)


def test_medians_count_only_samples_that_have_the_value() -> None:
    figures = median_of([sample(0.1, None), sample(0.3, 0.02), sample(0.2, None)])

    assert (figures["ttft_s"], figures["tpot_s"]) == (Figure(0.2, 3), Figure(0.02, 1))


def test_a_figure_without_data_is_shown_as_such() -> None:
    assert str(median_of([])["ttft_s"]) == "no data (n=0)"
    assert str(Figure(0.25, 3)) == "0.25 s (n=3)"


def test_medians_within_their_budget_have_no_finding() -> None:
    assert checks(Budget(ttft_s=0.1, tpot_s=0.02, e2e_s=1.0), sample()) == []


@pytest.mark.parametrize(
    ("budget", "check"),
    [
        (Budget(ttft_s=0.09), "latency.ttft"),
        (Budget(tpot_s=0.019), "latency.tpot"),
        (Budget(e2e_s=0.9), "latency.e2e"),
    ],
)
def test_each_median_above_its_budget_is_found(budget: Budget, check: str) -> None:
    assert checks(budget, sample()) == [check]


def test_one_slow_answer_of_three_does_not_move_the_median() -> None:
    assert checks(Budget(ttft_s=0.2), sample(0.1), sample(9.0), sample(0.1)) == []
    assert checks(Budget(ttft_s=0.2), sample(0.1), sample(9.0), sample(9.0)) == ["latency.ttft"]


def test_a_finding_names_limit_figure_and_count() -> None:
    (finding,) = within(Budget(ttft_s=0.2), [sample(0.5), sample(0.5)], "ocr")

    assert finding.expected == "time to first token within 0.2 s (median)"
    assert (finding.observed, finding.where) == ("0.5 s (n=2)", "ocr")


def test_no_samples_are_a_finding_if_there_is_a_budget() -> None:
    assert checks(Budget(e2e_s=1.0)) == ["latency.no_data"]
    assert checks(Budget()) == []


def test_time_per_token_is_not_judged_on_short_answers() -> None:
    assert checks(Budget(tpot_s=0.001), from_reply(streamed(7, 100, 900))) == []


def test_text_held_back_to_the_end_of_a_long_answer_is_not_streamed() -> None:
    assert [finding.check for finding in flows(streamed(300, 1900, 1901, elapsed_s=2.0))] == ["latency.no_stream"]
    assert [finding.check for finding in flows(streamed(300, elapsed_s=2.0))] == ["latency.no_stream"]


@pytest.mark.parametrize(
    ("sizes", "is_buffered"),
    [
        ([20] * 30, True),
        ([19, 20, 21, 20] * 8 + [3], True),
        ([1] * 600, False),
        ([4] * 150, False),  # several tokens at a time
        ([1, 1, 30, 2, 1, 90, 1, 1, 14, 1, 1, 1] * 4, False),  # a busy machine
        ([9, 30, 60, 20, 120, 15, 45, 200], False),
        ([600], False),  # another check
    ],
)
def test_text_in_blocks_of_one_size_is_buffered(sizes: list[int], is_buffered: bool) -> None:
    frames = tuple(Frame(block * 10_000_000, "{}") for block, size in enumerate(sizes, 1) for _ in range(size))
    whole = streamed(*(300, 100, 1900), elapsed_s=2.0)
    request = Request("POST", CHAT, {}, stream=True)
    reply = replace(whole, exchange=Exchange("r", request, "", 0, 1, 200, frames=frames))
    assert bool(flows(reply)) is is_buffered


def test_text_that_starts_early_flows_even_in_bursts() -> None:
    assert flows(streamed(300, 100, 101, 1900, elapsed_s=2.0)) == []
    assert flows(streamed(300, 1500, elapsed_s=2.0)) == []


def test_a_quick_answer_read_at_once_is_not_judged() -> None:
    assert flows(streamed(35, 95, 95, 96, elapsed_s=0.1)) == []
    assert checks(Budget(ttft_s=2.0), from_reply(streamed(50, 900))) == []


def test_a_budget_for_the_first_token_cannot_be_met_without_streaming() -> None:
    assert checks(Budget(ttft_s=2.0), from_reply(streamed(4))) == ["latency.no_stream"]
    assert checks(Budget(e2e_s=2.0), from_reply(streamed(40))) == []


def test_an_unstreamed_answer_is_still_judged_end_to_end() -> None:
    assert checks(Budget(tpot_s=0.1, e2e_s=0.5), from_reply(streamed(40))) == ["latency.no_stream", "latency.e2e"]


def busy(value: float, waited_s: float, own: float | None = 0.0, others: float | None = None) -> Sample:
    """An answer of `value` seconds during which the engine waited."""
    waited = Waited(value, own, waited_s, 0.0, others)
    return Sample(value, value / 50, value, 51, {"ttft_s": waited, "tpot_s": waited, "e2e_s": waited})


@pytest.mark.parametrize("name", ["ttft_s", "tpot_s", "e2e_s"])
def test_an_excess_that_waiting_explains_is_no_finding_but_says_that_the_machine_was_busy(name: str) -> None:
    budget = Budget(**{name: 0.006 if name == "tpot_s" else 0.3})
    samples = [busy(1.0, 0.8)] * 3
    assert within(budget, samples, "ocr") == []
    said = starved(budget, samples, "ocr")
    assert said.startswith("machine busy: 800 ms of 1000 ms waiting for a processor (own threads 0 ms, ")
    assert f"budget {0.006 if name == 'tpot_s' else 0.3:g} s" in said


def test_an_excess_greater_than_the_wait_is_a_finding() -> None:
    (finding,) = within(Budget(ttft_s=0.3), [busy(1.2, 0.8)] * 3, "ocr")
    assert finding.observed == "1.2 s (n=3), 0.4 s without what waiting for a processor explains"
    assert starved(Budget(ttft_s=0.3), [busy(1.2, 0.8)] * 3, "ocr") == ""


def test_an_engine_that_is_slow_by_itself_is_not_excused_by_its_waits() -> None:
    samples = [busy(1.0, 0.8, others=0.05)] * 3
    assert [finding.check for finding in within(Budget(e2e_s=0.3), samples, "ocr")] == ["latency.e2e"]


def test_waits_below_the_budget_excuse_nothing_and_are_reported() -> None:
    samples = [busy(0.2, 0.1), busy(0.2, 0.15), busy(0.2, 0.05)]
    assert starved(Budget(ttft_s=0.3), samples, "ocr") == ""
    assert row_of(samples[0], samples).waited_s == 0.1
    assert row_of(sample(), [sample()]).waited_s is None


def test_times_are_as_they_are_where_no_wait_was_observed() -> None:
    assert starved(Budget(ttft_s=0.05), [sample()], "ocr") == ""
    assert checks(Budget(ttft_s=0.05), sample()) == ["latency.ttft"]


def test_waits_are_those_of_the_part_of_the_answer() -> None:
    at = {0: 0, 100: 10, 600: 500}
    readings = tuple(ProcessorReading(ms * MS, own_ns=waited * MS) for ms, waited in at.items())
    exchange = Exchange("r1", Request("POST", "/"), "", 1, 600 * MS, 200, readings=readings)
    reply = Reply("text", "stop", Usage(10, 50, 60), "m", 0.6, 1, (100 * MS, 590 * MS), exchange)
    waits = {name: waited.own_s for name, waited in from_reply(reply).waited.items()}
    assert waits == {"ttft_s": 0.01, "tpot_s": 0.49, "e2e_s": 0.5}
    assert from_reply(reply).explained_s("tpot_s") == pytest.approx(0.01)
