"""Rows that were planted again, put into docs/faults.md: `python tests/proof/faults_table.py MATRIX.json...`.

A row with a flaw is not taken. Faults that are in neither are named; the column of the first day is put in afterwards
(first_day_table.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import matrix
from cause_scores import MATRIX, with_causes

SECONDS, COLUMNS = -1, 6


def lines_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The line of each row of a matrix.json that has no flaw, by fault."""
    found = {}
    for row in rows:
        if row["flaw"]:
            continue
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        del values["flaw"]
        table = matrix.table([matrix.Row(**values)], [])
        found[row["fault"]] = next(line for line in table.splitlines() if line.startswith(f"| {row['fault']} |"))
    return found


def stored_lines(text: str) -> dict[str, str]:
    """The lines of a table, without the column of the first day, by fault."""
    found = {}
    for line in text.splitlines():
        cells = line.split(" | ")
        if len(cells) >= COLUMNS and not line.startswith("| fault"):
            found[cells[0].removeprefix("| ")] = " | ".join([*cells[: COLUMNS - 1], cells[SECONDS]])
    return found


def merged(text: str, new: Mapping[str, str]) -> tuple[str, list[str]]:
    """The table with these lines in their places, and the faults that have none."""
    lines = {**stored_lines(text), **new}
    kept = [lines[fault] for fault in matrix.wanted() if fault in lines]
    missing = [fault for fault in matrix.wanted() if fault not in lines]
    empty = matrix.table([], []).splitlines()
    counted = f"{len(kept)} of {len(kept)} faults were met as they must be; {len(missing)} were not tried."
    whole = "\n".join([*empty[:2], counted, *empty[3:], *kept, ""])
    return with_causes(whole, {}), missing


def main(words: Sequence[str]) -> None:
    """Write docs/faults.md, and print what is missing."""
    rows = [row for word in words for row in json.loads(Path(word).read_text("utf-8"))["faults"]]
    text, missing = merged(MATRIX.read_text("utf-8"), lines_of(rows))
    MATRIX.write_text(text, "utf-8")
    print(f"not there: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
