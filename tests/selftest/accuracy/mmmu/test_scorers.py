"""Every scorer on the answers that parsers get wrong, and against what the reference code says about random ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any

import pytest
from tests.support.questions import choice, opened

from vlm_acceptance.accuracy.item import DECLINED, READ, UNRESOLVED, Item, Score
from vlm_acceptance.accuracy.mmmu import scorer_official
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS

VECTORS = Path(__file__).parents[2] / "data" / "mmmu_scorers.jsonl"
ALONE = ("vlmevalkit_2024_07", "vlmevalkit_head", "official_strict", "internvl")  # each answer by itself
NO_LETTER, CANNOT = Score(False, "", UNRESOLVED), Score(False, "Z", DECLINED)

PRICES = choice("$6", "$7", "$8", "$9", gold="C")
NINE = choice("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", gold="I")
ROOTS = choice("1", "2", r"$\sqrt{3}$", "4", gold="C")
TREND = choice("increase", "decrease", "increase then decrease", "none", gold="C")
SHARE = choice("1/10", "1/1", "3", "4", gold="A")
VITAMIN = choice("Vitamin A", "Vitamin B", "Vitamin C", "Vitamin D", gold="C")
SHOWN = choice("<image 1>", "<image 2>", "<image 3>", "<image 4>", gold="B", shown=4)
YES = choice("Yes", "No", gold="A")

# number, question, answer; then what is read in the order of ALONE: a letter, Z declined, - nothing
CHOICES: list[tuple[int, Item, str, str]] = [
    (1, PRICES, "C", "CCCC"),
    (2, PRICES, " C ", "CCCC"),
    (3, PRICES, "C\n", "CCCC"),
    (4, PRICES, "C.", "CCCC"),
    (5, PRICES, "(C)", "CCC-"),
    (6, PRICES, "[C]", "CC--"),
    (7, PRICES, "**C**", "CC--"),
    (8, PRICES, "'C'", "--C-"),
    (9, PRICES, "c", "----"),
    (10, PRICES, "(c)", "----"),
    (11, PRICES, "\uff23", "----"),
    (12, PRICES, "\u0421", "----"),
    (13, PRICES, "答案：C", "----"),
    (14, PRICES, "C。", "---C"),
    (15, PRICES, "E", "----"),
    (16, PRICES, "Z", "ZZ--"),
    (17, PRICES, "AB", "---A"),
    (18, PRICES, "A, B", "--BA"),
    (19, PRICES, "A B C D", "--DA"),
    (20, NINE, "I", "IIII"),
    (20, NINE, "H", "HHHH"),
    (21, PRICES, "Answer: B", "BBBA"),
    (22, PRICES, "Answer:B", "BB-A"),
    (23, PRICES, "The answer is B.", "BBB-"),
    (24, PRICES, "The answer is **B**", "BB--"),
    (25, PRICES, r"$\boxed{B}$", "BB--"),
    (26, PRICES, "<answer>B</answer>", "----"),
    (27, PRICES, "B<|im_end|>\n<|im_start|>user\nA", "AA-B"),
    (28, PRICES, "B. $7", "BB-B"),
    (29, PRICES, "B: $7", "BB-B"),
    (30, PRICES, "B) $7", "BB-B"),
    (31, PRICES, "(B) $7", "BBBB"),
    (32, ROOTS, r"C $\sqrt{3}$", "CCCC"),
    (33, PRICES, "A. Because the price falls by a dollar every year", "A--A"),
    (34, PRICES, "$8", "CC-C"),
    (35, TREND, "DECREASE", "BB-D"),
    (36, PRICES, "I believe that the price is $8 by then", "C-CC"),
    (37, PRICES, "Either $6 or $7 is what they pay", "--BA"),
    (38, TREND, "increase then decrease", "---A"),
    (38, SHARE, "1/10", "---A"),
    (39, VITAMIN, "Vitamin C", "CCCC"),
    (40, YES, "I know", "BB--"),
    (41, PRICES, "A curve", "AAAA"),
    (42, PRICES, "A company would pay $9", "A-AA"),
    (43, NINE, "I think the third, C", "--CI"),
    (44, PRICES, "Cannot determine the answer", "ZZ-C"),
    (45, PRICES, "I", "----"),
    (46, PRICES, "A or B", "--BA"),
    (47, PRICES, "(B), not (A)", "--A-"),
    (48, PRICES, "Not A but C", "--C-"),
    (49, PRICES, "(A) is wrong and C is right", "--A-"),
    (50, PRICES, "C C C", "CCCC"),
    (51, SHOWN, "<image 2>", "BB-B"),
    (52, SHOWN, "Image 2", "----"),
    (53, SHOWN, "B", "BBBB"),
    (54, SHOWN, "It is the one that <image 3> shows, I think", "CCCC"),
    (55, PRICES, "", "----"),
    (56, PRICES, " \n", "----"),
    (57, PRICES, ".", "----"),
    (58, PRICES, "N/A", "----"),
    (59, PRICES, "I'm sorry, but without the image provided I cannot say", "ZZ--"),
    (60, PRICES, "ERROR: 400 Bad Request", "----"),
]
# number, accepted answers, answer; what VLMEvalKit's two forms read; who finds it right: v for them, o for MMMU's rules
OPENS: list[tuple[int, tuple[str, ...], str, str, str]] = [
    (61, ("60",), "60", "A", "vo"),
    (62, ("60",), "60.", "A", "vo"),
    (63, ("60",), "60%", "A", "vo"),
    (64, ("60",), "60 watts", "A", "vo"),
    (64, ("60",), "about 60.4", "A", "v"),
    (64, ("60",), "It is between 50 and 60", "A", "vo"),
    (64, ("60",), "61", "-", ""),
    (65, ("60",), "160", "A", "v"),
    (65, ("60",), "600", "A", "v"),
    (65, ("60",), "-60", "A", "v"),
    (66, ("60",), "6e1", "-", "o"),
    (66, ("6e1",), "it weighs 600e-1 g", "-", "o"),
    (67, ("106",), "1,06", "-", "o"),
    (68, ("242110.62",), "242,110.62", "-", "o"),
    (69, ("0.9965",), "0.997", "-", "o"),
    (69, ("0.9965",), "1", "-", "o"),
    (70, ("1/64",), "1/640", "A", "vo"),
    (71, ("$MgS$", "MgS"), "MgS", "-", "o"),
    (71, ("24/7", "3.429"), "3.43", "-", "o"),
    (71, ("Tampa", "Florida"), "Tampa, Florida", "-", "o"),
    (71, ("Tampa", "Florida"), "['Tampa', 'Florida']", "A", "vo"),
    (72, ("A",), "A", "A", "vo"),
    (72, ("B",), "B", "B", "vo"),
    (72, ("C",), "C", "A", "o"),
    (72, ("B",), "A", "A", ""),
    (72, ("60",), "A", "A", "v"),
    (72, ("60",), "B", "B", ""),
    (72, ("60",), "Z", "Z", ""),
    (72, ("60",), "other answers", "B", ""),
    (72, ("60",), "the other", "-", ""),
    (72, ("60",), "", "-", ""),
]


def score(scorer: str, item: Item, answer: str) -> Score:
    return SCORERS[scorer]([item], {item.id: answer})[item.id]


def wanted(item: Item, letter: str) -> Score:
    return {"-": NO_LETTER, "Z": CANNOT}.get(letter) or Score(letter in item.gold, letter, READ)


def test_the_tables_hold_all_seventy_two_cases() -> None:
    assert {row[0] for row in CHOICES} | {row[0] for row in OPENS} == set(range(1, 73))


@pytest.mark.parametrize(("number", "item", "answer", "letters"), CHOICES)
def test_a_choice_is_read_as_the_rules_of_each_scorer_say(number: int, item: Item, answer: str, letters: str) -> None:
    seen = {scorer: score(scorer, item, answer) for scorer in ALONE}
    assert seen == {scorer: wanted(item, letter) for scorer, letter in zip(ALONE, letters)}


@pytest.mark.parametrize(("number", "item", "answer", "letters"), CHOICES)
def test_guesses_replace_only_what_the_strict_rules_cannot_read(
    number: int, item: Item, answer: str, letters: str
) -> None:
    seen = score("official_seed42", item, answer)
    if letters[2] == "-":
        assert seen.read in item.letters and seen.state == READ and seen.right == (seen.read in item.gold)
    else:
        assert seen == wanted(item, letters[2])


@pytest.mark.parametrize(("number", "golds", "answer", "letter", "right"), OPENS)
def test_an_open_answer_is_right_by_the_rules_that_say_so(
    number: int, golds: tuple[str, ...], answer: str, letter: str, right: str
) -> None:
    item = opened(*golds)
    for scorer in ("vlmevalkit_2024_07", "vlmevalkit_head"):
        seen = score(scorer, item, answer)
        assert (seen.read or "-", seen.right) == (letter, "v" in right), scorer
        assert seen.state == {"-": UNRESOLVED, "Z": DECLINED}.get(letter, READ)
    for scorer in ("official_strict", "official_seed42", "internvl"):
        seen = score(scorer, item, answer)
        assert seen.right == ("o" in right), scorer
        assert seen.state == (READ if answer else UNRESOLVED)


def test_2026_rules_want_the_letter_among_the_last_four_words() -> None:
    late, early = "So I would take C here, at last", "So I would take C here, at the last"
    assert [score("vlmevalkit_head", PRICES, answer).read for answer in (late, early)] == ["C", ""]
    assert [score("vlmevalkit_2024_07", PRICES, answer).read for answer in (late, early)] == ["C", "C"]


def test_2026_rules_count_where_a_letter_stands_first() -> None:
    assert score("vlmevalkit_head", PRICES, "C and so on and on to C") == NO_LETTER


def test_2026_rules_read_the_answer_is_up_to_d_in_either_case() -> None:
    long = "so say all who have read it in the book"
    assert score("vlmevalkit_head", PRICES, f"The answer is c, {long}").read == "C"
    assert score("vlmevalkit_head", NINE, f"The answer is E, {long}") == NO_LETTER
    assert score("vlmevalkit_2024_07", PRICES, f"The answer is c, {long}") == NO_LETTER


def test_a_failure_that_became_text_names_no_letter_but_may_name_an_options_text() -> None:
    failure = "Failed to obtain answer via API. "
    assert [score(scorer, PRICES, f"{failure}C") for scorer in ALONE[:2]] == [NO_LETTER, NO_LETTER]
    # the rules of 2026 find it too long to look for a text in
    assert [score(scorer, PRICES, f"{failure}$8").read for scorer in ALONE[:2]] == ["C", ""]


def test_a_question_without_an_answer_gets_no_score() -> None:
    other = choice("a", "b", ident="validation_Math_9")
    for scorer, score in SCORERS.items():
        assert set(score([PRICES, other], {other.id: "A"})) == {other.id}, scorer
        assert score([PRICES, other], {}) == {}


def test_an_answer_to_an_unknown_question_gets_no_score() -> None:
    for score in SCORERS.values():
        assert score([PRICES], {"validation_Nothing_1": "A"}) == {}


def test_what_an_open_answer_was_read_as_is_the_part_that_was_right() -> None:
    assert score("official_strict", opened("60"), "So it is 50.\nOr the result is 60 apples").read == "60"
    assert score("official_strict", opened("61"), "So it is 50.\nOr the result is 60 apples").read == "50."


def test_an_equation_counts_in_the_last_line_only() -> None:
    assert score("official_strict", opened("x"), "y = x\nand that was it") == Score(True, "y = x\nand that was it")
    assert score("official_strict", opened("2"), "so that was it\ny = 2") == Score(True, "2")
    assert not score("official_strict", opened("2"), "y = 2\nso that was it").right


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "answer", ["7" * 200_000, "7" * 100_000 + "." + "7" * 100_000 + "e", "-" + "7" * 200_000 + ","]
)
@pytest.mark.parametrize("scorer", SCORERS)
def test_an_answer_of_digits_only_is_read_like_any(scorer: str, answer: str) -> None:
    assert not score(scorer, opened("60"), answer).right
    assert not score(scorer, PRICES, answer).right or scorer == "official_seed42"


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("1,234.5 or 1.2.3e5 m", ["1,234", "2.3e5", "234.5", "1.2", "5"]),
        ("x12.5, -.5 3e-2e 7", ["3e-2", "12", "-.5", "7"]),
        ("5-3 12ab 4.e1", ["5", "-3", "4", "1"]),
    ],
)
def test_numbers_of_an_answer_are_taken_whole(answer: str, numbers: list[str]) -> None:
    found = [candidate for candidate in scorer_official._candidates(answer) if candidate != answer]
    assert found == numbers


def rows(key: str) -> Iterator[dict[str, Any]]:
    for line in VECTORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        if key in row:
            yield row


def test_choices_are_read_as_the_reference_code_reads_them() -> None:
    count = 0
    for row in rows("options"):
        item = choice(*row["options"])
        for answer, *letters in row["answers"]:
            seen = [score(scorer, item, answer).read for scorer in ALONE]
            assert seen == letters, (item.options, answer)
            count += 1
    assert count > 900


def test_open_answers_are_judged_as_the_reference_code_judges_them() -> None:
    count = 0
    for row in rows("gold"):
        item = opened(*row["gold"])
        for answer, *letters, right in row["answers"]:
            assert [score(scorer, item, answer).read for scorer in ALONE[:2]] == letters, (item.gold, answer)
            seen = {score(scorer, item, answer).right for scorer in ("official_strict", "official_seed42", "internvl")}
            assert seen == {bool(right)}, (item.gold, answer)
            count += 1
    assert count > 1500


def test_guesses_are_those_of_the_reference_code_in_any_order_of_questions() -> None:
    (row,) = rows("seeded")
    items = [choice(*options, ident=f"validation_{s}_{n}") for s, n, options, _, _ in row["seeded"]]
    answers = {item.id: answer for item, (_, _, _, answer, _) in zip(items, row["seeded"])}
    for order in (items, items[::-1], sorted(items, key=lambda item: item.id)):
        scores = SCORERS["official_seed42"](order, answers)
        assert [scores[item.id].read for item in items] == [letter for *_, letter in row["seeded"]]


def test_guessing_goes_through_the_subjects_in_their_official_order() -> None:
    assert list(SUBJECTS) == sorted(SUBJECTS)


# 900 questions with the golds, the numbers of options and the open answers of MMMU_val
OPTION_COUNTS = [*repeat(9, 4), *repeat(7, 2), *repeat(6, 5), *repeat(5, 91), *repeat(4, 606), *repeat(3, 111), 2] + [
    2
] * 27
GOLD_COUNTS = {"I": 1, "F": 2, "E": 25, "D": 149, "C": 198, "B": 230, "A": 242}
OPEN_GOLDS: list[tuple[str, ...]] = [("A",), ("A",), ("B",), ("C",), ("$MgS$", "MgS"), ("Tampa", "Florida")]
TEXTS = ("$6", "$17", "$28", "$39", "$41", "$52", "$63", "$74", "$85")


def whole_set() -> list[Item]:
    golds = chain.from_iterable(repeat(letter, count) for letter, count in GOLD_COUNTS.items())
    subjects, numbers = cycle(SUBJECTS), [1 + index // 30 for index in range(900)]
    items = [
        choice(*TEXTS[:count], gold=gold, ident=f"validation_{next(subjects)}_{numbers[index]}")
        for index, (count, gold) in enumerate(zip(OPTION_COUNTS, golds, strict=True))
    ]
    open_golds = [*OPEN_GOLDS, ("24/7", "3.429"), *(((str(60 + number)),) for number in range(46))]
    items += [
        opened(*gold, ident=f"validation_{next(subjects)}_{numbers[847 + index]}")
        for index, gold in enumerate(open_golds)
    ]
    assert len(items) == 900 and len({item.id for item in items}) == 900
    return items


PERFECT = (900, 896, 896, 900)
PITFALLS = {
    "bare letters": ("{}", PERFECT),
    "a line feed behind": ("{}\n", PERFECT),
    "a sentence": ("The answer is {}.", (900, 896, 896, 53)),
    "always A": ("A", (244, 293, 293, 244)),
    "always empty": ("", (0, 0, 0, 0)),
}


@pytest.mark.parametrize("style", PITFALLS)
def test_a_style_of_answering_is_scored_by_the_rules_of_each_scorer(style: str) -> None:
    form, expected = PITFALLS[style]
    items = whole_set()
    answers = {item.id: form.format(item.gold[0]) for item in items}
    counted = [
        sum(score.right for score in SCORERS[scorer](items, answers).values())
        for scorer in ("official_strict", "vlmevalkit_2024_07", "vlmevalkit_head", "internvl")
    ]
    assert tuple(counted) == expected


def test_guessing_gives_an_endpoint_with_empty_answers_a_quarter_of_the_questions() -> None:
    items = whole_set()
    scores = SCORERS["official_seed42"](items, {item.id: "" for item in items})
    # uniform guessing gets 222 on average, with a standard deviation of 13
    assert 183 <= sum(score.right for score in scores.values()) <= 261
