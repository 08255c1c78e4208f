"""From the results of a run to the causes that explain them. Pure: stored rows in, values out."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core import cause_rules
from vlm_acceptance.core.cause_rules import Sign
from vlm_acceptance.core.causes import CAUSES, Cause
from vlm_acceptance.core.finding import Outcome

FAILED = Outcome.FAILED.value
EXPLAINED = (FAILED, Outcome.ERROR.value)
# read of a text of a stored row, which may hold whatever a server sent; shown of it
READ, SHOWN = 4000, 600
MESSAGE_LINES = 8
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """A cause with the tests that it explains, those that show it first; `failed` of them failed, the rest are errors.

    `findings` counts those of all its tests; `sign` is the finding, or the message, that shows the cause best,
    `place` its place in the table of signs.
    """

    cause: Cause
    tests: tuple[str, ...]
    failed: int
    findings: int
    sign: Mapping[str, str]
    place: int

    def row(self) -> dict[str, Any]:
        """The cause as JSON for stored files."""
        return {
            "id": self.cause.id,
            "title": self.cause.title,
            "advice": self.cause.advice,
            "tests": list(self.tests),
            "failed": self.failed,
            "findings": self.findings,
            "sign": dict(self.sign),
        }


@dataclass(frozen=True, slots=True)
class _Shown:
    """A test that is not well: the first sign of the table that it shows, by place, and the finding that shows it."""

    row: Row
    place: int
    finding: Row | None

    @property
    def sign(self) -> Sign:
        return cause_rules.SIGNS[self.place]

    @property
    def cause(self) -> Cause:
        return self.sign.cause


def causes_of(rows: Iterable[Row]) -> list[Explained]:
    """The causes of all failures and errors: first what prevents all others, then what explains most tests."""
    shown = [_shown(row) for row in rows if row.get("outcome") in EXPLAINED]
    groups: dict[str, list[_Shown]] = {}
    for one in shown:
        groups.setdefault(one.cause.id, []).append(one)
    for few, many in cause_rules.RIVALS:
        smaller, greater = sorted((few, many), key=lambda cause: len(groups.get(cause.id, ())))
        if smaller.id in groups and greater.id in groups:
            groups[greater.id] += groups.pop(smaller.id)
    joined = _joined(groups)
    found = [_explained(CAUSES[name], group, groups[name]) for name, group in joined.items()]
    return sorted(found, key=_rank)


def _joined(groups: Mapping[str, Sequence[_Shown]]) -> dict[str, list[_Shown]]:
    """The tests by the cause that explains them: that of their sign, or one from which it follows, if that is there.

    A cause that itself follows from others in all its tests explains nothing else.
    """
    there = {name for name, group in groups.items() if any(not _follows(one, name, groups) for one in group)}
    found: dict[str, list[_Shown]] = {}
    for name, group in groups.items():
        for one in group:
            found.setdefault(next(iter(_follows(one, name, there)), name), []).append(one)
    return found


def _follows(shown: _Shown, own: str, there: Container[str]) -> list[str]:
    """The causes that are there and explain the sign of a test of the cause `own`."""
    return [cause.id for cause in shown.sign.follows if cause.id in there and cause.id != own]


def _rank(one: Explained) -> tuple[bool, int, int, int]:
    is_first = one.cause in cause_rules.FIRST
    return not is_first, -one.failed, -len(one.tests), one.place


def _explained(cause: Cause, group: Sequence[_Shown], own: Sequence[_Shown]) -> Explained:
    strongest = min(own, key=lambda one: (one.cause is not cause, one.place, one.finding is None))
    ordered = sorted(group, key=lambda one: one.cause is not cause)
    return Explained(
        cause=cause,
        tests=tuple(dict.fromkeys(str(one.row.get("id")) for one in ordered)),
        failed=sum(one.row.get("outcome") == FAILED for one in group),
        findings=sum(len(_findings(one.row)) for one in group),
        sign=_sign(strongest),
        place=strongest.place,
    )


def _shown(row: Row) -> _Shown:
    """The first sign of the table that a test shows; the last one is shown by every test."""
    name = short(str(row.get("id")))
    message = str(row.get("message") or "")[:READ]
    findings = _findings(row)
    for place, sign in enumerate(cause_rules.SIGNS):
        if not sign.is_of(name, str(row.get("outcome"))):
            continue
        if not sign.checks:
            # a message of findings holds what a model wrote
            if not sign.says or (not findings and sign.is_said(message)):
                return _Shown(row, place, findings[0] if findings else None)
            continue
        meant = [finding for finding in findings if sign.is_class(str(finding.get("check")))]
        shows = next((finding for finding in meant if sign.is_said(_text(finding))), None)
        if shows is not None and len(meant) >= sign.share * len(findings):
            return _Shown(row, place, shows)
    raise AssertionError("the last sign is shown by every test")


def _text(finding: Row) -> str:
    where, observed, expected = (str(finding.get(key) or "")[:READ] for key in ("where", "observed", "expected"))
    # both are in quotes
    is_cut = len(observed) > 2 and len(observed) < len(expected) and expected.startswith(observed[:-1])
    return f"{where}: {observed}{cause_rules.CUT_SHORT if is_cut else ''}; expected {expected}"


def _sign(shown: _Shown) -> dict[str, str]:
    """What shows the cause, in texts that are cut; a command is not, because a part of it is of no use."""
    found = {"test": str(shown.row.get("id"))}
    finding = shown.finding
    if finding is None:
        lines = str(shown.row.get("message") or "")[:READ].splitlines()
        return {**found, "message": "\n".join(line[:SHOWN] for line in lines[:MESSAGE_LINES])}
    found |= {key: str(finding.get(key) or "")[:SHOWN] for key in ("check", "title", "where", "expected", "observed")}
    # a summary of several answers has no evidence of its own
    kept = next((one for one in (finding, *_findings(shown.row)) if one.get("repeat")), finding)
    return {**found, **{key: str(kept.get(key) or "") for key in ("evidence", "repeat")}}


def _findings(row: Row) -> Sequence[Row]:
    found = row.get("findings")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, (list, tuple)) else ()


def short(ident: str) -> str:
    """A node id as `area::test[parameters]`."""
    module, _, test = ident.rpartition("/")[2].partition("::")
    return f"{module.removeprefix('test_').removesuffix('.py')}::{test}"
