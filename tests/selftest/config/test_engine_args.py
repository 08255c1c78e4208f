"""What the arguments of an engine state: slots and the order of waiting requests."""

from __future__ import annotations

import pytest

from vlm_acceptance.config.engine_args import has_copies, schedules_by_priority, stated, stated_slots


@pytest.mark.parametrize(
    ("args", "slots"),
    [
        ([], None),
        (["--max-num-seqs", 16], 16),
        (["--max-num-seqs=16"], 16),
        (["--max_num_seqs", "16", "--dtype", "bfloat16"], 16),
        (["--max-num-seqs", 8, "--max-num-seqs", 300], 300),
        (["--max-num-seqs", 0], None),
        (["--max-num-seqs", "many"], None),
        (["--max-num-seqs"], None),
        (["--max-num-batched-tokens", 16], None),
    ],
)
def test_slots_are_stated_or_not_known(args: list[object], slots: int | None) -> None:
    assert stated_slots(args) == slots


def test_the_order_of_waiting_requests_is_stated() -> None:
    assert schedules_by_priority(["--scheduling-policy", "priority"])
    assert schedules_by_priority(["--scheduling_policy=priority"])
    assert not schedules_by_priority(["--scheduling-policy", "fcfs"])
    assert not schedules_by_priority([])
    assert stated(["--limit-mm-per-prompt", '{"a=b": 1}'], "limit-mm-per-prompt") == '{"a=b": 1}'


def test_copies_of_a_model_are_stated() -> None:
    for args in (["--data-parallel-size", 2], ["--data_parallel_size=2"], ["-dp", "2"]):
        assert has_copies(args)
    for args in ([], ["--data-parallel-size", 1], ["-dp", "1"], ["--dp-of-another", "2"]):
        assert not has_copies(args)
