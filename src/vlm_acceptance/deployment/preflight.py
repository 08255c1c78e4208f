"""What must be true before an engine is started. Each question is asked once; its answer, good or bad, is kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from vlm_acceptance.deployment import device as devices
from vlm_acceptance.deployment import interpreter, modelscope_hub, weights
from vlm_acceptance.deployment.device import DeviceState
from vlm_acceptance.deployment.interpreter import EngineInstall
from vlm_acceptance.errors import DeviceProblem, EnvironmentProblem, WeightsProblem
from vlm_acceptance.profile import Profile

Progress = Callable[[str], None]


class Preflight:
    """Engine, environment, device and weights of a profile. Every part raises EnvironmentProblem when it is not fit."""

    def __init__(self, profile: Profile, root: Path, env: Mapping[str, str], progress: Progress) -> None:
        self.profile = profile
        self._root = root
        self._given_env = env
        self._progress = progress

    @cached_property
    def env(self) -> dict[str, str]:
        """The engine's environment: ours, after the profile's scripts."""
        engine = self.profile.engine
        return interpreter.apply_source_scripts(engine.source, dict(self._given_env), required=engine.source_required)

    @cached_property
    def engine(self) -> EngineInstall:
        """The vLLM that will be started."""
        engine = self.profile.engine
        python = Path(engine.python).expanduser() if engine.python else None
        return interpreter.find_engine(python, engine.executable, self.env)

    @cached_property
    def torch_npu(self) -> None:
        """`import torch_npu` in the engine's interpreter, where the device is an NPU."""
        if self.profile.device.kind != "npu" or self.engine.python is None:
            return
        problem = interpreter.preflight_torch_npu(self.engine.python, self.env)
        if problem:
            raise EnvironmentProblem(problem)

    def device_state(self) -> DeviceState:
        """The device as it is now."""
        wanted = self.profile.device
        return devices.probe(wanted.kind, self.env.get("ASCEND_RT_VISIBLE_DEVICES"), wanted.count)

    @cached_property
    def device(self) -> DeviceState:
        """The device before the first launch, fit for the profile."""
        state = self.device_state()
        wanted = self.profile.device
        if wanted.kind == "npu":
            problems = devices.device_problems(state, wanted.name, wanted.memory_mb, wanted.count, wanted.idle_floor_mb)
            if problems:
                raise DeviceProblem("; ".join(problems))
        return state

    @cached_property
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
        model = self.profile.model
        python = self.engine.python
        if python is None:
            raise WeightsProblem(
                f"{model.id!r} is in no known cache, and the engine's interpreter, which would fetch it, is not known"
            )
        self._progress(f"{model.id} is in no known cache: downloading it with the ModelScope client")
        return modelscope_hub.download(model.id, model.revision, env=self.env, python=python, progress=self._progress)

    def check_all(self) -> None:
        """Everything a launch needs, cheapest first; the first problem is raised."""
        _ = self.env, self.engine, self.device, self.torch_npu, self.folder

    @contextlib.contextmanager
    def card_lock(self) -> Iterator[None]:
        """One run a card: a second run is refused in one sentence. The lock dies with its process."""
        if self.profile.device.kind != "npu":
            yield
            return
        visible = self.env.get("ASCEND_RT_VISIBLE_DEVICES", "0")
        name = "".join(c if c.isalnum() else "_" for c in f"npu{visible}")
        path = Path(tempfile.gettempdir()) / f"vlm-acceptance-{os.getuid()}-{name}.lock"
        with path.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                raise DeviceProblem(
                    f"another run of this suite (pid {lock.read().strip() or '?'}) uses card {visible}"
                ) from None
            lock.seek(0)
            lock.truncate()
            lock.write(str(os.getpid()))
            lock.flush()
            yield
