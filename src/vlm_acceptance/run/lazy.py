"""A costly resource that is made at most once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from vlm_acceptance.core.errors import HarnessProblem, NotRun, VlmAcceptanceError

T = TypeVar("T")


class OnceResource(Generic[T]):
    """A resource, made at most once. Its failure is raised by the first call of `get`; later calls raise NotRun.

    `tried` is whether it was needed, `value` the resource, `error` the failure.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._is_reported = False
        self.tried = False
        self.value: T | None = None
        self.error: VlmAcceptanceError | None = None

    def prepare(self) -> None:
        """Make it now, if it was not made; a failure is kept for the first caller of `get`."""
        if self.value is not None or self.error is not None:
            return
        self.tried = True
        try:
            self.value = self._make()
        except VlmAcceptanceError as broken:
            self.error = broken
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as broken:  # noqa: BLE001
            # an internal error, or a test's time-out (not an Exception), must not start the engine again for every test
            self.error = HarnessProblem(f"{type(broken).__name__}: {broken}")
            self.error.__cause__ = broken

    def get(self) -> T:
        """The resource; NotRun when its failure was raised before."""
        self.prepare()
        if self.error is not None:
            if self._is_reported:
                raise NotRun(str(self.error).splitlines()[0])
            self._is_reported = True
            raise self.error
        assert self.value is not None
        return self.value
