"""Finds English sentences in texts that are shown in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

# answers and commands are quoted; ids, paths, options, versions and figures hold a sign that a sentence has not
NO_PROSE = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\S*[_/=:.{\[\d-]\S*")
ENGLISH = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,}){2,}")
# names of programs, and what pytest says itself
NAMES = ("vllm bench serve",)
# what a page shows as it is: commands, answers, code
CODE_TAGS = frozenset({"code", "pre", "script", "style", "q", "samp", "kbd", "blockquote"})
VOID_TAGS = frozenset({"meta", "img", "br", "hr", "link", "input"})
SHOWN_ATTRIBUTES = frozenset({"title", "alt", "placeholder", "aria-label"})


def english(text: str) -> list[str]:
    """Runs of three or more English words in a text, but for names, ids and quoted answers."""
    for name in NAMES:
        text = text.replace(name, "|")
    return [found[0] for line in text.splitlines() for found in ENGLISH.finditer(NO_PROSE.sub(" | ", line))]


class Prose(HTMLParser):
    """The texts of a page outside of code, with their tags."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [(f"{tag} {name}", value or "") for name, value in attrs if name in SHOWN_ATTRIBUTES]
        if tag not in VOID_TAGS:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not CODE_TAGS & set(self._open):
            self.texts.append((".".join(self._open[-3:]), data))


def english_in_page(page: str) -> Iterator[tuple[str, str]]:
    """(tags, words) of every run of English words outside of code."""
    for tags, text in Prose(page).texts:
        for words in english(text):
            yield tags, words
