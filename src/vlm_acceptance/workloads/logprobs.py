"""Requests for log probabilities, to the server and to the offline engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.core import scored_answers
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.logprobs import LogProbPrompt, StoredLogProbs, params
from vlm_acceptance.core.spelling import TOP

TOGETHER = 16  # prompts sent alone and in one batch, and prompts of the offline engine
# conditions under which a recording is repeated: how many requests at once
CONDITIONS: Mapping[str, int] = {"one-at-a-time": 1, "together": 16, "no-cache": 4}
OFFLINE = "logprobs/"  # the start of their ids in the offline engine
# statuses by which a server refuses to list so many tokens: it may be started with a lower --max-logprobs
TOO_MANY = (400, 422)


class ChatClient(Protocol):
    """What sends many chat requests."""

    @property
    def model_id(self) -> str:
        """The name of the model in a request."""

    def all(
        self, bodies: Sequence[dict[str, Any]], concurrency: int, form: Callable[[Exchange], Exchange] = ...
    ) -> list[Exchange]:
        """The exchange of each body, of which `form` makes what is kept."""


def logprob_body(model: str, prompt: LogProbPrompt, images: Path, top: int = TOP, **more: Any) -> dict[str, Any]:
    """A greedy request for an answer with the log probabilities of the `top` likeliest tokens; `more` are fields."""
    urls = [png_url(images / name) for name in prompt.pictures]
    fields = {"max_tokens": prompt.max_tokens, **params(top), **more}
    body = chat_body(model, prompt.prompt, urls, **fields)
    if prompt.system:
        body["messages"].insert(0, {"role": "system", "content": prompt.system})
    return body


def is_too_many(exchange: Exchange, top: int) -> bool:
    """Whether the server may refuse a request because it asks for more likely tokens than the usual few."""
    return top > TOP and exchange.status in TOO_MANY


def asked(
    client: ChatClient, prompts: Sequence[LogProbPrompt], images: Path, concurrency: int, top: int, **fields: Any
) -> tuple[list[Exchange], int]:
    """The exchanges of the prompts, and how many likely tokens they list: TOP if the first request for more is refused.

    `fields` are added to every request.
    """

    def send(some: Sequence[LogProbPrompt], top: int, at_once: int) -> list[Exchange]:
        return client.all([logprob_body(client.model_id, one, images, top, **fields) for one in some], at_once)

    if top <= TOP:
        return send(prompts, top, concurrency), top
    first = send(prompts[:1], top, 1)
    if not is_too_many(first[0], top):
        return [*first, *send(prompts[1:], top, concurrency)], top
    return send(prompts, TOP, concurrency), TOP


def repeated(condition: str, chance: Chance, without: Collection[str]) -> tuple[int, dict[str, Any]]:
    """How many requests at once a repeat sends, and the fields that it adds; none that the endpoint does not take."""
    is_cold = condition == "no-cache" and "cache_salt" not in without
    return CONDITIONS[condition], {"cache_salt": chance.hex(16)} if is_cold else {}


def score_body(model: str, stored: StoredLogProbs, images: Path, top: int) -> dict[str, Any]:
    """A request that gets the stored answer as the last message, and lists what its tokens are given."""
    body = logprob_body(model, stored.prompt, images, top, **scored_answers.params(top))
    body["messages"].append({"role": "assistant", "content": stored.logprobs.text})
    return body


def offline_requests(prompts: Sequence[LogProbPrompt], images: Path, top: int = TOP) -> list[Mapping[str, Any]]:
    """The prompts as requests to the offline engine, for the `top` likeliest tokens."""
    return [
        {
            "id": OFFLINE + prompt.id,
            "messages": logprob_body("", prompt, images)["messages"],
            "sampling": {"max_tokens": prompt.max_tokens, "logprobs": top},
        }
        for prompt in prompts
    ]
