"""Each fault of the pictures changes what its row promises, observed on both sides of the proxy."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS
from PIL import Image
from standins.fault_proxy import FaultProxy
from standins.oracle_server import OracleServer
from standins.probes import observed, send, text_of
from standins.quick_server import CHAT, MODEL, QuickServer


def url_of(colour: int, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> str:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


A, B, C = url_of(1), url_of(2), url_of(3)
ANSWERS = {("one?", A): "a", ("one?", B): "b", ("one?", C): "c", ("other?", A): "x", ("other?", B): "y"}


@pytest.fixture(scope="module")
def engine() -> Iterator[OracleServer]:
    with OracleServer(ANSWERS, MODEL) as server:
        yield server


def request(text: str, urls: Sequence[str], **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": MODEL, "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}], **more}


def said(url: str, text: str, picture: str, **more: Any) -> str:
    return text_of(observed(send(url, "POST", CHAT, request(text, [picture], **more)))["body"])


def got(engine: QuickServer) -> list[str]:
    """The pictures of the last request that the engine saw."""
    content = engine.seen[-1].json()["messages"][0]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def sent(fault: str, engine: QuickServer, urls: Sequence[str], magnitude: float | None = None) -> list[str]:
    """The pictures that the engine gets for these."""
    with FaultProxy(engine.url, fault, magnitude=magnitude) as proxy:
        send(proxy.url, "POST", CHAT, request("one?", urls))
    return got(engine)


STREAM = {"stream": True}


def test_a_right_oracle_passes_the_proxy_unchanged(engine: OracleServer) -> None:
    with FaultProxy(engine.url) as proxy:
        assert [said(proxy.url, "one?", url) for url in (A, B, C)] == ["a", "b", "c"]
        assert said(proxy.url, "one?", url_of(9)) == "I do not know this picture."


@pytest.mark.parametrize("more", [{}, STREAM])
def test_prefix_by_text_repeats_the_first_picture_of_a_text(engine: OracleServer, more: dict[str, Any]) -> None:
    with FaultProxy(engine.url, "prefix-by-text") as proxy:
        assert [said(proxy.url, "one?", url, **more) for url in (A, B, C)] == ["a", "a", "a"]
        assert said(proxy.url, "other?", B, **more) == "y"


@pytest.mark.parametrize("more", [{}, STREAM])
def test_prompt_forgotten_repeats_the_first_text_of_a_picture(engine: OracleServer, more: dict[str, Any]) -> None:
    with FaultProxy(engine.url, "prompt-forgotten") as proxy:
        assert [said(proxy.url, text, A, **more) for text in ("one?", "other?")] == ["a", "a"]
        assert said(proxy.url, "other?", B, **more) == "y"


def test_picture_of_previous_is_right_only_once(engine: OracleServer) -> None:
    with FaultProxy(engine.url, "picture-of-previous") as proxy:
        assert [said(proxy.url, "one?", url) for url in (A, B, C)] == ["a", "a", "b"]


def test_order_and_number_of_pictures_change_as_promised(engine: OracleServer) -> None:
    assert sent("pictures-reversed", engine, [A, B, C]) == [C, B, A]
    assert sent("pictures-beyond-first-dropped", engine, [A, B, C]) == [A]
    assert sent("limit-ignored", engine, [A, B, C], 2) == [A, B]
    assert sent("limit-ignored", engine, [A, B, C]) == [A, B, C]


def test_uuid_stale_keeps_the_first_picture_of_each_uuid(engine: OracleServer) -> None:
    def with_uuid(url: str, uuid: str) -> str:
        body = request("one?", [url])
        body["messages"][0]["content"][0]["uuid"] = uuid
        send(proxy.url, "POST", CHAT, body)
        return got(engine)[0]

    with FaultProxy(engine.url, "uuid-stale") as proxy:
        assert [with_uuid(A, "u"), with_uuid(B, "u"), with_uuid(C, "v")] == [A, A, C]
        assert send(proxy.url, "GET", "/version", None).json() == {"version": "999.0"}


@pytest.mark.parametrize(("fault", "side"), [("picture-shrunk", 100), ("shrunk-to-one-tile", 112)])
def test_picture_shrunk_touches_large_pictures_only(engine: OracleServer, fault: str, side: int) -> None:
    large, small = url_of(5, size=(3 * side, side)), url_of(5, size=(30, side))
    first, second = sent(fault, engine, [large, small])
    assert Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2]))).size == (side, round(side / 3))
    assert second == small


def test_signs_are_unread_in_their_large_form_only() -> None:
    with QuickServer() as engine, FaultProxy(engine.url, "large-signs-unread") as proxy:
        asked = [request("the sign RIVER", [url_of(1, size=size)]) for size in ((448, 448), (224, 336))]
        small, large = (text_of(send(proxy.url, "POST", CHAT, one).json()) for one in asked)
    assert "RIVER" in small
    assert "RIVER" not in large


@pytest.mark.parametrize(
    ("fault", "hit", "magnitude"),
    [
        ("rgba-refused", url_of(1, "RGBA"), None),
        ("thin-refused", url_of(1, size=(30, 1)), None),
        ("large-refused", url_of(1, size=(200, 100)), 0.01),
    ],
)
def test_a_kind_of_picture_is_a_server_error(
    engine: OracleServer, fault: str, hit: str, magnitude: float | None
) -> None:
    with FaultProxy(engine.url, fault, magnitude=magnitude) as proxy:
        assert send(proxy.url, "POST", CHAT, request("one?", [hit])).status_code == 500
        assert said(proxy.url, "one?", A) == "a"


def test_caches_idle_has_no_hit_and_leaves_the_rest() -> None:
    page = b'vllm:prefix_cache_queries_total{engine="0"} 9.0\nvllm:prefix_cache_hits_total{engine="0"} 7.0\n'
    page += b"vllm:mm_cache_hits 3.0\nvllm:num_requests_running 1.0\n"

    class Counting(QuickServer):
        def metrics_page(self) -> str:
            return page.decode()

    with Counting() as server, FaultProxy(server.url, "caches-idle") as proxy:
        seen = send(proxy.url, "GET", "/metrics", None).content
    assert seen == page.replace(b"7.0", b"0.0").replace(b"3.0", b"0.0")


def test_answers_swapped_rarely_exchanges_a_share_of_concurrent_answers(engine: OracleServer) -> None:
    def once(number: int) -> bool:
        url, right = ((A, "a"), (B, "b"), (C, "c"))[number % 3]
        return said(proxy.url, "one?", url) == right

    with FaultProxy(engine.url, "answers-swapped-rarely", magnitude=0.1) as proxy, ThreadPoolExecutor(4) as threads:
        wrong = list(threads.map(once, range(120))).count(False)
        assert 2 <= wrong <= 40
    with FaultProxy(engine.url, "answers-swapped-rarely", magnitude=1) as proxy:
        assert once(0)  # alone: no other answer to swap with


def test_every_fault_of_the_pictures_is_tested_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [name for name, fault in FAULTS.items() if fault.family == "pictures" and f'"{name}"' not in source] == []
