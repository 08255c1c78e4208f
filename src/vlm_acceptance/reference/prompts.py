"""From a question with pictures to the tokens that the network gets, as vLLM builds them for InternVL's family.

It follows vLLM's chat rendering and its processor of `internvl_chat` (0.18.0 and 0.32.0), and shares no code with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, read_bytes, shown
from vlm_acceptance.core.logprobs import LogProbPrompt
from vlm_acceptance.core.pictures import PICTURE_BYTES, open_picture
from vlm_acceptance.core.tiles import TileRule, tiles
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import PUBLISHED, PromptForm
from vlm_acceptance.reference.route import Asked
from vlm_acceptance.reference.template import (
    conversation_text,
    template_of,
    without_role_line_feeds,
    without_start,
)
from vlm_acceptance.reference.vllm_version import TARGET, decodes_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

PLACEHOLDER = "<image>"
OPEN, CLOSE, PICTURE = "<img>", "</img>", "<IMG_CONTEXT>"


class Cutting(Protocol):
    """What must be known of a model: how it cuts pictures."""

    @property
    def rule(self) -> TileRule:
        """The tiles and tokens of a picture."""


class Prompter:
    """Prompts of one model folder; its shape says how pictures are cut, `vllm` whose served form is built."""

    def __init__(self, folder: Path, shape: Cutting, vllm: str = TARGET) -> None:
        from vlm_acceptance.reference.loading import loaded

        self._tokenizer = loaded("AutoTokenizer", folder)
        self._template = template_of(folder, self._tokenizer)
        self._rule = shape.rule
        self._decodes_pictures = decodes_pictures(vllm)
        known = self._tokenizer.get_vocab()
        if absent := [token for token in (OPEN, CLOSE, PICTURE) if token not in known]:
            raise UsageProblem(
                f"--model: the tokenizer of {shown(folder)} lacks {', '.join(absent)}: try --route transformers"
            )
        self.picture_token = int(known[PICTURE])

    def asked(
        self,
        prompt: LogProbPrompt,
        images: Path,
        form: PromptForm | None = None,
        pictures: PictureForm | None = None,
    ) -> Asked:
        """The prompt in this form, its pictures read from `images`; UsageProblem for a picture that cannot be read."""
        opened = tuple(opened_picture(images / name) for name in prompt.pictures)
        has_thumbnail = self._rule.thumbnail and (pictures or PictureForm()).thumbnail != "none"
        spans = [OPEN + PICTURE * self._tokens_of(picture, has_thumbnail) + CLOSE for picture in opened]
        return Asked(prompt.id, self.tokens(prompt, spans, form), opened, prompt.max_tokens)

    def tokens(self, prompt: LogProbPrompt, spans: Sequence[str], form: PromptForm | None = None) -> tuple[int, ...]:
        """The prompt's ids with a text in the place of each picture."""
        form = form or PromptForm()
        text = self._text(prompt, len(spans), form)
        if form.form == PUBLISHED:
            return self._encoded(_filled(text, spans))
        return self._served(text, spans)

    def text(self, tokens: Iterable[int]) -> str:
        """The text of an answer, without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _tokens_of(self, picture: Image, has_thumbnail: bool) -> int:
        rule = self._rule
        cut = TileRule(rule.tile_px, rule.tokens_per_tile, rule.min_tiles, rule.max_tiles, has_thumbnail)
        return tiles(*picture.size, cut) * rule.tokens_per_tile

    def _text(self, prompt: LogProbPrompt, pictures: int, form: PromptForm) -> str:
        asked = with_placeholders(prompt.prompt, pictures)
        said = [("system", text) for text in (form.system, prompt.system) if text]
        messages: list[Mapping[str, str]] = [{"role": role, "content": text} for role, text in [*said, ("user", asked)]]
        text = conversation_text(self._tokenizer, self._template, messages)
        if not form.start:
            text = without_start(text, self._tokenizer.bos_token)
        return text if form.role_line_feed else without_role_line_feeds(text)

    def _served(self, text: str, spans: Sequence[str]) -> tuple[int, ...]:
        """As vLLM: put in where the placeholder's tokens are found; else the whole prompt is decoded and encoded."""
        tokens = self._encoded(text)
        placed = replaced(tokens, self._encoded(PLACEHOLDER), [self._encoded(span) for span in spans])
        if placed is not None:
            return placed
        if self._decodes_pictures:
            spans = [self._decoded(self._encoded(span)) for span in spans]
        return self._encoded(_filled(self._decoded(tokens), spans))

    def _encoded(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))


def with_placeholders(text: str, pictures: int) -> str:
    """A question with a placeholder for each picture: those that it lacks stand before it, one a line.

    UsageProblem when it has more of them than pictures.
    """
    lacking = pictures - text.count(PLACEHOLDER) if pictures else 0
    if lacking < 0:
        raise UsageProblem(f"a prompt has more {PLACEHOLDER} than pictures ({pictures}): {shown(text, 60)!r}")
    return "\n".join([PLACEHOLDER] * lacking + [text] * bool(text))


def replaced(tokens: Sequence[int], sought: Sequence[int], spans: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    """The tokens with a span in the place of each of the first occurrences; None when there are too few of them."""
    found: list[int] = []
    place, left = 0, list(spans)
    while place < len(tokens):
        if left and tuple(tokens[place : place + len(sought)]) == tuple(sought):
            found += left.pop(0)
            place += len(sought)
        else:
            found.append(tokens[place])
            place += 1
    return None if left else tuple(found)


def _filled(text: str, spans: Sequence[str]) -> str:
    """The text with a span in the place of each of the first placeholders."""
    pieces = text.split(PLACEHOLDER, len(spans))
    if len(pieces) <= len(spans):
        raise UsageProblem(f"the chat template loses {PLACEHOLDER}, which stands for a picture")
    return pieces[0] + "".join(span + piece for span, piece in zip(spans, pieces[1:], strict=True))


def opened_picture(path: Path) -> Any:
    """A picture, decoded; UsageProblem when it cannot be read."""
    try:
        picture = open_picture(read_bytes(path, PICTURE_BYTES))
        picture.load()
    except (BadFile, OSError, SyntaxError, ValueError) as broken:
        raise UsageProblem(f"a picture cannot be read: {shown(path)} {broken}") from None
    return picture
