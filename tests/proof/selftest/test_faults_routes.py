"""Faults of routes beside chat, each seen to act; and legal streams, which our own client reads as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_stages import DONE, Call, Dose, Response, Stages, frame_of, object_of
from faults import FAULTS
from faults_routes import CHAT, COMPLETIONS, DETOKENIZE, LEGAL, PIECE, RESPONSES, ROWS, TOKENIZE, card
from standins.fault_proxy import FaultProxy
from standins.probes import STREAM, chat
from standins.quick_server import MODEL, QuickServer
from tests.support.route_bodies import COMPLETION, RESPONSE, completion_stream, response_stream

from vlm_acceptance.client.chat import chat as chat_request
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import Exchange, Request

REFUSED = {"error": {"message": "no", "type": "BadRequestError", "code": 400}}


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


def stages(name: str) -> Stages:
    return FAULTS[name].apply(Dose(FAULTS[name].magnitude))


def call(route: str, body: Any = None, number: int = 0) -> Call:
    return Call(number, "POST", route, {}, json.dumps(body or {}).encode())


def answered(name: str, route: str, body: Any, asked: Any = None, status: int = 200) -> Any:
    """What a client gets in place of this body."""
    response = stages(name).response(call(route, asked), Response(status, {}, json.dumps(body).encode()))
    return json.loads(response.body) if response.status == status else response.status


def events_of(exchange: Exchange) -> list[bytes]:
    name = "event: {}\n" if exchange.request.path == RESPONSES else ""
    return [f"{name.format(frame.event)}data: {frame.data}\n\n".encode() for frame in exchange.frames]


def streamed(name: str, exchange: Exchange) -> list[bytes]:
    return list(stages(name).frames(call(exchange.request.path), iter(events_of(exchange))))


@pytest.mark.parametrize(
    ("name", "route", "status"),
    [
        ("completions-missing", COMPLETIONS, 404),
        ("completions-error", COMPLETIONS, 500),
        ("responses-missing", RESPONSES, 404),
        ("responses-error", RESPONSES, 500),
        ("tokenize-missing", TOKENIZE, 404),
        ("detokenize-missing", DETOKENIZE, 404),
    ],
)
def test_one_route_is_answered_wrongly(name: str, route: str, status: int) -> None:
    made = stages(name)
    answer = made.instead(call(route))
    assert answer is not None
    assert answer.status == status
    assert [
        made.instead(call(other)) for other in (CHAT, COMPLETIONS, RESPONSES, TOKENIZE, DETOKENIZE) if other != route
    ] == [None] * 4


@pytest.mark.parametrize(
    ("name", "route", "key"),
    [
        ("completions-limit", COMPLETIONS, "max_tokens"),
        ("completions-stop", COMPLETIONS, "stop"),
        ("completions-echo", COMPLETIONS, "echo"),
        ("completions-n", COMPLETIONS, "n"),
        ("completions-logprobs", COMPLETIONS, "logprobs"),
        ("responses-limit", RESPONSES, "max_output_tokens"),
    ],
)
def test_one_parameter_of_one_route_is_lost(name: str, route: str, key: str) -> None:
    made, body = stages(name), {"model": "m", key: 2, "other": 1}
    assert made.request(call(route, body)).json() == {"model": "m", "other": 1}
    assert made.request(call(CHAT, body)).json() == body


def test_the_first_token_of_a_prompt_is_lost() -> None:
    made = stages("completions-tokens-lost")
    assert made.request(call(COMPLETIONS, {"prompt": [1, 2, 3]})).json() == {"prompt": [2, 3]}
    assert made.request(call(COMPLETIONS, {"prompt": "abc"})).json() == {"prompt": "abc"}


def event_of(frame: bytes) -> dict[str, Any] | None:
    return object_of(frame.removeprefix(b"data:"))


def test_a_text_is_another_one_streamed_or_not() -> None:
    changed = answered("completions-other-text", COMPLETIONS, COMPLETION)
    assert changed["choices"][0]["text"] == "iT IS 4."
    first = event_of(streamed("completions-other-text", completion_stream("It ", "is 4."))[0])
    assert first is not None
    assert first["choices"][0]["text"] == "iT "
    changed = answered("responses-other-text", RESPONSES, RESPONSE)
    assert changed["output"][0]["content"][0]["text"] == "iT IS 4."
    whole = b"".join(streamed("responses-other-text", response_stream("It ", "is 4."))).decode()
    assert '"delta":"iT "' in whole
    assert '"text":"iT IS 4."' in whole
    assert f"event: {PIECE}\ndata: " in whole


def test_a_piece_of_a_stream_is_lost() -> None:
    chunks = map(event_of, streamed("completions-piece-lost", completion_stream("a", "b", "c")))
    texts = [chunk["choices"][0]["text"] for chunk in chunks if chunk and chunk["choices"]]
    assert texts == ["a", "", "c"]
    whole = b"".join(streamed("responses-piece-lost", response_stream("a", "b", "c"))).decode()
    assert [f'"delta":"{piece}"' in whole for piece in ("a", "b", "c")] == [True, False, True]
    assert '"text":"abc"' in whole


def test_the_end_of_a_stream_is_missing() -> None:
    assert streamed("completions-done-missing", completion_stream("a")) == events_of(completion_stream("a"))[:-1]
    made = stages("completions-done-missing")
    assert list(made.frames(call(CHAT), iter([DONE]))) == [DONE]


def test_a_cut_response_says_that_it_is_complete() -> None:
    cut = {**RESPONSE, "status": "incomplete"}
    assert answered("responses-complete", RESPONSES, cut)["status"] == "completed"


def test_pictures_of_a_response_are_lost() -> None:
    made, text = stages("responses-picture-lost"), {"type": "input_text", "text": "a"}
    body = {"input": [{"role": "user", "content": [{"type": "input_image"}, text]}]}
    assert made.request(call(RESPONSES, body)).json() == {"input": [{"role": "user", "content": [text]}]}
    assert made.request(call(RESPONSES, {"input": "a"})).json() == {"input": "a"}


def test_tokens_are_others_or_too_few() -> None:
    text, conversation = {"prompt": "a"}, {"messages": [{"role": "user", "content": "a"}]}
    body = {"count": 2, "tokens": [7, 8]}
    assert answered("tokenize-other-ids", TOKENIZE, body, text) == {"count": 2, "tokens": [8, 9]}
    assert answered("tokenize-other-ids", TOKENIZE, body, conversation) == body
    assert answered("tokenize-miscounts", TOKENIZE, body, conversation) == {"count": 1, "tokens": [8]}
    assert answered("tokenize-miscounts", TOKENIZE, body, text) == body
    with_picture = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    assert answered("tokenize-miscounts", TOKENIZE, body, with_picture) == body


def test_a_character_is_lost() -> None:
    assert answered("detokenize-character-lost", DETOKENIZE, {"prompt": "na\u00efve \u4e2d."}) == {
        "prompt": "na\u00efve ."
    }


def test_a_wrong_request_is_accepted_or_an_error() -> None:
    for route in (COMPLETIONS, RESPONSES, DETOKENIZE):
        assert answered("routes-accept-wrong", route, REFUSED, status=400) == 200
        assert answered("routes-wrong-is-error", route, REFUSED, status=404) == 500
        assert answered("routes-accept-wrong", route, {"a": 1}) == {"a": 1}
    assert answered("routes-accept-wrong", CHAT, REFUSED, status=400) == REFUSED


def read_stream(url: str) -> str:
    reply = Client(url).send(chat_request({**chat("na\u00efve \u4e2d\u6587"), **STREAM}, 60)).reply
    return getattr(reply, "text", f"no answer: {reply}")


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_stream_is_read_as_it_is(engine: QuickServer, name: str) -> None:
    plain = read_stream(engine.url)
    with FaultProxy(engine.url, stages=LEGAL[name]) as proxy:
        assert read_stream(proxy.url) == plain != ""


@pytest.mark.parametrize(("name", "route"), [("chat-ids-in-stream", CHAT), ("completions-ids-in-stream", COMPLETIONS)])
def test_ids_are_added_to_the_streams_of_one_route(name: str, route: str) -> None:
    made, frame = stages(name), frame_of({"choices": []})
    assert list(made.frames(call(route), iter([frame]))) == [b"id: 0\n" + frame, b": ping\n\n"]
    assert list(made.frames(call(RESPONSES), iter([frame]))) == [frame]


def test_a_card_names_a_model(engine: QuickServer) -> None:
    with FaultProxy(engine.url, stages=card("other")) as proxy:
        assert Client(proxy.url).send(Request("GET", f"/v1/models/{MODEL}")).json()["id"] == "other"
        assert Client(proxy.url).send(Request("GET", "/v1/models")).json()["data"][0]["id"] == MODEL


def test_every_fault_of_this_family_is_seen_here() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [row[0] for row in ROWS if f'"{row[0]}"' not in source] == []
