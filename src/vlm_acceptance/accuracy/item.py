"""The values of a benchmark: a question, how it is asked, what was answered, how that was marked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

CHOICE: Final = "multiple-choice"
OPEN: Final = "open"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A stored picture: its file below the data's folder, the SHA-256 of its bytes, its size in pixels."""

    file: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a question. `slot` is the N of `<image N>`; `variants` are copies made in preparation, by name."""

    slot: int
    plain: PictureFile
    variants: Mapping[str, PictureFile] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `gold` holds one letter for a choice, every accepted text for an open question."""

    id: str
    group: str
    kind: Literal["multiple-choice", "open"]
    question: str
    options: tuple[str, ...]
    gold: tuple[str, ...]
    pictures: tuple[Picture, ...]

    @property
    def letters(self) -> str:
        """The letters of the options, '' for an open question."""
        return LETTERS[: len(self.options)]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A question as a protocol sends it: pictures in this order, then one text that may hold `<image>` marks.

    `params` are the body's other fields; `max_tiles` is the limit the protocol sets for every picture of the
    request, None where the model's own holds.
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
        shown = [self.system, self.text, [p.sha256 for p in self.pictures], dict(self.params), self.max_tiles]
        return hashlib.sha256(json.dumps(shown, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


ANSWERED: Final = "answered"
REFUSED: Final = "refused"
LOST: Final = "lost"
MAX_TEXT: Final = 1 << 16  # characters; a thousand tokens are far less


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question. `text` is None unless `status` is answered; `error` beside it says what was cut.

    refused: the server answered, but with no completion. lost: no whole response (connection, deadline). `attempts`
    are the reasons of earlier tries, which ended before a response began. `model` is the reply's, None offline.
    """

    id: str
    status: Literal["answered", "refused", "lost"]
    text: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str
    http_status: int | None
    started_utc: str
    elapsed_s: float
    attempts: tuple[str, ...]
    prompt_sha256: str
    pictures: tuple[str, ...]
    model: str | None

    @property
    def is_cut(self) -> bool:
        """Whether the text is only the beginning of what was answered."""
        return self.text is not None and self.error != ""


def kept_text(text: str) -> tuple[str, str]:
    """The text as it is stored, at most MAX_TEXT characters, and a note of what was cut, '' for nothing."""
    if len(text) <= MAX_TEXT:
        return text, ""
    return text[:MAX_TEXT], f"text cut at {MAX_TEXT} of {len(text)} characters"


READ: Final = "read"
UNRESOLVED: Final = "unresolved"
DECLINED: Final = "declined"


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer made of an answer: `read` is the letter or text it took, '' when it found none.

    declined: the model said that it cannot tell (VLMEvalKit's `Z`). Both other states than `read` are wrong answers.
    """

    right: bool
    read: str
    state: Literal["read", "unresolved", "declined"] = "read"


# Scores by question id, for the questions whose raw answer text is given; a question without one gets no mark.
Scorer = Callable[[Iterable[Item], Mapping[str, str]], dict[str, Score]]
