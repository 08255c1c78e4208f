"""The broken tests of a run by cause, for its page: the causes of the summary, else the classes of the findings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.report.stored_run import Row, Test

MOST_TITLE = 160


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause and the tests that it explains; `sign` is the finding that shows it best, as the summary has it."""

    anchor: str
    title: str
    advice: str
    tests: Sequence[Test]
    sign: Mapping[str, Any]

    @property
    def is_failure(self) -> bool:
        """Whether a test of it failed: the others are errors, or wait for a calibration."""
        return any(test.outcome == Outcome.FAILED.value for test in self.tests)

    @property
    def findings(self) -> int:
        """How many findings its tests have."""
        return sum(len(kept["findings"]) for test in self.tests for kept in test.evidence) + sum(
            test.dropped for test in self.tests
        )

    @property
    def examples(self) -> list[tuple[Row, Row]]:
        """At most two findings to show at once, each with its evidence: the sign, and the first with a picture."""
        kept = [(one, found) for test in self.tests for one in test.evidence for found in one["findings"]]
        wanted = [pair for pair in kept if self._is_sign(pair[1])][:1] + [pair for pair in kept if pair[0]["pictures"]][
            :1
        ]
        shown = wanted or kept[:1]
        return shown[:1] if len(shown) > 1 and (shown[0][0]["pictures"] or shown[0][1] is shown[1][1]) else shown

    def _is_sign(self, found: Row) -> bool:
        wanted = self.sign.get("check")
        return bool(wanted) and all(found.get(key, "") == self.sign.get(key) for key in ("check", "where"))


def causes_of(summary: Mapping[str, Any], tests: Sequence[Test]) -> list[Cause]:
    """The causes in the order of the summary; then what no cause of the summary names, grouped by what was found."""
    left = {test.id: test for test in tests if test.broken}
    found: list[tuple[str, str, list[Test], Mapping[str, Any]]] = []
    for row in summary["causes"]:
        named = [left.pop(ident) for ident in dict.fromkeys(row["tests"]) if ident in left]
        if named:
            found.append((str(row["title"]), str(row.get("advice") or ""), named, row.get("sign") or {}))
    groups: dict[str, list[Test]] = {}
    for test in left.values():
        groups.setdefault(_group(test), []).append(test)
    found += [(title, "", members, {}) for title, members in sorted(groups.items(), key=_worst_first)]
    return [Cause(f"cause-{number}", *parts) for number, parts in enumerate(found, start=1)]


def _worst_first(group: tuple[str, Sequence[Test]]) -> tuple[bool, int]:
    _, members = group
    return all(test.outcome != Outcome.FAILED.value for test in members), -len(members)


def _group(test: Test) -> str:
    """The class of the first finding; without findings the message, whatever numbers it names."""
    for kept in test.evidence:
        for found in kept["findings"]:
            return str(found.get("title") or found.get("check") or "?")
    return re.sub(r"\d+", "…", test.message)[:MOST_TITLE] or test.outcome
