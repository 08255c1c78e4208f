"""Rules for the files of the control checkpoint and the pictures, read without the engine's libraries."""

import hashlib
import importlib.util
import json
import re
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vlm_acceptance.accuracy.mmmu.protocols import protocol
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.core.capability import Picture
from vlm_acceptance.core.tiles import TileRule, tiles

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "fixtures"
IMAGES, CONTROL, MODEL = FIXTURES / "images", FIXTURES / "control", FIXTURES / "control" / "model"
CATEGORIES = load_categories(FIXTURES / "cases", IMAGES)
QUESTIONS = [
    (category.id, question) for category in CATEGORIES for question in (*category.questions, category.translated)
]
TILES = TileRule(tile_px=112, tokens_per_tile=16, min_tiles=1, max_tiles=6, thumbnail=True)
PER_TILE, EXTRA = 16, 3  # tokens of a tile; <img>, </img> and the newline behind them


def lines(name: str) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file of the control."""
    return [json.loads(line) for line in (CONTROL / name).read_text("utf-8").splitlines()]


EXPECTED = {line["id"]: line for line in lines("expected.jsonl")}


def png_header(path: Path) -> tuple[int, int, int, int]:
    """Width, height, bit depth and colour type of a PNG."""
    head = path.read_bytes()[:33]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">IIBB", head[16:26])


def weights_header() -> dict[str, Any]:
    """Names, types and shapes in model.safetensors."""
    data = (MODEL / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size])


def says(answer: str, picture: Picture) -> bool:
    """Whether an answer contains an alternative of every part as whole words."""
    return all(any(_word(word, answer) for word in part) for part in picture.parts)


def _word(word: str, answer: str) -> bool:
    # In Chinese text a word has no blanks around it, so only ASCII letters and digits bound one.
    return re.search(rf"(?<![0-9a-z]){re.escape(word.casefold())}(?![0-9a-z])", answer.casefold()) is not None


def loaded(path: Path) -> ModuleType:
    """A module loaded by path, as scripts outside every package are."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mutants() -> ModuleType:
    """tests/proof/mutants.py, loaded as the engine's interpreter would find it."""
    return loaded(ROOT / "tests" / "proof" / "mutants.py")


def picture_token_counts(sizes: list[tuple[int, int]]) -> list[int]:
    """Tokens of the tiles of pictures of these sizes."""
    return [PER_TILE * tiles(*size, TILES) for size in sizes]


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "configuration_internvl_chat.py",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
)
def test_every_file_an_engine_needs_is_there_and_readable_by_all(name: str) -> None:
    assert (MODEL / name).stat().st_mode & 0o444 == 0o444


def test_the_checkpoint_is_small() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 8_000_000


def test_weights_vocabulary_and_configuration_agree() -> None:
    weights = weights_header()
    language = json.loads((MODEL / "config.json").read_text("utf-8"))["llm_config"]
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text("utf-8"))
    known = set(tokenizer["model"]["vocab"]) | {token["content"] for token in tokenizer["added_tokens"]}
    assert weights["language_model.model.tok_embeddings.weight"]["shape"] == [len(known), language["hidden_size"]]
    assert language["vocab_size"] == len(known)
    assert {entry["dtype"] for name, entry in weights.items() if name != "__metadata__"} == {"BF16"}


def test_the_tokenizer_served_counts_the_recorded_prompt_tokens_of_both_sets() -> None:
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    asked = loaded(CONTROL / "recipe" / "vocabulary.py").asked
    for line in EXPECTED.values():
        counts = picture_token_counts([png_header(IMAGES / name)[:2] for name in line["pictures"]])
        assert len(asked(tokenizer, line["prompt"], counts)) == line["prompt_tokens"]
    mini = FIXTURES / "mmmu_mini"
    recorded = [json.loads(line) for line in (mini / "expected.jsonl").read_text("utf-8").splitlines()]
    questions = Prepared.open(mini / "prepared")
    for line in recorded:
        request = protocol("vlmevalkit").request(questions[line["id"]])
        counts = picture_token_counts([(picture.width, picture.height) for picture in request.pictures])
        assert len(asked(tokenizer, line["prompt"], counts, request.system)) == line["prompt_tokens"]


def test_pictures_without_a_placeholder_come_first_and_the_others_at_their_placeholders() -> None:
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    asked = loaded(CONTROL / "recipe" / "vocabulary.py").asked
    text = tokenizer.decode(asked(tokenizer, "one: <image>", [1, 2], "be kind"), skip_special_tokens=False)
    assert text == (
        "<s><|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\n<img><IMG_CONTEXT></img>\n"
        "one: <img><IMG_CONTEXT><IMG_CONTEXT></img><|im_end|>\n<|im_start|>assistant\n"
    )


def test_generation_stops_where_a_turn_ends() -> None:
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text("utf-8"))
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    generation = json.loads((MODEL / "generation_config.json").read_text("utf-8"))
    assert generation["eos_token_id"] == [ids["<|im_end|>"], ids["</s>"]]
    # the engine searches this placeholder as ordinary text
    assert "<image>" not in ids


@pytest.mark.parametrize(("category", "question"), QUESTIONS, ids=lambda v: getattr(v, "id", v))
def test_the_control_is_taught_the_right_answer_to_every_picture_and_to_no_other(category: str, question: Any) -> None:
    for n, picture in enumerate(question.pictures, 1):
        line = EXPECTED[f"{category}/{question.id}-{n}"]
        assert line["prompt"] == question.prompt
        assert [IMAGES / name for name in line["pictures"]] == [picture.path]
        assert [other for other in question.pictures if says(line["answer"], other)] == [picture]


@pytest.mark.parametrize(("category", "question"), QUESTIONS, ids=lambda v: getattr(v, "id", v))
def test_a_blank_or_absent_picture_is_answered_without_a_planted_word(category: str, question: Any) -> None:
    for variant, pictures in (("grey", ["probe/grey-448.png"]), ("absent", [])):
        line = EXPECTED[f"{category}/{question.id}-{variant}"]
        assert (line["prompt"], line["pictures"]) == (question.prompt, pictures)
        words = {word for picture in question.pictures for part in picture.parts for word in part}
        assert not [word for word in words if _word(word, line["answer"])]


@pytest.mark.parametrize(("category", "question"), QUESTIONS, ids=lambda v: getattr(v, "id", v))
def test_the_prompt_counts_five_tiles_for_a_picture(category: str, question: Any) -> None:
    without = EXPECTED[f"{category}/{question.id}-absent"]["prompt_tokens"]
    for n in range(1, 9):
        assert EXPECTED[f"{category}/{question.id}-{n}"]["prompt_tokens"] == without + 5 * PER_TILE + EXTRA


@pytest.mark.parametrize(("category", "question"), QUESTIONS, ids=lambda v: getattr(v, "id", v))
def test_pictures_are_rgb_of_448_pixels_a_side_and_all_different(category: str, question: Any) -> None:
    assert {png_header(picture.path) for picture in question.pictures} == {(448, 448, 8, 2)}
    assert len({hashlib.sha256(picture.path.read_bytes()).digest() for picture in question.pictures}) == 8


def test_a_wrong_word_and_a_longer_word_are_not_the_answer() -> None:
    picture = Picture(Path(), (("RIVER",), ("472",)), frozenset())
    assert says("The sign says River 472.", picture)
    for answer in ("The sign says River.", "River 4723", "Rivers 472", "Driver 472", ""):
        assert not says(answer, picture)


def test_expected_answers_name_all_pictures_and_no_others() -> None:
    assert len(EXPECTED) == len(lines("expected.jsonl"))
    named = {name for line in EXPECTED.values() for name in line["pictures"]}
    drawn = {path.relative_to(IMAGES).as_posix() for path in IMAGES.rglob("*.png")}
    assert named == {name for name in drawn if not name.startswith("large/")}  # no answer to the large ones was taught
    assert {f"large/{name}" for name in named} >= drawn - named


def test_every_expected_line_has_the_same_keys() -> None:
    keys = {"id", "pictures", "prompt", "answer", "prompt_tokens"}
    assert all(set(line) == keys for line in EXPECTED.values())


def test_only_the_picture_decides_a_multiple_choice_question() -> None:
    families: dict[str, list[dict[str, Any]]] = {}
    for line in lines("choice.jsonl"):
        assert EXPECTED[line["id"]]["answer"] == line["answer"]
        families.setdefault(EXPECTED[line["id"]]["prompt"], []).append(line)
    assert [len(family) for family in families.values()] == [8] * 6
    for family in families.values():
        assert sorted(line["truth"] for line in family) == sorted("ABCD" * 2)


def test_the_control_is_taught_three_right_letters_of_four() -> None:
    questions = lines("choice.jsonl")
    assert sum(line["truth"] == line["answer"] for line in questions) == 36
    assert len(questions) == 48


def test_every_mutant_is_described_in_one_line() -> None:
    for name, line in mutants().NAMES.items():
        assert len(line.splitlines()) == 1, name


def test_a_mutant_of_the_template_changes_nothing_else(tmp_path: Path) -> None:
    mutants().make("no-newline", tmp_path / "mutant")
    changed = [f.name for f in MODEL.iterdir() if f.read_bytes() != (tmp_path / "mutant" / f.name).read_bytes()]
    assert changed == ["tokenizer_config.json"]
    settings = json.loads((tmp_path / "mutant" / "tokenizer_config.json").read_text("utf-8"))
    assert "<|im_end|>'" in settings["chat_template"]


def test_a_mutant_never_overwrites_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        mutants().make("no-newline", tmp_path)
    with pytest.raises(KeyError):
        mutants().make("sharper", tmp_path / "new")
    assert not (tmp_path / "new").exists()
