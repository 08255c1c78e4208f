"""Stored runs for HTML pages, and a parser that refuses malformed HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

RUN = Path(__file__).resolve().parents[1] / "selftest" / "data" / "run"
ERRORED = "tests/acceptance/test_schema.py::test_openai_client_round_trip"
EVIDENCE = "evidence/test_schema.py-test_stop_string_stops/r00022"
SCRIPT = RUN.parents[3] / "src" / "vlm_acceptance" / "report" / "templates" / "report.js"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Parses a page, fails when its tags do not match; `elements` are names and attributes in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append((tuple(self.open), data))

    def text(self, within: str = "body") -> str:
        return " ".join(" ".join(data for tags, data in self.words if within in tags).split())

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag in tags]


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    path = run / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    edit(summary)
    path.write_text(json.dumps(summary), "utf-8")
    return run


def change_rows(run: Path, name: str, edit: Callable[[dict[str, Any]], object]) -> Path:
    rows = [json.loads(line) for line in (run / name).read_text("utf-8").splitlines()]
    for row in rows:
        edit(row)
    (run / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return run


def append(run: Path, name: str, row: Mapping[str, Any]) -> None:
    with (run / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def exchange(test: str, body: str, ident: str = "r00099") -> dict[str, Any]:
    request = {"messages": [{"role": "user", "content": "What is it?"}]}
    return {
        "test": test,
        "id": ident,
        "method": "POST",
        "path": "/v1/chat/completions",
        "request": request,
        "status": 200,
        "elapsed_s": 0.5,
        "body": body,
    }


def answer(text: str) -> str:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


def sound(page: str) -> Reader:
    """Parse a page; it must be well-formed, without control characters and foreign scripts, and load nothing."""
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    read = Reader(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not read.all("iframe", "object", "embed", "link", "base", "form", "foreignobject")
    assert own_script(page)
    assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")]
    idents = [str(attrs["id"]) for _, attrs in read.elements if "id" in attrs]
    assert len(idents) == len(set(idents))
    for link in [str(attrs["href"]) for attrs in read.all("a")]:
        parts = urlsplit(link)
        assert parts.scheme in ("", "http", "https")
        assert parts.scheme or not parts.netloc
        assert not link.startswith("#") or link[1:] in idents
    assert not read.all("img")
    for shown in [str(attrs["href"]) for attrs in read.all("image")]:
        assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", shown)
    for shown in [str(attrs["href"]) for attrs in read.all("use")]:
        assert shown.startswith("#") and shown[1:] in idents
    return read


def own_script(page: str) -> bool:
    """Whether the page holds one script, the suite's own, and a policy that allows this one alone by its hash."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script", page, re.DOTALL | re.IGNORECASE)
    policies = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    if len(policies) != 1 or page.lower().count("<script") != 1 or scripts != [SCRIPT.read_text("utf-8")]:
        return False
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode("ascii")
    allowed = dict(part.strip().partition(" ")[::2] for part in html.unescape(policies[0]).split(";"))
    return allowed.get("default-src") == "'none'" and allowed.get("script-src") == f"'sha256-{digest}'"
