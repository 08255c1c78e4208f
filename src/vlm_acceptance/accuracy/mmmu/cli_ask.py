"""`ask`: sends one question to a running endpoint as the accuracy run does, and shows the score of every scorer."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from vlm_acceptance.accuracy.item import Answer, Item, PreparedRequest
from vlm_acceptance.accuracy.mmmu.cli_prepare import default_folder
from vlm_acceptance.accuracy.mmmu.dataset import MMMU
from vlm_acceptance.accuracy.mmmu.protocols import PROTOCOLS, protocol
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.server_run import QuestionSender
from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import api_key
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("id", help="the question, for example validation_Art_1")
    parser.add_argument("--base-url", required=True, type=_url, help="the endpoint, for example http://127.0.0.1:8000")
    parser.add_argument("--model", required=True, help="the model's name on the wire")
    parser.add_argument("--data", type=Path, help="the prepared data")
    parser.add_argument("--protocol", default="vlmevalkit", choices=sorted(PROTOCOLS))
    parser.add_argument("--stop-token-id", type=int, action="append", default=[], help="repeatable")
    parser.add_argument("--max-tokens", type=_positive, help="default: the protocol's")
    parser.add_argument("--no-system-message", action="store_true")
    parser.add_argument("--no-thinking", action="store_true", help="for a model that can think before it answers")
    parser.add_argument("--deadline", type=_positive, default=600, help="seconds")
    parser.add_argument("--api-key-env", help="name of the variable that holds the endpoint's API key")
    parser.add_argument("--body", type=Path, help="write the request's body to this file, for curl --data-binary @FILE")


def _url(text: str) -> str:
    if "@" in text:  # first of all, since other messages repeat the URL
        raise argparse.ArgumentTypeError("the URL carries credentials; give the key with --api-key-env NAME")
    try:
        address = urlsplit(text)
        is_web = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        is_web = False
    if not is_web:
        raise argparse.ArgumentTypeError(f"{text!r} is not an http(s) URL, for example http://127.0.0.1:8000")
    return text.rstrip("/").removesuffix("/v1")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:8]) <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def main(given: argparse.Namespace) -> int:
    """Print the prompt, the raw answer and all scores; 1 if there is no answer."""
    prepared = Prepared.open(given.data or default_folder())
    if given.id not in prepared:
        near = nearest(given.id, [ident for ident, _ in prepared.groups])
        raise UsageProblem(f"{prepared.dataset} has no question {given.id!r}.{near}")
    item = prepared[given.id]
    prompts = protocol(given.protocol, given.stop_token_id, not given.no_system_message, given.max_tokens)
    request = prompts.request(item)
    key = api_key(given.api_key_env, "--api-key-env", os.environ)
    sender, mask = _sender(given, prepared, key), Mask(key)
    if given.body is not None:
        try:
            given.body.write_bytes(sender.body(request))
        except OSError as broken:
            raise UsageProblem(f"--body: {str(given.body)!r} cannot be written: {broken.strerror}") from None
    answer = sender.send(request)
    sys.stdout.write("".join(printable(mask(line)) + "\n" for line in _shown(item, request, answer)))
    return 0 if answer.text is not None else 1


def _sender(given: argparse.Namespace, prepared: Prepared, key: str | None) -> QuestionSender:
    client, defaults = Client(given.base_url, key), chat_defaults(given.no_thinking)
    return QuestionSender(client, given.model, prepared, given.deadline, defaults)


def _shown(item: Item, request: PreparedRequest, answer: Answer) -> Iterator[str]:
    yield f"prompt:  {request.text!r}"
    yield f"gold:    {' or '.join(item.gold)}"
    yield f"answer:  {answer.text!r}" if answer.text is not None else f"{answer.status}: {answer.error}"
    yield f"tokens:  {answer.prompt_tokens} of prompt, {answer.completion_tokens} of answer"
    yield f"finish:  {json.dumps(answer.finish_reason)}, {answer.elapsed_s:.2f} s"
    if answer.text is not None:
        for name, scorer in MMMU.scorers.items():
            score = scorer([item], {item.id: answer.text})[item.id]
            yield f"  {name:<20} {'right' if score.right else 'wrong'}, read {score.read!r} ({score.state})"
