"""What an accuracy run will ask, in which order, under which limits, and what makes its answers comparable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from vlm_acceptance.accuracy.blank_pictures import with_blank_pictures
from vlm_acceptance.accuracy.criteria import Limits, limits_of
from vlm_acceptance.accuracy.dataset import Dataset, Prompts
from vlm_acceptance.accuracy.item import PictureFile, PreparedRequest, Scorer
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.profile import Mmmu, Profile
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.tiles import TileRule, tiles

ORDER_SEED = 0
LETTER_ALPHA = 0.001  # the error of the stop on a repeated letter
# What changes no answer: where an engine listens, how long it may take, which lines of its log are harmless.
NOT_COMPARED = {
    "model": {"path", "weights_bytes", "aliases"},
    "engine": {"executable", "python", "port", "start_timeout_s", "stop_timeout_s", "harmless_log"},
    "offline": {"enabled", "timeout_s", "same_text"},
}


@dataclass(frozen=True)
class AccuracyPlan:
    """One accuracy run before anything is asked."""

    dataset: Dataset
    profile: Profile
    wanted: Mmmu
    prepared: Prepared
    prompts: Prompts
    served_rule: TileRule | None = None

    @cached_property
    def order(self) -> list[str]:
        """Ids in the order asked: rounds of one random question of every group, the same in every run."""
        return stratified_order(self.prepared.groups, ORDER_SEED)

    @cached_property
    def limits(self) -> Limits:
        """Fewest and most right answers."""
        return limits_of(self.wanted, self.profile.references, len(self.order))

    @property
    def deciding_scorer(self) -> str:
        """The name of the scorer that decides: the profile's, else the protocol's."""
        return self.wanted.scorer or self.prompts.scorer

    @property
    def scorer(self) -> Scorer:
        """The scorer that decides."""
        return self.dataset.scorers[self.deciding_scorer]

    def request(self, ident: str) -> PreparedRequest:
        """One question as it is sent."""
        return self.prompts.ask(self.prepared[ident])

    def requests(self) -> Iterator[PreparedRequest]:
        """Every question in the order asked, made one by one."""
        return (self.request(ident) for ident in self.order)

    @cached_property
    def blank_ids(self) -> list[str]:
        """Ids of the questions that are asked again with blank pictures (picture ablation)."""
        return self.order[: self.wanted.sighted.sample]

    def blank_request(self, ident: str) -> PreparedRequest:
        """One question with blank pictures."""
        return with_blank_pictures(self.request(ident))

    @cached_property
    def prompts_sha256(self) -> str:
        """A hash of all that will be sent."""
        whole = hashlib.sha256()
        for request in self.requests():
            whole.update(f"{request.id} {request.sha256}\n".encode())
        return whole.hexdigest()

    @cached_property
    def rule(self) -> TileRule:
        """The constants of the token oracle: those found in the served model, where it was read, else the profile's."""
        return self.served_rule or TileRule(**self.profile.model.pictures.model_dump(exclude={"oracle"}))

    def picture_cost(self, picture: PictureFile, max_tiles: int | None) -> int:
        """Prompt tokens of a picture's tiles; the two that wrap it stand in the text twin."""
        rule = self.rule if max_tiles is None else replace(self.rule, max_tiles=max_tiles)
        return tiles(picture.width, picture.height, rule) * rule.tokens_per_tile

    def identity(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """What must be the same for answers of two runs to stand in one file; `target` says who answers."""
        sections = {
            name: section.model_dump(mode="json", exclude=NOT_COMPARED[name])
            for name, section in (
                ("model", self.profile.model),
                ("engine", self.profile.engine),
                ("offline", self.profile.offline),
            )
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
    """The plan of a run; EnvironmentProblem when the data are not those that the profile wants."""
    wanted = profile.mmmu
    assert wanted is not None
    if prepared.dataset != wanted.dataset:
        raise EnvironmentProblem(
            f"{prepared.folder} holds {prepared.dataset}, and the profile wants {wanted.dataset} (mmmu.dataset): "
            f"{dataset.prepare}"
        )
    dataset.check_prepared(prepared)
    return AccuracyPlan(dataset, profile, wanted, prepared, dataset.prompts(wanted, profile.model.stop_token_ids))


def stratified_order(groups: Sequence[tuple[str, str]], seed: int) -> list[str]:
    """The ids of (id, group) pairs in a random order that spreads every group evenly over the run.

    Groups of one size come in rounds, each with one question of every group in random order. The order depends on
    the seed and the pairs alone, not on their order, the platform or the version of Python.
    """
    members: dict[str, list[str]] = {}
    for identifier, group in groups:
        members.setdefault(group, []).append(identifier)
    placed: list[tuple[float, str]] = []
    for ids in members.values():
        shuffled = sorted(ids, key=lambda identifier: (_draw(seed, "rank", identifier), identifier))
        # the k-th of m takes a random place in the k-th of m equal parts of the run
        placed += [((k + _draw(seed, "place", one)) / len(ids), one) for k, one in enumerate(shuffled)]
    return [identifier for _, identifier in sorted(placed)]


def _draw(seed: int, purpose: str, identifier: str) -> float:
    """A number from 0 up to 1 that a hash makes of its arguments."""
    digest = hashlib.sha256(f"{seed}\n{purpose}\n{identifier}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32  # 32 bits stay exact when a rank is added
