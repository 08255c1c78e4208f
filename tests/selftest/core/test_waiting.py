"""How much of a time waiting for a processor can explain."""

from __future__ import annotations

import pytest

from vlm_acceptance.core.waiting import STEP_S, ProcessorReading, Waited, around, between, in_words, joined

MS = 1_000_000


def waited(own: float | None = 0.0, engine: float | None = 0.0, others: float | None = None, **more: float) -> Waited:
    return Waited(more.get("elapsed", 1.0), own, engine, more.get("stolen"), others)


def test_waits_of_threads_add_because_they_may_follow_each_other() -> None:
    assert waited(own=0.1, engine=0.3, stolen=0.05).explained_s == pytest.approx(0.45)


def test_waiting_explains_no_more_than_the_time_itself() -> None:
    assert waited(own=0.5, engine=3.0, elapsed=0.8).explained_s == 0.8


def test_an_engine_whose_threads_wait_for_each_other_is_slow_by_itself() -> None:
    assert waited(engine=0.9, others=0.1).explained_s == pytest.approx(0.1 + STEP_S)
    assert waited(engine=0.9, others=2.0).explained_s == 0.9


def test_what_the_host_withheld_is_no_run_of_others() -> None:
    assert waited(engine=0.5, others=0.0, stolen=0.3).explained_s == pytest.approx(0.3 + STEP_S)


def test_unobserved_is_not_zero() -> None:
    assert not waited(own=None, engine=None).is_observed
    assert str(waited(own=None, engine=None)) == "waiting for a processor unobserved"
    shown = (
        "12 ms of 1000 ms waiting for a processor (own threads 12 ms, engine's threads unobserved, stolen unobserved)"
    )
    assert str(waited(own=0.012, engine=None)) == shown


def test_a_difference_of_readings_is_in_seconds_and_others_are_all_but_the_engine() -> None:
    first = ProcessorReading(0, 5 * MS, 10 * MS, 100 * MS, 1000 * MS, 0)
    last = ProcessorReading(500 * MS, 7 * MS, 40 * MS, 300 * MS, 1900 * MS, 20 * MS)
    assert between(first, last) == Waited(0.5, 0.002, 0.03, 0.02, 0.7)
    assert between(ProcessorReading(0), ProcessorReading(MS)) == Waited(0.001)


def test_readings_enclose_the_span() -> None:
    readings = [ProcessorReading(at * MS, own_ns=at * MS) for at in (0, 10, 20, 30)]
    assert around(readings, 12 * MS, 20 * MS) == Waited(0.01, 0.01)
    assert around(readings, 9 * MS, 21 * MS) == Waited(0.03, 0.03)
    assert around(readings, 9 * MS, 31 * MS) is None
    assert around((), 0, 1) is None


def test_own_waits_are_joined_with_those_of_others() -> None:
    own = [ProcessorReading(at * MS, own_ns=at * MS) for at in (10, 12, 20)]
    others = [ProcessorReading(at * MS, engine_ns=2 * at * MS, busy_ns=9 * at * MS) for at in (0, 15, 30)]
    found = joined(own, others, 10 * MS, 20 * MS)
    assert found is not None
    assert between(*found) == Waited(0.01, 0.01, 0.06, None, 0.27)
    assert joined(own, others, 9 * MS, 20 * MS) is None
    assert joined(own, others[1:], 10 * MS, 20 * MS) is None


def test_several_spans_add_and_a_part_that_was_once_unobserved_is_so_in_all() -> None:
    spans = [waited(own=0.1, engine=0.2), waited(own=0.1, engine=None)]
    shown = "own threads 200 ms, engine's threads unobserved, stolen unobserved"
    assert in_words(spans) == f"400 ms of 2000 ms waiting for a processor ({shown})"
    assert in_words([waited(engine=3.0), waited()]).startswith("1000 ms of 2000 ms waiting")
    assert in_words([]) == "waiting for a processor unobserved"
