"""What an implementation of a model must offer to be a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

Tops = tuple[Mapping[int, float], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the network gets it: token ids, with every picture token in its place, and the pictures in order."""

    id: str
    tokens: tuple[int, ...]
    pictures: tuple[Image, ...] = ()
    max_tokens: int = 64
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """Greedy tokens, the one that ends the turn included, and at each place the likeliest ids with nats."""

    tokens: tuple[int, ...]
    top: Tops


class Route(Protocol):
    """A model on a CPU."""

    def answer(self, asked: Sequence[Asked], top: int) -> list[Answered]:
        """Greedy answers to prompts that are computed together."""

    def score(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]], top: int) -> list[Tops]:
        """The `top` likeliest at each place of given answers, and the given token itself, teacher-forced."""
