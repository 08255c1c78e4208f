"""Data: the modes of the hostile endpoint, by name; each replaces all answers, or those of one route."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache, partial

from standins.hostile_server import CHAT, PROBES, Mode, Modes, Talk, completion, event, said

OK = b"HTTP/1.1 200 OK\r\n"
KIND = b"content-type: application/json\r\n"
EVENTS = OK + b"content-type: text/event-stream\r\n\r\n"
CHUNKED = OK + KIND + b"transfer-encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
MB = 1 << 20
MODELS, METRICS, VERSION, TOKENIZE = "/v1/models", "/metrics", "/version", "/tokenize"


def sends(*pieces: bytes) -> Callable[[Talk], object]:
    return lambda talk: talk.send(*pieces)


def then_hangs(*pieces: bytes) -> Callable[[Talk], object]:
    return lambda talk: (talk.send(*pieces), talk.hang())


def drips(data: bytes, *before: bytes) -> Callable[[Talk], object]:
    return lambda talk: (talk.send(*before), talk.drip(data))


def floods(piece: bytes, *before: bytes, pause_s: float = 0.0) -> Callable[[Talk], object]:
    return lambda talk: (talk.send(*before), talk.for_ever(piece, pause_s))


def body(make: Callable[[], bytes], status: str = "200 OK") -> Callable[[Talk], object]:
    """The attack with this body, which is made when it is first sent: some are large."""
    made = cache(make)
    return lambda talk: talk.json(made(), status)


def page(make: Callable[[], bytes]) -> Callable[[Talk], object]:
    made = cache(make)
    return lambda talk: talk.whole(made(), "text/plain; version=0.0.4")


def packed(make: Callable[[], bytes], coding: str) -> Callable[[Talk], object]:
    made = cache(make)
    return lambda talk: talk.whole(made(), "application/json", "200 OK", f"content-encoding: {coding}")


def moved(status: str, away: bool) -> Callable[[Talk], object]:
    def answer(talk: Talk) -> None:
        place = f"{talk.elsewhere if away else ''}{talk.seen.path}"
        talk.whole(b"", "text/plain", status, f"location: {place}")

    return answer


def streamed(attack: Callable[[Talk], object]) -> Callable[[Talk], object]:
    """The attack on streams; other chat requests get an answer."""
    return lambda talk: attack(talk) if talk.streams else talk.json(said("OK"))


def reset(talk: Talk) -> None:
    talk.send(OK + KIND + b"content-length: 100\r\n\r\n{")
    talk.reset()


chat, later = partial(Mode, route=CHAT), partial(Mode, route=CHAT, after=PROBES)
DEEP = b"[" * 100_000
DEEP_OBJECT = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
LONG = MB * 39 // 10

WIRE: Modes = {
    "silence": Mode(then_hangs()),
    "closed at once": Mode(sends()),
    "reset in the body": Mode(reset),
    "dripping status line": Mode(drips(OK * 99)),
    "dripping headers": Mode(drips(b"x-a: b\r\n" * 99, OK)),
    "endless headers": Mode(floods(b"x-a: b\r\n" * 99, OK)),
    "one endless header": Mode(floods(b"x" * 65536, OK + b"x-a: ")),
    "endless status line": Mode(floods(b"x" * 65536, b"HTTP/1.1 200 ")),
    "100 for ever, slowly": Mode(floods(CONTINUE, pause_s=0.3)),
    "100 for ever": Mode(floods(CONTINUE * 100)),
    "103 for ever": Mode(floods(EARLY * 100)),
    "101": Mode(sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")),
    "status 999": Mode(sends(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")),
    "status of 5000 digits": Mode(sends(b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n")),
    "no HTTP": Mode(sends(b"SSH-2.0-OpenSSH_9.6\r\n" * 9)),
    "HTTP/2 preface": Mode(sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    "length of 5000 digits": Mode(then_hangs(OK + KIND + b"content-length: " + b"9" * 5000 + b"\r\n\r\n{}")),
    "length below zero": Mode(then_hangs(OK + KIND + b"content-length: -5\r\n\r\n{}")),
    "chunk below zero": Mode(floods(b"x" * 65536, CHUNKED + b"-5\r\n")),
    "endless chunk size": Mode(floods(b"0" * 65536, CHUNKED)),
    "endless trailers": Mode(floods(b"x-a: b\r\n" * 99, CHUNKED + b"2\r\n{}\r\n0\r\n")),
    "dripping body": Mode(drips(b" " * 999, OK + KIND + b"content-length: 999\r\n\r\n")),
    "redirect elsewhere": Mode(moved("307 Temporary Redirect", away=True)),
    "redirect in a circle": Mode(moved("308 Permanent Redirect", away=False)),
}
BODIES: Modes = {
    "chunks of one byte, endless": later(floods(b"1\r\nx\r\n" * 5000, CHUNKED)),
    "endless body": later(floods(b"x" * 65536, OK + KIND + b"\r\n")),
    "63 MiB": later(body(lambda: said("x" * (63 * MB)))),
    "text of 40 MB": later(body(lambda: said("word " * 8_000_000))),
    "text just below the limit": later(body(lambda: said("word " * (LONG // 5)))),
    "text of one letter, just below the limit": later(body(lambda: said("a" * LONG))),
    "text of lines, just below the limit": later(body(lambda: said("a,b;\n" * (LONG // 6)))),
    "Chinese text, just below the limit": later(body(lambda: said("图" * (LONG // 6)))),
    "long error": later(body(lambda: b"x" * LONG, "500 Internal Server Error")),
    "error of 40 MB": later(body(lambda: b"y" * 40_000_000, "400 Bad Request")),
    "packed bomb": later(packed(lambda: gzip.compress(bytes(400 * MB), 6), "gzip")),
    "packed in an unknown way": later(packed(lambda: b"{}", "x" * 9000)),
    "deep arrays": later(body(lambda: b'{"choices":' + DEEP)),
    "deep objects": later(body(lambda: DEEP_OBJECT)),
    "deep content": later(body(lambda: said(None).replace(b'"content": null', b'"content": ' + DEEP_OBJECT))),
    "million choices": later(body(lambda: b'{"choices":[' + b"{}," * 1_000_000 + b"{}]}")),
    "million log probabilities": later(
        body(lambda: said("a", logprobs={"content": [{"token": "a", "logprob": -1}] * 90_000}))
    ),
    "number of a million digits": later(
        body(lambda: said("a").replace(b'"created": 1', b'"created": ' + b"9" * 1_000_000))
    ),
    "no number": later(body(lambda: said("a").replace(b'"prompt_tokens": 3', b'"prompt_tokens": NaN'))),
    "counts in words": chat(
        body(lambda: said("", {"prompt_tokens": "one", "completion_tokens": "two", "total_tokens": []}))
    ),
    "message of null": chat(body(lambda: completion(None))),
    "content of lists": later(body(lambda: said([["a"]], [1, 2]))),
    "choices as an object": later(body(lambda: b'{"choices": {"0": 1}, "usage": 3, "model": [], "id": {}}')),
    "half a body in UTF-16": later(body(lambda: said("a").decode().encode("utf-16"))),
    "characters that control": later(body(lambda: said("\x1b[2J\x00\u202e\ud800]]>" * 20_000))),
}
STREAMS: Modes = {
    "stream without end, slowly": later(streamed(floods(event("word "), EVENTS, pause_s=0.3))),
    "stream without end": later(streamed(floods(event("word ") * 50, EVENTS))),
    "comments without end": later(streamed(floods(b":\n\n" * 5000, EVENTS))),
    "event without end": later(streamed(floods(b"x" * 65536, EVENTS + b"data: "))),
    "data lines without end": later(streamed(floods(b"data: x\n" * 5000, EVENTS))),
    "events of nothing without end": later(streamed(floods(b"data:\n\n" * 5000, EVENTS))),
    "events of 60 kB": later(streamed(floods(event("x" * 60_000), EVENTS))),
    "stream that stops": later(streamed(then_hangs(EVENTS + event("word ")))),
    "events just below the limit": later(streamed(sends(EVENTS, event("w") * 19_000, b"data: [DONE]\n\n"))),
    "deep events": later(streamed(sends(EVENTS, b"data: " + DEEP + b"\n\ndata: [DONE]\n\n"))),
}
PAGES: Modes = {
    "models of 100,000 brackets": Mode(body(lambda: DEEP), MODELS),
    "100,000 models": Mode(body(lambda: b'{"data":[' + b'{"id":"m"},' * 100_000 + b'{"id":"m"}]}'), MODELS),
    "model of 3 MB": Mode(body(lambda: b'{"object":"list","data":[{"id":"' + b"m" * 3_000_000 + b'"}]}'), MODELS),
    "models that are none": Mode(body(lambda: b'{"data":{"id":[[[]]]}}'), MODELS),
    "2 million metric lines": Mode(page(lambda: b"a 1\n" * 2_000_000), METRICS),
    "a million metrics": Mode(page(lambda: b"".join(b"a%d 1\n" % number for number in range(1_000_000))), METRICS),
    "metric of one line": Mode(page(lambda: b'a{b="' + b'\\"x' * 5_000_000), METRICS),
    "metrics without end": Mode(floods(b"a 1\n" * 5000, OK + b"content-type: text/plain\r\n\r\n"), METRICS),
    "dripping metrics": Mode(drips(b"a 1\n" * 999, OK + b"content-type: text/plain\r\n\r\n"), METRICS),
    "deep version": Mode(body(lambda: DEEP), VERSION),
    "deep tokens": Mode(body(lambda: b'{"count": 3, "tokens": ' + DEEP), TOKENIZE),
    "tokens without end": Mode(body(lambda: b'{"count": 3, "tokens": [' + b"1," * 1_500_000 + b"1]}"), TOKENIZE),
}
MODES: Modes = {**WIRE, **BODIES, **STREAMS, **PAGES}
# what `make test` tries: one of each kind that could hold a run for ever or fill its memory
PART = ("100 for ever, slowly", "models of 100,000 brackets")
