"""What must hold before an engine is started. Each part is checked once; its result or its problem is stored."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import DeviceProblem, EnvironmentProblem, WeightsProblem
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import hub, installation, machine, weights
from vlm_acceptance.engine.command import with_absolute_paths
from vlm_acceptance.engine.device import DeviceState
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.engine.offline import OfflineEngine

Progress = Callable[[str], None]
Found = TypeVar("Found")
# not TMPDIR, which CI sets for each job: runs that share a card must use the same folder
LOCKS = Path("/tmp")  # noqa: S108


@dataclass(frozen=True, slots=True)
class PreflightFacts:
    """What is known of a machine: its vLLM, device, model folder, notes for a reader, and problems by these names."""

    engine: EngineInstall | None = None
    device: DeviceState | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


class Preflight:
    """Engine, environment, device and weights of a profile. A part that is not usable raises EnvironmentProblem.

    `tools_s`: each tool that is asked has so many seconds, not its usual time.
    """

    def __init__(
        self,
        profile: Profile,
        root: Path,
        env: Mapping[str, str],
        progress: Progress,
        tools_s: float | None = None,
    ) -> None:
        self.profile = profile
        self._source_s, self._list_s = tools_s or installation.SOURCE_TIMEOUT_S, tools_s or installation.LIST_TIMEOUT_S
        self._npu_smi_s = tools_s or devices.NPU_SMI_TIMEOUT_S
        self._root = root
        self._given_env = env
        self._progress = progress
        self._results: dict[str, Any] = {}

    def _once(self, find: Callable[[], Found]) -> Found:
        """The result of `find`, called once; its EnvironmentProblem is stored too and raised each time."""
        name = find.__name__
        if name not in self._results:
            try:
                self._results[name] = find()
            except EnvironmentProblem as problem:
                self._results[name] = problem
        if isinstance(self._results[name], EnvironmentProblem):
            raise self._results[name]
        return self._results[name]  # type: ignore[no-any-return]

    @property
    def env(self) -> dict[str, str]:
        """The engine's environment: the given one after the profile's scripts."""
        return self._once(self._source_env)

    @property
    def engine(self) -> EngineInstall:
        """The vLLM that will be started."""
        return self._once(self._find_engine)

    @property
    def device(self) -> DeviceState:
        """The device before the first launch, fit for the profile."""
        return self._once(self._fit_device)

    @property
    def folder(self) -> Path:
        """The model folder, found or downloaded, and complete."""
        return self._once(self._model_folder)

    def require_torch_npu(self) -> None:
        """EnvironmentProblem when `import torch_npu` fails for an NPU, or an impaired NPU does not answer it."""
        self._once(self._import_torch_npu)

    def check_all(self) -> None:
        """Check everything that a launch needs, cheapest first; raises the first problem."""
        _ = self.env, self.engine, self.device
        self.require_torch_npu()
        _ = self.folder

    def offline_engine(self, run_id: str) -> OfflineEngine:
        """The offline engine of that vLLM; EnvironmentProblem when its interpreter is not known."""
        python = self.engine.python
        if python is None:
            raise EnvironmentProblem(
                f"the interpreter behind {self.engine.command[0]} is not known, so the offline LLM cannot run: "
                "give it with --vlm-engine-python PATH"
            )
        return OfflineEngine(self.profile, python, self.engine.kind, self.folder, self.env, run_id, self._progress)

    def device_state(self) -> DeviceState:
        """The device as it is now."""
        wanted = self.profile.device
        if wanted.kind == "npu":  # npu-smi may need the libraries of the profile's scripts
            visible = self.env.get("ASCEND_RT_VISIBLE_DEVICES")
            return devices.probe_npu(visible, wanted.count, self._npu_smi_s, self.env)
        return devices.probe(wanted.kind)

    def facts(self) -> PreflightFacts:
        """What was found so far, for a later judgement of the run; nothing is checked for it."""
        finds = {"engine": self._find_engine, "device": self._fit_device, "folder": self._model_folder}
        problems = {name: self._results.get(find.__name__) for name, find in finds.items()}
        return PreflightFacts(
            engine=self._usable(self._find_engine),
            device=self._usable(self._fit_device),
            folder=self._usable(self._model_folder),
            notes=tuple(self.notes()),
            problems={name: str(one) for name, one in problems.items() if isinstance(one, EnvironmentProblem)},
        )

    def notes(self) -> list[str]:
        """What a reader must know about the parts that were checked; nothing is checked for it."""
        env, state = self._usable(self._source_env), self._usable(self._fit_device)
        folder = self._usable(self._model_folder)
        full_env = {**(env or {}), **self.profile.engine.env}
        found = machine.allocator_problems(full_env)
        if state is not None and state.kind == "npu":
            found += machine.determinism_notes(full_env)
            answers = self._results.get(self._import_torch_npu.__name__, "not asked") is None
            found += [f"{problem}{'; torch_npu answers' if answers else ''}" for problem in devices.impaired(state)]
        return found + (weights.stop_notes(folder, self.profile.model.more_stop_token_ids) if folder else [])

    def _usable(self, find: Callable[[], Found]) -> Found | None:
        """The stored result of `find`; None when it was not called or found a problem."""
        result = self._results.get(find.__name__)
        return None if isinstance(result, EnvironmentProblem) else result

    def _import_torch_npu(self) -> None:
        if self.profile.device.kind != "npu" or self.engine.python is None:
            return
        if problem := installation.preflight_torch_npu(self.engine.python, self.env):
            raise EnvironmentProblem(problem)
        noted = devices.impaired(self.device)
        if noted and (problem := installation.device_answers(self.engine.python, self.env)):
            raise DeviceProblem(f"{'; '.join(noted)}; {problem}")

    def _source_env(self) -> dict[str, str]:
        engine = self.profile.engine
        env = with_absolute_paths(self._given_env)  # downloads and engines run in other folders
        return installation.apply_source_scripts(engine.source, env, engine.source_required, self._source_s)

    def _find_engine(self) -> EngineInstall:
        engine = self.profile.engine
        python = expanded(engine.python) if engine.python else None
        return installation.find_engine(python, engine.executable, self.env, self._list_s)

    def _fit_device(self) -> DeviceState:
        state = self.device_state()
        wanted = self.profile.device
        if wanted.kind == "npu":
            problems = devices.device_problems(state, wanted.name, wanted.memory_mb, wanted.count, wanted.idle_floor_mb)
            if problems:
                raise DeviceProblem("; ".join(problems))
        return state

    def _model_folder(self) -> Path:
        model = self.profile.model
        # an engine that resolves the id asks the same client, which knows its caches better
        asks_hub = self.profile.engine.serve == "id" and model.source == "modelscope"
        folder = None if asks_hub else self._located()
        if folder is None and model.source == "modelscope":
            folder = self._download()
        if folder is None:
            raise WeightsProblem(f"no folder for {model.id!r}: give it with --vlm-model PATH")
        return self._complete(folder)

    def folder_here(self) -> Path | None:
        """The model folder, complete; None when only a download can bring it. Nothing is downloaded."""
        folder = self._located()
        if folder is None and self.profile.model.source != "modelscope":
            return self._model_folder()
        return None if folder is None else self._complete(folder)

    def _located(self) -> Path | None:
        model = self.profile.model
        explicit = self._existing(model.path) if model.path else None
        return weights.locate(model.id, explicit, self._given_env, Path.home())

    def _complete(self, folder: Path) -> Path:
        model = self.profile.model
        if problems := weights.inspect(folder, model.stop_token_ids, model.weights_bytes):
            raise WeightsProblem(f"{folder}: " + "; ".join(problems))
        return folder.absolute()  # engines run in another folder

    def _existing(self, path: str) -> Path:
        for candidate in (expanded(path), self._root / path):
            if candidate.is_dir():
                return candidate.resolve()
        if is_file(expanded(path)):
            raise WeightsProblem(f"model.path: {path!r} is a file; name its folder")
        raise WeightsProblem(f"model.path: the folder {path!r} does not exist")

    def _download(self) -> Path:
        _ = self.device  # no download of gigabytes for a card that cannot be used
        model = self.profile.model
        python = self.engine.python
        if python is None:
            why = "the interpreter that would download it is not known"
            raise WeightsProblem(f"the folder of {model.id!r} is not known, and {why}")
        self._progress(f"{model.id}: asking the ModelScope client for its folder, which it downloads if need be")
        return hub.download(model.id, model.revision, env=self.env, python=python, progress=self._progress)

    @contextlib.contextmanager
    def card_lock(self) -> Iterator[None]:
        """Reserve the cards for this run; DeviceProblem when another run uses one. The lock ends with its process."""
        with contextlib.ExitStack() as locks:
            for card in self._cards():
                locks.enter_context(_locked(card))
            yield

    def card_users(self) -> list[str]:
        """Which cards other runs of this suite use; nothing is reserved."""
        return list(filter(None, map(_user_of, self._cards())))

    def _cards(self) -> list[str]:
        if self.profile.device.kind != "npu":
            return []
        visible = self.env.get("ASCEND_RT_VISIBLE_DEVICES", "").replace(" ", "")
        named = [word for word in visible.split(",") if word.isalnum()]
        return sorted(set(named)) or [str(number) for number in range(self.profile.device.count)]


def _lock_file(card: str) -> Path:
    return LOCKS / f"vlm-acceptance-{os.getuid()}-npu{card}.lock"


def _in_use(card: str, file: TextIO) -> str:
    file.seek(0)
    return f"another run of this suite (pid {file.read().strip() or '?'}) uses card {card}"


def _user_of(card: str) -> str | None:
    with contextlib.suppress(FileNotFoundError), _lock_file(card).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _in_use(card, file)
    return None


@contextlib.contextmanager
def _locked(card: str) -> Iterator[None]:
    try:
        file = _lock_file(card).open("a+", encoding="utf-8")
    except OSError as broken:
        raise DeviceProblem(f"card {card} cannot be reserved: {broken}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeviceProblem(_in_use(card, file)) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
