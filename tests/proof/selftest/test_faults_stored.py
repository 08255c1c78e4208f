"""Deployments that answer from a store: what they repeat, and what they let pass, observed on both sides."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fault_stages import CHAT, Call, Response
from faults import FAULTS
from faults_stored import Asked, Store, by_content, lookup_table, picture_of
from PIL import Image
from standins.fault_proxy import FaultProxy
from standins.probes import observed, send, text_of
from standins.quick_server import MODEL, QuickServer

from vlm_acceptance.cases.pictures import fresh_png_url
from vlm_acceptance.client.chat import plain_url
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.chance import Chance

SIGN = ROOT / "fixtures" / "images" / "ocr" / "sign-1.png"
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def url_of(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def body(text: str, *urls: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"model": MODEL, "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}], **more}


def asked(url: str, text: str, *urls: str, **more: Any) -> dict[str, Any]:
    return observed(send(url, "POST", CHAT, body(text, *urls, **more)))


def call(value: dict[str, Any], path: str = CHAT) -> Call:
    return Call(0, "POST", path, {}, json.dumps(value).encode())


@pytest.mark.parametrize("more", [{}, STREAM], ids=["plain", "streamed"])
def test_cached_by_body_repeats_the_answer_to_an_equal_body_with_another_id(
    engine: QuickServer, more: dict[str, Any]
) -> None:
    with FaultProxy(engine.url, "cached-by-body") as proxy:
        first, again = (send(proxy.url, "POST", CHAT, body("one two", **more)) for _ in range(2))
        assert engine.chats == 1
        other = text_of(asked(proxy.url, "three", **more)["body"])
    assert (engine.chats, other) == (2, "three")
    assert text_of(observed(first)["body"]) == text_of(observed(again)["body"]) == "one two"
    assert first.content != again.content
    assert first.headers["content-type"] == again.headers["content-type"]


def test_cached_by_text_repeats_the_answer_about_any_picture(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "cached-by-text") as proxy:
        for colour in ("red", "blue", "green"):
            assert text_of(asked(proxy.url, "one two", url_of(colour))["body"]) == "one two"
        assert engine.chats == 1
        asked(proxy.url, "one two")
        asked(proxy.url, "one two", url_of("red"), url_of("red"))
        asked(proxy.url, "one two", url_of("red"), max_tokens=1)
        assert engine.chats == 4


def test_nearest_answer_is_that_of_a_similar_text(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "nearest-answer") as proxy:
        texts = ("tell a story about a fox", "tell a story about an ox", "what is this?")
        colours = ("red", "blue", "green")
        answers = [asked(proxy.url, text, url_of(colour)) for text, colour in zip(texts, colours, strict=True)]
    said = [text_of(answer["body"]) for answer in answers]
    assert said == [texts[0], texts[0], texts[2]]
    assert engine.chats == 2


def test_refusals_are_not_kept(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "cached-by-body") as proxy:
        wrong = {**body("one"), "model": "nobody"}
        assert [send(proxy.url, "POST", CHAT, wrong).status_code for _ in range(2)] == [404, 404]
    assert engine.chats == 2


def test_a_picture_is_known_by_its_pixels_but_for_nearly_white_corners() -> None:
    chance = Chance(1)
    one, two = fresh_png_url(SIGN, chance), fresh_png_url(SIGN, chance)
    assert one != two
    assert picture_of(one) == picture_of(two)
    assert picture_of(url_of("red")) != picture_of(url_of("blue"))
    assert picture_of("http://h/p.png") == "http://h/p.png"


def test_what_a_run_draws_anew_is_no_part_of_a_request() -> None:
    assert by_content(call(body("x", cache_salt="1"))) == by_content(call(body("x", cache_salt="2")))
    assert by_content(call(body("x"))) != by_content(call(body("y")))
    assert by_content(call(body("x"))) != by_content(call(body("x"), "/tokenize"))


def test_a_table_sees_the_pictures_that_it_knows_and_no_others(engine: QuickServer) -> None:
    fresh = fresh_png_url(SIGN, Chance(1))
    with FaultProxy(engine.url, stages=lookup_table([SIGN])) as proxy:
        asked(proxy.url, "what?", fresh, url_of("red"), "http://h/p.png")
    content = engine.seen[-1].json()["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert urls == [fresh, plain_url(8, 8), "http://h/p.png"]


def test_a_recorded_run_is_replayed_without_the_engine(engine: QuickServer) -> None:
    store, chance = Store(by_content), Chance(1)
    with FaultProxy(engine.url, stages=store.recording()) as proxy:
        for text in ("one", "two", "two"):
            asked(proxy.url, text, fresh_png_url(SIGN, chance))
        streamed = asked(proxy.url, "three", **STREAM)
        send(proxy.url, "GET", "/health", None)
    assert len(store) == 5
    engine.chats = 0
    with FaultProxy(engine.url, stages=store.replaying()) as proxy:
        assert text_of(asked(proxy.url, "two", fresh_png_url(SIGN, chance))["body"]) == "two"
        assert send(proxy.url, "GET", "/health", None).status_code == 200
        assert text_of(asked(proxy.url, "three", **STREAM)["body"]) == text_of(streamed["body"])
        assert store.unknown == 0
        # the same text about another picture, then the same number of pictures
        assert text_of(asked(proxy.url, "two", url_of("red"))["body"]) == "two"
        assert text_of(asked(proxy.url, "never asked", url_of("red"))["body"]) == "one"
        assert text_of(asked(proxy.url, "never asked", **STREAM)["body"]) == "three"
        assert store.unknown == 3
        assert send(proxy.url, "GET", "/nowhere", None).status_code == 404
    assert engine.chats == 0


def test_the_answers_to_one_request_come_in_their_order_and_the_last_one_stays() -> None:
    store = Store(by_content)
    for number in range(2):
        store.keep(call(body("x")), Response(200, {}, b'{"id":"a","choices":[%d]}' % number))
    given = [store.next(call(body("x"))) for _ in range(3)]
    assert [json.loads(one.body)["choices"] for one in given if one is not None] == [[0], [1], [1]]
    assert len({one.body[:60] for one in given if one is not None}) == 3
    assert store.next(call(body("y"))) is None
    store.rewind()
    again = store.next(call(body("x")))
    assert again is not None
    assert json.loads(again.body)["choices"] == [0]


def test_texts_and_pictures_of_a_request_are_counted() -> None:
    seen = Asked.of(call(body("what?", url_of("red"), url_of("red"), stream=True)))
    assert seen == Asked(CHAT, True, "what?", 2)


def test_every_fault_of_a_store_is_tested_here() -> None:
    assert {fault.name for fault in FAULTS.values() if fault.family == "stored"} == {
        "cached-by-body",
        "cached-by-text",
        "nearest-answer",
    }
