"""Refusals that a client can handle, and those that it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.refusals import refused, unauthorized
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, Request

REQUEST = Request("POST", "/v1/chat/completions", {"model": "nonsense"})
BODY = {"error": {"message": "The model `nonsense` does not exist", "type": "NotFoundError", "code": 404}}


def exchange(status: int | None, body: Any = BODY, *, seconds: float = 0.1, **more: Any) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("e1", REQUEST, "2026-01-01T00:00:00Z", 0, int(seconds * NS), status, body=raw, **more)


def checks(answered: Exchange, statuses: tuple[int, ...] = (400, 404), **more: Any) -> list[str]:
    return [finding.check for finding in refused(answered, statuses=statuses, deadline_s=5, **more)]


def test_a_clean_refusal_has_no_finding() -> None:
    assert checks(exchange(404), says="does not exist") == []


def test_a_slow_refusal_is_found() -> None:
    assert checks(exchange(404, seconds=5.5)) == ["refusal.deadline"]


def test_an_accepted_request_is_found() -> None:
    (finding,) = refused(exchange(200, {"id": "chatcmpl-1"}), statuses=(400,), deadline_s=5)

    assert finding.check == "refusal.accepted"
    assert finding.observed.startswith("accepted, HTTP 200: ")
    assert finding.expected == "HTTP 400"


def test_an_error_event_inside_200_is_an_accepted_request() -> None:
    (finding,) = refused(exchange(200, b"", frames=(Frame(1, json.dumps(BODY)),)), statuses=(400,), deadline_s=5)

    assert finding.check == "refusal.accepted"
    assert "does not exist" in finding.observed


def test_a_server_error_is_found_and_named() -> None:
    (finding,) = refused(exchange(500, b"Internal Server Error"), statuses=(400,), deadline_s=5)

    assert finding.check == "refusal.server_error"
    assert "HTTP 500: 'Internal Server Error'" in finding.observed


def test_a_server_error_that_is_allowed_is_a_refusal() -> None:
    assert checks(exchange(501), (400, 501)) == []


def test_a_refusal_with_another_status_is_found() -> None:
    assert checks(exchange(413), (400,)) == ["refusal.status"]


@pytest.mark.parametrize("status", [302, 101])
def test_a_status_that_is_neither_answer_nor_refusal_is_found(status: int) -> None:
    assert checks(exchange(status), (400,)) in (["refusal.status"], ["refusal.accepted"])


def test_a_transport_error_is_not_a_refusal() -> None:
    assert checks(exchange(None, b"", error=ErrorDetail("reset", "connection reset by peer"))) == ["refusal.transport"]


def test_a_response_cut_off_is_not_a_refusal() -> None:
    assert checks(exchange(400, b"{", error=ErrorDetail("protocol", "body ended early"))) == ["refusal.transport"]


@pytest.mark.parametrize("body", [b"", b"Bad Request", b"<html></html>", b"\xff\xfe"])
def test_a_refusal_without_json_is_found(body: bytes) -> None:
    assert checks(exchange(400, body)) == ["refusal.body"]


def test_a_refusal_without_a_message_is_found() -> None:
    assert checks(exchange(400, {"error": {"type": "BadRequestError", "code": 400}})) == ["schema.error"]
    assert checks(exchange(400, {"error": {"message": "", "type": "BadRequestError", "code": 400}})) == ["schema.error"]


def test_a_message_that_does_not_name_the_cause_is_found() -> None:
    assert checks(exchange(404), says="at most 2 image") == ["refusal.message"]


def test_the_framework_may_answer_only_where_it_is_allowed_to() -> None:
    unknown_route = exchange(404, {"detail": "Not Found"})

    assert checks(unknown_route, schema="detail", says="not found") == []
    assert checks(unknown_route) == ["schema.error"]


def test_an_error_body_is_right_where_the_framework_may_answer() -> None:
    assert checks(exchange(404), schema="detail", says="nonsense") == []
    assert checks(exchange(404, {"error": "Unauthorized"}), schema="detail") == ["schema.detail"]


def test_a_list_of_details_is_searched_as_text() -> None:
    body = {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}

    assert checks(exchange(400, body), schema="detail", says="field required") == []


def test_all_that_is_wrong_is_reported_together() -> None:
    assert checks(exchange(422, {}, seconds=6), (400,)) == ["refusal.deadline", "refusal.status", "schema.error"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"error": "Unauthorized"}, []),
        (401, {"error": {"message": "Invalid key", "type": "AuthenticationError", "code": 401}}, []),
        (401, {"error": ""}, ["schema.unauthorized"]),
        (401, {"error": {"message": "Invalid key"}}, ["schema.unauthorized"]),
        (401, b"no", ["refusal.body"]),
        (403, {"error": "Forbidden"}, ["refusal.status"]),
        (200, {"id": "chatcmpl-1"}, ["refusal.accepted"]),
        (500, {"error": "Internal Server Error"}, ["refusal.server_error"]),
    ],
)
def test_a_wrong_key_is_a_401_with_a_message(status: int, body: Any, expected: list[str]) -> None:
    found = [finding.check for finding in unauthorized(exchange(status, body), 5)]
    assert sorted(set(found)) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"", []),
        (403, b"<html>no</html>", []),
        (404, b"", ["refusal.status"]),
        (200, {"id": "chatcmpl-1"}, ["refusal.accepted"]),
        (500, b"", ["refusal.server_error"]),
    ],
)
def test_a_gateway_refuses_a_wrong_key_in_its_own_way(status: int, body: Any, expected: list[str]) -> None:
    assert [finding.check for finding in unauthorized(exchange(status, body), 5, launched=False)] == expected
