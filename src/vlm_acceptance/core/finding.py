"""A finding, and the outcomes of a test and of a run. Values only; nothing here sends or reads files."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any

from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding_classes import FindingClass, Severity


class Outcome(enum.Enum):
    """The outcome of one acceptance test: `failed` is about the deployment, `error` about us or the environment.

    `to be calibrated`: only below bars that were never calibrated for this deployment; it is no pass.
    """

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    TO_CALIBRATE = "to be calibrated"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


class Verdict(enum.Enum):
    """The outcome of a whole run; the value is its word in every report."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken expectation about an exchange, if there is one.

    `graded` replaces the severity of the class: a summary is as severe as what it sums up.
    """

    kind: FindingClass
    expected: str
    observed: str
    where: str = ""
    exchange: Exchange | None = field(default=None, compare=False, repr=False)
    graded: Severity | None = None
    evidence: str = ""
    repeat: str = ""

    @property
    def check(self) -> str:
        """The id of its class."""
        return self.kind.id

    @property
    def severity(self) -> Severity:
        """How severe it is."""
        return self.graded or self.kind.severity

    @property
    def fatal(self) -> bool:
        """Whether it refuses a category whatever its count of right answers."""
        return self.severity is Severity.FATAL

    def at(self, where: str) -> Finding:
        """The same finding with `where` put before its own place."""
        return replace(self, where=f"{where}: {self.where}" if self.where else where)

    def about(self, exchange: Exchange | None) -> Finding:
        """The same finding about this exchange."""
        return replace(self, exchange=exchange)

    @property
    def is_starved(self) -> bool:
        """Whether its request was not answered in time because the machine was busy: it excuses, and is not counted."""
        return self.exchange is not None and self.exchange.is_starved

    def row(self) -> dict[str, Any]:
        """The finding as JSON for stored files."""
        return {
            "check": self.check,
            "title": self.kind.title,
            "severity": self.severity.value,
            "expected": self.expected,
            "observed": self.observed,
            "where": self.where,
            "fatal": self.fatal,
            "evidence": self.evidence,
            "repeat": self.repeat,
        }

    def render(self) -> str:
        """Title and place, then expected, observed, evidence and how to repeat, as far as they are known."""
        lines = [
            f"[{self.check}] {self.where}".rstrip(),
            f"  expected: {self.expected}",
            f"  observed: {self.observed}",
        ]
        if self.evidence:
            lines.append(f"  evidence: {self.evidence}")
        if self.repeat:
            lines.append(f"  repeat:   {self.repeat}")
        return "\n".join(lines)
