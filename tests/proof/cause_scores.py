"""How often the first cause is right: `python tests/proof/cause_scores.py FOLDER [-v] [--write] [--pack]`.

FOLDER holds a folder for each fault with results.jsonl of its run, as PROOF_KEEP leaves them. `--write` puts the causes
into docs/faults.md: the rules may change after the faults were planted. `--pack` stores what the rules read of each run
in selftest/data/causes.jsonl, for the selftests.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import owners
from matrix import cause_shown, count_of_causes
from owners_causes import EXPECTED

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.report.causes import EXPLAINED, causes_of

MATRIX = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
PACKED = Path(__file__).resolve().parent / "selftest" / "data" / "causes.jsonl"
# of a text, of the findings of a test, of those of a class
CHARACTERS, FINDINGS, TEXTS = 240, 60, 2
# of the machine where the faults were planted
PATH = re.compile(rf"(?:{re.escape(str(ROOT))}|/tmp|/root)/[^\s'\"\\]*")
Row = dict[str, Any]


def rows_of(folder: Path) -> list[Row]:
    """The tests of a stored run that failed or were errors."""
    rows = (json.loads(line) for line in (folder / "results.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if row["outcome"] in EXPLAINED]


def ids_of(rows: Sequence[Row]) -> list[str]:
    """The ids of the causes of these tests, the first one first."""
    return [found.cause.id for found in causes_of(rows)]


def packed(row: Row) -> Row:
    """What the rules read of a test, in short texts: the class of each finding, and the text of some of each class."""
    count: Counter[str] = Counter()
    short = []
    for found in row["findings"][:FINDINGS]:
        count[found["check"]] += 1
        names = ("check", "where", "observed", "expected") if count[found["check"]] <= TEXTS else ("check",)
        short.append({name: found[name][:CHARACTERS] for name in names})
    return {**{key: row[key] for key in ("id", "outcome")}, "message": row["message"][:CHARACTERS], "findings": short}


def pack(folder: Path) -> None:
    """Write PACKED; AssertionError when a packed run has other causes than the whole one."""
    PACKED.parent.mkdir(exist_ok=True)
    with PACKED.open("w", encoding="utf-8") as file:
        for place in sorted(path.parent for path in folder.glob("*/results.jsonl")):
            rows = rows_of(place)
            less = [packed(row) for row in rows]
            assert ids_of(less)[:1] == ids_of(rows)[:1], place.name
            text = json.dumps({"fault": place.name, "rows": less}, ensure_ascii=False)
            file.write(PATH.sub("/srv/run", text) + "\n")


def main(words: list[str]) -> None:
    """Print each fault whose first cause is wrong, and the counts of each family."""
    folder = Path(words[0])
    causes = {path.parent.name: ids_of(rows_of(path.parent)) for path in sorted(folder.glob("*/results.jsonl"))}
    if "--pack" in words:
        pack(folder)
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for fault, found in causes.items():
        family = owners.family_of(fault)
        total[family] += 1
        is_right = bool(found) and found[0] in EXPECTED[fault]
        right[family] += is_right
        if not is_right or "-v" in words:
            print(f"{'' if is_right else 'WRONG '}{fault}: {', '.join(found)}; expected {' or '.join(EXPECTED[fault])}")
    for family, count in total.items():
        print(f"{family}: {right[family]} of {count} right")
    print(f"all: {sum(right.values())} of {sum(total.values())} right, {len(EXPECTED) - sum(total.values())} not there")
    if "--write" in words:
        text = MATRIX.read_text("utf-8")
        MATRIX.write_text(
            with_causes(text, {fault: found[0] if found else "" for fault, found in causes.items()}), "utf-8"
        )


def with_causes(text: str, causes: Mapping[str, str]) -> str:
    """The table of faults with these first causes, and the count of right ones; an earlier table gets the column."""
    found: list[str] = []
    shown: dict[str, str] = {}
    has_column = "| first cause |" in text
    for line in text.splitlines():
        cells = line.split(" | ")
        if len(cells) < 4:
            found.append(line)
            continue
        fault = cells[0].removeprefix("| ")
        cells[2:2] = [] if has_column else [""]
        if fault == "fault":
            cells[2] = "first cause"
        elif fault in causes:
            cells[2] = cause_shown(fault, causes[fault])
        if fault in EXPECTED and cells[2]:  # a fault that was not planted again has no cause yet
            shown[fault] = cells[2]
        found.append(" | ".join(cells))
    missing = len([fault for fault in EXPECTED if f"| {fault} |" in text]) - len(shown)
    rest = (
        f" {missing} others, without a cause here, were not planted again since verdicts name causes."
        if missing
        else ""
    )
    return "\n".join([*_counted(found, count_of_causes(shown) + rest), ""])


def _counted(lines: Sequence[str], sentence: str) -> list[str]:
    """The lines with the sentence that counts causes, before the table."""
    kept = [line for line in lines if not line.startswith("Of ")]
    head = next(place for place, line in enumerate(kept) if line.startswith("| fault"))
    before = kept[:head]
    while before and not before[-1]:
        before.pop()
    columns = "---|" * (kept[head].count(" | "))
    return [*before, "", sentence, "", kept[head], f"|{columns}---:|", *kept[head + 2 :]]


if __name__ == "__main__":
    main(sys.argv[1:])
