"""The pages over several runs: each is sound, still, and shows foreign text as text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.history_pages import PAGES, hostile_pages
from tests.support.still_pages import still

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.report.small_pages import link, replace_file

HOSTILE = (
    "<script>window.ran=1</script>",
    "</style><script>window.ran=1</script>",
    "\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ self }}{x}{0}%s",
    "\u202egnorw\u2066\x1b[31m\x00 \u2028",
    "]]>--><!--",
    "x" * 5000,
)
EVERY = {**PAGES, **hostile_pages(HOSTILE)}
Make = Callable[[Path], Path]


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
def test_a_page_is_sound_and_has_no_script(make: Make, tmp_path: Path) -> None:
    page = make(tmp_path)
    read = still(page.read_text("utf-8"))
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("h1")) == 1 and len(read.all("main")) == 1
    assert page.stat().st_size < 500_000


def test_a_link_is_relative_and_never_a_scheme(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "index.html"
    assert link(page, tmp_path / "reports" / "runs" / "a b" / "report.html") == "runs/a%20b/report.html"
    assert link(page, tmp_path / "reports" / "javascript:x") == "javascript%3Ax"
    assert link(page, tmp_path / "other" / "r.html") == "../other/r.html"


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    replace_file(path, "old")
    replace_file(path, "new \ud800")
    assert path.read_text("utf-8") == "new ?"
    os.remove(path)
    path.mkdir()
    with pytest.raises(EnvironmentProblem, match=r"page\.html cannot be written"):
        replace_file(path, "x")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
