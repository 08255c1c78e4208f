"""Files of a run as evidence: their digests, those of their lines, and which lines differ from the attested ones."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.core.files import MB, BadFile, opened, read_text, shown
from vlm_acceptance.core.language import tr

STATEMENT, LINES = "attestation.json", "attestation.lines"
# `report` makes these again from the other files
MADE_AGAIN = frozenset({"report.html", "report.xlsx", "compare.html"})
FIRST = "0" * 64
FILE_BYTES, BLOCK = 1 << 50, MB
LINES_BYTES, MOST_LINES, MOST_FILES = 256 * MB, 2_000_000, 100_000
# of lines that differ in one file: at most so many are compared one by one
COMPARED = 2000
NAMED = 20
_LINE = re.compile(r"([0-9a-f]{64})  (.+):(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a run: size in bytes, SHA-256, and that of each line of a `.jsonl` file."""

    name: str
    size: int
    sha256: str
    lines: tuple[str, ...] = ()


def names_of(folder: Path) -> list[str]:
    """Names of the evidence below a run's folder, links included, in the order in which the files were last written.

    Left out: pages that can be made again, and files of the attestation itself (`attestation.*`). BadFile for too many.
    """
    found: list[tuple[int, str]] = []
    try:
        for place, folders, files in os.walk(folder):
            links = [name for name in folders if (Path(place) / name).is_symlink()]
            for name in (*files, *links):
                path = Path(place) / name
                relative = path.relative_to(folder).as_posix()
                is_own = "/" not in relative and relative.startswith("attestation.")
                if relative not in MADE_AGAIN and not is_own:
                    found.append((path.lstat().st_mtime_ns, relative))
            if len(found) > MOST_FILES:
                raise BadFile(f"has more than {MOST_FILES} files")
    except OSError as broken:
        raise BadFile(f"cannot be read: {broken.strerror}") from None
    return [name for _, name in sorted(found)]


def read(folder: Path, name: str) -> Stored:
    """Digests of a file, read once in blocks; BadFile when it is no regular file."""
    path = folder / name
    if path.is_symlink():
        raise BadFile("is a link")
    whole, size = hashlib.sha256(), 0
    lines: list[str] = []
    line, is_open = hashlib.sha256(), False
    with opened(path, FILE_BYTES) as file:
        try:
            while block := file.read(BLOCK):
                whole.update(block)
                size += len(block)
                if not name.endswith(".jsonl"):
                    continue
                *ended, rest = block.split(b"\n")
                for part in ended:
                    line.update(part + b"\n")
                    lines.append(line.hexdigest())
                    line, is_open = hashlib.sha256(), False
                line.update(rest)
                is_open = is_open or bool(rest)
        except OSError as broken:
            raise BadFile(f"cannot be read: {broken.strerror}") from None
    if is_open:
        lines.append(line.hexdigest())
    return Stored(name, size, whole.hexdigest(), tuple(lines))


def linked(previous: str, *parts: str) -> str:
    """The next link of a chain: SHA-256 of the previous link and the parts, separated by spaces, and a line feed."""
    return hashlib.sha256((" ".join((previous, *parts)) + "\n").encode("utf-8", "surrogatepass")).hexdigest()


def head_of(lines: Sequence[str]) -> str:
    """The last link of the chain over the digests of lines."""
    head = FIRST
    for digest in lines:
        head = linked(head, digest)
    return head


def listed(files: Sequence[Stored]) -> str:
    """The text of `attestation.lines`: digest, file and number of each line."""
    rows = [f"{digest}  {file.name}:{number}\n" for file in files for number, digest in enumerate(file.lines, start=1)]
    return "".join(rows)


def attested_lines(folder: Path) -> dict[str, list[str]]:
    """File -> digests of its lines, as `attestation.lines` lists them; BadFile when that is not valid."""
    found: dict[str, list[str]] = {}
    for count, row in enumerate(read_text(folder / LINES, LINES_BYTES).split("\n")[:-1]):
        matched = _LINE.fullmatch(row)
        if matched is None or count >= MOST_LINES:
            raise BadFile(f"has a wrong line, {count + 1}")
        found.setdefault(matched[2], []).append(matched[1])
    return found


def differences(name: str, attested: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    """One sentence for each line that was changed, removed or added; many in a row are one sentence."""
    least = min(len(attested), len(found))
    start = next((n for n in range(least) if attested[n] != found[n]), least)
    rest = least - start
    end = next((n for n in range(rest) if attested[-1 - n] != found[-1 - n]), rest)
    old, new = attested[start : len(attested) - end], found[start : len(found) - end]
    steps: list[tuple[str, int, int, int, int]] = [("replace", 0, len(old), 0, len(new))]
    if max(len(old), len(new)) <= COMPARED:
        steps = [*difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()]
    for kind, first, last, new_first, new_last in steps:
        if kind != "equal":
            yield from _step(shown(name), start + first, last - first, start + new_first, new_last - new_first)


def _step(name: str, before: int, removed: int, new_before: int, added: int) -> Iterator[str]:
    """Sentences on `removed` lines after line `before`, in whose place are `added` lines after line `new_before`."""
    if removed == added and removed <= NAMED:
        for number in range(before + 1, before + removed + 1):
            yield tr("{name}: line {number} was changed", name=name, number=number)
    elif removed and added:
        yield tr(
            "{name}: lines {first} to {last} were changed; {count} lines are in their place",
            name=name,
            first=before + 1,
            last=before + removed,
            count=added,
        )
    elif removed == 1:
        yield tr("{name}: line {number} was removed", name=name, number=before + 1)
    elif removed:
        yield tr("{name}: lines {first} to {last} were removed", name=name, first=before + 1, last=before + removed)
    elif added == 1:
        yield tr("{name}: line {number} was added", name=name, number=new_before + 1)
    elif added:
        yield tr("{name}: lines {first} to {last} were added", name=name, first=new_before + 1, last=new_before + added)
