"""The log probabilities that a deployment gives to the tokens of a stored answer, which it gets as part of its prompt.

vLLM: `continue_final_message` puts the answer at the end of the prompt, `prompt_logprobs` lists for each place of the
prompt its token and the likeliest ones, `return_token_ids` names the tokens. Tokens in a prompt are those of its text:
a slow tokenizer may split an answer differently from how it was generated. Such an answer cannot be scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlm_acceptance.core.exchange import Exchange, NoReply, UnreadableError, read_or_reason
from vlm_acceptance.core.files import BadFile, parse_json, read_lines
from vlm_acceptance.core.logprobs import LogProbs, listed_in
from vlm_acceptance.core.numbers import figure

PLACES, TOKENS, KEPT = "prompt_logprobs", "prompt_token_ids", "kept_places"
# the key of a reference's row
TOKENS_KEPT = "prompt_tokens"
HTTP_OK = 200
# statuses by which a server refuses a parameter that it does not offer
REFUSED = (400, 404, 405, 415, 422, 501)


@dataclass(frozen=True, slots=True)
class OtherTokens:
    """The answer has other tokens in the prompt than it was generated with."""

    exchange: Exchange


def params(top: int) -> dict[str, Any]:
    """The fields of a chat request that scores its last message, the `top` likeliest tokens at each place."""
    return {
        "max_tokens": 1,
        "add_generation_prompt": False,
        "continue_final_message": True,
        PLACES: top,
        "return_token_ids": True,
        "logprobs": True,
        "top_logprobs": top,
        "return_tokens_as_token_ids": True,
    }


def can_be_scored(stored: LogProbs) -> bool:
    """Whether an answer has a text to continue: tokens besides the one that ends it."""
    return len(stored.tokens) > 1 and bool(stored.text.strip())


def is_refused(exchange: Exchange) -> bool:
    """Whether the server refuses to score."""
    return exchange.status in REFUSED


def has_no_list(exchange: Exchange) -> bool:
    """Whether a good answer has no list of scores at all, as of a server that ignores the parameter."""
    try:
        body = exchange.json()
    except ValueError:
        return False
    return exchange.status == HTTP_OK and isinstance(body, dict) and body.get(PLACES) is None


def places_in(path: Path) -> dict[str, int]:
    """How many tokens each prompt of a baseline has, by its id, where the file says so: ids and runs of [id, count]."""
    found: dict[str, int] = {}
    for _, line in read_lines(path):
        try:
            row = parse_json(line)
            if isinstance(row, dict) and isinstance(row.get(TOKENS_KEPT), list):
                found[str(row["id"])] = sum(1 if isinstance(one, int) else int(one[1]) for one in row[TOKENS_KEPT])
        except (BadFile, KeyError, IndexError, TypeError, ValueError):
            continue  # rows are judged where they are read
    return found


def shortened(exchange: Exchange) -> Exchange:
    """The exchange with the last places of the prompt alone, at most `max_tokens` of the stored answer and one.

    A prompt with a picture has many hundred places, of which the answer's are few; a run stores only these. What cannot
    be read stays as it is.
    """
    most = _answer_places(exchange.request.body)
    try:
        body = exchange.json()
        places, tokens = body[PLACES], body[TOKENS]
        if len(places) != len(tokens) or len(places) <= most:
            return exchange
        body |= {PLACES: places[-most:], TOKENS: tokens[-most:], KEPT: f"the last {most} of {len(places)}"}
    except (ValueError, KeyError, TypeError):
        return exchange
    return replace(exchange, body=json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))


def _answer_places(body: Any) -> int:
    """So many places as the answer in a request can have tokens: no token is shorter than a byte."""
    text = body["messages"][-1]["content"]
    return len(str(text).encode("utf-8", "replace")) + 2


def scored_of(exchange: Exchange, stored: LogProbs) -> LogProbs | OtherTokens | NoReply:
    """What the server gives to the tokens of the stored answer, at each of their places; or why there is nothing."""
    return read_or_reason(exchange, lambda: _scored(exchange, exchange.json(), stored.tokens))


def _scored(exchange: Exchange, body: Any, tokens: Sequence[int]) -> LogProbs | OtherTokens:
    places, ids = body.get(PLACES), body.get(TOKENS)
    if not isinstance(places, list) or not isinstance(ids, list):
        raise UnreadableError(f"no list of {PLACES if not isinstance(places, list) else TOKENS}")
    if len(places) != len(ids):
        raise UnreadableError(f"{len(places)} {PLACES} of {len(ids)} {TOKENS}")
    if ids[-len(tokens) :] == list(tokens):
        top = [_listed(place, token) for place, token in zip(places[-len(tokens) :], tokens, strict=True)]
        return LogProbs("", tuple(tokens), tuple(top), exchange)
    before = tokens[:-1]  # the last one ends an answer, and is no part of its text
    if ids[-len(before) :] != list(before):
        return OtherTokens(exchange)
    top = [_listed(place, token) for place, token in zip(places[-len(before) :], before, strict=True)]
    entry = body["choices"][0]["logprobs"]["content"][0]
    last, at_end = listed_in(entry)
    own = tokens[-1] if tokens[-1] in at_end else last
    return LogProbs("", (*before, own), (*top, at_end), exchange)


def _listed(place: Any, token: int) -> Mapping[int, float]:
    if not isinstance(place, dict):
        raise UnreadableError(f"a place of {PLACES} is {place!r:.40}, not an object")
    listed = {int(name): figure(one["logprob"]) for name, one in place.items()}
    if token not in listed:
        raise UnreadableError(f"a place of {PLACES} does not list its own token, {token}")
    return listed
