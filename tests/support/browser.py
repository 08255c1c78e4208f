"""Pages in Debian's Chromium: what a person would see of them, measured."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# widths in px; of paper, that of A4 without the margins of Chromium
PHONE, DESK, PAPER = 420, 1200, 718
SCHEMES = ("light", "dark")
# the serious kinds of an accessibility checker's findings
IMPACTS = ("serious", "critical")
INSTALL = "make browser installs it"

# texts that cannot be read: outside of the window, or cut by their own box or one around them
CUT = """(printed) => {
  const seen = [], width = document.documentElement.clientWidth;
  const name = (e) => [e.tagName.toLowerCase(), e.id && '#' + e.id, e.classList[0] && '.' + e.classList[0]].join('');
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflowX);
  const hides = (e) => /hidden|clip/.test(getComputedStyle(e).overflowX);
  for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility({visibilityProperty: true})) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1.5 || box.height < 1.5) continue;
      let cut = '';
      for (let around = parent; around; around = around.parentElement) {
        const edge = around.getBoundingClientRect();
        const beside = box.right > edge.right + 1.5 || box.left < edge.left - 1.5;
        if (edge.width <= 1.5 && edge.height <= 1.5) { cut = ''; break; }
        if (scrolls(around) && !printed) break;
        if ((hides(around) || scrolls(around)) && beside) cut = name(around);
        if (around === document.documentElement && (box.right > width + 1.5 || box.left < -1.5)) cut = 'window';
        if (cut) break;
      }
      if (cut) { seen.push(`${name(parent)} in ${cut}: ${node.data.trim().slice(0, 60)}`); break; }
    }
  }
  return seen;
}"""
WORDS = """() => {
  const seen = [];
  for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
    const parent = walker.currentNode.parentElement, box = parent.getBoundingClientRect();
    if (!parent.checkVisibility({visibilityProperty: true}) || parent.closest('svg, select, title')) continue;
    if (box.width > 1.5 && box.height > 1.5) seen.push(...walker.currentNode.data.split(/\\s+/));
  }
  return seen;
}"""
WIDTHS = "() => [document.documentElement.scrollWidth, window.innerWidth]"
OPEN_ALL = "() => document.querySelectorAll('details').forEach((one) => { one.open = true; })"
LINKS = "() => [...document.querySelectorAll('[href],[src],[action],[data]')].map((one) => one.href || one.src || '')"
AXE = "(kinds) => axe.run(document, {resultTypes: ['violations'], runOnly: kinds})"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium() -> str | None:
    """The program, or None where it is not installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@cache
def axe_source() -> str:
    """The source of axe-core, as its package holds it."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """Chromium under playwright; RuntimeError with the remedy where one of them is not installed."""
    program = chromium()
    if program is None:
        raise RuntimeError(f"no Chromium: {INSTALL}")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as absent:
        raise RuntimeError(f"{absent.name} is not installed: make venv installs it") from None
    with sync_playwright() as driver:
        quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = driver.chromium.launch(executable_path=program, args=quiet)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page, and what happened while it was open. Nothing leaves this machine, whatever the page asks for."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def open_all(self) -> None:
        """Unfold everything that is folded."""
        self.page.evaluate(OPEN_ALL)

    def left(self) -> list[str]:
        """Requests that would have left this machine; also those that the page's policy stopped."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]

    def too_wide(self) -> list[str]:
        """Why the page must be scrolled sideways or is not readable to the end."""
        scroll, inner = self.page.evaluate(WIDTHS)
        wide = [f"the page is {scroll} px wide in a window of {inner} px"] if scroll > inner else []
        return [*wide, *self.page.evaluate(CUT, False)]

    def lost_on_paper(self, path: Path) -> list[str]:
        """Texts that the sheets of the printed page do not show: beside the sheet, or cut by a box around them."""
        self.page.emulate_media(media="print")
        self.page.set_viewport_size({"width": PAPER, "height": 900})
        cut = [text for text in self.page.evaluate(CUT, True) if " in window: " not in text]
        # Chromium makes a page that is too wide smaller, up to a limit; pdftotext leaves out what is beside the sheet
        printed = _squeezed("".join(sheets(path, "-raw")))
        words = dict.fromkeys(filter(None, map(_squeezed, self.page.evaluate(WORDS))))
        return cut + [f"not on a sheet: {word[:60]}" for word in words if word not in printed]

    def barriers(self) -> list[str]:
        """Serious findings of the accessibility checker."""
        self.page.evaluate(axe_source())
        found = self.page.evaluate(AXE, AXE_TAGS)["violations"]
        return [
            f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['target']} {node['html'][:160]}"
            for rule in found
            if rule["impact"] in IMPACTS
            for node in rule["nodes"][:3]
        ]

    def scripts_in_links(self) -> list[str]:
        """Links and sources that would run a script or leave for another protocol."""
        allowed = ("file:", "http:", "https:", "data:image/")
        return [link for link in self.page.evaluate(LINKS) if link and not link.startswith(allowed)]

    def brightness(self) -> float:
        """Of the page's upper left corner, where its background is: 0 black, 255 white."""
        corner = self.page.screenshot(clip={"x": 0, "y": 0, "width": 2, "height": 2})
        with Image.open(io.BytesIO(corner)) as picture:
            return float(picture.convert("L").getpixel((0, 0)))  # type: ignore[arg-type]

    def printed(self, path: Path) -> list[str]:
        """Print the page on A4 to a PDF file; the text of each sheet."""
        self.page.pdf(path=str(path), format="A4", print_background=True)
        return sheets(path)


@contextlib.contextmanager
def visited(browser: Any, page: Path, width: int = DESK, scheme: str = "light") -> Iterator[Visit]:
    """The page of a file, open in a window of this width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", offline=True
    )
    try:
        opened = context.new_page()
        visit = Visit(opened)
        opened.on("request", lambda request: visit.requests.append(request.url))
        opened.on("console", lambda message: visit.console.append(f"{message.type}: {message.text}"))
        opened.on("pageerror", lambda error: visit.console.append(f"error: {error}"))
        opened.on("popup", lambda popup: visit.requests.append(popup.url))
        opened.on("dialog", lambda dialog: (visit.dialogs.append(dialog.message), dialog.dismiss()))
        opened.goto(page.resolve().as_uri(), wait_until="load")
        yield visit
    finally:
        context.close()


def _squeezed(text: str) -> str:
    """The text without what a line break or a ligature changes."""
    return re.sub(r"[\s\u00ad\u200b]+", "", unicodedata.normalize("NFKC", text))


def sheets(pdf: Path, order: str = "-layout") -> list[str]:
    """The text of each page of a PDF file, by pdftotext of poppler-utils."""
    if shutil.which("pdftotext") is None:
        raise RuntimeError(f"no pdftotext: {INSTALL}")
    done = subprocess.run(["pdftotext", order, str(pdf), "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")[:-1]


@contextlib.contextmanager
def required_or_skipped() -> Iterator[Any]:
    """Chromium; where it cannot be started the tests are skipped with the reason, in CI an error."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(launched())
        except RuntimeError as absent:
            if os.environ.get("CI", "").lower() in ("true", "1", "yes"):
                raise
            pytest.skip(str(absent))
        yield running
