"""Our own forward pass of an InternVL2 checkpoint on a CPU, independent of vLLM and of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import shown
from vlm_acceptance.reference import language, rope, vision
from vlm_acceptance.reference.arithmetic import TYPES, Arithmetic
from vlm_acceptance.reference.machine import free_memory
from vlm_acceptance.reference.parts import Parts, needed_bytes, tensor_sizes
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.pictures import pixels
from vlm_acceptance.reference.route import Answered, Asked, Tops
from vlm_acceptance.reference.shape import Shape, read_shape
from vlm_acceptance.reference.weights import Checkpoint, Weights, require_tensors

if TYPE_CHECKING:
    from PIL.Image import Image

# prompts that are computed together, and how many tokens they may have: keys and values take memory
GROUP, GROUP_TOKENS = 12, 4096
TILES = 2
GB = 1 << 30


@dataclass(slots=True)
class _Sequence:
    """A prompt on its way: what is still to be embedded, how many tokens are behind it, what it answered."""

    asked: Asked
    memory: language.Memory | None
    vectors: Tensor | None
    place: int = 0
    tokens: list[int] = field(default_factory=list)
    top: list[dict[int, float]] = field(default_factory=list)


class OwnRoute:
    """A Route over a checkpoint's folder; `weights` and `shape` replace the folder's own.

    `served`: the rotary embedding of vLLM, of the generation that `scaling` names (rope.py), else the authors'.
    UsageProblem: a folder that is not computed; EnvironmentProblem: too little memory.
    """

    def __init__(
        self,
        folder: Path,
        *,
        arithmetic: str = "float32",
        served: bool = True,
        picture_form: PictureForm = PictureForm(),  # noqa: B008
        stream_layers: bool = False,
        weights: Weights | None = None,
        shape: Shape | None = None,
        group: int = GROUP,
        scaling: str = rope.ALWAYS,
    ) -> None:
        if arithmetic not in TYPES:
            raise UsageProblem(
                f"arithmetic {arithmetic!r} is not one of {', '.join(TYPES)}.{nearest(arithmetic, TYPES)}"
            )
        self.shape = read_shape(folder) if shape is None else shape
        self.scaling = scaling if served else rope.BEYOND
        self.arithmetic, self.picture_form, self.group = Arithmetic(arithmetic), picture_form, group
        source: Weights = Checkpoint(folder) if weights is None else weights
        require_tensors(source, tensor_sizes(self.shape), folder)
        _require_memory(folder, self.shape, stream=stream_layers)
        self.parts = Parts(source, self.shape, self.arithmetic, stream=stream_layers)

    def answer(self, asked: Sequence[Asked], top: int) -> list[Answered]:
        """Greedy answers, each to the token that ends it or to its limit; `top` likeliest with nats at each place."""
        found: list[Answered] = []
        with torch.inference_mode():
            self.parts.load_head()
            for group in groups(asked, self.group):
                found += self._answered(group, top)
        return found

    def score(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]], top: int) -> list[Tops]:
        """The `top` likeliest at each place of given answers, and the given token itself, teacher-forced."""
        whole = [
            Asked(each.id, each.tokens + tuple(tokens[:-1]), each.pictures, len(tokens))
            for each, tokens in zip(asked, answers, strict=True)
        ]
        found: list[Tops] = []
        with torch.inference_mode():
            self.parts.load_head()
            for group in groups(whole, self.group):
                given = answers[len(found) : len(found) + len(group)]
                states = self._forward(self._opened(group, remember=False))
                for hidden, tokens in zip(states, given, strict=True):
                    found.append(tuple(self._likeliest(hidden[-len(tokens) :], top, tokens)))
        return found

    def _answered(self, group: Sequence[Asked], top: int) -> list[Answered]:
        sequences = active = self._opened(group, remember=True)
        while active:
            last = torch.cat([hidden[-1:] for hidden in self._forward(active)])
            for sequence, likeliest in zip(active, self._likeliest(last, top), strict=True):
                sequence.tokens.append(next(iter(likeliest)))
                sequence.top.append(likeliest)
            active = [each for each in active if not self._is_done(each)]
        return [Answered(tuple(each.tokens), tuple(each.top)) for each in sequences]

    def _is_done(self, sequence: _Sequence) -> bool:
        if sequence.tokens[-1] not in self.shape.ends and len(sequence.tokens) < sequence.asked.max_tokens:
            return False
        sequence.memory = None
        return True

    def _opened(self, group: Sequence[Asked], *, remember: bool) -> list[_Sequence]:
        seen = iter(self.seen([picture for asked in group for picture in asked.pictures]))
        opened = []
        for asked in group:
            vectors = [next(seen) for _ in asked.pictures]
            most = len(asked.tokens) + asked.max_tokens
            memory = language.Memory(self.shape.language, most) if remember else None
            opened.append(_Sequence(asked, memory, torch.cat(vectors) if vectors else None))
        return opened

    def seen(self, pictures: Sequence[Image]) -> list[Tensor]:
        """(tokens, width of the language model) for each picture, computed together."""
        cut = [pixels(picture, self.shape.rule, self.picture_form) for picture in pictures]
        if not cut:
            return []
        first, connector = self.parts.vision_ends()
        batches = [vision.embedded(tiles, first, self.arithmetic) for tiles in torch.cat(cut).split(TILES)]
        for number in self.shape.vision.layers:
            w = self.parts.vision_layer(number)
            batches = [vision.layer(x, w, self.shape.vision, self.arithmetic) for x in batches]
        vectors = torch.cat([vision.connected(x, connector, self.shape, self.arithmetic) for x in batches])
        return [each.flatten(0, 1) for each in vectors.split([len(tiles) for tiles in cut])]

    def _forward(self, sequences: Sequence[_Sequence]) -> list[Tensor]:
        """The normed states of each sequence's new tokens, (new tokens, width)."""
        x = torch.cat([self._embedded(each) for each in sequences])
        spans, rest = list(self._spans(sequences)), None
        for number in self.shape.language.layers:
            w = self.parts.language_layer(number)
            x, rest = language.layer(number, x, rest, spans, w, self.shape.language, self.arithmetic)
        normed, _ = language.add_norm(x, rest, self.parts.norm(), self.shape.language.eps, self.arithmetic)
        for each in sequences:
            each.place += _new_tokens(each)
        return [normed[span.rows] for span in spans]

    def _spans(self, sequences: Sequence[_Sequence]) -> Iterator[language.Span]:
        start = 0
        for each in sequences:
            count = _new_tokens(each)
            positions = torch.arange(each.place, each.place + count)
            shape = self.shape.language
            cos, sin = rope.turns(shape.rope, shape.head, positions, self.scaling, self.arithmetic.wide)
            yield language.Span(slice(start, start + count), cos, sin, each.memory)
            start += count

    def _embedded(self, sequence: _Sequence) -> Tensor:
        tokens = sequence.tokens[-1:] if sequence.place else sequence.asked.tokens
        rows = self.parts.rows(tokens)
        x = torch.stack([rows[token] for token in tokens])
        if sequence.place or sequence.vectors is None:
            return x
        places = torch.tensor(tokens) == self.shape.picture_token
        if int(places.sum()) != len(sequence.vectors):
            raise ValueError(
                f"{sequence.asked.id}: {int(places.sum())} picture tokens for {len(sequence.vectors)} vectors"
            )
        x[places] = sequence.vectors
        return x

    def _likeliest(self, x: Tensor, top: int, given: Sequence[int] | None = None) -> list[dict[int, float]]:
        """At each row the `top` likeliest in order, and the given token."""
        found = []
        nats = self.parts.logits(x).log_softmax(-1)
        likeliest = nats.topk(min(top, nats.shape[-1]))
        for row, (ids, values) in enumerate(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)):
            listed = dict(zip(ids, values, strict=True))
            if given is not None:
                listed.setdefault(given[row], float(nats[row, given[row]]))
            found.append(listed)
        return found


def groups(asked: Sequence[Asked], most: int) -> Iterator[Sequence[Asked]]:
    """Prompts that are computed together, in their order: a limit on their number and on their tokens."""
    group: list[Asked] = []
    tokens = 0
    for each in asked:
        length = len(each.tokens) + each.max_tokens
        if group and (len(group) == most or tokens + length > GROUP_TOKENS):
            yield group
            group, tokens = [], 0
        group.append(each)
        tokens += length
    if group:
        yield group


def _new_tokens(sequence: _Sequence) -> int:
    return 1 if sequence.place else len(sequence.asked.tokens)


def _require_memory(folder: Path, shape: Shape, *, stream: bool) -> None:
    needed, free = needed_bytes(shape, stream=stream, tokens=GROUP_TOKENS), free_memory()
    if needed <= free:
        return
    less = needed_bytes(shape, stream=True, tokens=GROUP_TOKENS)
    cure = "" if stream else f", or use --stream-layers, which needs about {less / GB:.1f} GB"
    raise EnvironmentProblem(
        f"{shown(folder)} needs about {needed / GB:.1f} GB of memory, and {free / GB:.1f} GB are available: "
        f"end other programs{cure}"
    )
