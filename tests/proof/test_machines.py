"""Machines on which no deployment can be judged: each is an environment error before anything starts."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

import pytest
from check_ids import IMAGE, LIMITS, TORCH_NPU, node
from walk.container import WALK, card, container

PROFILE = (f"--vlm-profile={WALK / 'internvl2-2b-walk.yaml'}", "--vlm-port=0")


@contextlib.contextmanager
def open_files(limit: int) -> Iterator[None]:
    """Limit the open files of this process and of the processes it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault("torch-npu-broken")
def test_torch_npu_that_does_not_import_is_an_environment_error(accept, tmp_path, prove):
    options = container(tmp_path)
    (tmp_path / "site" / "torch_npu.py").write_text("raise ImportError('libhccl.so: cannot open shared object file')\n")
    run = accept(*PROFILE, *options, node(TORCH_NPU), env=card(tmp_path))
    assert "libhccl.so" in run.messages
    prove("torch-npu-broken", run)


def test_card_with_a_warning_that_answers_is_used(accept, tmp_path):
    environment = ("tests/acceptance/test_environment.py", "--vlm-set=model.more_stop_token_ids=[9999]")
    run = accept(*PROFILE, *container(tmp_path), *environment, env=card(tmp_path, NPU_SMI_HEALTH="Warning"))
    assert run.ids("failed") | run.ids("error") == set(), run.out
    assert "NPU 0 chip 0 reports health 'Warning'" in run.out
    assert "torch_npu answers" in run.out
    assert "not at 9999 too" in run.out


@pytest.mark.fault("card-alarmed-and-mute")
def test_card_with_an_alarm_that_does_not_answer_is_an_environment_error(accept, tmp_path, prove):
    env = card(tmp_path, NPU_SMI_HEALTH="Alarm", TORCH_NPU_DEAD="1")
    run = accept(*PROFILE, *container(tmp_path), node(TORCH_NPU), env=env)
    assert "reports health 'Alarm'" in run.messages
    assert "507033" in run.messages
    prove("card-alarmed-and-mute", run)


@pytest.mark.fault("image-of-another-chip")
def test_image_for_another_chip_is_an_environment_error(accept, tmp_path, prove):
    env = card(tmp_path, SOC_VERSION="ascend310p3")
    run = accept(*PROFILE, *container(tmp_path), node(IMAGE), env=env)
    assert "the image is built for 310P (SOC_VERSION=ascend310p3)" in run.messages
    prove("image-of-another-chip", run)


@pytest.mark.fault("open-files-limited")
def test_too_few_open_files_are_an_environment_error(accept, stand_in_engine, prove):
    with open_files(200):
        run = accept("--vlm-profile=control-cpu", f"--vlm-engine={stand_in_engine}", node(LIMITS))
    assert "only 200 files may be open" in run.messages
    prove("open-files-limited", run)
