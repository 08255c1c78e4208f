"""What tests see of the engine, the machine and many requests together, kept so that a run can be judged again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from vlm_acceptance.client.replayed import RAISED
from vlm_acceptance.core.errors import VlmAcceptanceError
from vlm_acceptance.report.store import RunStore

Seen = TypeVar("Seen")
# in place of a test: what belongs to the run
RUN = ""


class OfTest(Protocol):
    """A run, and the test that is at work."""

    test: str

    @property
    def store(self) -> RunStore: ...


class RunTape:
    """Writes observations.jsonl of a run."""

    def __init__(self, run: OfTest) -> None:
        self._run = run

    def observed(
        self,
        name: str,
        make: Callable[[], Seen],
        recorded: Callable[[], Sequence[str]] = tuple,
        kept: Callable[[Seen], Seen] = lambda seen: seen,
        *,
        test: str | None = None,
    ) -> Seen:
        """What `make` makes; `kept` of it, or an error in its place, is stored for the present test or for `test`."""
        at = self._run.test if test is None else test
        with self.failures(name, test=at):
            seen = make()
        ids = list(recorded())
        self._run.store.observed(at, name, {"value": kept(seen), **({"exchanges": ids} if ids else {})})
        return seen

    @contextlib.contextmanager
    def failures(self, name: str, *, test: str = RUN) -> Iterator[None]:
        """Keep an error of ours that ends the block."""
        try:
            yield
        except VlmAcceptanceError as broken:
            if isinstance(broken, RAISED):
                self._run.store.observed(test, name, {"raised": [type(broken).__name__, str(broken)]})
            raise
