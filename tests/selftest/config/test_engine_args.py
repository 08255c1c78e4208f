"""What the arguments of an engine state: slots, the order of waiting requests, cards."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.config.engine_args import (
    has_copies,
    require_agreement,
    require_none_of_ours,
    schedules_by_priority,
    stated,
    stated_slots,
)
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import UsageProblem


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


TWO = ["--tensor-parallel-size", "2"]


@pytest.mark.parametrize(
    ("args", "cards"),
    [
        ([], 1),
        (TWO, 2),
        (["-tp=2"], 2),
        (["--tensor_parallel_size=2", "-dp", 2], 4),
        (["-tp", "2", "-pp", "2", "--data-parallel-size", "2"], 8),
        (["-tp", "many"], 1),
        (TWO, None),
    ],
)
def test_parallel_sizes_need_so_many_cards(args: list[object], cards: int | None) -> None:
    require_agreement(args, cards, {})


@pytest.mark.parametrize(
    ("args", "cards", "line"),
    [
        (TWO, 1, "device.count: 1, but --tensor-parallel-size 2 of engine.args need 2: they must agree"),
        ([], 2, "device.count: 2, but engine.args without parallel sizes need 1: they must agree"),
        (
            [*TWO, "-dp", "2"],
            2,
            "device.count: 2, but --tensor-parallel-size 2 and --data-parallel-size 2 of engine.args need 4: "
            "they must agree",
        ),
    ],
)
def test_another_number_of_cards_is_one_line(args: list[object], cards: int, line: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        require_agreement(args, cards, {})
    assert str(raised.value) == line


def test_the_offline_engine_has_the_sizes_of_the_server() -> None:
    require_agreement(TWO, 2, {"offline.llm": {"tensor_parallel_size": 2}})
    require_agreement(["-dp", "2"], 2, {"offline.llm": {}})  # one copy answers like two
    for llm in ({}, {"tensor_parallel_size": 1}):
        with pytest.raises(
            UsageProblem, match=r"offline\.llm\.tensor_parallel_size: 1, but engine.args has .* 2: they"
        ):
            require_agreement(TWO, 2, {"offline.llm": llm})
    with pytest.raises(UsageProblem, match=r"offline\.llm\.data_parallel_size: 4, but"):
        require_agreement(["-dp", "2"], 2, {"offline.llm": {"data_parallel_size": 4}})
    with pytest.raises(UsageProblem, match=r"mmmu\.llm\.pipeline_parallel_size: 2, but"):
        require_agreement([], 1, {"mmmu.llm": {"pipeline_parallel_size": 2}})


def parallel(**sections: Any) -> Profile:
    return Profile.model_validate({"name": "x", "model": {"id": "m"}, "engine": {"args": TWO}, **sections})


def test_a_profile_checks_its_parallel_sizes() -> None:
    same = {"llm": {"tensor_parallel_size": 2}}
    parallel(device={"kind": "npu", "count": 2}, offline=same).check(launched=True)
    parallel(offline={"enabled": False}).check(launched=True)  # cards that are not examined are not counted
    for sections in ({"device": {"kind": "npu"}}, {"device": {"count": 1}}):
        with pytest.raises(UsageProblem, match=r"^device\.count: 1"):
            parallel(offline=same, **sections).check(launched=True)
    with pytest.raises(UsageProblem, match=r"^offline\.llm"):
        parallel().check(launched=True)
    other = {"engine": "offline", "llm": {"tensor_parallel_size": 1}}
    with pytest.raises(UsageProblem, match=r"^mmmu\.llm\.tensor_parallel_size: 1"):
        parallel(offline=same, mmmu=other).check(launched=True)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("--port", "engine.args: --port is set by the suite: use engine.port"),
        ("--host=0.0.0.0", "engine.args: --host is set by the suite: use engine.host"),
        ("--served_model_name", "engine.args: --served-model-name is set by the suite: use model.id"),
    ],
)
def test_options_that_the_run_gives_itself_are_refused(word: str, line: str) -> None:
    require_none_of_ours(["--dtype", "bfloat16"])
    with pytest.raises(UsageProblem) as refused:
        require_none_of_ours(["--dtype", "bfloat16", word, "1"])
    assert str(refused.value) == line
