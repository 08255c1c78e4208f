"""Published data of a data set: questions read one by one from a folder or file, with limits on all that is read."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from vlm_acceptance.accuracy.item import ItemText
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, BadFile, opened, shown

# the largest published file has about 1 GB
TABLE_BYTES = 8192 * MB
QUESTIONS = 50_000
TEXT, LITERAL = 1 << 16, 1 << 16  # characters of a text; of a list that is written as a text
_NUMBER_BITS = 1024
_POINTER = b"version https://git-lfs."
_QUOTED = r"""(?:'[^'\\\n]*(?:\\.[^'\\\n]*)*'|"[^"\\\n]*(?:\\.[^"\\\n]*)*")"""
# a comma between all texts: Python joins those without one
_TEXTS = re.compile(rf"\[\s*(?:{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)*(?:,\s*)?)?\]")


@dataclass(frozen=True, slots=True)
class PublishedRow(ItemText):
    """A published question; `pictures` are pairs of slot and encoded bytes, `file` names its file in messages."""

    pictures: tuple[tuple[int, bytes], ...]
    file: str


@dataclass(frozen=True)
class Source:
    """Published data: `files` in `folder`, under a `name` for people."""

    name: str
    folder: Path
    files: tuple[Path, ...]

    def rows(self, *, pictures: bool) -> Iterator[PublishedRow]:
        """All questions, with or without their pictures; EnvironmentProblem with file and id of an unreadable one."""
        raise NotImplementedError

    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that is read, by its path below the folder; EnvironmentProblem: unreadable."""
        return {path.relative_to(self.folder).as_posix(): digest_of(path) for path in self.files}

    def notes(self) -> tuple[str, ...]:
        """Sentences for the log on how these data differ from the published ones."""
        return ()


def refuse(file: str, id: object, what: str) -> NoReturn:
    """Raise an EnvironmentProblem with the file, the question and the problem."""
    raise EnvironmentProblem(f"{shown(file)}: {shown(id, 80)}: {shown(' '.join(what.split()))}")


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file; EnvironmentProblem when it cannot be read."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with opened(path, TABLE_BYTES) as file:
            while block := file.read(1 << 20):
                if block.startswith(_POINTER):
                    raise BadFile("is a pointer of Git LFS and not the file itself: run `git lfs pull`")
                digest.update(block)
    except (BadFile, OSError) as broken:
        raise EnvironmentProblem(f"{shown(path)} {broken}") from None
    return digest.hexdigest()


def check_repeated(names: Sequence[str], file: str) -> None:
    """EnvironmentProblem for two columns of one name: only one of them would be read."""
    if repeated := sorted(name for name, count in Counter(names).items() if name and count > 1):
        raise EnvironmentProblem(f"{file} has more than one column {shown(repeated[0], 80)}: download it again")


def literal(text: str, most: int = LITERAL) -> Any:
    """The value of a Python literal of at most `most` characters; BadFile when it is not one."""
    if len(text) > most:
        raise BadFile(f"is a literal of {len(text)} characters; at most {most} are read")
    try:
        tree = ast.parse(text.lstrip(" \t"), mode="eval")
        if any(isinstance(node, ast.Constant) and _is_huge(node.value) for node in ast.walk(tree)):
            raise BadFile("holds a huge number")  # which Python does not print
        return ast.literal_eval(tree)
    except BadFile:
        raise
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise BadFile("is not a Python literal") from None


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: JSON and Python literals may hold halves of characters, which UTF-8 has not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > _NUMBER_BITS


def texts_of(text: str) -> list[str]:
    """The texts of a Python literal that is a list of nothing but texts; BadFile for any other text."""
    found = literal(text.strip()) if _TEXTS.fullmatch(text.strip()) else None
    if not isinstance(found, list):
        raise BadFile("is not a list of texts")
    return found


def listed(value: object) -> list[Any] | None:
    """A list, also one that is written as a Python literal; None for any other value."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = literal(value.strip())
        except BadFile:
            return None
    return value if isinstance(value, list) else None
