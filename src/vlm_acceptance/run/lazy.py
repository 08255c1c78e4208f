"""A resource that is made at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vlm_acceptance.core.errors import HarnessProblem, NotRun, NotStored, VlmAcceptanceError

T = TypeVar("T")


class OnceResource(Generic[T]):
    """A costly resource, made at most once. Its failure is raised to the first caller of `get`; later ones get NotRun.

    `tried`: somebody asked for it. `value`: the resource. `error`: its failure, once it was raised.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._failure: VlmAcceptanceError | None = None
        self.tried = False
        self.value: T | None = None
        self.error: VlmAcceptanceError | None = None

    def prepare(self) -> None:
        """Make it now, if it was not made; a failure is kept for the first caller of `get`."""
        if self.value is not None or self._failure is not None:
            return
        self.tried = True
        try:
            self.value = self._make()
        except VlmAcceptanceError as broken:
            self._failure = broken
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as broken:  # noqa: BLE001
            # a bug of ours, or a test's time-out (not an Exception), must not start the engine again for every test
            self._failure = HarnessProblem(f"{type(broken).__name__}: {broken}")
            self._failure.__cause__ = broken

    def get(self) -> T:
        """The resource; NotRun when its failure was raised before."""
        self.prepare()
        if isinstance(self.error, NotStored):
            raise self.error
        if self.error is not None:
            raise NotRun(str(self.error).splitlines()[0])
        if self._failure is not None:
            self.error = self._failure
            raise self.error
        assert self.value is not None
        return self.value
