"""How many prompt tokens the text of each request has without its pictures, as the endpoint counts them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from vlm_acceptance.client.pool import map_all
from vlm_acceptance.errors import NoReply


class TextCounts:
    """Counts by the hash of the request, kept in a file so that a run that goes on does not ask again."""

    def __init__(self, path: Path, old: Path | None) -> None:
        self._path = path
        self._known = dict(_rows(old)) if old is not None else {}

    def of(
        self, wanted: Iterable[tuple[str, str, str]], count: Callable[[str, str], int], concurrency: int
    ) -> Mapping[str, int]:
        """Counts for (hash, system message, text); those that the endpoint does not tell are left out."""

        def one(row: tuple[str, str, str]) -> tuple[str, int | None]:
            known = self._known.get(row[0])
            with contextlib.suppress(NoReply):
                return row[0], count(row[2], row[1]) if known is None else known
            return row[0], None

        found: dict[str, int] = {}
        rows = iter(wanted)
        with self._path.open("w", encoding="utf-8") as file:
            while batch := list(islice(rows, 16 * concurrency)):
                for digest, tokens in map_all(one, batch, concurrency):
                    if tokens is not None:
                        found[digest] = tokens
                        file.write(json.dumps({"sha256": digest, "tokens": tokens}) + "\n")
                file.flush()
        return found


def _rows(path: Path) -> Iterable[tuple[str, int]]:
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a killed run may leave half a line
            row = json.loads(line)
            yield str(row["sha256"]), int(row["tokens"])
