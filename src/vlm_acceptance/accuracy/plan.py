"""The plan of an accuracy run: requests, their order, the limits, and what makes answers of two runs comparable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from vlm_acceptance.accuracy.blank_pictures import blank, with_blank_pictures
from vlm_acceptance.accuracy.criteria import Limits, limits_of
from vlm_acceptance.accuracy.dataset import Dataset, Prompts
from vlm_acceptance.accuracy.item import PreparedRequest, Scorer
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.profile import Mmmu, Profile, Reference
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.tiles import TileRule, tiles

ORDER_SEED = 0
# parameters of a request that only counts prompt tokens
COUNT_PARAMS: Mapping[str, Any] = MappingProxyType({"temperature": 0.0, "max_tokens": 1})
LETTER_ALPHA = 0.001  # error probability of the stop on a repeated letter
# Sections of a profile that change answers, without the keys that change none: ports, time limits, harmless log lines.
NOT_COMPARED = {
    "model": {"path", "weights_bytes", "aliases"},
    "engine": {"executable", "python", "port", "start_timeout_s", "stop_timeout_s", "harmless_log"},
    "offline": {"enabled", "timeout_s", "same_text"},
}


@dataclass(frozen=True)
class AccuracyPlan:
    """One accuracy run before its first request."""

    dataset: Dataset
    profile: Profile
    wanted: Mmmu
    prepared: Prepared
    prompts: Prompts
    served_rule: TileRule | None = None

    @cached_property
    def order(self) -> list[str]:
        """Ids in the order of the requests: rounds of one random question per group, the same in every run."""
        return stratified_order(self.prepared.groups, ORDER_SEED)

    @cached_property
    def limits(self) -> Limits:
        return limits_of(self.wanted, self.profile.references, len(self.order))

    @property
    def reference(self) -> Reference | None:
        """The published score that the run is compared with, if any."""
        return self.wanted.reference_among(self.profile.references)[1]

    @property
    def deciding_scorer(self) -> str:
        """The name of the scorer that decides: from the profile, else from the protocol."""
        return self.wanted.scorer or self.prompts.scorer

    @property
    def scorer(self) -> Scorer:
        return self.dataset.scorers[self.deciding_scorer]

    def request(self, ident: str) -> PreparedRequest:
        return self.prompts.request(self.prepared[ident])

    def requests(self) -> Iterator[PreparedRequest]:
        """All requests in their order, made one by one."""
        return (self.request(ident) for ident in self.order)

    @cached_property
    def blank_ids(self) -> list[str]:
        """The questions that are asked again with blank pictures (picture ablation)."""
        return self.order[: self.wanted.sighted.sample]

    def blank_request(self, ident: str) -> PreparedRequest:
        return with_blank_pictures(self.request(ident))

    @cached_property
    def prompts_sha256(self) -> str:
        """A hash of all requests."""
        lines = (f"{request.id} {request.sha256}\n" for request in self.requests())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def rule(self) -> TileRule:
        """The constants of the token formula: from the served model if it was read, else from the profile."""
        return self.served_rule or TileRule(**self.profile.model.pictures.model_dump(exclude={"oracle"}))

    def picture_cost(self, request: PreparedRequest) -> int:
        """Prompt tokens of the tiles of all pictures of a request; the two around each picture are not counted."""
        limit = request.max_tiles
        rule = self.rule if limit is None else replace(self.rule, max_tiles=limit)
        return sum(tiles(one.width, one.height, rule) for one in request.pictures) * rule.tokens_per_tile

    def counting_requests(self, request: PreparedRequest) -> tuple[PreparedRequest, PreparedRequest]:
        """The request with a plain picture of one tile in place of each picture, and the request without pictures."""
        small = (blank(self.rule.tile_px, self.rule.tile_px),) * len(request.pictures)
        counted = replace(request, params=COUNT_PARAMS)
        return replace(counted, pictures=small), replace(
            counted, text=self.dataset.text_only_prompt(request), pictures=(), max_tiles=None
        )

    def identity(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """What must be equal so that answers of two runs may be in one file; `target` says who answers."""
        sections = {
            name: getattr(self.profile, name).model_dump(mode="json", exclude=keys)
            for name, keys in NOT_COMPARED.items()
        }
        llm = self.wanted.llm if self.wanted.engine == "offline" else {}
        return {
            "benchmark": self.dataset.name,
            "data": {"dataset": self.prepared.dataset, "sha256": self.prepared.sha256},
            "prompts": {"protocol": self.prompts.name, "sha256": self.prompts_sha256},
            "profile": {"name": self.profile.name, **sections, "mmmu": {"llm": llm}},
            "target": dict(target),
        }


def planned(dataset: Dataset, profile: Profile, prepared: Prepared) -> AccuracyPlan:
    """The plan of a run; EnvironmentProblem if the prepared data is not the one that the profile requires."""
    wanted = profile.mmmu
    assert wanted is not None
    if prepared.dataset != wanted.dataset:
        raise EnvironmentProblem(
            f"{prepared.folder} contains {prepared.dataset}, but the profile requires {wanted.dataset} (mmmu.dataset): "
            f"{dataset.prepare}"
        )
    dataset.check_prepared(prepared)
    return AccuracyPlan(dataset, profile, wanted, prepared, dataset.prompts(wanted, profile.model.ends_of_answers))


def stratified_order(groups: Sequence[tuple[str, str]], seed: int) -> list[str]:
    """The ids of (id, group) pairs in a random order that spreads every group evenly over the run.

    Groups of one size form rounds, each with one question of every group. The order depends only on the seed and the
    set of pairs, not on their order, the platform or the version of Python.
    """
    members: dict[str, list[str]] = {}
    for identifier, group in groups:
        members.setdefault(group, []).append(identifier)
    placed: list[tuple[float, str]] = []
    for ids in members.values():
        shuffled = sorted(ids, key=lambda identifier: (_draw(seed, "rank", identifier), identifier))
        # the k-th of m gets a random place in the k-th of m equal parts of the run
        placed += [((k + _draw(seed, "place", one)) / len(ids), one) for k, one in enumerate(shuffled)]
    return [identifier for _, identifier in sorted(placed)]


def _draw(*purpose: object) -> float:
    """A number from 0 to below 1, a hash of the arguments."""
    digest = hashlib.sha256("\n".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32  # 32 bits stay exact when a rank is added
