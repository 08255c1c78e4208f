"""Rules for the files of the second control, whose tokenizer and tiles are like those of the real InternVL2."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.cases.large_pictures import grids, size_of
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.tiles import TileRule, tiles
from vlm_acceptance.engine.tiling import served_tiling

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
CONTROL, SPM, RECIPE = FIXTURES / "control", FIXTURES / "control_spm", FIXTURES / "control" / "recipe"
MODEL = SPM / "model"
TILES = TileRule(tile_px=448, tokens_per_tile=16, min_tiles=1, max_tiles=12, thumbnail=True)
TOKENIZED = """
import json, sys
from pathlib import Path
from sentence_pieces import SentencePieces
import vocabulary
words = SentencePieces.read(Path(sys.argv[1]))
asked = json.loads(sys.stdin.read())
spelt = words._tokenizer.convert_ids_to_tokens
print(json.dumps({
    "prompts": [[spelt(form) for form in words.prompts(*one)] for one in asked["prompts"]],
    "kept": [words.text(words.ids(text + vocabulary.END)) for text in asked["answers"]],
    "size": words.size,
}))
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def tokenized() -> dict[str, Any]:
    """Prompts in every form of the engines, and the answers after a journey through the tokenizer."""
    pytest.importorskip("sentencepiece")
    asked = [["What is it?", [1]], ["What is it?", []], ["one: <image>\ntwo: <image>\nWhich?", [1, 1], "be kind"]]
    given = json.dumps({"prompts": asked, "answers": [line["answer"] for line in lines(SPM / "expected.jsonl")]})
    argv = [sys.executable, "-c", TOKENIZED, str(MODEL)]
    ran = subprocess.run(argv, cwd=RECIPE, input=given, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "configuration_internvl_chat.py",
        "generation_config.json",
        "model.safetensors",
        "tokenization_control.py",
        "tokenizer.model",
        "tokenizer_config.json",
    ],
)
def test_every_file_an_engine_needs_is_there_and_readable_by_all(name: str) -> None:
    assert (MODEL / name).stat().st_mode & 0o444 == 0o444


def test_the_code_served_is_that_of_the_recipe() -> None:
    for name in ("configuration_internvl_chat.py", "tokenization_control.py"):
        assert (MODEL / name).read_bytes() == (RECIPE / name).read_bytes()


def test_both_controls_are_taught_the_same_answers() -> None:
    keys = ("id", "pictures", "prompt", "answer")
    ours, other = ([{key: line[key] for key in keys} for line in lines(f / "expected.jsonl")] for f in (SPM, CONTROL))
    assert ours == other


def test_no_prompt_tokens_are_stored_because_engines_differ() -> None:
    assert all("prompt_tokens" not in line for line in lines(SPM / "expected.jsonl"))


def test_a_capability_picture_is_one_tile_and_a_large_one_is_cut_by_chunked_prefill() -> None:
    profile = load_profile("control-spm", PROFILES).profile
    rule = {
        name: getattr(TILES, name) for name in ("tile_px", "tokens_per_tile", "min_tiles", "max_tiles", "thumbnail")
    }
    assert served_tiling(MODEL) == rule
    assert {name: getattr(profile.model.pictures, name) for name in rule} == rule
    assert tiles(448, 448, TILES) == 1
    largest = max(tiles(*size_of(TILES, number), TILES) for number in range(len(grids(TILES))))
    args = list(map(str, profile.engine.args))
    at_once = int(args[args.index("--max-num-batched-tokens") + 1])
    assert 16 * largest > at_once == profile.offline.llm["max_num_batched_tokens"]


def test_weights_vocabulary_and_configuration_agree(tokenized: dict[str, Any]) -> None:
    data = (MODEL / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    language = json.loads((MODEL / "config.json").read_text("utf-8"))["llm_config"]
    rows = json.loads(data[8 : 8 + size])["language_model.model.tok_embeddings.weight"]["shape"][0]
    assert rows == language["vocab_size"] == tokenized["size"]


def test_a_picture_makes_the_served_prompt_longer_than_its_text(tokenized: dict[str, Any]) -> None:
    old, new, plain = tokenized["prompts"][0]
    assert plain[:7] == ["<s>", "<|im_start|>", "user", "\n", "<img>", "<IMG_CONTEXT>", "</img>"]
    assert old[:6] == ["▁", "<s>", "<|im_start|>", "▁user", "\n", "<img>"]
    assert new[:7] == ["▁", "<s>", "<|im_start|>", "▁user", "\n", "▁", "<img>"]
    assert (len(old), len(new)) == (len(plain) + 1, len(plain) + 2)
    assert [len(form) - len(tokenized["prompts"][2][2]) for form in tokenized["prompts"][2]] == [1, 3, 0]


def test_without_a_picture_the_prompt_is_the_templates(tokenized: dict[str, Any]) -> None:
    (only,) = tokenized["prompts"][1]
    assert only[:4] == ["<s>", "<|im_start|>", "user", "\n"]


def test_the_placeholder_is_not_found_among_the_tokens(tokenized: dict[str, Any]) -> None:
    two = [token for token in tokenized["prompts"][2][2] if "image" in token]
    assert two == []
    settings = json.loads((MODEL / "tokenizer_config.json").read_text("utf-8"))
    assert "<image>" not in {token["content"] for token in settings["added_tokens_decoder"].values()}


def test_every_answer_survives_the_tokenizer(tokenized: dict[str, Any]) -> None:
    assert tokenized["kept"] == [line["answer"] for line in lines(SPM / "expected.jsonl")]


WRITTEN = """
import json, sys
from pathlib import Path
from sentence_pieces import SentencePieces
from sparse import Writer
from vlm_acceptance.cases import challenge_pictures, dialogues
from vlm_acceptance.core.chance import Chance
words = SentencePieces.read(Path(sys.argv[1]))
text = lambda ids: "".join(words._tokenizer.convert_ids_to_tokens(ids)).replace("\u2581", " ")
found = []
for sentences, share in ((5, 0.0), (5, 1.0), (9, 0.5), (150, 0.5)):
    for kept in (8, 1000):
        writer = Writer(words, Chance("written"), kept)
        drawn = challenge_pictures.read(Chance("drawn"), (1, 1), 112, "en")
        for one in (writer.needle(sentences, share), writer.picture(drawn, range(16), sentences, share)):
            fed = one.prompt + one.answer[:-1]
            whole = words.ids(text(one.prompt))
            found.append({
                "kind": one.kind, "kept": kept, "sentences": sentences, "same": whole == one.prompt,
                "fed": len(fed), "places": one.places, "counted": sum(one.copies),
            })
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def written() -> list[dict[str, Any]]:
    """Long texts as the recipe feeds them in training, whole and with sentences left out."""
    for module in ("sentencepiece", "torch"):
        pytest.importorskip(module)
    argv = [sys.executable, "-c", WRITTEN, str(MODEL)]
    ran = subprocess.run(argv, cwd=RECIPE, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_pieces_of_a_long_text_are_the_tokens_of_the_whole(written: list[dict[str, Any]]) -> None:
    assert [one["same"] for one in written] == [True] * 16


def test_a_text_that_is_fed_whole_counts_every_token_once_at_its_place(written: list[dict[str, Any]]) -> None:
    whole = [one for one in written if one["kept"] >= one["sentences"]]
    assert len(whole) == 12
    assert all(one["places"] == list(range(one["fed"])) and one["counted"] == one["fed"] for one in whole)


def test_sentences_that_are_left_out_keep_their_places_and_their_weight(written: list[dict[str, Any]]) -> None:
    """The few that are fed count for as many tokens as the whole text has, and the answer stands as far away."""
    cut = {one["kind"]: one for one in written if one["sentences"] == 150 and one["kept"] == 8}
    whole = {one["kind"]: one for one in written if one["sentences"] == 150 and one["kept"] == 1000}
    for kind, one in cut.items():
        assert one["fed"] < whole[kind]["fed"] / 8
        assert sorted(set(one["places"])) == one["places"]
        for figure in (one["counted"], one["places"][-1]):
            assert abs(figure / whole[kind]["fed"] - 1) < 0.1
