"""Pages without any script: well-formed, from one file, with nothing of a run in their structure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tests.support.pages import Reader

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
INVISIBLE = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def still(page: str) -> Reader:
    """Parse a page; it must be well-formed, without control characters and scripts, and load nothing."""
    page.encode("utf-8")
    assert not re.search(INVISIBLE, page)
    assert page.startswith("<!DOCTYPE html>")
    read = Reader(page)
    active = ("script", "iframe", "object", "embed", "link", "base", "form", "foreignobject", "use", "image")
    assert not read.all(*active)
    assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")]
    assert [attrs["content"] for attrs in read.all("meta") if "http-equiv" in attrs] == [POLICY]
    idents = [str(attrs["id"]) for _, attrs in read.elements if "id" in attrs]
    assert len(idents) == len(set(idents))
    for link in [str(attrs["href"]) for attrs in read.all("a")]:
        assert not urlsplit(link).scheme and not urlsplit(link).netloc
        assert not link.startswith("#") or link[1:] in idents
    for source in [str(attrs["src"]) for attrs in read.all("img")]:
        assert re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*", source)
    assert all(attrs.get("alt") for attrs in read.all("img"))
    assert all(attrs.get("scope") for attrs in read.all("th"))
    return read
