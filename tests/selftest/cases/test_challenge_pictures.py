"""New pictures: a seed gives the same pixels everywhere, and each answer belongs to one picture of the eight."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.cases.challenge_pictures import (
    COLUMNS,
    INKS,
    INKS_ZH,
    LINES,
    ONE_ROW,
    PLAN,
    WORDS,
    WORDS_ZH,
    Drawn,
    draw,
    grids,
    questions,
)
from vlm_acceptance.cases.glyphs import FOLDER, columns
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.tiles import TileRule, tiles

CONTROL = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)
SEEDS = range(60)
PIXELS = {
    (0, 112): "d16ad9187e621c25",
    (1, 112): "b0c3344c374110cb",
    (9223372036854775808, 112): "f5029942d2481f3c",
    (1, 336): "8be2bb679246d05a",
    (1, 448): "4146a81b9e301acc",
}


def pixels_of(drawn: list[Drawn]) -> str:
    found = hashlib.sha256()
    for one in drawn:
        found.update(repr((one.kind, one.prompt, one.answer, one.grid, one.image.size)).encode())
        found.update(one.image.tobytes())
    return found.hexdigest()[:16]


@pytest.fixture(scope="module")
def many() -> list[list[Drawn]]:
    return [draw(seed, 112, grids(CONTROL)) for seed in SEEDS]


@pytest.mark.parametrize(("seed", "side"), PIXELS)
def test_a_seed_gives_the_same_pixels_always(seed: int, side: int) -> None:
    assert pixels_of(draw(seed, side, grids(CONTROL))) == PIXELS[seed, side]


def test_other_seeds_give_other_pictures(many: list[list[Drawn]]) -> None:
    assert len({hashlib.sha256(one.image.tobytes()).digest() for drawn in many for one in drawn if one.texts}) > 350
    assert len({tuple(one.answer for one in drawn) for drawn in many}) == len(SEEDS)


def test_every_letter_is_shipped() -> None:
    shipped = (FOLDER / "characters.txt").read_text("utf-8").split()
    assert {letter for word in (*WORDS, *WORDS_ZH) for letter in word} | set("0123456789") <= set(shipped)
    assert len(set(shipped)) == len(shipped)


def test_texts_fit_into_their_tiles_and_do_not_overlap(many: list[list[Drawn]]) -> None:
    for one in (one for drawn in many for one in drawn):
        for text in one.texts:
            assert text.column + columns(text.text) <= COLUMNS
            assert 0 <= text.line < LINES
            assert (text.tile[0] < one.grid[0], text.tile[1] < one.grid[1]) == (True, True)
        assert len({(text.tile, text.line) for text in one.texts}) == len(one.texts)


def test_words_are_in_no_other_picture_of_the_suite() -> None:
    categories = load_categories(ROOT / "fixtures" / "cases", ROOT / "fixtures" / "images")
    asked = [picture for one in categories for question in one.questions for picture in question.pictures]
    planted = {word for one in asked for part in one.parts for words in (part, one.visible) for word in words}
    known = {piece.casefold() for word in planted for piece in word.split()}
    assert {word.casefold() for word in (*WORDS, *WORDS_ZH)} & known == set()
    assert len(set(WORDS)) == len(WORDS)


def test_the_pictures_of_a_seed_share_no_word_and_no_similar_number(many: list[list[Drawn]]) -> None:
    for drawn in many:
        texts = [text.text for one in drawn for text in one.texts]
        assert len(set(texts)) == len(texts)
        numbers = [text for text in texts if text.isdigit()]
        assert len(numbers) == 7
        assert min(sum(a != b for a, b in zip(*pair, strict=True)) for pair in combinations(numbers, 2)) >= 2


def test_a_right_answer_is_what_the_picture_shows(many: list[list[Drawn]]) -> None:
    assert {tuple(one.kind for one in drawn) for drawn in many} == {
        ("read", "read", "coloured", "coloured", "beside", "chart", "read", "read")
    }
    for one in (one for drawn in many for one in drawn):
        if one.kind != "chart":
            assert [part[0] for part in one.parts][: len(one.texts)] == [text.text for text in one.texts]
        if one.kind == "coloured":
            inks = INKS if one.language == "en" else {INKS_ZH[name]: ink for name, ink in INKS.items()}
            assert [inks[one.parts[1][0]]] == [text.ink for text in one.texts]
        if one.kind == "beside":
            word, number = one.texts
            assert (word.tile[0] + 1, word.tile[1], word.line) == (*number.tile, number.line)


def test_the_highest_bar_is_asked_for(many: list[list[Drawn]]) -> None:
    for one in (drawn[5] for drawn in many):
        heights = {
            name: sum(one.image.getpixel((x, y)) == ink for x in range(112) for y in range(112))
            for name, ink in INKS.items()
        }
        highest = max(heights, key=heights.__getitem__)
        assert one.answer in (highest, INKS_ZH[highest])


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        (CONTROL, 6),
        (TileRule(448, 256, 1, 12, thumbnail=True), 12),
        (TileRule(448, 256, 1, 4, thumbnail=False), 4),
        (None, 12),
    ],
)
def test_pictures_of_many_tiles_are_cut_exactly(rule: TileRule | None, most: int) -> None:
    found = grids(rule)
    assert max(wide * high for wide, high in found) == most
    assert any(wide > 1 for wide, _ in found)
    if rule is not None:
        for wide, high in found:
            cut = tiles(wide * rule.tile_px, high * rule.tile_px, rule)
            assert cut == wide * high + rule.thumbnail


def test_pictures_leave_room_in_the_context_and_there_is_always_a_form() -> None:
    assert max(wide * high for wide, high in grids(CONTROL, 16 * 4 + 2)) == 3
    assert grids(CONTROL, 10) == [ONE_ROW]
    assert grids(TileRule(448, 256, 1, 1, thumbnail=True)) == [ONE_ROW]


def test_a_question_of_a_line_has_a_column_for_its_numbers() -> None:
    for seed in range(20):
        drawn = draw(seed, 112, [(1, 2), (1, 3)])
        assert drawn[4].grid == ONE_ROW
        assert len(drawn) == len(PLAN)


def test_only_numbers_of_other_pictures_are_foreign(many: list[list[Drawn]]) -> None:
    drawn = many[0]
    numbers = {text.text for one in drawn for text in one.texts if text.text.isdigit()}
    for one, question in zip(drawn, questions(drawn), strict=True):
        shown = {text.text for text in one.texts}
        assert question.foreign_to(question.pictures[0]) == numbers - shown
        assert (question.prompt, question.pictures[0].parts) == (one.prompt, one.parts)
    assert len({question.id for question in questions(drawn)}) == 8
