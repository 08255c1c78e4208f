"""The interface of a data set: everything that the accuracy run knows about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

from vlm_acceptance.accuracy.item import Item, PreparedRequest, Scorer
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.profile import Mmmu


class Prompts(Interface):
    """A prompt protocol. `deviations` are sentences on differences from the original, `tiles` its limit, if any."""

    @property
    def name(self) -> str: ...
    @property
    def deviations(self) -> Sequence[str]: ...
    @property
    def scorer(self) -> str: ...
    @property
    def tiles(self) -> int | None: ...
    def request(self, item: Item) -> PreparedRequest: ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set. `stem` begins file names, `prompts` gets the stop token ids too, `prepare` is a command."""

    name: str
    stem: str
    domains: Mapping[str, Sequence[str]]
    scorers: Mapping[str, Scorer]
    prompts: Callable[[Mmmu, Sequence[int]], Prompts]
    text_only_prompt: Callable[[PreparedRequest], str]
    check_prepared: Callable[[Prepared], None]
    prepare: str
