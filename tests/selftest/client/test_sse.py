"""Server-sent events: the same frames however the bytes were cut, and nothing made up."""

from __future__ import annotations

import random

import pytest

from vlm_acceptance.client.sse import EventSplitter

EVENTS = [("", '{"a":1}'), ("", "zwei\nZeilen"), ("error", "图片里有一只猫 🐈"), ("", " two spaces"), ("", "[DONE]")]
SOURCE = (
    ': comment\ndata: {"a":1}\n\nretry: 10\n: ping\n\ndata: zwei\ndata:Zeilen\n\n'
    "event: error\nid: 7\ndata: 图片里有一只猫 🐈\n\n\n\ndata:  two spaces\n\ndata: [DONE]\n\n"
)


def split(pieces: list[bytes]) -> list[tuple[str, str]]:
    splitter = EventSplitter()
    return [(frame.event, frame.data) for n, piece in enumerate(pieces) for frame in splitter.feed(piece, n)]


def cuts(data: bytes, chance: random.Random) -> list[bytes]:
    places = sorted(chance.sample(range(len(data) + 1), chance.randint(0, 12)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_any_cut_of_the_bytes_gives_the_same_events(end: str) -> None:
    data = SOURCE.replace("\n", end).encode()
    assert split([data]) == EVENTS
    assert split([data[n : n + 1] for n in range(len(data))]) == EVENTS
    chance = random.Random(18)
    for _ in range(500):
        pieces = cuts(data, chance)
        assert split(pieces) == EVENTS, pieces


def test_mixed_line_ends_are_understood() -> None:
    assert split([b"data: a\r", b"\ndata: b\r\r", b"data: c\n\n"]) == [("", "a\nb"), ("", "c")]


@pytest.mark.parametrize("tail", [b"data: cut", b"data: cut\n", b"data: cut\r\n"])
def test_an_unfinished_event_is_no_event(tail: bytes) -> None:
    assert split([b"data: whole\n\n", tail]) == [("", "whole")]


def test_events_without_data_are_no_events_and_leave_no_name_behind() -> None:
    assert split([b"event: ping\n\n: only a comment\n\ndata: x\n\n"]) == [("", "x")]


def test_an_empty_data_line_is_an_event() -> None:
    assert split([b"data:\n\n", b"data\n\n"]) == [("", ""), ("", "")]


def test_a_frame_bears_the_time_of_its_last_byte() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\n", 1) == []
    (frame,) = splitter.feed(b"\r\n", 2)
    assert frame.at_ns == 2
    (last,) = splitter.feed(b"data: b\r\r", 3)
    assert last.at_ns == 3


def test_bytes_that_are_no_utf8_do_not_end_the_stream() -> None:
    assert split([b"data: \xff\n\ndata: b\n\n"]) == [("", "\ufffd"), ("", "b")]


def test_empty_pieces_change_nothing() -> None:
    assert split([b"data: a\r", b"", b"\n", b"", b"\r\n"]) == [("", "a")]
