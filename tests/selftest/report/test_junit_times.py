"""Times of whole tests out of the JUnit file of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.report.junit_times import key_of, wall_seconds

CASE = '<testcase classname="tests.acceptance.test_load" name="test_soak[a/b.py::c]" time="41.5"/>'


def written(folder: Path, text: str) -> Path:
    (folder / "junit.xml").write_text(text, "utf-8")
    return folder


def test_a_time_is_found_by_the_id_of_its_test(tmp_path: Path) -> None:
    found = wall_seconds(written(tmp_path, f"<testsuites><testsuite>{CASE}</testsuite></testsuites>"))
    assert found[key_of("tests/acceptance/test_load.py::test_soak[a/b.py::c]")] == 41.5


@pytest.mark.parametrize("time", ["", "nan", "inf", "-1", "1e99", "x"])
def test_a_time_that_is_none_is_left_out(tmp_path: Path, time: str) -> None:
    assert wall_seconds(written(tmp_path, f"<testsuite>{CASE.replace('41.5', time)}</testsuite>")) == {}


@pytest.mark.parametrize(
    "text", ["", "<a>", f'<!DOCTYPE a [<!ENTITY x "y">]><testsuite>{CASE}</testsuite>', "\x00", "<a/>"]
)
def test_another_file_has_no_times(tmp_path: Path, text: str) -> None:
    assert wall_seconds(written(tmp_path, text)) == {}


def test_without_the_file_there_are_no_times(tmp_path: Path) -> None:
    assert wall_seconds(tmp_path) == {}
