"""How much of a time waiting for a processor can explain."""

from __future__ import annotations

import pytest

from vlm_acceptance.core.waiting import NS, STEP_S, ProcessorReading, Waited, around, between, in_words, joined

MS = 1_000_000


def waited(own: float | None = 0.0, engine: float | None = 0.0, others: float | None = None, **more: float) -> Waited:
    given = {f"{name}_s": value for name, value in more.items() if name not in ("cpus", "elapsed", "stolen")}
    cpus = int(more["cpus"]) if "cpus" in more else None
    return Waited(more.get("elapsed", 1.0), own, engine, more.get("stolen"), others, cpus=cpus, **given)


def test_waits_of_threads_add_because_they_may_follow_each_other() -> None:
    assert waited(own=0.1, engine=0.3, stolen=0.05).explained_s == pytest.approx(0.45)


def test_waiting_explains_no_more_than_the_time_itself() -> None:
    assert waited(own=0.5, engine=3.0, elapsed=0.8).explained_s == 0.8


def test_an_engine_whose_threads_wait_for_each_other_is_slow_by_itself() -> None:
    assert waited(engine=0.9, others=0.1).explained_s == pytest.approx(0.1 + STEP_S)
    assert waited(engine=0.9, others=2.0).explained_s == 0.9


def test_what_the_host_withheld_is_no_run_of_others() -> None:
    assert waited(engine=0.5, others=0.0, stolen=0.3).explained_s == pytest.approx(0.3 + STEP_S)


def test_no_thread_waits_while_a_processor_that_it_may_use_is_free() -> None:
    # 192 processors, others keep ten of them busy, 400 threads poll: their waits are no reason
    assert waited(engine=1.0, others=10.0, full=0.0, cpus=192).explained_s == pytest.approx(STEP_S)
    assert waited(engine=0.9, others=190.0, full=0.8, cpus=192).explained_s == pytest.approx(0.8 + STEP_S)
    assert waited(own=0.9, own_full=0.3).explained_s == pytest.approx(0.3 + STEP_S)
    assert waited(own=0.5, engine=0.9, own_full=0.6, full=0.0).explained_s == pytest.approx(0.5 + STEP_S)


def test_an_engine_that_fills_its_processors_is_slow_by_itself_where_others_take_little_of_them() -> None:
    assert waited(engine=50.0, others=1.28, full=1.0, cpus=64).explained_s == pytest.approx(0.04 + STEP_S)
    assert waited(engine=50.0, others=32.0, full=1.0, cpus=64).explained_s == 1.0
    # two processors, four busy loops, and two threads that wait for each other
    assert waited(engine=1.5, others=1.3, full=1.0, cpus=2).explained_s == 1.0
    assert waited(engine=0.9, others=0.3, full=1.0, cpus=1).explained_s == pytest.approx(0.3 + STEP_S)


def test_what_a_quota_withholds_leaves_processors_free_and_is_explained() -> None:
    assert waited(engine=0.6, others=0.0, full=0.0, throttled=0.5, cpus=64).explained_s == pytest.approx(0.5 + STEP_S)
    assert waited(engine=0.6, others=0.0, full=0.0, throttled=0.0, cpus=64).explained_s == pytest.approx(STEP_S)


@pytest.mark.parametrize(
    ("stolen", "busy", "expected"),
    [(1.28, 62.0, 0.0202), (0.5, 0.5, 0.5), (0.4, 0.0, 0.4), (8.0, 8.0, 0.5), (0.0, 5.0, 0.0)],
    ids=["2 % of 64", "half of one thread", "all that was wanted", "half of 16", "none"],
)
def test_stolen_time_is_the_share_of_what_was_wanted(stolen: float, busy: float, expected: float) -> None:
    first, last = (
        ProcessorReading(at_ns=round(at * NS), busy_ns=round(at * busy * NS), stolen_ns=round(at * stolen * NS))
        for at in (0, 1)
    )
    assert between(first, last).stolen_s == pytest.approx(expected, abs=1e-4)


def test_unobserved_is_not_zero() -> None:
    assert not waited(own=None, engine=None).is_observed
    assert str(waited(own=None, engine=None)) == "waiting for a processor unobserved"
    shown = (
        "12 ms of 1000 ms waiting for a processor (own threads 12 ms, engine's threads unobserved, stolen unobserved)"
    )
    assert str(waited(own=0.012, engine=None)) == shown


def test_a_difference_of_readings_is_in_seconds_and_others_are_all_but_the_engine() -> None:
    first = ProcessorReading(0, 5 * MS, 10 * MS, 100 * MS, 1000 * MS, 0, 0, 0, 0, 4)
    last = ProcessorReading(500 * MS, 7 * MS, 40 * MS, 300 * MS, 1900 * MS, 100 * MS, 90 * MS, 80 * MS, 70 * MS, 4)
    assert between(first, last) == Waited(0.5, 0.002, 0.03, 0.05, 0.7, 0.09, 0.08, 0.07, 4)
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
