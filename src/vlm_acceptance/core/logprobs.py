"""Greedy tokens with the log probabilities of the five likeliest: as served, and as stored in a baseline file.

A baseline is JSON lines: `id`, `prompt`, `pictures` (below fixtures/images), `system`, `max_tokens`, then `text`,
`tokens` (ids) and `top`, for each token the five likeliest as {id: log probability}. A file of prompts ends at
`max_tokens`. Tokens are ids because several pieces of one Chinese character share one text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import NoReply, UsageProblem
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import printable, trimmed
from vlm_acceptance.core.reply import reply_of

TOP = 5
PARAMS: Mapping[str, Any] = {"logprobs": True, "top_logprobs": TOP, "return_tokens_as_token_ids": True}
NAMED = "token_id:"
DIGITS = 5
MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class LogProbs:
    """An answer by its numbers; `top` holds for each token the likeliest ones with their log probabilities."""

    text: str
    tokens: tuple[int, ...]
    top: tuple[Mapping[int, float], ...]


@dataclass(frozen=True, slots=True)
class LogProbPrompt:
    """What is asked: a text about pictures, named below fixtures/images, and a system message or ''."""

    id: str
    prompt: str
    pictures: tuple[str, ...] = ()
    system: str = ""
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True, slots=True)
class StoredLogProbs:
    """A prompt with its known numbers."""

    asked: LogProbPrompt
    numbers: LogProbs


def logprobs_of(exchange: Exchange) -> LogProbs:
    """The numbers of a chat answer that was asked for with PARAMS; NoReply says what is missing."""
    text = reply_of(exchange).text
    try:
        content = exchange.json()["choices"][0]["logprobs"]["content"]
        tokens = tuple(_id(entry["token"]) for entry in content)
        top = tuple({_id(e["token"]): float(e["logprob"]) for e in [*x["top_logprobs"], x]} for x in content)
    except (KeyError, IndexError, TypeError, ValueError) as broken:
        raise NoReply(f"no log probabilities by token id ({type(broken).__name__}: {broken})") from broken
    if not tokens:
        raise NoReply("no log probabilities: the list of tokens is empty")
    return LogProbs(text, tokens, top)


def _id(token: str) -> int:
    return int(token.removeprefix(NAMED))


def is_baseline(path: Path) -> bool:
    """Whether a file is a baseline of numbers, by its first line that is not blank."""
    try:
        with path.open("rb") as file:
            row = json.loads(next((line for line in file if line.strip()), b""))
    except (OSError, ValueError):
        return False
    return isinstance(row, dict) and {"prompt", "tokens", "top"} <= row.keys()


def read_prompts(path: Path) -> tuple[LogProbPrompt, ...]:
    """The prompts of a file of prompts or of a baseline; UsageProblem of one line names a bad one."""
    return tuple(_each(path, _prompt))


def read_baseline(path: Path) -> tuple[StoredLogProbs, ...]:
    """The rows of a baseline; UsageProblem of one line names a bad one."""
    return tuple(_each(path, _known))


def require_pictures(path: Path, asked: Iterable[LogProbPrompt], images: Path) -> None:
    """UsageProblem when a prompt of the file names a picture that is not there."""
    for prompt in asked:
        for name in prompt.pictures:
            if not (images / name).is_file():
                raise UsageProblem(f"{path}: {prompt.id!r} names the picture {name!r}, which {images} does not hold")


def require_prompts(path: Path, asked: Sequence[LogProbPrompt], images: Path) -> None:
    """UsageProblem when the file's prompts cannot be asked, or are all with or all without a picture."""
    require_pictures(path, asked, images)
    for has_picture, kind in ((True, "with a picture"), (False, "without a picture")):
        if not any(bool(prompt.pictures) is has_picture for prompt in asked):
            raise UsageProblem(f"logprobs.prompts: {path} holds no prompt {kind}")


def line_of(known: StoredLogProbs) -> str:
    """One line of a baseline, without its end."""
    asked, numbers = known.asked, known.numbers
    row = {
        **row_of(asked),
        "text": numbers.text,
        "tokens": list(numbers.tokens),
        "top": [{str(token): round(p, DIGITS) for token, p in listed.items()} for listed in numbers.top],
    }
    return json.dumps(row, ensure_ascii=False)


def row_of(asked: LogProbPrompt) -> dict[str, Any]:
    """A prompt as a file holds it."""
    return {
        "id": asked.id,
        "prompt": asked.prompt,
        "pictures": list(asked.pictures),
        "system": asked.system,
        "max_tokens": asked.max_tokens,
    }


def _each(path: Path, make: Any) -> Iterable[Any]:
    shown = printable(str(path)).replace("\n", "\\n")
    seen: set[str] = set()
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as broken:
        raise UsageProblem(f"{shown} cannot be read: {broken}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            made = make(row)
        except (ValueError, KeyError, TypeError, AttributeError) as broken:
            why = f"{type(broken).__name__}: {trimmed(str(broken))}"
            raise UsageProblem(f"{shown}, line {number} is no row of a numbers baseline ({why})") from None
        if row["id"] in seen:
            raise UsageProblem(f"{shown}, line {number}: the id {row['id']!r} was there before")
        seen.add(row["id"])
        yield made
    if not seen:
        raise UsageProblem(f"{shown} holds no row")


def _prompt(row: Mapping[str, Any]) -> LogProbPrompt:
    return LogProbPrompt(
        str(row["id"]),
        str(row["prompt"]),
        tuple(map(str, row["pictures"])),
        str(row.get("system", "")),
        int(row.get("max_tokens", MAX_TOKENS)),
    )


def _known(row: Mapping[str, Any]) -> StoredLogProbs:
    tokens = tuple(map(int, row["tokens"]))
    top = tuple({int(token): float(p) for token, p in listed.items()} for listed in row["top"])
    if not tokens or len(tokens) != len(top):
        raise ValueError(f"{len(tokens)} tokens and {len(top)} lists of log probabilities")
    if any(token not in listed for token, listed in zip(tokens, top, strict=True)):
        raise ValueError("a token is not in its own list")
    return StoredLogProbs(_prompt(row), LogProbs(str(row["text"]), tokens, top))
