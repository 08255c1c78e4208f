"""A prompt protocol for one model: an item in, the text, pictures and parameters of one chat request out.

Text and pictures equal those of the original harness; `Protocol.deviations` lists what differs with an endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from vlm_acceptance.accuracy.item import Item, Picture, PictureFile, PreparedRequest

IMAGE = "<image>"
OPAQUE = "rgb"  # the copy of a transparent picture that preparation makes
INTERNVL_SYSTEM = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
SHORT_TAIL = "Answer the question using a single word or phrase."

TEMPLATE = (
    "The server's chat template makes the prompt; templates of this family end each turn with a line feed, the "
    "original's does not."
)
PIXELS = "The server tiles and scales the pictures with its own code, by the same rules as the original."
KERNELS = "Requests are batched on the server, so that even greedy answers can differ in a few questions between runs."
ENDPOINT = (TEMPLATE, PIXELS, KERNELS)

Composed = tuple[str, tuple[PictureFile, ...]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol. `scorer` decides unless the profile names another: the one of the published numbers, but without
    the guesses of the official one.

    `max_tiles` is sent with every request; `tiles` is the original's limit, which the model's own must equal.
    """

    name: str
    compose: Callable[[Item], Composed]
    scorer: str
    system: str
    max_tokens: int
    deviations: tuple[str, ...]
    max_tiles: int | None = None
    tiles: int | None = None
    min_tokens: int = 0
    stop_token_ids: tuple[int, ...] = ()

    def request(self, item: Item) -> PreparedRequest:
        """The request of one item; EnvironmentProblem when a prepared copy of a picture is missing."""
        text, pictures = self.compose(item)
        params = {
            "temperature": 0,
            "top_p": 1,
            "max_tokens": self.max_tokens,
            "seed": 0,
            "n": 1,
            "stream": False,
            "stop_token_ids": list(self.stop_token_ids),
            "skip_special_tokens": True,
            "repetition_penalty": 1,
        }
        if self.min_tokens:
            params["min_tokens"] = self.min_tokens
        return PreparedRequest(item.id, self.system, text, pictures, MappingProxyType(params), self.max_tiles)


def for_profile(
    chosen: Protocol, stop_token_ids: Sequence[int], system_message: bool = True, max_tokens: int | None = None
) -> Protocol:
    """A protocol for one model. Changed settings are added to the deviations."""
    deviations = list(chosen.deviations)
    if chosen.system and not system_message:
        deviations.append("No system message is sent, as the profile says; the original sends InternVL's own.")
    if max_tokens is not None and max_tokens != chosen.max_tokens:
        allowed = f"the protocol allows {chosen.max_tokens}"
        deviations.append(f"An answer may have {max_tokens} tokens, as the profile says; {allowed}.")
    return replace(
        chosen,
        system=chosen.system if system_message else "",
        max_tokens=max_tokens or chosen.max_tokens,
        stop_token_ids=tuple(stop_token_ids),
        deviations=tuple(deviations),
    )


def text_only_prompt(request: PreparedRequest) -> str:
    """The text with `<img></img>` for each picture: its prompt tokens are those of the request without the tiles."""
    missing = len(request.pictures) - request.text.count(IMAGE)
    return "\n".join([IMAGE] * missing + [request.text]).replace(IMAGE, "<img></img>")


def without_placeholders(text: str) -> str:
    """A text without InternVL's placeholder of a picture."""
    # vLLM would put a picture where the question's own text says <image>, or refuse one placeholder too many
    return text.replace(IMAGE, "<image >")


def opaque(picture: Picture) -> PictureFile:
    """The picture, or its opaque copy if it is transparent: vLLM puts white below it, the originals drop the alpha."""
    return picture.variants.get(OPAQUE, picture.plain)
