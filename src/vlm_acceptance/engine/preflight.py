"""What must be true before an engine is started. Each question is asked once; its answer, good or bad, is kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import DeviceProblem, EnvironmentProblem, WeightsProblem
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import hub, installation, weights
from vlm_acceptance.engine.device import DeviceState
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.engine.offline import OfflineEngine

Progress = Callable[[str], None]
Answer = TypeVar("Answer")
# not TMPDIR, which CI sets for each job: runs that share a card must look in one place
LOCKS = Path("/tmp")  # noqa: S108


class asked_once(Generic[Answer]):  # noqa: N801 (used as `cached_property` is)
    """A `cached_property` that keeps an EnvironmentProblem too and raises it to everybody who asks again."""

    def __init__(self, ask: Callable[[Any], Answer]) -> None:
        self._ask = ask
        self.__doc__ = ask.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Answer:
        if instance is None:
            return self  # type: ignore[return-value]  # as every descriptor does on its class
        kept: dict[str, Any] = instance.__dict__  # an answer under the property's name is found before we are
        problem = f"{self._name} problem"
        if problem not in kept:
            try:
                kept[self._name] = self._ask(instance)
                return kept[self._name]  # type: ignore[no-any-return]
            except EnvironmentProblem as met:
                kept[problem] = met
        raise kept[problem]


class Preflight:
    """Engine, environment, device and weights of a profile. Every part raises EnvironmentProblem when it is not fit."""

    def __init__(self, profile: Profile, root: Path, env: Mapping[str, str], progress: Progress) -> None:
        self.profile = profile
        self._root = root
        self._given_env = env
        self._progress = progress

    @asked_once
    def env(self) -> dict[str, str]:
        """The engine's environment: ours, after the profile's scripts."""
        engine = self.profile.engine
        return installation.apply_source_scripts(engine.source, dict(self._given_env), required=engine.source_required)

    @asked_once
    def engine(self) -> EngineInstall:
        """The vLLM that will be started."""
        engine = self.profile.engine
        python = Path(engine.python).expanduser() if engine.python else None
        return installation.find_engine(python, engine.executable, self.env)

    def offline_engine(self, run_id: str) -> OfflineEngine:
        """The offline engine of that vLLM; EnvironmentProblem when its interpreter is not known."""
        python = self.engine.python
        if python is None:
            raise EnvironmentProblem(
                f"the interpreter behind {self.engine.command[0]} is not known, so the offline LLM cannot run: "
                "give it with --vlm-engine-python PATH"
            )
        return OfflineEngine(self.profile, python, self.engine.kind, self.folder, self.env, run_id, self._progress)

    @asked_once
    def torch_npu(self) -> None:
        """`import torch_npu` in the engine's interpreter, where the device is an NPU."""
        if self.profile.device.kind != "npu" or self.engine.python is None:
            return
        problem = installation.preflight_torch_npu(self.engine.python, self.env)
        if problem:
            raise EnvironmentProblem(problem)

    def device_state(self) -> DeviceState:
        """The device as it is now."""
        wanted = self.profile.device
        if wanted.kind == "npu":  # npu-smi may need the libraries that the profile's scripts bring
            return devices.probe_npu(self.env.get("ASCEND_RT_VISIBLE_DEVICES"), wanted.count, env=self.env)
        return devices.probe(wanted.kind)

    @asked_once
    def device(self) -> DeviceState:
        """The device before the first launch, fit for the profile."""
        state = self.device_state()
        wanted = self.profile.device
        if wanted.kind == "npu":
            problems = devices.device_problems(state, wanted.name, wanted.memory_mb, wanted.count, wanted.idle_floor_mb)
            if problems:
                raise DeviceProblem("; ".join(problems))
        return state

    @asked_once
    def folder(self) -> Path:
        """The model's folder, found or downloaded, and whole."""
        model = self.profile.model
        explicit = self._existing(model.path) if model.path else None
        folder = weights.locate(model.id, explicit, self._given_env, Path.home())
        if folder is None and model.source == "modelscope":
            folder = self._download()
        if folder is None:
            raise WeightsProblem(f"no folder for {model.id!r}: give it with --vlm-model PATH")
        problems = weights.inspect(folder, model.stop_token_ids, model.weights_bytes)
        if problems:
            raise WeightsProblem(f"{folder}: " + "; ".join(problems))
        return folder

    def _existing(self, path: str) -> Path:
        for candidate in (Path(path).expanduser(), self._root / path):
            if candidate.is_dir():
                return candidate.resolve()
        raise WeightsProblem(f"model.path: the folder {path!r} does not exist")

    def _download(self) -> Path:
        _ = self.device  # gigabytes are not fetched for a card that cannot be used
        model = self.profile.model
        python = self.engine.python
        if python is None:
            raise WeightsProblem(
                f"{model.id!r} is in no known cache, and the engine's interpreter, which would fetch it, is not known"
            )
        self._progress(f"{model.id} is in no known cache: downloading it with the ModelScope client")
        return hub.download(model.id, model.revision, env=self.env, python=python, progress=self._progress)

    def check_all(self) -> None:
        """Everything a launch needs, cheapest first; the first problem is raised."""
        _ = self.env, self.engine, self.device, self.torch_npu, self.folder

    @contextlib.contextmanager
    def card_lock(self) -> Iterator[None]:
        """One run a card: a second run is refused in one sentence. The lock dies with its process."""
        with contextlib.ExitStack() as locks:
            for card in self._cards():
                locks.enter_context(_locked(card))
            yield

    def _cards(self) -> list[str]:
        if self.profile.device.kind != "npu":
            return []
        visible = self.env.get("ASCEND_RT_VISIBLE_DEVICES", "").replace(" ", "")
        named = [word for word in visible.split(",") if word.isalnum()]
        return sorted(set(named)) or [str(number) for number in range(self.profile.device.count)]


@contextlib.contextmanager
def _locked(card: str) -> Iterator[None]:
    path = LOCKS / f"vlm-acceptance-{os.getuid()}-npu{card}.lock"
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as broken:
        raise DeviceProblem(f"card {card} cannot be reserved: {broken}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
            raise DeviceProblem(f"another run of this suite (pid {holder}) uses card {card}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
