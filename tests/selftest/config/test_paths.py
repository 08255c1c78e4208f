"""Where the suite's own files are, and where its reports go."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.config import paths
from vlm_acceptance.config.paths import default_reports, require_possible_folder, suite_of
from vlm_acceptance.core.errors import UsageProblem


def test_the_checkout_around_src_is_the_suite(tmp_path: Path) -> None:
    (tmp_path / "tests" / "acceptance").mkdir(parents=True)
    assert suite_of(tmp_path / "src" / "vlm_acceptance") == tmp_path


@pytest.mark.parametrize("parent", ["src", "site-packages"])
def test_elsewhere_the_package_has_the_suite_in_it(parent: str, tmp_path: Path) -> None:
    if parent != "src":  # tests of somebody else beside it
        (tmp_path / "tests" / "acceptance").mkdir(parents=True)
    package = tmp_path / parent / "vlm_acceptance"
    assert suite_of(package) == package / "suite"


def test_an_installed_suite_reports_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_reports() == paths.ROOT / "reports"
    monkeypatch.setattr(paths, "IS_INSTALLED", True)
    assert default_reports() == tmp_path / "reports"


def test_a_folder_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    require_possible_folder(tmp_path, "x")
    require_possible_folder(tmp_path / "a" / "b", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/a/b", "dangling", "dangling/a", "x" * 300])
def test_a_folder_that_cannot_be_made_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    with pytest.raises(UsageProblem, match="^x: reports cannot be written to '.*': "):
        require_possible_folder(tmp_path / name, "x")
