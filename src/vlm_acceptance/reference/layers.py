"""Where two routes begin to differ: a prompt is computed with the first layers alone, one more each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch

from vlm_acceptance.core.numbers import is_at_most
from vlm_acceptance.reference.distance import distance
from vlm_acceptance.reference.own import OwnRoute
from vlm_acceptance.reference.route import Asked
from vlm_acceptance.reference.transformers_route import TransformersRoute

VISION, LANGUAGE = "vision", "language"
MOST_VISION = 1e-3


@dataclass(frozen=True, slots=True)
class LayerDistance:
    """How far two routes lie apart behind the first `layers` layers of a part.

    In vision: the difference of the picture's vectors as a share of their size. In language: nats, the mean of common
    top tokens.
    """

    part: str
    layers: int
    far: float


def by_layer(
    own: OwnRoute, other: TransformersRoute, asked: Asked, answer: Sequence[int], top: int
) -> Iterator[LayerDistance]:
    """The distance of a given answer behind each layer, vision first; later layers are left out in both routes."""
    model = other.model
    for part, tower in ((VISION, model.vision_model.encoder), (LANGUAGE, model.language_model.model)):
        if part == VISION and not asked.pictures:
            continue
        whole = tower.layers
        try:
            for count in range(1, len(whole) + 1):
                tower.layers = whole[:count]
                cut = _cut(own, part, count)
                far = _apart(cut, other, asked) if part == VISION else _shift(cut, other, asked, answer, top)
                yield LayerDistance(part, count, far)
        finally:
            tower.layers = whole


def first_far(distances: Iterator[LayerDistance], most: float) -> LayerDistance | None:
    """The first layer behind which the routes lie farther apart than `most` nats; None if there is none."""
    limits = {VISION: MOST_VISION, LANGUAGE: most}
    return next((each for each in distances if not is_at_most(each.far, limits[each.part])), None)


def _cut(own: OwnRoute, part: str, count: int) -> OwnRoute:
    """The route with so many layers of a part; it shares the weights."""
    cut, section = copy(own), getattr(own.shape, part)
    cut.shape = replace(own.shape, **{part: replace(section, layers=section.layers[:count])})
    return cut


def _apart(first: OwnRoute, second: TransformersRoute, asked: Asked) -> float:
    with torch.inference_mode():
        known = torch.cat(first.seen(asked.pictures)).float()
        seen = second.seen(asked.pictures).reshape(known.shape).float()
    return float((known - seen).norm() / known.norm())


def _shift(first: OwnRoute, second: TransformersRoute, asked: Asked, answer: Sequence[int], top: int) -> float:
    (known,), (seen,) = (route.score([asked], [answer], top) for route in (first, second))
    far = distance(answer, known, seen)
    return far.shift / far.listed if far.listed else float("inf")
