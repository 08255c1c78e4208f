"""Prompts of every protocol, to the character."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.questions import choice, hashes, opened, picture

from vlm_acceptance.accuracy.item import Item, PreparedRequest
from vlm_acceptance.accuracy.mmmu.protocols import PROTOCOLS, protocol
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.protocol import INTERNVL_SYSTEM, text_only_prompt
from vlm_acceptance.core.errors import EnvironmentProblem

MODERN, JULY_8, JULY_18 = "vlmevalkit", "vlmevalkit-20240708", "vlmevalkit-20240718"
LETTER = "Answer with the option's letter from the given choices directly."

ONE = choice("$6", " $7", question="<image 1> What is the price?", shown=1)
THREE = choice("yes", "no", question="Compare <image 1>, <image 2> and <image 3>. Same?", shown=3)
IN_OPTIONS = choice("<image 1>", "<image 2>", question="Which graph is it?", shown=2)
REPEATED = choice("red", "blue", question="<image 1> Of what colour is <image 1>?", shown=1)
CHINESE = choice("红", "蓝", question="<image 1> 什么颜色?", shown=1)
CHINESE_OPEN = opened("3", question="<image 1> 有几个?", shown=1)
OPEN_ONE = opened("60", question="How many in <image 1>? ", shown=1)
OPEN_TWO = opened("60", question="<image 1><image 2> How many more?", shown=2)

THREE_BODY = f"Compare <image 1>, <image 2> and <image 3>. Same?\nA. yes\nB. no\n{LETTER}"
IN_OPTIONS_BODY = f"Which graph is it?\nA. <image 1>\nB. <image 2>\n{LETTER}"
OPEN_TWO_BODY = "<image 1><image 2> How many more?\nAnswer the question directly."
IN_ONE_LINE = "<image-1>: <image> <image-2>: <image>\n"

# with one picture the two later forms of VLMEvalKit are the same
LATER_ONE = [
    (ONE, f"<image>\n<image 1> What is the price?\nA. $6\nB.  $7\n{LETTER}", ["p1-x2"]),
    (REPEATED, f"<image>\n<image 1> Of what colour is <image 1>?\nA. red\nB. blue\n{LETTER}", ["p1-x2"]),
    (CHINESE, "<image>\n<image 1> 什么颜色?\nA. 红\nB. 蓝\n请直接回答选项字母。", ["p1-x2"]),
    (CHINESE_OPEN, "<image>\n<image 1> 有几个?\n请直接回答问题。", ["p1-x2"]),
    (OPEN_ONE, "<image>\nHow many in <image 1>? \nAnswer the question directly.", ["p1-x2"]),
]
GOLDEN: list[tuple[str, Item, str, list[str]]] = [
    *((MODERN, *case) for case in LATER_ONE),
    *((JULY_18, *case) for case in LATER_ONE),
    (MODERN, THREE, f"Image-1: <image>\nImage-2: <image>\nImage-3: <image>\n{THREE_BODY}", ["p1-x2", "p2", "p3"]),
    (MODERN, IN_OPTIONS, f"Image-1: <image>\nImage-2: <image>\n{IN_OPTIONS_BODY}", ["p1-x2", "p2"]),
    (MODERN, OPEN_TWO, f"Image-1: <image>\nImage-2: <image>\n{OPEN_TWO_BODY}", ["p1-x2", "p2"]),
    (
        JULY_18,
        THREE,
        f"<image-1>: <image> <image-2>: <image> <image-3>: <image>\n{THREE_BODY}<image-1><image-2><image-3>",
        ["p1-x2", "p2", "p3"],
    ),
    (JULY_18, IN_OPTIONS, f"{IN_ONE_LINE}{IN_OPTIONS_BODY}<image-1><image-2>", ["p1-x2", "p2"]),
    (JULY_18, OPEN_TWO, f"{IN_ONE_LINE}{OPEN_TWO_BODY}<image-1><image-2>", ["p1-x2", "p2"]),
    (JULY_8, ONE, f"<image>\n\n What is the price?\nA. $6\nB.  $7\n{LETTER}", ["p1-x2"]),
    (
        JULY_8,
        THREE,
        "<image-1>: <image> <image-2>: <image> <image-3>: <image>\n"
        f"Compare <image-1>, <image-2> and <image-3>. Same?\nA. yes\nB. no\n{LETTER}",
        ["p1-x2", "p2", "p3"],
    ),
    (JULY_8, IN_OPTIONS, f"{IN_ONE_LINE}Which graph is it?\nA. <image-1>\nB. <image-2>\n{LETTER}", ["p1-x2", "p2"]),
    (
        JULY_8,
        REPEATED,
        f"{IN_ONE_LINE}<image-1> Of what colour is <image-2>?\nA. red\nB. blue\n{LETTER}",
        ["p1-x2", "p1"],
    ),
    (JULY_8, CHINESE, "<image>\n\n 什么颜色?\nA. 红\nB. 蓝\n请直接回答选项字母。", ["p1-x2"]),
    (JULY_8, CHINESE_OPEN, "<image>\n\n 有几个?\n请直接回答问题。", ["p1-x2"]),
    (JULY_8, OPEN_ONE, "<image>\nHow many in \n? \nAnswer the question directly.", ["p1-x2"]),
    (
        JULY_8,
        OPEN_TWO,
        f"{IN_ONE_LINE}<image-1><image-2> How many more?\nAnswer the question directly.",
        ["p1-x2", "p2"],
    ),
    ("internvl", ONE, f"<image>\n<image 1> What is the price?\nA. $6\nB. $7\n{LETTER}", ["p1-x2"]),
    ("internvl", THREE, f"<image>\n{THREE_BODY}", ["p1-x2", "p2-square448", "p3-square448"]),
    ("internvl", IN_OPTIONS, f"<image>\n{IN_OPTIONS_BODY}", ["p1-x2", "p2-square448"]),
    ("internvl", REPEATED, f"<image>\n<image 1> Of what colour is <image 1>?\nA. red\nB. blue\n{LETTER}", ["p1-x2"]),
    ("internvl", CHINESE, f"<image>\n<image 1> 什么颜色?\nA. 红\nB. 蓝\n{LETTER}", ["p1-x2"]),
    (
        "internvl",
        OPEN_ONE,
        "<image>\nHow many in <image 1>?\nAnswer the question using a single word or phrase.",
        ["p1-x2"],
    ),
    ("official", ONE, f"<image>\n<image 1> What is the price?\n(A) $6\n(B)  $7\n\n{LETTER}", ["p1"]),
    (
        "official",
        THREE,
        f"<image>\nCompare <image 1>, <image 2> and <image 3>. Same?\n(A) yes\n(B) no\n\n{LETTER}",
        ["p1"],
    ),
    ("official", IN_OPTIONS, f"<image>\nWhich graph is it?\n(A) <image 1>\n(B) <image 2>\n\n{LETTER}", ["p1"]),
    (
        "official",
        REPEATED,
        f"<image>\n<image 1> Of what colour is <image 1>?\n(A) red\n(B) blue\n\n{LETTER}",
        ["p1"],
    ),
    ("official", CHINESE, f"<image>\n<image 1> 什么颜色?\n(A) 红\n(B) 蓝\n\n{LETTER}", ["p1"]),
    (
        "official",
        OPEN_ONE,
        "<image>\nHow many in <image 1>? \nAnswer the question using a single word or phrase.",
        ["p1"],
    ),
]


@pytest.mark.parametrize(("name", "item", "text", "sent"), GOLDEN)
def test_a_question_is_sent_as_its_protocol_says(name: str, item: Item, text: str, sent: list[str]) -> None:
    request = PROTOCOLS[name].request(item)
    assert request.text == text
    assert hashes(request.pictures) == sent
    assert request.id == item.id


@pytest.mark.parametrize(
    ("sign", "chinese"), [("\u4e00", True), ("\u9fff", True), ("\u3042", False), ("\uff21", False)]
)
def test_one_chinese_character_in_an_option_makes_the_closing_sentence_chinese(sign: str, chinese: bool) -> None:
    request = PROTOCOLS[MODERN].request(choice("red", f"x{sign}", shown=1))
    assert request.text.endswith("\n请直接回答选项字母。" if chinese else f"\n{LETTER}")


def test_sampling_is_greedy_and_leaves_nothing_to_the_servers_defaults() -> None:
    request = protocol("vlmevalkit", stop_token_ids=[2, 92542, 92543]).request(ONE)
    assert dict(request.params) == {
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 1024,
        "seed": 0,
        "n": 1,
        "stream": False,
        "stop_token_ids": [2, 92542, 92543],
        "skip_special_tokens": True,
        "repetition_penalty": 1,
    }
    assert json.loads(json.dumps(dict(request.params))) == dict(request.params)


@pytest.mark.parametrize(
    ("name", "tokens", "tiles"),
    [(MODERN, 1024, None), (JULY_8, 1024, None), (JULY_18, 1024, None), ("internvl", 10, 6), ("official", 128, None)],
)
def test_every_protocol_has_its_own_length_of_answer_and_limit_of_tiles(
    name: str, tokens: int, tiles: int | None
) -> None:
    request = PROTOCOLS[name].request(ONE)
    assert (request.params["max_tokens"], request.max_tiles) == (tokens, tiles)


def test_only_internvls_protocol_wants_at_least_one_token() -> None:
    assert {name: p.request(ONE).params.get("min_tokens") for name, p in PROTOCOLS.items() if p.min_tokens} == {
        "internvl": 1
    }


@pytest.mark.parametrize("name", [MODERN, JULY_8, JULY_18, "internvl"])
def test_internvls_system_message_is_sent_unless_the_profile_says_no(name: str) -> None:
    assert protocol(name).request(ONE).system == INTERNVL_SYSTEM
    without = protocol(name, system_message=False)
    assert without.request(ONE).system == ""
    assert any("No system message" in sentence for sentence in without.deviations)
    assert not any("No system message" in sentence for sentence in protocol(name).deviations)


def test_the_official_protocol_has_no_system_message_to_leave_out() -> None:
    assert protocol("official").request(ONE).system == ""
    assert protocol("official", system_message=False).deviations == PROTOCOLS["official"].deviations


def test_another_length_of_answer_is_sent_and_listed_as_a_deviation() -> None:
    longer = protocol("internvl", max_tokens=64)
    assert longer.request(ONE).params["max_tokens"] == 64
    assert "An answer may have 64 tokens, as the profile says; the protocol allows 10." in longer.deviations
    assert protocol("internvl", max_tokens=10).deviations == PROTOCOLS["internvl"].deviations


def test_every_protocol_states_its_deviations_and_names_a_scorer_that_exists() -> None:
    for name, made in PROTOCOLS.items():
        assert made.name == name
        assert made.scorer in SCORERS
        assert made.deviations
        assert all(sentence.endswith(".") and "\n" not in sentence for sentence in made.deviations)


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        protocol("vlmevalkit-2023")


@pytest.mark.parametrize(("name", "item", "copy"), [(MODERN, THREE, "x2"), ("internvl", THREE, "square448")])
def test_a_copy_that_preparation_did_not_make_is_named(name: str, item: Item, copy: str) -> None:
    first = item.pictures[0] if copy == "square448" else picture(1)
    bare = replace(item, pictures=(first, picture(2), picture(3)))
    with pytest.raises(EnvironmentProblem, match=rf"validation_Math_1: .*'{copy}' copy of <image \d>: prepare"):
        PROTOCOLS[name].request(bare)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("shown", [0, 1, 3])
def test_a_text_never_has_more_placeholders_than_pictures(name: str, shown: int) -> None:
    odd = choice("<image>", "<ima<image>ge>", question="Is this an <image> or not? <image 1>", shown=shown)
    request = PROTOCOLS[name].request(odd)
    assert request.text.count("<image>") <= len(request.pictures)
    assert request.text.count("<image >") == 3


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_question_without_pictures_has_no_placeholder(name: str) -> None:
    request = PROTOCOLS[name].request(opened("60"))
    assert request.pictures == ()
    assert request.text.startswith("How many?\n")


def test_the_first_form_sends_pictures_in_the_order_in_which_the_text_names_them() -> None:
    request = PROTOCOLS[JULY_8].request(choice("a", "b", question="<image 2> before <image 1>?", shown=2))
    assert request.text.startswith(f"{IN_ONE_LINE}<image-1> before <image-2>?\n")
    assert hashes(request.pictures) == ["p2", "p1"]


def test_the_first_form_leaves_out_a_picture_that_the_text_does_not_name() -> None:
    request = PROTOCOLS[JULY_8].request(choice("a", "b", question="See <image 1>.", shown=2))
    assert hashes(request.pictures) == ["p1-x2"]
    assert request.text.startswith("<image>\nSee \n.\n")


def test_the_first_form_sends_all_pictures_of_a_text_that_names_none() -> None:
    request = PROTOCOLS[JULY_8].request(choice("a", "b", question="See both.", shown=2))
    assert hashes(request.pictures) == ["p1-x2", "p2"]
    assert request.text.endswith(f"{LETTER}<image-1><image-2>")


def test_the_first_form_keeps_a_placeholder_that_no_picture_fills() -> None:
    request = PROTOCOLS[JULY_8].request(choice("a", "b", question="<image 1> and <image 5>", shown=1))
    assert hashes(request.pictures) == ["p1-x2"]
    assert "and <image 5>\n" in request.text


def test_a_text_only_prompt_has_a_pair_of_tags_for_every_placeholder() -> None:
    prompt = text_only_prompt(PROTOCOLS[MODERN].request(OPEN_TWO))
    assert prompt == f"Image-1: <img></img>\nImage-2: <img></img>\n{OPEN_TWO_BODY}"


def test_a_text_only_prompt_has_the_tags_that_the_server_would_add_in_front() -> None:
    prompt = text_only_prompt(PROTOCOLS["internvl"].request(THREE))
    assert prompt == f"<img></img>\n<img></img>\n<img></img>\n{THREE_BODY}"


def test_a_text_only_prompt_of_a_question_without_pictures_is_its_text() -> None:
    request = PROTOCOLS["official"].request(opened("60"))
    assert text_only_prompt(request) == request.text


def test_every_part_of_a_request_changes_its_hash() -> None:
    def of(item: Item, **changes: object) -> PreparedRequest:
        return replace(PROTOCOLS[MODERN].request(item), **changes)

    plain = of(ONE)
    others = [of(TEXT) for TEXT in (THREE, REPEATED)] + [
        of(ONE, system=""),
        of(ONE, params={}),
        of(ONE, max_tiles=6),
        of(ONE, pictures=()),
    ]
    assert len({plain.sha256, *(other.sha256 for other in others)}) == 7
    assert of(ONE).sha256 == plain.sha256


@pytest.mark.parametrize(
    ("name", "sent"), [(MODERN, ["p1-x2", "p2-rgb"]), (JULY_18, ["p1-x2", "p2-rgb"]), ("official", ["p1-rgb"])]
)
def test_a_transparent_picture_is_sent_as_the_original_sends_it(name: str, sent: list[str]) -> None:
    pictures = (picture(1, "x2", "rgb"), picture(2, "square448", "rgb"))
    item = replace(OPEN_TWO, pictures=pictures)
    assert hashes(protocol(name).request(item).pictures) == sent


def test_the_deciding_scorer_is_that_of_the_published_numbers_but_for_guesses() -> None:
    scorers = {name: protocol(name).scorer for name in PROTOCOLS}
    assert scorers.pop("internvl") == "internvl"
    assert scorers.pop("official") == "official_strict"
    assert set(scorers.values()) == {"vlmevalkit_2024_07"}
    assert {protocol(name).scorer for name in PROTOCOLS} <= SCORERS.keys()
