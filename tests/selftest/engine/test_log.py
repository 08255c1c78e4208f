"""Real start and death logs of NPU, GPU and CPU engines: figures, error lines, causes."""

from pathlib import Path

import pytest

from vlm_acceptance.core.engine_figures import EngineFigures
from vlm_acceptance.engine.log import HARMLESS, error_lines, figures, is_environment, message_of, remedy_for

DATA = Path(__file__).parents[1] / "data" / "engine_log"
STARTED = (
    "cpu_started.txt",
    "gpu.txt",
    "npu_graph.txt",
    "npu_older.txt",
    "offline_eager.txt",
    "offline_no_graphs.txt",
)
DEATHS = {
    # file: (text in the error lines, text in the remedy, whether the machine is the cause)
    "cpu_context_too_long.txt": ("max_model_len (99999)", "--max-model-len", False),
    "cpu_custom_code.txt": ("contains custom code", "--trust-remote-code", False),
    "cpu_memory.txt": ("Available memory on node 0 (6.04/6.96 GiB)", "--gpu-memory-utilization", False),
    "cpu_no_cache_blocks.txt": ("No available memory for the cache blocks", "KV cache", False),
    "cpu_no_config.txt": ("Invalid repository ID", "config.json", True),
    "cpu_no_folder.txt": ("/models/absent", "model folder is missing", True),
    "cpu_port_taken.txt": ("Address already in use", "port", True),
    "cpu_truncated_weights.txt": ("incomplete metadata, file not fully covered", "download it again", True),
    "cpu_unknown_option.txt": ("unrecognized arguments: --no-such-flag", "does not know that option", False),
    "npu_memory_held.txt": ("Free memory on device (8.0/64.0 GiB)", "stop the other processes", True),
    "npu_no_libraries.txt": ("libhccl.so: cannot open shared object file", "nnal/atb/set_env.sh", True),
    "npu_no_such_device.txt": ("ASCEND_RT_VISIBLE_DEVICES:4 error", "leave it unset", True),
    "npu_wrong_image.txt": ("AscendDeviceType.A3 does not match", "-a3 for A3", True),
}


def read(name: str) -> str:
    return (DATA / name).read_text("utf-8")


def test_npu_graph_start_gives_every_figure():
    found = figures(read("npu_graph.txt").splitlines())
    assert found == EngineFigures(
        version="0.18.0",
        weights_load_s=2.72,
        model_memory_gib=16.957,
        kv_cache_tokens=252288,
        kv_cache_gib=34.66,
        max_concurrency=15.4,
        graph_capture_s=14.0,
        engine_init_s=75.89,
        alloc_conf="expandable_segments:True",
        eager=False,
        graph_sizes=found.graph_sizes,
        cudagraph_mode="PIECEWISE",
        graphs_captured=35,
    )
    assert found.mode_shown == "graph mode (PIECEWISE), 35 sizes captured in 14 s"
    assert found.graph_sizes is not None
    assert (len(found.graph_sizes), found.graph_sizes[0], found.graph_sizes[-1]) == (35, 1, 256)


def test_older_npu_start_has_the_same_wording():
    assert figures(read("npu_older.txt").splitlines()) == EngineFigures(
        weights_load_s=2.03, model_memory_gib=15.2684, kv_cache_tokens=72448, engine_init_s=3.81
    )


def test_gpu_start_words_model_memory_differently():
    found = figures(read("gpu.txt").splitlines())
    assert (found.model_memory_gib, found.kv_cache_gib, found.kv_cache_tokens) == (7.6785, 100.43, 2925232)


def test_cpu_start_is_eager_and_has_no_model_memory():
    found = figures(read("cpu_started.txt").splitlines())
    assert (found.version, found.eager, found.graph_sizes, found.model_memory_gib) == ("0.32.0", True, (), None)
    assert (found.kv_cache_tokens, found.kv_cache_gib, found.engine_init_s) == (131072, 0.06, 0.19)


def test_cpu_cache_size_is_also_read_when_vllm_chose_it():
    assert figures(["Auto set (2.50/6.96) GiB for KV cache on node 0, with 3 GiB requested"]).kv_cache_gib == 2.5


def test_empty_log_has_no_figures():
    assert figures([]) == EngineFigures()


def test_last_figure_counts():
    lines = ["Loading weights took 2.03 seconds", "Loading weights took 4.10 seconds"]
    assert figures(lines).weights_load_s == 4.1


def test_negative_cache_memory_is_kept():
    assert figures(["Available KV cache memory: -0.87 GiB"]).kv_cache_gib == -0.87


@pytest.mark.parametrize("name", STARTED)
def test_started_engine_has_no_error_lines(name: str):
    assert error_lines(read(name)) == []


@pytest.mark.parametrize("name", DEATHS)
def test_death_is_explained_in_few_lines(name: str):
    expected = DEATHS[name][0]
    found = error_lines(read(name))
    assert any(expected in line for line in found)
    assert len(found) <= 6
    assert all("pid=" not in line and "Traceback" not in line for line in found)


@pytest.mark.parametrize("name", DEATHS)
def test_known_death_has_a_remedy_of_one_line(name: str):
    remedy = remedy_for(error_lines(read(name)))
    assert remedy is not None
    assert DEATHS[name][1] in remedy
    assert "\n" not in remedy


@pytest.mark.parametrize("name", DEATHS)
def test_fault_of_the_machine_is_separated_from_one_of_the_deployment(name: str):
    assert is_environment(error_lines(read(name))) is DEATHS[name][2]


def test_unknown_cause_counts_for_the_deployment():
    lines = error_lines('Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: "weird"\n')
    assert lines == ['KeyError: "weird"']
    assert remedy_for(lines) is None
    assert not is_environment(lines)


def test_request_for_nearly_all_memory_of_a_free_device_is_a_mistake_of_the_deployment():
    line = "ValueError: Free memory on device (60.86/61.27 GiB) on startup is less than desired GPU memory utilization"
    assert remedy_for([line]) is not None
    assert not is_environment([line])


def test_consequences_count_only_without_other_error_lines():
    assert error_lines(read("cpu_stopped.txt"))[-1].startswith("vllm.v1.engine.exceptions.EngineDeadError")
    assert not any("initialization failed" in line for line in error_lines(read("npu_wrong_image.txt")))


def test_harmless_lines_of_our_list_and_of_the_profile_are_left_out():
    text = f"ERROR: {HARMLESS[0]}0\nERROR: of this deployment\nERROR: real\n"
    assert error_lines(text, ["of this deployment"]) == ["ERROR: real"]


def test_repeated_lines_are_given_once():
    assert error_lines("ERROR: a\n" * 5) == ["ERROR: a"]


def test_limit_keeps_the_first_and_the_last():
    found = error_lines("".join(f"ERROR: {i}\n" for i in range(30)), limit=4)
    assert found == ["ERROR: 0", "ERROR: 1", "ERROR: 28", "ERROR: 29"]


def test_record_of_another_process_does_not_end_a_traceback():
    text = (
        "(EngineCore pid=7) Traceback (most recent call last):\n"
        '(EngineCore pid=7)   File "core.py", line 5, in run\n'
        "(APIServer pid=6) INFO 05-01 10:59:08 [api_server.py:1] waiting\n"
        "(EngineCore pid=7)     raise odd\n"
        "(EngineCore pid=7) zmq.error.Again: Resource temporarily unavailable\n"
    )
    assert error_lines(text) == ["zmq.error.Again: Resource temporarily unavailable"]


@pytest.mark.parametrize(
    "line",
    [
        "(EngineCore_DP0 pid=4711) INFO 11-30 17:00:00 [cpu_worker.py:140] CPU backend is used",
        "\x1b[1;36m(APIServer pid=1)\x1b[0;0m INFO 11-30 17:00:00 [v1/utils.py:325] CPU backend is used",
        "CPU backend is used",
    ],
)
def test_message_of_a_line_is_what_its_prefix_precedes(line):
    assert message_of(line) == "CPU backend is used"


def test_progress_bars_do_not_hide_the_error_that_follows():
    text = (
        "Loading shards:  50%\rLoading shards: 100%\rtorch.OutOfMemoryError: NPU out of memory. Tried to allocate 3 GiB"
    )
    assert "out of memory" in error_lines(text)[0]
    assert "memory ran out" in str(remedy_for(error_lines(text)))


def test_killed_engine_has_no_error_lines():
    assert error_lines("(EngineCore pid=7) INFO 05-01 10:59:08 [core.py:1] Initializing\n") == []


@pytest.mark.parametrize(
    ("line", "remedy", "environment"),
    [
        ("ImportError: libascend_hal.so: cannot open shared object file", "/usr/local/Ascend/driver", True),
        ("ImportError: libatb.so: cannot open shared object file", "set_env.sh", True),
        ("ModuleNotFoundError: No module named 'torch_npu'", "holds vllm-ascend", True),
        ("RuntimeError: Can not support soc_version: 253.", "another chip", True),
        ("[Error]: The device is unavailable.", "davinci_manager", True),
        ("Error retrieving file list: 'Type', retrying 1 of 2", "engine.serve: folder", False),
        ("OSError: [Errno 28] No space left on device", "--shm-size", True),
        ("OSError: [Errno 24] Too many open files", "ulimit", True),
        ("ValueError: Tokenizer class InternLM2Tokenizer does not exist", "--trust-remote-code", False),
        ("ValueError: ASCEND_LAUNCH_BLOCKING=1 is not supported with ACL graph", "--enforce-eager", False),
        ("RuntimeError: NPU out of memory. Tried to allocate 22.00 MiB", "--max-model-len", False),
    ],
)
def test_known_cause_of_one_line(line: str, remedy: str, environment: bool):
    assert remedy in str(remedy_for([line]))
    assert is_environment([line]) is environment


@pytest.mark.parametrize(
    ("free", "asked", "environment"), [("8.09/14.96", 10.0, True), ("8.09/14.96", 1048576.0, False)]
)
def test_request_for_more_memory_than_exists_is_a_mistake_of_the_deployment(free: str, asked: float, environment: bool):
    line = f"Available memory on node 0 ({free} GiB) on kv cache allocation is less than requested memory for kv "
    assert is_environment([f"ValueError: {line}({asked} GiB). Decrease --kv-cache-memory-bytes."]) is environment


NO_CAPTURE = "Graph capturing finished"


def lines_of(name: str) -> list[str]:
    return read(name).splitlines()


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        (lines_of("npu_graph.txt"), "graph"),
        # configured for graphs, but none was captured
        ([line for line in lines_of("npu_graph.txt") if NO_CAPTURE not in line], "eager"),
        (
            [line.replace("CUDAGraphMode.PIECEWISE: 1", "CUDAGraphMode.NONE: 0") for line in lines_of("npu_graph.txt")],
            "eager",
        ),
        # an offline engine logs the same, without the lines of the API server
        ([line for line in lines_of("npu_graph.txt") if "APIServer" not in line], "graph"),
        (lines_of("cpu_started.txt"), "eager"),
        (lines_of("offline_eager.txt"), "eager"),
        (lines_of("offline_no_graphs.txt"), "eager"),
        (lines_of("npu_older.txt"), None),
        (["Skipping CUDA graph capture. To turn on CUDA graph capture, ensure"], "eager"),
    ],
)
def test_mode_is_told_from_captured_graphs_not_from_the_configuration(lines: list[str], mode: str | None):
    assert figures(lines).mode == mode


def test_compiler_processes_of_cann_are_never_the_cause_of_an_end():
    tbe = "[ERROR] TBE Subprocess[task_distribute] raise error[], main process disappeared!\n"
    assert error_lines(tbe * 8) == []
    died = error_lines(f"RuntimeError: ACL stream synchronize failed\n(EngineCore pid=7) {tbe}{tbe}")
    assert died == ["RuntimeError: ACL stream synchronize failed"]


def test_engine_that_is_not_eager_and_has_no_graphs_is_told_from_one_in_eager_mode():
    assert figures(lines_of("offline_no_graphs.txt")).mode_shown.endswith("enforce_eager=False, cudagraph_mode NONE)")
    assert figures(lines_of("offline_eager.txt")).mode_shown.endswith("enforce_eager=True, cudagraph_mode NONE)")
