"""Collects what a test finds, keeps the evidence, and speaks once at the end with everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

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
        self.raised: list[Finding] = []
        self.categories: list[str] = []
        self._store = store
        self._base_url = base_url
        self._key_env = key_env
        self._policy = policy
        self._kept: dict[str, tuple[str, str]] = {}
        self._seen: list[tuple[Exchange, Sequence[Finding]]] = []

    def add(self, findings: Sequence[Finding], exchange: Exchange | None = None, where: str = "") -> None:
        """Findings, each about its own exchange, else about `exchange`; the evidence of these exchanges is kept.
        A finding about no exchange keeps the evidence that it has.

        With the policy `all` the evidence of `exchange` is kept without findings, too.
        """
        if exchange is not None and self._policy == "all":
            self._keep(exchange)
        for found in findings:
            about = found.exchange or exchange
            place, repeat = self._keep(about) if about is not None else (found.evidence, found.repeat)
            self.all.append(replace(found.at(where) if where else found, evidence=place, repeat=repeat))

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

    def judges(self, category: str) -> None:
        """The one capability category that this test judges."""
        self.categories = [category]
        self.note(category=category)

    def below_bar(self, categories: Iterable[str]) -> None:
        """The categories that a test of many found below their bar."""
        self.categories = sorted(categories)
        self.note(below_bar=", ".join(self.categories) or None)

    def settle(self) -> None:
        """Raise DeploymentFailure with every finding, the gravest first; nothing when there are none."""
        self._add_watched()
        if not self.all:
            return
        ordered = sorted(self.all, key=lambda found: not found.fatal)
        self.raised = ordered
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
