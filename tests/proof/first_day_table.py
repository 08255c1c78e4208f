"""The first day as a column of docs/faults.md: `python tests/proof/first_day_table.py FOLDER [--write]`.

FOLDER holds FAULT.json of each fault, as PROOF_FIRST_DAY leaves them in PROOF_REPORTS/first-day. Without `--write` it
prints the counts and each fault that was not refused.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import first_day
import matrix
from first_day import FirstDay
from owners_first_day import NOT_REFUSED

FAULTS = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
TITLE, NONE = "first day", ""
BEGINS = "On the first day"
SAID = {
    "reference": "refused by the reference alone",
    "both": "refused",
    "protocol": "refused",
    "answers": "refused by answers alone",
    "undecided": "not decided",
    "to calibrate": "**to be calibrated**",
    "accepted": "**accepted**",
}


def cell(row: FirstDay) -> str:
    """What the first day makes of a fault: the outcome, the first test that shows it, the distance, the reason."""
    named = row.refused_by or row.undecided or row.to_calibrate
    first = next((test for test in named if not first_day.is_of_answers(test)), next(iter(named), ""))
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    distance = f"{row.distance.shift:.4f} nats" if row.distance and _is_told(row) else ""
    by = f"{first}{more}" if row.kind != "reference" else ""
    reason = NOT_REFUSED.get(row.fault, "") if not row.is_refused else ""
    return "<br>".join(filter(None, (": ".join(filter(None, (SAID[row.kind], by))), distance, reason)))


def _is_told(row: FirstDay) -> bool:
    return row.kind in ("reference", "both", "answers") or not row.is_refused


def sentences(rows: Mapping[str, FirstDay]) -> str:
    """How many faults of a deployment the first day refuses, and by what."""
    kinds = Counter(row.kind for row in rows.values())
    refused = sum(row.is_refused for row in rows.values())
    missing = len(matrix.of_deployments() - set(rows))
    rest = f" {missing} were not planted." if missing else ""
    return (
        f"{BEGINS}, with nothing known but the reference, {refused} of {len(rows)} faults of a deployment were "
        f"refused: {kinds['protocol']} by what holds for any model, {kinds['both']} by the reference and by other "
        f"tests, {kinds['reference']} by the reference alone, {kinds['answers']} by wrong answers alone. "
        f"{kinds['undecided']} made a judgement impossible, {kinds['to calibrate']} were held back to be calibrated, "
        f"{kinds['accepted']} were accepted.{rest}"
    )


def with_first_day(text: str, rows: Mapping[str, FirstDay]) -> str:
    """The table of faults with this column, the last but the seconds, and its sentences before the table."""
    found: list[str] = []
    # with the column or without it, the seconds are the last cell
    for line in text.splitlines():
        cells = line.split(" | ")
        if line.startswith(BEGINS):
            continue
        if line.startswith("|---"):
            found.append("|---|---|---|---|---|---|---:|")
        if not line.startswith("| ") or len(cells) < 6:
            found += [] if line.startswith("|---") else [line]
            continue
        fault = cells[0].removeprefix("| ")
        cells[5:-1] = [TITLE if fault == "fault" else cell(rows[fault]) if fault in rows else NONE]
        found.append(" | ".join(cells))
    return "\n".join([*_before_table(found, sentences(rows)), ""])


def _before_table(lines: Sequence[str], sentence: str) -> list[str]:
    head = next(place for place, line in enumerate(lines) if line.startswith("| fault"))
    before = list(lines[:head])
    while before and not before[-1]:
        before.pop()
    return [*before, "", sentence, "", *lines[head:]]


def main(words: Sequence[str]) -> None:
    """Print the counts and what was not refused; with `--write` put the column into docs/faults.md."""
    rows = first_day.read(Path(words[0]))
    print(sentences(rows))
    for row in rows.values():
        if not row.is_refused or row.kind == "answers" or "-v" in words:
            print(f"{row.fault}: {cell(row)}")
    if "--write" in words:
        FAULTS.write_text(with_first_day(FAULTS.read_text("utf-8"), rows), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
