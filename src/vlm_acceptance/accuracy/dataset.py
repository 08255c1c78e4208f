"""What makes a benchmark: one value, made by one module, that the accuracy run knows nothing else about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

from vlm_acceptance.accuracy.item import Item, PreparedRequest, Scorer
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.profile import Mmmu


class Prompts(Interface):
    """A prompt protocol: questions in, requests out. `deviations` say what an endpoint makes different."""

    @property
    def name(self) -> str: ...
    @property
    def deviations(self) -> Sequence[str]: ...
    @property
    def scorer(self) -> str: ...
    @property
    def tiles(self) -> int | None: ...
    def ask(self, item: Item) -> PreparedRequest: ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """`stem` begins the names of its files; `prompts` makes a protocol from the profile's section and stop ids."""

    name: str
    stem: str
    domains: Mapping[str, Sequence[str]]
    scorers: Mapping[str, Scorer]
    prompts: Callable[[Mmmu, Sequence[int]], Prompts]
    text_only_prompt: Callable[[PreparedRequest], str]
    check_prepared: Callable[[Prepared], None]
    prepare: str
