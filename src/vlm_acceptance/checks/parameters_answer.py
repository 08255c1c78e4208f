"""What an answer, streamed or not, shows of its tokens: names, texts and log probabilities."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.core.exchange import Exchange, NoReply, Usage, reply_of
from vlm_acceptance.core.numbers import figure, read_json
from vlm_acceptance.core.spelling import BY_ID

# no id has more digits
BY_NUMBER = re.compile(rf"{BY_ID}(\d{{1,15}})")
# the exponent of a factor, far below what a float can hold
MOST_LARGER = 20.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One choice of an answer. `names` are the tokens, by id where the server gives ids; `texts` what each adds.

    `chosen` are their log probabilities, `listed` those of the likeliest tokens and of the chosen one; `alternatives`
    says how many tokens the server listed.
    """

    text: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    chosen: tuple[float, ...]
    listed: tuple[Mapping[str, float], ...]
    reason: str | None
    usage: Usage | None
    exchange: Exchange | None = field(default=None, compare=False, repr=False)
    alternatives: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...] | None:
        """The ids of the tokens; None if the server names a token by its text."""
        ids = [BY_NUMBER.fullmatch(name) for name in self.names]
        return tuple(int(found[1]) for found in ids if found) if all(ids) else None

    @property
    def length(self) -> int | None:
        """How many tokens were generated: by the usage, or by the log probabilities if no usage was requested."""
        if self.usage is not None:
            return self.usage.completion
        return None if self.exchange is None or asks_usage(self.exchange) else len(self.names) or None


def answer_of(exchange: Exchange) -> Answered | NoReply:
    """The only choice of an answer, or why it cannot be read."""
    found = answers_of(exchange)
    if isinstance(found, NoReply):
        return found
    return found[0] if 0 in found else NoReply("the answer has no choice with index 0", exchange)


def answers_of(exchange: Exchange) -> dict[int, Answered] | NoReply:
    """Every choice of an answer by its index, or why they cannot be read."""
    reply = reply_of(exchange)
    if isinstance(reply, NoReply):
        return reply
    try:
        parts: dict[int, list[Mapping[str, Any]]] = {}
        for body in bodies_of(exchange):
            for choice in body["choices"]:
                parts.setdefault(_index(choice), []).append(choice)
        return {index: _joined(pieces, reply.usage, exchange) for index, pieces in parts.items()}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as broken:
        why = str(broken)[:200]
        return NoReply(f"log probabilities that cannot be read ({type(broken).__name__}: {why})", exchange)


def asks_usage(exchange: Exchange) -> bool:
    """Whether the answer must have a usage: it is not streamed, or the request asks for it."""
    body = exchange.request.body
    return not exchange.request.stream or (isinstance(body, dict) and bool(body.get("stream_options")))


def bodies_of(exchange: Exchange) -> Iterator[Any]:
    """The body of an answer, or each chunk of a streamed one; ValueError when one is not JSON."""
    if not exchange.request.stream:
        yield exchange.json()
        return
    for frame in exchange.frames:
        if frame.data.strip() != "[DONE]":
            yield read_json(frame.data)


def chance_log(answer: Answered, temperature: float, tokens: int | None = None) -> float:
    """The logarithm of the chance that sampling gives the first `tokens` of an answer again; never too low.

    It is exact at temperature 1. At a higher one, the tokens that are not listed get the least that they can have.
    """
    places = list(zip(answer.names, answer.listed, strict=True))[:tokens]
    chances = [share(listed[name] / temperature) / mass(listed, name, temperature) for name, listed in places]
    # a chance that is too small for a float says nothing
    return sum(math.log(chance) for chance in chances if chance)


def likeliest_chances(answer: Answered, temperature: float) -> list[float]:
    """For each token, the chance that the likeliest one is sampled: exact at temperature 1, never too low."""
    places = zip(answer.names, answer.listed, strict=True)
    return [share(max(listed.values()) / temperature) / mass(listed, name, temperature) for name, listed in places]


def mass(listed: Mapping[str, float], name: str, temperature: float) -> float:
    """The sum of the scores of all tokens in the place of token `name`: exact at temperature 1, never too high.

    What is not listed is at most as likely as the least of the likeliest tokens; so few tokens share the rest at least.
    """
    total = math.fsum(share(value / temperature) for value in listed.values())
    if temperature >= 1:
        rest = max(0.0, 1.0 - math.fsum(map(share, listed.values())))
        most = min((value for token, value in listed.items() if token != name), default=0.0)
        # each has at most this share, which a temperature makes larger by this factor
        total += rest * math.exp(min(min(most, 0.0) * (1 / temperature - 1), MOST_LARGER))
    return total or 1.0


def share(logprob: float) -> float:
    """The probability of a logarithm; what is above zero is certain."""
    return math.exp(min(0.0, logprob))


def first_difference(one: Sequence[str], other: Sequence[str]) -> int | None:
    """The place of the first different token; None where they are the same."""
    if one == other:
        return None
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def sampled_places(answer: Answered, tie: float) -> list[int]:
    """The places of tokens that are more than `tie` nats less likely than the likeliest one."""
    pairs = enumerate(zip(answer.chosen, answer.listed, strict=True))
    return [place for place, (chosen, listed) in pairs if max(listed.values()) - chosen > tie]


def _index(choice: Mapping[str, Any]) -> int:
    index = choice["index"]
    if type(index) is not int:
        raise ValueError("the index of a choice is not a number")
    return index


def _joined(pieces: Sequence[Mapping[str, Any]], usage: Usage | None, exchange: Exchange) -> Answered:
    """One choice from its pieces: a whole one, or one of each chunk."""
    entries = [entry for piece in pieces for entry in (piece.get("logprobs") or {}).get("content") or ()]
    said = [piece["message"] if "message" in piece else piece["delta"] for piece in pieces]
    reason = next((piece["finish_reason"] for piece in pieces if piece.get("finish_reason")), None)
    chosen = tuple(figure(entry["logprob"]) for entry in entries)
    names = tuple(str(entry["token"]) for entry in entries)
    return Answered(
        text="".join(part.get("content") or "" for part in said),
        names=names,
        texts=tuple(map(_text, entries)),
        chosen=chosen,
        listed=tuple(
            {**{str(one["token"]): figure(one["logprob"]) for one in entry.get("top_logprobs") or ()}, name: own}
            for entry, name, own in zip(entries, names, chosen, strict=True)
        ),
        reason=reason,
        usage=usage,
        exchange=exchange,
        alternatives=tuple(len(entry.get("top_logprobs") or ()) for entry in entries),
    )


def _text(entry: Mapping[str, Any]) -> str:
    listed = entry.get("bytes")
    return str(entry["token"]) if listed is None else bytes(listed).decode("utf-8", "replace")
