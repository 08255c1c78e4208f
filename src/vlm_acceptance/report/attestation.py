"""The attestation of a run: who reads the folder later can see that nothing in it was changed, and sign that."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem
from vlm_acceptance.core.files import MB, BadFile, inside, is_file, read_bytes, read_json, shown
from vlm_acceptance.core.language import tr
from vlm_acceptance.report import attestation_files as files
from vlm_acceptance.report.attestation_files import FIRST, LINES, STATEMENT, Stored
from vlm_acceptance.report.attestation_statement import EXTENSION, PREDICATE, SCHEMA, TYPE, statement_of

SUMMARY = "summary.json"
STATEMENT_BYTES, SUMMARY_BYTES = 64 * MB, 64 * MB
# more sentences than a reader needs
MOST_SENTENCES = 200
NOT_READ = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
Entry = Mapping[str, Any]


def is_attested(folder: Path) -> bool:
    """Whether the folder holds an attestation: one of a finished run of this or a later release."""
    return is_file(folder / STATEMENT)


def write(folder: Path) -> Path:
    """Write attestation.json and attestation.lines of a finished run; returns the former.

    The evidence is read once. HarnessProblem when it cannot be read, EnvironmentProblem when the disk is full.
    """
    try:
        statement = statement_of(read_json(folder / SUMMARY, SUMMARY_BYTES))
        # a link or a pipe is no evidence: verify() calls it an added file
        names = [name for name in files.names_of(folder) if is_file(folder / name) and not (folder / name).is_symlink()]
        stored = [files.read(folder, name) for name in names]
    except BadFile as broken:
        raise HarnessProblem(f"{STATEMENT} was not made: a file of the run {broken}") from None
    except NOT_READ as broken:
        raise HarnessProblem(f"{STATEMENT} was not made: {SUMMARY}: {type(broken).__name__}") from None
    lines = files.listed(stored).encode("utf-8", "surrogatepass")
    statement["predicate"][EXTENSION] |= {
        "evidence": list(_entries(stored)),
        "lines": {"name": LINES, "digest": {"sha256": hashlib.sha256(lines).hexdigest()}},
    }
    try:
        _replace(folder / LINES, lines)
        text = json.dumps(statement, indent=1, ensure_ascii=True) + "\n"
        _replace(folder / STATEMENT, text.encode())
    except OSError as broken:
        raise EnvironmentProblem(f"{STATEMENT} cannot be written: {broken.strerror}") from None
    return folder / STATEMENT


def read(folder: Path) -> dict[str, Any]:
    """The statement of a run; BadFile when it is absent or is not one of this suite."""
    statement = read_json(folder / STATEMENT, STATEMENT_BYTES)
    try:
        kinds = (statement["_type"], statement["predicateType"], statement["predicate"][EXTENSION]["schema"])
        if kinds != (TYPE, PREDICATE, SCHEMA):
            raise BadFile(f"is not an attestation that this release reads: {shown(kinds, 200)}")
        for entry in _evidence(statement):
            _ = entry["name"].strip(), entry["digest"]["sha256"].strip(), entry["annotations"]["chain"].strip()
    except (LookupError, TypeError, AttributeError) as broken:
        raise BadFile(f"is not an attestation of a run: {type(broken).__name__}: {shown(broken, 80)}") from None
    return dict(statement)


def head_of(statement: Mapping[str, Any]) -> str:
    """The last link of the chain over all evidence: one number that stands for the whole run."""
    evidence = _evidence(statement)
    return str(evidence[-1]["annotations"]["chain"]) if evidence else FIRST


def verify(folder: Path) -> list[str]:
    """One sentence for each file or line of a run that was changed, removed or added since the run; [] for none.

    Pages that `report` makes again, and files `attestation.*` beside the statement, may change.
    """
    found = list(itertools.islice(_problems(folder), MOST_SENTENCES + 1))
    if len(found) > MOST_SENTENCES:
        found[MOST_SENTENCES:] = [tr("more than {count} differences; the rest is not listed", count=MOST_SENTENCES)]
    return found


def _problems(folder: Path) -> Iterator[str]:
    try:
        statement = read(folder)
        present = files.names_of(folder)
    except BadFile as broken:
        yield tr("{name} {problem}", name=STATEMENT, problem=tr(str(broken)))
        return
    evidence = _evidence(statement)
    yield from _broken_chain(evidence)
    lines, problem = _lines(folder, statement)
    if problem:
        yield problem
    changed = False
    for entry in evidence:
        for sentence in _of_file(folder, entry, lines.get(entry["name"], [])):
            changed = changed or entry["name"] == SUMMARY
            yield sentence
    attested = {entry["name"] for entry in evidence}
    for name in sorted(set(present) - attested):
        yield tr("{name}: this file was added", name=shown(name))
    if SUMMARY not in attested:
        yield tr("{name}: the attestation does not name this file", name=SUMMARY)
    elif not changed:
        yield from _other_claims(folder, statement)


def _entries(stored: Sequence[Stored]) -> Iterator[dict[str, Any]]:
    """Each file as a resource descriptor; its link of the chain depends on all files before it."""
    link = FIRST
    for file in stored:
        link = files.linked(link, file.sha256, file.name)
        yield {"name": file.name, "digest": {"sha256": file.sha256}, "annotations": {**_about(file), "chain": link}}


def _about(file: Stored) -> dict[str, Any]:
    lines = {"lines": len(file.lines), "linesHead": files.head_of(file.lines)} if file.lines else {}
    return {"bytes": file.size, **lines}


def _evidence(statement: Mapping[str, Any]) -> Sequence[Entry]:
    found: Sequence[Entry] = statement["predicate"][EXTENSION]["evidence"]
    return found


def _broken_chain(evidence: Sequence[Entry]) -> Iterator[str]:
    link = FIRST
    for entry in evidence:
        link = files.linked(link, entry["digest"]["sha256"], entry["name"])
        if link != entry["annotations"]["chain"]:
            yield tr("{name}: its chain breaks at {file}", name=STATEMENT, file=shown(entry["name"]))
            return


def _lines(folder: Path, statement: Mapping[str, Any]) -> tuple[dict[str, list[str]], str]:
    """The attested digests of lines, and why there are none."""
    try:
        wanted = statement["predicate"][EXTENSION]["lines"]["digest"]["sha256"]
        content = read_bytes(folder / LINES, files.LINES_BYTES)
        if hashlib.sha256(content).hexdigest() != wanted:
            raise BadFile(tr("was changed: lines that were changed in other files cannot be named"))
        return files.attested_lines(folder), ""
    except (BadFile, LookupError, TypeError) as broken:
        return {}, tr("{name} {problem}", name=LINES, problem=tr(str(broken)))


def _of_file(folder: Path, entry: Entry, lines: Sequence[str]) -> Iterator[str]:
    """How a file differs from its attested state."""
    name = entry["name"]
    try:
        path = inside(folder, name, links=True)
        if not path.is_symlink() and not path.exists():
            yield tr("{name}: this file was removed", name=shown(name))
            return
        found = files.read(folder, name)
    except (BadFile, OSError) as broken:
        problem = broken.strerror if isinstance(broken, OSError) else str(broken)  # an OSError repeats the name
        yield tr("{name} {problem}", name=shown(name), problem=tr(problem or ""))
        return
    about = entry["annotations"]
    if found.sha256 == entry["digest"]["sha256"]:
        if {**about, **_about(found)} != about:
            yield tr("{name}: what it says of {file} does not agree with that file", name=STATEMENT, file=shown(name))
        return
    named = False
    for sentence in files.differences(name, lines, found.lines) if lines else ():
        named = True
        yield sentence
    if not named:
        sizes = {"attested": shown(about.get("bytes"), 20), "found": found.size}
        yield tr("{name}: this file was changed; it had {attested} bytes and has {found}", name=shown(name), **sizes)


def _other_claims(folder: Path, statement: Mapping[str, Any]) -> Iterator[str]:
    """What the statement says otherwise than the summary of which it was made."""
    try:
        made = statement_of(read_json(folder / SUMMARY, SUMMARY_BYTES))
    except NOT_READ as broken:
        yield tr("{name} {problem}", name=SUMMARY, problem=shown(broken, 120))
        return
    for name, attested, found in _claims(statement, made):
        if attested != found:
            yield tr(
                "{name}: {key} is {attested}, which is not what {summary} holds",
                name=STATEMENT,
                key=name,
                attested=shown(json.dumps(attested), 80),
                summary=SUMMARY,
            )


def _claims(statement: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name, attested value and that of the summary."""
    yield "subject", statement.get("subject"), made["subject"]
    theirs, ours = statement["predicate"], made["predicate"]
    for key in (*ours, *(key for key in theirs if key not in ours)):
        if key != EXTENSION:
            yield f"predicate.{key}", theirs.get(key), ours.get(key)
    ignored = ("evidence", "lines")
    for key in (*ours[EXTENSION], *(key for key in theirs[EXTENSION] if key not in (*ours[EXTENSION], *ignored))):
        yield f"predicate.{EXTENSION}.{key}", theirs[EXTENSION].get(key), ours[EXTENSION].get(key)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(path)
