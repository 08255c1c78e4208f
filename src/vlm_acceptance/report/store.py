"""The files of one run: masked, written line by line, and flushed at once."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import enum
import hashlib
import json
import math
from array import array
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.exchange import MIB, Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.text import printable
from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.report.masked import masked, masked_exchange
from vlm_acceptance.report.sizes import BODY_BYTES, Budget, cut_text
from vlm_acceptance.report.transcript import entry

# the end of a folder's name of a run that judged another one: nothing was asked in it
JUDGED = "-judged"
OBSERVATIONS, OBSERVED = "observations", "observations.jsonl"
# keys of a result whose texts are names, paths and commands of the suite
OWN_TEXTS = frozenset({"id", "area", "outcome", "must", "check", "title", "severity", "evidence", "repeat"})
RUN_BYTES = 128 * MIB
# of a test: a message, and the findings behind it
MESSAGE_CHARACTERS, FINDINGS = 1 << 16, 500


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """EnvironmentProblem when the disk is full or refuses to write."""
    try:
        yield
    except OSError as broken:
        raise EnvironmentProblem(f"reports cannot be written: {broken}") from None


class RunStore:
    """`reports/runs/<UTC>-<profile>/`: results, exchanges, observations, transcript, evidence and summary.

    Secrets are masked in values, before these are cut or written. Of requests it stores `run_bytes`; `budget` says what
    was cut. Every method raises EnvironmentProblem when it cannot write.
    """

    def __init__(
        self, reports: Path, profile: str, *secrets: str | None, run_bytes: int = RUN_BYTES, suffix: str = ""
    ) -> None:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        runs = reports / "runs"
        self.reports = reports
        self.mask = Mask(*secrets)
        self.budget = Budget(run_bytes)
        with writing():
            runs.mkdir(parents=True, exist_ok=True)
            self.folder = _new_folder(runs, f"{stamp}-{profile}{suffix}")
            self._results = (self.folder / "results.jsonl").open("a", encoding="utf-8")
            self._exchanges = (self.folder / "exchanges.jsonl").open("a", encoding="utf-8")
            self._observed = (self.folder / OBSERVED).open("a", encoding="utf-8")
            self._log = (self.folder / "verification_log.txt").open("a", encoding="utf-8", errors="backslashreplace")

    def result(self, result: TestResult) -> None:
        """One finished test."""
        findings = [found.row() for found in result.findings[:FINDINGS]]
        row = masked({**row_of(result), "must": result.must, "findings": findings}, self.mask, OWN_TEXTS)
        row["message"] = cut_text(row["message"], MESSAGE_CHARACTERS)
        self._line(self._results, row)
        self.note(f"== {result.outcome.value.upper()} {result.id} ({result.seconds:.2f} s)")
        for line in row["message"].splitlines():
            self.note(f"   {printable(line)}")

    def observation(self, name: str, value: object) -> None:
        """What a test observed besides its exchanges, in `observations/NAME.json`, so that it can be judged again."""
        row = masked(as_json(value), self.mask, OWN_TEXTS)
        self.write(f"{OBSERVATIONS}/{name}.json", json.dumps(row, ensure_ascii=False) + "\n")

    def observed(self, test: str, name: str, row: Mapping[str, Any]) -> None:
        """A line of observations.jsonl: what a test saw beside single requests, from which it can be judged again."""
        self._line(self._observed, {"test": test, "name": name, **masked(as_json(row), self.mask, OWN_TEXTS)})

    def exchange(self, test: str, exchange: Exchange) -> None:
        """One exchange; pictures are replaced by their hashes."""
        if self.budget.is_over:
            self.budget.left_out += 1
            return
        exchange = masked_exchange(exchange, self.mask)
        row = self.stored(exchange)
        self.budget.cut += "cut" in row
        self._line(self._exchanges, {"test": test, **row})
        self.note(self.mask.long(entry(test, exchange)))

    def stored(self, exchange: Exchange) -> dict[str, Any]:
        """A masked exchange as JSON; its request is ours, so that only long secrets are masked in it."""
        row = stored(exchange, self.budget.body_bytes)
        return {**row, "request": masked(row["request"], self.mask.long)}

    def note(self, text: str) -> None:
        """A passage of the transcript, of masked values."""
        with writing():
            self.budget.used += self._log.write(text + "\n")
            self._log.flush()

    def write(self, name: str, text: str) -> Path:
        """Write or replace a text file of the run, made of masked values; returns its path."""
        path = self.folder / name
        partial = path.with_name(path.name + ".part")
        with writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.budget.used += partial.write_text(text, "utf-8", errors="replace")
            partial.replace(path)
        return path

    def masked(self, value: Any, own: Collection[str] = ()) -> Any:
        """A JSON value with its texts masked, but not those below a key in `own`."""
        return masked(value, self.mask, own)

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a picture or a raw body; returns its path."""
        path = self.folder / name
        with writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.budget.used += path.write_bytes(data)
        return path

    def mask_file(self, path: Path) -> None:
        """Mask a text that another program has written, such as an engine's log."""
        data = path.read_bytes()
        masked = self.mask(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if masked != data:
            path.write_bytes(masked)

    def close(self) -> None:
        """Close the line files."""
        for file in (self._results, self._exchanges, self._observed, self._log):
            with writing():
                file.close()

    def _line(self, file: Any, row: Mapping[str, Any]) -> None:
        with writing():
            self.budget.used += file.write(json.dumps(row, ensure_ascii=True, default=str) + "\n")
            file.flush()


def row_of(result: TestResult) -> dict[str, Any]:
    """A finished test as JSON, without its MUST sentence and its findings."""
    return {
        "id": result.id,
        "area": result.area,
        "outcome": result.outcome.value,
        "seconds": round(result.seconds, 3),
        "wall_s": round(result.wall_s, 3),
        "message": result.message,
        "properties": dict(result.properties),
    }


def as_json(value: Any) -> Any:
    """A value as JSON: findings as rows, exchanges as ids, bytes and data URLs as size and hash, NaN as None."""
    if isinstance(value, Finding):
        return {**value.row(), "exchange": as_json(value.exchange)}
    if isinstance(value, Exchange):
        return value.id if value.has_line else stored(value)
    if isinstance(value, (enum.Enum, Path)):
        return value.value if isinstance(value, enum.Enum) else str(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}>"
    if isinstance(value, str) and value.startswith("data:") and len(value) > 200:
        kind = value[5:].partition(";")[0]
        return f"<{kind}, sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]}, {len(value)} characters>"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, (list, tuple, array)) else value


def _new_folder(runs: Path, name: str) -> Path:
    """A new folder: two runs may start in the same second."""
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{runs / name}: too many runs in one second")


def stored(exchange: Exchange, most: int = BODY_BYTES) -> dict[str, Any]:
    """An exchange as JSON: times in seconds from its start, pictures by hash, the body as text.

    A body or stream beyond `most` bytes is cut, and `cut` says so. `started_ns` is monotonic; `readings` of the
    processor clock are there where it read more than its own thread, or the exchange is late.
    """
    start, body, frames, size = exchange.started_ns, exchange.body, exchange.frames, 0
    for count, frame in enumerate(frames):
        size += len(frame.data)
        if size > most:
            frames = frames[:count]
            break
    row = {
        "id": exchange.id,
        "started_utc": exchange.started_utc,
        "started_ns": start,
        "method": exchange.request.method,
        "path": exchange.request.path,
        "request": as_json(exchange.request.body),
        "stream": exchange.request.stream,
        "deadline_s": exchange.request.deadline_s,
        "status": exchange.status,
        "headers": dict(exchange.headers),
        "elapsed_s": round(exchange.elapsed_s, 9),
        "body": body[:most].decode("utf-8", "replace") if not exchange.frames else None,
        "frames": [[round((frame.at_ns - start) / 1e9, 9), frame.event, frame.data] for frame in frames],
        "error": as_json(exchange.error),
        **_further(exchange, b"" if exchange.frames or len(body) > most else body),
    }
    if len(frames) < len(exchange.frames):
        return {**row, "cut": f"cut: {len(frames)} of {len(exchange.frames)} events"}
    if not exchange.frames and len(body) > most:
        return {**row, "cut": f"cut: {most} of {len(body)} bytes"}
    return row


def _further(exchange: Exchange, body: bytes) -> dict[str, Any]:
    """What is stored of few exchanges: the bytes of a body that is no text, and readings of the processor clock."""
    found: dict[str, Any] = {}
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        found["body_base64"] = base64.b64encode(body).decode("ascii")
    if exchange.is_late or any(one.busy_ns is not None or one.engine_ns is not None for one in exchange.readings):
        found["readings"] = [list(dataclasses.astuple(one)) for one in exchange.readings]
    return found
