"""One question over the wire: what is sent, and the answer for every way in which an endpoint can respond or fail."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.wire import RESET, Answer, WireRequest, WireServer, completion, response

from vlm_acceptance.accuracy import item
from vlm_acceptance.accuracy.blank_pictures import BlankPictures, blank
from vlm_acceptance.accuracy.item import PictureFile
from vlm_acceptance.accuracy.plan import COUNT_PARAMS
from vlm_acceptance.accuracy.server_run import QuestionSender
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import NoReply

Wire = Callable[[Answer], WireServer]
PNG, JPEG = b"\x89PNG one", b"\xff\xd8 two" * 1000
STORED = {hashlib.sha256(data).hexdigest(): data for data in (PNG, JPEG)}
FIRST, SECOND = (
    PictureFile(f"pictures/{digest}{end}", digest, 8, 8) for digest, end in zip(STORED, (".png", ".jpg"), strict=True)
)
QUESTION = item.PreparedRequest(
    "validation_Art_1",
    "你是助手",
    "Image-1: <image>\nImage-2: <image>\nWhich?\nA. 甲 \ud800\nB. 乙\n",
    (FIRST, SECOND),
    {"temperature": 0.0, "max_tokens": 1024, "stop_token_ids": [2, 92542]},
)
OK = response(json.dumps(completion("B")).encode())


class Stored:
    def picture_bytes(self, picture: PictureFile) -> bytes:
        return STORED[picture.sha256]


def sender(url: str, deadline_s: float = 20, **fields: Any) -> QuestionSender:
    return QuestionSender(Client(url), "quick-standin", Stored(), deadline_s, pause_s=0.0, **fields)


def answers_with(wire: Wire, *scripts: object, deadline_s: float = 20) -> tuple[item.Answer, WireServer]:
    """Send one question to a server that answers its n-th request with the n-th script, later ones with the last."""
    steps = itertools.chain(scripts, itertools.repeat(scripts[-1]))
    server = wire(lambda request: next(steps))
    return sender(server.url, deadline_s).send(QUESTION), server


def test_body_holds_system_pictures_in_order_and_one_text(wire: Wire) -> None:
    answer, server = answers_with(wire, [OK])
    body = json.loads(server.requests[0].body)
    urls = [
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "data:image/jpeg;base64," + base64.b64encode(JPEG).decode(),
    ]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    assert body == {
        "model": "quick-standin",
        **QUESTION.params,
        "messages": [
            {"role": "system", "content": "你是助手"},
            {"role": "user", "content": [*parts, {"type": "text", "text": QUESTION.text}]},
        ],
    }
    assert server.requests[0].headers["content-type"] == "application/json"
    assert (answer.status, answer.text, answer.finish_reason) == ("answered", "B", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.http_status) == (3, 2, 200)
    assert (answer.prompt_sha256, answer.pictures) == (QUESTION.sha256, (FIRST.sha256, SECOND.sha256))
    assert (answer.attempts, answer.error) == ((), "")


def test_empty_system_message_is_not_sent() -> None:
    bare = item.PreparedRequest("q", "", "text", (), {})
    assert [message["role"] for message in json.loads(sender("http://h").body(bare))["messages"]] == ["user"]


def test_tile_limit_is_sent_only_where_the_protocol_sets_one() -> None:
    limited = item.PreparedRequest("q", "", "text", (FIRST,), {}, max_tiles=6)
    assert json.loads(sender("http://h").body(limited))["mm_processor_kwargs"] == {"max_dynamic_patch": 6}
    assert "mm_processor_kwargs" not in json.loads(sender("http://h").body(QUESTION))


def test_fields_of_a_question_replace_the_defaults() -> None:
    body = json.loads(sender("http://h", defaults={"temperature": 1.0, "top_k": 5}).body(QUESTION))
    assert (body["temperature"], body["top_k"]) == (0.0, 5)


def test_text_is_kept_as_it_came(wire: Wire) -> None:
    answer, _ = answers_with(wire, [response(json.dumps(completion(" B\n\x00\ud800")).encode())])
    assert answer.text == " B\n\x00\ud800"


def test_empty_text_is_an_answer(wire: Wire) -> None:
    answer, _ = answers_with(wire, [response(json.dumps(completion("")).encode())])
    assert (answer.status, answer.text) == ("answered", "")


@pytest.mark.parametrize("end", [[RESET], []], ids=["reset", "closed"])
def test_connection_that_breaks_before_a_response_is_tried_again_and_listed(wire: Wire, end: list[object]) -> None:
    answer, server = answers_with(wire, end, end, [OK])
    assert (answer.status, answer.text, len(server.requests)) == ("answered", "B", 3)
    assert [reason.partition(":")[0] for reason in answer.attempts] == ["reset", "reset"]
    assert len({request.body for request in server.requests}) == 1


def test_connection_that_always_breaks_is_lost_after_three_tries(wire: Wire) -> None:
    answer, server = answers_with(wire, [RESET])
    assert (answer.status, answer.text, answer.http_status, len(server.requests)) == ("lost", None, None, 3)
    assert answer.error.startswith("reset:")
    assert len(answer.attempts) == 2


def test_endpoint_that_does_not_listen_is_lost_after_three_tries() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = sender(f"http://127.0.0.1:{free.getsockname()[1]}").send(QUESTION)
    assert (answer.status, answer.text, len(answer.attempts)) == ("lost", None, 2)
    assert answer.error.startswith("connect:")


@pytest.mark.parametrize(
    ("steps", "status", "kind"),
    [
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", RESET], 200, "reset"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"], 200, ""),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{"], 200, ""),
        ([b"nonsense\r\n\r\n"], None, ""),
        ([5.0], None, "timeout"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 5.0], 200, "timeout"),
    ],
    ids=["reset", "short", "torn chunk", "no http", "silent", "stalled"],
)
def test_response_that_is_not_whole_is_lost_and_never_tried_again(wire: Wire, steps, status, kind) -> None:
    answer, server = answers_with(wire, steps, [OK], deadline_s=0.6 if kind == "timeout" else 20)
    assert (answer.status, answer.text, answer.http_status) == ("lost", None, status)
    assert (answer.attempts, len(server.requests)) == ((), 1)
    assert kind in answer.error


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "422 Unprocessable", "500 Internal Server Error"]
)
def test_error_of_the_engine_is_refused_with_its_text(wire: Wire, status: str) -> None:
    answer, server = answers_with(wire, [response(b'{"error": "B is too long"}' + b"." * 9000, status)])
    assert (answer.status, answer.text, answer.http_status) == ("refused", None, int(status[:3]))
    assert "too long" in answer.error
    assert len(answer.error) < 500
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_error_of_a_gateway_is_lost(wire: Wire, status: int) -> None:
    answer, _ = answers_with(wire, [response(b"busy", f"{status} Busy")])
    assert (answer.status, answer.text, answer.http_status) == ("lost", None, status)


@pytest.mark.parametrize(
    "body",
    [b"", b"B", b"{}", b"[]", b'{"choices": []}', b'{"error": {"message": "B"}}', b'{"choices": [{"message": {}}]}'],
)
def test_200_that_cannot_be_read_is_refused(wire: Wire, body: bytes) -> None:
    answer, _ = answers_with(wire, [response(body)])
    assert (answer.status, answer.text, answer.http_status) == ("refused", None, 200)
    assert answer.error


def test_content_that_is_not_text_is_refused(wire: Wire) -> None:
    answer, _ = answers_with(wire, [response(json.dumps(completion(None)).encode())])  # type: ignore[arg-type]
    assert (answer.status, answer.text) == ("refused", None)


def changed(**changes: Any) -> list[object]:
    """A completion with other values in some fields, or in some fields of its choice."""
    whole = completion("B")
    choice = {name: value for name, value in changes.items() if name in ("index", "finish_reason", "message")}
    whole["choices"] = [{**whole["choices"][0], **choice}]
    return [response(json.dumps({**whole, **{k: v for k, v in changes.items() if k not in choice}}).encode())]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "another"}, "by model 'another', asked was 'quick-standin'"),
        ({"model": None}, "by model None"),
        ({"model": ["quick-standin"]}, "by model ["),
        ({"choices": []}, "0 choices, expected one"),
        ({"choices": completion("B")["choices"] * 2}, "2 choices, expected one"),
        ({"choices": None}, "choices None, expected one"),
        ({"choices": ["B"]}, "no message"),
        ({"message": "B"}, "no message"),
        ({"index": 1}, "index is 1, expected 0"),
        ({"index": None}, "index is None"),
        ({"index": False}, "index is False"),
        ({"index": 0.0}, "index is 0.0"),
        ({"finish_reason": 3}, "finish_reason is 3"),
        ({"finish_reason": ["stop"]}, "finish_reason is ['stop']"),
        ({"message": {"content": ["B"]}}, "message.content is ['B']"),
    ],
)
def test_anything_but_one_choice_of_the_requested_model_is_refused_with_a_reason(wire: Wire, changes, words) -> None:
    answer, server = answers_with(wire, changed(**changes))
    assert (answer.status, answer.text, answer.model, len(server.requests)) == ("refused", None, None, 1)
    assert words in answer.error


def test_a_choice_without_a_finish_reason_is_refused(wire: Wire) -> None:
    whole = completion("B")
    del whole["choices"][0]["finish_reason"]
    answer, _ = answers_with(wire, [response(json.dumps(whole).encode())])
    assert (answer.status, "finish_reason is absent" in answer.error) == ("refused", True)


def test_an_answer_names_the_model_that_the_reply_names(wire: Wire) -> None:
    answer, _ = answers_with(wire, changed(finish_reason=None))
    assert (answer.status, answer.model, answer.finish_reason) == ("answered", "quick-standin", None)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 3}, (3, None)),
        ({"prompt_tokens": 3.0, "completion_tokens": "2"}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2}, (None, 2)),
        ({"prompt_tokens": -3, "completion_tokens": 10**18}, (None, None)),
        ("many", (None, None)),
        (None, (None, None)),
    ],
)
def test_counts_that_are_not_integers_are_ignored(wire: Wire, usage: object, counts: tuple[int | None, ...]) -> None:
    answer, _ = answers_with(wire, changed(usage=usage))
    assert (answer.status, answer.text) == ("answered", "B")
    assert (answer.prompt_tokens, answer.completion_tokens) == counts


@pytest.mark.parametrize("count", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_an_answer_with_a_number_that_is_none_is_refused_with_its_place(wire: Wire, count: object) -> None:
    answer, _ = answers_with(wire, changed(usage={"prompt_tokens": 3, "completion_tokens": count}))
    assert (answer.status, answer.text) == ("refused", None)
    assert "at $.usage.completion_tokens is not a number of JSON" in answer.error


def test_text_beyond_the_limit_is_cut_and_the_answer_says_so(wire: Wire) -> None:
    whole, longer = "x" * 65536, "图" * 65537
    answer, _ = answers_with(wire, [response(json.dumps(completion(whole)).encode())])
    assert (answer.text, answer.error, answer.is_cut) == (whole, "", False)
    answer, _ = answers_with(wire, [response(json.dumps(completion(longer)).encode())])
    assert (answer.text, answer.status, answer.finish_reason) == (longer[:65536], "answered", "stop")
    assert (answer.error, answer.is_cut) == ("text cut at 65536 of 65537 characters", True)


def test_a_very_long_reason_is_cut(wire: Wire) -> None:
    answer, _ = answers_with(wire, changed(finish_reason="x" * 3_000_000))
    assert len(answer.finish_reason or "") < 100
    answer, _ = answers_with(wire, changed(model="x" * 3_000_000))
    assert len(answer.error) < 500


COUNTED = item.PreparedRequest("q", "你", "<image>\nWhich?", (blank(8, 8),), COUNT_PARAMS, max_tiles=6)


def tokenize(request: WireRequest, count: object) -> list[object]:
    return [response(json.dumps({"count": count}).encode())] if request.path == "/tokenize" else [OK]


def test_a_prompt_is_counted_by_the_tokenizer_route_with_its_pictures_and_tile_limit(wire: Wire) -> None:
    server = wire(lambda request: tokenize(request, 41))
    defaults = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 1}
    counting = QuestionSender(Client(server.url), "quick-standin", BlankPictures(), 5, defaults)
    assert counting.tokenized(COUNTED) == 41
    body = json.loads(server.requests[0].body)
    url = body["messages"][1]["content"][0]["image_url"].pop("url")
    assert url.startswith("data:image/png;base64,")
    assert body == {
        "model": "quick-standin",
        "messages": [
            {"role": "system", "content": "你"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "<image>\nWhich?"}],
            },
        ],
        "chat_template_kwargs": {"enable_thinking": False},
        "mm_processor_kwargs": {"max_dynamic_patch": 6},
    }


@pytest.mark.parametrize(
    "missing",
    [
        [response(b"{}", "404 Not Found")],
        [response(b"not JSON")],
        [response(b'{"count": "many"}')],
        [response(b'{"count": true}')],
    ],
)
def test_a_tokenizer_route_without_a_count_gives_none(wire: Wire, missing: list[object]) -> None:
    assert counter(wire(lambda _: missing).url).tokenized(COUNTED) is None


def counter(url: str) -> QuestionSender:
    return QuestionSender(Client(url), "quick-standin", BlankPictures(), 5)


def test_a_prompt_is_counted_by_a_one_token_answer(wire: Wire) -> None:
    server = wire(lambda _: [OK])
    assert counter(server.url).prompt_tokens(COUNTED) == 3
    body = json.loads(server.requests[0].body)
    assert (body["max_tokens"], body["temperature"]) == (1, 0)
    assert body["mm_processor_kwargs"] == {"max_dynamic_patch": 6}


def uncounted(url: str) -> str:
    count = counter(url).prompt_tokens(COUNTED)
    assert isinstance(count, NoReply)
    return count.reason


def test_endpoint_that_counts_nothing_has_no_count(wire: Wire) -> None:
    bare = {**completion("B"), "usage": None}
    server = wire(lambda request: [response(b"{}", "404 Not Found" if "token" in request.path else "500 Oh")])
    assert "500" in uncounted(server.url)
    server = wire(lambda request: [response(json.dumps(bare).encode())])
    assert "has no number of prompt tokens" in uncounted(server.url)
    server = wire(lambda request: [response(json.dumps(completion("B", "another")).encode())])
    assert "by model 'another'" in uncounted(server.url)
