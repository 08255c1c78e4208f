"""The doctor of a machine: made-up machines, each with one thing that is wrong."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path

import pytest
from tests.proof.proof_engines import fake_npu, held_port

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine import machine
from vlm_acceptance.engine import preflight as preflights
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING, Line, examine
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.run import doctor
from vlm_acceptance.run.doctor import LaunchDoctor, of_suite

CONTROL = Path(__file__).resolve().parents[3] / "fixtures" / "control" / "model"
ON_NPU = {"device.kind": "npu", "device.name": "910B.*", "device.memory_mb": "65536"}


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of no real run, and an engine that needs no vLLM."""
    found = EngineInstall(Path("/made/up/python"), ("/made/up/vllm",), "vllm", {"vllm": "0.18.0", "torch": "2.9.0"})
    monkeypatch.setattr(preflights.installation, "find_engine", lambda *_: found)
    monkeypatch.setattr(preflights, "LOCKS", tmp_path)
    monkeypatch.setattr(doctor, "TOOL_S", 60)  # of a busy machine


def lines_of(
    changes: dict[str, str] | None = None, env: dict[str, str] | None = None, root: Path = Path("/none")
) -> dict[str, list[Line]]:
    """The lines by what they examine, of the control's profile with these changes."""
    overrides = [(key, value, "--vlm-set") for key, value in (changes or {}).items()]
    loaded = load_profile("control-cpu", PROFILES, overrides)
    examined = LaunchDoctor(loaded, "chosen here", None, env or {"PATH": os.environ["PATH"]}, root)
    found: dict[str, list[Line]] = {}
    for probe in examined.probes():
        for line in examine(probe, 120):
            found.setdefault(line.check, []).append(line)
    return found


def only(lines: list[Line]) -> tuple[str, str]:
    (line,) = lines
    return line.status, line.message


def test_a_machine_without_a_fault_has_only_lines_that_are_ok() -> None:
    found = lines_of({"device.kind": "none"})
    assert {line.status for lines in found.values() for line in lines if line.check != "shared memory"} == {OK}
    assert list(found) == [
        "profile", "environment", "engine", "versions", "device", "shared memory", "port", "weights", "tiles",
    ]  # fmt: skip
    assert "chosen here" in only(found["profile"])[1]
    assert str(CONTROL) in only(found["weights"])[1]


def test_another_version_names_the_interpreter_to_mend() -> None:
    found = lines_of({"versions": "{vllm: 0.18.0, torch: 2.8.0, torch-npu: 2.9.0}"})
    status, message = only(found["versions"])
    assert status == FAILURE
    assert "torch is 2.9.0, 2.8.0 is expected; torch-npu is not installed" in message
    assert "/made/up/python" in message


def test_a_missing_script_is_a_failure_where_it_is_required_and_its_followers_are_not_examined() -> None:
    found = lines_of({"engine.source": "[/no/set_env.sh]", "engine.source_required": "true"})
    assert only(found["environment"])[0] == FAILURE
    assert "not examined" in only(found["engine"])[1]
    assert only(lines_of({"engine.source": "[/no/set_env.sh]"})["environment"])[0] == WARNING


def test_a_missing_script_of_cann_has_its_remedy() -> None:
    message = only(lines_of({**ON_NPU, "engine.source": "[/no/set_env.sh]"})["environment"])[1]
    assert message.endswith("no NPU can be used: take the image of vllm-ascend, or correct engine.source")


def test_a_card_that_is_free_is_named_with_its_free_memory(tmp_path: Path) -> None:
    found = lines_of(ON_NPU, fake_npu(tmp_path, "idle"))
    status, message = only(found["device"])
    assert status == OK
    assert "1 x 910B3: NPU 0 chip 0 (OK), 62375 of 65536 MB free" in message


@pytest.mark.parametrize(
    ("variant", "says", "remedy"),
    [
        ("busy", "someone (host pid 4242) holds 31000 MB", "ASCEND_RT_VISIBLE_DEVICES"),
        ("critical", "'Critical'", "npu-smi info -t health"),
        ("missing", "npu-smi is not on PATH", "mount"),
        ("failing", "code 255", "dmesg"),
        ("a3", "the profile is for 910B", "take the profile of this card"),
    ],
)
def test_a_card_that_cannot_be_used_is_a_failure_with_its_remedy(
    tmp_path: Path, variant: str, says: str, remedy: str
) -> None:
    found = lines_of(ON_NPU, fake_npu(tmp_path, variant))
    status, message = only(found["device"])
    assert (status, says in message, remedy in message) == (FAILURE, True, True), message
    assert "not examined" in only(found["image"])[1]


def test_a_doubtful_card_and_a_small_neighbour_are_warnings(tmp_path: Path) -> None:
    env = {**fake_npu(tmp_path, "idle"), "NPU_SMI_HEALTH": "Warning", "NPU_SMI_OTHERS": "4242:someone:300"}
    first, *others = lines_of(ON_NPU, env)["device"]
    assert first.status == OK
    assert [line.status for line in others] == [WARNING, WARNING]
    assert "someone (host pid 4242) holds 300 MB" in others[1].message


def test_another_run_on_the_card_is_named_and_not_disturbed(tmp_path: Path) -> None:
    with (tmp_path / f"vlm-acceptance-{os.getuid()}-npu0.lock").open("a+") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = lines_of(ON_NPU, fake_npu(tmp_path, "idle"))["device"][0]
    assert (first.status, "another run of this suite (pid 4711) uses card 0" in first.message) == (FAILURE, True)
    assert lines_of(ON_NPU, fake_npu(tmp_path, "idle"))["device"][0].status == OK


def test_driver_and_cann_are_read_and_an_image_for_another_chip_is_a_failure(tmp_path: Path) -> None:
    ascend = tmp_path / "usr/local/Ascend"
    (ascend / "driver").mkdir(parents=True)
    (ascend / "driver/version.info").write_text("Version=25.0.rc1.2\n")
    (ascend / "cann/aarch64-linux").mkdir(parents=True)
    (ascend / "cann/aarch64-linux/ascend_toolkit_install.info").write_text("version=8.5.1\n")
    found = lines_of(ON_NPU, {**fake_npu(tmp_path, "idle"), "SOC_VERSION": "ascend910_9391"}, tmp_path)
    assert (only(found["driver"]), only(found["cann"])) == ((OK, "25.0.rc1.2"), (OK, "8.5.1"))
    assert only(found["image"])[0] == FAILURE
    bare = lines_of(ON_NPU, fake_npu(tmp_path, "idle"))
    assert (only(bare["driver"])[0], only(bare["cann"])[0]) == (WARNING, WARNING)


def test_a_profile_for_the_cpu_beside_a_card_is_a_warning(tmp_path: Path) -> None:
    fine, warning = lines_of({"device.kind": "cpu"}, fake_npu(tmp_path, "idle"))["device"]
    assert (fine.status, warning.status) == (OK, WARNING)
    assert "an NPU was detected (npu-smi is on PATH" in warning.message


def test_a_held_port_is_a_failure_that_names_its_holder() -> None:
    with held_port() as number:
        status, message = only(lines_of({"engine.port": str(number)})["port"])
    assert (status, f"port {number} is held by pid {os.getpid()}" in message) == (FAILURE, True)


def test_a_free_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    assert only(lines_of({"engine.port": str(number)})["port"]) == (OK, f"{number} of 127.0.0.1 is free")


def test_damaged_weights_are_a_failure_that_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CONTROL, folder)
    (folder / "model.safetensors").write_bytes(b"cut")
    found = lines_of({"model.path": str(folder)})
    status, message = only(found["weights"])
    assert (status, "model.safetensors" in message) == (FAILURE, True)
    assert "not examined" in only(found["tiles"])[1]


def test_weights_that_a_run_would_download_need_a_client_and_are_not_downloaded(tmp_path: Path) -> None:
    changes = {"model.id": "nobody/has-this", "model.path": "null", "model.source": "modelscope"}
    env = {"PATH": os.environ["PATH"], "MODELSCOPE_CACHE": str(tmp_path)}
    status, message = only(lines_of(changes, env)["weights"])
    assert (status, "lacks the package modelscope" in message) == (FAILURE, True)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_a_run_would_download_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = EngineInstall(Path("/made/up/python"), ("/made/up/vllm",), "vllm", {"vllm": "1", "modelscope": "1"})
    monkeypatch.setattr(preflights.installation, "find_engine", lambda *_: found)
    changes = {"model.id": "nobody/has-this", "model.path": "null", "model.source": "modelscope"}
    env = {"PATH": os.environ["PATH"], "MODELSCOPE_CACHE": str(tmp_path)}
    status, message = only(lines_of(changes, env)["weights"])
    assert (status, str(tmp_path) in message) == (WARNING, True)
    (line,) = lines_of({**changes, "model.weights_bytes": "1.0e+18"}, env)["weights"]
    assert (line.status, "are needed" in line.message) == (FAILURE, True)


def test_tiles_that_contradict_the_model_are_a_failure() -> None:
    status, message = only(lines_of({"model.pictures.tile_px": "448"})["tiles"])
    assert (status, "tile_px" in message) == (FAILURE, True)


def suite_lines(reports: Path, env: dict[str, str] | None = None, needed_gib: int = 1) -> dict[str, tuple[str, str]]:
    found = [line for probe in of_suite(reports, env or {}, needed_gib) for line in examine(probe, 120)]
    return {line.check: (line.status, line.message) for line in found}


def test_reports_that_cannot_be_written_are_a_failure(tmp_path: Path) -> None:
    in_its_place = tmp_path / "reports"
    in_its_place.write_text("")
    assert suite_lines(tmp_path / "new" / "folder")["reports"][0] == OK
    status, message = suite_lines(in_its_place)["reports"]
    assert (status, "--vlm-reports=DIR" in message) == (FAILURE, True)
    assert not (tmp_path / "new").exists()


def test_limits_of_the_process_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "OPEN_FILES", 1 << 40)
    found = suite_lines(tmp_path)
    assert list(found) == ["suite", "reports", "open files", "address space", "threads", "proxies"]
    assert found["open files"][0] == (FAILURE if "ulimit" in found["open files"][1] else OK)


def test_a_proxy_is_named_without_its_value(tmp_path: Path) -> None:
    env = {"https_proxy": "http://me:secret@proxy:3128"}
    status, message = suite_lines(tmp_path, env)["proxies"]
    assert (status, "https_proxy" in message, "secret" in message) == (WARNING, True, False)
    assert suite_lines(tmp_path, {**env, "no_proxy": "localhost,127.0.0.1"})["proxies"][0] == OK


def test_versions_of_the_suite_are_those_of_its_project_file() -> None:
    text = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8")
    lowest, (major, minor) = doctor.PYTHONS
    assert f'requires-python = ">={lowest[0]}.{lowest[1]},<{major}.{minor + 1}"' in text
    assert f'"pytest>={doctor.PYTEST},' in text
