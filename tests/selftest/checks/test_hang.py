"""A hang is requests in flight and no progress; slots are freed or kept."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.hang import Reading, freed, hang_in, not_hung, only_ours
from vlm_acceptance.core.waiting import NS, ProcessorReading


def page(running: float, tokens: float, prompt: float = 100) -> dict[str, float]:
    return {
        "vllm:num_requests_running": running,
        "vllm:num_requests_waiting": 0,
        "vllm:prompt_tokens_total": prompt,
        "vllm:generation_tokens_total": tokens,
    }


def readings(figures: list[dict[str, float] | None], done: int = 5, in_flight: int = 4) -> list[Reading]:
    return [Reading(float(at), figure, done, in_flight) for at, figure in enumerate(figures)]


def test_flat_counters_under_running_requests_are_a_hang_with_its_metrics() -> None:
    hang = hang_in(readings([page(4, 80)] + [page(4, 90)] * 11), 10)
    assert hang is not None
    assert hang.flat_s == 10
    (found,) = not_hung(hang, "soak")
    assert found.fatal
    assert "4 requests in flight: vllm:num_requests_running 4" in found.observed
    assert "vllm:generation_tokens 90" in found.observed


def test_an_engine_that_stopped_while_idle_hangs() -> None:
    hang = hang_in(readings([page(0, 80)] + [page(0, 90)] * 11), 10)
    assert hang is not None
    assert "4 requests in flight: vllm:num_requests_running 0" in not_hung(hang)[0].observed


def test_silent_metrics_do_not_hide_a_hang() -> None:
    hang = hang_in(readings([page(4, 80), page(4, 90), *[None] * 12]), 10)
    assert hang is not None
    assert "/metrics has been silent for 12 s" in not_hung(hang)[0].observed


@pytest.mark.parametrize(
    "seen",
    [
        readings([page(4, 90)] * 8),
        readings([page(4, float(n)) for n in range(20)]),
        readings([page(4, 90, float(n)) for n in range(20)]),
        readings([page(4, 90)] * 20, in_flight=0),
        readings([None] * 20),
        [],
        [Reading(float(n), page(4, 90), n, 4) for n in range(20)],
        [Reading(float(n), None if n else page(4, 90), n, 4) for n in range(20)],
        [*readings([page(0, 90)] * 15, in_flight=0), *readings([page(4, 90)] * 20)[15:]],
    ],
    ids=[
        "not yet",
        "tokens",
        "prompts",
        "nothing in flight",
        "no metrics ever",
        "nothing read",
        "answers come",
        "answers come though metrics are silent",
        "idle before",
    ],
)
def test_progress_or_no_work_is_not_a_hang(seen: list[Reading]) -> None:
    assert hang_in(seen, 10) is None
    assert not_hung(None) == []


def waiting(shares: list[float], flat: int = 12, gap_s: float = 1.0) -> list[Reading]:
    """Readings without progress, during which the engine waited for these shares of the time."""
    waits = [round(sum(shares[:n]) * gap_s * NS) for n in range(flat)]
    return [
        Reading(at * gap_s, page(4, 90), 5, 4, waits=ProcessorReading(round(at * gap_s * NS), 0, waited, 0, 5 * waited))
        for at, waited in enumerate(waits)
    ]


def test_time_in_which_the_engine_could_not_run_is_no_hang() -> None:
    assert hang_in(waiting([0.5] * 12), 10) is None
    hang = hang_in(waiting([0.5] * 24, flat=24), 10)
    assert hang is not None
    assert hang.flat_s == pytest.approx(11.5)
    assert hang_in(waiting([0.0] * 12), 10) is not None


def on_many_cores(busy: int, waited_s: float, stolen_s: float = 0.0, cpus: int = 192) -> list[Reading]:
    """Two minutes without progress beside others on `busy` processors; waits and stolen time are for each second."""
    return [
        Reading(at, page(4, 90), 5, 4, waits=ProcessorReading(
            round(at * NS), 0, round(at * waited_s * NS), 0, round(at * busy * NS), round(at * stolen_s * NS),
            round(at * NS) if busy >= cpus else 0, 0, 0, cpus,
        ))
        for at in (n / 2 for n in range(241))
    ]  # fmt: skip


def test_a_hang_on_a_host_with_free_processors_is_named_though_many_threads_poll() -> None:
    assert hang_in(on_many_cores(10, waited_s=1.0), 60) is not None
    assert hang_in(on_many_cores(62, waited_s=0.0, stolen_s=1.28, cpus=64), 60) is not None
    assert hang_in(on_many_cores(192, waited_s=1.0), 60) is None


def test_a_pause_of_the_machine_is_no_hang() -> None:
    paused = [Reading(at, page(4, 90), 5, 4) for at in (0.0, 1.0, 61.0, 62.0)]
    assert hang_in(paused, 10) is None
    assert hang_in([*paused, *(Reading(62.0 + n, page(4, 90), 5, 4) for n in range(1, 5))], 10) is not None


def test_a_slot_is_freed_in_time_or_kept() -> None:
    assert freed(0, [(0.1, 4.0), (0.9, 0.0)], 10) == []
    assert freed(2, [(0.1, 1.0)], 10) == []
    (kept,) = freed(0, [(0.1, 4.0), (10.2, 1.0)], 10)
    assert (kept.check, kept.observed) == ("load.slot_kept", "1 after 10.2 s")
    assert freed(0, [(11.0, 0.0)], 10) != []
    assert "no value" in freed(0, [(1.0, None)], 10)[0].observed


def test_running_requests_of_our_clients_never_rise_or_exceed_their_number() -> None:
    assert only_ours([(0.1, 4.0), (0.2, None), (0.3, 2.0), (0.4, 2.0)], 4)
    assert only_ours([(0.1, 4.0), (0.2, 5.0), (0.9, 4.0), (1.0, 4.0)], 4)  # counted twice while it is freed
    assert not only_ours([(0.1, 4.0), (1.0, 5.0)], 4)
    assert not only_ours([(0.1, 2.0), (0.9, 2.0), (1.0, 3.0)], 4)
