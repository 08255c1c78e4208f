"""Rules of the mini set: its layout and its families, what was prepared from it, what the control answers to it."""

import ast
import importlib.util
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from vlm_acceptance.accuracy.blank_pictures import with_blank_pictures
from vlm_acceptance.accuracy.content_check import content_sha256
from vlm_acceptance.accuracy.item import CHOICE, OPEN, READ, Item
from vlm_acceptance.accuracy.mmmu.expected_counts import PINNED, check_prepared
from vlm_acceptance.accuracy.mmmu.protocols import protocol
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.protocol import text_only_prompt
from vlm_acceptance.core.tiles import TileRule, picture_tokens, tiles

MINI = Path(__file__).resolve().parents[4] / "fixtures" / "mmmu_mini"
PREPARED = Prepared.open(MINI / "prepared")
ITEMS = {item.id: item for item in PREPARED}
CONTROL = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)
DECIDING_SCORER = "vlmevalkit_2024_07"
SLOTS = [f"image_{n}" for n in range(1, 8)]
COLUMNS = [
    *("id", "question", "options", "explanation"),
    *SLOTS,
    *("img_type", "answer", "topic_difficulty", "question_type", "subfield"),
]


def lines(name: str) -> dict[str, dict[str, Any]]:
    """The objects of a JSON-lines file of the mini set, by id."""
    found = map(json.loads, (MINI / name).read_text("utf-8").splitlines())
    return {line["id"]: line for line in found}


def document(name: str) -> dict[str, Any]:
    """A JSON file of the mini set."""
    return json.loads((MINI / name).read_text("utf-8"))


def answers(name: str) -> dict[str, str]:
    """The control's answers by question id."""
    return {ident: line["answer"] for ident, line in lines(name).items()}


def families() -> dict[tuple[str, ...], list[Item]]:
    """Questions by their whole text, options included."""
    found: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    for item in ITEMS.values():
        found[(item.question, *item.options)].append(item)
    return found


def taught() -> ModuleType:
    """The control's recipe for the mini set."""
    spec = importlib.util.spec_from_file_location("mini", MINI.parent / "control" / "recipe" / "mini.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> Iterator[dict[str, Any]]:
    """Every row of the parquet files, which must have exactly MMMU's columns."""
    parquet = pytest.importorskip("pyarrow.parquet")
    for file in sorted(MINI.glob("*/validation-00000-of-00001.parquet")):
        table = parquet.read_table(file)
        assert table.schema.names == COLUMNS
        for column in table.schema:
            assert str(column.type) == ("struct<bytes: binary, path: string>" if column.name in SLOTS else "string"), (
                column
            )
        yield from table.to_pylist()


def right(scorer: str, name: str) -> int:
    """How many answers of a file a scorer scores right."""
    return sum(score.right for score in SCORERS[scorer](ITEMS.values(), answers(name)).values())


def test_every_subject_has_four_questions() -> None:
    assert Counter(group for _, group in PREPARED.groups) == dict.fromkeys(SUBJECTS, 4)
    assert set(ITEMS) == {f"validation_{subject}_{n}" for subject in SUBJECTS for n in range(1, 5)}


def test_the_counts_are_the_stated_ones() -> None:
    stated = document("counts.json")
    choice = [item for item in ITEMS.values() if item.kind == CHOICE]
    assert (stated["dataset"], PREPARED.dataset) == ("mmmu_mini", "mmmu_mini")
    assert (stated["items"], stated["subjects"], stated["multiple_choice"]) == (len(ITEMS), 30, len(choice))
    assert stated["open"] == sum(item.kind == OPEN for item in ITEMS.values()) >= 16
    assert stated["golds"] == Counter(item.gold[0] for item in choice)
    assert stated["options"] == Counter(str(len(item.options)) for item in choice)
    assert list(stated["options"]) == list("23456789")
    assert stated["pictures"] == Counter(str(len(item.pictures)) for item in ITEMS.values())
    assert list(stated["pictures"]) == list("12345")
    assert sum(count for number, count in stated["pictures"].items() if number != "1") >= 12
    in_options = sum(any("<image " in option for option in item.options) for item in choice)
    assert stated["pictures_in_options"] == in_options >= 6


def test_the_content_is_the_pinned_one() -> None:
    assert content_sha256(PREPARED) == PINNED["mmmu_mini"]
    check_prepared(PREPARED)


def test_only_the_picture_decides_in_a_family() -> None:
    shared = [family for family in families().values() if len(family) > 1]
    assert document("counts.json")["in_families"] == sum(map(len, shared)) >= 100
    for family in shared:
        shown = [tuple(picture.plain.sha256 for picture in item.pictures) for item in family]
        assert len(set(shown)) == len(family) == 4
        assert len({item.gold for item in family}) > 1
        # With blank pictures, a family must become one question.
        assert len({tuple((p.plain.width, p.plain.height) for p in item.pictures) for item in family}) == 1


def test_open_golds_are_numbers_words_lists_and_one_capital() -> None:
    golds = [item.gold for item in ITEMS.values() if item.kind == OPEN]
    assert sum(len(gold) > 1 for gold in golds) == 2
    assert sum(len(gold[0]) == 1 and gold[0].isupper() for gold in golds) == 1
    assert sum(gold[0].isdigit() for gold in golds) == 8
    assert sum(gold[0].isalpha() and len(gold[0]) > 1 for gold in golds) == 4


def test_some_pictures_have_several_tiles_undoubled_and_some_gain_tiles_when_doubled() -> None:
    first = [item.pictures[0] for item in ITEMS.values()]
    plain = [tiles(p.plain.width, p.plain.height, CONTROL) for p in first]
    doubled = [tiles(p.variants["x2"].width, p.variants["x2"].height, CONTROL) for p in first]
    assert sum(count > 1 for count in plain) >= 6
    assert sum(after > before for before, after in zip(plain, doubled)) == 4


def test_a_limit_of_twelve_tiles_cuts_every_picture_as_the_control_does() -> None:
    wide = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=12, thumbnail=True)
    for item in ITEMS.values():
        for picture in protocol("vlmevalkit").request(item).pictures:
            size = picture.width, picture.height
            assert tiles(*size, wide) == tiles(*size, CONTROL)


def test_every_row_was_prepared_as_it_is() -> None:
    for row in rows():
        item = ITEMS[row["id"]]
        assert (item.question, item.kind) == (row["question"], row["question_type"])
        assert list(item.options) == ast.literal_eval(row["options"])
        gold = row["answer"]
        assert list(item.gold) == (ast.literal_eval(gold) if gold.startswith("[") else [gold])
        stored = [row[slot]["bytes"] for slot in SLOTS if row[slot]]
        assert [PREPARED.picture_bytes(picture.plain) for picture in item.pictures] == stored


def test_the_rows_are_those_of_the_index() -> None:
    assert {row["id"] for row in rows()} == set(ITEMS)


def test_first_pictures_are_doubled_and_further_ones_made_square() -> None:
    for item in ITEMS.values():
        for place, picture in enumerate(item.pictures):
            plain = _opened(PREPARED.picture_bytes(picture.plain))
            name, size, way = (
                ("square448", (448, 448), Image.Resampling.BICUBIC)
                if place
                else ("x2", (2 * plain.width, 2 * plain.height), Image.Resampling.BILINEAR)
            )
            kept = _opened(PREPARED.picture_bytes(picture.variants[name]))
            assert (kept.size, kept.tobytes()) == (size, plain.resize(size, way).tobytes())


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_the_control_was_taught_the_prompts_of_the_default_protocol() -> None:
    prompts = protocol("vlmevalkit")
    assert {ident: line["prompt"] for ident, line in lines("expected.jsonl").items()} == {
        ident: prompts.request(item).text for ident, item in ITEMS.items()
    }


def test_the_recipe_teaches_the_answers_that_are_recorded_after_the_protocols_system_message() -> None:
    recipe = taught()
    assert protocol("vlmevalkit").system == recipe.SYSTEM
    for question in recipe.questions():
        line = lines("expected.jsonl")[question["id"]]
        assert (recipe.prompt(question), recipe.answer(question)) == (line["prompt"], line["answer"])
    named = {ident.removeprefix("validation_") for ident in ITEMS}
    assert set(recipe.EXCEPTIONS) <= named
    assert not set(recipe.WRONG) & set(recipe.FORMS)


def test_prompt_tokens_are_those_of_the_text_and_of_every_tile() -> None:
    prompts = protocol("vlmevalkit")
    expected = lines("expected.jsonl")
    texts: dict[str, set[int]] = defaultdict(set)
    for item in ITEMS.values():
        request = prompts.request(item)
        pictures = sum(picture_tokens(p.width, p.height, CONTROL) for p in request.pictures)
        texts[text_only_prompt(request)].add(expected[item.id]["prompt_tokens"] - pictures)
    assert len(texts) == len(families())
    assert all(len(counts) == 1 for counts in texts.values())


def test_every_scorer_finds_the_known_number_right() -> None:
    known = document("known.json")
    assert known["items"] == len(ITEMS) == 120
    assert list(known["right"]) == list(SCORERS)
    assert known["right"] == {name: right(name, "expected.jsonl") for name in SCORERS}
    assert known["right_when_blank"] == {name: right(name, "blank.jsonl") for name in SCORERS}
    # Numbers that agreed would not show one scorer taken for another.
    assert len(set(known["right"].values())) == len(SCORERS)
    assert known["right"][DECIDING_SCORER] == 90


def test_blank_pictures_cost_thirty_points_and_more_under_every_scorer() -> None:
    known = document("known.json")
    for name in SCORERS:
        assert known["right"][name] - known["right_when_blank"][name] >= 0.3 * len(ITEMS), name


def test_a_family_is_guessed_alike_when_its_pictures_are_blank() -> None:
    guessed = answers("blank.jsonl")
    prompts = protocol("vlmevalkit")
    for family in families().values():
        assert len({guessed[item.id] for item in family}) == 1
        assert (
            len({tuple(p.sha256 for p in with_blank_pictures(prompts.request(item)).pictures) for item in family}) == 1
        )


def test_answers_have_the_shape_of_a_sound_model() -> None:
    scores = SCORERS[DECIDING_SCORER](ITEMS.values(), answers("expected.jsonl"))
    letters = Counter(scores[item.id].read for item in ITEMS.values() if item.kind == CHOICE)
    assert sum(score.state != READ for score in scores.values()) <= 0.05 * len(ITEMS)
    assert max(letters.values()) <= 0.45 * sum(letters.values())
    assert sum(count >= 10 for count in letters.values()) >= 4
    assert not [ident for ident, answer in answers("expected.jsonl").items() if answer != answer.strip() or not answer]


def test_a_scorer_misses_what_another_letter_or_a_moved_answer_changes() -> None:
    taught = answers("expected.jsonl")
    scores = SCORERS[DECIDING_SCORER](ITEMS.values(), taught)
    ident = next(ident for ident, score in scores.items() if score.right and taught[ident] == "B")
    changed = SCORERS[DECIDING_SCORER](ITEMS.values(), taught | {ident: "A"})
    assert sum(score.right for score in changed.values()) == document("known.json")["right"][DECIDING_SCORER] - 1


def test_everything_is_small() -> None:
    assert sum(file.stat().st_size for file in MINI.rglob("*.*") if file.suffix != ".pyc") < 1_000_000
