"""Prompts of a known length that no cache can answer: each has other words at its beginning, and a new picture."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vlm_acceptance.cases.large_pictures import USUAL, grids, size_of
from vlm_acceptance.cases.pictures import data_url
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.ladder_sections import Ladder
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.tiles import TileRule, picture_tokens
from vlm_acceptance.workloads.load import STREAMED
from vlm_acceptance.workloads.refused_pictures import text_tokens

# in random order they begin each prompt: 12! texts, all of the same length
WORDS = ("red", "tree", "house", "seven", "water", "light", "stone", "green", "road", "cloud", "paper", "night")
FILLER = " word"
QUESTION = "\nWhat is this about?"
# tokens beside the picture, at least
BESIDE = 64
TRIES = 8
FIRST_WORDS = 32


@dataclass(frozen=True, slots=True)
class Prompt:
    """One kind of prompt of the ladder: `words` filler words, and a picture of `size` pixels, if any."""

    name: str
    words: int
    size: tuple[int, int] | None = None

    def body(self, model: str, tokens: int, chance: Chance) -> dict[str, Any]:
        """A new streamed request of this kind, whose answer has `tokens` tokens."""
        urls = () if self.size is None else (coloured_url(self.size, chance),)
        body = chat_body(model, text_of(self.words, chance), urls, max_tokens=tokens)
        return {**body, **STREAMED, "ignore_eos": True}


@dataclass(frozen=True, slots=True)
class Kind:
    """A form and a length in tokens that the profile asks for; `why_not`: why it cannot be sent, or ''."""

    form: str
    length: int
    why_not: str

    @property
    def name(self) -> str:
        """Its name in profiles and reports."""
        return f"{self.form}-{self.length}"


def kinds_of(wanted: Ladder, rule: TileRule | None, most: int | None) -> list[Kind]:
    """Every kind of prompt that the profile asks for; `most` is the context length of the model, if it is known."""
    pairs = [(form, length) for form in wanted.prompts for length in wanted.lengths]
    return [Kind(form, length, _no_room(form, length, wanted.output_tokens, rule, most)) for form, length in pairs]


def _no_room(form: str, length: int, output: int, rule: TileRule | None, most: int | None) -> str:
    if most is not None and length + output > most:
        return f"{length} tokens and an answer of {output} are more than model.max_model_len, {most}"
    if form == "text":
        return ""
    if form == "many_tiles" and not grids(rule):
        return "the model cuts no picture into many tiles"
    tokens = picture_tokens(*_size(form, rule), rule or USUAL)
    return f"its picture alone has {tokens} tokens" if tokens + BESIDE > length else ""


def _size(form: str, rule: TileRule | None) -> tuple[int, int]:
    side = (rule or USUAL).tile_px
    return size_of(rule, len(grids(rule)) - 1) if form == "many_tiles" else (side, side)


def prompt_of(client: RecordingClient, kind: Kind, rule: TileRule | None) -> Prompt | NoReply:
    """The prompt of about this length; NoReply if the server counts no text. No picture is sent for it."""
    size = None if kind.form == "text" else _size(kind.form, rule)
    wanted = kind.length - (picture_tokens(*size, rule or USUAL) if size else 0)
    counts: dict[int, int] = {}
    words = 0
    for _ in range(TRIES):
        count = text_tokens(client, text_of(words, Chance(kind.name)))
        if isinstance(count, NoReply):
            return count
        counts[words] = count
        words = FIRST_WORDS if len(counts) == 1 else _next_words(counts, wanted)
        if words in counts:
            break
    best = min(counts, key=lambda tried: (counts[tried] > wanted, abs(counts[tried] - wanted)))
    return Prompt(kind.name, best, size)


def _next_words(counts: dict[int, int], wanted: int) -> int:
    """How many filler words should make the wanted tokens, by the two counts that are furthest apart."""
    few, many = min(counts), max(counts)
    each = (counts[many] - counts[few]) / (many - few)
    # a word costs a token at least: more of them are asked for only by a server that cuts prompts
    return min(wanted, max(0, many + int((wanted - counts[many]) // each))) if each > 0 else few


def text_of(words: int, chance: Chance) -> str:
    """A text of the twelve words in random order, so many filler words, and a question."""
    return f"Words: {' '.join(chance.some(WORDS, len(WORDS)))}.{FILLER * words}{QUESTION}"


def coloured_url(size: tuple[int, int], chance: Chance) -> str:
    """A picture of one random colour as a data URL: a PNG with a palette, which costs nothing to make anew."""
    colour = bytes(chance.below(256) for _ in range(3))
    header, pixels = _plain(size)
    parts = ((b"IHDR", header), (b"PLTE", colour), (b"IDAT", pixels), (b"IEND", b""))
    return data_url("image/png", b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))


@lru_cache(maxsize=8)
def _plain(size: tuple[int, int]) -> tuple[bytes, bytes]:
    """Header and pixels of a PNG with a palette, all pixels of its first colour."""
    header = b"".join(side.to_bytes(4, "big") for side in size) + bytes((8, 3, 0, 0, 0))
    return header, zlib.compress(bytes((size[0] + 1) * size[1]))


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")
