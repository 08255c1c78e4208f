"""The causes of a run as lines of text, made from the content of summary.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.causes import short

# of a terminal: causes besides the first, tests named of each, lines of a message, characters of a line
CAUSES, TESTS, LINES, COLUMNS = 4, 3, 5, 300
Row = Mapping[str, Any]


def headline(word: str, summary: Row) -> str:
    """The verdict, its first cause, and how many of the tests that are not well this cause explains."""
    first = summary["causes"][0]
    return tr("{verdict}  {cause} ({share})", verdict=word, cause=tr(first["title"]), share=_share(summary, first))


def brief(summary: Row) -> list[str]:
    """What to do about the first cause and what shows it, then the next causes: a bounded number of lines."""
    first, *others = summary["causes"]
    lines = [tr("  to do: {advice}", advice=tr(first["advice"])), f"  {_named(first['tests'], TESTS)}", *_sign(first)]
    for cause in others[:CAUSES]:
        lines.append(tr("  also: {cause} ({share})", cause=tr(cause["title"]), share=_share(summary, cause)))
        lines.append(tr("    to do: {advice}", advice=tr(cause["advice"])))
        lines.append(f"    {_cut(_named(cause['tests'], 2) + _seen(cause))}")
    if others[CAUSES:]:
        lines.append(tr("  and {count} more causes, in report.html and verdict.txt", count=len(others[CAUSES:])))
    return lines


def whole(summary: Row) -> list[str]:
    """Every cause with all its tests and what shows it."""
    lines = []
    for cause in summary["causes"]:
        lines.append(tr("  cause: {cause} ({share})", cause=tr(cause["title"]), share=_share(summary, cause)))
        lines.append(tr("    to do: {advice}", advice=tr(cause["advice"])))
        lines += [f"  {line}" for line in _sign(cause)]
        lines += [f"      {short(test)}" for test in cause["tests"]]
    return lines


def _share(summary: Row, cause: Row) -> str:
    outcomes = Counter(test["outcome"] for test in summary["tests"])
    failed, errors = cause["failed"], len(cause["tests"]) - cause["failed"]
    if failed and errors:
        return tr(
            "{failed} of {all_failed} failed tests, {errors} of {all_errors} errors",
            failed=failed,
            all_failed=outcomes["failed"],
            errors=errors,
            all_errors=outcomes["error"],
        )
    if failed:
        return tr("{failed} of {all_failed} failed tests", failed=failed, all_failed=outcomes["failed"])
    return tr("{errors} of {all_errors} errors", errors=errors, all_errors=outcomes["error"])


def _named(tests: Sequence[str], most: int) -> str:
    """The first tests by name, and how many more there are, by area."""
    names = ", ".join(short(test) for test in tests[:most])
    rest = Counter(short(test).partition("::")[0] for test in tests[most:])
    if not rest:
        return tr("tests: {names}", names=names)
    areas = ", ".join(f"{area} {count}" for area, count in rest.items())
    return tr("tests: {names}, and {count} more ({areas})", names=names, count=sum(rest.values()), areas=areas)


def _sign(cause: Row) -> list[str]:
    """What shows the cause: a finding with its evidence, or a message."""
    sign = cause["sign"]
    if "message" in sign:
        lines = sign["message"].splitlines()
        return [f"  {short(sign['test'])}: {_cut(tr(lines[0]))}" if lines else f"  {short(sign['test'])}"] + [
            f"    {_cut(tr(line))}" for line in lines[1:LINES]
        ]
    found = [
        f"  {short(sign['test'])}: [{sign['check']}] {_cut(tr(sign['where']))}".rstrip(),
        tr("    expected: {said}", said=_cut(tr(sign["expected"]))),
        tr("    observed: {said}", said=_cut(tr(sign["observed"]))),
    ]
    found += [tr("    evidence: {place}", place=sign["evidence"])] if sign["evidence"] else []
    return found + ([tr("    repeat: {command}", command=sign["repeat"])] if sign["repeat"] else [])


def _seen(cause: Row) -> str:
    sign = cause["sign"]
    if "message" in sign:
        return f": {tr(sign['message'].partition(chr(10))[0])}"
    return tr(": {observed}; expected {expected}", observed=tr(sign["observed"]), expected=tr(sign["expected"]))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= COLUMNS else f"{line[:COLUMNS]}…"
