"""What must hold before a launch: checked once, refused in one sentence, and one run for each card."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.proof.proof_engines import fake_npu

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import DeviceProblem, EnvironmentProblem, NoAnswer, WeightsProblem
from vlm_acceptance.engine import preflight as preflights
from vlm_acceptance.engine.preflight import Preflight

ROOT = Path(__file__).resolve().parents[3]
CONTROL = ROOT / "fixtures" / "control" / "model"
HOLDS_THE_LOCK = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from vlm_acceptance.engine import preflight
from vlm_acceptance.config.profile import Profile
preflight.LOCKS = Path(sys.argv[2])
profile = Profile.model_validate({"name": "p", "model": {"id": "m"}, "device": {"kind": "npu"}})
with preflight.Preflight(profile, Path("."), os.environ, print).card_lock():
    print("locked", flush=True)
    time.sleep(300)
"""


def preflight_of(
    env: dict[str, str] | None = None, root: Path = ROOT, model: dict[str, object] | None = None, **sections: object
) -> Preflight:
    profile = Profile.model_validate({"name": "p", "model": {"id": "m", **(model or {})}, **sections})
    return Preflight(profile, root, env if env is not None else dict(os.environ), lambda _: None)


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks that no real run uses."""
    folder = tmp_path / "locks"
    folder.mkdir()
    monkeypatch.setattr(preflights, "LOCKS", folder)
    return folder


@pytest.fixture
def other_run(locks: Path) -> Iterator[subprocess.Popen[str]]:
    """Another run, on card 0."""
    argv = [sys.executable, "-c", HOLDS_THE_LOCK, str(ROOT / "src"), str(locks)]
    env = {name: value for name, value in os.environ.items() if name != "ASCEND_RT_VISIBLE_DEVICES"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def locked(visible: str | None = None, count: int = 1, kind: str = "npu") -> ExitStack:
    env = {} if visible is None else {"ASCEND_RT_VISIBLE_DEVICES": visible}
    held = ExitStack()
    held.enter_context(preflight_of(env, device={"kind": kind, "count": count}).card_lock())
    return held


def test_second_run_on_a_card_is_refused_in_one_sentence(other_run):
    with pytest.raises(DeviceProblem) as raised:
        locked()
    assert str(raised.value) == f"another run of this suite (pid {other_run.pid}) uses card 0"


def test_users_of_cards_are_named_without_a_reservation(other_run, locks):
    ready = preflight_of(device={"kind": "npu"}, env={"ASCEND_RT_VISIBLE_DEVICES": "0,1", "PATH": os.environ["PATH"]})
    assert ready.card_users() == [f"another run of this suite (pid {other_run.pid}) uses card 0"]
    assert [path.name for path in locks.iterdir()] == [f"vlm-acceptance-{os.getuid()}-npu0.lock"]
    other_run.kill()
    other_run.wait()
    assert ready.card_users() == []


def test_lock_dies_with_its_process(other_run):
    other_run.kill()
    other_run.wait()
    locked().close()


def test_lock_is_released_at_its_end(locks):
    locked().close()
    locked().close()


@pytest.mark.parametrize(("visible", "count"), [("0,1", 1), (" 0", 1), ("", 1), (None, 2)])
def test_sets_of_cards_that_overlap_exclude_each_other(other_run, visible, count):
    with pytest.raises(DeviceProblem, match="uses card 0"):
        locked(visible, count)


def test_refused_run_keeps_no_other_card(other_run, locks):
    with pytest.raises(DeviceProblem):
        locked("0,1")
    locked("1").close()


@pytest.mark.parametrize(("visible", "kind"), [("1", "npu"), ("1,2", "npu"), (None, "cpu"), (None, "none")])
def test_other_cards_and_other_devices_are_free(other_run, visible, kind):
    locked(visible, kind=kind).close()


def test_lock_that_cannot_be_made_is_a_device_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(preflights, "LOCKS", tmp_path / "missing")
    with pytest.raises(DeviceProblem, match="card 0 cannot be reserved"):
        locked()


@pytest.fixture
def find_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What the search for the engine gives or raises, one entry a call; all must be used."""
    results: list[object] = []

    def find(*_: object) -> object:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(preflights.installation, "find_engine", find)
    yield results
    assert results == []


@pytest.mark.parametrize("engine", [7, None, ""])
def test_part_is_checked_once(find_engine, engine):
    find_engine.append(engine)
    ready = preflight_of()
    assert [ready.engine, ready.engine] == [engine, engine]


def test_problem_is_found_once_and_raised_each_time(find_engine):
    find_engine.append(WeightsProblem("damaged"))
    ready = preflight_of()
    for _ in range(2):
        with pytest.raises(WeightsProblem, match="damaged"):
            _ = ready.engine


def test_own_mistake_is_not_stored(find_engine):
    find_engine += [ValueError("ours"), ValueError("ours")]
    ready = preflight_of()
    for _ in range(2):
        with pytest.raises(ValueError, match="ours"):
            _ = ready.engine


def test_two_preflights_share_no_result(find_engine):
    find_engine += [1, 2]
    first, second = preflight_of(), preflight_of()
    assert (first.engine, second.engine, first.engine) == (1, 2, 1)


def test_source_scripts_make_the_environment(tmp_path):
    script = tmp_path / "set_env.sh"
    script.write_text("export FROM_SCRIPT=yes\n")
    ready = preflight_of(engine={"source": [str(script)]})
    assert ready.env["FROM_SCRIPT"] == "yes"
    script.unlink()
    assert ready.env["FROM_SCRIPT"] == "yes"  # kept


def test_required_source_script_that_is_missing_is_an_environment_problem(tmp_path):
    ready = preflight_of(engine={"source": [str(tmp_path / "set_env.sh")], "source_required": True})
    with pytest.raises(EnvironmentProblem, match=r"set_env\.sh"):
        _ = ready.env


def test_engine_that_is_missing_is_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match="no-such-vllm"):
        _ = preflight_of(engine={"executable": "no-such-vllm"}).engine


def test_whole_folder_is_taken_relative_to_the_suite():
    assert preflight_of(model={"path": "fixtures/control/model"}).folder == CONTROL


def test_folder_that_only_a_download_can_bring_is_not_downloaded(tmp_path):
    model = {"id": "nobody/has-this", "source": "modelscope"}
    assert preflight_of({"HOME": str(tmp_path), "PATH": ""}, model=model).folder_here() is None
    assert preflight_of(model={"path": "fixtures/control/model"}).folder_here() == CONTROL
    with pytest.raises(WeightsProblem, match="--vlm-model PATH"):
        preflight_of({"HOME": str(tmp_path), "PATH": ""}, model={"id": "nobody/has-this"}).folder_here()


def test_tool_that_is_late_is_reported_after_the_given_time(tmp_path):
    script = tmp_path / "set_env.sh"
    script.write_text("sleep 60\n")
    ready = Preflight(preflight_of(engine={"source": [str(script)]}).profile, ROOT, dict(os.environ), print, 0.2)
    with pytest.raises(NoAnswer, match=r"took over 0\.2 s"):
        _ = ready.env


def test_folder_that_does_not_exist_is_a_weights_problem():
    with pytest.raises(WeightsProblem, match="the folder 'no/such/folder' does not exist"):
        _ = preflight_of(model={"path": "no/such/folder"}).folder


def test_model_that_is_in_no_cache_is_a_weights_problem(tmp_path):
    with pytest.raises(WeightsProblem, match="--vlm-model PATH"):
        _ = preflight_of({"HOME": str(tmp_path), "PATH": ""}, model={"id": "nobody/has-this"}).folder


def test_damaged_folder_is_a_weights_problem_that_names_the_file(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(CONTROL, folder)
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.truncate(1000)
    with pytest.raises(WeightsProblem, match=r"model\.safetensors"):
        _ = preflight_of(model={"path": str(folder)}).folder


def test_unusable_card_is_a_device_problem_and_is_probed_once(tmp_path):
    ready = preflight_of({**os.environ, **fake_npu(tmp_path, "busy")}, device={"kind": "npu"})
    with pytest.raises(DeviceProblem, match="someone"):
        _ = ready.device
    (tmp_path / "npu-bin" / "npu-smi").unlink()
    with pytest.raises(DeviceProblem, match="someone"):
        _ = ready.device


def test_cpu_has_nothing_to_refuse():
    ready = preflight_of(device={"kind": "cpu"})
    assert ready.device.used_mb is None
    ready.require_torch_npu()
