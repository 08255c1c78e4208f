"""Rules for the image and for `docker run`: what is copied and installed, and which part of a machine a run gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pip
import pytest
from tests.support.recipes import DEPLOY, Bench, Done, instructions
from tests.support.runs import ROOT

from vlm_acceptance.core.verdict import EXIT

SCRIPTS = sorted(DEPLOY.glob("*.sh"))
MADE = "deploy/wheelhouse"
NEEDED = ("iniconfig", "pluggy", "pytest", "pytest-timeout", "vlm-acceptance")
MACHINE = (
    "/dev/davinci0", "/dev/davinci1", "/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc",
    "/usr/local/Ascend/driver/lib64", "/usr/local/Ascend/driver/version.info", "/usr/local/dcmi",
    "/usr/local/bin/npu-smi", "/etc/ascend_install.info",
)  # fmt: skip


def copies() -> list[str]:
    """What the Dockerfile copies, relative to the build context: the root of the checkout."""
    return [text.split()[0] for name, text in instructions() if name == "COPY"]


def test_image_is_made_from_that_of_the_target() -> None:
    assert dict(instructions())["ARG"] == "BASE=quay.io/ascend/vllm-ascend:v0.18.0rc1"
    assert dict(instructions())["FROM"] == "${BASE}"


def test_everything_copied_is_in_the_build_context() -> None:
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    assert allowed == ["*", *sorted(f"!{source.rstrip('/')}" for source in copies())]
    assert all((ROOT / source).exists() for source in copies() if source != MADE)
    assert MADE in copies()
    assert f"scripts/wheelhouse.sh {MADE}" in (DEPLOY / "Dockerfile").read_text("utf-8")
    assert (DEPLOY / ".gitignore").read_text("utf-8").split() == ["wheelhouse/"]


def test_image_is_made_without_a_network() -> None:
    for name, text in instructions():
        assert name in ("ARG", "FROM", "COPY", "RUN", "ENV", "ENTRYPOINT", "CMD"), name
        for installing in text.split("pip install")[1:]:
            assert "--no-index" in installing
            assert "--no-deps" in installing
        assert not any(word in text for word in ("apt-get", "curl", "wget", "git clone"))


def distribution(name: str, version: str, requires: str = "") -> dict[str, str]:
    """The files of a package that consists of its metadata."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }


def image(folder: Path) -> Path:
    """An environment with pip and torch 2.9; returns its folder of programs."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "pip").symlink_to(Path(pip.__file__).parent)
    for name, text in distribution("torch", "2.9").items():
        (packages / name).parent.mkdir(exist_ok=True)
        (packages / name).write_text(text, "utf-8")
    return folder / "bin"


def installed(bench: Bench, names: Sequence[str]) -> Done:
    """The RUN instruction; the wheelhouse also has the newer torch that the suite's wheel asks for."""
    opt = bench.path("/opt/vlm-acceptance")
    (opt / "wheelhouse").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "check_container.py", opt)
    for name in (*names, "torch"):
        requires = "torch>=3" if name == "vlm-acceptance" else ""
        with zipfile.ZipFile(opt / "wheelhouse" / f"{name.replace('-', '_')}-3.0-py3-none-any.whl", "w") as wheel:
            for path, text in distribution(name, "3.0", requires).items():
                wheel.writestr(path, text)
    programs = image(bench.folder / "image")
    no_settings = {"PIP_CONFIG_FILE": os.devnull}
    return bench.run(dict(instructions())["RUN"], "0", PATH=f"{programs}:{os.environ['PATH']}", **no_settings)


def test_installation_adds_the_suite_and_pytest_and_changes_nothing(bench: Bench) -> None:
    done = installed(bench, NEEDED)
    assert done.code == 0, done.output
    assert done.output.splitlines()[-1] == f"1 packages as before, new: {', '.join(NEEDED)}"


def test_image_with_an_incomplete_wheelhouse_is_not_made(bench: Bench) -> None:
    done = installed(bench, NEEDED[1:])
    assert done.code != 0
    assert "iniconfig" in done.output


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_sound(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    if shellcheck := shutil.which("shellcheck"):
        done = subprocess.run([shellcheck, script], stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done.stdout


def machine(bench: Bench, without: str = "") -> None:
    """The devices and the driver of a machine, one part left out."""
    for part in MACHINE:
        if part != without:
            bench.path(part).parent.mkdir(parents=True, exist_ok=True)
            bench.path(part).touch()


def docker_run(bench: Bench, codes: str, *args: str, **env: str) -> Done:
    """docker-run.sh with a docker that runs the command of the image here."""
    return bench.run((DEPLOY / "docker-run.sh").read_text("utf-8"), codes, args, **env)


@pytest.mark.parametrize("code", [0, 1, 4, 10, 11])
def test_docker_run_ends_with_the_exit_code_of_the_suite(bench: Bench, code: int) -> None:
    machine(bench)
    done = docker_run(bench, str(code), "smoke", "--vlm-profile", "my profile.yaml")
    assert done.code == code, done.output
    words = ["vlm-acceptance:v0.18.0rc1", "vlm-acceptance", "smoke", "--vlm-profile", "my profile.yaml"]
    assert bench.lines("docker")[-len(words) :] == words


def test_docker_run_gives_devices_driver_cache_and_reports(bench: Bench) -> None:
    machine(bench)
    reports = bench.folder / "my reports"
    docker_run(bench, "0", "smoke", CARD="1", REPORTS=str(reports))
    given = bench.lines("docker")
    assert "--device=" + str(bench.path("/dev/davinci1")) in given
    assert "--device=" + str(bench.path("/dev/davinci0")) not in given
    for part in MACHINE[2:5]:
        assert f"--device={bench.path(part)}" in given
    for part in MACHINE[5:]:
        assert f"--volume={bench.path(part)}:{bench.path(part)}:ro" in given
    assert f"--volume={reports}:{bench.path('/reports')}" in given
    assert f"--volume={bench.path('/root/.cache')}:{bench.path('/root/.cache')}" in given
    assert "--init" in given
    assert reports.is_dir()


@pytest.mark.parametrize(
    ("part", "said"), [("/dev/davinci0", "CARD=N names another card"), ("/usr/local/bin/npu-smi", "install the driver")]
)
def test_docker_run_names_what_the_machine_lacks(bench: Bench, part: str, said: str) -> None:
    machine(bench, without=part)
    done = docker_run(bench, "0", "smoke")
    assert done.code == EXIT["environment"]
    assert len(done.output.splitlines()) == 1
    assert part in done.output
    assert said in done.output
    assert bench.lines("docker") == []


@pytest.mark.parametrize("name", ["REPORTS", "CACHE"])
def test_docker_run_names_a_folder_that_cannot_be_made(bench: Bench, name: str) -> None:
    machine(bench)
    (bench.folder / "file").touch()
    done = docker_run(bench, "0", "smoke", **{name: str(bench.folder / "file" / "x")})
    assert done.code == EXIT["environment"], done.output
    assert len(done.output.splitlines()) == 1
    assert f"{bench.folder / 'file' / 'x'}' cannot be made" in done.output
    assert f"{name}=DIR" in done.output
    assert bench.lines("docker") == []


def test_docker_run_without_realpath_is_an_environment_problem(bench: Bench) -> None:
    machine(bench)
    bench.program("realpath", "#!/bin/sh\necho broken >&2\nexit 1\n")
    done = docker_run(bench, "0", "smoke")
    assert (done.code, len(done.output.splitlines())) == (EXIT["environment"], 1), done.output


def test_docker_run_without_a_home_uses_that_of_root(bench: Bench) -> None:
    machine(bench)
    done = bench.run("unset HOME\n" + (DEPLOY / "docker-run.sh").read_text("utf-8"), "0", ["smoke"])
    assert done.code == 0, done.output
    assert f"--volume={bench.path('/root/.cache')}:{bench.path('/root/.cache')}" in bench.lines("docker")


def given_variables(bench: Bench) -> set[str]:
    """The variables that docker was told to give to the container."""
    return {one.removeprefix("--env=") for one in bench.lines("docker") if one.startswith("--env=")}


def test_docker_run_gives_proxies_and_settings_by_name(bench: Bench) -> None:
    machine(bench)
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://me:secret@proxy:3128")
    env = {**proxies, "no_proxy": "a b", "VLM_SEED": "7", "VLM_REPORTS": "/here", "OTHER": "1"}
    done = docker_run(bench, "0", "smoke", **env)
    assert done.code == 0, done.output
    assert given_variables(bench) == {*proxies, "no_proxy", "VLM_SEED"}
    assert "secret" not in "\n".join(bench.lines("docker"))


@pytest.mark.parametrize(
    "words", [["--vlm-api-key-env=THE_KEY"], ["--vlm-api-key-env", "THE_KEY"], ["--api-key-env", "THE_KEY"], []]
)
def test_docker_run_gives_the_api_key_by_the_name_of_its_variable(bench: Bench, words: list[str]) -> None:
    machine(bench)
    named = {} if words else {"VLM_API_KEY_ENV": "THE_KEY"}
    docker_run(bench, "0", "smoke", *words, THE_KEY="sk-secret", OTHER="1", **named)
    assert given_variables(bench) == {"THE_KEY", *named}
    assert "sk-secret" not in "\n".join(bench.lines("docker"))


def test_docker_run_gives_no_variable_that_is_not_set(bench: Bench) -> None:
    machine(bench)
    docker_run(bench, "0", "smoke", "--vlm-api-key-env=sk-secret")
    assert given_variables(bench) == set()


def test_scripts_without_a_command_say_what_to_write(bench: Bench) -> None:
    machine(bench)
    for done in (docker_run(bench, "0"), bench.run("with-cann", "0")):
        assert done.code == int(pytest.ExitCode.USAGE_ERROR)
        assert len(done.output.splitlines()) == 1
        assert "for example" in done.output


def test_image_without_cann_is_an_environment_problem(bench: Bench) -> None:
    bench.path("/usr/local/Ascend/nnal/atb/set_env.sh").unlink()
    done = bench.run("with-cann vlm-acceptance smoke", "0")
    assert done.code == EXIT["environment"]
    assert "nnal/atb/set_env.sh does not exist" in done.output
    assert bench.lines("calls") == []


def test_signal_that_ends_a_container_reaches_the_suite(bench: Bench) -> None:
    """The shell that sets the environment is gone: the suite has its process id."""
    bench.program("vlm-acceptance", '#!/bin/bash\necho "$$"\n')
    done = bench.run("with-cann vlm-acceptance & echo $!; wait", "0")
    first, second = done.output.split()
    assert first == second
