"""What a check finds and what a test, an area and a run come to. Values only; nothing here sends or reads files."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Outcome(enum.Enum):
    """What one acceptance test came to. `failed` speaks of the deployment, `error` of us or the environment."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


class Verdict(enum.Enum):
    """What a whole run came to; the value is its word in every report."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken expectation. `fatal` findings refuse a category whatever its count of right answers."""

    check: str
    expected: str
    observed: str
    where: str = ""
    fatal: bool = False
    evidence: str = ""
    repeat: str = ""

    def at(self, where: str) -> Finding:
        """The same finding, placed: `where` is put before what the check itself said."""
        return replace(self, where=f"{where}: {self.where}" if self.where else where)

    def render(self) -> str:
        """Five parts on their own lines; parts that are not known are left out."""
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


def trimmed(text: object, limit: int = 300) -> str:
    """`repr` of what was seen, cut to `limit` characters with a note of its full length."""
    shown = repr(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown)} characters)"


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped, so that it cannot steer a terminal.

    Line feeds and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
