"""Requests for log probabilities, to the server and to the offline engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.core.logprobs import PARAMS, LogProbPrompt
from vlm_acceptance.core.spelling import TOP

TOGETHER = 16  # prompts sent alone and in one batch, and prompts of the offline engine
OFFLINE = "logprobs/"  # the start of their ids in the offline engine
T = TypeVar("T")


def spread(rows: Sequence[T], count: int) -> list[T]:
    """At most `count` of the rows, evenly spread, the first among them."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


def logprob_body(model: str, prompt: LogProbPrompt, images: Path) -> dict[str, Any]:
    """A greedy request for an answer with its log probabilities."""
    urls = [png_url(images / name) for name in prompt.pictures]
    body = chat_body(model, prompt.prompt, urls, max_tokens=prompt.max_tokens, **PARAMS)
    if prompt.system:
        body["messages"].insert(0, {"role": "system", "content": prompt.system})
    return body


def offline_requests(prompts: Sequence[LogProbPrompt], images: Path) -> list[Mapping[str, Any]]:
    """TOGETHER of the prompts as requests to the offline engine."""
    return [
        {
            "id": OFFLINE + prompt.id,
            "messages": logprob_body("", prompt, images)["messages"],
            "sampling": {"max_tokens": prompt.max_tokens, "logprobs": TOP},
        }
        for prompt in spread(prompts, TOGETHER)
    ]
