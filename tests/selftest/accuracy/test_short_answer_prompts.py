"""Prompts of the data sets of short answers, to the character."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from tests.support.questions import hashes, picture

from vlm_acceptance.accuracy.item import OPEN, Item
from vlm_acceptance.accuracy.protocol import INTERNVL_SYSTEM, Protocol, for_profile, text_only_prompt

ITEM = Item("60001", "val", OPEN, " what is  the date?\n", (), ("x",), (picture(1),))
SENTENCE = "Answer the question using a single word or phrase."
LIMITS = [
    ("chartqa", "internvl", 12, 100, 1),
    ("textvqa", "internvl", 6, 10, 1),
    ("docvqa", "internvl", 18, 100, 1),
    ("infovqa", "internvl", 24, 100, 1),
    ("chartqa", "vlmevalkit", 12, 1024, None),
    ("textvqa", "vlmevalkit", 6, 1024, None),
    ("docvqa", "vlmevalkit", 18, 1024, None),
    ("infovqa", "vlmevalkit", 24, 1024, None),
    ("ocrbench", "vlmevalkit", 24, 1024, None),
]


def protocols(package: str) -> dict[str, Protocol]:
    found: dict[str, Protocol] = import_module(f"vlm_acceptance.accuracy.{package}.protocols").PROTOCOLS
    return found


@pytest.mark.parametrize(("package", "name", "tiles", "tokens", "least"), LIMITS)
def test_every_data_set_has_its_own_tiles_and_tokens(
    package: str, name: str, tiles: int, tokens: int, least: int | None
) -> None:
    made = protocols(package)[name]
    request = made.request(ITEM)
    assert (request.max_tiles, made.tiles, request.params["max_tokens"]) == (tiles, tiles, tokens)
    assert request.params.get("min_tokens") == least


def test_there_are_no_other_protocols_and_the_published_one_comes_first() -> None:
    names = {package: list(protocols(package)) for package, *_ in LIMITS}
    assert names.pop("ocrbench") == ["vlmevalkit"]
    assert set(map(tuple, names.values())) == {("internvl", "vlmevalkit")}


@pytest.mark.parametrize("package", ["chartqa", "textvqa", "docvqa", "infovqa"])
def test_internvls_script_puts_one_blank_before_its_sentence(package: str) -> None:
    request = protocols(package)["internvl"].request(ITEM)
    assert request.text == f"<image>\n what is  the date?\n {SENTENCE}"
    assert request.system == INTERNVL_SYSTEM
    assert hashes(request.pictures) == ["p1"]


@pytest.mark.parametrize("package", ["chartqa", "textvqa", "docvqa", "infovqa", "ocrbench"])
def test_vlmevalkit_puts_its_sentence_on_a_line_of_its_own(package: str) -> None:
    request = protocols(package)["vlmevalkit"].request(ITEM)
    assert request.text == f"<image>\n what is  the date?\n\n{SENTENCE}"
    assert request.system == INTERNVL_SYSTEM
    assert hashes(request.pictures) == ["p1"]


def test_a_question_with_an_instruction_of_its_own_gets_the_sentence_too() -> None:
    asked = "Please write out the expression of the formula in the image using LaTeX format."
    request = protocols("ocrbench")["vlmevalkit"].request(replace(ITEM, question=asked))
    assert request.text == f"<image>\n{asked}\n{SENTENCE}"


@pytest.mark.parametrize(
    ("question", "internvl", "vlmevalkit"),
    [
        ("see <image> here?", "see <image> here?", "<image>\nsee <image > here?"),
        ("<image> or <image>?", "<image> or <image >?", "<image>\n<image > or <image >?"),
        ("<image 1>?", "<image>\n<image 1>?", "<image>\n<image 1>?"),
    ],
)
def test_a_placeholder_in_a_question_is_where_the_original_puts_the_picture(
    question: str, internvl: str, vlmevalkit: str
) -> None:
    item = replace(ITEM, question=question)
    assert protocols("docvqa")["internvl"].request(item).text == f"{internvl} {SENTENCE}"
    assert protocols("docvqa")["vlmevalkit"].request(item).text == f"{vlmevalkit}\n{SENTENCE}"


@pytest.mark.parametrize("name", ["internvl", "vlmevalkit"])
def test_a_transparent_picture_is_sent_as_its_opaque_copy(name: str) -> None:
    item = replace(ITEM, pictures=(picture(1, "rgb"),))
    assert hashes(protocols("textvqa")[name].request(item).pictures) == ["p1-rgb"]


def test_sampling_is_greedy_and_leaves_nothing_to_the_servers_defaults() -> None:
    request = for_profile(protocols("textvqa")["internvl"], [2, 92542]).request(ITEM)
    assert dict(request.params) == {
        "temperature": 0, "top_p": 1, "max_tokens": 10, "min_tokens": 1, "seed": 0, "n": 1, "stream": False,
        "stop_token_ids": [2, 92542], "skip_special_tokens": True, "repetition_penalty": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("package", "name"), [case[:2] for case in LIMITS])
def test_every_protocol_states_its_deviations(package: str, name: str) -> None:
    made = protocols(package)[name]
    assert made.name == name
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in made.deviations)
    assert any("as JPEG" in sentence for sentence in made.deviations) == (name == "vlmevalkit")
    changed = for_profile(made, (), system_message=False, max_tokens=77)
    assert changed.deviations[len(made.deviations) :] == (
        "No system message is sent, as the profile says; the original sends InternVL's own.",
        f"An answer may have 77 tokens, as the profile says; the protocol allows {made.max_tokens}.",
    )
    assert changed.request(ITEM).system == ""
    assert changed.request(ITEM).max_tiles == made.max_tiles


def test_the_tile_limit_changes_what_is_sent() -> None:
    sent: set[Any] = {protocols(package)["vlmevalkit"].request(ITEM).sha256 for package in ("chartqa", "textvqa")}
    assert len(sent) == 2


def test_a_text_only_prompt_has_the_tags_in_place_of_the_picture() -> None:
    prompt = text_only_prompt(protocols("docvqa")["internvl"].request(ITEM))
    assert prompt == f"<img></img>\n what is  the date?\n {SENTENCE}"
