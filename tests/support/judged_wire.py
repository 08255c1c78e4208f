"""Every figure that a check reads off the wire, and how to write anything in its place: rows for the walk of values.

`judge(good)` of a row is empty; with a bad text in place of the figure it is not, or it raises.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlm_acceptance.checks import (
    answer,
    challenge,
    completion,
    conversation,
    edge_inputs,
    golden_answers,
    hang,
    logprobs,
    pictures,
    server_info,
    stream,
)
from vlm_acceptance.checks.served_prompt import PromptTokens, read_tokens
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core import logprobs as read_logprobs
from vlm_acceptance.core import scored_answers
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import CHAT, NS, Exchange, Frame, NoReply, Reply, Request, Usage
from vlm_acceptance.core.tiles import TileRule

MISSING = "missing"
WRITTEN = ("NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, '"text"', '"1"', "true", "[]", MISSING)
COUNTS = (*WRITTEN, "-0.0", "-1", "1.5")
SAMPLES = ("NaN", "+Inf", "-Inf", "1e999", "text", "true", "", MISSING)
TEXT = "It is 42."
RULE = TileRule(28, 16, 1, 12, True)
LIMITS = LogProbLimits(alarm=0.1, alarm_prompt=0.2, common_top=0.9, tie=0.5, steady=0.1, steady_prompt=0.2)
PROMPT, COMPLETION, TOTAL = (f"usage.{name}_tokens" for name in ("prompt", "completion", "total"))
GOOD = {PROMPT: "5", COMPLETION: "2", TOTAL: "7", "choices.0.index": "0", "created": "1764000000"}
ENTRY = "choices.0.logprobs.content.0"
PLACES = {f"{ENTRY}.logprob": "-0.05", f"{ENTRY}.top_logprobs.1.logprob": "-8.0"}
OWN = Picture(Path("a.png"), (("42",),), frozenset({"42"}))
QUESTION = Question("q", "What?", "en", (1, 9), 64, 0, (OWN,))


@dataclass(frozen=True, slots=True)
class Row:
    """A judged figure: with `good` there is no finding, with each of `bad` there is."""

    name: str
    judge: Callable[[Any], object]
    good: Any
    bad: Sequence[Any]


def written(value: Any, path: str, text: str) -> bytes:
    """The value as JSON with `text` in the place of a part of it, or without this part for MISSING."""
    place = whole = copy.deepcopy(value)
    *folders, last = path.split(".")
    for key in folders:
        place = place[_key(place, key)]
    last_key = _key(place, last)
    place[last_key] = "@@@"
    if text == MISSING:
        del place[last_key]
    return json.dumps(whole).replace('"@@@"', text).encode()


def _key(place: Any, key: str) -> int | str:
    return int(key) if isinstance(place, list) else key


def _token(token: str, p: float) -> dict[str, Any]:
    listed = [(token, p), *((f"token_id:{900 + n}", -8.0 - n) for n in range(4))]
    top = [{"token": name, "logprob": value, "bytes": None} for name, value in listed]
    return {**top[0], "top_logprobs": top}


def _body(first: str, second: str) -> dict[str, Any]:
    logprobs = {"content": [_token(first, -0.05), _token(second, -0.1)]}
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    head = {"id": "c", "object": "chat.completion", "created": 1764000000, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


PLAIN, BY_ID = _body("It is", " 42."), _body("token_id:5", "token_id:4")
# a stored answer of the tokens 5 and 4 that was scored; 4 ends it
SCORED = {
    **_body("token_id:4", "token_id:4"),
    "prompt_token_ids": [1, 5],
    "prompt_logprobs": [None, {"5": {"logprob": -0.05}, **{f"{900 + n}": {"logprob": -8.0 - n} for n in range(4)}}],
}
SCORES = {"prompt_logprobs.1.5.logprob": "-0.05", "prompt_logprobs.1.900.logprob": "-8.0", **PLACES}
CHUNK = {
    **PLAIN,
    "object": "chat.completion.chunk",
    "choices": [{**PLAIN["choices"][0], "delta": {"role": "assistant"}}],
}
TEXT_CHUNK = {key: value for key, value in CHUNK.items() if key != "usage"}
USAGE_CHUNK = {**CHUNK, "choices": []}


def exchange(raw: bytes, path: str = CHAT) -> Exchange:
    """A whole response with status 200."""
    kind = {"content-type": "application/json"}
    return Exchange("r1", Request("POST", path, {}), "t", 0, NS, 200, kind, body=raw)


SOUND = exchange(json.dumps(PLAIN).encode())


def _reply(prompt: int) -> Reply:
    return Reply(TEXT, "stop", Usage(prompt, 2, prompt + 2), "m", 1.0)


def _lost(seen: Exchange) -> bool:
    """Whether there is no answer: then another check of the same test refuses it."""
    return isinstance(seen.reply, NoReply)


def _picture(seen: Exchange) -> object:
    reply = seen.reply
    return str(reply) if isinstance(reply, NoReply) else answer.judge_picture(QUESTION, OWN, reply)


def _cut(seen: Exchange) -> object:
    return completion.cut_at(replace(seen, body=seen.body.replace(b'"stop"', b'"length"')), 2)


def _golden(seen: Exchange) -> object:
    return golden_answers.answers_match([{"id": "a", "answer": TEXT, "prompt_tokens": 5}], [seen.reply])


def _new_texts(seen: Exchange) -> object:
    counts = {"AA": 3, "BA": 5, "BB": 7, "AAA": 4, "AAAA": 5}
    return challenge.tokens_follow_texts({**{name: _reply(count) for name, count in counts.items()}, "AB": seen.reply})


def _tiles(seen: Exchange) -> object:
    return pictures.tokens_match_tiles([(28, 28), (28, 28)], [_reply(5), seen.reply], RULE)


def _parts(seen: Exchange) -> object:
    replies = {"alone": _reply(3), "longer": _reply(5), "talk": _reply(3), "part": seen.reply}
    return conversation.parts_arrive(replies, ("alone", "longer"), "talk", ["part"])


def _turns(seen: Exchange) -> object:
    replies = {"alone": _reply(3), "longer": _reply(5), "talk": _reply(3), "part": seen.reply}
    return conversation.pictures_cost_as_alone(replies, ("alone", "longer"), "talk", ["part"])


def _turn_tiles(seen: Exchange) -> object:
    return conversation.tiles_arrive({"talk": _reply(3), "part": seen.reply}, "talk", {"part": 2})


def _known() -> read_logprobs.LogProbs:
    known = read_logprobs.logprobs_of(exchange(json.dumps(BY_ID).encode()))
    assert isinstance(known, read_logprobs.LogProbs)
    return known


def _against_baseline(seen: Exchange) -> object:
    return logprobs.against_baseline({"a": _known()}, {"a": read_logprobs.logprobs_of(seen)}, LIMITS)[0]


def _scored(seen: Exchange) -> object:
    scores = scored_answers.scored_of(seen, _known())
    assert not isinstance(scores, scored_answers.OtherTokens)
    return logprobs.against_baseline({"a": _known()}, {"a": scores}, LIMITS)[0]


def _alike(seen: Exchange) -> object:
    return logprobs.alike({"a": _known()}, {"a": read_logprobs.logprobs_of(seen)}, LIMITS, exact=False)[0]


ANSWERS: dict[str, tuple[Callable[[Exchange], object], tuple[str, ...]]] = {
    "body_conforms": (lambda seen: completion.body_conforms("completion", seen), tuple(GOOD)),
    "usage_of_exchange": (lambda seen: completion.usage_of_exchange(seen, 64), (PROMPT, COMPLETION, TOTAL)),
    "own_tokens": (lambda seen: completion.own_tokens(seen, 64), (PROMPT, COMPLETION, TOTAL)),
    "choices_are": (lambda seen: completion.choices_are(seen, 1), (PROMPT, COMPLETION, "choices.0.index")),
    "logprobs_are": (lambda seen: completion.logprobs_are(seen, 5), (COMPLETION,)),
    "cut_at": (_cut, (COMPLETION,)),
    "same_usage": (lambda seen: completion.same_usage(seen, SOUND) or _lost(seen), (PROMPT, COMPLETION, TOTAL)),
    "stops": (lambda seen: edge_inputs.stops(seen.reply, 8), (COMPLETION,)),
    "prompt_tokens_are": (lambda seen: edge_inputs.prompt_tokens_are(seen.reply, 5) or _lost(seen), (PROMPT,)),
    "tokens_grow_evenly": (lambda seen: pictures.tokens_grow_evenly({0: _reply(4), 1: seen.reply}, 1), (PROMPT,)),
    "tokens_match_tiles": (_tiles, (PROMPT,)),
    "tokens_follow_texts": (_new_texts, (PROMPT,)),
    "parts_arrive": (_parts, (PROMPT,)),
    "pictures_cost_as_alone": (_turns, (PROMPT,)),
    "tiles_arrive": (_turn_tiles, (PROMPT,)),
    "same_count": (lambda seen: conversation.same_count(seen.reply, 5, "x", "x"), (PROMPT,)),
    "answers_match": (_golden, (PROMPT,)),
    "judge_picture": (_picture, (COMPLETION,)),
}
TOKENS: dict[str, tuple[Callable[[Exchange], object], Any]] = {
    "body_conforms": (lambda seen: completion.body_conforms("completion", seen), PLAIN),
    "logprobs_are": (lambda seen: completion.logprobs_are(seen, 5), PLAIN),
    "greedy": (lambda seen: completion.greedy(seen, 0.5), PLAIN),
    "own_tokens": (lambda seen: completion.own_tokens(seen, 64), PLAIN),
    "against_baseline": (_against_baseline, BY_ID),
    "alike": (_alike, BY_ID),
}


def _of_body(what: Any, path: str, judge: Callable[[Exchange], object], route: str = CHAT) -> Callable[[str], object]:
    return lambda text: judge(exchange(written(what, path, text), route))


def _of_chunk(number: int, path: str) -> Callable[[str], object]:
    request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)
    kind = {"content-type": "text/event-stream"}

    def judge(text: str) -> object:
        raw = [json.dumps(one).encode() for one in (TEXT_CHUNK, USAGE_CHUNK)]
        raw[number] = written((TEXT_CHUNK, USAGE_CHUNK)[number], path, text)
        frames = tuple(Frame(at, one.decode()) for at, one in enumerate((*raw, b"[DONE]"), 1))
        return stream.stream_is_sound(Exchange("s", request, "t", 0, NS, 200, kind, frames=frames), expect_usage=True)

    return judge


def page(name: str, sample: str) -> Exchange:
    """A /metrics page with one figure of vLLM's, of two engines, the second as it is given."""
    line = "" if sample == MISSING else f'vllm:{name}_total{{engine="1"}} {sample}\n'
    return exchange(f'vllm:{name}_total{{engine="0"}} {0 if line else "NaN"}\n{line}vllm:a 1\n'.encode(), "/metrics")


def _hangs(sample: str) -> object:
    """Requests in flight for 99 s, while the count of tokens is this or, if it is 'grows', more each second."""
    pages = [page("generation_tokens", str(n) if sample == "grows" else sample) for n in range(100)]
    seen = [hang.Reading(float(n), server_info.figures_in(one), 1, 1) for n, one in enumerate(pages)]
    # a page that cannot be read at all is refused by metrics_present
    return hang.not_hung(hang.hang_in(seen, 60)) or server_info.figures_in(pages[0]) is None


def _cached(sample: str) -> object:
    return server_info.without_hits(
        server_info.cache_uses(page("mm_cache_hits", "0"), page("mm_cache_hits", sample))[1:]
    )


def _running(sample: str) -> float | None:
    return server_info.figure_of(server_info.figures_in(page("num_requests_running", sample)), hang.RUNNING)


def _metrics() -> Iterator[Row]:
    tokens = "vllm:prompt_tokens"
    judges: dict[str, tuple[Callable[[str], object], str]] = {
        "metrics_present": (lambda text: server_info.metrics_present(page("prompt_tokens", text), [tokens]), "6"),
        "metrics_moved to": (
            lambda text: server_info.metrics_moved(page("prompt_tokens", "5"), page("prompt_tokens", text), [tokens]),
            "6",
        ),
        "metrics_moved from": (
            lambda text: server_info.metrics_moved(page("prompt_tokens", text), page("prompt_tokens", "7"), [tokens]),
            "6",
        ),
        "without_hits": (_cached, "6"),
        "hang_in": (_hangs, "grows"),
        "counted_while_running": (lambda text: hang.counted_while_running(0.0, [_running(text)]), "1"),
        "freed": (lambda text: hang.freed(0.0, [(0.1, _running(text))], 1.0), "0"),
    }
    for name, (judge, good) in judges.items():
        yield Row(f"{name} /metrics", judge, good, SAMPLES)


def rows() -> Iterator[Row]:
    """All figures of bodies, streams and /metrics."""
    for name, (judge, paths) in ANSWERS.items():
        yield from (Row(f"{name} {path}", _of_body(PLAIN, path, judge), GOOD[path], COUNTS) for path in paths)
    for name, (judge, what) in TOKENS.items():
        yield from (Row(f"{name} {path}", _of_body(what, path, judge), PLACES[path], WRITTEN) for path in PLACES)
    yield from (Row(f"scored {path}", _of_body(SCORED, path, _scored), good, WRITTEN) for path, good in SCORES.items())
    for path in (PROMPT, COMPLETION, TOTAL):
        yield Row(f"stream_is_sound {path}", _of_chunk(1, path), GOOD[path], COUNTS)
    for path in ("choices.0.index", "created"):
        yield Row(f"stream_is_sound {path}", _of_chunk(0, path), GOOD[path], COUNTS)
    for path in PLACES:
        yield Row(f"stream_is_sound {path}", _of_chunk(0, path), PLACES[path], WRITTEN)
    models = {
        "object": "list",
        "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "v", "max_model_len": 64}],
    }
    # a context length is compared only if one is reported
    lengths = tuple(text for text in COUNTS if text != MISSING)
    listed = _of_body(models, "data.0.max_model_len", lambda seen: server_info.lists_model(seen, "m", 64), "/v1/models")
    yield Row("lists_model", listed, "64", lengths)
    counted = _of_body({"count": 5}, "count", lambda seen: pictures.tokenize_agrees(seen, _reply(5)), "/tokenize")
    yield Row("tokenize_agrees", counted, "5", COUNTS)
    ids = _of_body(
        {"tokens": [1, 2]}, "tokens.0", lambda seen: not isinstance(read_tokens(seen), PromptTokens), "/tokenize"
    )
    yield Row("read_tokens", ids, "1", [text for text in COUNTS if text not in (MISSING, "-1")])
    yield from _metrics()
