"""Stored answers that a deployment scores: the shortest prompts first, few at once, none that needs much memory.

For the log probabilities of a prompt an engine holds a number of each token of its vocabulary at every place, several
times, which it never plans for. A right deployment must not run out of memory by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlm_acceptance.core.exchange import Exchange, NoReply
from vlm_acceptance.core.logprobs import LogProbs, StoredLogProbs
from vlm_acceptance.core.scored_answers import (
    OtherTokens,
    can_be_scored,
    has_no_list,
    is_refused,
    scored_of,
    shortened,
)
from vlm_acceptance.core.spelling import TOP
from vlm_acceptance.workloads.logprobs import ChatClient, is_too_many, score_body

MOST_PLACES = 1024
# of a file that does not say how many places its prompts have
MOST_PICTURES = 1
CLIENT_ERRORS = range(400, 500)


@dataclass(frozen=True, slots=True)
class Scoring:
    """What came back: by prompt id what was given to its answer, and every exchange; `top` tokens were asked for.

    `not_offered` says why the server does not score, and `broken` is its first answer if that was a server's error:
    then nothing more was asked.
    """

    exchanges: Sequence[Exchange] = ()
    seen: Mapping[str, LogProbs | NoReply] = field(default_factory=dict)
    top: int = TOP
    not_offered: str = ""
    broken: NoReply | None = None

    @property
    def count(self) -> int:
        """How many answers were scored."""
        return sum(isinstance(one, LogProbs) for one in self.seen.values())


def short_rows(rows: Sequence[StoredLogProbs], places: Mapping[str, int]) -> list[StoredLogProbs]:
    """The rows that can be scored at little cost, the shortest first; `places` of prompts by id, if they are known."""

    def length(row: StoredLogProbs) -> tuple[int, int]:
        return places.get(row.prompt.id, 0), len(row.prompt.pictures)

    def is_short(row: StoredLogProbs) -> bool:
        known = places.get(row.prompt.id)
        return len(row.prompt.pictures) <= MOST_PICTURES if known is None else known <= MOST_PLACES

    return sorted((row for row in rows if can_be_scored(row.logprobs) and is_short(row)), key=length)


def score(client: ChatClient, rows: Sequence[StoredLogProbs], images: Path, concurrency: int, top: int) -> Scoring:
    """Have the answers of the rows scored; the first answer says whether the server offers it. There must be a row."""

    def send(some: Sequence[StoredLogProbs], at_once: int) -> list[Exchange]:
        return client.all([score_body(client.model_id, row, images, top) for row in some], at_once, shortened)

    first = send(rows[:1], 1)
    if is_too_many(first[0], top):
        top = TOP
        first = send(rows[:1], 1)
    exchange = first[0]
    if is_refused(exchange):
        return Scoring(first, not_offered=str(exchange.reply))
    if has_no_list(exchange):
        return Scoring(first, not_offered="the answer has no list of prompt_logprobs")
    answer = scored_of(exchange, rows[0].logprobs)
    if exchange.status is None or exchange.status >= CLIENT_ERRORS.stop:
        return Scoring(first, broken=answer if isinstance(answer, NoReply) else NoReply("no answer", exchange))
    exchanges = [*first, *send(rows[1:], concurrency)]
    seen: dict[str, LogProbs | NoReply] = {}
    for row, one in zip(rows, exchanges, strict=True):
        if one.status in CLIENT_ERRORS:
            continue  # this prompt is refused: it is left out
        scores = scored_of(one, row.logprobs)
        if not isinstance(scores, OtherTokens):
            seen[row.prompt.id] = scores
    return Scoring(exchanges, seen, top)
