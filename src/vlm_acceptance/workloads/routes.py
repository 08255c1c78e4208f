"""Requests to the routes beside chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vlm_acceptance.checks.routes import token_ids
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.exchange import Exchange, NoReply, Request, token_count
from vlm_acceptance.core.route_answers import COMPLETIONS, RESPONSES
from vlm_acceptance.core.spelling import PARAMS
from vlm_acceptance.workloads.refused_pictures import TOKENIZE, tokenized

PROMPT = "Tell a short story about a lighthouse."
# a number, an accent, and characters of more than one byte
ROUND_TRIP = "Reply with OK, 42 na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve words and \N{CJK UNIFIED IDEOGRAPH-4E2D}."
MAX_TOKENS, TOP = 48, 3
DETOKENIZE = "/detokenize"
# by name: the route in `api.routes`, its path, a right body but for the model, and what makes it wrong
WRONG: Mapping[str, tuple[str, str, dict[str, Any], tuple[int, ...]]] = {
    "completions-prompt-missing": ("completions", COMPLETIONS, {"max_tokens": 2}, (400, 422)),
    "completions-wrong-type": ("completions", COMPLETIONS, {"prompt": "a", "max_tokens": "many"}, (400, 422)),
    "completions-wrong-model": ("completions", COMPLETIONS, {"prompt": "a", "model": "no/such-model"}, (404,)),
    "responses-input-missing": ("responses", RESPONSES, {"max_output_tokens": 2}, (400, 422)),
    "responses-wrong-type": ("responses", RESPONSES, {"input": "a", "max_output_tokens": "many"}, (400, 422)),
    "responses-wrong-model": ("responses", RESPONSES, {"input": "a", "model": "no/such-model"}, (404,)),
    "detokenize-wrong-type": ("tokenize", DETOKENIZE, {"tokens": "many"}, (400, 422)),
}


def chat_to_compare(client: RecordingClient) -> Exchange:
    """The answer of chat that the routes are compared with; it has the ids of its prompt where these are offered."""
    return client.chat(PROMPT, max_tokens=MAX_TOKENS, return_token_ids=True, **PARAMS)


def rendered(client: RecordingClient, chat: Exchange) -> list[int] | None:
    """The token ids of the prompt of that answer: by the answer, else by `/tokenize`; None where neither has them."""
    reply = chat.reply
    if isinstance(reply, NoReply):
        return None
    ids = chat.json().get("prompt_token_ids")
    if isinstance(ids, list) and ids and all(token_count(one) is not None for one in ids):
        return ids
    listed = token_ids(tokenized(client, PROMPT))
    return listed if listed and reply.usage and reply.usage.prompt == len(listed) else None


def complete(client: RecordingClient, prompt: list[int] | str, **fields: Any) -> Exchange:
    """A greedy request to `/v1/completions`."""
    body = {"prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0.0, **fields}
    return _send(client, COMPLETIONS, body)


def respond(client: RecordingClient, **fields: Any) -> Exchange:
    """A greedy request to `/v1/responses`."""
    return _send(client, RESPONSES, {"input": PROMPT, "max_output_tokens": MAX_TOKENS, "temperature": 0.0, **fields})


def respond_about(client: RecordingClient, prompt: str, url: str, **fields: Any) -> Exchange:
    """A greedy request to `/v1/responses` about a picture, given as a URL."""
    picture = {"type": "input_image", "image_url": url, "detail": "auto"}
    parts = [picture, {"type": "input_text", "text": prompt}]
    return respond(client, input=[{"role": "user", "content": parts}], **fields)


def wrong(client: RecordingClient, name: str) -> Exchange:
    """A wrong request of WRONG."""
    _, path, body, _ = WRONG[name]
    return _send(client, path, body)


def tokens_of(client: RecordingClient, text: str) -> Exchange:
    """`/tokenize` of a text as it is."""
    return _send(client, TOKENIZE, {"prompt": text, "add_special_tokens": False})


def text_of(client: RecordingClient, ids: list[int]) -> Exchange:
    """`/detokenize` of token ids."""
    return _send(client, DETOKENIZE, {"tokens": ids})


def card(client: RecordingClient) -> Exchange:
    """The card of the served model."""
    path = f"/v1/models/{quote(client.model_id, safe='/')}"
    return client.send(Request("GET", path, deadline_s=client.deadlines.request_s), "get")


def _send(client: RecordingClient, path: str, body: dict[str, Any]) -> Exchange:
    deadline_s, is_stream = client.deadline(path), bool(body.get("stream"))
    whole = {"model": client.model_id, **body}
    return client.send(Request("POST", path, whole, deadline_s=deadline_s, stream=is_stream), path)
