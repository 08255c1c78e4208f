"""The answers of two stored runs to the same questions: equal bodies of the same test, without model and seed."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vlm_acceptance.core.files import MB, BadFile, inside, is_file, parse_json, read_bytes, read_lines

LINE_BYTES, RUN_BYTES = 16 * MB, 1024 * MB
MOST_ANSWERS, MOST_SHOWN = 20_000, 60
TEXT = 1500  # characters of a question or an answer
# keys of a request that say who is asked, not what
WITHOUT = ("model", "seed", "user", "stream", "stream_options")
PICTURE = re.compile(r"<image/[a-z0-9.+-]{1,20}, sha256 ([0-9a-f]{16}), \d+ characters>")
SUFFIXES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
PICTURE_BYTES, PICTURES_BYTES, MOST_PICTURES = 60_000, 1_500_000, 3000
MOST_TOKENS = 400  # words of an answer whose differences are marked


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered request: who asked, the question, the hashes of its pictures, and the answer."""

    test: str
    question: str
    pictures: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that the runs answered with different texts; parts are `same`, `del` or `ins`, with their text.

    `more` further requests have the same question and the same two answers.
    """

    test: str
    more: int
    question: str
    pictures: Sequence[Markup]
    before: Sequence[tuple[str, str]]
    now: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answers:
    """How many questions both runs answered, alike and differently, and how many only one did; `gaps` in the files."""

    same: int = 0
    different: int = 0
    only_first: int = 0
    only_second: int = 0
    shown: Sequence[Difference] = ()
    by_test: Mapping[str, int] = field(default_factory=dict)
    gaps: Sequence[str] = ()


def compare_answers(first: Path, second: Path, pictures: Sequence[Path] = ()) -> Answers:
    """The answers of two run folders; `pictures` are folders in which a picture of a question may be."""
    gaps: list[str] = []
    before, now = (_answers(folder, gaps) for folder in (first, second))
    both = [key for key in before if key in now]
    changed = [key for key in both if before[key].answer != now[key].answer]
    # a question with a picture says more than one of a protocol
    changed.sort(key=lambda key: not before[key].pictures)
    alike: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for key in changed:
        one = before[key]
        alike.setdefault((one.question, *one.pictures, one.answer, now[key].answer), []).append(key)
    chosen = {keys[0]: len(keys) - 1 for keys in list(alike.values())[:MOST_SHOWN]}
    wanted = {digest for key in chosen for digest in before[key].pictures}
    found = _pictures(wanted, [first / "evidence", second / "evidence", *pictures]) if wanted else {}
    return Answers(
        same=len(both) - len(changed),
        different=len(changed),
        only_first=len(before) - len(both),
        only_second=len(now) - len(both),
        shown=[_difference(before[key], now[key], more, found) for key, more in chosen.items()],
        by_test=Counter(before[key].test for key in changed),
        gaps=gaps,
    )


def _difference(before: Answered, now: Answered, more: int, pictures: Mapping[str, Markup]) -> Difference:
    parts = list(marked(before.answer[:TEXT], now.answer[:TEXT]))
    return Difference(
        before.test,
        more,
        before.question,
        [pictures[digest] for digest in before.pictures if digest in pictures],
        [part for part in parts if part[0] != "ins"],
        [part for part in parts if part[0] != "del"],
    )


def marked(before: str, now: str) -> Iterator[tuple[str, str]]:
    """Both texts as parts that are in both (`same`), in the first (`del`) and in the second (`ins`)."""
    old, new = (re.findall(r"\s+|[^\s\w]|\w+", text) for text in (before, now))
    if max(len(old), len(new)) > MOST_TOKENS:
        yield from (("del", before), ("ins", now))
        return
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(old[a:b])
        else:
            yield from (part for part in (("del", "".join(old[a:b])), ("ins", "".join(new[c:d]))) if part[1])


def _answers(folder: Path, gaps: list[str]) -> dict[tuple[str, int], Answered]:
    """The answers of a run by question, and by how often it was asked before; the first MOST_ANSWERS of them."""
    found: dict[tuple[str, int], Answered] = {}
    seen: Counter[str] = Counter()
    try:
        path = inside(folder, "exchanges.jsonl")
        for _, line in read_lines(path, LINE_BYTES, RUN_BYTES, skip=True):
            row = _row(line)
            asked = _asked(row) if row else None
            if asked is None:
                continue
            key, answered = asked
            found[key, seen[key]] = answered
            seen[key] += 1
            if len(found) >= MOST_ANSWERS:
                gaps.append(f"{folder.name}: exchanges.jsonl: {MOST_ANSWERS} answers are compared")
                break
    except BadFile as broken:
        gaps.append(f"{folder.name}: exchanges.jsonl {broken}")
    return found


def _row(line: bytes) -> dict[str, Any] | None:
    if b'"/v1/' not in line:
        return None
    try:
        row = parse_json(line.decode("utf-8", "replace"))
    except BadFile:
        return None
    return row if isinstance(row, dict) else None


def _asked(row: Mapping[str, Any]) -> tuple[str, Answered] | None:
    """The question of an exchange and its answer; None where it is no question or has no answer."""
    request = row.get("request")
    if not isinstance(request, dict) or row.get("status") != 200:
        return None
    question = {name: value for name, value in request.items() if name not in WITHOUT}
    try:
        answer = _answer(row)
        text = json.dumps(question, sort_keys=True)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    if answer is None:
        return None
    test = str(row.get("test"))
    key = hashlib.blake2b(f"{test}\0{row.get('path')}\0{text}".encode("utf-8", "replace"), digest_size=16).hexdigest()
    words = "\n".join(islice(_texts(question.get("messages", question.get("prompt"))), 20))
    name = test.rpartition("::")[2][:200]
    return key, Answered(name, words[:TEXT], tuple(dict.fromkeys(PICTURE.findall(text)))[:8], answer)


def _texts(value: Any) -> Iterator[str]:
    """The texts of messages, without roles and pictures."""
    if isinstance(value, str):
        if not PICTURE.fullmatch(value):
            yield value[:TEXT]
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for name in ("content", "text"):
            if name in value:
                yield from _texts(value[name])


def _answer(row: Mapping[str, Any]) -> str | None:
    """The text of all choices, with calls of tools; None when there is none."""
    if row.get("frames"):
        parts: dict[int, list[str]] = {}
        for _, _, data in row["frames"]:
            if data.startswith("{"):
                for choice in json.loads(data).get("choices") or ():
                    parts.setdefault(choice.get("index", 0), []).append(_said(choice, "delta"))
        choices = ["".join(parts[index]) for index in sorted(parts)]
    else:
        choices = [_said(choice, "message") for choice in json.loads(row["body"]).get("choices") or ()]
    return "\n".join(choices) if choices else None


def _said(choice: Mapping[str, Any], place: str) -> str:
    message = choice.get(place) or {}
    called = message.get("tool_calls")
    calls = json.dumps([call.get("function") for call in called], sort_keys=True) if called else ""
    return str(message.get("content") or choice.get("text") or "") + calls


def _pictures(wanted: set[str], folders: Sequence[Path]) -> dict[str, Markup]:
    """The wanted pictures as data URLs, as far as they are in the folders and small."""
    found: dict[str, Markup] = {}
    size = 0
    files = (path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in islice(files, MOST_PICTURES):
        if len(found) == len(wanted) or size > PICTURES_BYTES:
            break
        try:
            if not is_file(path) or path.is_symlink():
                continue
            content = base64.b64encode(read_bytes(path, PICTURE_BYTES)).decode("ascii")
        except BadFile:
            continue
        url = f"data:{SUFFIXES[path.suffix.lower()]};base64,{content}"
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        if digest in wanted:
            found[digest] = Markup(url)  # noqa: S704  (base64 of ours and a fixed type: nothing to escape)
            size += len(url)
    return found
