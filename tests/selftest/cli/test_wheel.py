"""The wheel in an environment of its own, outside of any checkout: the whole suite, the same files, nothing else."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.runs import ROOT, Ran, clean_env, junit_of, pytest_run

from vlm_acceptance import __version__
from vlm_acceptance.run.suite_digest import suite_digest

SHIPPED = ("src", "fixtures", "tests/acceptance", "conftest.py", "pyproject.toml", "setup.py", "MANIFEST.in")
PAGES = ("README.md", "LICENSE", "CHANGELOG.md")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
BUILD = "import sys; from setuptools import build_meta as made; getattr(made, sys.argv[1])(sys.argv[2])"


@dataclass(frozen=True, slots=True)
class Installed:
    """The environment with the wheel, and a folder that is no checkout."""

    env: Path
    folder: Path
    suite: Path

    def run(self, *args: str, more: Mapping[str, str] | None = None) -> Ran:
        """The command in that folder."""
        return ran([str(self.env / "bin" / "vlm-acceptance"), *args], self.folder, more)


def ran(argv: Sequence[str], cwd: Path, more: Mapping[str, str] | None = None) -> Ran:
    done = subprocess.run(argv, cwd=cwd, env=clean_env(more), capture_output=True, text=True, timeout=300, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def built(kind: str, tree: Path, out: Path) -> Path:
    """The only file that a build of the tree makes."""
    made = ran([sys.executable, "-c", BUILD, kind, str(out)], tree)
    assert made.code == 0, made.output
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A copy of the files that are shipped, and the same unpacked from the archive of sources made of it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("sources")
    for name in SHIPPED + PAGES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=UNWANTED)
        else:
            shutil.copy2(ROOT / name, tree / name)
    shutil.unpack_archive(built("build_sdist", tree, out), out / "unpacked")
    (unpacked,) = (out / "unpacked").iterdir()
    return [tree, unpacked]


@pytest.fixture(scope="module")
def wheels(trees: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel of each of the two."""
    return [built("build_wheel", tree, tmp_path_factory.mktemp("wheel")) for tree in trees]


@pytest.fixture(scope="module")
def installed(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of the archive, installed without an index; other packages come from this interpreter."""
    env, folder = tmp_path_factory.mktemp("env"), tmp_path_factory.mktemp("elsewhere")
    assert ran([sys.executable, "-m", "venv", "--without-pip", str(env)], folder).code == 0
    pip = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "install"]
    done = ran([*pip, "--no-deps", "--no-index", "--no-compile", str(wheels[1])], folder)
    assert done.code == 0, done.output
    (packages,) = (env / "lib").glob("python3*/site-packages")
    others = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("-packages"))]
    (packages / "others.pth").write_text("\n".join(dict.fromkeys(others)) + "\n", "utf-8")
    return Installed(env, folder, packages / "vlm_acceptance" / "suite")


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as opened:
        return {info.filename: info.CRC for info in opened.infolist()}


def hashes(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_the_archive_of_sources_makes_the_same_wheel(wheels: list[Path]) -> None:
    first, second = map(contents, wheels)
    assert first == second
    assert wheels[0].name == f"vlm_acceptance-{__version__}-py3-none-any.whl"


@pytest.mark.parametrize("folder", ["fixtures", "tests/acceptance"])
def test_installed_files_are_those_of_the_repository(folder: str, installed: Installed) -> None:
    assert hashes(installed.suite / folder) == hashes(ROOT / folder)


def test_an_attestation_names_the_installed_suite_as_the_one_of_the_checkout(installed: Installed) -> None:
    code = "from vlm_acceptance.run.suite_digest import suite_digest; print(suite_digest())"
    shown = ran([str(installed.env / "bin" / "python"), "-c", code], installed.folder)
    assert shown.out.strip() == suite_digest(), shown.output


def test_the_command_shows_its_page_and_its_version(installed: Installed) -> None:
    shown = installed.run("--help")
    assert (shown.code, "--vlm-profile NAME" in shown.out) == (0, True), shown.output
    assert installed.run("--version").out == f"vlm-acceptance {__version__}\n"


def test_the_same_tests_are_collected_as_in_a_checkout(installed: Installed) -> None:
    there = installed.run("nightly", "--profile", "control-cpu", "--", "--co", "-q", "--color=no")
    here = pytest_run("-m", "smoke or slow", "--vlm-profile=control-cpu", "--co")
    assert there.code == 0, there.output
    names = [line for line in there.out.splitlines() if "::" in line]
    assert len(names) > 100
    assert names == [line for line in here.out.splitlines() if "::" in line]


def test_a_plan_names_the_reports_of_the_current_folder_and_leaves_nothing(installed: Installed) -> None:
    before = sorted(installed.folder.iterdir())
    plan = installed.run("plan", "nightly", "--vlm-profile", "control-cpu")
    assert plan.code == 0, plan.output
    assert f"no stored run of this profile in {installed.folder}/reports" in plan.out
    assert "-m smoke or slow; nothing was started or sent" in plan.out
    assert sorted(installed.folder.iterdir()) == before


def test_a_run_writes_its_files_below_the_current_folder_alone(installed: Installed) -> None:
    before = hashes(installed.suite)
    run = installed.run("smoke", "--vlm-profile", "control-cpu", "--base-url", "http://127.0.0.1:9", "--", "-x")
    assert run.code == 10, run.output
    reports = installed.folder / "reports"
    assert junit_of(reports).get("errors") != "0"
    assert (reports / "latest" / "junit.xml").read_bytes() == (reports / "junit.xml").read_bytes()
    assert [path.name for path in installed.folder.iterdir()] == ["reports"]
    assert hashes(installed.suite) == before
