"""Files from elsewhere are data: read with limits on bytes, lines, depth and numbers, and only in their own folder."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from vlm_acceptance.core import numbers
from vlm_acceptance.core.text import printable

MB = 1 << 20
# far more than any valid file of its kind needs
JSON_BYTES = 8 * MB
LINE_BYTES = 16 * MB
ROWS_BYTES = 512 * MB
ROWS = 200_000
DEPTH = 100
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# brackets and commas of a text: an empty list of 2 bytes takes 60 bytes of memory
BRACKETS = 150_000
COMMAS = 2_000_000

Lines = Iterator[tuple[int, bytes]]


class BadFile(ValueError):
    """A file or text that is not used; the message follows the name of the file and is one line."""


def shown(value: object, limit: int = 500) -> str:
    """A path or a foreign text as a part of one line: control characters escaped, cut to `limit` characters."""
    text = str(value)
    line = printable(text[:limit]).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(text) <= limit else f"{line}… ({len(text)} characters)"


def expanded(name: str | Path) -> Path:
    """A path with `~` replaced by the home folder of its user; as it is given when there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def is_file(path: Path) -> bool:
    """Whether this is a regular file that may be looked at, also for a name that is too long or not valid."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether this is a folder that may be looked at, also for a name that is too long or not valid."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def opened(path: Path, most: int) -> BinaryIO:
    """A regular file of at most `most` bytes, open for reading; BadFile for any other. A pipe does not block."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (ValueError, OSError) as broken:
        raise _unreadable(broken) from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise BadFile("is not a file")
    if found.st_size > most:
        os.close(number)
        raise BadFile(f"has {found.st_size} bytes; at most {most} are read")
    return os.fdopen(number, "rb")


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a regular file; BadFile when it cannot be read or has more than `most`."""
    with opened(path, most) as file:
        try:
            content = file.read(os.fstat(file.fileno()).st_size + 1)
            while len(content) <= most and (more := file.read(1 << 16)):  # it grows, or is of /proc and has no size
                content += more
        except OSError as broken:
            raise _unreadable(broken) from None
    if len(content) > most:
        raise BadFile(f"has more than {most} bytes")
    return content


def read_text(path: Path, most: int) -> str:
    """The text of a UTF-8 file, without a byte order mark; BadFile when it is not one."""
    return text_of(read_bytes(path, most))


def text_of(content: bytes) -> str:
    """UTF-8 bytes as a text, without a byte order mark; BadFile with the place of the first wrong byte."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        raise BadFile(f"is not UTF-8 text (byte {broken.start})") from None


def read_lines(path: Path, longest: int = LINE_BYTES, most: int = ROWS_BYTES, *, skip: bool = False) -> Lines:
    """Number and bytes of each line, one at a time in memory; BadFile for one longer than `longest`, or too many.

    With `skip` a longer line is read as an empty one.
    """
    with opened(path, most) as file:
        for number in itertools.count(1):
            try:
                line = file.readline(longest + 1)
            except OSError as broken:
                raise _unreadable(broken) from None
            if not line:
                return
            if len(line) > longest and skip:
                while line and not line.endswith(b"\n"):
                    line = file.readline(longest)
                line = b"\n"
            if len(line) > longest:
                raise BadFile(f"has a line of more than {longest} bytes, line {number}")
            if number > ROWS:
                raise BadFile(f"has more than {ROWS} lines")
            yield number, line


def _unreadable(broken: OSError | ValueError) -> BadFile:
    why = broken.strerror if isinstance(broken, OSError) else None
    return BadFile(f"cannot be read: {why or 'its name is not valid'}")


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text; BadFile when it is not valid, too deep, too large, or holds a number that is none."""
    text = text_of(content) if isinstance(content, bytes) else content
    brackets, commas = _structure(text)
    if brackets > BRACKETS or commas > COMMAS:
        # an answer of brackets that an exchange stores is text
        brackets, commas = _structure(_STRING.sub("", text))
    if brackets > BRACKETS or commas > COMMAS:
        raise BadFile(f"is not read: it holds more than {BRACKETS} brackets or {COMMAS} commas")
    try:
        value = numbers.read_json(text)
    except ValueError as broken:
        raise BadFile(f"is not valid JSON: {shown(broken, 120)}") from None
    if brackets > DEPTH and _depth_exceeds(value, DEPTH):
        raise _too_deep()
    return value


def _structure(text: str) -> tuple[int, int]:
    """How many brackets and commas are in a text."""
    return text.count("[") + text.count("{"), text.count(",")


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """The value of a JSON file; BadFile when it cannot be read or is not valid."""
    return parse_json(read_bytes(path, most))


def _too_deep() -> BadFile:
    return BadFile(f"is nested more than {DEPTH} levels deep")


def _depth_exceeds(value: Any, most: int) -> bool:
    level: list[Any] = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def inside(folder: Path, name: object, *, links: bool = False) -> Path:
    """A path that a file names below its own folder; BadFile when it is absolute, has `..`, or leads out by a link.

    With `links` a link may lead out, as in the cache of a hub's client.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise BadFile("is not the name of a file")
    named = PurePosixPath(name)
    if named.is_absolute() or ".." in named.parts:
        raise BadFile("is not below its folder")
    path = folder / named
    try:
        os.fsencode(path)
        leads_out = not links and not path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a circle of links, a name that cannot be encoded
        raise BadFile("is not the name of a file") from None
    if leads_out:
        raise BadFile("leads out of its folder")
    return path
