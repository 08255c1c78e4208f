"""The state of one acceptance run: what was started, what came of it, what must still be released."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.baseline import read_baseline, require_same_data
from vlm_acceptance.accuracy.offline_run import by_offline_engine
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.config.options import Settings
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.errors import (
    EngineFailure,
    EnvironmentProblem,
    HarnessProblem,
    NotRun,
    UsageProblem,
    VlmAcceptanceError,
)
from vlm_acceptance.core.exchange import Request
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.logprobs import LogProbPrompt, StoredLogProbs
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import tiling, weights
from vlm_acceptance.engine.offline import OfflineRun, run_offline
from vlm_acceptance.engine.preflight import Preflight
from vlm_acceptance.engine.process import end_orphans, run_tag
from vlm_acceptance.engine.readiness import ATTACHED, LAUNCHED
from vlm_acceptance.engine.server import Deployment, attach, launch
from vlm_acceptance.report.store import RunStore, masker
from vlm_acceptance.workloads import capability

T = TypeVar("T")
IMAGES = ROOT / "fixtures" / "images"
CASES = ROOT / "fixtures" / "cases"


class OnceResource(Generic[T]):
    """A costly thing made at most once. Its failure is raised to the first who asks, later ones get NotRun."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.value: T | None = None
        self.error: VlmAcceptanceError | None = None
        self.asked = False

    def get(self) -> T:
        """The thing; NotRun when it failed before."""
        if self.error is not None:
            raise NotRun(str(self.error).splitlines()[0])
        if self.value is None:
            self.asked = True
            try:
                self.value = self._make()
            except VlmAcceptanceError as broken:
                self.error = broken
                raise
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as broken:
                # a bug of ours, or a test's time-out (no Exception), must not start the engine again for every test
                self.error = HarnessProblem(f"{type(broken).__name__}: {broken}")
                raise self.error from broken
        return self.value


@dataclass
class RunContext:
    """One run. Nothing is started before a test asks for it."""

    settings: Settings
    progress: Callable[[str], None]
    say: Callable[[str], None]
    results: list[TestResult] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    wants_offline: bool = False
    wants_offline_numbers: bool = False
    wants_accuracy: bool = False
    narrowed: str = ""
    unreachable: str = ""
    unwritable: str = ""
    ladder_reported: bool = False
    death_reported: bool = False
    orphans: Sequence[str] = ()
    warm: set[str] = field(default_factory=set)
    notes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mark = run_tag()
        self.offline: OnceResource[OfflineRun] = OnceResource(self._run_offline)
        self.launch: OnceResource[Deployment] = OnceResource(self._start)
        self.accuracy_plan: OnceResource[AccuracyPlan] = OnceResource(self._plan_accuracy)
        self.accuracy: OnceResource[AccuracyResult] = OnceResource(self._run_accuracy)
        self._lock = contextlib.ExitStack()

    @property
    def profile(self) -> Profile:
        """The effective profile."""
        return self.settings.loaded.profile

    @cached_property
    def mask(self) -> Callable[[str], str]:
        """Takes the API key out of a text."""
        return masker(self.settings.api_key)

    @cached_property
    def store(self) -> RunStore:
        """The run's files; the folder is made when the first test needs it."""
        return RunStore(self.settings.reports, self.profile.name, self.settings.api_key)

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """The five capability categories."""
        return load_categories(CASES, IMAGES)

    @cached_property
    def known_numbers(self) -> tuple[StoredLogProbs, ...]:
        """The stored numbers; UsageProblem when their file is none."""
        path = self.settings.logprobs_baseline
        if path is None:
            raise HarnessProblem("no stored numbers were given")
        return logprobs.read_baseline(path)

    @cached_property
    def number_prompts(self) -> tuple[LogProbPrompt, ...]:
        """What is asked for its numbers where no stored ones are needed."""
        return logprobs.read_prompts(existing(self.profile.logprobs.prompts))

    @cached_property
    def tile_rule(self) -> TileRule | None:
        """The constants of the token oracle: the profile's, and the served model's where it leaves them open.

        None where the profile has no oracle; of an attached endpoint the profile alone is known.
        """
        said = self.profile.model.pictures
        if said.oracle == "none":
            return None
        served = self.served_tiling() if self.settings.launched else {}
        return TileRule(**tiling.effective(said, served))

    def served_tiling(self) -> Mapping[str, int | bool]:
        """Tiles as the folder that is served, and the engine's arguments, have them."""
        return tiling.served_tiling(self.preflight.folder, self.profile.engine.args)

    @cached_property
    def preflight(self) -> Preflight:
        """What a launch needs, asked once; what earlier, killed runs left on the card is ended first."""
        asked = Preflight(self.profile, ROOT, os.environ, self.progress)
        self.orphans = end_orphans()
        if self.orphans:
            limits = self.profile.device
            with contextlib.suppress(EnvironmentProblem):  # the device check says it better
                devices.wait_for_release(
                    lambda: asked.device_state().used_mb, limits.idle_floor_mb, 0, limits.release_timeout_s
                )
        return asked

    def _ready_to_start(self) -> Preflight:
        if not self.notes.get("locked"):
            self._lock.enter_context(self.preflight.card_lock())
            self.notes["locked"] = True
        self.preflight.check_all()
        return self.preflight

    def _run_offline(self) -> OfflineRun:
        ready = self._ready_to_start()
        self.say("offline engine: starting")
        requests = capability.offline_requests(self.categories)
        if self.wants_offline_numbers:
            requests += capability.offline_number_requests(self.number_prompts, IMAGES)
        run = run_offline(ready.offline_engine(self.mark), requests, self.store.folder)
        self.say(
            f"offline engine: {len(run.replies)} answers in {run.batch_s:.1f} s, engine ready after {run.ready_s:.1f} s"
        )
        self.notes["offline_release"] = self.device_returned()
        return run

    def _start(self) -> Deployment:
        settings = self.settings
        if self.unreachable:
            raise EnvironmentProblem(self.unreachable)
        if settings.base_url:
            return attach(self.profile, settings.base_url, api_key=settings.api_key, progress=self.progress)
        ready = self._ready_to_start()
        # never two engines on one card: every offline engine is gone before the server starts
        if self.wants_offline:
            self.offline = _quietly(self.offline)
        if self.wants_accuracy and self.profile.mmmu and self.profile.mmmu.engine == "offline":
            self.accuracy = _quietly(self.accuracy)
        self.say(f"engine: starting {' '.join(ready.engine.command)} serve {ready.folder}")
        deployment = launch(
            self.profile,
            ready.engine.command,
            ready.folder,
            ready.env,
            self.store.folder / "server.log",
            self.mark,
            api_key=settings.api_key,
            progress=self.progress,
        )
        broken = deployment.broken
        if broken:
            self.say(f"engine: {broken.name} broke: {broken.detail.splitlines()[0]}")
        else:
            self.say(f"engine: ready after {sum(stage.seconds for stage in deployment.stages):.1f} s")
        return deployment

    def check_stored_runs(self) -> None:
        """UsageProblem when --vlm-resume names no run that can be gone on with, --vlm-baseline none that can be
        compared with, or the profile prompts or a question of long twins that are none; what else shows later.
        """
        logprobs.require_prompts(existing(self.profile.logprobs.prompts), self.number_prompts, IMAGES)
        capability.require_question(self.categories, self.profile.capability.long_similar_pictures.question)
        if (stored := self.settings.logprobs_baseline) is not None:
            logprobs.require_pictures(stored, [known.asked for known in self.known_numbers], IMAGES)
        resume, baseline = self.settings.resume, self.settings.baseline
        if resume is None and baseline is None:
            return
        if self.profile.mmmu is None:
            raise UsageProblem(f"--vlm-{'resume' if resume else 'baseline'}: the profile asks for no MMMU run (mmmu)")
        with contextlib.suppress(EnvironmentProblem):  # no data: the test of the data says so
            plan = accuracy.plan(self.profile)
            if resume is not None:
                accuracy.check_resume(plan, resume, self.settings.reports, self.mask)
            if baseline is not None:
                require_same_data(read_baseline(baseline, plan.prepared), plan.prepared)

    def _plan_accuracy(self) -> AccuracyPlan:
        return accuracy.plan(self.profile)

    def _run_accuracy(self) -> AccuracyResult:
        plan = dataclasses.replace(self.accuracy_plan.get(), served_rule=self.tile_rule)
        book = accuracy.AnswerLog(plan, self.store.folder, self.store.mask, self.progress, self.say)
        if plan.wanted.engine == "offline":
            ready = self._ready_to_start()
            book.open({"engine": "offline", **self._own_engine()}, self.settings.resume, self.settings.reports)
            self.say(f"offline engine: starting for {plan.dataset.name}")
            made = by_offline_engine(book, ready.offline_engine(self.mark))
            self.device_returned()  # the server must not find the card held
            return made
        deployment = self.ready_deployment()
        book.open(self._accuracy_target(deployment), self.settings.resume, self.settings.reports)
        return accuracy.by_server(book, deployment.client, deployment.model_id, self.settings.api_key_env)

    def _accuracy_target(self, deployment: Deployment) -> dict[str, Any]:
        """Who answers: a run goes on only with the same."""
        if not self.settings.base_url:
            return {"engine": "server", **self._own_engine()}
        told: dict[str, Any] = {}
        for path in ("/version", "/v1/models"):
            seen = deployment.client.send(Request("GET", path, deadline_s=self.profile.deadlines.health_s))
            with contextlib.suppress(ValueError):
                told[path] = seen.json()
        listed = told.get("/v1/models", {}).get("data", [])
        card: dict[str, Any] = next((card for card in listed if card.get("id") == deployment.model_id), {})
        shown = {key: card.get(key) for key in ("root", "parent", "max_model_len")}
        target = {"engine": "server", "url": self.settings.base_url, "model": deployment.model_id, **shown}
        return {**target, "version": told.get("/version")}

    def _own_engine(self) -> dict[str, Any]:
        files = dataclasses.asdict(weights.fingerprint(self.preflight.folder))
        return {"files": files, "versions": dict(self.preflight.engine.versions)}

    def device_returned(self) -> tuple[bool | None, str]:
        """Whether device memory is back to what it was before the first launch; None when it is not observed."""
        before = self.preflight.device
        if before.used_mb is None:
            return None, "device memory unobserved"
        limits = self.profile.device
        release = devices.wait_for_release(
            lambda: self.preflight.device_state().used_mb,
            before.used_mb,
            limits.release_tolerance_mb,
            limits.release_timeout_s,
        )
        seen = f"{release.last_mb} MB in use {release.seconds:.1f} s after the engine ended, {before.used_mb} MB before"
        return release.released, seen

    def ready_deployment(self) -> Deployment:
        """The deployment with every stage proven; the broken stage is a failure once, then NotRun."""
        deployment = self.launch.get()
        if deployment.ending is not None:
            raise NotRun("the engine was released already")
        broken = deployment.broken
        if broken is not None:
            if self.ladder_reported:
                raise NotRun(f"the deployment did not get ready: {broken.name}")
            raise self.broken_stage(deployment, broken.name)
        if deployment.process is not None and deployment.process.has_exited:
            if self.death_reported:
                raise NotRun("the engine ended while it was tested")
            self.death_reported = True
            how = deployment.process.how_it_ended
            raise EngineFailure(f"the engine ended ({how}) while it was tested\n  log: {deployment.process.log}")
        return deployment

    def broken_stage(self, deployment: Deployment, name: str) -> EngineFailure:
        """The failure that speaks of one broken stage; later tests are then not run."""
        self.ladder_reported = True
        stage = next(r for r in deployment.stages if r.name == name)
        log = f"\n  log: {deployment.process.log}" if deployment.process else ""
        return EngineFailure(f"not ready: {name}: {stage.detail}{log}")

    def require_stage(self, name: str) -> str:
        """What was seen on one stage of the ladder; EngineFailure when it broke, NotRun when it was never tried."""
        deployment = self.launch.get()
        stage = next((r for r in deployment.stages if r.name == name), None)
        if stage is None:
            raise NotRun(f"the deployment did not get that far: {deployment.stages[-1].name} broke")
        if not stage.ok:
            raise self.broken_stage(deployment, name)
        return f"{stage.detail} (after {stage.seconds:.1f} s)"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages this mode has."""
        return LAUNCHED if self.settings.launched else ATTACHED

    @property
    def blocked(self) -> str:
        """Why nothing could be judged, when the cause is outside the deployment; else ''."""
        if self.unwritable:
            return self.unwritable
        for thing in (self.launch, self.offline):
            if isinstance(thing.error, EnvironmentProblem) and self.launch.value is None:
                return str(thing.error).splitlines()[0]
        no_data = self.accuracy_plan.error
        if isinstance(no_data, EnvironmentProblem) and not any(r.outcome is Outcome.FAILED for r in self.results):
            return str(no_data).splitlines()[0]
        return ""

    def release(self) -> None:
        """End whatever still runs; called last, whatever happened."""
        if self.launch.value is not None:
            self.launch.value.stop()
        self._lock.close()


def _quietly(thing: OnceResource[T]) -> OnceResource[T]:
    """Make a thing now without consuming its failure: the tests that stand on it report that."""
    if thing.asked:
        return thing
    try:
        thing.get()
    except VlmAcceptanceError as broken:
        failure = broken

        def fail() -> T:
            raise failure

        return OnceResource(fail)
    return thing


def existing(path: str) -> Path:
    """A file of the context or of the user; HarnessProblem when it vanished since the options were read."""
    for candidate in (Path(path), ROOT / path):
        if candidate.exists():
            return candidate
    raise HarnessProblem(f"{path} does not exist any more")
