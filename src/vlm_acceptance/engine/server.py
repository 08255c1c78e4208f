"""The deployment under test: launched from a profile, or attached by URL."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from vlm_acceptance.client.chat import chat, chat_body, get, plain_url
from vlm_acceptance.client.gateway import Gateway
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.paths import SMOKE
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.errors import EnvironmentProblem, PortTaken
from vlm_acceptance.engine import command, port, readiness
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine.endpoint import key_problem, unreachable
from vlm_acceptance.engine.process import SupervisedProcess
from vlm_acceptance.engine.readiness import ATTACHED, LAUNCHED, ProbeResult, Stage, in_short, listed_models

Progress = Callable[[str], None]
SETTLE_S = 30.0
PORTS_TRIED = 3
IN_USE = "address already in use"


@dataclass
class Deployment:
    """An endpoint and the readiness stages it has reached, in order; the last one may have failed."""

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
        """Whether the suite started the engine."""
        return self.process is not None

    @property
    def broken(self) -> Stage | None:
        """The stage that failed, or None."""
        return next((stage for stage in self.stages if not stage.ok), None)

    @property
    def ready(self) -> bool:
        """Every stage is proven."""
        return self.broken is None and len(self.stages) == len(LAUNCHED if self.launched else ATTACHED)

    def log_text(self) -> str:
        """The engine's log so far; empty when attached."""
        return self.process.log_text() if self.process else ""

    def stop(self) -> ExitReport | None:
        """End the engine; None when the suite did not start it. Safe to call twice."""
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
    """Start `vllm serve` and wait for its stages; PortTaken, or EnvironmentProblem when the machine ended it.

    A port that is free when it is chosen (`engine.port: 0`) may be taken before the engine binds it: then another one.
    """
    for _ in range(PORTS_TRIED - 1 if profile.engine.port == 0 else 0):
        number = port.free_port(profile.engine.host)
        try:
            return _launch_at(number, profile, engine, folder, env, log, run_id, api_key, progress)
        except EnvironmentProblem as broken:
            if not (isinstance(broken, PortTaken) or IN_USE in str(broken).lower()):
                raise
            progress(f"port {number} was taken before the engine had it; another one is tried")
            with contextlib.suppress(OSError):  # what the next engine logs is judged; this is not
                log.replace(log.with_name(f"{log.stem}-port-{number}{log.suffix}"))
    number = profile.engine.port or port.free_port(profile.engine.host)
    return _launch_at(number, profile, engine, folder, env, log, run_id, api_key, progress)


def _launch_at(
    number: int,
    profile: Profile,
    engine: tuple[str, ...],
    folder: Path,
    env: Mapping[str, str],
    log: Path,
    run_id: str,
    api_key: str | None,
    progress: Progress,
) -> Deployment:
    url = port.url_of(profile.engine.host, number)
    client = Client(url, api_key, profile.sizes)
    refuse_held_port(profile, number, client)
    argv = command.serve_argv(profile, engine, folder, number)
    children_s = profile.engine.children_timeout_s
    process = SupervisedProcess(argv, command.engine_env(profile, env, api_key), log, run_id, children_s=children_s)
    deployment = Deployment(profile, url, client, process, port=number)
    process.start()
    try:
        _Readiness(deployment, progress).wait_for(LAUNCHED)
        _require_fault_of_deployment(deployment)
    except BaseException:  # also Ctrl-C: the caller gets no deployment that it could stop
        deployment.stop()
        raise
    return deployment


def _require_fault_of_deployment(deployment: Deployment) -> None:
    """EnvironmentProblem when the engine log shows that the machine, not the deployment, caused the exit."""
    broken, process = deployment.broken, deployment.process
    if broken is None or process is None or not process.has_exited:
        return
    others = _other_listeners(deployment, process)
    is_held = port.is_open(deployment.port, deployment.profile.engine.host)
    # at `health` too: an engine that ends while its port is looked at cannot be seen not to hold it
    if broken.name in ("process", "port", "health") and is_held and not port.holds(process.tree(), deployment.port):
        raise PortTaken(_port_taken(deployment, others))
    lines = engine_log.error_lines(deployment.log_text(), deployment.profile.engine.harmless_log)
    if engine_log.is_environment(lines):
        raise EnvironmentProblem(f"{broken.detail}\n  log: {process.log}")


def _other_listeners(deployment: Deployment, process: SupervisedProcess) -> list[psutil.Process]:
    """Visible processes that listen on the engine's port and do not belong to the engine."""
    holders = port.holders(deployment.port, deployment.profile.engine.host)
    tree = process.tree()  # read second: a process that the engine starts meanwhile belongs to it
    return [process for process in holders if process not in tree]


def _port_taken(deployment: Deployment, by: Iterable[psutil.Process]) -> str:
    return f"port {deployment.port} was taken by {port.named(by)} while our engine started"


def attach(
    profile: Profile, base_url: str, *, api_key: str | None, progress: Progress, gateway: Gateway | None = None
) -> Deployment:
    """Check every stage of a running endpoint; EnvironmentProblem when nothing answers at its URL."""
    client = Client(base_url, api_key, profile.sizes, gateway)
    stages = readiness.attached(profile.endpoint.only_v1)
    path = "/health" if "health" in stages else "/v1/models"
    seen = client.send(get(path, profile.deadlines.health_s))
    if why := unreachable(client, seen) or key_problem(client, seen):
        raise EnvironmentProblem(why)
    deployment = Deployment(profile, client.base_url, client)
    _Readiness(deployment, progress).wait_for(stages)
    return deployment


def require_free_port(profile: Profile, api_key: str | None = None, deadline_s: float | None = None) -> None:
    """PortTaken when the profile's port is held; port 0 is chosen among the free ones later."""
    if number := profile.engine.port:
        client = Client(port.url_of(profile.engine.host, number), api_key, profile.sizes)
        refuse_held_port(profile, number, client, deadline_s)


def refuse_held_port(profile: Profile, number: int, client: Client, deadline_s: float | None = None) -> None:
    """PortTaken when the port is held; it names the attach command when the holder serves a model.

    The holder has `deadline_s` to list its models, else the profile's time for /health.
    """
    if not port.is_open(number, profile.engine.host):
        return
    holder = port.named(port.holders(number, profile.engine.host))
    models = listed_models(client.send(get("/v1/models", deadline_s or profile.deadlines.health_s)))
    if models is None:
        raise PortTaken(
            f"port {number} is held by {holder}, which serves no model; "
            f"stop it, or take another port with --vlm-set engine.port=N"
        )
    raise PortTaken(
        f"port {number} is held by {holder}, a server of {in_short(models) or 'no model'}; "
        f"to test that one: {' '.join(SMOKE)} --vlm-base-url {client.base_url}"
    )


class _Readiness:
    """The probes of each stage, their time limits, and how an exit of the engine is reported."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self.deployment = deployment
        self.profile = deployment.profile
        self.process = deployment.process
        self.progress = progress
        self.began = time.monotonic()
        self.port_taken = ""

    def wait_for(self, names: tuple[str, ...]) -> None:
        for name in names:
            probe: Callable[[], ProbeResult] = getattr(self, f"probe_{name}")
            stage = readiness.wait_for(name, probe, self.timeout_s(name), death=self.death, tick=self.tick)
            if self.port_taken:
                raise PortTaken(self.port_taken)
            self.deployment.stages.append(stage)
            if not stage.ok:
                return

    def timeout_s(self, name: str) -> float:
        if name in ("port", "health") and self.process is not None:
            return max(1.0, self.profile.engine.start_timeout_s - (time.monotonic() - self.began))
        if name in ("health", "model"):
            return SETTLE_S if self.process is not None else self.profile.deadlines.health_s
        # the requests have their own deadline and are sent once
        return 5.0 if name == "process" else 0.0

    def death(self) -> str | None:
        if self.process is None or not self.process.has_exited:
            return None
        lines = engine_log.error_lines(self.process.log_text(), self.profile.engine.harmless_log)
        after = f"after {time.monotonic() - self.began:.0f} s"
        return engine_log.death_message(f"the engine ended ({self.process.how_it_ended}) {after}", lines)

    def tick(self, name: str, seen: str) -> None:
        last = engine_log.message_of(self.process.last_line()) if self.process else seen
        self.progress(f"waits for {name}; {last or 'its log has no line yet'}")

    def probe_process(self) -> ProbeResult:
        assert self.process is not None
        return ProbeResult(True, f"pid {self.process.pid}")

    def probe_port(self) -> ProbeResult:
        assert self.process is not None
        number = self.deployment.port
        if not port.is_open(number, self.profile.engine.host):
            return ProbeResult(None, "nothing listens")
        others = _other_listeners(self.deployment, self.process)
        ours = port.holds(self.process.tree(), number)
        # two servers with SO_REUSEPORT share a port, and each gets a part of the requests
        if ours is False or (ours and others):
            self.port_taken = _port_taken(self.deployment, others)
            return ProbeResult(False, self.port_taken)
        return ProbeResult(True, f"port {number} is {'ours' if ours else 'open; its owner cannot be seen here'}")

    def probe_health(self) -> ProbeResult:
        return readiness.health_probe(self.deployment.client.send(get("/health", self.profile.deadlines.health_s)))

    def probe_model(self) -> ProbeResult:
        exchange = self.deployment.client.send(get("/v1/models", self.profile.deadlines.health_s))
        if self.process is None and (why := key_problem(self.deployment.client, exchange)):
            raise EnvironmentProblem(why)
        models = listed_models(exchange)
        if models is None:
            seen = exchange.error or exchange.body[:120]
            return ProbeResult(None, f"/v1/models gave HTTP {exchange.status}, {seen!r}", exchange)
        wanted = (self.profile.model.id, *self.profile.model.aliases)
        served = next((name for name in wanted if name in models), None)
        if served is None:
            return ProbeResult(False, f"/v1/models lists [{in_short(models)}], not {self.profile.model.id!r}", exchange)
        self.deployment.model_id = served
        return ProbeResult(True, f"serves {in_short(models)}", exchange)

    def probe_text(self) -> ProbeResult:
        return self.probe_token("Reply with OK.", ())

    def probe_picture(self) -> ProbeResult:
        # one tile: a picture of this size is valid for every model
        return self.probe_token("What colour is this picture? Answer with one word.", (plain_url(64, 64, (255, 0, 0)),))

    def probe_token(self, prompt: str, pictures: tuple[str, ...]) -> ProbeResult:
        body = chat_body(self.deployment.model_id, prompt, pictures, max_tokens=1)
        return readiness.token_probe(self.deployment.client.send(chat(body, self.profile.deadlines.cold_s)))
