"""Properties of host and container, each with a passing and a failing case."""

from pathlib import Path

import pytest

from vlm_acceptance.engine import machine


def test_enough_shared_memory_is_no_problem(tmp_path: Path):
    assert machine.shared_memory_problems(tmp_path, 1) == []


def test_too_little_shared_memory_names_the_container_option(tmp_path: Path):
    assert "--shm-size" in machine.shared_memory_problems(tmp_path, 1 << 60)[0]


def test_absent_shared_memory_is_a_problem(tmp_path: Path):
    assert "cannot be read" in machine.shared_memory_problems(tmp_path / "none")[0]


@pytest.mark.parametrize(("limit", "problems"), [(1024, 1), (4096, 0), (-1, 0)])
def test_open_files_must_reach_what_is_needed(limit: int, problems: int):
    assert len(machine.open_file_problems(2048, limit)) == problems


def test_open_files_of_this_process_are_read():
    assert machine.open_file_problems(1) == []
    assert "ulimit -n" in machine.open_file_problems(1 << 40)[0]


@pytest.mark.parametrize(("limit", "problems"), [(4 << 30, 1), (8 << 30, 0), (-1, 0)])
def test_address_space_must_reach_what_is_needed(limit: int, problems: int):
    assert len(machine.address_space_problems(8, limit)) == problems


@pytest.mark.parametrize(("limit", "problems"), [(64 << 10, 1), (1 << 30, 0), (-1, 0)])
def test_too_little_locked_memory_names_the_container_option(limit: int, problems: int):
    found = machine.locked_memory_problems(limit)
    assert ["--ulimit memlock=-1" in problem for problem in found] == [True] * problems


@pytest.mark.parametrize(
    ("most", "limit", "says"),
    [
        ("100", -1, "may start 90 more threads of its 100"),
        ("max", 64, "may have 64 threads"),
        ("max", -1, ""),
        ("9999", 9999, ""),
    ],
)
def test_threads_are_limited_by_container_and_user(tmp_path: Path, most: str, limit: int, says: str):
    folder = tmp_path / "sys/fs/cgroup"
    folder.mkdir(parents=True)
    (folder / "pids.max").write_text(f"{most}\n")
    (folder / "pids.current").write_text("10\n")
    found = machine.thread_problems(512, tmp_path, limit)
    assert [says in problem for problem in found] == ([True] if says else [])


def test_variables_that_set_a_proxy_are_named():
    assert machine.proxies({}) == machine.proxies({"HTTP_PROXY": "", "NO_PROXY": "localhost"}) == []
    assert machine.proxies({"https_proxy": "http://p:1", "ALL_PROXY": "http://p:2"}) == ["ALL_PROXY", "https_proxy"]


def test_loopback_uses_no_proxy_and_other_exceptions_are_kept():
    env = machine.with_loopback_no_proxy({"http_proxy": "http://proxy:3128", "NO_PROXY": "corp,localhost", "A": "b"})
    assert env["NO_PROXY"] == env["no_proxy"] == "corp,localhost,127.0.0.1,::1"
    assert env["A"] == "b"


@pytest.mark.parametrize("exceptions", ["localhost,127.0.0.1", "*", "a, localhost , 127.0.0.1"])
def test_a_proxy_with_loopback_exceptions_is_no_problem(exceptions: str):
    assert machine.loopback_proxy_problems({"http_proxy": "http://p:1", "no_proxy": exceptions}) == []
    assert machine.loopback_proxy_problems({}) == []


def test_a_proxy_without_loopback_exceptions_names_the_line_to_export():
    (sentence,) = machine.loopback_proxy_problems({"HTTP_PROXY": "http://p:1", "NO_PROXY": "corp,localhost"})
    assert sentence.startswith("HTTP_PROXY without 127.0.0.1 in no_proxy")
    assert sentence.endswith("export no_proxy=corp,localhost,127.0.0.1")


def test_enough_disk_is_no_problem_also_for_a_folder_that_does_not_exist_yet(tmp_path: Path):
    assert machine.disk_problems(tmp_path / "a" / "b", 1) == []


def test_too_little_disk_names_the_place(tmp_path: Path):
    assert str(tmp_path) in machine.disk_problems(tmp_path / "a", 1 << 60)[0]


@pytest.mark.parametrize("place", ["ascend-toolkit/latest", "cann", "cann-8.5.1"])
def test_cann_version_is_read_from_every_layout(tmp_path: Path, place: str):
    folder = tmp_path / "usr/local/Ascend" / place / "aarch64-linux"
    folder.mkdir(parents=True)
    (folder / "ascend_toolkit_install.info").write_text(
        "package_name=Ascend-cann-toolkit\nversion=8.5.1\narch=aarch64\n"
    )
    assert machine.cann_version(tmp_path) == "8.5.1"


def test_driver_version_is_read_with_any_case_of_its_key(tmp_path: Path):
    folder = tmp_path / "usr/local/Ascend/driver"
    folder.mkdir(parents=True)
    (folder / "version.info").write_text("Version=25.0.rc1.2\nascendhal_version=7.35.23\n")
    assert machine.driver_version(tmp_path) == "25.0.rc1.2"


def test_versions_of_what_is_not_installed_are_none(tmp_path: Path):
    assert machine.cann_version(tmp_path) is None
    assert machine.driver_version(tmp_path) is None


@pytest.mark.parametrize(
    ("soc", "chip"),
    [
        ("ascend910b1", "910B3"),
        ("ascend910b1", "910B4-1"),
        ("ascend910_9391", "Ascend910"),
        ("ascend310p3", "310P3"),
        ("", "910B3"),
        ("ascend910b1", "Ascend950PR"),
    ],
)
def test_image_for_the_chip_is_no_problem_and_unknown_ones_are_not_judged(soc: str, chip: str):
    assert machine.image_problems({"SOC_VERSION": soc}, chip) == []


@pytest.mark.parametrize(
    ("soc", "chip", "suffix"),
    [("ascend910b1", "Ascend910", "-a3"), ("ascend910_9391", "910B2C", "no suffix"), ("ascend910b1", "310P3", "-310p")],
)
def test_image_for_another_chip_names_the_tag_to_take(soc: str, chip: str, suffix: str):
    (sentence,) = machine.image_problems({"SOC_VERSION": soc}, chip)
    assert suffix in sentence
    assert soc in sentence


@pytest.mark.parametrize("conf", ["", "expandable_segments:True"])
def test_allocator_setting_of_vllm_ascend_is_no_problem(conf: str):
    assert machine.allocator_problems({"PYTORCH_NPU_ALLOC_CONF": conf}) == []


def test_split_size_displaces_expandable_segments():
    (sentence,) = machine.allocator_problems({"PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:256"})
    assert "max_split_size_mb:256 displaces" in sentence


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ("max_split_size_mb:256", "PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:256, without expandable_segments"),
        ("expandable_segments:True", "allocator: PYTORCH_NPU_ALLOC_CONF=expandable_segments:True"),
        ("", "vllm-ascend's default"),
    ],
)
def test_allocator_is_named(conf: str, says: str):
    assert says in machine.allocator_named({"PYTORCH_NPU_ALLOC_CONF": conf})


def test_settings_that_repeatable_answers_need_are_named_when_they_are_missing():
    given = {"LCCL_DETERMINISTIC": "1", "HCCL_DETERMINISTIC": "True", "ATB_MATMUL_SHUFFLE_K_ENABLE": "0"}
    (note,) = machine.determinism_notes(given)
    assert note.endswith("does not set ATB_LLM_LCOC_ENABLE=0")
    assert machine.determinism_notes({**given, "ATB_LLM_LCOC_ENABLE": "0"}) == []
