"""Probing with a stand-in for `npu-smi`, judging its output, and waiting until memory is released."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import DeviceProblem
from vlm_acceptance.engine.device import (
    DeviceState,
    Release,
    device_problems,
    impaired,
    npu_sign,
    probe,
    probe_npu,
    wait_for_release,
)

STANDIN = Path(__file__).parents[2] / "proof" / "standins" / "npu_smi.py"


@pytest.fixture
def tool(tmp_path: Path) -> dict[str, str]:
    """An environment in which `npu-smi` is the stand-in."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npu-smi").symlink_to(STANDIN)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "NPU_SMI_STATE": str(tmp_path / "state")}


def probed(env: dict[str, str], visible: str | None = None, count: int = 1, **steer: str) -> DeviceState:
    return probe_npu(visible, count, env={**env, **steer})


def judge(state: DeviceState, name: str = "910B.*", total: int | None = 65536, count: int = 1) -> list[str]:
    return device_problems(state, name, total, count)


def test_first_chips_are_taken_when_none_is_given(tool: dict[str, str]):
    state = probed(tool, count=2, NPU_SMI_CHIPS="4")
    assert (state.kind, state.name, state.index) == ("npu", "910B3", 0)
    assert [chip.npu for chip in state.chips] == [0, 1]
    assert (state.used_mb, state.total_mb) == (2 * 3161, 2 * 65536)


def test_visible_devices_are_logical_ids(tool: dict[str, str]):
    state = probed(tool, "3", NPU_SMI_VARIANT="a3", NPU_SMI_CHIPS="4")
    assert (state.index, state.chips[0].npu, state.chips[0].chip) == (3, 1, 1)


@pytest.mark.parametrize("variant", ["910b", "wide", "a3", "910a", "310p"])
def test_every_variant_of_the_tool_is_read(tool: dict[str, str], variant: str):
    state = probed(tool, NPU_SMI_VARIANT=variant, NPU_SMI_CHIPS="2")
    assert state.used_mb == 3161
    assert "2 chips mapped" in state.detail


@pytest.mark.parametrize(
    ("visible", "reason"),
    [("4", "names 4, and the logical ids here are 0, 1"), ("1,0", "ascending"), ("0,0", "ascending"), ("a", "numbers")],
)
def test_visible_devices_that_do_not_exist_are_a_device_problem(tool: dict[str, str], visible: str, reason: str):
    with pytest.raises(DeviceProblem, match=reason):
        probed(tool, visible, NPU_SMI_CHIPS="2")


def test_missing_tool_is_a_device_problem_with_the_remedy(tmp_path: Path):
    with pytest.raises(DeviceProblem, match=r"npu-smi is not on PATH.*mount"):
        probe_npu(None, env={"PATH": str(tmp_path)})


def test_failing_tool_is_a_device_problem_with_its_last_line(tool: dict[str, str]):
    with pytest.raises(DeviceProblem, match=r"code 255: dcmi module initialize failed"):
        probed(tool, NPU_SMI_VARIANT="failed")


def test_hanging_tool_is_a_device_problem_after_the_time_limit(tool: dict[str, str]):
    began = time.monotonic()
    with pytest.raises(DeviceProblem, match="no answer in 0.5 s"):
        probe_npu(None, timeout_s=0.5, env={**tool, "NPU_SMI_VARIANT": "silent"})
    assert time.monotonic() - began < 20


def test_chips_are_counted_when_the_tool_has_no_map(tmp_path: Path, tool: dict[str, str]):
    (tmp_path / "old").mkdir()
    old = tmp_path / "old" / "npu-smi"
    old.write_text(f'#!/bin/sh\n[ "$*" = info ] || exit 1\nexec {STANDIN} info\n')
    old.chmod(0o755)
    state = probe_npu("1", env={**tool, "PATH": f"{old.parent}{os.pathsep}{tool['PATH']}", "NPU_SMI_CHIPS": "2"})
    assert state.chips[0].npu == 1
    assert "counted from the table" in state.detail


def test_cpu_memory_is_unobserved():
    state = probe("cpu")
    assert (state.kind, state.used_mb, bool(state.name)) == ("cpu", None, True)
    assert judge(state) == []


def test_no_device_has_no_problems():
    assert judge(probe("none")) == []


def test_fit_chip_has_no_problems(tool: dict[str, str]):
    assert judge(probed(tool)) == []


def test_other_chip_than_the_profile_names_is_a_problem(tool: dict[str, str]):
    assert judge(probed(tool, NPU_SMI_VARIANT="a3")) == ["NPU 0 chip 0 is Ascend910, the profile is for 910B.*"]


def test_name_is_matched_whole(tool: dict[str, str]):
    assert "profile is for 910B" in judge(probed(tool), name="910B")[0]


def test_unsupported_chip_is_refused_once(tool: dict[str, str]):
    (sentence,) = judge(probed(tool, NPU_SMI_VARIANT="910a"), total=32768)
    assert "does not support" in sentence


def test_other_memory_size_is_another_card(tool: dict[str, str]):
    assert "has 65536 MB, the profile is for 32768" in judge(probed(tool), total=32768)[0]


def test_small_difference_in_memory_is_the_same_card(tool: dict[str, str]):
    assert judge(probed(tool), total=65000) == []


def test_too_few_chips_are_a_problem(tool: dict[str, str]):
    assert judge(probed(tool, count=2), count=2) == ["the profile needs 2 chips and 1 can be seen"]


def test_occupied_chip_names_who_holds_it(tool: dict[str, str]):
    (sentence,) = judge(probed(tool, NPU_SMI_OTHERS="33776:VLLMWorker_TP:31747"))
    assert "holds 34908 of 65536 MB" in sentence
    assert "VLLMWorker_TP (host pid 33776) holds 31747 MB" in sentence


def test_occupied_chip_without_visible_process_points_to_the_host(tool: dict[str, str]):
    (sentence,) = judge(probed(tool, NPU_SMI_OTHERS="33776:VLLMWorker_TP:31747", NPU_SMI_HIDE="1"))
    assert "on the host" in sentence


def test_process_on_another_chip_is_not_named(tool: dict[str, str]):
    state = probed(tool, "1", NPU_SMI_CHIPS="2", NPU_SMI_OTHERS="7:python:100")
    assert state.others == ()


def test_memory_below_the_idle_floor_is_accepted(tool: dict[str, str]):
    state = probed(tool, NPU_SMI_BASE_MB="4096")
    assert judge(state) == []
    assert judge(probed(tool, NPU_SMI_BASE_MB="4097")) != []


@pytest.mark.parametrize("health", ["Critical", "UNKNOWN", "Offline", ""])
def test_bad_health_is_a_problem(tool: dict[str, str], health: str):
    state = probed(tool)
    state = replace(state, chips=(replace(state.chips[0], health=health),))
    assert f"reports health {health!r}" in judge(state)[0]
    assert impaired(state) == []


@pytest.mark.parametrize(("health", "noted"), [("Warning", 1), ("Alarm", 1), ("OK", 0)])
def test_warnings_and_alarms_are_noted_and_refuse_nothing(tool: dict[str, str], health: str, noted: int):
    state = probed(tool, NPU_SMI_HEALTH=health)
    assert judge(state) == []
    assert len(impaired(state)) == noted


def test_memory_follows_the_life_of_an_engine(tool: dict[str, str]):
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "marker-of-device-test"])
    steer = {"NPU_SMI_MARKER": "marker-of-device-test", "NPU_SMI_LAG_S": "0.6"}
    try:
        held = probed(tool, **steer)
        assert held.used_mb == 23161
        assert held.others[0].pid == engine.pid
    finally:
        engine.kill()
        engine.wait()
    release = wait_for_release(lambda: probed(tool, **steer).used_mb, 3161, 512, timeout_s=10, interval_s=0.1)
    assert release.released is True
    assert release.seconds > 0.2
    assert wait_for_release(lambda: probed(tool, NPU_SMI_LEAK="1", **steer).used_mb, 3161, 512, 0.3).released is False


def fake_time() -> tuple[list[float], object, object]:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return now, lambda: now[0], sleep


def test_release_waits_until_memory_is_back_within_tolerance():
    _, clock, sleep = fake_time()
    seen = iter([30000, 9000, 3600])
    release = wait_for_release(lambda: next(seen), 3161, 512, 60, clock, sleep, interval_s=2)
    assert release == Release(True, 4.0, 3600)


def test_release_fails_after_the_time_limit():
    _, clock, sleep = fake_time()
    assert wait_for_release(lambda: 30000, 3161, 512, 10, clock, sleep, interval_s=2) == Release(False, 10.0, 30000)


@pytest.mark.parametrize(("seen", "before"), [(None, 3161), (3161, None)])
def test_release_of_unobserved_memory_is_unobserved(seen: int | None, before: int | None):
    assert wait_for_release(lambda: seen, before, 512, 10).released is None


def test_release_probes_again_when_the_tool_fails_once():
    _, clock, sleep = fake_time()
    answers = iter([DeviceProblem("busy"), 3200])

    def used() -> int:
        answer = next(answers)
        if isinstance(answer, DeviceProblem):
            raise answer
        return answer

    assert wait_for_release(used, 3161, 512, 10, clock, sleep).released is True


def test_release_raises_what_the_last_probe_raised():
    _, clock, sleep = fake_time()

    def used() -> int:
        raise DeviceProblem("busy")

    with pytest.raises(DeviceProblem, match="busy"):
        wait_for_release(used, 3161, 512, 3, clock, sleep)


def test_machine_without_signs_has_no_npu(tmp_path: Path):
    (tmp_path / "dev").mkdir()
    assert npu_sign(tmp_path, {"PATH": str(tmp_path)}, lambda name: None) is None


@pytest.mark.parametrize(
    ("place", "reason"), [("dev/davinci0", "/dev/davinci0"), ("usr/local/Ascend", "/usr/local/Ascend")]
)
def test_device_nodes_and_the_ascend_folder_are_signs_of_an_npu(tmp_path: Path, place: str, reason: str):
    (tmp_path / place).mkdir(parents=True)
    assert reason in str(npu_sign(tmp_path, {}, lambda name: None))


@pytest.mark.parametrize("distribution", ["vllm-ascend", "torch-npu"])
def test_installed_distributions_are_signs_of_an_npu(tmp_path: Path, distribution: str):
    found = npu_sign(tmp_path, {}, lambda name: "1" if name == distribution else None)
    assert distribution in str(found)


def test_tool_on_path_is_a_sign_of_an_npu(tmp_path: Path, tool: dict[str, str]):
    assert "npu-smi is on PATH" in str(npu_sign(tmp_path / "bin", tool, lambda name: None))
