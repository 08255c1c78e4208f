"""How many prompt tokens the text of each request has without its pictures, as the endpoint counts them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from vlm_acceptance.accuracy.server_run import PAUSE_S, TRIES
from vlm_acceptance.client.pool import map_all
from vlm_acceptance.core.exchange import NoReply


class TextCounts:
    """Token counts by the hash of the request, kept in a file so that a resumed run does not count again."""

    def __init__(self, path: Path, old: Path | None) -> None:
        self._path = path
        self._stored = dict(_rows(old)) if old is not None else {}

    def of(
        self,
        wanted: Iterable[tuple[str, str, str]],
        count: Callable[[str, str], int | NoReply],
        concurrency: int,
        show: Callable[[int], None] = lambda _: None,
    ) -> Mapping[str, int]:
        """Counts for (hash, system message, text), if reported in TRIES; a batch without any count is the last."""
        counts: dict[str, int] = {}
        rows = iter(wanted)
        with self._path.open("w", encoding="utf-8") as file:
            while batch := list(islice(rows, 2 * concurrency)):
                pairs = map_all(lambda row: (row[0], self._one(row, count)), batch, concurrency)
                new = {digest: tokens for digest, tokens in pairs if tokens is not None}
                counts |= new
                file.writelines(json.dumps({"sha256": key, "tokens": value}) + "\n" for key, value in new.items())
                file.flush()
                show(len(counts))
                if not new:
                    break
        return counts

    def _one(self, row: tuple[str, str, str], count: Callable[[str, str], int | NoReply]) -> int | None:
        digest, system, text = row
        if digest in self._stored:
            return self._stored[digest]
        for number in range(TRIES):
            time.sleep(PAUSE_S if number else 0)
            counted = count(text, system)
            if not isinstance(counted, NoReply):
                return counted
        return None


def _rows(path: Path) -> Iterable[tuple[str, int]]:
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a killed run may leave half a line
            row = json.loads(line)
            yield str(row["sha256"]), int(row["tokens"])
