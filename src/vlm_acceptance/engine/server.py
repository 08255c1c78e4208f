"""The deployment under test: launched from a profile, or attached by URL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vlm_acceptance.client.chat import chat, chat_body, get, plain_url
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EnvironmentProblem, PortTaken
from vlm_acceptance.engine import command, port
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine.process import ExitReport, SupervisedProcess
from vlm_acceptance.engine.readiness import (
    ATTACHED,
    LAUNCHED,
    ProbeResult,
    Stage,
    health_look,
    listed_models,
    token_look,
    wait_for,
)

Progress = Callable[[str], None]
SETTLE_S = 30.0


@dataclass
class Deployment:
    """A deployment on its way up the ladder. `stages` are in order; the last one may be broken."""

    profile: Profile
    base_url: str
    client: Client
    process: SupervisedProcess | None = None
    stages: list[Stage] = field(default_factory=list)
    ending: ExitReport | None = None
    port: int = 0
    model_id: str = ""

    @property
    def launched(self) -> bool:
        """Whether the engine is ours."""
        return self.process is not None

    @property
    def broken(self) -> Stage | None:
        """The stage that broke, or None."""
        return next((stage for stage in self.stages if not stage.ok), None)

    @property
    def ready(self) -> bool:
        """Every stage is proven."""
        return self.broken is None and len(self.stages) == len(LAUNCHED if self.launched else ATTACHED)

    def log_text(self) -> str:
        """The engine's log so far; empty when attached."""
        return self.process.log_text() if self.process else ""

    def stop(self) -> ExitReport | None:
        """Release the engine; None when it is not ours. Safe to call twice."""
        if self.process is not None and self.ending is None:
            self.ending = self.process.stop(self.profile.engine.stop_timeout_s)
        return self.ending


def launch(
    profile: Profile,
    engine: tuple[str, ...],
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    run_id: str,
    *,
    api_key: str | None,
    progress: Progress,
) -> Deployment:
    """Start `vllm serve` and wait_for the ladder; a broken stage is in the result, a held port raises PortTaken."""
    number = profile.engine.port or port.free_port(profile.engine.host)
    url = port.url_of(profile.engine.host, number)
    client = Client(url, api_key)
    refuse_held_port(profile, number, client)
    argv = command.serve_argv(profile, engine, folder, number)
    process = SupervisedProcess(argv, command.engine_env(profile, env, api_key), log, run_id)
    deployment = Deployment(profile, url, client, process, port=number)
    process.start()
    try:
        _Ladder(deployment, progress).wait_for(LAUNCHED)
        _blame_environment(deployment)
    except BaseException:  # Ctrl-C included: whoever started the engine ends it
        deployment.stop()
        raise
    return deployment


def _blame_environment(deployment: Deployment) -> None:
    """EnvironmentProblem when the engine died of what its log lays at the machine's door, not at its own."""
    broken = deployment.broken
    if broken is None or deployment.process is None or not deployment.process.has_exited:
        return
    others = _strangers(deployment)
    ours = port.holds(deployment.process.tree(), deployment.port)
    if (
        broken.name in ("process", "port")
        and not ours
        and port.is_open(deployment.port, deployment.profile.engine.host)
    ):
        raise PortTaken(_taken(deployment, others))
    telling = engine_log.error_lines(deployment.log_text(), deployment.profile.engine.harmless_log)
    if engine_log.is_environment(telling):
        raise EnvironmentProblem(f"{broken.detail}\n  log: {deployment.process.log}")


def _strangers(deployment: Deployment) -> list[psutil.Process]:
    """Who listens on the engine's port and is no process of it, as far as can be seen."""
    assert deployment.process is not None
    holders = port.holders(deployment.port, deployment.profile.engine.host)
    tree = deployment.process.tree()  # after them: a process that the engine starts meanwhile is its own
    return [process for process in holders if process not in tree]


def _taken(deployment: Deployment, by: Iterable[psutil.Process]) -> str:
    return f"port {deployment.port} was taken by {port.named(by)} while our engine started"


def attach(profile: Profile, base_url: str, *, api_key: str | None, progress: Progress) -> Deployment:
    """Take an endpoint that runs already up the ladder; EnvironmentProblem when nothing answers there at all."""
    client = Client(base_url, api_key)
    seen = client.send(get("/health", profile.deadlines.health_s))
    if seen.error is not None and seen.error.kind == "connect":
        raise EnvironmentProblem(f"nothing answers at {client.base_url}: {seen.error.message[:200]}")
    deployment = Deployment(profile, client.base_url, client)
    _Ladder(deployment, progress).wait_for(ATTACHED)
    return deployment


def refuse_held_port(profile: Profile, number: int, client: Client) -> None:
    """PortTaken, with the attach command when what holds the port serves a model."""
    if not port.is_open(number, profile.engine.host):
        return
    holder = port.holder(number, profile.engine.host)
    models = listed_models(client.send(get("/v1/models", profile.deadlines.health_s)))
    if models is None:
        raise PortTaken(
            f"port {number} is held by {holder}, which is no server of ours and serves no model; "
            f"stop it, or take another port with --vlm-set engine.port=N"
        )
    raise PortTaken(
        f"port {number} is held by {holder}, a server of {', '.join(models) or 'no model'}; "
        f"to test that one: pytest -m smoke --vlm-base-url {client.base_url}"
    )


class _Ladder:
    """Climbs; knows what each stage asks."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self.d = deployment
        self.profile = deployment.profile
        self.progress = progress
        self.began = time.monotonic()
        self.foreign = ""

    def wait_for(self, names: tuple[str, ...]) -> None:
        steps = {
            "process": self.process_step,
            "port": self.port_step,
            "health": self.health_step,
            "model": self.model_step,
            "text": self.text_step,
            "picture": self.picture_step,
        }
        for name in names:
            stage = wait_for(name, steps[name], self.patience(name), alive=self.death, tick=self.tick)
            if self.foreign:
                raise PortTaken(self.foreign)
            self.d.stages.append(stage)
            if not stage.ok:
                return

    def patience(self, name: str) -> float:
        deadlines = self.profile.deadlines
        if name in ("port", "health") and self.d.launched:
            return max(1.0, self.profile.engine.start_timeout_s - (time.monotonic() - self.began))
        # the probes carry their own deadline and are sent once
        if name in ("health", "model"):
            return SETTLE_S if self.d.launched else deadlines.health_s
        return 5.0 if name == "process" else 0.0

    def death(self) -> str | None:
        process = self.d.process
        if process is None or not process.has_exited:
            return None
        lines = engine_log.error_lines(self.d.log_text(), self.profile.engine.harmless_log)
        after = f"after {time.monotonic() - self.began:.0f} s"
        return engine_log.explained(f"the engine ended ({process.how_it_ended}) {after}", lines)

    def tick(self, name: str, seen: str) -> None:
        last = self.d.process.last_line() if self.d.process else seen
        self.progress(f"waiting for {name}, {time.monotonic() - self.began:.0f} s: {last}")

    def process_step(self) -> ProbeResult:
        assert self.d.process is not None
        return ProbeResult(True, f"pid {self.d.process.pid}")

    def port_step(self) -> ProbeResult:
        assert self.d.process is not None
        if not port.is_open(self.d.port, self.profile.engine.host):
            return ProbeResult(None, "nothing listens")
        others = _strangers(self.d)
        ours = port.holds(self.d.process.tree(), self.d.port)
        # two servers with SO_REUSEPORT share a port, and each gets a part of the requests
        if ours is False or (ours and others):
            self.foreign = _taken(self.d, others)
            return ProbeResult(False, self.foreign)
        return ProbeResult(True, f"port {self.d.port} is {'ours' if ours else 'open; whose it is cannot be seen here'}")

    def health_step(self) -> ProbeResult:
        return health_look(self.d.client.send(get("/health", self.profile.deadlines.health_s)))

    def model_step(self) -> ProbeResult:
        exchange = self.d.client.send(get("/v1/models", self.profile.deadlines.health_s))
        models = listed_models(exchange)
        if models is None:
            return ProbeResult(
                None, f"/v1/models gave HTTP {exchange.status}, {exchange.error or exchange.body[:120]!r}", exchange
            )
        wanted = (self.profile.model.id, *self.profile.model.aliases)
        served = next((name for name in wanted if name in models), None)
        if served is None:
            return ProbeResult(False, f"/v1/models lists {models}, not {self.profile.model.id!r}", exchange)
        self.d.model_id = served
        return ProbeResult(True, f"serves {', '.join(models)}", exchange)

    def text_step(self) -> ProbeResult:
        return self.probe("Reply with OK.", ())

    def picture_step(self) -> ProbeResult:
        # one tile whatever the tiling: the smallest picture that is a picture for every model
        return self.probe("What colour is this picture? Answer with one word.", (plain_url(64, 64, (255, 0, 0)),))

    def probe(self, prompt: str, pictures: tuple[str, ...]) -> ProbeResult:
        body = chat_body(self.d.model_id, prompt, pictures, max_tokens=1)
        return token_look(self.d.client.send(chat(body, self.profile.deadlines.cold_s)))
