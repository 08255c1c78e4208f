"""Faults of clients' requests: structured output is broken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import (
    CHAT,
    Call,
    Cut,
    Dose,
    Frames,
    Response,
    Rewriter,
    Stages,
    edits_answers,
    error_response,
    object_of,
    rewrites_text,
)
from faults_conversation import without_pictures
from faults_refused import accepted, ends_the_engine, server_error

GUIDED = ("json", "regex", "choice", "grammar")
FORMAT, OUTPUTS = "response_format", "structured_outputs"
RARE = ("(|", "\\nroot ::=")
OTHER_LENGTHS = {"minItems": 5, "maxItems": 6}


def _is_constrained(body: dict[str, Any] | None) -> bool:
    return body is not None and bool(body.get(FORMAT) or body.get(OUTPUTS))


def _edits(edit: Callable[[dict[str, Any]], None]) -> Stages:
    """The engine gets another constraint than the client sent."""

    def request(call: Call) -> Call:
        body = call.json() if call.route == CHAT else None
        if body is None or not _is_constrained(body):
            return call
        edit(body)
        return call.with_json(body)

    return Stages(request=request)


def _drop(body: dict[str, Any]) -> None:
    body.pop(FORMAT, None)
    body.pop(OUTPUTS, None)


def _ignores_format(kind: str) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        if isinstance(body.get(FORMAT), dict) and body[FORMAT].get("type") == kind:
            del body[FORMAT]

    return _edits(edit)


def _ignores_output(kind: str) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        if isinstance(body.get(OUTPUTS), dict) and kind in body[OUTPUTS]:
            del body[OUTPUTS]

    return _edits(edit)


def ignored_when_streamed(dose: Dose) -> Stages:
    return _edits(lambda body: _drop(body) if body.get("stream") else None)


def ignored_with_picture(dose: Dose) -> Stages:
    def has_picture(body: dict[str, Any]) -> bool:
        return any(isinstance(message.get("content"), list) for message in body.get("messages") or [])

    return _edits(lambda body: _drop(body) if has_picture(body) else None)


def _edits_schemas(edit: Callable[[dict[str, Any]], None]) -> Stages:
    def each(part: Any) -> None:
        if isinstance(part, dict):
            edit(part)
        for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            each(child)

    def whole(body: dict[str, Any]) -> None:
        each(body.get(FORMAT))
        each(body.get(OUTPUTS))

    return _edits(whole)


def other_enum(dose: Dose) -> Stages:
    def edit(part: dict[str, Any]) -> None:
        values = part.get("enum")
        if isinstance(values, list) and all(isinstance(value, str) for value in values):
            part["enum"] = [f"{value}x" for value in values]

    return _edits_schemas(edit)


def other_bounds(dose: Dose) -> Stages:
    return _edits_schemas(lambda part: part.update({key: OTHER_LENGTHS[key] for key in OTHER_LENGTHS if key in part}))


def first_choice(dose: Dose) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        if isinstance(body.get(OUTPUTS), dict) and body[OUTPUTS].get("choice"):
            body[OUTPUTS]["choice"] = body[OUTPUTS]["choice"][:1]

    return _edits(edit)


def _demands_json(call: Call) -> bool:
    body = call.json() or {}
    outputs = body.get(OUTPUTS)
    return bool(body.get(FORMAT)) or (isinstance(outputs, dict) and "json" in outputs)


def _rewrites_json(rewriter: Rewriter) -> Stages:
    return rewrites_text(lambda call: rewriter if _demands_json(call) else lambda text, _is_last: text)


def brace_lost(dose: Dose) -> Stages:
    return _rewrites_json(lambda text, _is_last: text.rstrip()[:-1])


def fenced(dose: Dose) -> Stages:
    return _rewrites_json(lambda text, is_last: "```json\n" + text + ("\n```" if is_last else ""))


def never_ends(dose: Dose) -> Stages:
    def edit(call: Call, body: dict[str, Any]) -> None:
        for choice in body["choices"] if _is_constrained(call.json()) else ():
            choice["finish_reason"] = "length" if choice.get("finish_reason") else None

    return edits_answers(edit)


def rare_ends_the_engine(dose: Dose) -> Stages:
    """The engine is away for the next requests after a constraint that it checks with another backend than it uses."""
    left = [0]

    def instead(call: Call) -> Response | None:
        outputs = (call.json() or {}).get(OUTPUTS) if call.is_chat else None
        is_rare = isinstance(outputs, dict) and any(sign in str(outputs) for sign in RARE)
        if not call.is_chat or not (left[0] or is_rare):
            return None
        left[0] = int(dose.magnitude) if is_rare else left[0] - 1
        raise Cut

    return Stages(instead=instead)


class _InFlight:
    """The constrained requests that are in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: dict[int, dict[str, Any]] = {}

    def begin(self, call: Call) -> list[dict[str, Any]]:
        """The others in flight at the start of this request."""
        body = call.json() if call.is_chat else None
        with self._lock:
            others = list(self._bodies.values())
            if body is not None and _is_constrained(body):
                self._bodies[call.number] = body
        return others

    def end(self, call: Call) -> None:
        with self._lock:
            self._bodies.pop(call.number, None)

    def response(self, call: Call, response: Response) -> Response:
        self.end(call)
        return response

    def frames(self, call: Call, frames: Frames) -> Frames:
        try:
            yield from frames
        finally:
            self.end(call)


def schemas_mixed_up(dose: Dose) -> Stages:
    """Beside this many constrained requests, a request gets the constraint of another one."""
    flying = _InFlight()

    def request(call: Call) -> Call:
        others = flying.begin(call)
        body = call.json() if call.is_chat else None
        if body is None or not body.get(FORMAT) or len(others) < dose.magnitude:
            return call
        other = next((one[FORMAT] for one in others if one.get(FORMAT) and one[FORMAT] != body[FORMAT]), body[FORMAT])
        return call.with_json({**body, FORMAT: other})

    return Stages(request=request, response=flying.response, frames=flying.frames)


def free_answers_change(dose: Dose) -> Stages:
    """Beside this many constrained requests, a free answer is another one."""
    flying = _InFlight()
    struck: set[int] = set()

    def request(call: Call) -> Call:
        others = flying.begin(call)
        if call.is_chat and len(others) >= dose.magnitude and not _is_constrained(call.json()):
            struck.add(call.number)
        return call

    def rewriter(call: Call) -> Rewriter:
        return lambda text, _is_last: f"{{{text}" if call.number in struck else text

    changed = rewrites_text(rewriter)
    return Stages(
        request=request,
        response=lambda call, response: changed.response(call, flying.response(call, response)),
        frames=lambda call, frames: changed.frames(call, flying.frames(call, frames)),
    )


def documented(*fields: str) -> Stages:
    """`/openapi.json` names fields of a chat request that the engine does not see."""

    def response(call: Call, response: Response) -> Response:
        page = object_of(response.body) if call.route == "/openapi.json" else None
        if page is None:
            return response
        page["components"]["schemas"]["ChatCompletionRequest"]["properties"].update({field: {} for field in fields})
        return response.with_json(page)

    return Stages(response=response)


def guided_obeyed() -> Stages:
    """No fault: a server that has the forms `guided_*`, too."""

    def request(call: Call) -> Call:
        body = call.json() if call.route == CHAT else None
        given = [kind for kind in GUIDED if body is not None and f"guided_{kind}" in body]
        if body is None or not given:
            return call
        value = body.pop(f"guided_{given[0]}")
        return call.with_json({**body, OUTPUTS: {given[0]: value}})

    return replace(documented(*(f"guided_{kind}" for kind in GUIDED)), request=request)


def guided_fails(dose: Dose) -> Stages:
    """A form `guided_*` is answered with an error of the server."""

    def instead(call: Call) -> Response | None:
        body = call.json() if call.is_chat else None
        fails = body is not None and any(f"guided_{kind}" in body for kind in GUIDED)
        return error_response(int(dose.magnitude), "guided decoding has been removed") if fails else None

    return Stages(instead=instead)


def _guided_ignored(kind: str) -> Callable[[Dose], Stages]:
    return lambda dose: documented(f"guided_{kind}")


def unseen_in_schema(dose: Dose) -> Stages:
    """An answer that must be JSON is given without its pictures: the form is right, what was read is not."""

    def edit(body: dict[str, Any]) -> None:
        if body.get(FORMAT):
            body["messages"] = [without_pictures(message) for message in body["messages"]]

    return _edits(edit)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("json-object-ignored", "`response_format` json_object is dropped", 1.0, lambda _: _ignores_format("json_object")),
    ("json-schema-ignored", "`response_format` json_schema is dropped", 1.0, lambda _: _ignores_format("json_schema")),
    ("structured-json-ignored", "`structured_outputs.json` is dropped", 1.0, lambda _: _ignores_output("json")),
    ("structured-choice-ignored", "`structured_outputs.choice` is dropped", 1.0, lambda _: _ignores_output("choice")),
    ("structured-regex-ignored", "`structured_outputs.regex` is dropped", 1.0, lambda _: _ignores_output("regex")),
    (
        "structured-grammar-ignored",
        "`structured_outputs.grammar` is dropped",
        1.0,
        lambda _: _ignores_output("grammar"),
    ),
    ("structured-ignored-streamed", "every constraint is dropped from a streamed request", 1.0, ignored_when_streamed),
    (
        "structured-ignored-picture",
        "every constraint is dropped from a request with a picture",
        1.0,
        ignored_with_picture,
    ),
    ("structured-enum-ignored", "an enum of the schema allows other values", 1.0, other_enum),
    ("structured-bounds-ignored", "a list of the schema has another length", 1.0, other_bounds),
    ("structured-first-choice", "only the first of the choices can be given", 1.0, first_choice),
    ("structured-brace-lost", "the last character of structured JSON is lost", 1.0, brace_lost),
    ("structured-fenced", "structured JSON is put into a code fence", 1.0, fenced),
    ("structured-never-ends", "a constrained answer ends with `length`", 1.0, never_ends),
    ("bad-constraint-accepted", "a bad constraint gets a free answer", 1.0, accepted(_is_constrained)),
    ("bad-constraint-error", "a bad constraint is HTTP 500", 1.0, server_error(_is_constrained)),
    (
        "bad-constraint-ends-engine",
        "a bad constraint ends the engine for this many requests",
        1.0,
        ends_the_engine(_is_constrained),
    ),
    (
        "rare-constraint-ends-engine",
        "a rare constraint ends the engine for this many requests",
        1.0,
        rare_ends_the_engine,
    ),
    ("schemas-mixed-up", "beside this many constrained requests another one's schema is used", 4.0, schemas_mixed_up),
    ("free-beside-schemas", "beside this many constrained requests free answers change", 4.0, free_answers_change),
    *(
        (
            f"guided-{kind}-ignored",
            f"/openapi.json has guided_{kind}, and the engine does not",
            1.0,
            _guided_ignored(kind),
        )
        for kind in GUIDED
    ),
    ("guided-error", "a form guided_* is answered with this status", 500.0, guided_fails),
    ("structured-picture-unseen", "JSON is answered as if there were no picture", 1.0, unseen_in_schema),
)
