"""Collects the findings of a test, keeps their evidence, and raises them together when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from vlm_acceptance.checks.waiting import late_by_waiting
from vlm_acceptance.core.errors import DeploymentFailure, EnvironmentProblem, ToBeCalibrated
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.waiting import Waited
from vlm_acceptance.report import evidence
from vlm_acceptance.report.masked import OWN_PROPERTIES, masked
from vlm_acceptance.report.store import RunStore

MAX_EVIDENCE = 12
# of the findings of a test, in its message
MAX_SHOWN = 100
BELOW = "below a bar that was never calibrated: "


class FindingCollector:
    """The findings of one test. `properties` are written to JUnit and results.jsonl.

    `can_wait`: whether a finding is only about a bar that was never calibrated. `guide_names`: categories by id.
    `waited`: what was waited for a processor during an exchange.
    """

    def __init__(
        self,
        test: str,
        store: RunStore,
        base_url: str,
        key_env: str | None,
        policy: str,
        can_wait: Callable[[Finding], bool] = lambda _: False,
        guide_names: Mapping[str, str] | None = None,
        waited: Callable[[Exchange], Waited | None] = lambda _: None,
        further: evidence.Further = evidence.NOTHING,
    ) -> None:
        self.test = test
        self.all: list[Finding] = []
        self.excused: list[str] = []
        self.properties: dict[str, str] = {}
        self.raised: list[Finding] = []
        self.categories: list[str] = []
        self._store = store
        self._base_url = base_url
        self._key_env = key_env
        self._policy = policy
        self._can_wait = can_wait
        self._guide_names = guide_names or {}
        self._waited = waited
        self._further = further
        self._unrecorded = False
        self._kept: dict[str, tuple[str, str]] = {}
        self._watched: list[tuple[Exchange, Sequence[Finding]]] = []

    def add(self, findings: Sequence[Finding], exchange: Exchange | None = None, where: str = "") -> None:
        """Add findings, each about its own exchange, else about `exchange`, and keep the evidence of these exchanges.

        A finding without an exchange keeps the evidence that it has. With the policy `all`, the evidence of `exchange`
        is kept even without findings. A deadline that passed while the machine was busy is excused.
        """
        if exchange is not None and self._policy == "all":
            self._keep(exchange)
        for found in findings:
            about = found.exchange or exchange
            if about is not None and (busy := late_by_waiting(found, about, self._waited)):
                self.excuse(busy)
                continue
            place, repeat = self._keep(about) if about is not None else (found.evidence, found.repeat)
            self.all.append(replace(found.at(where) if where else found, exchange=None, evidence=place, repeat=repeat))

    def excuse(self, why: str) -> None:
        """What the machine explains, not the deployment: an error when the test ends, unless there are findings."""
        self.excused += [why] if why else []

    def watch(self, findings: Sequence[Finding], exchange: Exchange) -> None:
        """Findings about an answer that the test may judge itself; they count unless the test adds the same ones."""
        if findings:
            self._watched.append((exchange, findings))

    def disregard(self, exchange: Exchange) -> None:
        """Ignore the watched findings about this answer."""
        self._watched = [(seen, findings) for seen, findings in self._watched if seen is not exchange]

    def note(self, **properties: object) -> None:
        """Figures to report with every outcome, masked; None is left out."""
        shown = {key: str(value) for key, value in properties.items() if value is not None}
        self.properties.update(masked(shown, self._store.mask, OWN_PROPERTIES))

    def judges(self, category: str) -> None:
        """Name the capability category that this test judges."""
        self.categories = [category]
        self.about(category)

    def about(self, category: str) -> None:
        """Report the category, and its name in the deployment guide."""
        self.note(category=category, guide_name=self._guide_names.get(category))

    def is_unrecorded(self) -> None:
        """The calibration of this deployment recorded nothing of what this test counts: no bar is known yet."""
        self._unrecorded = True

    def below_bar(self, categories: Iterable[str]) -> None:
        """Name the categories below their bar, in a test of several categories."""
        self.categories = sorted(categories)
        self.note(below_bar=", ".join(self.categories) or None)

    def settle(self) -> None:
        """Raise every finding, fatal ones first; without findings EnvironmentProblem if something was excused.

        ToBeCalibrated if each of them can wait for a calibration, else DeploymentFailure.
        """
        self._add_watched()
        if not self.all and self.excused:
            raise EnvironmentProblem("\n".join(self.excused))
        if not self.all:
            return
        ordered = sorted(self.all, key=lambda found: not found.fatal)
        self.raised = ordered
        self.note(evidence=next((found.evidence for found in ordered if found.evidence), None))
        first = ordered[0]
        head = f"{first.where + ': ' if first.where else ''}{first.observed}; expected {first.expected}"
        is_new = self._unrecorded
        can_wait = all(self._can_wait(found) or (is_new and found.severity is Severity.ABILITY) for found in ordered)
        # masked before it is cut
        head = " ".join(f"{BELOW if can_wait else ''}{self._store.mask(head)}".split())[:400]
        more = [f"and {len(ordered) - MAX_SHOWN} more findings"] if len(ordered) > MAX_SHOWN else []
        text = "\n".join([head, *(found.render() for found in ordered[:MAX_SHOWN]), *more])
        raise ToBeCalibrated(text) if can_wait else DeploymentFailure(text)

    def _add_watched(self) -> None:
        known = {(found.check, found.observed) for found in self.all}
        watched, self._watched = self._watched, []
        for exchange, findings in watched:
            self.add([found for found in findings if (found.check, found.observed) not in known], exchange, exchange.id)

    def _keep(self, exchange: Exchange) -> tuple[str, str]:
        if self._policy == "none":
            return "", ""
        if exchange.id not in self._kept:
            if self._store.budget.is_spent:
                return "(not kept: the run has stored what it may, sizes.run_mib)", ""
            if len(self._kept) >= MAX_EVIDENCE:
                return f"(not kept: at most {MAX_EVIDENCE} exchanges per test; see exchanges.jsonl)", ""
            reached = (self._base_url, self._key_env, self._further)
            folder, line = evidence.keep(self._store, self.test, exchange, *reached)
            self._kept[exchange.id] = (str(folder), line)
        return self._kept[exchange.id]
