"""The fault x check matrix: one row a fault, as data (matrix.json) and as a table to read (matrix.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import owners as owned
import owners_causes
from check_ids import short


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one fault. Each of `owners` must have the outcome `expected`: failed or error.

    `refused_by` and `undecided` are the tests that failed or were errors, owners or not. `seen` describes the result
    of a fault without owners: what the suite survived, or a distance that no test refuses. `passed` counts the tests
    that did not notice the fault. `cause` is the id of the cause that the verdict named first.
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
    cause: str = ""

    @property
    def flaw(self) -> str:
        """Why the fault is not proved; '' when it is."""
        if self.expected == "distance" and self.refused_by:
            return f"{self.fault}: refused by {', '.join(self.refused_by)}, so it needs an owner"
        if not self.owners:
            return "" if self.seen else f"{self.fault}: it has no owner"
        noticed = self.refused_by if self.expected == "failed" else self.undecided
        missed = sorted(set(self.owners) - set(noticed))
        if missed:
            return f"{self.fault}: {', '.join(missed)} should have {self.expected}; refused by {self.refused_by or '-'}"
        if self.expected == "error" and self.refused_by:
            return f"{self.fault}: the environment is at fault, but these checks failed: {', '.join(self.refused_by)}"
        return ""


def row_of(fault: str, outcomes: Iterable[tuple[str, str]], seconds: float, cause: str = "", seen: str = "") -> Row:
    """The row of a run; `outcomes` are the pytest ids and outcomes of its tests, `cause` its first cause.

    `seen` is the distance of a mutant of owners.DISTANT.
    """
    family = owned.family_of(fault)
    expected, owners = _wanted_of(fault, family)
    by: dict[str, list[str]] = {"failed": [], "error": [], "passed": []}
    for ident, outcome in outcomes:
        by.setdefault(outcome, []).append(short(ident))
    return Row(
        fault,
        family,
        expected,
        owners,
        tuple(sorted(by["failed"])),
        tuple(sorted(by["error"])),
        len(by["passed"]),
        round(seconds, 1),
        seen,
        cause,
    )


def _wanted_of(fault: str, family: str) -> tuple[str, tuple[str, ...]]:
    """The outcome that a fault's owners must have, and the owners."""
    if fault in owned.DISTANT:
        return "distance", ()
    if fault in owned.REFUSED.get(family, {}):
        return "failed", owned.REFUSED[family][fault]
    return "error", owned.ERRORS[family][fault]


def wanted() -> dict[str, str]:
    """Every fault with its family."""
    families = [*owned.REFUSED.items(), ("mutant", owned.DISTANT), *owned.ERRORS.items(), ("ours", owned.OURS)]
    return {fault: family for family, faults in families for fault in faults}


def of_deployments() -> set[str]:
    """The faults of which a deployment is judged: all but those of a machine and of the suite itself."""
    return {fault for faults in owned.REFUSED.values() for fault in faults} | set(owned.DISTANT) | undecided()


def undecided() -> set[str]:
    """Faults of a deployment that make a judgement impossible."""
    return set(owned.WIRE_ERRORS)


def write(rows: Sequence[Row], folder: Path, name: str, full: bool) -> list[str]:
    """Write both files; return the faults without a row, so that a part is not taken for the whole."""
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
    """Markdown: fault, family, first cause, the owners with their outcome, other checks that noticed it."""
    lines = ["# Faults and the checks that refused them", ""]
    proved = sum(not row.flaw for row in rows)
    lines += [f"{proved} of {len(rows)} faults were met as they must be; {len(missing)} were not tried.", ""]
    lines += [count_of_causes({row.fault: row.cause for row in rows if row.fault in owners_causes.EXPECTED}), ""]
    lines += ["| fault | family | first cause | meant for it | others that noticed | s |", "|---|---|---|---|---|---:|"]
    for row in rows:
        noticed = row.refused_by if row.expected == "failed" else row.undecided
        own = [f"{name} {row.expected}" if name in noticed else f"**{name} did not**" for name in row.owners]
        others = sorted(set(row.refused_by + row.undecided) - set(row.owners))
        result = "<br>".join(own) or row.seen
        cells = (row.fault, row.family, cause_shown(row.fault, row.cause), result, "<br>".join(others))
        lines.append(f"| {' | '.join(cells)} | {row.seconds:.1f} |")
    return "\n".join([*lines, ""])


def count_of_causes(shown: Mapping[str, str]) -> str:
    """A sentence: for how many of these faults, each with its cell of the table, a right cause was named first."""
    right = sum(cell in owners_causes.EXPECTED[fault] for fault, cell in shown.items())
    return (
        f"Of {right} of {len(shown)} faults of a deployment or its environment the verdict named a right cause first."
    )


def cause_shown(fault: str, cause: str) -> str:
    """The first cause of a fault in a table; a wrong one is bold, with those that were expected."""
    expected = owners_causes.EXPECTED.get(fault, ())
    if not expected or cause in expected:
        return cause
    return f"**{cause or 'none'}**, not {' or '.join(expected)}"
