"""Collects what a test finds, keeps the evidence, and speaks once at the end with everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from vlm_acceptance.core.errors import DeploymentFailure
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.report import evidence
from vlm_acceptance.report.store import RunStore

MAX_EVIDENCE = 12


class FindingCollector:
    """One test's findings. `properties` end up in JUnit and results.jsonl."""

    def __init__(self, test: str, store: RunStore, base_url: str, key_env: str | None, policy: str) -> None:
        self.test = test
        self.all: list[Finding] = []
        self.properties: dict[str, str] = {}
        self.rows: list[dict[str, Any]] = []
        self._store = store
        self._base_url = base_url
        self._key_env = key_env
        self._policy = policy
        self._kept: dict[str, tuple[str, str]] = {}
        self._seen: list[tuple[Exchange, Sequence[Finding]]] = []

    def add(self, findings: Sequence[Finding], exchange: Exchange | None = None, where: str = "") -> None:
        """Findings about an exchange; its evidence is kept when there are any, or when all is to be kept."""
        if exchange is not None and (findings or self._policy == "all"):
            place, repeat = self._keep(exchange)
            findings = [replace(found, evidence=place, repeat=repeat) for found in findings]
        self.all.extend(found.at(where) if where else found for found in findings)

    def add_each(self, findings: Sequence[Finding], exchanges: Mapping[str, Exchange]) -> None:
        """Findings whose `where` begins with a name of `exchanges`; others carry no evidence."""
        for found in findings:
            name = found.where.partition(":")[0].strip()
            self.add([found], exchanges.get(name))

    def watch(self, findings: Sequence[Finding], exchange: Exchange) -> None:
        """Findings about an answer that the test may judge itself: they count where it finds nothing of the kind."""
        if findings:
            self._seen.append((exchange, findings))

    def disregard(self, exchange: Exchange) -> None:
        """What was watched in this answer does not count."""
        self._seen = [(seen, findings) for seen, findings in self._seen if seen is not exchange]

    def note(self, **properties: object) -> None:
        """Figures to report whatever the outcome; None is left out."""
        self.properties.update({key: str(value) for key, value in properties.items() if value is not None})

    def settle(self) -> None:
        """Raise DeploymentFailure with every finding, the gravest first; nothing when there are none."""
        self._add_watched()
        if not self.all:
            return
        ordered = sorted(self.all, key=lambda found: not found.fatal)
        self.rows[:] = [asdict(found) for found in ordered]
        kept = next((found.evidence for found in ordered if found.evidence), "")
        if kept:
            self.properties["evidence"] = kept
        first = ordered[0]
        head = f"{first.where + ': ' if first.where else ''}{first.observed}; expected {first.expected}"
        raise DeploymentFailure("\n".join([" ".join(head.split())[:400], *(found.render() for found in ordered)]))

    def _add_watched(self) -> None:
        said = {(found.check, found.observed) for found in self.all}
        seen, self._seen = self._seen, []
        for exchange, findings in seen:
            self.add([found for found in findings if (found.check, found.observed) not in said], exchange, exchange.id)

    def _keep(self, exchange: Exchange) -> tuple[str, str]:
        if self._policy == "none":
            return "", ""
        if exchange.id not in self._kept:
            if len(self._kept) >= MAX_EVIDENCE:
                return (
                    f"(the evidence of {MAX_EVIDENCE} other exchanges of this test was kept; see exchanges.jsonl)",
                    "",
                )
            folder, line = evidence.keep(self._store, self.test, exchange, self._base_url, self._key_env)
            self._kept[exchange.id] = (str(folder), line)
        return self._kept[exchange.id]
