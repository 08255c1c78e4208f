"""Structured output: an answer obeys the constraint of its request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from vlm_acceptance.checks.agreement import agreement
from vlm_acceptance.checks.completion import usage_is_sound
from vlm_acceptance.checks.json_start import is_start_of_json
from vlm_acceptance.checks.refusals import refused
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import FindingClass
from vlm_acceptance.core.numbers import read_json
from vlm_acceptance.core.spelling import spelled_of
from vlm_acceptance.core.text import trimmed

SHOWN = 160
_Wrong = tuple[FindingClass, str]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a request demands of the form of its answer: `fields` of the body, in words `wants`.

    The answer must be JSON that conforms to `schema` if there is one, else it must match `pattern` as a whole.
    """

    name: str
    fields: Mapping[str, Any]
    wants: str
    schema: Mapping[str, Any] | None = None
    pattern: str = ""

    @property
    def is_json(self) -> bool:
        """Whether the answer must be JSON. Blanks in it have no limit, so that `max_tokens` may cut it."""
        return self.schema is not None

    def broken_by(self, text: str) -> _Wrong | None:
        """What is wrong with a complete answer; None if it obeys."""
        if self.schema is None:
            matches = re.fullmatch(self.pattern, text)
            return None if matches else (kinds.STRUCTURED_PATTERN, f"which is not {self.wants}")
        try:
            value = read_json(text)
        except ValueError as broken:
            return kinds.STRUCTURED_JSON, f"which is not JSON ({str(broken)[:SHOWN]})"
        try:
            error = next(Draft202012Validator(self.schema).iter_errors(value), None)
        except RecursionError:
            return kinds.STRUCTURED_JSON, "which is JSON that is nested too deep"
        if error is None:
            return None
        return kinds.STRUCTURED_SCHEMA, f"which breaks the schema at {error.json_path} ({error.message[:SHOWN]})"


def obeyed(exchange: Exchange, constraint: Constraint, max_tokens: int) -> list[Finding]:
    """There is an answer, and it obeys the constraint; JSON that `max_tokens` cut must be the start of JSON."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        observed = f"{constraint.name} was sent, and there is no answer: {reply}"
        return [Finding(kinds.STRUCTURED_ANSWER, f"an answer that is {constraint.wants}", observed)]
    if constraint.is_json and reply.finish_reason == "length":
        return _cut(reply, constraint, max_tokens)
    found = []
    wrong = constraint.broken_by(reply.text)
    if wrong is not None:
        kind, why = wrong
        found.append(_about(kind, constraint, reply.text, why))
    if reply.finish_reason != "stop":
        why = f"whose finish_reason is {reply.finish_reason!r}: the constraint did not end it"
        found.append(_about(kinds.STRUCTURED_FINISH, constraint, reply.text, why))
    return found


def ends_in_a_string(exchange: Exchange) -> bool:
    """Whether the model ended its turn within a text of the JSON: some versions take the token for a part of it."""
    reply = exchange.reply
    # a letter can only stand in a text
    return isinstance(reply, Reply) and reply.finish_reason == "stop" and is_start_of_json(f"{reply.text}x")


def _cut(reply: Reply, constraint: Constraint, max_tokens: int) -> list[Finding]:
    found = usage_is_sound(reply, max_tokens=max_tokens)
    if not is_start_of_json(reply.text):
        found.append(_about(kinds.STRUCTURED_JSON, constraint, reply.text, "which is not the start of any JSON"))
    for name, listed in _listed(constraint.schema or {}).items():
        given = re.search(rf'"{name}"\s*:\s*"([^"]*)("?)', reply.text)
        if given and not (given[1] in listed if given[2] else any(one.startswith(given[1]) for one in listed)):
            why = f"whose {name!r} is none of {listed}; max_tokens cut it later"
            found.append(_about(kinds.STRUCTURED_SCHEMA, constraint, reply.text, why))
    return found


def _listed(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts that a schema lists for a key of its object: they can be judged in an answer that was cut, too."""
    keys = schema.get("properties", {})
    return {name: one["enum"] for name, one in keys.items() if one.get("type") == "string" and "enum" in one}


def _about(kind: FindingClass, constraint: Constraint, text: str, why: str) -> Finding:
    observed = f"{constraint.name} was sent, and the answer is {trimmed(text, SHOWN)}, {why}"
    return Finding(kind, f"an answer that is {constraint.wants}", observed)


def survived(exchange: Exchange, deadline_s: float) -> list[Finding]:
    """A constraint that not every backend takes is answered, or refused with a readable 4xx."""
    if isinstance(exchange.reply, Reply):
        return []
    return refused(exchange, statuses={400, 422}, deadline_s=deadline_s)


def offers(openapi: Exchange, field: str) -> bool:
    """Whether `/openapi.json` names this field of a chat request; False if that page cannot be read."""
    try:
        schema = openapi.json()["components"]["schemas"]["ChatCompletionRequest"]
        return openapi.status == 200 and field in schema["properties"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def picture_decides(seen: Sequence[tuple[str, Exchange]]) -> list[Finding]:
    """Each constrained answer about a picture has the words that the picture shows; one in four may be wrong."""
    replies = [(words, exchange.reply) for words, exchange in seen]
    wrong = [(words, reply) for words, reply in replies if isinstance(reply, Reply) and not _has(reply.text, words)]
    if len(wrong) * 4 <= len(seen):
        return []
    pairs = ", ".join(f"{trimmed(reply.text, 40)} where {words!r} is seen" for words, reply in wrong[:4])
    expected = "a constrained answer that names what the picture shows"
    return [Finding(kinds.STRUCTURED_CONTENT, expected, f"{len(wrong)} of {len(seen)} answers are wrong: {pairs}")]


def _has(text: str, words: str) -> bool:
    return all(word.casefold() in text.casefold() for word in words.split())


def unchanged(alone: Exchange, beside: Exchange, tie: float | None) -> list[Finding]:
    """A free greedy answer beside constrained requests is the one that it gets alone, but for a near-tie."""
    first, second = spelled_of(alone), spelled_of(beside)
    if isinstance(first, NoReply):
        return [Finding(kinds.PROTOCOL_ANSWER, "an answer", str(first), "alone", alone)]
    if isinstance(second, NoReply):
        observed = f"a free request beside constrained ones gets no answer: {second}"
        return [Finding(kinds.STRUCTURED_BESIDE, "the answer that it gets alone", observed, exchange=beside)]
    same = agreement(first, second, tie)
    if same.is_accepted:
        return []
    observed = f"a free request beside constrained ones is answered {trimmed(second.text, SHOWN)}; {same}"
    expected = f"the answer that it gets alone, {trimmed(first.text, SHOWN)}"
    return [Finding(kinds.STRUCTURED_BESIDE, expected, observed, exchange=beside)]
