"""Every known layout of `npu-smi`, and texts that are not valid."""

from pathlib import Path

import pytest

from vlm_acceptance.core.errors import DeviceProblem
from vlm_acceptance.engine.npu_smi import Chip, Process, parse_info, parse_map, refusal

DATA = Path(__file__).parents[1] / "data" / "npu_smi"


def read(name: str) -> str:
    return (DATA / name).read_text("utf-8")


def chip_named(name: str) -> Chip:
    return Chip(0, 0, None, name, "OK", 3000, 65536)


def test_busy_910b_shows_memory_and_processes():
    info = parse_info(read("910b_busy.txt"))
    assert info.version == "25.0.rc1.2"
    assert info.chips[0] == Chip(0, 0, None, "910B2C", "OK", 35738, 65536)
    assert info.chips[1].hbm_used_mb == 35761
    assert info.processes == (
        Process(0, 0, 6513, "rayWorkerDict", 617, None),
        Process(0, 0, 33776, "VLLMWorker_TP", 31747, None),
    )


def test_idle_910b_has_no_process_and_keeps_its_own_npu_number():
    info = parse_info(read("910b_idle.txt"))
    assert info.chips == (Chip(4, 0, None, "910B3", "OK", 3161, 65536),)
    assert info.processes == ()


def test_a3_lists_each_die_with_its_physical_id_and_takes_a_dash_for_power():
    chips = parse_info(read("a3.txt")).chips
    assert [(c.npu, c.chip, c.phy_id) for c in chips] == [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]
    assert {c.name for c in chips} == {"Ascend910"}
    assert [c.hbm_used_mb for c in chips] == [3430, 3188, 3430, 2874]


def test_wide_layout_gives_the_process_id_in_the_container_where_it_is_known():
    info = parse_info(read("910b_wide.txt"))
    assert [c.hbm_used_mb for c in info.chips] == [8676, 3403]
    assert [(p.pid, p.pid_in_container) for p in info.processes] == [(485946, None), (485977, 101)]


def test_910a_memory_is_the_last_pair_not_the_first():
    (chip,) = parse_info(read("910a.txt")).chips
    assert (chip.npu, chip.name, chip.hbm_used_mb, chip.hbm_total_mb) == (3, "910A", 0, 32768)


def test_310p_memory_is_the_only_pair_and_its_device_column_is_no_physical_id():
    chips = parse_info(read("310p.txt")).chips
    assert [(c.npu, c.chip, c.phy_id, c.hbm_used_mb) for c in chips] == [(1, 0, None, 1397), (1, 1, None, 1520)]


def test_950_has_a_column_for_the_name_and_no_chip_number():
    info = parse_info(read("950.txt"))
    assert [(c.npu, c.chip, c.name, c.health) for c in info.chips] == [
        (0, 0, "Ascend950PR", "OK"),
        (1, 0, "Ascend950PR", "Alarm"),
    ]
    assert info.processes == (Process(0, 0, 2066378, "pytest", 360, None),)


def test_memory_that_the_tool_does_not_print_is_none():
    text = read("910b_idle.txt").replace("3161 / 65536", "NA   / NA   ")
    assert parse_info(text).chips[0].hbm_used_mb is None


@pytest.mark.parametrize(("file", "line"), [("failed_8005.txt", "ret is -8005"), ("failed_8020.txt", "ret is -8020")])
def test_failing_tool_is_a_device_problem_that_quotes_the_important_line(file: str, line: str):
    with pytest.raises(DeviceProblem, match=line) as problem:
        parse_info(read(file))
    assert "g_conLogLevel" not in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("text", ["", "hello\n", "| a | b |\n"])
def test_text_without_a_table_is_a_device_problem(text: str):
    with pytest.raises(DeviceProblem, match="no device table"):
        parse_info(text)


def test_chip_without_its_second_row_is_a_device_problem():
    lines = [line for line in read("910b_idle.txt").splitlines() if "0000:01:00.0" not in line]
    with pytest.raises(DeviceProblem, match="second row"):
        parse_info("\n".join(lines))


BAD_ROWS = [("3161 / 65536", "3161"), ("| 4     910B3", "| x     910B3"), ("| 4     910B3", "| \u00b2     910B3")]
BAD_ROWS += [("3161 / 65536", f"{number} / 65536") for number in ("NaN", "inf", "9" * 400, "\u0663\u0661")]


@pytest.mark.parametrize(("old", "new"), BAD_ROWS, ids=lambda text: ascii(text)[:24])
def test_chip_row_that_cannot_be_read_is_a_device_problem(old: str, new: str):
    with pytest.raises(DeviceProblem, match="cannot be read"):
        parse_info(read("910b_idle.txt").replace(old, new))


def test_process_row_that_cannot_be_read_is_a_device_problem():
    with pytest.raises(DeviceProblem, match="process row"):
        parse_info(read("910b_busy.txt").replace("| 33776   ", "| no pid  "))


def test_map_leaves_the_management_controller_out():
    assert parse_map(read("map_910b.txt")) == {(0, 0): 0, (1, 0): 1}


def test_map_of_a3_counts_dies():
    assert parse_map(read("map_a3.txt")) == {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 3}


@pytest.mark.parametrize("text", ["", "dcmi module initialize failed. ret is -8005\n"])
def test_map_without_its_header_is_a_device_problem(text: str):
    with pytest.raises(DeviceProblem, match="no id map"):
        parse_map(text)


@pytest.mark.parametrize("name", ["910A", "Ascend910A", "910ProA", "910PremiumA", "910ProB", "Ascend 910A"])
def test_first_generation_910_is_refused_in_one_sentence(name: str):
    sentence = refusal(chip_named(name))
    assert sentence is not None
    assert name in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["910B3", "910B2C", "910B4-1", "Ascend910", "310P3", "Ascend950PR"])
def test_other_chips_are_not_refused(name: str):
    assert refusal(chip_named(name)) is None
