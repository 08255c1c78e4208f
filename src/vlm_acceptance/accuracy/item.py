"""Values of an accuracy run: an item of a data set, its request, its answer, its score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field

CHOICE: Final = "multiple-choice"
OPEN: Final = "open"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# what may be read from a file of answers: neither truth values nor texts, and not written with thousands of digits
Count = Annotated[int, Field(strict=True, ge=0, lt=1 << 53)]
Seconds = Annotated[float, Field(strict=True, ge=0, lt=1 << 53)]


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A stored picture: file below the data folder, SHA-256 and number of its bytes, size in pixels."""

    file: str
    sha256: str
    width: Count
    height: Count
    bytes: Count = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an item. `slot` is the N of `<image N>`; `variants` are converted copies by name."""

    slot: Count
    plain: PictureFile
    variants: Mapping[str, PictureFile] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ItemText:
    """The text of a question. `gold` is one letter for a choice, all accepted texts for an open question."""

    id: str
    group: str
    kind: Literal["multiple-choice", "open"]
    question: str
    options: tuple[str, ...]
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item(ItemText):
    """One question with its stored pictures."""

    pictures: tuple[Picture, ...]

    @property
    def letters(self) -> str:
        """The letters of the options; '' for an open question."""
        return LETTERS[: len(self.options)]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """An item as a protocol sends it: pictures in this order, then one text that may contain `<image>` placeholders.

    `params` are the other fields of the body. `max_tiles` is the protocol's tile limit for every picture; None: the
    model's own limit applies.
    """

    id: str
    system: str
    text: str
    pictures: tuple[PictureFile, ...]
    params: Mapping[str, Any]
    max_tiles: int | None = None

    @property
    def sha256(self) -> str:
        """A hash of everything that is sent."""
        sent = [self.system, self.text, [p.sha256 for p in self.pictures], dict(self.params), self.max_tiles]
        return hashlib.sha256(json.dumps(sent, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


ANSWERED: Final = "answered"
REFUSED: Final = "refused"
LOST: Final = "lost"
MAX_TEXT: Final = 1 << 16  # characters, far more than a thousand tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request. `text` is None unless `status` is answered; `error` beside a text reports a cut.

    refused: a response without a completion. lost: no whole response (connection, deadline). `attempts` are the errors
    of earlier tries that ended before a response began. `model` is that of the reply, None offline.
    """

    id: str
    status: Literal["answered", "refused", "lost"]
    text: str | None
    finish_reason: str | None
    prompt_tokens: Count | None
    completion_tokens: Count | None
    error: str
    http_status: Count | None
    started_utc: str
    elapsed_s: Seconds
    attempts: tuple[str, ...]
    prompt_sha256: str
    pictures: tuple[str, ...]
    model: str | None

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of the text is stored."""
        return self.text is not None and self.error != ""


def kept_text(text: str) -> tuple[str, str]:
    """The text as it is stored, at most MAX_TEXT characters, and a note if it was cut, else ''."""
    if len(text) <= MAX_TEXT:
        return text, ""
    return text[:MAX_TEXT], f"text cut at {MAX_TEXT} of {len(text)} characters"


READ: Final = "read"
UNRESOLVED: Final = "unresolved"
DECLINED: Final = "declined"


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an answer. `read` is the letter or text that the scorer read, '' if it found none.

    declined: the model refused to choose (VLMEvalKit's `Z`). An unresolved or declined answer is wrong. `part` is the
    score of a metric with parts, from 0 to 1; such an answer is right from a half on.
    """

    right: bool
    read: str
    state: Literal["read", "unresolved", "declined"] = "read"
    part: float | None = None

    @classmethod
    def of_part(cls, part: float, read: str) -> Score:
        """The score of a metric with parts."""
        return cls(part >= 0.5, read, READ, part)

    @property
    def value(self) -> float:
        """The score from 0 to 1, which a data set's mean is made of."""
        return float(self.right) if self.part is None else self.part


# Raw answer texts by question id in, scores by question id out; a question without a text gets no score.
Scorer = Callable[[Iterable[Item], Mapping[str, str]], dict[str, Score]]
