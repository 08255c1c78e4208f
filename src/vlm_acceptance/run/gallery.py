"""The pictures of a run for its page: what was asked about each, its planted words, the answers, right or wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.report.store import OBSERVATIONS, RunStore
from vlm_acceptance.report.thumbnails import small

# the group of pictures that the seed of the run decided
NEW = "new pictures"
# of one picture: the first answer, then wrong ones that differ from each other
MOST_ANSWERS = 4
MOST_CHARACTERS = 1000
# keys of an answer whose texts come from the deployment
FOREIGN = ("text", "problem")


@dataclass(slots=True)
class Asked:
    """One question about one picture: how often it was asked and answered rightly, and some of the answers."""

    group: str
    question: str
    language: str
    prompt: str
    name: str
    planted: list[list[str]]
    content: Callable[[], bytes]
    asked: int = 0
    right: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)

    def add(self, test: str, reply: Reply | NoReply, findings: Sequence[Finding]) -> None:
        """Count an answer; it is right without findings. The first one is kept, and wrong ones."""
        is_right = not findings and isinstance(reply, Reply)
        self.asked += 1
        self.right += is_right
        text = (reply.text or "") if isinstance(reply, Reply) else ""
        row = {
            "test": test,
            "exchange": reply.exchange.id if reply.exchange else "",
            "text": text[:MOST_CHARACTERS],
            "right": is_right,
            "problem": "" if isinstance(reply, Reply) else str(reply)[:MOST_CHARACTERS],
            "wrong": [found.kind.title for found in findings],
        }
        is_new = all((kept["text"], kept["problem"]) != (row["text"], row["problem"]) for kept in self.answers)
        if not self.answers or (not is_right and is_new and len(self.answers) < MOST_ANSWERS):
            self.answers.append(row)


class Gallery:
    """What was asked about the pictures of one run, in the order asked."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str, str], Asked] = {}

    def add(
        self,
        test: str,
        group: str,
        question: Question,
        picture: Picture,
        reply: Reply | NoReply,
        found: Sequence[Finding],
        content: Callable[[], bytes] | None = None,
    ) -> None:
        """A reply to a question about a picture, with what is wrong with it; `content` in place of the picture's file.

        The same picture in another form, such as one of many tiles, is the same entry.
        """
        planted = [list(part) for part in picture.parts]
        name, read = picture.path.name, content or picture.path.read_bytes
        made = Asked(group, question.id, question.language, question.prompt, name, planted, read)
        self._asked.setdefault((group, question.id, name), made).add(test, reply, found)

    def add_all(
        self,
        test: str,
        group: str,
        question: Question,
        replies: Sequence[Reply | NoReply],
        found: Sequence[Sequence[Finding]],
    ) -> None:
        """The replies to a question about its pictures, with what is wrong with each."""
        for picture, reply, findings in zip(question.pictures, replies, found, strict=True):
            self.add(test, group, question, picture, reply, findings)

    def write(self, store: RunStore) -> None:
        """`observations/gallery.json` and the small pictures in `gallery/`; nothing when no picture was asked about."""
        rows = [row_of(store, one) for one in self._asked.values()]
        if rows:
            store.write(f"{OBSERVATIONS}/gallery.json", json.dumps(rows, ensure_ascii=False) + "\n")


def row_of(store: RunStore, asked: Asked) -> Mapping[str, Any]:
    """The entry as JSON; writes its small picture."""
    made = None
    with contextlib.suppress(OSError):
        made = small(asked.content())
    file = ""
    if made is not None:
        file = f"gallery/{hashlib.sha256(made[0]).hexdigest()[:16]}.png"
        if not (store.folder / file).exists():
            store.write_bytes(file, made[0])
    return {
        "group": asked.group,
        "question": asked.question,
        "language": asked.language,
        "prompt": asked.prompt,
        "name": asked.name,
        "picture": file,
        "planted": asked.planted,
        "asked": asked.asked,
        "right": asked.right,
        # all else is the suite's own
        "answers": [{**row, **store.masked({key: row[key] for key in FOREIGN})} for row in asked.answers],
    }
