"""How many prompt tokens each question has beside its tiles: the same prompt is counted with pictures of one tile.

A text alone does not have the same tokens: an engine that replaces the placeholders of pictures in the text and encodes
it again may add or remove some, and not the same number in each prompt.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import islice
from pathlib import Path

from vlm_acceptance.accuracy.item import PreparedRequest
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.server_run import PAUSE_S, TRIES
from vlm_acceptance.client.pool import map_all
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.files import BadFile, parse_json, read_lines

Count = Callable[[PreparedRequest], int | NoReply]


def counting_requests(plan: AccuracyPlan, ids: Container[str]) -> dict[str, PreparedRequest]:
    """What must be counted for these questions, by the hash of the request; equal requests are counted once."""
    chosen = (plan.request(ident) for ident in plan.order if ident in ids)
    return {one.sha256: one for request in chosen for one in plan.counting_requests(request)}


class PromptTokenCounts:
    """Token counts by the hash of the request, kept in a file so that a resumed run does not count again."""

    def __init__(self, path: Path, old: Path | None) -> None:
        self._path = path
        self._stored = stored_counts(old) if old is not None else {}

    def of(
        self,
        wanted: Mapping[str, PreparedRequest],
        count: Count,
        concurrency: int,
        show: Callable[[int], None] = lambda _: None,
    ) -> Mapping[str, int]:
        """Counts by hash, if reported in TRIES; a batch without any count is the last."""
        counts: dict[str, int] = {}
        rows = iter(wanted.items())
        with self._path.open("w", encoding="utf-8") as file:
            while batch := list(islice(rows, 2 * concurrency)):
                pairs = map_all(lambda row: (row[0], self._one(*row, count)), batch, concurrency)
                new = {digest: tokens for digest, tokens in pairs if tokens is not None}
                counts |= new
                file.writelines(json.dumps({"sha256": key, "tokens": value}) + "\n" for key, value in new.items())
                file.flush()
                show(len(counts))
                if not new:
                    break
        return counts

    def _one(self, digest: str, request: PreparedRequest, count: Count) -> int | None:
        if digest in self._stored:
            return self._stored[digest]
        for number in range(TRIES):
            time.sleep(PAUSE_S if number else 0)
            counted = count(request)
            if not isinstance(counted, NoReply):
                return counted
        return None


def stored_counts(path: Path) -> dict[str, int]:
    """The counts in a file of an earlier run, by the hash of the request."""
    return dict(_rows(path))


def _rows(path: Path) -> Iterable[tuple[str, int]]:
    try:
        for _, line in read_lines(path):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a killed run may leave half a line
                row = parse_json(line)
                yield str(row["sha256"]), int(row["tokens"])
    except BadFile as broken:
        raise UsageProblem(f"{path} {broken}") from None
