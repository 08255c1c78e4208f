"""The network's tensors in float32, part by part: all kept, or one part at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor

from vlm_acceptance.reference import language, vision
from vlm_acceptance.reference.arithmetic import Arithmetic
from vlm_acceptance.reference.shape import Shape
from vlm_acceptance.reference.weights import Weights

# rows of the output's matrix that are in float32 at once when layers are streamed
HEAD_ROWS = 8192


def tensor_sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Size of every tensor that this shape computes with, by its name."""
    sizes = _named(vision.EMBEDDINGS, vision.embedding_sizes(shape.vision))
    for number in shape.vision.layers:
        sizes |= _named(vision.layer_prefix(number), vision.layer_sizes(shape.vision))
    sizes |= _named(vision.CONNECTOR, vision.connector_sizes(shape))
    for number in shape.language.layers:
        sizes |= _named(language.layer_prefix(number), language.layer_sizes(shape.language))
    embedding, norm, head = language.names(shape.language)
    matrix = (shape.language.vocab, shape.language.width)
    return sizes | {embedding: matrix, norm: (shape.language.width,), head: matrix}


def _named(prefix: str, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + name: size for name, size in sizes.items()}


class Parts:
    """Gives the tensors of a part by their names behind its prefix; with `stream` no part but the last is kept."""

    def __init__(self, weights: Weights, shape: Shape, arithmetic: Arithmetic, *, stream: bool) -> None:
        self.weights, self.shape, self.arithmetic, self.stream = weights, shape, arithmetic, stream
        self._kept: dict[str, Mapping[str, Tensor] | language.LayerWeights] = {}
        self.embedding, self._norm, self._head = language.names(shape.language)

    def vision_layer(self, number: int) -> Mapping[str, Tensor]:
        """One layer of InternViT."""
        return self._part(vision.layer_prefix(number), vision.layer_sizes(self.shape.vision))

    def vision_ends(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """What stands before the first layer of InternViT, and the connector."""
        return (
            self._part(vision.EMBEDDINGS, vision.embedding_sizes(self.shape.vision)),
            self._part(vision.CONNECTOR, vision.connector_sizes(self.shape)),
        )

    def language_layer(self, number: int) -> language.LayerWeights:
        """One layer of the decoder."""
        prefix = language.layer_prefix(number)
        found = self._kept.get(prefix)
        if not isinstance(found, language.LayerWeights):
            tensors = self._read(prefix, language.layer_sizes(self.shape.language))
            found = language.layer_weights(tensors, self.shape.language)
            if not self.stream:
                self._kept[prefix] = found
        return found

    def norm(self) -> Tensor:
        """The weight of the norm behind the last layer."""
        return self._part("", (self._norm,))[self._norm]

    def rows(self, tokens: Iterable[int]) -> dict[int, Tensor]:
        """The embedding of each token; read by rows, for the matrix is large and few of its rows are used."""
        wanted = sorted(set(tokens))
        read = self.arithmetic.rounded(self.weights.rows(self.embedding, wanted))
        return dict(zip(wanted, read, strict=True))

    def load_head(self) -> Tensor:
        """The output's matrix; loaded before keys and values take memory, for it is read and widened as a whole.

        A streamed one stays as it is stored: that takes half the memory.
        """
        if "head" not in self._kept:
            stored = self.weights.tensor(self._head)
            self._kept["head"] = {"": stored if self.stream else self._wide(stored)}
        found = self._kept["head"]
        assert isinstance(found, Mapping)
        return found[""]

    def logits(self, x: Tensor) -> Tensor:
        """(rows, vocabulary) of (rows, width)."""
        head = self.load_head()
        if not self.stream:
            return self.arithmetic.linear(x, head)
        return torch.cat([self.arithmetic.linear(x, self._wide(part)) for part in head.split(HEAD_ROWS)], -1)

    def _part(self, prefix: str, names: Iterable[str]) -> Mapping[str, Tensor]:
        found = self._kept.get(prefix)
        if not isinstance(found, dict):
            found = self._read(prefix, names)
            if not self.stream:
                self._kept[prefix] = found
        return found

    def _read(self, prefix: str, names: Iterable[str]) -> dict[str, Tensor]:
        return {name: self._wide(self.weights.tensor(prefix + name)) for name in names}

    def _wide(self, stored: Tensor) -> Tensor:
        return self.arithmetic.rounded(stored)


def needed_bytes(shape: Shape, *, stream: bool, tokens: int) -> int:
    """About how much memory a group of so many tokens takes at most: weights, keys and values, what is computed."""
    sizes = tensor_sizes(shape)
    embedding, _, head = language.names(shape.language)
    if stream:
        layer = sum(prod(size) for size in language.layer_sizes(shape.language).values())
        weights = 10 * layer + 2 * prod(sizes[head])
    else:
        weights = 4 * sum(prod(size) for name, size in sizes.items() if name != embedding or embedding == head)
    language_shape = shape.language
    pair = 2 * language_shape.kv_heads * language_shape.head * len(language_shape.layers)
    rows = 8 * language_shape.width + 3 * language_shape.heads * language_shape.head
    return weights + 4 * tokens * (pair + rows)
