"""Faults of clients' requests: tools are not called as was asked, or what tools answer is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fault_stages import (
    CHAT,
    Call,
    Dose,
    Frames,
    Response,
    Stages,
    chunk_of,
    edits_answers,
    frame_of,
    rewrites_text,
    said,
)
from faults_bad_tools import ROWS as BAD

Message = dict[str, Any]
MARK = "</tool_call>"


def _tools_of(call: Call) -> bool:
    return bool((call.json() or {}).get("tools"))


def _is_forced(body: dict[str, Any]) -> bool:
    return body.get("tool_choice") not in (None, "none", "auto")


def _has_picture(body: dict[str, Any]) -> bool:
    contents = [message.get("content") for message in body.get("messages") or []]
    return any(part.get("type") == "image_url" for one in contents if isinstance(one, list) for part in one)


def _edits(edit: Callable[[dict[str, Any]], None]) -> Stages:
    """The engine gets another request with tools than the client sent."""

    def request(call: Call) -> Call:
        body = call.json() if call.route == CHAT else None
        if body is None or not body.get("tools"):
            return call
        edit(body)
        return call.with_json(body)

    return Stages(request=request)


def _ignores(when: Callable[[dict[str, Any]], bool]) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        if _is_forced(body) and when(body):
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                body.pop(name, None)

    return _edits(edit)


def other_enum(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        for tool in body["tools"]:
            for part in (tool["function"].get("parameters") or {}).get("properties", {}).values():
                part.update({"enum": [f"{value}x" for value in part["enum"]]} if "enum" in part else {})

    return _edits(edit)


def called_anyway(dose: Dose) -> Stages:
    return _edits(lambda body: body.update(tool_choice="required") if body.get("tool_choice") == "none" else None)


def _edits_messages(edit: Callable[[list[Message]], list[Message]], only_pictures: bool = False) -> Stages:
    def whole(body: dict[str, Any]) -> None:
        if not only_pictures or _has_picture(body):
            body["messages"] = edit(body["messages"])

    return _edits(whole)


def _without_results(messages: list[Message]) -> list[Message]:
    return [one for one in messages if one.get("role") != "tool"]


def results_twice(dose: Dose) -> Stages:
    return _edits_messages(lambda messages: [m for one in messages for m in [one] * (1 + (one.get("role") == "tool"))])


def result_lists_lost(dose: Dose) -> Stages:
    def edit(messages: list[Message]) -> list[Message]:
        lists = [one.get("role") == "tool" and isinstance(one.get("content"), list) for one in messages]
        return [{**one, "content": "-"} if is_list else one for one, is_list in zip(messages, lists, strict=True)]

    return _edits_messages(edit)


def result_pictures_lost(dose: Dose) -> Stages:
    def edit(messages: list[Message]) -> list[Message]:
        for one in messages:
            if one.get("role") == "tool" and isinstance(one.get("content"), list):
                one["content"] = [part for part in one["content"] if part.get("type") != "image_url"]
        return messages

    return _edits_messages(edit)


def definitions_lost(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        if any(message.get("role") == "tool" for message in body["messages"]):
            del body["tools"]

    return _edits(edit)


def history_calls_lost(dose: Dose) -> Stages:
    def edit(messages: list[Message]) -> list[Message]:
        return [{**one, "content": "-", "tool_calls": []} if one.get("tool_calls") else one for one in messages]

    return _edits_messages(edit)


def _edits_calls(edit: Callable[[dict[str, Any]], None]) -> Stages:
    """Change each call of an answer, and each piece of one."""

    def whole(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            for one in said(choice).get("tool_calls") or []:
                edit(one)

    return edits_answers(whole)


def other_function(dose: Dose) -> Stages:
    def edit(call: dict[str, Any]) -> None:
        if call["function"].get("name"):
            call["function"]["name"] = "delete_everything"

    return _edits_calls(edit)


def id_missing(dose: Dose) -> Stages:
    return _edits_calls(lambda call: call.pop("id", None))


def arguments_cut(dose: Dose) -> Stages:
    """The last characters of the arguments are lost, as many as the dose, in a stream the last piece."""
    lost = int(dose.magnitude)

    def response(call: Call, response: Response) -> Response:
        def edit(one: dict[str, Any]) -> None:
            one["function"]["arguments"] = one["function"]["arguments"].rstrip()[:-lost]

        return _edits_calls(edit).response(call, response)

    def frames(call: Call, frames: Frames) -> Frames:
        held: list[bytes] = []
        for frame in frames:
            if _piece(frame) is not None:
                yield from held
                held = [frame]
                continue
            held = [] if held and chunk_of(frame) else held
            yield frame

    return Stages(response=response, frames=frames)


def arguments_an_object(dose: Dose) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            for one in said(choice).get("tool_calls") or []:
                one["function"]["arguments"] = {"gate": "north"}

    return Stages(response=edits_answers(edit).response)


def _piece(frame: bytes) -> dict[str, Any] | None:
    """The piece of arguments in an event, if it has one."""
    chunk = chunk_of(frame)
    pieces = [one for c in chunk["choices"] for one in c["delta"].get("tool_calls") or []] if chunk else []
    return next((one for one in pieces if (one.get("function") or {}).get("arguments")), None)


def _each_piece(change: Callable[[int, bytes], Iterator[bytes]]) -> Stages:
    """Each event with a piece of arguments becomes those that `change` makes of it and its number.

    Pieces without a letter have the number -1: they may be blanks, which nobody misses.
    """

    def frames(call: Call, frames: Frames) -> Frames:
        lettered = 0
        for frame in frames:
            piece = _piece(frame)
            if piece is None:
                yield frame
                continue
            has_letter = any(map(str.isalpha, piece["function"]["arguments"]))
            yield from change(lettered if has_letter else -1, frame)
            lettered += has_letter

    return Stages(frames=frames)


def piece_lost(dose: Dose) -> Stages:
    return _each_piece(lambda number, frame: iter([] if number == int(dose.magnitude) else [frame]))


def piece_doubled(dose: Dose) -> Stages:
    return _each_piece(lambda number, frame: iter([frame] * (1 + (number == int(dose.magnitude)))))


def _edits_pieces(edit: Callable[[int, dict[str, Any]], None]) -> Stages:
    def change(number: int, frame: bytes) -> Iterator[bytes]:
        chunk = chunk_of(frame)
        assert chunk is not None
        for choice in chunk["choices"]:
            for one in choice["delta"].get("tool_calls") or []:
                edit(number, one)
        yield frame_of(chunk)

    return _each_piece(change)


def index_wrong(dose: Dose) -> Stages:
    return _edits_pieces(lambda number, piece: piece.update(index=number))


def name_repeated(dose: Dose) -> Stages:
    return _edits_pieces(lambda _number, piece: piece["function"].update(name="open_gate"))


def finishes_with(reason: str, when: Callable[[dict[str, Any]], bool]) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        asked = call.json() or {}
        for choice in body["choices"] if _is_forced(asked) and when(asked) else ():
            choice["finish_reason"] = reason if choice.get("finish_reason") else None

    return edits_answers(edit)


def called_twice(dose: Dose) -> Stages:
    """A second call follows the first one, in a stream with its name alone."""

    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"]:
            calls = said(choice).get("tool_calls") or []
            named = [one for one in calls if one["function"].get("name")]
            if named:
                said(choice)["tool_calls"] = [*calls, *({**one, "id": f"{one['id']}b", "index": 1} for one in named)]

    return edits_answers(edit)


def _as_text(when: Callable[[dict[str, Any]], bool]) -> Stages:
    """No parser reads the call: it stays in the text."""

    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"] if when(call.json() or {}) else ():
            calls = said(choice).pop("tool_calls", None) or []
            for one in calls:
                name, arguments = one["function"].get("name"), one["function"].get("arguments") or ""
                start = f'<tool_call>{{"name": "{name}", "arguments": ' if name else ""
                said(choice)["content"] = (said(choice).get("content") or "") + start + arguments
            choice["finish_reason"] = "stop" if choice.get("finish_reason") else None

    return edits_answers(edit)


def text_mark_left(dose: Dose) -> Stages:
    return rewrites_text(lambda _call: lambda text, is_last: f"{text}</think>" if is_last else text)


def nothing_said(dose: Dose) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        asked = call.json() or {}
        for choice in body["choices"] if asked.get("tools") and not _is_forced(asked) else ():
            said(choice).pop("tool_calls", None)
            said(choice)["content"] = None
            choice["finish_reason"] = "stop" if choice.get("finish_reason") else None

    return edits_answers(edit)


def mark_left(dose: Dose) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"] if _tools_of(call) else ():
            if choice.get("finish_reason"):
                said(choice)["content"] = (said(choice).get("content") or "") + MARK

    return edits_answers(edit)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    (
        "tools-ignored",
        "a demanded call becomes a free answer without tools",
        1.0,
        lambda _: _ignores(lambda body: True),
    ),
    (
        "tools-ignored-streamed",
        "the same, of a streamed request",
        1.0,
        lambda _: _ignores(lambda body: bool(body.get("stream"))),
    ),
    ("tools-ignored-picture", "the same, of a request with a picture", 1.0, lambda _: _ignores(_has_picture)),
    (
        "tool-required-ignored",
        "the same, where any tool is required",
        1.0,
        lambda _: _ignores(lambda body: body["tool_choice"] == "required"),
    ),
    ("tool-of-another-name", "another function is called", 1.0, other_function),
    ("tool-enum-ignored", "an enum of the parameters allows other values", 1.0, other_enum),
    ("tool-arguments-cut", "so many last characters of the arguments are lost, or the last piece", 1.0, arguments_cut),
    ("tool-arguments-object", "the arguments are an object, not a text, in a plain answer", 1.0, arguments_an_object),
    ("tool-piece-lost", "of a streamed call the piece with letters of this number is lost", 1.0, piece_lost),
    (
        "tool-piece-doubled",
        "of a streamed call the piece with letters of this number arrives twice",
        1.0,
        piece_doubled,
    ),
    ("tool-index-wrong", "each piece of a streamed call has another index", 1.0, index_wrong),
    ("tool-name-repeated", "each piece of a streamed call has the name", 1.0, name_repeated),
    ("tool-id-missing", "a call has no id", 1.0, id_missing),
    ("tool-called-twice", "a second call follows the first", 1.0, called_twice),
    ("tool-finish-wrong", "a demanded call ends with `length`", 1.0, lambda _: finishes_with("length", _is_forced)),
    (
        "tool-required-stops",
        "a required call ends with `stop`",
        1.0,
        lambda _: finishes_with("stop", lambda body: body["tool_choice"] == "required"),
    ),
    ("tool-call-as-text", "the call is left in the text, with its mark", 1.0, lambda _: _as_text(lambda body: True)),
    (
        "tool-written-call-as-text",
        "the same, of a call that is not demanded",
        1.0,
        lambda _: _as_text(lambda body: body.get("tool_choice") == "auto"),
    ),
    ("tool-mark-left", "the text of an answer with tools ends with `</tool_call>`", 1.0, mark_left),
    ("text-mark-left", "each text ends with `</think>`", 1.0, text_mark_left),
    ("tool-nothing-said", "an answer that may call tools has neither a text nor a call", 1.0, nothing_said),
    ("tool-called-anyway", "a tool is called where none may be", 1.0, called_anyway),
    ("tool-answer-lost", "answers of tools are dropped", 1.0, lambda _: _edits_messages(_without_results)),
    (
        "tool-answer-lost-picture",
        "answers of tools are dropped from a conversation with a picture",
        1.0,
        lambda _: _edits_messages(_without_results, only_pictures=True),
    ),
    ("tool-answer-twice", "answers of tools arrive twice", 1.0, results_twice),
    ("tool-answer-list-lost", "answers of tools that are lists arrive without their text", 1.0, result_lists_lost),
    ("tool-picture-lost", "pictures in answers of tools are dropped", 1.0, result_pictures_lost),
    ("tool-definitions-lost", "tools are dropped where a tool has answered", 1.0, definitions_lost),
    ("tool-history-lost", "calls of earlier turns are dropped", 1.0, history_calls_lost),
    *BAD,
)
