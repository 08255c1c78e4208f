"""A run that judges a stored one again: the same tests, with what that run has seen in place of an engine."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vlm_acceptance.accuracy import stored_answers
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.cases import known_issues
from vlm_acceptance.client.chat import chat_defaults, get
from vlm_acceptance.client.processor import WaitHistory
from vlm_acceptance.client.recording import RecordingClient, Seen
from vlm_acceptance.client.replayed import (
    ReplayedClient,
    ReplayedRecordingClient,
    StillClock,
    StoredExchanges,
    StoredObservations,
)
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, NotStored
from vlm_acceptance.core.exchange import MIB, ErrorDetail, Exchange
from vlm_acceptance.core.stored_values import value_of
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.core.waiting import ProcessorReading, Waited
from vlm_acceptance.engine import tiling
from vlm_acceptance.engine.offline import OfflineRun
from vlm_acceptance.engine.readiness import Stage
from vlm_acceptance.engine.server import Deployment
from vlm_acceptance.report import attestation
from vlm_acceptance.report.masked import masked
from vlm_acceptance.report.store import JUDGED, RunStore, as_json
from vlm_acceptance.run import summary
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.record import DeviceRelease
from vlm_acceptance.run.requirements import NO_KEY, NO_OPENAI
from vlm_acceptance.run.stored import StoredRun
from vlm_acceptance.run.stored_engine import StoredPreflight, StoredProcess, no_exchange, unstored
from vlm_acceptance.run.tape import RUN

# features that depend on the machine or the options of the stored run, with the reasons that it gives without them
OF_MACHINE = {"openai": NO_OPENAI, "api_key": NO_KEY}
UNOBSERVED = "device memory unobserved"


class StoredWaits(WaitHistory):
    """The waits for a processor that the stored exchanges hold."""

    def __init__(self) -> None:
        super().__init__(StillClock())

    def stop(self) -> None:
        """Nothing reads."""

    def readings(self, exchange: Exchange) -> tuple[ProcessorReading, ...]:
        """Those of the exchange."""
        return exchange.readings

    def waited(self, exchange: Exchange) -> Waited | None:
        """What was waited during the exchange."""
        return exchange.waited


@dataclass
class JudgedRun(RunContext):
    """A run over a stored one. It starts no engine and opens no connection; what is not stored is not run."""

    stored: StoredRun = dataclasses.field(kw_only=True)

    @property
    def judged(self) -> StoredRun:
        """The run that is judged again."""
        return self.stored

    @cached_property
    def exchanges(self) -> StoredExchanges:
        """Its exchanges."""
        return StoredExchanges(self.stored.exchanges(), lambda body: masked(as_json(body), self.mask.long))

    @cached_property
    def observations(self) -> StoredObservations:
        """What its tests saw beside them."""
        return StoredObservations(self.stored.observations())

    def check(self) -> None:
        """UsageProblem when a file of this run or of the stored one cannot be used."""
        super().check()
        _ = self.exchanges, self.observations

    def features_of_machine(self, missing: Mapping[str, str]) -> Mapping[str, str]:
        """Features that the run lacks; those that depend on the machine as they were for the stored run."""
        theirs = self.stored.summary.get("not_applicable")
        reasons = {one for one in theirs.values() if isinstance(one, str)} if isinstance(theirs, dict) else set()
        found = {name: why for name, why in missing.items() if name not in OF_MACHINE}
        return found | {name: why for name, why in OF_MACHINE.items() if why in reasons}

    @cached_property
    def store(self) -> RunStore:
        """The files of the judgement."""
        run_bytes = int(self.profile.sizes.run_mib * MIB)
        secrets = self.settings.secrets
        return RunStore(self.settings.reports, self.profile.name, *secrets, run_bytes=run_bytes, suffix=JUDGED)

    @cached_property
    def processor_clock(self) -> StillClock:
        """Reads nothing."""
        return StillClock()

    @cached_property
    def wait_history(self) -> WaitHistory:
        """The waits of the stored run."""
        return StoredWaits()

    def observed(self, name: str, kind: Any, make: Callable[[], Seen], *, test: str | None = None) -> Seen:  # noqa: ARG002
        """What the stored run saw under this name; NotStored where it kept nothing."""
        at = self.test if test is None else test
        seen: Seen = self.observations.take(at, name).value(kind, lambda stored: self.exchanges.by_id(at, stored))
        return seen

    def recording_client(self, deployment: Deployment, record: Callable[[Exchange], None]) -> RecordingClient:
        """A client that gets the stored exchanges of the present test."""
        http, defaults = ReplayedClient(self.exchanges, self.test), chat_defaults(self.profile.model.thinking)
        more = (self.profile.deadlines, record, self.warm, defaults, self.processor_clock)
        made = ReplayedRecordingClient(http, deployment.model_id, *more)
        made.observations = self.observations
        return made

    def with_waits(self, exchange: Exchange) -> Exchange:
        """The exchange as it was stored."""
        return exchange

    def engine_versions(self, deployment: Deployment, installed: Mapping[str, str]) -> dict[str, str]:
        """Versions of the served engine; of a run of an earlier version, by any answer of `/version`."""
        if self.observations.has(self.test, "engine_versions"):
            return super().engine_versions(deployment, installed)
        request = get("/version", self.profile.deadlines.health_s)
        answer = self.exchanges.anywhere(request)
        if answer is None and not installed:
            raise NotStored("the version of the endpoint")
        none = Exchange("none", request, "", 0, 0, error=ErrorDetail("connect", "nothing was asked"))
        return known_issues.engine_versions(answer or none, installed)

    @cached_property
    def preflight(self) -> StoredPreflight:
        """What the stored run found on its machine."""
        return StoredPreflight(self.profile, self.stored.summary, self.observations)

    def _ready_to_start(self) -> StoredPreflight:
        raise NotStored("what an engine that is started now would do")

    @cached_property
    def tile_rule(self) -> TileRule | None:
        """The tile rule; an earlier version's run has it only where the profile states every constant."""
        stated = self.profile.model.pictures
        if stated.oracle == "none" or not self.settings.launched or self.observations.has(RUN, "served_tiling"):
            return super().tile_rule
        if not stated.model_fields_set >= tiling.OF_MODEL:
            raise NotStored("how the served model cuts pictures")
        return TileRule(**tiling.effective(stated, {}))

    def _run_offline(self) -> OfflineRun:
        made = super()._run_offline()
        self.record.offline_figures = made.figures
        self.record.late_children["offline engine"] = made.ending.late
        if self.observations.has(RUN, "offline_release"):
            self.record.offline_release = self.observed("offline_release", DeviceRelease, unstored, test=RUN)
        return made

    def _start(self) -> Deployment:
        if self.observations.has(RUN, "launch"):
            self.observations.take(RUN, "launch").value(None, no_exchange)
        engine, url = self.stored.summary.get("engine"), self.stored.scope.get("url")
        if not isinstance(engine, dict) or not engine.get("stages") or not isinstance(url, str):
            raise EnvironmentProblem(f"not in the stored run: an engine ({self.stored.summary.get('reason')!s:.200})")
        if self.settings.launched and self.wants_offline:
            self.offline.prepare()
        process = StoredProcess(self.stored.folder, engine, self.exit_seen) if self.settings.launched else None
        made = Deployment(self.profile, url, ReplayedClient(self.exchanges), process, model_id=self._model_id())
        try:
            stages = value_of(list[dict[str, Any]], engine["stages"], no_exchange)
            made.stages = [Stage(*(one[key] for key in ("name", "ok", "seconds", "detail"))) for one in stages]
        except (KeyError, ValueError):
            raise NotStored("the stages of its engine") from None
        return made

    def exit_seen(self) -> str:
        """How the engine ended, if the present test saw that it had; otherwise ''."""
        seen = self.observations.next(self.test, "exited")
        return "" if seen is None else str(seen.value(str, no_exchange))

    def _model_id(self) -> str:
        """The name under which the model was asked: that of most chat requests."""
        return self.exchanges.usual_model or self.profile.model.id

    def _run_accuracy(self) -> AccuracyResult:
        plan = dataclasses.replace(self.accuracy_plan.get(), served_rule=self.tile_rule)
        deployment = self.launch.get()
        if deployment.broken is not None:
            self.ready_deployment()  # its failure; of an engine that ended meanwhile the test asks itself
        made = stored_answers.judged(
            plan, self.stored.folder, self.store.folder, self.store.mask, deployment.base_url, deployment.model_id
        )
        if not self.observations.has(RUN, "accuracy_span_s"):
            return made
        return dataclasses.replace(made, span_s=self.observed("accuracy_span_s", float, unstored, test=RUN))

    def device_returned(self) -> DeviceRelease:
        """Whether device memory came back, as the stored run saw it."""
        released = self.stored.summary.get("device_memory")
        seen = released.get("server") if isinstance(released, dict) else None
        if seen == UNOBSERVED and not self.observations.has(self.test, "device_returned"):
            return DeviceRelease(None, UNOBSERVED)
        return super().device_returned()

    def release(self) -> None:
        """Take over how the engine ended."""
        with contextlib.suppress(NotRun):
            super().release()

    @property
    def judged_facts(self) -> dict[str, Any]:
        """The stored run, and how many tests it does not hold."""
        return {"judged": {"run": self.stored.folder.name, "folder": str(self.stored.folder), "absent": self._absent}}

    @property
    def judged_words(self) -> str:
        """That nothing was asked."""
        return f"; judged again from the run {self.stored.folder.name}, no server was asked"

    @property
    def judged_notes(self) -> list[str]:
        """What this verdict does not examine, and by what it was judged."""
        found = [f"judged again from {self.stored.folder}: no engine was started and no server was asked"]
        if not attestation.is_attested(self.stored.folder):
            found.append("the stored run has no attestation: whether its files were changed is not known")
        if self._absent:
            found.append(f"{self._absent} tests are not run: the stored run does not hold what they look at")
        profile, suite = (self.stored.summary.get(key) for key in ("profile", "suite"))
        if not isinstance(profile, dict) or profile.get("sha256") != summary.profile_facts(self)["sha256"]:
            found.append("the profile is not that of the stored run: its limits are those of this verdict")
        if suite != summary.suite_version():
            found.append("the suite is of another version than that of the stored run")
        return found

    @property
    def stored_model_files(self) -> dict[str, Any] | None:
        """Hashes of the model's files, as the stored run has them."""
        found = self.stored.summary.get("model_files")
        return found if isinstance(found, dict) else None

    @property
    def _absent(self) -> int:
        return len(self.record.not_stored)
