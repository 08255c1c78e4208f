"""The fault x check matrix: one row a fault, as data (matrix.json) and as a table to read (matrix.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import owners as owned
from check_ids import short


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault came to. `owners` must refuse it (`expected` failed) or not be able to judge it (error).

    `refused_by` and `undecided` are the tests that failed and were errors, owners or not; `seen` is said in words
    where the fault is met by the suite itself and not by a check. `passed` counts tests that did not notice.
    """

    fault: str
    family: str
    expected: str
    owners: tuple[str, ...]
    refused_by: tuple[str, ...]
    undecided: tuple[str, ...]
    passed: int
    seconds: float
    seen: str = ""

    @property
    def flaw(self) -> str:
        """Why the fault is not proved, '' when it is."""
        if not self.owners:
            return "" if self.seen else f"{self.fault}: nobody owns it"
        judged = self.refused_by if self.expected == "failed" else self.undecided
        missed = sorted(set(self.owners) - set(judged))
        if missed:
            return f"{self.fault}: {', '.join(missed)} should have {self.expected}; refused by {self.refused_by or '-'}"
        if self.expected == "error" and self.refused_by:
            return f"{self.fault}: the surroundings are at fault, and yet {', '.join(self.refused_by)} failed"
        return ""


def row_of(fault: str, outcomes: Iterable[tuple[str, str]], seconds: float) -> Row:
    """The row of a run; `outcomes` are pytest ids and outcomes of its tests."""
    family = owned.family_of(fault)
    refused = fault in owned.REFUSED.get(family, {})
    owners = (owned.REFUSED if refused else owned.ERRORS)[family][fault]
    by: dict[str, list[str]] = {"failed": [], "error": [], "passed": []}
    for ident, outcome in outcomes:
        by.setdefault(outcome, []).append(short(ident))
    return Row(
        fault,
        family,
        "failed" if refused else "error",
        owners,
        tuple(sorted(by["failed"])),
        tuple(sorted(by["error"])),
        len(by["passed"]),
        round(seconds, 1),
    )


def wanted() -> dict[str, str]:
    """Every fault and its family."""
    families = [*owned.REFUSED.items(), *owned.ERRORS.items(), ("ours", owned.OURS)]
    return {fault: family for family, faults in families for fault in faults}


def write(rows: Sequence[Row], folder: Path, name: str, full: bool) -> list[str]:
    """Both files, and the faults that no row is about, so that a part is not taken for the whole."""
    folder.mkdir(parents=True, exist_ok=True)
    families = wanted()
    ordered = sorted(rows, key=lambda row: (list(families).index(row.fault), row.fault))
    missing = sorted(set(families) - {row.fault for row in rows})
    whole = {
        "whole_suite": full,
        "faults": [{**asdict(row), "flaw": row.flaw} for row in ordered],
        "missing": missing,
        "seconds": round(sum(row.seconds for row in rows), 1),
    }
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / f"{name}.md").write_text(table(ordered, missing), "utf-8")
    return missing


def table(rows: Sequence[Row], missing: Sequence[str]) -> str:
    """Markdown: fault, family, the owners with their outcome, what else noticed."""
    lines = ["# Faults and the checks that refused them", ""]
    proved = sum(not row.flaw for row in rows)
    lines += [f"{proved} of {len(rows)} faults were met as they must be; {len(missing)} were not tried.", ""]
    lines += ["| fault | family | meant for it | others that noticed | s |", "|---|---|---|---|---:|"]
    for row in rows:
        judged = row.refused_by if row.expected == "failed" else row.undecided
        own = [f"{name} {row.expected}" if name in judged else f"**{name} did not**" for name in row.owners]
        others = sorted(set(row.refused_by + row.undecided) - set(row.owners))
        told = "<br>".join(own) or row.seen
        lines.append(f"| {row.fault} | {row.family} | {told} | {'<br>'.join(others)} | {row.seconds:.1f} |")
    return "\n".join([*lines, ""])
