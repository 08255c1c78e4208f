"""Where no browser is installed: errors in CI, skipped tests with the reason elsewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.browser import required_or_skipped
from tests.support.runs import ROOT


@pytest.mark.parametrize(("ci", "outcome"), [("true", RuntimeError), ("", pytest.skip.Exception)], ids=["CI", "laptop"])
def test_a_missing_browser_is_an_error_in_ci_alone(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Chromium: make browser installs it"), required_or_skipped():
        pass


@pytest.mark.parametrize("has_apt", [True, False])
def test_a_machine_without_the_packages_is_one_sentence(has_apt: bool, tmp_path: Path) -> None:
    for tool in ("id", "mktemp", "rm"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    if has_apt:
        (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 100\n", "utf-8")
        (tmp_path / "apt-get").chmod(0o755)
        (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n', "utf-8")
        (tmp_path / "sudo").chmod(0o755)
    argv = ["/bin/sh", str(ROOT / "scripts" / "prepare_browser.sh")]
    env = {"PATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 10
    wanted = "chromium poppler-utils fontconfig fonts-noto-cjk"
    last = done.stderr.splitlines()[-1]
    if has_apt:
        assert last.startswith(f"apt-get could not install {wanted}; see {tmp_path}{os.sep}")
    else:
        assert last == f"there is no apt-get here: install these yourself: {wanted}"


def test_a_machine_with_the_packages_is_left_as_it_is(tmp_path: Path) -> None:
    for tool in ("chromium", "pdftotext"):
        (tmp_path / tool).write_text("#!/bin/sh\n", "utf-8")
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "fc-list").write_text("#!/bin/sh\necho NotoSansCJK\n", "utf-8")
    (tmp_path / "fc-list").chmod(0o755)
    (tmp_path / "grep").symlink_to("/usr/bin/grep")
    argv = ["/bin/sh", str(ROOT / "scripts" / "prepare_browser.sh")]
    done = subprocess.run(argv, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
