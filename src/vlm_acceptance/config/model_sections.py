"""A profile's sections about the model itself and the tiles of its pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlm_acceptance.config.client_sections import Template
from vlm_acceptance.config.profile_sections import at_least
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.tiles import MOST_TILE_PX, MOST_TILE_TOKENS, MOST_TILES


class Pictures(Section):
    """How many prompt tokens a picture costs. Values that the profile leaves open come from the served config.json; one
    that contradicts it is an environment error before the start.
    """

    oracle: Literal["internvl", "none"] = Field(
        default="none",
        description="the tile formula; `none`: prompt tokens of pictures are not counted, for other families",
    )
    tile_px: int = Field(default=448, gt=0, le=MOST_TILE_PX, description="side of a tile in pixels")
    tokens_per_tile: int = Field(default=256, gt=0, le=MOST_TILE_TOKENS, description="prompt tokens of a tile")
    min_tiles: int = Field(default=1, gt=0, le=MOST_TILES, description="the fewest tiles of a picture")
    max_tiles: Annotated[int, at_least("min_tiles")] = Field(
        default=12, gt=0, le=MOST_TILES, description="the most tiles of a picture, without the thumbnail"
    )
    thumbnail: bool = Field(
        default=True, description="a picture of several tiles has one more, a small copy of the whole"
    )
    wrapper_tokens: int = Field(default=2, description="tokens around the tiles of a picture")


class Model(Section):
    """The served model: its id in requests, where its folder comes from, and what the folder must hold."""

    id: str = Field(
        description="the model's name in requests; without `path` it is searched in the caches of the hubs",
        examples=["OpenGVLab/InternVL2-2B"],
    )
    source: Literal["modelscope", "folder"] = Field(
        default="folder",
        description="`modelscope`: a folder that is not found is downloaded with the ModelScope client",
    )
    path: str | None = Field(default=None, description="the model's folder", examples=["/models/InternVL2-2B"])
    revision: str = Field(default="master", description="the revision to download")
    aliases: list[str] = Field(
        default=[], description="other names under which an endpoint may serve the model", examples=[["internvl2-2b"]]
    )
    control: bool = Field(
        default=False, description="the model is the control: the verdict says nothing about another model"
    )
    weights_bytes: float | None = Field(
        default=None, description="size of the weights, within 10 %", examples=[4410000000]
    )
    stop_token_ids: list[int] = Field(
        default=[], description="ids at which generation_config.json must stop", examples=[[92542]]
    )
    more_stop_token_ids: list[int] = Field(
        default=[],
        description="ids that may end an answer too: a note if generation_config.json lacks one",
        examples=[[92543]],
    )
    special_tokens: list[str] = Field(
        default=[],
        description="tokens that must not appear in a text, beside the common ones",
        examples=[["<|im_end|>"]],
    )
    video: bool | None = Field(
        default=None, description="the model takes videos; without the key no video is sent", examples=[False]
    )
    thinking: bool = Field(default=False, description="the model can think before it answers, which is switched off")
    prompt_start: str | None = Field(
        default=None,
        description="the text of every prompt before that of its first message; without it a prompt with a picture is "
        "only compared with one without",
        examples=["<s><|im_start|>user\n"],
    )
    template: Template | None = Field(
        default=None,
        description="how a conversation becomes a prompt; without it the template of the served folder is used, and an "
        "attached endpoint is only compared with its own `/tokenize`",
    )
    max_model_len: int | None = Field(default=None, description="context length in tokens", examples=[32768])
    media_domains: list[str] = Field(
        default=[],
        description="the deployment fetches pictures from these domains only; empty for no restriction",
        examples=[["example.com"]],
    )
    max_pictures: int | None = Field(default=None, gt=0, description="the most pictures in one request", examples=[10])
    pictures: Pictures = Pictures()

    @property
    def ends_of_answers(self) -> list[int]:
        """Every id that ends an answer, for requests that name them."""
        return [*self.stop_token_ids, *self.more_stop_token_ids]
