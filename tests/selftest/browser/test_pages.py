"""Every page in a real browser: no error, no request, nothing cut, no empty sheet, readable for everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import PHONE, SCHEMES, visited
from tests.support.browser_pages import MARK, PAGES

MakePage = Callable[[str], Path]
every_page = pytest.mark.parametrize("name", PAGES)


@every_page
def test_a_page_opens_without_an_error_and_sends_nothing(name: str, page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of(name)) as visit:
        visit.open_all()
        visit.page.wait_for_timeout(50)  # for what a script or an animation does later
        assert visit.console == []
        assert visit.left() == []
        assert visit.dialogs == []
        assert len(visit.requests) >= 1, "the page itself is a request"


@every_page
def test_nothing_of_a_page_is_cut_on_a_phone(name: str, page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of(name), PHONE) as visit:
        assert visit.too_wide() == []
        visit.open_all()
        assert visit.too_wide() == []


@every_page
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_has_no_serious_barrier(name: str, scheme: str, page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of(name), scheme=scheme) as visit:
        visit.open_all()
        assert visit.barriers() == []
        assert visit.brightness() < 80 if scheme == "dark" else visit.brightness() > 200


@every_page
def test_a_printed_page_has_no_empty_sheet_and_loses_nothing(
    name: str, page_of: MakePage, browser: Any, tmp_path: Path
) -> None:
    with visited(browser, page_of(name)) as visit:
        sheets = visit.printed(tmp_path / "page.pdf")
        assert len(sheets) >= 1
        assert [number for number, text in enumerate(sheets, start=1) if not text.strip()] == []
        assert visit.lost_on_paper(tmp_path / "page.pdf") == []


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("hostile")])
def test_nothing_of_an_answer_runs(name: str, page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of(name)) as visit:
        visit.open_all()
        visit.page.mouse.move(200, 200)
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate(f"() => window.{MARK}") is None
        assert visit.scripts_in_links() == []
        assert visit.page.evaluate("() => document.querySelectorAll('iframe, object, embed, base').length") == 0
        assert visit.page.url.startswith("file:")
