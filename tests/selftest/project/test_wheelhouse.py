"""The folder of wheels for a machine without network: what is asked of pip, and what is said when pip fails."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# "python -m venv FOLDER" makes a pip that notes its arguments and the files it is given, and fails where it is told to
PYTHON = """#!/bin/sh
if [ "$FAILS" = venv ]; then echo "output of venv"; exit 1; fi
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<'END'
#!/bin/sh
echo "$1 $*" >>"$ASKED"
for word in "$@"; do case $word in */*.txt) cat "$word" >"$ASKED.$1" ;; esac; done
echo "output of $1"
[ "$1" != "$FAILS" ]
END
chmod +x "$3/bin/pip"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the script, the locks and a Python that installs nothing."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "constraints", tree / "constraints")
    (tree / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts" / "wheelhouse.sh", tree / "scripts")
    (tree / "python").write_text(PYTHON, "utf-8")
    (tree / "python").chmod(0o755)
    return tree


def collected(tree: Path, *args: str, fails: str = "") -> tuple[int, str]:
    """Exit code and standard error of the script, started in another folder."""
    env = {"PATH": "/usr/bin:/bin", "PYTHON": str(tree / "python"), "ASKED": str(tree / "asked"), "FAILS": fails}
    argv = [str(tree / "scripts" / "wheelhouse.sh"), *args]
    done = subprocess.run(argv, cwd=tree.parent, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def pinned(file: Path) -> list[str]:
    """The names in a file of requirements, each of one version with hashes."""
    entries = re.split(r"\n(?=\S)", file.read_text("utf-8").strip())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    return sorted(entry.partition("==")[0] for entry in entries)


def test_what_a_container_lacks_is_fetched_by_its_hashes_and_the_suite_is_built(tree: Path) -> None:
    assert collected(tree, "house") == (0, "")
    install, download, wheel = (tree / "asked").read_text("utf-8").splitlines()
    assert "--require-hashes" in install
    assert pinned(tree / "asked.install") == ["setuptools"]
    assert "--no-deps" in download and "--require-hashes" in download
    assert pinned(tree / "asked.download") == ["iniconfig", "pluggy", "pytest", "pytest-timeout"]
    assert f"--no-index --no-build-isolation -w {tree.parent / 'house'} ." in wheel


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("venv", "no virtual environment"),
        ("install", "setuptools could not"),
        ("download", "pytest and its parts could not"),
        ("wheel", "the suite's wheel"),
    ],
)
def test_a_failure_is_one_sentence_with_the_output_of_pip(step: str, says: str, tree: Path) -> None:
    code, said = collected(tree, "house", fails=step)
    assert (code, said.count("\n"), said.startswith(says)) == (10, 1, True), said
    assert (tree.parent / "house" / "pip.log").read_text("utf-8") == f"output of {step}\n"


def test_wheels_of_the_suite_of_an_earlier_release_are_removed(tree: Path) -> None:
    house = tree.parent / "house"
    house.mkdir()
    for name in ("vlm_acceptance-9.9-py3-none-any.whl", "other-1.0-py3-none-any.whl"):
        (house / name).touch()
    assert collected(tree, "house") == (0, "")
    assert [path.name for path in house.iterdir()] == ["other-1.0-py3-none-any.whl"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tree: Path) -> None:
    code, said = collected(tree, str(tree / "python" / "x"))
    assert (code, said) == (10, f"{tree / 'python' / 'x'} is no folder that can be written\n")


def test_without_a_folder_it_says_how_it_is_used(tree: Path) -> None:
    assert collected(tree) == (4, "usage: scripts/wheelhouse.sh DIR\n")
