"""Greedy tokens and the log probabilities of the five likeliest, as served and as stored in a baseline file.

A baseline is JSON lines: `id`, `prompt`, `pictures` (below fixtures/images), `system`, `max_tokens`, then `text`,
`tokens` (ids) and `top`, for each token the five likeliest as {id: log probability}. A file of prompts ends at
`max_tokens`. Tokens are ids because several pieces of one Chinese character share one text. A reference
(core/reference.py) is a baseline with one line before its rows and some behind them; its rows have further keys.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import MOST_TOKENS, Exchange, NoReply
from vlm_acceptance.core.files import BadFile, parse_json, read_lines, shown, text_of
from vlm_acceptance.core.numbers import BadNumber, figure, read_json
from vlm_acceptance.core.pictures import require_png
from vlm_acceptance.core.reference_file import about_line, is_about
from vlm_acceptance.core.spelling import BY_ID, TOP

DIGITS = 5
MAX_TOKENS = 64
# vLLM gives no more unless it is started with --max-logprobs
MOST_TOP = 20
# rounding makes the log probability of a certain token a little more than zero
ZERO = 1e-6


@dataclass(frozen=True, slots=True)
class LogProbs:
    """An answer with its tokens; `top` holds for each token the likeliest ones with their log probabilities."""

    text: str
    tokens: tuple[int, ...]
    top: tuple[Mapping[int, float], ...]
    exchange: Exchange | None = field(default=None, compare=False, repr=False)


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
    """A prompt with its stored log probabilities."""

    prompt: LogProbPrompt
    logprobs: LogProbs


def params(top: int = TOP) -> dict[str, Any]:
    """The fields of a chat request for the `top` likeliest tokens at each place, by token id."""
    return {"logprobs": True, "top_logprobs": top, "return_tokens_as_token_ids": True}


def listed(rows: Iterable[StoredLogProbs]) -> int:
    """How many likeliest tokens most places of the rows list, as many as a request may ask for.

    A place may list one more, its own token, or fewer: one short list must not shorten all that are asked for.
    """
    counts = Counter(len(top) for row in rows for top in row.logprobs.top)
    usual = max(counts, key=lambda count: (counts[count], count), default=TOP)
    return min(MOST_TOP, usual)


def cut(logprobs: LogProbs, top: int) -> LogProbs:
    """The log probabilities of the `top` likeliest tokens of each place and of its own token, as `top` asks for."""
    if all(len(one) <= top for one in logprobs.top):
        return logprobs
    lists = zip(logprobs.tokens, logprobs.top, strict=True)
    return replace(logprobs, top=tuple(_likeliest(token, one, top) for token, one in lists))


def _likeliest(token: int, one: Mapping[int, float], top: int) -> Mapping[int, float]:
    kept = sorted(one, key=lambda other: (-one[other], other != token))[:top]
    return {other: one[other] for other in dict.fromkeys([*kept, token])}


def logprobs_of(exchange: Exchange) -> LogProbs | NoReply:
    """The log probabilities of a chat answer that was requested with `params`, or why there are none."""
    reply = exchange.reply
    if isinstance(reply, NoReply):
        return reply
    try:
        content = exchange.json()["choices"][0]["logprobs"]["content"]
        found = [listed_in(entry) for entry in content]
        tokens, top = tuple(token for token, _ in found), tuple(listed for _, listed in found)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as broken:
        return NoReply(f"no log probabilities by token id ({type(broken).__name__}: {broken})", exchange)
    if not tokens:
        return NoReply("no log probabilities: the list of tokens is empty", exchange)
    return LogProbs(reply.text, tokens, top, exchange)


def listed_in(entry: Mapping[str, Any]) -> tuple[int, Mapping[int, float]]:
    """The token of an entry of `logprobs.content`, and the log probabilities of all that it lists."""
    top = {_id(one["token"]): figure(one["logprob"]) for one in [*entry["top_logprobs"], entry]}
    return _id(entry["token"]), top


def _id(token: str) -> int:
    return int(token.removeprefix(BY_ID))


def is_baseline(path: Path) -> bool:
    """Whether a file is a baseline of log probabilities, by its first line that is not blank."""
    try:
        row = read_json(text_of(next((line for _, line in read_lines(path) if line.strip()), b"")))
    except BadNumber:
        return True  # it is refused when it is read
    except ValueError:
        return False
    return is_about(row) or (isinstance(row, dict) and {"prompt", "tokens", "top"} <= row.keys())


def read_prompts(path: Path) -> tuple[LogProbPrompt, ...]:
    """The prompts of a file of prompts or of a baseline; UsageProblem of one line names a bad one."""
    return tuple(row.value for row in _rows(path, _PromptRow))


def read_baseline(path: Path) -> tuple[StoredLogProbs, ...]:
    """The rows of a baseline; UsageProblem of one line names a bad one."""
    rows = _rows(path, _BaselineRow)
    return tuple(StoredLogProbs(row.value, LogProbs(row.text, row.tokens, row.top)) for row in rows)


def require_pictures(path: Path, asked: Iterable[LogProbPrompt], images: Path) -> None:
    """UsageProblem when a prompt of the file names a picture that is not there."""
    for prompt in asked:
        for name in prompt.pictures:
            try:
                require_png(images, name)
            except BadFile as broken:
                raise UsageProblem(f"{shown(path)}: {prompt.id!r} {broken} (pictures are below {images})") from None


def require_prompts(path: Path, asked: Sequence[LogProbPrompt], images: Path) -> None:
    """UsageProblem when the file's prompts cannot be asked, or are all with or all without a picture."""
    require_pictures(path, asked, images)
    for has_picture, kind in ((True, "with a picture"), (False, "without a picture")):
        if not any(bool(prompt.pictures) is has_picture for prompt in asked):
            raise UsageProblem(f"logprobs.prompts: {path} holds no prompt {kind}")


def line_of(stored: StoredLogProbs, more: Mapping[str, Any] | None = None) -> str:
    """One line of a baseline, without its end; `more` are further keys."""
    logprobs = stored.logprobs
    row = {
        **asdict(stored.prompt),
        "text": logprobs.text,
        "tokens": list(logprobs.tokens),
        "top": [{str(token): round(p, DIGITS) for token, p in listed.items()} for listed in logprobs.top],
        **(more or {}),
    }
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


# pydantic takes "nan", "1" and true for numbers if it is not told otherwise
_TokenId = Annotated[int, Field(strict=True, ge=0, lt=MOST_TOKENS)]
_LogProb = Annotated[float, Field(strict=True, allow_inf_nan=False, le=ZERO)]


class _PromptRow(BaseModel):
    """A row of a file of prompts; other keys are not read."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    prompt: str
    pictures: tuple[str, ...]
    system: str = ""
    max_tokens: int = Field(MAX_TOKENS, strict=True, ge=1, lt=MOST_TOKENS)

    @property
    def value(self) -> LogProbPrompt:
        return LogProbPrompt(self.id, self.prompt, self.pictures, self.system, self.max_tokens)


class _BaselineRow(_PromptRow):
    """A row of a baseline; a key of `top` is a token id."""

    text: str
    tokens: tuple[_TokenId, ...] = Field(min_length=1)
    top: tuple[dict[int, _LogProb], ...]

    @model_validator(mode="after")
    def _every_token_is_listed(self) -> _BaselineRow:
        if len(self.tokens) != len(self.top):
            raise ValueError(f"{len(self.tokens)} tokens and {len(self.top)} lists of log probabilities")
        if any(token not in listed for token, listed in zip(self.tokens, self.top, strict=True)):
            raise ValueError("a token is not in its own list")
        return self


Row = TypeVar("Row", bound=_PromptRow)


def _rows(path: Path, model: type[Row]) -> list[Row]:
    rows: dict[str, Row] = {}
    try:
        for number, line in read_lines(path):
            if not line.strip():
                continue
            row = _row(f"{shown(path)}, line {number}", line, model)
            if row is None:
                continue
            if row.id in rows:
                raise UsageProblem(f"{shown(path)}, line {number}: the id {row.id!r} occurs twice")
            rows[row.id] = row
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None
    if not rows:
        raise UsageProblem(f"{shown(path)} holds no row")
    return list(rows.values())


def _row(place: str, line: bytes, model: type[Row]) -> Row | None:
    """The row of a line; None for a line that is about the others."""
    try:
        value = parse_json(line)
        return None if about_line(value, place) is not None else model.model_validate(value)
    except ValidationError as broken:
        first = broken.errors()[0]
        why = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise UsageProblem(f"{place} is not a valid row of log probabilities: {shown(why)}") from None
    except BadFile as broken:
        raise UsageProblem(f"{place} {broken}") from None
