"""The checks of the pages see what they are for: each is shown a page with that fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import PHONE, visited
from tests.support.browser_pages import HOSTILE, MARK

HEAD = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>{more}</head><body>{body}</body></html>'
)


def written(tmp_path: Path, body: str, more: str = "") -> Path:
    path = tmp_path / "page.html"
    path.write_text(HEAD.format(body=body, more=more), "utf-8")
    return path


def test_a_page_without_a_fault_has_none(tmp_path: Path, browser: Any) -> None:
    page = written(
        tmp_path,
        "<main><h1>Title</h1><p>Text</p><div style='overflow-x:auto'><pre>" + "x" * 900 + "</pre></div></main>",
    )
    with visited(browser, page, PHONE) as visit:
        assert (visit.console, visit.left(), visit.too_wide()) == ([], [], [])
        assert visit.printed(tmp_path / "page.pdf")[0].startswith("Title")


@pytest.mark.parametrize("number", [0, 3, 4, 5], ids=["script", "error of a picture", "svg", "details"])
def test_a_script_that_runs_is_seen(number: int, tmp_path: Path, browser: Any) -> None:
    with visited(browser, written(tmp_path, HOSTILE[number])) as visit:
        visit.page.wait_for_timeout(50)
        assert visit.page.evaluate(f"() => window.{MARK}") >= 1


@pytest.mark.parametrize("number", [7, 9], ids=["elements", "styles"])
def test_a_request_that_would_leave_is_seen(number: int, tmp_path: Path, browser: Any) -> None:
    with visited(browser, written(tmp_path, HOSTILE[number])) as visit:
        visit.page.wait_for_timeout(50)
        assert {"http://127.0.0.1:9/x.css"} <= set(visit.left())
        assert visit.console != []


def test_a_request_that_the_policy_stops_is_seen_and_an_error(tmp_path: Path, browser: Any) -> None:
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    with visited(browser, written(tmp_path, HOSTILE[7], policy)) as visit:
        visit.page.wait_for_timeout(50)
        assert visit.left() != []
        assert "Content Security Policy" in visit.console[0]


def test_a_link_that_runs_a_script_is_seen(tmp_path: Path, browser: Any) -> None:
    with visited(browser, written(tmp_path, HOSTILE[10])) as visit:
        (link,) = visit.scripts_in_links()
        assert link.startswith("javascript:")


@pytest.mark.parametrize(
    "body",
    [
        "<p style='width:800px'>x</p><p>" + "y" * 200 + "</p>",
        "<div style='overflow:hidden;width:300px'><p style='white-space:nowrap'>" + "word " * 40 + "</p></div>",
        "<p style='margin-left:-40px'>to the left</p>",
    ],
    ids=["outside", "hidden", "left"],
)
def test_a_cut_text_is_seen(body: str, tmp_path: Path, browser: Any) -> None:
    with visited(browser, written(tmp_path, body), PHONE) as visit:
        assert visit.too_wide() != []


def test_a_box_that_scrolls_is_cut_on_paper_alone(tmp_path: Path, browser: Any) -> None:
    body = "<div style='overflow-x:auto'><pre>" + "x" * 900 + "</pre></div>"
    with visited(browser, written(tmp_path, body)) as visit:
        assert visit.too_wide() == []
        visit.printed(tmp_path / "page.pdf")
        assert visit.lost_on_paper(tmp_path / "page.pdf")[0] == f"pre in div: {'x' * 60}"


@pytest.mark.parametrize(("width", "lost"), [(800, []), (6000, ["not on a sheet: last"])], ids=["shrunk", "lost"])
def test_a_text_beside_the_sheet_is_seen(width: int, lost: list[str], tmp_path: Path, browser: Any) -> None:
    cells = f"<td style='min-width:{width}px'>first 中文</td><td>last</td>"
    with visited(browser, written(tmp_path, f"<table><tr>{cells}</tr></table>")) as visit:
        visit.printed(tmp_path / "page.pdf")
        assert visit.lost_on_paper(tmp_path / "page.pdf") == lost


def test_an_empty_sheet_is_seen(tmp_path: Path, browser: Any) -> None:
    body = "<p>first</p><div style='break-before:page;height:90vh'></div><p style='break-before:page'>third</p>"
    with visited(browser, written(tmp_path, body)) as visit:
        assert [bool(text.strip()) for text in visit.printed(tmp_path / "page.pdf")] == [True, False, True]


def test_a_barrier_is_seen(tmp_path: Path, browser: Any) -> None:
    with visited(
        browser, written(tmp_path, "<main><h1>x</h1><p style='color:#ccc'>pale</p><img src=''></main>")
    ) as visit:
        found = " ".join(visit.barriers())
        assert "color-contrast (serious)" in found
        assert "image-alt (critical)" in found
