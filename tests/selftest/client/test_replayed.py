"""Stored exchanges answer the requests of their own test, in their order, and only what they can answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.client import official
from vlm_acceptance.client.chat import chat, chat_body, get, plain_url
from vlm_acceptance.client.disconnecting import DisconnectingClient, LeavingClient
from vlm_acceptance.client.processor import ProcessorClock
from vlm_acceptance.client.replayed import (
    ReplayedClient,
    StoredExchanges,
    StoredObservations,
    exchange_of,
)
from vlm_acceptance.core.errors import EngineFailure, HarnessProblem, NotRun, NotStored
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, NoReply, Request
from vlm_acceptance.core.waiting import ProcessorReading
from vlm_acceptance.report.store import RunStore, as_json

ASKED = chat(chat_body("m", "What is it?", (plain_url(64, 64),)), 20.0)
CLOCK = ProcessorReading(5 * NS, 1, 2, 3, 4, 5, 6, 7, 8, 2)


def sent(ident: str, request: Request = ASKED, body: bytes = b"{}", **more: Any) -> Exchange:
    times = {"started_ns": 7 * NS + 123_456_789, "finished_ns": 8 * NS + 1, "status": 200, **more}
    return Exchange(ident, request, "2026-01-01T00:00:00.250+00:00", body=body, **times)


def stored(folder: Path, *exchanges: Exchange, test: str = "t", without: tuple[str, ...] = ()) -> StoredExchanges:
    """What a run stores of exchanges, read back; `without` these keys, as an earlier version wrote them."""
    store = RunStore(folder, "p")
    for exchange in exchanges:
        store.exchange(test, exchange)
    store.close()
    lines = (store.folder / "exchanges.jsonl").read_text("utf-8").splitlines()
    rows = [{key: value for key, value in json.loads(line).items() if key not in without} for line in lines]
    return StoredExchanges(rows, as_json)


@pytest.mark.parametrize(
    "exchange",
    [
        sent("r00001", body='{"text": "图片 ✓"}'.encode(), headers={"content-type": "application/json"}),
        sent("r00001", body=b'{"text": "\xff\xfe"}'),
        sent("r00001", body=b"", status=None, error=ErrorDetail("reset", "RemoteDisconnected: gone")),
        sent("r00001", readings=(CLOCK, ProcessorReading(6 * NS, 1, busy_ns=9))),
        sent(
            "r00001",
            Request("POST", ASKED.path, {**ASKED.body, "stream": True}, deadline_s=20.0, stream=True),
            body=b'data: {"a": 1}\n\nevent: end\ndata: [DONE]\n\n',
            frames=(Frame(7 * NS + 500_000_001, '{"a": 1}'), Frame(7 * NS + 999_999_999, "[DONE]", "end")),
        ),
    ],
    ids=["body", "bytes", "error", "waits", "stream"],
)
def test_a_stored_exchange_is_the_same_again(exchange: Exchange, tmp_path: Path) -> None:
    assert ReplayedClient(stored(tmp_path, exchange), "t").send(exchange.request) == exchange


def test_each_request_gets_the_next_answer_of_its_own_test(tmp_path: Path) -> None:
    other = get("/version", 5.0)
    first, second, third = sent("r00001"), sent("r00003", body=b"[]"), sent("r00002", other)
    client = ReplayedClient(stored(tmp_path, first, third, second), "t")
    assert [client.send(one).id for one in (ASKED, ASKED, other)] == ["r00001", "r00003", "r00002"]
    with pytest.raises(NotStored, match="not in the stored run: POST /v1/chat/completions of this test"):
        client.send(ASKED)
    with pytest.raises(NotStored):
        ReplayedClient(client.stored, "another test").send(other)
    assert client.stored.anywhere(other) == third
    assert client.stored.anywhere(get("/health", 5.0)) is None
    assert client.stored.usual_model == "m"


def test_another_picture_is_another_request_and_another_port_of_a_picture_server_is_not(tmp_path: Path) -> None:
    on_port = [chat(chat_body("m", "Q", (f"http://127.0.0.1:{port}/a.png",)), 20.0) for port in (40001, 1)]
    client = ReplayedClient(stored(tmp_path, sent("r00001"), sent("r00002", on_port[0])), "t")
    with pytest.raises(NotStored):
        client.send(chat(chat_body("m", "What is it?", (plain_url(64, 65),)), 20.0))
    assert client.send(on_port[1]).id == "r00002"


def test_an_answer_that_was_cut_when_it_was_stored_is_not_judged(tmp_path: Path) -> None:
    client = ReplayedClient(stored(tmp_path, sent("r00001", body=b"x" * ((1 << 20) + 1))), "t")
    with pytest.raises(NotStored, match="an answer as a whole: it was cut when it was stored"):
        client.send(ASKED)


def test_a_shorter_deadline_ends_a_stored_answer_and_a_longer_one_has_none(tmp_path: Path) -> None:
    frames = (Frame(7 * NS + 200_000_000, "a"), Frame(7 * NS + 900_000_000, "b"))
    late = sent("r00002", body=b"", status=None, error=ErrorDetail("timeout", "not complete after 20 s"))
    client = ReplayedClient(stored(tmp_path, sent("r00001", frames=frames), late, late), "t")
    shorter = client.send(Request("POST", ASKED.path, ASKED.body, deadline_s=0.5))
    assert shorter.is_late
    assert (len(shorter.frames), shorter.elapsed_s) == (1, 0.5)
    assert client.send(ASKED) == late
    with pytest.raises(NotStored, match="an answer that may take 30 s; the run waited 20 s for it"):
        client.send(Request("POST", ASKED.path, ASKED.body, deadline_s=30.0))


def test_nothing_that_needs_a_connection_is_run(tmp_path: Path) -> None:
    client = ReplayedClient(stored(tmp_path, sent("r00001")), "t")
    for connect in (LeavingClient, lambda one: DisconnectingClient(one, 3, lambda: None)):
        with pytest.raises(NotStored, match="what the connections of this test saw"):
            connect(client)
    with pytest.raises(NotStored):
        official.ask(client, ASKED.body, {}, 5.0)
    assert client.watched_by(lambda _: ()) is client


def test_a_run_of_an_earlier_version_has_times_to_a_millisecond(tmp_path: Path) -> None:
    held = stored(tmp_path, sent("r00001"), sent("r00002"), without=("started_ns",))
    found = held.answer("t", ASKED)
    assert found.elapsed_s == pytest.approx(sent("r00001").elapsed_s)
    assert found.started_ns % NS == 250_000_000
    with pytest.raises(NotStored, match="what was waited for a processor while times were measured"):
        ReplayedClient(held, "t").send(ASKED, ProcessorClock())


def test_an_exchange_that_a_value_names_is_answered_once_with_its_pictures(tmp_path: Path) -> None:
    held = stored(tmp_path, sent("r00001"), sent("r00002"))
    made = held.by_id("t", "r00001", [ASKED])
    assert made.request.body == ASKED.body
    assert held.by_id("t", "r00001") is made
    assert held.answer("t", ASKED).id == "r00002"  # the first one was taken
    with pytest.raises(NotStored, match="the request 'r00009'"):
        held.by_id("t", "r00009")
    whole = held.by_id("t", json.loads(json.dumps(as_json(sent("official", body=b'{"a": 1}')))))
    assert whole.json() == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"id": None, "headers": []}, {"headers": None}, {"frames": [[1]]}, {"frames": [["a", "b", "c"]]},
        {"elapsed_s": "x"}, {"error": "x"}, {"status": "x"}, {"readings": [["x"]]}, {"readings": [[1] * 99]},
        {"started_utc": "yesterday", "started_ns": "x"}, {"body_base64": "%"}, {"status": None}, {"deadline_s": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_is_no_exchange_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    store = RunStore(tmp_path, "p")
    row = {**store.stored(sent("r00001")), **change}
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        exchange_of(row)


def test_observations_are_taken_in_their_order_and_errors_are_raised_again() -> None:
    rows = [
        {"test": "t", "name": "a", "value": 1, "exchanges": ["r00001"]},
        {"test": "t", "name": "a", "value": "x"},
        {"test": "t", "name": "a", "raised": ["EngineFailure", "it died"]},
        {"test": "t", "name": "a", "raised": ["SystemExit", "no error of ours"]},
        {"test": "", "name": "of the run", "value": [1]},
    ]
    held = StoredObservations(rows)

    def none(_: object) -> Exchange:
        raise AssertionError

    first = held.take("t", "a")
    assert (first.recorded, first.value(int, none)) == (["r00001"], 1)
    with pytest.raises(NotStored, match="the observation 'a' in a form that can be read"):
        held.take("t", "a").value(int, none)
    with pytest.raises(EngineFailure, match="it died"):
        held.take("t", "a").value(int, none)
    with pytest.raises(HarnessProblem, match="no error of ours"):
        held.take("t", "a").value(int, none)
    with pytest.raises(NotRun, match="not in the stored run: the observation 'a'"):
        held.take("t", "a")
    assert [held.take("", "of the run").value(list[int], none) for _ in range(2)] == [[1], [1]]


def test_a_late_exchange_says_why(tmp_path: Path) -> None:
    late = sent("r00001", body=b"", status=None, error=ErrorDetail("timeout", "not complete after 20 s"))
    reply = stored(tmp_path, late).answer("t", ASKED).reply
    assert isinstance(reply, NoReply)
    assert str(reply) == "timeout: not complete after 20 s"
