"""Faults of clients' requests: a route beside chat is broken, or a stream has what some clients cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fault_stages import (
    CHAT,
    DONE,
    Call,
    Dose,
    Frames,
    Response,
    Stages,
    dumped,
    edits_body,
    error_response,
    frame_of,
    json_response,
    object_of,
)

COMPLETIONS, RESPONSES = "/v1/completions", "/v1/responses"
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
PIECE = "response.output_text.delta"


def _answers(route: str, response: Response) -> Stages:
    return Stages(instead=lambda call: response if call.route == route else None)


def _not_found(route: str) -> Stages:
    return _answers(route, json_response(404, {"detail": "Not Found"}))


def _broken(route: str) -> Stages:
    return _answers(route, error_response(500, "EngineCore encountered an issue."))


def _edits_request(route: str, edit: Callable[[dict[str, Any]], None]) -> Stages:
    def request(call: Call) -> Call:
        body = call.json() if call.route == route else None
        if body is None:
            return call
        edit(body)
        return call.with_json(body)

    return Stages(request=request)


def _ignores(route: str, key: str) -> Stages:
    return _edits_request(route, lambda body: body.pop(key, None))


def _edits_events(route: str, edit: Callable[[list[dict[str, Any]]], None]) -> Stages:
    """Change in place the events of a streamed answer of a route, all at once; they keep their names."""

    def frames(call: Call, frames: Frames) -> Frames:
        if call.route != route:
            yield from frames
            return
        whole = list(frames)
        bodies = [object_of(frame.partition(b"data:")[2]) for frame in whole]
        edit([body for body in bodies if body is not None])
        for frame, body in zip(whole, bodies, strict=True):
            name = frame.partition(b"data:")[0]
            yield frame if body is None else name + frame_of(body)

    return Stages(frames=frames)


def _both(plain: Stages, streamed: Stages) -> Stages:
    return Stages(response=plain.response, frames=streamed.frames)


def completions_template_lost(dose: Dose) -> Stages:
    """The first token of the prompt is lost, as when a template is applied wrongly."""

    def edit(body: dict[str, Any]) -> None:
        if isinstance(body.get("prompt"), list):
            body["prompt"] = body["prompt"][int(dose.magnitude) :]

    return _edits_request(COMPLETIONS, edit)


def completions_other_text(dose: Dose) -> Stages:
    def first(bodies: list[dict[str, Any]]) -> None:
        choice = next((one["choices"][0] for one in bodies if one.get("choices") and one["choices"][0]["text"]), None)
        if choice is not None:
            choice["text"] = choice["text"].swapcase()

    return _both(edits_body(COMPLETIONS, lambda body: first([body])), _edits_events(COMPLETIONS, first))


def completions_piece_lost(dose: Dose) -> Stages:
    def edit(bodies: list[dict[str, Any]]) -> None:
        texts = [one["choices"][0] for one in bodies if one.get("choices") and one["choices"][0]["text"]]
        for choice in texts[1:2]:
            choice["text"] = ""

    return _edits_events(COMPLETIONS, edit)


def completions_done_missing(dose: Dose) -> Stages:
    def frames(call: Call, frames: Frames) -> Frames:
        return (frame for frame in frames if call.route != COMPLETIONS or frame != DONE)

    return Stages(frames=frames)


def responses_other_text(dose: Dose) -> Stages:
    def swap(body: dict[str, Any]) -> None:
        for item in body.get("output") or []:
            for part in item.get("content") or []:
                part["text"] = part["text"].swapcase()

    def events(bodies: list[dict[str, Any]]) -> None:
        for body in bodies:
            swap(body.get("response") or {})
            if body.get("type") == PIECE:
                body["delta"] = body["delta"].swapcase()

    return _both(edits_body(RESPONSES, swap), _edits_events(RESPONSES, events))


def responses_piece_lost(dose: Dose) -> Stages:
    def edit(bodies: list[dict[str, Any]]) -> None:
        for body in [one for one in bodies if one.get("type") == PIECE][1:2]:
            body["delta"] = ""

    return _edits_events(RESPONSES, edit)


def responses_complete(dose: Dose) -> Stages:
    """A response that was cut says that it is complete."""

    def edit(body: dict[str, Any]) -> None:
        body["status"] = "completed"

    def events(bodies: list[dict[str, Any]]) -> None:
        edit(bodies[-1]["response"])

    return _both(edits_body(RESPONSES, edit), _edits_events(RESPONSES, events))


def responses_picture_lost(dose: Dose) -> Stages:
    """The pictures of a request to /v1/responses are lost."""

    def edit(body: dict[str, Any]) -> None:
        for message in body["input"] if isinstance(body.get("input"), list) else ():
            message["content"] = [part for part in message["content"] if part.get("type") != "input_image"]

    return _edits_request(RESPONSES, edit)


def other_ids(dose: Dose) -> Stages:
    """`/tokenize` gives the ids of another vocabulary for a text; a conversation is right."""

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if call.route == TOKENIZE and "prompt" in (call.json() or {}) else None
        if body is None or not body.get("tokens"):
            return response
        return response.with_json({**body, "tokens": [one + int(dose.magnitude) for one in body["tokens"]]})

    return Stages(response=response)


def conversation_miscounted(dose: Dose) -> Stages:
    """`/tokenize` counts a conversation without its first tokens."""

    def response(call: Call, response: Response) -> Response:
        is_text = all(isinstance(one.get("content"), str) for one in (call.json() or {}).get("messages") or [{}])
        body = object_of(response.body) if call.route == TOKENIZE and is_text else None
        if body is None or not body.get("tokens"):
            return response
        tokens = body["tokens"][int(dose.magnitude) :]
        return response.with_json({**body, "tokens": tokens, "count": len(tokens)})

    return Stages(response=response)


def character_lost(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        body["prompt"] = "".join(letter for letter in body["prompt"] if ord(letter) < 256)

    return edits_body(DETOKENIZE, edit)


def wrong_accepted(dose: Dose) -> Stages:
    """A wrong request to a route gets an answer."""
    answers: dict[str, Any] = {
        COMPLETIONS: {"object": "text_completion", "choices": [{"index": 0, "text": "yes", "finish_reason": "stop"}]},
        RESPONSES: {"object": "response", "status": "completed", "output": []},
        DETOKENIZE: {"prompt": ""},
    }
    return _refusals(lambda call: json_response(200, answers[call.route]))


def wrong_is_an_error(dose: Dose) -> Stages:
    return _refusals(lambda _call: error_response(500, "'NoneType' object has no attribute 'get'"))


def _refusals(answer: Callable[[Call], Response]) -> Stages:
    def response(call: Call, response: Response) -> Response:
        is_refused = call.route in (COMPLETIONS, RESPONSES, DETOKENIZE) and 400 <= response.status < 500
        return answer(call) if is_refused else response

    return Stages(response=response)


def _decorates(decorate: Callable[[int, bytes], Iterator[bytes]], *routes: str) -> Stages:
    """Write each event of a stream in another legal way."""

    def frames(call: Call, frames: Frames) -> Frames:
        if call.route not in (routes or (CHAT, COMPLETIONS, RESPONSES)):
            yield from frames
            return
        for number, frame in enumerate(frames):
            yield from decorate(number, frame)

    return Stages(frames=frames)


def _comments(number: int, frame: bytes) -> Iterator[bytes]:
    yield b": ping\n\n"
    yield b": a comment before the event\n" + frame


def _with_ids(number: int, frame: bytes) -> Iterator[bytes]:
    yield b"id: %d\n" % number + frame
    yield b": ping\n\n"


def _in_small_pieces(number: int, frame: bytes) -> Iterator[bytes]:
    for place in range(0, len(frame), 5):
        yield frame[place : place + 5]


# what every reader of server-sent events must take
LEGAL: dict[str, Stages] = {
    "comments": _decorates(_comments),
    "ids": _decorates(_with_ids),
    "retry": _decorates(lambda number, frame: iter([b"retry: 3000\n\n", frame] if number == 0 else [frame])),
    "crlf": _decorates(lambda _number, frame: iter([frame.replace(b"\n", b"\r\n")])),
    "cr": _decorates(lambda _number, frame: iter([frame.replace(b"\n", b"\r")])),
    "no-space": _decorates(lambda _number, frame: iter([frame.replace(b"data: ", b"data:")])),
    "small-pieces": _decorates(_in_small_pieces),
    "byte-order-mark": _decorates(lambda number, frame: iter([(b"" if number else b"\xef\xbb\xbf") + frame])),
    "unknown-fields": _decorates(lambda _number, frame: iter([b"x-own: 1\n" + frame])),
}


def ids_in(*routes: str) -> Callable[[Dose], Stages]:
    return lambda dose: _decorates(_with_ids, *routes)


def card(model: str) -> Stages:
    """The endpoint has cards of models, and each has this id."""
    body = {"id": model, "object": "model", "created": 1764000000, "owned_by": "vllm"}
    answer = Response(200, {"content-type": "application/json"}, dumped(body))
    return Stages(instead=lambda call: answer if call.route.startswith("/v1/models/") else None)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("completions-missing", "/v1/completions is 404", 1.0, lambda _: _not_found(COMPLETIONS)),
    ("completions-error", "/v1/completions is 500", 1.0, lambda _: _broken(COMPLETIONS)),
    ("completions-tokens-lost", "the first tokens of a prompt of ids are lost", 1.0, completions_template_lost),
    ("completions-other-text", "the text of /v1/completions is another one", 1.0, completions_other_text),
    ("completions-piece-lost", "the second piece of a stream of /v1/completions is lost", 1.0, completions_piece_lost),
    ("completions-done-missing", "a stream of /v1/completions has no [DONE]", 1.0, completions_done_missing),
    ("completions-limit", "/v1/completions ignores `max_tokens`", 1.0, lambda _: _ignores(COMPLETIONS, "max_tokens")),
    ("completions-stop", "/v1/completions ignores `stop`", 1.0, lambda _: _ignores(COMPLETIONS, "stop")),
    ("completions-echo", "/v1/completions ignores `echo`", 1.0, lambda _: _ignores(COMPLETIONS, "echo")),
    ("completions-n", "/v1/completions ignores `n`", 1.0, lambda _: _ignores(COMPLETIONS, "n")),
    ("completions-logprobs", "/v1/completions ignores `logprobs`", 1.0, lambda _: _ignores(COMPLETIONS, "logprobs")),
    ("responses-missing", "/v1/responses is 404", 1.0, lambda _: _not_found(RESPONSES)),
    ("responses-error", "/v1/responses is 500", 1.0, lambda _: _broken(RESPONSES)),
    ("responses-other-text", "the text of /v1/responses is another one", 1.0, responses_other_text),
    ("responses-piece-lost", "the second piece of a stream of /v1/responses is lost", 1.0, responses_piece_lost),
    ("responses-picture-lost", "/v1/responses loses pictures", 1.0, responses_picture_lost),
    ("responses-limit", "/v1/responses ignores its limit", 1.0, lambda _: _ignores(RESPONSES, "max_output_tokens")),
    ("responses-complete", "a response that was cut says `completed`", 1.0, responses_complete),
    ("tokenize-missing", "/tokenize is 404", 1.0, lambda _: _not_found(TOKENIZE)),
    ("tokenize-other-ids", "/tokenize gives other ids for a text", 1.0, other_ids),
    ("tokenize-miscounts", "/tokenize loses this many tokens of a conversation", 1.0, conversation_miscounted),
    ("detokenize-missing", "/detokenize is 404", 1.0, lambda _: _not_found(DETOKENIZE)),
    ("detokenize-character-lost", "/detokenize loses a character", 1.0, character_lost),
    ("routes-accept-wrong", "a wrong request to a route gets an answer", 1.0, wrong_accepted),
    ("routes-wrong-is-error", "a wrong request to a route is HTTP 500", 1.0, wrong_is_an_error),
    ("chat-ids-in-stream", "legal `id:` lines and comments in streams of chat", 1.0, ids_in(CHAT)),
    ("completions-ids-in-stream", "the same in streams of /v1/completions", 1.0, ids_in(COMPLETIONS)),
)  # fmt: skip
