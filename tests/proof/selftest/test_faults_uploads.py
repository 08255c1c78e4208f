"""Each fault of uploads changes what its row promises, and no other picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from faults import FAULTS
from PIL import Image
from standins.fault_proxy import FaultProxy
from standins.probes import send
from standins.quick_server import CHAT, MODEL, QuickServer

from vlm_acceptance.cases.challenge_pictures import coloured_numbers
from vlm_acceptance.cases.picture_kinds import KINDS

NUMBERS = [one.image for one in coloured_numbers("selftest", 2, 112)]
PNG = next(kind for kind in KINDS if kind.name == "png-interlaced")
# fault -> kinds of files that it breaks
BROKEN = {
    "cmyk-500": {"jpeg-cmyk", "tiff-cmyk"},
    "gif-500": {"gif", "gif-cut-out", "gif-animated"},
    "bmp-500": {"bmp"},
    "tiff-500": {"tiff", "tiff-cmyk"},
    "webp-500": {"webp", "webp-lossless", "webp-cut-out-black", "webp-animated"},
    "one-bit-500": {"png-1-bit"},
    "grey-alpha-500": {"png-grey-alpha", "png-grey-alpha-black"},
}
CHANGED = {
    # two have an alpha channel that hides nothing
    "transparent-on-black": {kind.name for kind in KINDS if "cut-out" in kind.name or "alpha" in kind.name}
    | {"png-opaque", "png-colour-key", "webp-animated"},
    "turn-ignored": {kind.name for kind in KINDS if kind.group == "turned"},
    "last-frame": {kind.name for kind in KINDS if kind.group == "animated"},
    "palette-swapped": {"png-palette", "png-palette-4", "png-palette-cut-out", "png-palette-cut-out-black"},
    "cmyk-inverted": {"jpeg-cmyk", "tiff-cmyk"},
    "gif-of-previous": {"gif", "gif-cut-out", "gif-animated"},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def body(*urls: str, texts: bool = False) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for url in urls:
        content += [{"type": "text", "text": "A picture:"}] if texts else []
        content.append({"type": "image_url", "image_url": {"url": url}})
    return {"model": MODEL, "messages": [{"role": "user", "content": [*content, {"type": "text", "text": "What?"}]}]}


def got(engine: QuickServer) -> list[str]:
    content = engine.seen[-1].json()["messages"][0]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.mark.parametrize("fault", BROKEN)
def test_a_kind_is_answered_with_500_and_no_other(engine: QuickServer, fault: str) -> None:
    with FaultProxy(engine.url, fault) as proxy:
        for stream in (False, True):
            bodies = {kind.name: {**body(kind.url(NUMBERS)), "stream": stream} for kind in KINDS}
            statuses = {name: send(proxy.url, "POST", CHAT, one).status_code for name, one in bodies.items()}
            assert {name for name, status in statuses.items() if status == 500} == BROKEN[fault]
            assert set(statuses.values()) == {200, 500}


@pytest.mark.parametrize("fault", CHANGED)
def test_a_kind_arrives_changed_and_no_other(engine: QuickServer, fault: str) -> None:
    changed = set()
    with FaultProxy(engine.url, fault) as proxy:
        for kind in KINDS:
            send(proxy.url, "POST", CHAT, body(PNG.url(NUMBERS[::-1])))
            send(proxy.url, "POST", CHAT, body(kind.url(NUMBERS)))
            changed |= {kind.name} if got(engine) != [kind.url(NUMBERS)] else set()
    assert changed == CHANGED[fault]


def test_transparent_paper_becomes_black(engine: QuickServer) -> None:
    kind = next(kind for kind in KINDS if kind.name == "png-cut-out")
    with FaultProxy(engine.url, "transparent-on-black") as proxy:
        send(proxy.url, "POST", CHAT, body(kind.url(NUMBERS)))
    assert opened(got(engine)[0]).getpixel((0, 0)) == (0, 0, 0)


def test_a_gif_arrives_as_the_picture_before(engine: QuickServer) -> None:
    gif, png = (next(kind for kind in KINDS if kind.name == name) for name in ("gif", "png-grey"))
    with FaultProxy(engine.url, "gif-of-previous") as proxy:
        send(proxy.url, "POST", CHAT, body(png.url(NUMBERS)))
        send(proxy.url, "POST", CHAT, body(gif.url(NUMBERS[::-1])))
    assert got(engine) == [png.url(NUMBERS)]


@pytest.mark.parametrize("fault", ["body-limited-1-mb", "body-limited-4-mb"])
def test_a_body_over_the_limit_is_too_large(engine: QuickServer, fault: str) -> None:
    limit = int(FAULTS[fault].magnitude * 1_000_000)
    with FaultProxy(engine.url, fault) as proxy:
        for size, status in ((limit - 1000, 200), (limit + 1000, 413)):
            assert send(proxy.url, "POST", CHAT, {**body(), "user": "x" * size}).status_code == status


def test_a_large_upload_is_shrunk(engine: QuickServer) -> None:
    # bytes that cannot be compressed are not needed: the fault goes by the length of the URL
    small, large = PNG.url(NUMBERS), "data:image/bmp;base64,"
    file = io.BytesIO()
    Image.new("RGB", (700, 700)).save(file, "BMP")
    large += base64.b64encode(file.getvalue()).decode()
    with FaultProxy(engine.url, "large-upload-shrunk") as proxy:
        send(proxy.url, "POST", CHAT, body(small, large))
    assert got(engine)[0] == small
    assert opened(got(engine)[1]).size == (64, 64)


def test_pictures_after_a_text_are_lost_but_the_first(engine: QuickServer) -> None:
    urls = [PNG.url(NUMBERS), PNG.url(NUMBERS[::-1])]
    with FaultProxy(engine.url, "later-pictures-lost") as proxy:
        send(proxy.url, "POST", CHAT, body(*urls))
        assert got(engine) == urls
        send(proxy.url, "POST", CHAT, body(*urls, texts=True))
        assert got(engine) == urls[:1]
