"""The tests of a stored run with their findings, evidence and exchanges, read from its folder."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import fsencode
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.files import MB, BadFile, inside, is_file, parse_json, read_bytes, read_lines, read_text
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.pictures import PICTURE_BYTES
from vlm_acceptance.report.evidence import COMMANDS
from vlm_acceptance.report.junit_times import key_of, wall_seconds
from vlm_acceptance.report.thumbnails import Sheet, Thumbnail
from vlm_acceptance.report.transcript import entry

LINE_BYTES, RUN_BYTES = 64 * MB, 4096 * MB
MAX_FINDINGS = 40
LAST_EXCHANGES = 3
# of one exchange, of those shown on a page
MAX_PICTURES = 16
COMMAND_BYTES = MB // 8
# properties that are shown in another place
HIDDEN = ("evidence", "known_issue", "must")
KNOWN_ISSUE = "known issue"
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")
BROKEN = (Outcome.FAILED.value, Outcome.ERROR.value, Outcome.TO_CALIBRATE.value)
Row = Mapping[str, Any]
Passages = Mapping[str, list[str]]  # lines of the transcript by exchange


@dataclass(frozen=True, slots=True)
class Link:
    """A file of the run's folder, as a relative URL."""

    name: str
    href: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an evidence folder; `small` is None where it is only linked."""

    link: Link
    small: Thumbnail | None


@dataclass(frozen=True, slots=True)
class Test:
    """One test; `evidence`, `last` exchanges and `rest` of the message are only filled for broken tests.

    `seconds` are those of the whole test where `is_whole`, else of the test function alone.
    """

    __test__ = False

    anchor: str
    id: str
    area: str
    outcome: str
    seconds: float
    must: str
    message: str
    rest: str
    properties: Sequence[tuple[str, str]]
    evidence: Sequence[Row] = ()
    dropped: int = 0
    last: Sequence[Sequence[str]] = ()
    is_whole: bool = False
    known_issue: str = ""

    @property
    def name(self) -> str:
        """The id without its file."""
        return self.id.rpartition("::")[2]

    @property
    def broken(self) -> bool:
        """Whether it failed, errored or is to be calibrated."""
        return self.outcome in BROKEN

    @property
    def shown(self) -> str:
        """The outcome; a test that passed with a known issue did not see what it MUST see."""
        return KNOWN_ISSUE if self.known_issue and self.outcome == Outcome.PASSED.value else self.outcome


def tests_of(
    folder: Path,
    summary: Mapping[str, Any],
    gaps: list[str],
    sheet: Sheet | None = None,  # noqa: PT028  (no test, in spite of its name)
) -> list[Test]:
    """The tests of results.jsonl, then those that only the summary has; `gaps` lists what is absent.

    Pictures of their evidence are put on the sheet.
    """
    rows = {row["id"]: row for row in rows_of(folder / "results.jsonl", gaps)}
    known = {row["id"]: row for row in summary["tests"]}
    if known.keys() - rows.keys():
        gaps.append(f"{len(known.keys() - rows.keys())} test(s) are shown as summary.json has them, without findings")
    rows = {**known, **rows}
    broken = [row for row in rows.values() if row["outcome"] in BROKEN]
    wanted = {row["id"]: {Path(f["evidence"]).name for f in _findings(row) if f.get("evidence")} for row in broken}
    passages = _passages(folder, wanted, gaps) if wanted else {}
    reader = _Reader(folder, summary["files"], sheet or Sheet(), wall_seconds(folder))
    return [
        reader.test(f"t{number}", row, passages.get(ident, {}))
        for number, (ident, row) in enumerate(rows.items(), start=1)
    ]


def _findings(row: Row) -> Sequence[Row]:
    return row.get("findings") or ()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the tests of a folder; `origin` is where it was written, `walls` are the times of its JUnit file."""

    folder: Path
    origin: str
    sheet: Sheet
    walls: Mapping[str, float]

    def test(self, anchor: str, row: Row, passages: Passages) -> Test:
        """The test of a row of results.jsonl."""
        first, _, rest = str(row.get("message") or "").partition("\n")
        broken = row["outcome"] in BROKEN
        findings = _findings(row)[:MAX_FINDINGS] if broken else ()
        properties = row.get("properties") or {}
        groups: dict[str, list[Row]] = {}
        for found in findings:
            groups.setdefault(str(found.get("evidence") or ""), []).append(found)
        wall = row.get("wall_s") or self.walls.get(key_of(row["id"]))
        return Test(
            anchor=anchor,
            id=row["id"],
            area=row["area"],
            outcome=row["outcome"],
            seconds=float(row["seconds"] if wall is None else wall),
            # a test of many inputs says what each one MUST get
            must=str(properties.get("must") or row.get("must") or ""),
            message=first,
            # findings are shown one by one; a message without findings is a traceback
            rest="" if findings else rest,
            properties=[(str(name), str(value)) for name, value in properties.items() if name not in HIDDEN],
            evidence=[self._evidence(place, group, passages) for place, group in groups.items()],
            dropped=len(_findings(row)) - len(findings) if broken else 0,
            last=() if any(groups) else tuple(passages.values()),
            is_whole=wall is not None,
            known_issue=str(properties.get("known_issue") or ""),
        )

    def _evidence(self, recorded: str, findings: Sequence[Row], passages: Passages) -> Row:
        """Findings about one exchange, and its evidence folder as recorded and as found (`place`, None if absent)."""
        place = _inside(self.folder, recorded, self.origin)
        files = files_of(self.folder, place) if place else []
        return {
            "findings": findings,
            "recorded": recorded,
            "place": link_to(self.folder, place) if place else None,
            "files": files,
            "pictures": self._pictures(place, files) if place else [],
            "commands": _commands(place) if place else "",
            "directory": shlex.quote(str(place.relative_to(self.folder))) if place else "",
            "repeat": next((found["repeat"] for found in findings if found.get("repeat")), ""),
            "passage": passages.get(Path(recorded).name, []) if recorded else [],
        }

    def _pictures(self, place: Path, files: Sequence[Link]) -> list[Picture]:
        named = [link for link in files if link.name.lower().endswith(PICTURES)]
        made = []
        for link in named[:MAX_PICTURES]:
            try:
                small = self.sheet.add(read_bytes(inside(place, link.name), PICTURE_BYTES))
            except BadFile:
                small = None
            made.append(Picture(link, small))
        return [*made, *(Picture(link, None) for link in named[MAX_PICTURES:])]


def _commands(place: Path) -> str:
    """The commands that repeat the request, for a shell in the folder; '' in runs of former versions."""
    try:
        text = read_text(place / COMMANDS, COMMAND_BYTES)
    except BadFile:
        return ""
    return text if text.startswith("URL=") else ""


def _inside(folder: Path, recorded: str, origin: str) -> Path | None:
    """The place in `folder`, which may have moved from `origin`, of a recorded folder; None if absent or outside."""
    path = Path(recorded)
    for base in filter(None, (str(folder), origin)):
        path = path.relative_to(base) if path.is_relative_to(base) else path
    try:
        place = (folder / path).resolve()
        return place if recorded and folder in place.parents and place.is_dir() else None
    except (OSError, ValueError):  # a name that is too long or holds a NUL
        return None


def files_of(folder: Path, place: Path) -> list[Link]:
    """The files of `place`, which is `folder` or lies in it, as links from `folder`; none when it is absent."""
    return [link_to(folder, path) for path in sorted(place.glob("*")) if path.is_file() and path.suffix != ".part"]


def link_to(folder: Path, path: Path) -> Link:
    """A file or folder of the run as a link from `folder`."""
    # the colon is quoted too: no name can be read as a scheme
    return Link(path.name, quote(fsencode(path.relative_to(folder))))


def _passages(folder: Path, wanted: Mapping[str, set[str]], gaps: list[str]) -> dict[str, dict[str, list[str]]]:
    """Test -> exchange -> lines of its transcript: the `wanted` exchanges, or the last ones where none are wanted."""
    kept: dict[str, deque[dict[str, Any]]] = {
        test: deque(maxlen=len(ids) or LAST_EXCHANGES) for test, ids in wanted.items()
    }
    for row in rows_of(folder / "exchanges.jsonl", gaps):
        test = row.get("test")
        if test in kept and (not wanted[test] or row["id"] in wanted[test]):
            kept[test].append(row)
    return {test: {str(row["id"]): _lines(test, row) for row in rows} for test, rows in kept.items()}


def _lines(test: str, row: Row) -> list[str]:
    try:
        cut = [f"   < ({row['cut']})"] if row.get("cut") else []
        return [*entry(test, _exchange(row)).split("\n"), *cut]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as broken:
        return [f"-- {row['id']} cannot be shown here ({type(broken).__name__}); see exchanges.jsonl"]


def _exchange(row: Row) -> Exchange:
    """The exchange of a line of exchanges.jsonl; it starts at 0 ns."""
    error = row.get("error")
    frames = tuple(Frame(round(at * NS), data, event) for at, event, data in row.get("frames") or ())
    # a stream without an answer is shown as its events
    body = row.get("body") or "\n".join(frame.data for frame in islice(frames, 100))
    return Exchange(
        id=str(row["id"]),
        request=Request(row["method"], row["path"], row.get("request"), stream=bool(row.get("stream"))),
        started_utc=str(row.get("started_utc") or ""),
        started_ns=0,
        finished_ns=round(float(row.get("elapsed_s") or 0) * NS),
        status=row.get("status"),
        body=body.encode("utf-8", "replace"),
        frames=frames,
        error=ErrorDetail(str(error["kind"]), str(error["message"])) if error else None,
    )


def rows_of(path: Path, gaps: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file; an absent file and lines that a killed run cut are listed in `gaps`."""
    if not is_file(path):
        gaps.append(f"{path.name} is absent")
        return
    torn = 0
    try:
        for _, line in read_lines(path, LINE_BYTES, RUN_BYTES, skip=True):
            try:
                row = parse_json(line.decode("utf-8", "replace"))
            except BadFile:
                row = None
            if isinstance(row, dict) and isinstance(row.get("id"), str):
                yield row
            else:
                torn += 1
    except BadFile as broken:
        gaps.append(f"{path.name} {broken}")
    if torn:
        gaps.append(f"{torn} line(s) of {path.name} cannot be read")
