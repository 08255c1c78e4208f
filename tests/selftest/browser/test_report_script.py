"""The script of a run's page: it filters tests, opens what a link names, and offers commands to copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import visited

MakePage = Callable[[str], Path]
ROWS = "table.tests tr[data-find]:not([hidden])"


def names(page: Any) -> list[str]:
    return [text.split("\n")[0] for text in page.locator(f"{ROWS} th").all_inner_texts()]


@pytest.mark.parametrize(
    ("box", "value", "shown"),
    [
        ("#find", "stop STRING", ["test_stop_string_stops"]),
        ("#find", "nothing holds this", []),
        ("#find-outcome", "error", ["test_openai_client_round_trip"]),
        ("#find-area", "latency", ["test_category_is_within_budget[ocr]"]),
    ],
)
def test_a_filter_leaves_the_tests_that_fit(
    box: str, value: str, shown: list[str], page_of: MakePage, browser: Any
) -> None:
    with visited(browser, page_of("rejected")) as visit:
        assert len(names(visit.page)) == 6
        if box == "#find":
            visit.page.fill(box, value)
        else:
            visit.page.select_option(box, value)
        assert names(visit.page) == shown
        assert visit.page.inner_text("#found") == f"{len(shown)} of 6"
        visit.page.reload()
        assert len(names(visit.page)) == 6


def test_a_link_to_a_broken_test_opens_its_card(page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of("rejected")) as visit:
        card = visit.page.locator("details.test.failed")
        assert card.get_attribute("open") is None
        visit.page.locator("table.tests a", has_text="test_stop_string_stops").click()
        visit.page.locator("details.test.failed[open]").wait_for()  # the browser tells the script after the click
        assert card.locator("pre").first.is_visible()


def test_each_command_has_a_button_to_copy_it(page_of: MakePage, browser: Any) -> None:
    with visited(browser, page_of("rejected")) as visit:
        visit.open_all()
        commands = visit.page.locator("pre.copy").count()
        assert commands == visit.page.locator("button.copy").count() > 0


def test_without_the_script_everything_is_there_but_the_filter(page_of: MakePage, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(page_of("rejected").as_uri())
        assert len(page.locator(f"{ROWS} th").all_inner_texts()) == 6
        assert not page.locator(".filter").is_visible()
        page.locator("details.test.failed summary").first.click()
        assert page.locator("details.test.failed pre").first.is_visible()
    finally:
        context.close()
