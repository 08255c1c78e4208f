"""A profile of another model inherits how an engine is started, but no fact of the model that it extends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vlm_acceptance.config.model_facts import FACTS, is_fact
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.profile_file import Loaded, load_profile, shown
from vlm_acceptance.config.yaml_file import fields_at

# every fact with a value that is not its default
OURS: dict[str, Any] = {
    "name": "ours",
    "description": "InternVL2-2B on one card",
    "model": {
        "id": "org/ours", "path": "/m", "revision": "v2", "aliases": ["o"], "control": True, "weights_bytes": 4.41e9,
        "stop_token_ids": [92542], "more_stop_token_ids": [92543], "special_tokens": ["<|im_end|>"], "video": False,
        "thinking": True, "prompt_start": "<s>", "template": {"turn": "{role}{content}"}, "max_model_len": 4096,
        "max_pictures": 3, "pictures": {"oracle": "internvl", "tile_px": 112}, "source": "modelscope",
    },
    "engine": {"args": ["--dtype", "bfloat16"], "mode": "eager"},
    "model_memory_gib": {"value": 4.13},
    "weight_load_s": {"value": 1.46},
    "api": {
        "defaults": {"top_k": 5}, "structured_content": True, "tools": True, "call_text": "{name}{arguments}",
        "reasoning": True,
    },
    "offline": {"same_text": True},
    "latency": {"default": {"ttft_s": 1}, "categories": {"ocr": {"e2e_s": 2}}, "recorded": True, "repeats": 5},
    "load": {"budgets": {"itl_s": {"p99": 0.5}}, "burst": 8},
    "ladder": {
        "budgets": {"e2e_s": {"p90": 15}}, "baseline": {"text-64": {"concurrency": 1, "e2e_s": 1, "e2e_high_s": 2}}
    },
    "capability": {
        "min_correct": 8, "calibrated": True, "recorded": {"ocr/sign": 7}, "report_only": ["ocr"], "blind_max": 0,
        "golden_answers": "x.jsonl", "long_similar_pictures": {"copies": 3}, "large_pictures": False, "concurrency": 2,
    },
    "challenge": {"pictures": False},
    "logprobs": {
        "baseline": "b.jsonl", "alarm": 0.04, "alarm_prompt": 0.1, "common_top": 0.9, "tie": 0.1, "steady": 0.02,
        "steady_prompt": 0.1, "batch_invariant": True, "sample": 3,
    },
    "mmmu": {
        "protocol": "official", "scorer": "internvl", "system_message": True, "max_tokens": 7, "reference": "R",
        "min_correct": 1, "max_correct": 2, "sighted": {"sample": 3}, "known_answers": "k.jsonl",
        "known_scores": {"internvl": 1}, "concurrency": 4,
    },
    "references": {"R": {"score": 36.3}},
    "guide": [{"category": "ocr", "tokens": 14, "seconds": 1.66}],
}  # fmt: skip
# what is no fact of the model stays
KEPT = {
    "model": {"source": "modelscope"},
    "engine": OURS["engine"],
    "latency": {"repeats": 5},
    "load": {"burst": 8},
    "capability": {"concurrency": 2},
    "logprobs": {"sample": 3},
    "mmmu": {"concurrency": 4},
}


def load(tmp_path: Path, *overrides: tuple[str, str], base: dict[str, Any] = OURS, **theirs: Any) -> Loaded:
    """A profile that extends `base` by these sections, with overrides."""
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(base), "utf-8")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"extends": "ours", "name": "mine", **theirs}), "utf-8")
    return load_profile("mine", tmp_path, [(key, value, "--vlm-set") for key, value in overrides])


def value_at(data: Any, key: str) -> Any:
    for name in key.split("."):
        data = data[name]
    return data


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_a_key_and_is_not_inherited_by_another_model(fact: str, tmp_path: Path) -> None:
    *section, key = fact.split(".")
    assert key in fields_at(Profile, section)
    other = load(tmp_path, model={"id": "org/theirs"})
    bare = Profile.model_validate({"name": "mine", "model": {"id": "org/theirs"}, "mmmu": {}}).model_dump()
    inherited = load(tmp_path, model={"id": "org/ours"})
    assert value_at(inherited.profile.model_dump(), fact) != value_at(bare, fact)
    assert value_at(other.profile.model_dump(), fact) == value_at(bare, fact)
    assert fact in other.notes[0]


def test_all_that_is_no_fact_is_inherited(tmp_path: Path) -> None:
    theirs = load(tmp_path, model={"id": "org/theirs"}).profile
    expected = {**KEPT, "name": "mine", "model": {**KEPT["model"], "id": "org/theirs"}}
    assert theirs == Profile.model_validate(expected)


def test_the_note_is_one_line_with_both_models_the_keys_and_what_is_left_out(tmp_path: Path) -> None:
    loaded = load(tmp_path, model={"id": "org/theirs"})
    (note,) = loaded.notes
    assert note.startswith(
        "mine.yaml: model.id is 'org/theirs', so facts of 'org/ours' in ours.yaml are not inherited: "
    )
    assert note.endswith("golden answers, stored log probabilities, published scores, so the MMMU run")
    assert "\n" not in note
    assert f"# note: {note}" in shown(loaded).splitlines()


def test_the_source_of_what_is_not_inherited_is_the_default(tmp_path: Path) -> None:
    lines = shown(load(tmp_path, model={"id": "org/theirs"})).splitlines()
    assert "model.weights_bytes: null  # default" in lines
    assert "latency.default.ttft_s: null  # default" in lines
    assert "latency.repeats: 5  # ours.yaml" in lines


@pytest.mark.parametrize("ident", [{}, {"id": "org/ours"}])
def test_the_same_model_inherits_everything(ident: dict[str, str], tmp_path: Path) -> None:
    loaded = load(tmp_path, model=ident)
    assert loaded.notes == ()
    assert loaded.profile == Profile.model_validate({**OURS, "name": "mine"})


def test_a_fact_that_the_profile_gives_itself_counts_and_is_not_named(tmp_path: Path) -> None:
    loaded = load(tmp_path, model={"id": "org/theirs", "weights_bytes": 7, "pictures": {"oracle": "internvl"}})
    assert (loaded.profile.model.weights_bytes, loaded.profile.model.pictures.tile_px) == (7, 448)
    assert "weights_bytes" not in loaded.notes[0]
    assert "model.pictures" not in loaded.notes[0]


def test_a_profile_that_states_every_fact_again_has_no_note(tmp_path: Path) -> None:
    base = {"name": "ours", "model": {"id": "org/ours", "video": False}, "logprobs": {"baseline": "b.jsonl"}}
    theirs = {"model": {"id": "org/theirs", "video": True}, "logprobs": {"baseline": None}}
    assert load(tmp_path, base=base, **theirs).notes == ()


def test_a_base_without_a_model_gives_all_it_has(tmp_path: Path) -> None:
    base = {"name": "ours", "latency": {"default": {"ttft_s": 1}}}
    loaded = load(tmp_path, base=base, model={"id": "org/theirs"})
    assert (loaded.profile.latency.default.ttft_s, loaded.notes) == (1, ())


def test_another_model_by_an_override_has_no_facts_of_the_first_either(tmp_path: Path) -> None:
    base = {"name": "ours", "model": {"id": "org/ours", "weights_bytes": 7, "max_pictures": 3}}
    loaded = load(tmp_path, ("model.id", "org/theirs"), ("model.max_pictures", "5"), base=base)
    assert (loaded.profile.model.weights_bytes, loaded.profile.model.max_pictures) == (None, 5)
    assert "another name of the same model belongs in model.aliases" in loaded.notes[0]
    assert "max_pictures" not in loaded.notes[0]


def test_the_control_is_our_own_model_under_any_name() -> None:
    renamed = load_profile("control-cpu", PROFILES, [("model.id", "quick", "--vlm-set")])
    control = load_profile("control-cpu", PROFILES).profile
    assert renamed.notes == ()
    assert renamed.profile.model == control.model.model_copy(update={"id": "quick"})


def test_another_models_profile_is_not_that_of_the_control(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: control-cpu\nname: mine\nmodel: {id: org/theirs}\n", "utf-8")
    loaded = load_profile(str(path), PROFILES)
    assert (loaded.profile.model.control, loaded.profile.model.path) == (False, None)
    assert not loaded.profile.capability.calibrated


def test_the_description_of_another_model_is_not_inherited(tmp_path: Path) -> None:
    assert load(tmp_path).profile.description == OURS["description"]
    assert load(tmp_path, model={"id": "org/mine"}).profile.description == ""


def test_keys_below_a_fact_are_facts() -> None:
    assert is_fact("model.pictures.tile_px")
    assert is_fact("challenge")
    assert not is_fact("model.id")
    assert not is_fact("model.pictures_of_another")
