"""Every figure that the checks of parameters read off the wire: rows for the walk of values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.support.judged_wire import (
    BY_ID,
    COMPLETION,
    COUNTS,
    GOOD,
    MISSING,
    PLACES,
    PROMPT,
    WRITTEN,
    Row,
    exchange,
    written,
)
from vlm_acceptance.checks import parameters, parameters_body, parameters_defaults, parameters_tokens
from vlm_acceptance.checks.parameters_answer import Answered, answer_of
from vlm_acceptance.core.exchange import CHAT, Exchange, Frame, Request

SECOND = "token_id:4"
TIE = 0.5


def _whole(**more: Any) -> dict[str, Any]:
    body = copy.deepcopy(BY_ID)
    body["choices"][0] |= {"token_ids": [5, 4]}
    return {**body, "prompt_token_ids": [1, 2, 3, 4, 5], **more}


PROMPT_LOGPROBS = [None, *({"seven": {"logprob": -1.0}} for _ in range(4))]
WHOLE = _whole(prompt_logprobs=PROMPT_LOGPROBS)
CACHED = copy.deepcopy(BY_ID)
CACHED["usage"]["prompt_tokens_details"] = {"cached_tokens": 3}


def _reference() -> Answered:
    answer = answer_of(exchange(json.dumps(BY_ID).encode()))
    assert isinstance(answer, Answered)
    return answer


def _nothing(_token: str, _before: object) -> float:
    return 0.0


def _sound() -> Exchange:
    return exchange(json.dumps(BY_ID).encode())


def _seeded(seen: Exchange) -> object:
    return parameters.seed_holds([_sound(), seen], _sound(), 1.5, exact=True)


LOGPROBS: dict[str, Callable[[Exchange], object]] = {
    "is_greedy": lambda seen: parameters.is_greedy("top_k", seen),
    "is_sampled": lambda seen: parameters.is_sampled("temperature 1.5", [_sound(), seen], 1.5),
    "seed_holds": _seeded,
    "choices_differ": lambda seen: parameters.choices_differ(seen, 1, 1.5),
    "leaves": lambda seen: parameters_tokens.leaves("p", seen, _reference(), _nothing, TIE),
    "repeats_less": lambda seen: parameters_tokens.repeats_less("p", seen, _reference()),
    "only": lambda seen: parameters_tokens.only("p", seen, [5, 4]),
    "never": lambda seen: parameters_tokens.never("p", seen, ["token_id:7"], "x"),
    "ends_at": lambda seen: parameters_tokens.ends_at("p", seen, SECOND, _reference(), TIE),
    "same_when_named": lambda seen: parameters_defaults.same_when_named(seen, _sound(), {}, TIE, 0.1),
    "same_sample": lambda seen: parameters_defaults.same_sample(seen, _sound(), {}),
    "is_not_narrowed": lambda seen: parameters_defaults.is_not_narrowed(seen, 1.5),
    "is_unpenalised": parameters_defaults.is_unpenalised,
    "lists_alternatives": lambda seen: parameters_body.lists_alternatives("top_logprobs", seen, 5),
}
COUNTED: dict[str, tuple[Callable[[Exchange], object], tuple[str, ...]]] = {
    "has_length": (lambda seen: parameters.has_length("max_tokens", seen, 2, 2, "stop"), (COMPLETION,)),
    "choices_differ": (LOGPROBS["choices_differ"], (COMPLETION, "choices.0.index")),
    "lists_alternatives": (LOGPROBS["lists_alternatives"], (COMPLETION,)),
    "lists_prompt": (parameters_body.lists_prompt, (PROMPT,)),
    "gives_ids": (parameters_body.gives_ids, (PROMPT, COMPLETION)),
    "prompt_is": (lambda seen: parameters_body.prompt_is(seen, 5, "echo"), (PROMPT,)),
    "prompt_is_shorter": (lambda seen: parameters_body.prompt_is_shorter("echo", seen, _longer()), (PROMPT,)),
    "cached_tokens": (lambda seen: parameters_body.cached_tokens([seen]), (PROMPT,)),
}


def _longer() -> Exchange:
    body = copy.deepcopy(BY_ID)
    body["usage"] = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    return exchange(json.dumps(body).encode())


def _of(what: Any, path: str, judge: Callable[[Exchange], object]) -> Callable[[str], object]:
    return lambda text: judge(exchange(written(what, path, text)))


def _of_chunk(path: str) -> Callable[[str], object]:
    """The usage of the only chunk with text, of a stream whose usage in the end is right."""
    choice = {"index": 0, "delta": {"content": "It is 42."}, "finish_reason": "stop"}
    chunk = {**BY_ID, "choices": [choice]}
    request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)

    def judge(text: str) -> object:
        raw = (written(chunk, path, text), json.dumps({**BY_ID, "choices": []}).encode(), b"[DONE]")
        frames = tuple(Frame(at, one.decode()) for at, one in enumerate(raw, 1))
        return parameters_body.usage_grows(replace(_sound(), request=request, body=b"", frames=frames))

    return judge


def rows() -> Iterator[Row]:
    """All figures that the checks of parameters judge."""
    what = {"cached_tokens": CACHED}
    for name, judge in LOGPROBS.items():
        yield from (Row(f"{name} {path}", _of(BY_ID, path, judge), PLACES[path], WRITTEN) for path in PLACES)
    for name, (judge, paths) in COUNTED.items():
        body = what.get(name, WHOLE)
        yield from (Row(f"{name} {path}", _of(body, path, judge), GOOD[path], COUNTS) for path in paths)
    for path in (PROMPT, COMPLETION):
        yield Row(f"usage_grows {path}", _of_chunk(path), GOOD[path], COUNTS)
    first = "prompt_logprobs.1.seven.logprob"
    yield Row("lists_prompt logprob", _of(WHOLE, first, parameters_body.lists_prompt), "-1.0", WRITTEN)
    ids = tuple(text for text in COUNTS if text != MISSING)
    for path in ("choices.0.token_ids.0", "prompt_token_ids.0"):
        good = "5" if path.startswith("choices") else "1"
        yield Row(f"gives_ids {path}", _of(WHOLE, path, parameters_body.gives_ids), good, ids)
    cached = "usage.prompt_tokens_details.cached_tokens"
    counts = tuple(text for text in COUNTS if text != MISSING)
    judge = COUNTED["cached_tokens"][0]
    yield Row("cached_tokens", _of(CACHED, cached, judge), "3", counts)
