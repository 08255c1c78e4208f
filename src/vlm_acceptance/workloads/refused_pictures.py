"""A request that is refused only after its picture was processed: a text that fits, but not with the picture."""

from __future__ import annotations

from collections.abc import Callable

from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.exchange import Exchange, NoReply, Request, token_count

TOKENIZE = "/tokenize"
_WORD, _FIRST_WORDS, _TRIES = "word ", 64, 8


def tokenized(client: RecordingClient, prompt: str, *pictures: str, **fields: object) -> Exchange:
    """The exchange in which `/tokenize` counts a conversation; `fields` are more fields of the body."""
    messages = chat_body(client.model_id, prompt, pictures)["messages"]
    template = {key: value for key, value in client.defaults.items() if key == "chat_template_kwargs"}
    body = {"model": client.model_id, "messages": messages, **template, **fields}
    return client.send(Request("POST", TOKENIZE, body, deadline_s=client.deadlines.cold_s), "tokenize")


def text_tokens(client: RecordingClient, prompt: str) -> int | NoReply:
    """Prompt tokens of a text alone, by `/tokenize`, else by an answer of one token."""
    counted = tokenized(client, prompt)
    try:
        count = token_count(counted.json()["count"])
    except (ValueError, KeyError, TypeError):
        count = None
    if count is not None:
        return count
    reply = client.chat(prompt, max_tokens=1).reply
    if isinstance(reply, NoReply):
        return reply
    return NoReply("no usage", reply.exchange) if reply.usage is None else reply.usage.prompt


def text_below(limit: int, picture_tokens: int, count: Callable[[str], int]) -> str:
    """A text that is shorter than `limit` tokens by half of what its picture costs, give or take an eighth of it.

    So it fits alone, even with what marks the picture's place in it, and does not fit with the picture.
    """
    wanted, slack = limit - picture_tokens // 2, picture_tokens // 8
    one, words = count(_WORD), _FIRST_WORDS
    for _ in range(_TRIES):
        text = _WORD * words
        tokens = count(text)
        if abs(tokens - wanted) <= slack:
            return text
        per_word = (tokens - one) / (words - 1)
        if per_word <= 0:
            break
        words = max(2, words + round((wanted - tokens) / per_word))
    raise HarnessProblem(f"no text of {wanted} tokens was found: the last one, of {tokens}, has {len(text)} characters")
