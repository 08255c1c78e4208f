"""A reference by transformers: the code in a folder of InternVL's family, with our prompts and tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.tiles import MOST_TILE_PX, MOST_TILE_TOKENS, MOST_TILES, TileRule
from vlm_acceptance.reference.arithmetic import TYPES
from vlm_acceptance.reference.config_section import Section, read_object
from vlm_acceptance.reference.likeliest import likeliest
from vlm_acceptance.reference.loading import loaded
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.pictures import pixels
from vlm_acceptance.reference.route import Answered, Asked, Tops
from vlm_acceptance.reference.special_tokens import end_tokens, picture_token

if TYPE_CHECKING:
    from PIL.Image import Image

KIND = "internvl_chat"


class TransformersRoute:
    """A Route over a folder whose config.json names its own code for AutoModel (trust_remote_code).

    Prompts are computed one after another. The rotary embedding is the code's own: that of the published form.
    """

    def __init__(
        self,
        folder: Path,
        *,
        arithmetic: str = "float32",
        picture_form: PictureForm = PictureForm(),  # noqa: B008
    ) -> None:
        config = Section(folder / "config.json", read_object(folder / "config.json"))
        self.rule = picture_rule(config)
        self._picture = picture_token(folder)
        self._ends = end_tokens(folder, config.section("llm_config").get("eos_token_id"))
        self._form, self._type = picture_form, TYPES[arithmetic]
        self.model = loaded("AutoModel", folder, self._type)
        self.model.img_context_token_id = self._picture

    def answer(self, asked: Sequence[Asked], top: int) -> list[Answered]:
        """Greedy answers, each to the token that ends it or to its limit."""
        with torch.inference_mode():
            return [self._answered(each, top) for each in asked]

    def score(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]], top: int) -> list[Tops]:
        """The `top` likeliest at each place of given answers, and the given token itself, teacher-forced."""
        found: list[Tops] = []
        with torch.inference_mode():
            for each, tokens in zip(asked, answers, strict=True):
                ids = torch.tensor([[*each.tokens, *tokens[:-1]]])
                logits, _ = self._forward(self._embedded(ids, each), None)
                found.append(likeliest(logits[-len(tokens) :], top, tokens))
        return found

    def _answered(self, asked: Asked, top: int) -> Answered:
        tokens: list[int] = []
        listed: list[Tops] = []
        logits, past = self._forward(self._embedded(torch.tensor([asked.tokens]), asked), None)
        while True:
            listed.append(likeliest(logits[-1:], top))
            tokens.append(next(iter(listed[-1][0])))
            if tokens[-1] in self._ends or len(tokens) == asked.max_tokens:
                return Answered(tuple(tokens), tuple(row for rows in listed for row in rows))
            logits, past = self._forward(self._embeddings(torch.tensor([tokens[-1:]])), past)

    def _embedded(self, ids: Tensor, asked: Asked) -> Tensor:
        x = self._embeddings(ids)
        if asked.pictures:
            x[ids == self._picture] = self.seen(asked.pictures).reshape(-1, x.shape[-1]).to(x.dtype)
        return x

    def seen(self, pictures: Sequence[Image]) -> Tensor:
        """(tiles, tokens of a tile, width of the language model) of all pictures."""
        tiles = torch.cat([pixels(picture, self.rule, self._form) for picture in pictures])
        found: Tensor = self.model.extract_feature(tiles.to(self._type))
        return found

    def _embeddings(self, ids: Tensor) -> Tensor:
        found: Tensor = self.model.language_model.get_input_embeddings()(ids)
        return found.clone()

    def _forward(self, x: Tensor, past: Any) -> tuple[Tensor, Any]:
        """Logits of (length, vocabulary), and what the model remembers."""
        done = self.model.language_model(inputs_embeds=x, past_key_values=past, use_cache=True, return_dict=True)
        return done.logits[0].float(), done.past_key_values


def picture_rule(config: Section) -> TileRule:
    """How a folder of InternVL's family cuts pictures."""
    vision = config.section("vision_config")
    tile = config.whole("force_image_size", vision.whole("image_size"))
    side = tile // vision.whole("patch_size")
    most = config.whole("max_dynamic_patch", 6) if config.flag("dynamic_image_size", True) else 1
    fewest = config.whole("min_dynamic_patch", 1) if most > 1 else 1
    tokens = round((side * config.number("downsample_ratio", 0.5)) ** 2)
    for value, limit, key in (
        (tile, MOST_TILE_PX, "force_image_size or vision_config.image_size"),
        (most, MOST_TILES, "max_dynamic_patch"),
        (tokens, MOST_TILE_TOKENS, "tokens of a tile"),
    ):
        if value > limit:
            raise UsageProblem(f"{shown(config.path)}: {key}: {value} is more than {limit}")
    return TileRule(tile, tokens, fewest, most, config.flag("use_thumbnail", False))
