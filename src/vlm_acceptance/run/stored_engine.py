"""The engine and the machine of a stored run: what is known of them, and NotStored for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from vlm_acceptance.client.replayed import StoredObservations
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.errors import EnvironmentProblem, NotStored
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.stored_values import value_of
from vlm_acceptance.engine.device import DeviceState
from vlm_acceptance.engine.installation import EngineInstall
from vlm_acceptance.engine.preflight import Preflight, PreflightFacts
from vlm_acceptance.engine.process import SupervisedProcess
from vlm_acceptance.run.tape import RUN

LOG = "server.log"
Known = TypeVar("Known")


def unstored() -> NoReturn:
    """In place of what a run would look at now."""
    raise NotStored("what it would look at now")


def no_exchange(stored: object) -> Exchange:
    """No value of the whole run holds exchanges."""
    raise ValueError(f"an exchange outside of a test: {stored!r:.40}")


class StoredProcess(SupervisedProcess):
    """An engine that ended long ago. `exit_seen` gives how, if the present test saw that it had ended."""

    def __init__(self, folder: Path, engine: Mapping[str, Any], exit_seen: Callable[[], str]) -> None:
        # not that of SupervisedProcess: nothing is started
        self.log = folder / LOG
        self.pid = None
        self._raw = None
        self._supervisor = None
        self._engine, self._exit_seen, self._how = engine, exit_seen, ""
        command = engine.get("command")
        self.argv = [str(word) for word in command] if isinstance(command, list) else []

    @property
    def exit_code(self) -> int | None:
        """Not known by itself."""
        return None

    @property
    def has_exited(self) -> bool:
        """Whether this test, or one before it, saw that the engine had ended."""
        self._how = self._how or self._exit_seen()
        return bool(self._how)

    @property
    def how_it_ended(self) -> str:
        """As the stored run reported it."""
        return self._how

    def wait(self, timeout_s: float) -> int | None:  # noqa: ARG002
        """Nothing to wait for."""
        return None

    def stop(self, grace_s: float) -> ExitReport:  # noqa: ARG002
        """How the engine ended; NotStored where that is not stored."""
        try:
            made: ExitReport = value_of(ExitReport, self._engine.get("ending"), no_exchange)
        except ValueError:
            raise NotStored("how the engine ended") from None
        return made


class StoredPreflight(Preflight):
    """What the stored run found on its machine before it started an engine."""

    def __init__(self, profile: Profile, summary: Mapping[str, Any], observations: StoredObservations) -> None:
        # not that of Preflight: nothing is looked at
        self.profile = profile
        self._summary = summary
        self._facts = PreflightFacts()
        if observations.has(RUN, "preflight"):
            self._facts = observations.take(RUN, "preflight").value(PreflightFacts, no_exchange)

    @property
    def env(self) -> dict[str, str]:
        """Not stored: it may hold secrets."""
        unknown: dict[str, str] | None = None
        return self._part("env", unknown)

    @property
    def engine(self) -> EngineInstall:
        """The vLLM that was started; of an earlier version's run only its versions are known."""
        versions = self._summary.get("versions")
        known = EngineInstall(None, (), "", versions) if isinstance(versions, dict) and versions else None
        return self._part("engine", self._facts.engine or known)

    @property
    def device(self) -> DeviceState:
        """The device before the launch."""
        return self._part("device", self._facts.device or self._device())

    @property
    def folder(self) -> Path:
        """The model folder of that machine: nothing is read of it."""
        return self._part("folder", self._facts.folder)

    def notes(self) -> list[str]:
        """What a reader was told about the machine."""
        return list(self._facts.notes)

    def device_state(self) -> DeviceState:
        """Not known now."""
        unknown: DeviceState | None = None
        return self._part("the device at that time", unknown)

    def check_all(self) -> None:
        """Nothing can be checked any more."""
        unstored()

    def _device(self) -> DeviceState | None:
        try:
            made: DeviceState = value_of(DeviceState, self._summary.get("device"), no_exchange)
        except ValueError:
            return None
        return made

    def _part(self, name: str, known: Known | None) -> Known:
        if (problem := self._facts.problems.get(name)) is not None:
            raise EnvironmentProblem(problem)
        if known is None:
            raise NotStored(f"{name} of the machine")
        return known
