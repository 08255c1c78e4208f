"""The engines of one acceptance run: built when a test first needs them, never two at once on one card, and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.offline_run import by_offline_engine
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.cases import known_issues
from vlm_acceptance.client.chat import chat_defaults, get
from vlm_acceptance.client.processor import EVERY_S, ProcessorClock, WaitHistory
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import EngineFailure, EnvironmentProblem, NotRun, PortTaken
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.waiting import Waited
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import machine, readiness, tiling, weights
from vlm_acceptance.engine.generation_defaults import declared_defaults
from vlm_acceptance.engine.offline import OfflineRun, run_offline
from vlm_acceptance.engine.preflight import Preflight
from vlm_acceptance.engine.process import end_orphans, run_tag
from vlm_acceptance.engine.readiness import LAUNCHED, Stage, model_card, short_json
from vlm_acceptance.engine.server import Deployment, attach, launch, require_free_port
from vlm_acceptance.report.progress import StageProgress, duration
from vlm_acceptance.run.basis import RunBasis
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.run.last_run import stage_seconds
from vlm_acceptance.run.lazy import OnceResource
from vlm_acceptance.run.record import DeviceRelease
from vlm_acceptance.run.tape import RUN
from vlm_acceptance.workloads import capability, challenge, logprobs

# so many requests in a row without an end are no slow ones: every further test would wait for its deadlines
HUNG = 30


@dataclass
class RunContext(RunBasis):
    """Engines of one run; each is started when a test first needs it.

    `wants_…`: a selected test needs the offline engine, its log probabilities, the accuracy run.
    """

    wants_offline: bool = False
    wants_offline_logprobs: bool = False
    wants_accuracy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tag = run_tag()
        self.offline: OnceResource[OfflineRun] = OnceResource(self._run_offline)
        self.launch: OnceResource[Deployment] = OnceResource(self._start)
        self.accuracy_plan: OnceResource[AccuracyPlan] = OnceResource(lambda: accuracy.plan(self.profile))
        self.accuracy: OnceResource[AccuracyResult] = OnceResource(self._run_accuracy)
        self._card_lock: contextlib.ExitStack | None = None
        self._tests: StageProgress | None = None
        self._reported: set[str] = set()
        self._late = 0

    @cached_property
    def processor_clock(self) -> ProcessorClock:
        """Reads the waits for a processor: of our threads, and of the engine's if this run launched it."""
        process = self.launch.get().process
        return ProcessorClock(None if process is None else lambda: [one.pid for one in process.tree()])

    @cached_property
    def wait_history(self) -> WaitHistory:
        """The waits for a processor since the deployment was first used."""
        return WaitHistory(self.processor_clock).start()

    def served_tiling(self) -> Mapping[str, int | bool]:
        """Tile constants of the served folder and of the engine's arguments."""
        return self.observed(
            "served_tiling",
            dict[str, int | bool],
            lambda: tiling.served_tiling(self.preflight.folder, self.profile.engine.args),
            test=RUN,
        )

    def recording_client(self, deployment: Deployment, record: Callable[[Exchange], None]) -> RecordingClient:
        """A client of the present test, which records with `record`."""
        # the history must have begun before the first request
        http = deployment.client.watched_by(self.wait_history.readings)
        defaults = chat_defaults(self.profile.model.thinking)
        more = (self.profile.deadlines, record, self.warm, defaults, self.processor_clock, self.tape)
        return RecordingClient(http, deployment.model_id, *more)

    def waited(self, exchange: Exchange) -> Waited | None:
        """What was waited for a processor during an exchange; None where it is not known."""
        return self.wait_history.waited(exchange) if self.launch.value else None

    def with_waits(self, exchange: Exchange) -> Exchange:
        """A slow exchange with the readings of its time, to be stored: a finding about that time may need them."""
        is_known = any(reading.busy_ns is not None for reading in exchange.readings)
        if is_known or exchange.elapsed_s < EVERY_S:
            return exchange
        return dataclasses.replace(exchange, readings=self.wait_history.readings(exchange))

    def engine_versions(self, deployment: Deployment, installed: Mapping[str, str]) -> dict[str, str]:
        """Versions of the served engine: those of `/version`, then the installed ones."""
        version = get("/version", self.profile.deadlines.health_s)
        return self.observed(
            "engine_versions",
            dict[str, str],
            lambda: known_issues.engine_versions(deployment.client.send(version), installed),
        )

    def declared_defaults(self) -> dict[str, float]:
        """What the served folder and the engine's arguments declare for parameters that a request does not name."""
        folder, args = self.preflight.folder, self.profile.engine.args
        return self.observed("declared_defaults", dict[str, float], lambda: declared_defaults(folder, args))

    @cached_property
    def last_seconds(self) -> Mapping[str, float]:
        """Seconds of each stage in the last run of this profile that had it."""
        return stage_seconds(self.settings.reports, self.profile.name)

    @contextlib.contextmanager
    def _stage(self, name: str, shown: str) -> Iterator[StageProgress]:
        """Log that a stage starts, and keep its duration for the next run if it comes to its end."""
        last_s = self.last_seconds.get(name)
        self.log(f"{name}: {shown}{f' ({duration(last_s)} in the last run)' if last_s else ''}")
        stage, began_ns = StageProgress(name, self.progress, last_s), time.monotonic_ns()
        try:
            yield stage
        finally:
            self.record.timeline.add("stage", name, began_ns)
        self.record.stage_seconds[name] = round(stage.seconds, 1)

    def _tests_begin(self) -> None:
        """The server is ready: from now on the tests take their time."""
        name = self._tests_name
        self._tests = StageProgress(name, self.progress)
        if last_s := self.last_seconds.get(name):
            self.log(f"{name}: {duration(last_s)} in the last run, until the engine was ended")

    @property
    def _tests_name(self) -> str:
        return f"{len(self.record.required)} required tests"  # other tests take another time

    @cached_property
    def preflight(self) -> Preflight:
        """What a launch needs, read once, after the orphans of killed runs were ended."""
        preflight = Preflight(self.profile, ROOT, os.environ, StageProgress("preparation", self.progress))
        self.record.orphans = end_orphans()
        if self.record.orphans:
            limits, used_mb = self.profile.device, lambda: preflight.device_state().used_mb
            with contextlib.suppress(EnvironmentProblem):  # the device check reports it better
                devices.wait_for_release(used_mb, limits.idle_floor_mb, 0, limits.release_timeout_s)
        return preflight

    def _reserve_card(self) -> None:
        if self._card_lock is None:
            with contextlib.ExitStack() as lock:
                lock.enter_context(self.preflight.card_lock())
                self._card_lock = lock.pop_all()

    def _ready_to_start(self) -> Preflight:
        self._reserve_card()
        for problem in machine.limit_problems(self.store.folder):
            raise EnvironmentProblem(problem)
        self.preflight.check_all()
        return self.preflight

    def require_free_port(self) -> None:
        """PortTaken when something listens where the server will; nothing to check once that was started."""
        if self.launch.tried:
            return
        self._reserve_card()  # another run of this suite on the card says more than its port
        require_free_port(self.profile, self.settings.api_key)

    def _run_offline(self) -> OfflineRun:
        return self.observed("offline", OfflineRun, self._make_offline, test=RUN)

    def _make_offline(self) -> OfflineRun:
        if isinstance(self.launch.error, PortTaken):
            raise NotRun(f"the server cannot start: {self.launch.error}")
        ready = self._ready_to_start()
        requests = capability.offline_requests(self.inputs.categories)
        if self.sends_large_pictures:
            requests += capability.offline_large_requests(self.inputs.categories, self.tile_rule)
        if self.profile.challenge.pictures:
            requests += challenge.offline_requests(self.new_pictures)
        if self.wants_offline_logprobs:
            requests += logprobs.offline_requests(self.inputs.offline_logprob_prompts, IMAGES, self.inputs.top)
        with self._stage("offline engine", f"starting, {len(requests)} requests") as stage:
            engine = dataclasses.replace(ready.offline_engine(self.tag), progress=stage)
            run = run_offline(engine, requests, self.store.folder)
        self.log(
            f"offline engine: {len(run.replies)} answers in {run.batch_s:.1f} s, engine ready after {run.ready_s:.1f} s"
        )
        self.record.offline_figures = run.figures
        self.record.late_children["offline engine"] = run.ending.late
        self.record.offline_release = self.device_returned()
        return run

    def _start(self) -> Deployment:
        with self.tape.failures("launch"):
            return self._make_deployment()

    def _make_deployment(self) -> Deployment:
        settings = self.settings
        if self.record.unreachable:
            raise EnvironmentProblem(self.record.unreachable)
        if settings.base_url:
            progress = StageProgress("endpoint", self.progress)
            return attach(
                self.profile, settings.base_url, api_key=settings.api_key, progress=progress, gateway=self.gateway
            )
        self._reserve_card()
        require_free_port(self.profile, settings.api_key)  # before the offline engine, which takes minutes
        ready = self._ready_to_start()
        # never two engines on one card: every offline engine is gone before the server starts
        if self.wants_offline:
            self.offline.prepare()
        if self.wants_accuracy and self.profile.mmmu and self.profile.mmmu.engine == "offline":
            self.accuracy.prepare()
        what = self.profile.model.id if self.profile.engine.serve == "id" else ready.folder
        log, command = self.store.folder / "server.log", ready.engine.command
        with self._stage("engine", f"starting {' '.join(command)} serve {what}") as stage:
            deployment = launch(
                self.profile, command, ready.folder, ready.env, log, self.tag,
                api_key=settings.api_key, progress=stage,
            )  # fmt: skip
        if broken := deployment.broken:
            self.record.stage_seconds.pop("engine")
            self.log(f"engine: {broken.name} broke: {broken.detail.splitlines()[0]}")
        else:
            self.log(f"engine: ready after {sum(stage.seconds for stage in deployment.stages):.1f} s")
            self._tests_begin()
        return deployment

    def _run_accuracy(self) -> AccuracyResult:
        made = self._make_accuracy()
        self.tape.observed("accuracy_span_s", lambda: made.span_s, test=RUN)
        return made

    def _make_accuracy(self) -> AccuracyResult:
        settings = self.settings
        plan = dataclasses.replace(self.accuracy_plan.get(), served_rule=self.tile_rule)
        log = accuracy.AnswerLog(plan, self.store.folder, self.store.mask, self.progress, self.log)
        if plan.wanted.engine == "offline":
            ready = self._ready_to_start()
            log.open(self._engine_target("offline"), settings.resume, settings.reports)
            with self._stage(f"offline engine for {plan.dataset.name}", "starting") as log.progress:
                engine = dataclasses.replace(ready.offline_engine(self.tag), progress=log.progress)
                result = by_offline_engine(log, engine)
            self.device_returned()  # the server must not find the card in use
            return result
        deployment = self.ready_deployment()
        target = self._engine_target("server") if settings.launched else self._endpoint_target(deployment)
        log.open(target, settings.resume, settings.reports)
        with self._stage(f"{plan.dataset.name} run", f"{len(plan.order)} questions") as log.progress:
            return accuracy.by_server(log, deployment.client, deployment.model_id, settings.api_key_env)

    def _engine_target(self, kind: str) -> dict[str, Any]:
        """What answers an accuracy run; an unfinished run is only resumed with the same target."""
        files = dataclasses.asdict(weights.fingerprint(self.preflight.folder))
        return {"engine": kind, "files": files, "versions": dict(self.preflight.engine.versions)}

    def _endpoint_target(self, deployment: Deployment) -> dict[str, Any]:
        deadline_s, model = self.profile.deadlines.health_s, deployment.model_id
        listed, told = (deployment.client.send(get(path, deadline_s)) for path in ("/v1/models", "/version"))
        card = model_card(listed, model, ("root", "parent", "max_model_len"))
        return {"engine": "server", "url": self.settings.base_url, "model": model, **card, "version": short_json(told)}

    def device_returned(self) -> DeviceRelease:
        """Waits until device memory is back to what it was before the first launch, at most the profile's time."""
        return self.observed("device_returned", DeviceRelease, self._wait_for_device)

    def _wait_for_device(self) -> DeviceRelease:
        before = self.preflight.device
        if before.used_mb is None:
            return DeviceRelease(None, "device memory unobserved")
        limits, used_mb = self.profile.device, lambda: self.preflight.device_state().used_mb
        release = devices.wait_for_release(
            used_mb, before.used_mb, limits.release_tolerance_mb, limits.release_timeout_s
        )
        seen = f"{release.last_mb} MB in use {release.seconds:.1f} s after the engine ended, {before.used_mb} MB before"
        return DeviceRelease(release.released, seen)

    @property
    def allocator(self) -> str:
        """The memory allocator of a launched engine on an NPU."""
        env = self.profile.engine.env
        return self.observed("allocator", str, lambda: machine.allocator_named({**self.preflight.env, **env}))

    def sent(self, exchange: Exchange) -> None:
        """Notes one more exchange of the tests: whether the deployment still answers."""
        self._late = self._late + 1 if exchange.is_late else 0

    def answering_deployment(self) -> Deployment:
        """The ready deployment; where no request of the last HUNG ended in time, a failure once, then NotRun."""
        deployment = self.ready_deployment()
        if self._late < HUNG:
            return deployment
        if "hang" in self._reported:
            raise NotRun("the deployment answers no request in time")
        self._reported.add("hang")
        raise EngineFailure(f"the deployment hangs: none of the last {self._late} requests ended within its deadline")

    def ready_deployment(self) -> Deployment:
        """The deployment with every stage proven; a broken stage is a failure once, then NotRun."""
        deployment = self.launch.get()
        if deployment.ending is not None:
            raise NotRun("the engine was released already")
        if deployment.broken is not None:
            if "stage" in self._reported:
                raise NotRun(f"the deployment did not get ready: {deployment.broken.name}")
            raise self._broken_stage(deployment, deployment.broken)
        if deployment.process is not None and deployment.process.has_exited:
            if "exit" in self._reported:
                raise NotRun("the engine ended while it was tested")
            self._reported.add("exit")
            how = self.observed("exited", str, partial(getattr, deployment.process, "how_it_ended"))
            raise EngineFailure(f"the engine ended ({how}) while it was tested\n  log: {deployment.process.log}")
        return deployment

    def deployment_to_release(self) -> Deployment:
        """The same, also if a test of its end has ended it."""
        deployment = self.launch.get()
        return deployment if deployment.ending and deployment.broken is None else self.ready_deployment()

    def _broken_stage(self, deployment: Deployment, stage: Stage) -> EngineFailure:
        self._reported.add("stage")
        log = f"\n  log: {deployment.process.log}" if deployment.process else ""
        return EngineFailure(f"not ready: {stage.name}: {stage.detail}{log}")

    def require_stage(self, name: str) -> str:
        """What was seen at one stage of readiness; EngineFailure when it broke, NotRun when it was never tried."""
        deployment = self.launch.get()
        stage = next((stage for stage in deployment.stages if stage.name == name), None)
        if stage is None:
            raise NotRun(f"the deployment did not get that far: {deployment.stages[-1].name} broke")
        if not stage.ok:
            raise self._broken_stage(deployment, stage)
        return f"{stage.detail} (after {stage.seconds:.1f} s)"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of readiness that this mode has."""
        return LAUNCHED if self.settings.launched else readiness.attached(self.profile.endpoint.only_v1)

    @property
    def blocked(self) -> str:
        """Why nothing could be judged, when the cause is outside the deployment; otherwise ''."""
        if self.record.unwritable:
            return self.record.unwritable
        failed = any(result.outcome is Outcome.FAILED for result in self.record.results)
        errors = [self.launch.error, self.offline.error] if self.launch.value is None else []
        errors += [] if failed else [self.accuracy_plan.error]
        return next((str(error).splitlines()[0] for error in errors if isinstance(error, EnvironmentProblem)), "")

    def release(self) -> None:
        """End every engine that still runs. It is called last, in every case."""
        if "wait_history" in self.__dict__:
            self.wait_history.stop()
        if self._tests is not None:
            self.record.stage_seconds.setdefault(self._tests_name, round(self._tests.seconds, 1))
        if self.launch.value is not None:
            self.launch.value.stop()
        if self._card_lock is not None:
            self._card_lock.close()
