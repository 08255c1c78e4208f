"""Folders like that of InternVL2-2B, complete and with one fault each, and every place where a folder can be."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import WeightsProblem
from vlm_acceptance.engine.weights import INDEX, fingerprint, inspect, locate, stop_notes

STOP_IDS = (92542, 92543)
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4411571040\n"
ID = "OpenGVLab/InternVL2-2B"
DOTTED = "OpenGVLab/InternVL2.5-2B"


def write_shard(path: Path, values: bytes = bytes(range(64)), dtype: str = "BF16") -> None:
    header = {
        "__metadata__": {"format": "pt"},
        path.stem: {"dtype": dtype, "shape": [4, 8], "data_offsets": [0, len(values)]},
    }
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + values)


def put(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    put(
        folder,
        "config.json",
        {
            "architectures": ["InternVLChatModel"],
            "auto_map": {
                "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
                "AutoModel": "modeling_internvl_chat.InternVLChatModel",
            },
        },
    )
    put(folder, "configuration_internvl_chat.py", "from .configuration_internlm2 import InternLM2Config\n")
    put(folder, "configuration_internlm2.py", "class InternLM2Config: ...\n")
    put(folder, "generation_config.json", {"eos_token_id": list(STOP_IDS)})
    put(
        folder,
        "tokenizer_config.json",
        {
            "tokenizer_class": "InternLM2Tokenizer",
            "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
            "chat_template": "{{ bos_token }}",
        },
    )
    put(folder, "tokenization_internlm2.py", "class InternLM2Tokenizer: ...\n")
    put(folder, "tokenizer.model", "words")
    for shard in SHARDS:
        write_shard(folder / shard)
    put(folder, INDEX, {"weight_map": {f"w{i}": shard for i, shard in enumerate(SHARDS)}})
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def test_complete_folder_has_no_problem(model: Path):
    assert inspect(model, STOP_IDS, expected_bytes=128) == []


def test_folder_that_does_not_exist_is_the_only_problem(tmp_path: Path):
    assert inspect(tmp_path / "none", STOP_IDS, 128) == [f"the folder does not exist: {tmp_path / 'none'}"]


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def replace_with(name: str, value: object) -> Callable[[Path], None]:
    return lambda folder: put(folder, name, value)


def cut(name: str, length: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, length)


def lengthen(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, 4096)


def only_single_file(folder: Path) -> None:
    for name in (INDEX, *SHARDS):
        (folder / name).unlink()


def dead_link(folder: Path) -> None:
    only_single_file(folder)
    (folder / "model.safetensors").symlink_to(folder / "blobs" / "gone")


def sixteen_byte_header_of_no_json(folder: Path) -> None:
    (folder / SHARDS[0]).write_bytes(struct.pack("<Q", 16) + b"this is no JSON!")


FAULTS = {
    "no config": (remove("config.json"), "config.json is missing"),
    "config of no JSON": (replace_with("config.json", "{"), "config.json is not valid JSON"),
    "config of a list": (replace_with("config.json", []), "config.json is not a JSON object"),
    "no architectures": (replace_with("config.json", {"a": 1}), "names no architectures"),
    "no weights": (only_single_file, "no *.safetensors"),
    "shard missing": (remove(SHARDS[1]), f"{SHARDS[1]}, named by {INDEX}, is missing"),
    "index of no JSON": (replace_with(INDEX, "{"), f"{INDEX} is not valid JSON"),
    "dead link": (dead_link, "model.safetensors is a dead link"),
    "cut in the data": (cut(SHARDS[0], 150), "the download was cut short"),
    "cut in the header": (cut(SHARDS[0], 20), "ends inside its header"),
    "empty shard": (cut(SHARDS[0], 0), "is 0 bytes long"),
    "shard too long": (lengthen(SHARDS[0]), "holds 4096 bytes where its header promises"),
    "header of no JSON": (sixteen_byte_header_of_no_json, "not safetensors JSON"),
    "another format": (replace_with(SHARDS[0], "<html>404</html>" * 9), "does not begin like a safetensors file"),
    "weights are a pointer": (replace_with(SHARDS[0], LFS), "is a git-lfs pointer, not the weights"),
    "vocabulary is a pointer": (replace_with("tokenizer.model", LFS), "tokenizer.model is a git-lfs pointer"),
    "no generation config": (remove("generation_config.json"), "generation_config.json is missing"),
    "generation config of no JSON": (
        replace_with("generation_config.json", "x"),
        "generation_config.json is not valid JSON",
    ),
    "stops at </s> only": (
        replace_with("generation_config.json", {"eos_token_id": 2}),
        "stops at 2, not at 92542, 92543",
    ),
    "stops at one": (replace_with("generation_config.json", {"eos_token_id": [92542]}), "not at 92543: answers"),
    "stops nowhere": (replace_with("generation_config.json", {}), "stops at None, not at 92542"),
    "configuration code missing": (
        remove("configuration_internvl_chat.py"),
        "configuration_internvl_chat.py, code that config",
    ),
    "imported code missing": (
        remove("configuration_internlm2.py"),
        "configuration_internlm2.py, code that config.json",
    ),
    "tokenizer code missing": (
        remove("tokenization_internlm2.py"),
        "tokenization_internlm2.py, code that tokenizer_config",
    ),
    "no tokenizer config": (remove("tokenizer_config.json"), "tokenizer_config.json is missing"),
    "no vocabulary": (remove("tokenizer.model"), "there is no tokenizer.model or vocab.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_sentence_that_names_the_file(model: Path, fault: str):
    spoil, expected = FAULTS[fault]
    spoil(model)
    problems = inspect(model, STOP_IDS, expected_bytes=128)
    assert len(problems) == 1
    assert expected in problems[0]
    assert "\n" not in problems[0]


def test_several_faults_are_several_sentences(model: Path):
    remove("tokenizer.model")(model)
    remove(SHARDS[0])(model)
    assert len(inspect(model, STOP_IDS, 128)) == 2


def test_fast_tokenizer_needs_its_own_file(model: Path):
    put(model, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    assert "there is no tokenizer.json" in inspect(model)[0]
    put(model, "tokenizer.json", "{}")
    assert inspect(model) == []


def test_code_of_another_repository_is_not_required(model: Path):
    put(model, "config.json", {"architectures": ["A"], "auto_map": {"AutoConfig": "owner/name--configuration_a.A"}})
    assert inspect(model) == []


def test_modelling_code_may_be_absent(model: Path):
    assert not (model / "modeling_internvl_chat.py").exists()
    assert inspect(model) == []


@pytest.mark.parametrize(("expected", "problems"), [(128, 0), (140, 0), (143, 1), (116, 1), (None, 0)])
def test_size_may_differ_by_a_tenth(model: Path, expected: float | None, problems: int):
    assert len(inspect(model, STOP_IDS, expected)) == problems


def test_stop_ids_are_not_checked_when_the_profile_has_none(model: Path):
    (model / "generation_config.json").unlink()
    assert inspect(model) == []


def test_fingerprint_counts_parameters_and_bytes(model: Path):
    found = fingerprint(model)
    assert (found.parameters, found.weights_bytes, found.dtype) == (64, 128, "BF16")
    assert found.config_sha256
    assert found.chat_template_sha256
    assert found.generation_config_sha256


def test_fingerprint_lists_types_by_their_share(model: Path):
    write_shard(model / SHARDS[1], bytes(32), "I8")
    write_shard(model / "model-00003.safetensors")
    put(model, INDEX, {"weight_map": {"a": SHARDS[0], "b": SHARDS[1], "c": "model-00003.safetensors"}})
    assert fingerprint(model).dtype == "BF16+I8"


def change_weight(folder: Path) -> None:
    write_shard(folder / SHARDS[0], bytes(range(1, 65)))


def change_name(folder: Path) -> None:
    path = folder / SHARDS[0]
    path.write_bytes(path.read_bytes().replace(b"00001-of", b"00009-of"))


CHANGES = {
    "weights_sampled_sha256": (change_weight, change_name),
    "config_sha256": (replace_with("config.json", {"architectures": ["B"]}),),
    "generation_config_sha256": (replace_with("generation_config.json", {"eos_token_id": 3}),),
    "chat_template_sha256": (
        replace_with("tokenizer_config.json", {"chat_template": "{{ other }}"}),
        replace_with("chat_template.jinja", "{{ file }}"),
        replace_with("chat_template.json", {"chat_template": [{"name": "default", "template": "x"}]}),
    ),
}


@pytest.mark.parametrize(
    ("part", "change"), [(part, change) for part, changes in CHANGES.items() for change in changes]
)
def test_change_affects_only_its_part_of_the_fingerprint(model: Path, part: str, change: Callable[[Path], None]):
    before = fingerprint(model)
    assert fingerprint(model) == before
    change(model)
    after = fingerprint(model)
    assert [name for name in before.__slots__ if getattr(before, name) != getattr(after, name)] == [part]


def test_fingerprint_covers_the_middle_of_a_large_file(tmp_path: Path):
    size = 3 * 1024 * 1024
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    raw = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(size))
    before = fingerprint(tmp_path).weights_sampled_sha256
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"x" * 300_000)
    assert fingerprint(tmp_path).weights_sampled_sha256 != before


def test_parts_that_are_absent_have_no_hash(tmp_path: Path):
    write_shard(tmp_path / "model.safetensors")
    found = fingerprint(tmp_path)
    assert (found.config_sha256, found.chat_template_sha256, found.generation_config_sha256) == (None, None, None)


@pytest.mark.parametrize("spoil", [only_single_file, remove(SHARDS[0]), cut(SHARDS[0], 20)])
def test_fingerprint_of_damaged_weights_is_a_weights_problem(model: Path, spoil: Callable[[Path], None]):
    spoil(model)
    with pytest.raises(WeightsProblem):
        fingerprint(model)


@pytest.mark.parametrize(
    ("model_id", "place", "env"),
    [
        (ID, ".cache/modelscope/hub/models/OpenGVLab/InternVL2-2B", {}),
        (ID, ".cache/modelscope/hub/OpenGVLab/InternVL2-2B", {}),
        (ID, ".cache/modelscope/models/OpenGVLab/InternVL2-2B", {}),
        (ID, ".cache/modelscope/models/OpenGVLab--InternVL2-2B/snapshots/master", {}),
        (DOTTED, ".cache/modelscope/hub/models/OpenGVLab/InternVL2___5-2B", {}),
        (DOTTED, ".cache/modelscope/models/OpenGVLab--InternVL2.5-2B/snapshots/v1.0", {}),
        (ID, "cache/models/OpenGVLab/InternVL2-2B", {"MODELSCOPE_CACHE": "cache"}),
        (ID, "cache/OpenGVLab/InternVL2-2B", {"MODELSCOPE_CACHE": "cache"}),
        (ID, "cache/hub/models/OpenGVLab/InternVL2-2B", {"MODELSCOPE_CACHE": "cache"}),
        (ID, ".cache/modelscope/hub/OpenGVLab/InternVL2-2B", {"MODELSCOPE_CACHE": "cache"}),
        (ID, ".cache/huggingface/hub/models--OpenGVLab--InternVL2-2B/snapshots/1a2b", {}),
        (ID, "hf/hub/models--OpenGVLab--InternVL2-2B/snapshots/1a2b", {"HF_HOME": "hf"}),
        (ID, "hub/models--OpenGVLab--InternVL2-2B/snapshots/1a2b", {"HF_HUB_CACHE": "hub"}),
        (ID, "xdg/huggingface/hub/models--OpenGVLab--InternVL2-2B/snapshots/1a2b", {"XDG_CACHE_HOME": "xdg"}),
    ],
)
def test_folder_is_found_in_every_known_layout(tmp_path: Path, model_id: str, place: str, env: dict[str, str]):
    folder = make_model(tmp_path / place)
    absolute = {name: str(tmp_path / value) for name, value in env.items()}
    found = locate(model_id, None, absolute, tmp_path)
    assert found is not None
    assert found.resolve() == folder


def test_cache_of_the_environment_comes_before_the_one_at_home(tmp_path: Path):
    make_model(tmp_path / ".cache/modelscope/hub/models" / ID)
    ours = make_model(tmp_path / "cache/models" / ID)
    assert locate(ID, None, {"MODELSCOPE_CACHE": str(tmp_path / "cache")}, tmp_path) == ours


def test_revision_master_is_preferred_among_snapshots(tmp_path: Path):
    base = tmp_path / ".cache/modelscope/models/OpenGVLab--InternVL2-2B/snapshots"
    make_model(base / "v1")
    master = make_model(base / "master")
    make_model(base / "v2")
    assert locate(ID, None, {}, tmp_path) == master


def test_revision_main_points_to_the_snapshot_of_hugging_face(tmp_path: Path):
    base = tmp_path / ".cache/huggingface/hub/models--OpenGVLab--InternVL2-2B"
    wanted = make_model(base / "snapshots/aaaa")
    make_model(base / "snapshots/bbbb")
    (base / "refs").mkdir()
    put(base / "refs", "main", "aaaa")
    assert locate(ID, None, {}, tmp_path) == wanted


def test_complete_folder_is_preferred_over_a_leftover(tmp_path: Path):
    leftover = tmp_path / ".cache/modelscope/models" / ID
    leftover.mkdir(parents=True)
    put(leftover, "README.md", "x")
    assert locate(ID, None, {}, tmp_path) == leftover
    whole = make_model(tmp_path / ".cache/modelscope/hub" / ID)
    assert locate(ID, None, {}, tmp_path) == whole


def test_folder_as_id_is_used_directly(tmp_path: Path):
    folder = make_model(tmp_path / "somewhere")
    assert locate(str(folder), None, {}, tmp_path) == folder


def test_explicit_folder_wins(tmp_path: Path):
    make_model(tmp_path / ".cache/modelscope/hub" / ID)
    assert locate(ID, tmp_path / "given", {}, tmp_path) == tmp_path / "given"


@pytest.mark.parametrize("model_id", [ID, "/no/such/folder", "gpt2"])
def test_model_that_is_not_found_is_none(tmp_path: Path, model_id: str):
    assert locate(model_id, None, {}, tmp_path) is None


@pytest.mark.parametrize(("stops", "noted"), [([92542], True), (92542, True), ([92542, 92543], False)])
def test_a_further_stop_id_is_only_noted(model: Path, stops: object, noted: bool):
    put(model, "generation_config.json", {"eos_token_id": stops})
    assert inspect(model, (92542,)) == []
    found = stop_notes(model, (92543,))
    assert ["not at 92543 too" in note for note in found] == ([True] if noted else [])
