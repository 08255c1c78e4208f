"""Rules for reading a checkpoint's shape: what is not computed is one line that names key, value and what is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.support.plain_internvl import END, PICTURE, configured  # noqa: E402

from vlm_acceptance.config.paths import ROOT  # noqa: E402
from vlm_acceptance.core.errors import UsageProblem  # noqa: E402
from vlm_acceptance.core.tiles import TileRule  # noqa: E402
from vlm_acceptance.reference.config_section import Section  # noqa: E402
from vlm_acceptance.reference.open_route import _is_dynamic, _require_same_layers  # noqa: E402
from vlm_acceptance.reference.parts import tensor_sizes  # noqa: E402
from vlm_acceptance.reference.routes import Choice  # noqa: E402
from vlm_acceptance.reference.shape import Rope, read_shape  # noqa: E402
from vlm_acceptance.reference.transformers_route import picture_rule  # noqa: E402

DYNAMIC = {"type": "dynamic", "factor": 2.0}
DYNAMIC_NEW = {"rope_type": "dynamic", "factor": 2.0}


def folder(path: Path, config: Any, **files: Any) -> Path:
    texts = {"config.json": config, "added_tokens.json": {"<IMG_CONTEXT>": PICTURE, "<|im_end|>": END}, **files}
    for name, value in texts.items():
        (path / name).write_text(json.dumps(value))
    return path


def test_the_control_is_read_whole() -> None:
    shape = read_shape(ROOT / "fixtures" / "control" / "model")

    assert shape.rule == TileRule(112, 16, 1, 6, thumbnail=True)
    assert (shape.language.layers, shape.language.heads, shape.language.kv_heads, shape.language.head) == (
        (0, 1, 2, 3), 6, 2, 32,
    )  # fmt: skip
    assert (shape.vision.layers, shape.vision.side, shape.shrink, shape.shuffle) == ((0, 1, 2), 8, 2, "v2")
    assert shape.picture_token == 7
    assert set(shape.ends) == {2, 4}


def test_a_tokenizer_config_names_the_tokens_of_pictures_and_ends(tmp_path: Path) -> None:
    decoder = {"92546": {"content": "<IMG_CONTEXT>"}, "92542": {"content": "<|im_end|>"}}
    made = folder(tmp_path, configured(), **{"tokenizer_config.json": {"added_tokens_decoder": decoder}})
    (made / "generation_config.json").write_text(json.dumps({"eos_token_id": [92542, 92543]}))

    shape = read_shape(made)

    assert shape.picture_token == 92546
    assert shape.ends == (2, 92542, 92543)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (None, Rope(1e4, 64)),
        ({"rope_type": "default"}, Rope(1e4, 64)),
        (DYNAMIC, Rope(1e4, 64, "dynamic", 2.0)),
        ({"rope_type": "linear", "factor": 4}, Rope(1e4, 64, "linear", 4.0)),
    ],
)
def test_scaling_of_the_rotary_embedding_is_read(tmp_path: Path, scaling: Any, expected: Rope) -> None:
    assert read_shape(folder(tmp_path, configured(language={"rope_scaling": scaling}))).language.rope == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, Rope(1e6, 64)),
        ({"rope_parameters": {"rope_theta": 1e6}}, Rope(1e6, 64)),
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0}},
            Rope(1e6, 64, "dynamic", 2.0),
        ),
        ({"rope_theta": 1e6, "rope_parameters": {"rope_type": "linear", "factor": 2}}, Rope(1e6, 64, "linear", 2.0)),
        (
            {"rope_theta": 1e6, "rope_scaling": DYNAMIC, "rope_parameters": {**DYNAMIC_NEW, "rope_theta": 1e6}},
            Rope(1e6, 64, "dynamic", 2.0),
        ),
    ],
)
def test_the_form_of_transformers_5_is_read(tmp_path: Path, keys: dict[str, Any], expected: Rope) -> None:
    config = configured()
    config["llm_config"].pop("rope_theta", None)
    config["llm_config"].pop("rope_scaling", None)
    config["llm_config"] |= keys
    assert read_shape(folder(tmp_path, config)).language.rope == expected


def test_select_layer_counts_hidden_states(tmp_path: Path) -> None:
    counts = {
        select: len(read_shape(folder(tmp_path, configured(select_layer=select))).vision.layers)
        for select in (-1, -2, -3, 1, 3)
    }

    assert counts == {-1: 3, -2: 2, -3: 1, 1: 1, 3: 3}


def test_tied_embeddings_need_no_matrix_of_the_output(tmp_path: Path) -> None:
    sizes = tensor_sizes(read_shape(folder(tmp_path, configured(language={"tie_word_embeddings": True}))))

    assert "language_model.output.weight" not in sizes
    assert sizes["language_model.model.tok_embeddings.weight"] == (97, 32)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model_type": "internvl"}, 'model_type is "internvl", but --route own takes internvl_chat. Did you mean'),
        ({"language": {"model_type": "llama"}}, 'llm_config.model_type is "llama", but --route own takes internlm2 or'),
        ({"language": {"model_type": "qwen3"}}, "Did you mean 'qwen2'?"),
        ({"language": {"rope_scaling": {"type": "yarn", "factor": 4.0}}}, 'llm_config.rope_scaling.type is "yarn"'),
        (
            {"language": {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}},
            "llm_config.rope_theta is 10000.0, but --route own takes that of llm_config.rope_parameters.rope_theta",
        ),
        (
            {"language": {"rope_scaling": DYNAMIC, "rope_parameters": {"rope_type": "linear", "factor": 2.0}}},
            "but --route own takes what llm_config.rope_parameters says, linear by 2",
        ),
        ({"language": {"rope_parameters": {"rope_type": "yarn"}}}, 'llm_config.rope_parameters.rope_type is "yarn"'),
        ({"max_dynamic_patch": 2_000_000_000}, "max_dynamic_patch is 2000000000, but --route own takes at most 256"),
        (
            {"vision": {"image_size": 7168}, "force_image_size": None},
            "image_size is 7168, but --route own takes at most",
        ),
        ({"language": {"hidden_act": "gelu"}}, 'llm_config.hidden_act is "gelu", but --route own takes silu'),
        ({"language": {"num_key_value_heads": 3}}, "llm_config.num_attention_heads is 4"),
        ({"language": {"vocab_size": "many"}}, 'llm_config.vocab_size is "many", but --route own takes a whole number'),
        ({"language": {"rms_norm_eps": 0}}, "llm_config.rms_norm_eps is 0, but --route own takes a number above 0"),
        ({"vision": {"norm_type": "batch_norm"}}, 'vision_config.norm_type is "batch_norm"'),
        ({"vision": {"hidden_act": "quick_gelu"}}, 'vision_config.hidden_act is "quick_gelu"'),
        ({"vision": {"image_size": 30}}, "vision_config.patch_size is 7"),
        ({"force_image_size": 56}, "force_image_size is 56, but --route own takes vision_config.image_size, 28"),
        ({"ps_version": "v3"}, 'ps_version is "v3"'),
        ({"select_layer": 0}, "select_layer is 0, but --route own takes -3 to -1, or 1 to 3"),
        ({"select_layer": -4}, "select_layer is -4"),
        ({"downsample_ratio": 0.3}, "downsample_ratio is 0.3"),
        ({"min_dynamic_patch": 5}, "min_dynamic_patch is 5, but --route own takes at most max_dynamic_patch, 4"),
        ({"use_thumbnail": "yes"}, 'use_thumbnail is "yes", but --route own takes true or false'),
    ],
)
def test_what_is_not_computed_is_one_line(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        read_shape(folder(tmp_path, configured(**changed)))

    assert named in str(raised.value)
    assert "--route transformers may serve this model" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_key_that_is_absent_is_named(tmp_path: Path) -> None:
    config = configured()
    del config["llm_config"]["vocab_size"]

    with pytest.raises(UsageProblem, match=r"config\.json has no llm_config\.vocab_size"):
        read_shape(folder(tmp_path, config))


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "nul"])
def test_a_file_that_is_no_object_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(UsageProblem, match=r"config\.json is not"):
        read_shape(tmp_path)


def test_a_folder_without_a_picture_token_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, configured())
    (tmp_path / "added_tokens.json").unlink()

    with pytest.raises(UsageProblem, match="no tokenizer file names the token <IMG_CONTEXT>"):
        read_shape(tmp_path)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"max_dynamic_patch": 257}, "max_dynamic_patch: 257 is more than 256"),
        ({"force_image_size": 7168}, "force_image_size or vision_config.image_size: 7168 is more than 4096"),
        ({"downsample_ratio": 200}, "tokens of a tile: 640000 is more than 65536"),
    ],
)
def test_pictures_of_no_model_are_refused_on_the_other_route_too(
    tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    path = folder(tmp_path, configured(**changed)) / "config.json"
    with pytest.raises(UsageProblem, match=named):
        picture_rule(Section(path, json.loads(path.read_text())))


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_dynamic_scaling_is_seen_in_both_forms(key: str) -> None:
    assert _is_dynamic({"llm_config": {key: DYNAMIC}})
    assert _is_dynamic({"text_config": {key: DYNAMIC_NEW}})
    assert not _is_dynamic({"llm_config": {key: {"rope_type": "linear"}}, "text_config": [key]})


def test_a_positive_select_layer_is_not_as_served(tmp_path: Path) -> None:
    made = folder(tmp_path, configured(select_layer=2))
    with pytest.raises(UsageProblem, match="select_layer is 2, of which vLLM computes one layer more"):
        _require_same_layers(made, Choice(form="served"))
    _require_same_layers(made, Choice(form="published"))
    _require_same_layers(folder(tmp_path, configured(select_layer=-1)), Choice(form="served"))
