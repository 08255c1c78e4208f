"""Matching of planted words, and how a picture, a question and a blind answer are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.checks.answer import fold, holds, judge_blind, judge_picture, judge_question
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NoReply, Reply, Usage
from vlm_acceptance.core.finding import Finding

SIGNS = [("RIVER", "472"), ("GARDEN", "815"), ("STATION", "296"), ("MARKET", "530")]
SIGNS += [("BRIDGE", "164"), ("CASTLE", "903"), ("SCHOOL", "748"), ("FOREST", "381")]


def picture(name: str, *parts: str, visible: tuple[str, ...] = ()) -> Picture:
    return Picture(Path(f"{name}.png"), tuple((part,) for part in parts), frozenset(parts + visible))


def question(*pictures: Picture, language: str = "en", blind_max: int = 1) -> Question:
    return Question("sign", "What is written?", language, (1, 40), 64, blind_max, pictures)


def reply(text: str, *, finish: str | None = "stop", tokens: int | None = 8) -> Reply:
    usage = None if tokens is None else Usage(106, tokens, 106 + tokens)
    return Reply(text, finish, usage, "internvl2-2b", 0.2)


def checks(found: list[Finding]) -> list[str]:
    return [finding.check for finding in found]


SIGN = question(*(picture(f"sign-{n}", *words) for n, words in enumerate(SIGNS, 1)))
RIGHT = [reply(f"The sign says {word} {number}.") for word, number in SIGNS]
FIRST = SIGN.pictures[0]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  The  Sign:\n“RIVER”, 472! ", "the sign river 472"),
        ("ＲＩＶＥＲ４７２", "river472"),
        ("３７％", "37"),
        ("$1,234,567.89", "1234567.89"),
        ("1,234, 5,678.", "1234 5678"),
        ("12,34,567", "12,34,567"),
        ("37.00 EUR", "37 eur"),
        ("$37.00.", "37"),
        ("37.001", "37.001"),
        ("1.00.5", "1.00.5"),
        ("37.5 and 37.", "37.5 and 37"),
        ("12:37", "12:37"),
        ("GRAND-HOTEL", "grand hotel"),
        ("医院　36 号", "医院36号"),
        ("Straße", "strasse"),
        ("zero\u200bwidth", "zerowidth"),
        ("**Mango**", "mango"),
        ("!?", ""),
    ],
)
def test_folding_drops_what_does_not_matter(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("The text is RIVER.", "river"),
        ("“River”", "RIVER"),
        ("grand\nHotel", "GRAND HOTEL"),
        ("37", "37"),
        ("It is 37%.", "37"),
        ("$37", "37"),
        ("The total is 37.", "37"),
        ("37,", "37"),
        ("(37)", "37"),
        ("$37.00", "37"),
        ("３７", "37"),
        ("1,234", "1234"),
        ("牌子上写的是医院36。", "36"),
        ("牌子上写的是医院 36。", "医院"),
        ("医 院", "医院"),
        ("医院36号", "医院 36"),
        ("RIVERS", "RIVER"),
        ("two old Castle", "CASTLES"),
        ("Monica", "MONIKA"),
        ("the grand hotle", "GRAND HOTEL"),
        ("中华人民共合国", "中华人民共和国"),
    ],
)
def test_a_planted_word_is_found(answer: str, part: str) -> None:
    assert holds(answer, [part])


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("", "river"),
        ("riverside drive", "river"),
        ("137", "37"),
        ("372", "37"),
        ("37.5", "37"),
        ("3.37", "37"),
        ("12:37", "37"),
        ("37,5", "37"),
        ("37th", "37"),
        ("B37", "37"),
        ("医院136", "36"),
        ("医疗", "医院"),
        ("473", "472"),
        ("GATE 473", "GATE 472"),
        ("lake", "lion"),
        ("hotel", "GRAND HOTEL"),
        ("grand old hotel", "GRAND HOTEL"),
    ],
)
def test_a_word_that_is_not_there_is_not_found(answer: str, part: str) -> None:
    assert not holds(answer, [part])


def test_any_alternative_is_enough() -> None:
    assert holds("a sofa", ["couch", "sofa"])
    assert not holds("a chair", ["couch", "sofa"])
    assert not holds("anything", [])
    assert not holds("anything", ["", "!"])


def test_a_near_word_is_not_found_if_a_word_of_another_picture_is_as_near() -> None:
    assert holds("a horse", ["HOUSE"])
    assert not holds("a horse", ["HOUSE"], {"HORSE"})
    assert not holds("MARKES", ["MARKET"], {"MARKED"})
    assert holds("MARKETS", ["MARKET"], {"MARKED"})


def test_right_answers_have_no_finding() -> None:
    for shown, answer in zip(SIGN.pictures, RIGHT, strict=True):
        assert judge_picture(SIGN, shown, answer) == []


def test_every_right_answer_is_wrong_about_every_other_picture() -> None:
    for place, shown in enumerate(SIGN.pictures):
        for other in RIGHT[:place] + RIGHT[place + 1 :]:
            assert checks(judge_picture(SIGN, shown, other)) == ["answer.wrong", "answer.foreign"]


def test_a_wrong_answer_is_not_fatal_and_names_the_missing_part() -> None:
    (finding,) = judge_picture(SIGN, FIRST, reply("The sign says RIVER 427."))

    assert (finding.check, finding.expected, finding.fatal) == ("answer.wrong", "'472'", False)


def test_a_word_of_another_picture_is_fatal_even_beside_the_right_one() -> None:
    (finding,) = judge_picture(SIGN, FIRST, reply("RIVER 472 or GARDEN 815"))

    assert (finding.check, finding.fatal) == ("answer.foreign", True)
    assert finding.observed.startswith("'815', 'GARDEN' in ")


def test_a_word_of_another_picture_counts_only_as_a_whole_word() -> None:
    assert judge_picture(SIGN, FIRST, reply("RIVER 472, not 8150 or gardening")) == []


def test_a_word_of_another_picture_inside_an_own_one_is_no_finding() -> None:
    hotels = question(picture("a", "GRAND HOTEL"), picture("b", "HOTEL"))

    assert judge_picture(hotels, hotels.pictures[0], reply("Grand Hotel")) == []
    assert "answer.foreign" in checks(judge_picture(hotels, hotels.pictures[0], reply("Grand Hotel, Hotel")))


def test_an_own_word_inside_a_word_of_another_picture_does_not_hide_it() -> None:
    streets = question(picture("a", "LAKE", visible=("STREET",)), picture("b", "OAK STREET"))

    assert "answer.foreign" in checks(judge_picture(streets, streets.pictures[0], reply("Lake, Oak Street")))


def test_a_word_that_the_picture_shows_may_be_in_the_answer() -> None:
    animals = question(picture("a", "LION", visible=("EAGLE",)), picture("b", "EAGLE"))

    assert judge_picture(animals, animals.pictures[0], reply("The lion, not the eagle.")) == []


def test_list_numbers_are_not_numbers_of_another_picture() -> None:
    counts = question(picture("a", "5"), picture("b", "2"))

    assert judge_picture(counts, counts.pictures[0], reply("1. I look.\n2. I count.\nThere are 5.")) == []
    assert "answer.foreign" in checks(judge_picture(counts, counts.pictures[0], reply("There are 2, no, 5.")))


@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_an_empty_answer_is_a_finding(text: str) -> None:
    assert checks(judge_picture(SIGN, FIRST, reply(text))) == ["answer.empty"]


@pytest.mark.parametrize("finish", ["length", "abort", "repetition", None])
def test_an_answer_that_did_not_stop_is_a_finding_and_not_fatal(finish: str | None) -> None:
    found = judge_picture(SIGN, FIRST, reply("RIVER 472", finish=finish))

    assert [(finding.check, finding.fatal) for finding in found] == [("answer.finish", False)]


@pytest.mark.parametrize("tokens", [0, 41, None])
def test_an_answer_of_unusual_length_is_a_finding(tokens: int | None) -> None:
    assert checks(judge_picture(SIGN, FIRST, reply("RIVER 472", tokens=tokens))) == ["answer.length"]


@pytest.mark.parametrize("tokens", [1, 40])
def test_the_limits_of_the_length_are_inclusive(tokens: int) -> None:
    assert judge_picture(SIGN, FIRST, reply("RIVER 472", tokens=tokens)) == []


HOSPITAL = question(picture("zh-1", "医院", "36"), picture("zh-2", "学校", "52"), language="zh")


@pytest.mark.parametrize("text", ["牌子上写的是医院 36。", "医院36", "医院，36 (OK)"])
def test_a_chinese_answer_to_a_chinese_question_is_right(text: str) -> None:
    found = judge_picture(HOSPITAL, HOSPITAL.pictures[0], reply(text))

    assert [check for check in checks(found) if check != "answer.language"] == []
    assert ("answer.language" in checks(found)) == ("OK" in text)


def test_an_english_answer_to_a_chinese_question_is_a_finding() -> None:
    found = judge_picture(HOSPITAL, HOSPITAL.pictures[0], reply("The sign says 医院 36."))

    assert [(finding.check, finding.fatal) for finding in found] == [("answer.language", False)]


def test_latin_words_read_off_the_picture_do_not_make_an_answer_english() -> None:
    shops = question(picture("a", "SUPERMARKET"), picture("b", "BAKERY"), language="zh")

    assert judge_picture(shops, shops.pictures[0], reply("写的是 SUPERMARKET")) == []


def test_a_chinese_answer_to_an_english_question_is_a_finding() -> None:
    assert checks(judge_picture(SIGN, FIRST, reply("牌子上写的是 RIVER 472"))) == ["answer.language"]


def test_a_number_has_no_language() -> None:
    numbers = question(picture("a", "37"), picture("b", "52"), language="zh")

    assert judge_picture(numbers, numbers.pictures[0], reply("37")) == []


@pytest.mark.parametrize("text", ["RIVER 472<|im_end|>", "RIVER 472 Ã¤", "RIVER 472" + "!" * 20, "RIVER 472 <eoa>"])
def test_degenerate_text_is_fatal_even_with_the_right_words(text: str) -> None:
    found = judge_picture(SIGN, FIRST, reply(text), ["<eoa>"])

    assert [finding.fatal for finding in found] == [True]


def test_all_right_answers_pass_a_question() -> None:
    assert judge_question(SIGN, RIGHT, 8) == []


def test_enough_right_answers_pass_a_question() -> None:
    two_wrong = [*RIGHT[:6], reply("I cannot read it."), reply("It is blurred.")]

    assert judge_question(SIGN, two_wrong, 6) == []
    assert judge_question(SIGN, two_wrong, 7) != []


def test_the_summary_comes_first_and_the_findings_are_placed() -> None:
    summary, single = judge_question(SIGN, [*RIGHT[:7], reply("It is blurred.")], 8)

    assert (summary.check, summary.where, summary.fatal) == ("answer.count", "sign", False)
    assert summary.observed == "7 of 8 right, at least 8 required; wrong: sign-8; the picture was not rightly seen"
    assert (single.check, single.where) == ("answer.wrong", "sign/sign-8.png")


def test_one_answer_to_all_pictures_means_that_the_picture_was_not_seen() -> None:
    summary = judge_question(SIGN, [reply("A sign.")] * 8, 6)[0]

    assert summary.observed.startswith("0 of 8 right, at least 6 required; wrong: sign-1, sign-2,")
    assert summary.observed.endswith("the same answer for 8 different pictures: the picture was not seen")


CARDS = question(*(picture(f"card-{n}", one, visible=(one, other)) for n, (one, other) in enumerate(
    [("LION", "EAGLE"), ("TIGER", "LION"), ("EAGLE", "TIGER"), ("HORSE", "ZEBRA")]
)))  # fmt: skip


@pytest.mark.parametrize("texts", [["A sign."] * 4, ["No idea", "LION", "a dog", "LION"], ["LION"] * 4])
def test_answers_without_the_words_of_their_pictures_are_fatal(texts: list[str]) -> None:
    found = judge_question(CARDS, [reply(text) for text in texts], 3)
    assert [one.check for one in found if one.fatal][:2] == ["answer.count", "answer.unseen"]
    (unseen,) = [one for one in found if one.check == "answer.unseen"]
    assert unseen.expected == "words of their own pictures in more than 2 of 4 answers"
    # words of a picture may be translated
    translated = judge_question(CARDS, [reply(text) for text in texts], 3, is_translated=True)
    assert "answer.unseen" not in checks(translated)
    # also where nothing is demanded any more
    assert checks(judge_question(CARDS, [reply(text) for text in texts], 0)) != []


def test_who_names_the_wrong_word_of_a_picture_has_seen_it() -> None:
    found = judge_question(CARDS, [reply(text) for text in ("EAGLE", "LION", "TIGER", "ZEBRA")], 3)
    assert checks(found) == ["answer.count", *["answer.wrong"] * 4]
    assert not any(one.fatal for one in found)


def test_the_one_answer_that_is_right_by_chance_is_counted_with_the_others() -> None:
    summary = judge_question(SIGN, [RIGHT[0]] * 8, 6)[0]

    assert summary.observed.startswith("1 of 8 right")
    assert summary.observed.endswith("the same answer for 8 different pictures: the picture was not seen")


def test_two_equal_wrong_answers_are_named() -> None:
    summary = judge_question(SIGN, [*RIGHT[:5], reply("A sign."), reply("a sign"), reply("Blurred.")], 6)[0]

    assert "the same answer for 2 different pictures" in summary.observed


def test_different_answers_that_match_nothing_are_named() -> None:
    summary = judge_question(SIGN, [reply(f"It says {word}.") for word in "abcdefgh"], 6)[0]

    assert summary.observed.endswith("the picture was not rightly seen")


def test_answers_of_other_pictures_are_named_as_mixed_up() -> None:
    summary = judge_question(SIGN, RIGHT[1:] + RIGHT[:1], 6)[0]

    assert summary.fatal
    assert summary.observed.endswith("8 with the answer of another picture: the pictures were mixed up")


def test_one_fatal_finding_refuses_a_question_with_enough_right_answers() -> None:
    summary, single = judge_question(SIGN, [*RIGHT[:7], reply("FOREST 381<|im_end|>")], 6)

    assert summary.fatal
    assert summary.observed == "7 of 8 right, at least 6 required; wrong: sign-8"
    assert single.check == "degeneracy.special_token"


def test_a_missing_answer_is_fatal_and_gives_the_reason() -> None:
    summary, single = judge_question(SIGN, [*RIGHT[:7], NoReply("timeout: no answer within 60 s")], 6)

    assert (summary.fatal, single.check, single.fatal) == (True, "answer.missing", True)
    assert single.observed == "timeout: no answer within 60 s"


def test_an_answer_cut_off_is_not_right_and_has_no_common_cause() -> None:
    summary = judge_question(SIGN, [reply("RIVER 472", finish="length"), *RIGHT[1:]], 8)[0]

    assert summary.observed == "7 of 8 right, at least 8 required; wrong: sign-1"


def test_there_must_be_one_answer_for_each_picture() -> None:
    with pytest.raises(ValueError, match="zip"):
        judge_question(SIGN, RIGHT[:7], 6)


def test_a_blind_answer_may_be_right_as_often_as_by_chance() -> None:
    assert judge_blind(SIGN, [reply("There is no picture."), reply("RIVER 472"), reply("")]) == []


def test_a_blind_answer_with_planted_answers_is_fatal() -> None:
    (finding,) = judge_blind(SIGN, [reply("RIVER 472 or GARDEN 815")])

    assert (finding.check, finding.fatal) == ("answer.blind", True)
    assert finding.observed.startswith("2 (sign-1, sign-2) in ")


def test_a_planted_answer_of_two_parts_counts_only_if_both_occur() -> None:
    assert judge_blind(SIGN, [reply("RIVER GARDEN STATION 530")]) == []


def test_a_blind_answer_that_is_missing_is_fatal() -> None:
    (finding,) = judge_blind(SIGN, [NoReply("HTTP 500: 'died'")])

    assert (finding.check, finding.fatal) == ("answer.missing", True)
    assert finding.where == "sign: answer 1 without the picture"


def test_the_one_word_asked_for_must_come_before_other_words_of_the_picture() -> None:
    prices = picture("cheaper-1", "TEA", visible=("COFFEE",))
    asked = question(prices)

    assert judge_picture(asked, prices, reply("Tea.")) == []
    assert judge_picture(asked, prices, reply("Tea is cheaper than coffee.")) == []
    assert checks(judge_picture(asked, prices, reply("Coffee is cheaper than tea."))) == ["answer.wrong"]
    assert checks(judge_picture(asked, prices, reply("coffee, tea"))) == ["answer.wrong"]
