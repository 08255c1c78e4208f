"""MMMU's prompt protocols, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from vlm_acceptance.accuracy.item import LETTERS, Item, Picture, PictureFile
from vlm_acceptance.accuracy.protocol import (
    ENDPOINT,
    IMAGE,
    INTERNVL_SYSTEM,
    KERNELS,
    SHORT_TAIL,
    Composed,
    Protocol,
    for_profile,
    opaque,
    without_placeholders,
)
from vlm_acceptance.core.errors import EnvironmentProblem

# copies made in preparation
DOUBLED, ONE_TILE = "x2", "square448"
CHOICE_TAIL = "Answer with the option's letter from the given choices directly."
OPEN_TAIL = "Answer the question directly."
CHOICE_TAIL_ZH, OPEN_TAIL_ZH = "请直接回答选项字母。", "请直接回答问题。"

_CHINESE = re.compile("[\u4e00-\u9fff]")
_PLACEHOLDER = re.compile(r"<image (\d)>")


def protocol(
    name: str, stop_token_ids: Sequence[int] = (), system_message: bool = True, max_tokens: int | None = None
) -> Protocol:
    """A protocol by name for one model; KeyError for an unknown name. Changed settings are added to the deviations."""
    return for_profile(PROTOCOLS[name], stop_token_ids, system_message, max_tokens)


def _variant(item: Item, picture: Picture, name: str) -> PictureFile:
    if name not in picture.variants:
        copy = f"{name!r} copy of <image {picture.slot}>"
        raise EnvironmentProblem(f"{item.id}: the prepared data have no {copy}: prepare the data again")
    return picture.variants[name]


def _first_doubled(item: Item) -> tuple[PictureFile, ...]:
    first = tuple(_variant(item, picture, DOUBLED) for picture in item.pictures[:1])
    return first + tuple(opaque(picture) for picture in item.pictures[1:])


def _vlmevalkit_body(item: Item) -> str:
    lines = [item.question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False))]
    text = "\n".join(lines)
    if _CHINESE.search(text):
        tail = CHOICE_TAIL_ZH if item.options else OPEN_TAIL_ZH
    else:
        tail = CHOICE_TAIL if item.options else OPEN_TAIL
    return without_placeholders(f"{text}\n{tail}")


def _numbered_lines(count: int) -> str:
    return "\n".join(f"Image-{number}: {IMAGE}" for number in range(1, count + 1)) + "\n"


def _numbered_in_one_line(count: int) -> str:
    return " ".join(f"<image-{number}>: {IMAGE}" for number in range(1, count + 1)) + "\n"


def _vlmevalkit(item: Item) -> Composed:
    body, pictures = _vlmevalkit_body(item), _first_doubled(item)
    if len(pictures) > 1:
        return _numbered_lines(len(pictures)) + body, pictures
    return f"{IMAGE}\n" * len(pictures) + body, pictures


def _vlmevalkit_20240718(item: Item) -> Composed:
    body, pictures = _vlmevalkit_body(item), _first_doubled(item)
    if len(pictures) > 1:
        ends = "".join(f"<image-{number}>" for number in range(1, len(pictures) + 1))
        return _numbered_in_one_line(len(pictures)) + body + ends, pictures
    return f"{IMAGE}\n" * len(pictures) + body, pictures


def _vlmevalkit_20240708(item: Item) -> Composed:
    """Pictures in the order of their placeholders in the text; a picture with two placeholders is sent twice."""
    known = {picture.slot: picture for picture in item.pictures}
    texts, named = [""], []
    # odd pieces are the numbers of placeholders
    for index, piece in enumerate(_PLACEHOLDER.split(_vlmevalkit_body(item))):
        if index % 2 == 0:
            texts[-1] += piece
        elif int(piece) in known:
            named.append(known[int(piece)])
            texts.append("")
        else:
            texts[-1] += f"<image {piece}>"
    if not named:
        return _vlmevalkit_20240718(item)
    # only the question's first picture is doubled in preparation
    first = named[0].variants.get(DOUBLED, opaque(named[0]))
    pictures = (first, *(opaque(picture) for picture in named[1:]))
    if len(pictures) == 1:
        return f"{IMAGE}\n" + "\n".join(texts), pictures
    body = texts[0] + "".join(f"<image-{number}>{text}" for number, text in enumerate(texts[1:], 1))
    return _numbered_in_one_line(len(pictures)) + body, pictures


def _internvl(item: Item) -> Composed:
    options = [f"{letter}. {text.strip()}" for letter, text in zip(LETTERS, item.options, strict=False)]
    tail = CHOICE_TAIL if item.options else SHORT_TAIL
    body = without_placeholders("\n".join([item.question.strip(), *options, tail]).strip())
    first = tuple(_variant(item, picture, DOUBLED) for picture in item.pictures[:1])
    others = tuple(_variant(item, picture, ONE_TILE) for picture in item.pictures[1:])
    return (f"{IMAGE}\n" if item.pictures else "") + body, first + others


def _official(item: Item) -> Composed:
    if item.options:
        options = "".join(f"({letter}) {text}\n" for letter, text in zip(LETTERS, item.options, strict=False))
        body = without_placeholders(f"{item.question}\n{options}\n{CHOICE_TAIL}")
    else:
        body = without_placeholders(f"{item.question}\n{SHORT_TAIL}")
    pictures = tuple(opaque(picture) for picture in item.pictures[:1])
    return f"{IMAGE}\n" * len(pictures) + body, pictures


_OWN_TAGS = (
    "Each picture has its own pair of <img> and </img>; the original has one pair around the tiles of all pictures."
)
_FIRST_NAMED = "If the text names another picture before the question's first one, that picture is not doubled."
_NONE = (
    "An option whose text is None is sent (option D of validation_Geography_15); the original loses it where its table "
    "is read."
)
_LLAVA = (
    "The served model's chat template and picture handling are used in place of LLaVA's, and no system message is "
    "sent.",
    "Answers are greedy; the original samples with five beams.",
    KERNELS,
)


def _of_vlmevalkit(name: str, compose: Callable[[Item], Composed], *more: str) -> Protocol:
    return Protocol(name, compose, "vlmevalkit_2024_07", INTERNVL_SYSTEM, 1024, (*ENDPOINT, _NONE, *more), tiles=12)


PROTOCOLS = {
    made.name: made
    for made in (
        _of_vlmevalkit("vlmevalkit", _vlmevalkit),
        _of_vlmevalkit("vlmevalkit-20240708", _vlmevalkit_20240708, _FIRST_NAMED),
        _of_vlmevalkit("vlmevalkit-20240718", _vlmevalkit_20240718),
        Protocol(
            "internvl", _internvl, "internvl", INTERNVL_SYSTEM, 10, (*ENDPOINT, _OWN_TAGS), 6, tiles=6, min_tokens=1
        ),
        Protocol("official", _official, "official_strict", "", 128, _LLAVA),
    )
}
