"""Prompts are the tokens that vLLM serves, or the template's own, or wrong in the way that was asked for.

`served_prompts.jsonl` holds what `/tokenize` of vLLM 0.18.0 (transformers 4.57.6) and 0.32.0 (5.19) answered: questions
of the suite and made-up ones. A prompt that itself holds special tokens may differ between versions of transformers;
there is none of them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.runs import ROOT

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.logprobs import LogProbPrompt
from vlm_acceptance.core.tiles import TileRule

pytest.importorskip("torch")

from tests.support.token_runs import unrolled

from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import PUBLISHED, PromptForm
from vlm_acceptance.reference.prompts import PLACEHOLDER, Prompter, replaced, with_placeholders
from vlm_acceptance.reference.vllm_version import TARGET, decodes_pictures, keeps_base, release

IMAGES = ROOT / "fixtures" / "images"
RULES = {"control": TileRule(112, 16, 1, 6, True), "control_spm": TileRule(448, 16, 1, 12, True)}
SERVED = [
    json.loads(line)
    for line in (ROOT / "tests" / "selftest" / "data" / "served_prompts.jsonl").read_text("utf-8").splitlines()
]
SIGN = LogProbPrompt("sign", "What is written?", ("ocr/sign-1.png",))
TEXT = LogProbPrompt("text", "What is written?", system="Be brief.")


@lru_cache
def prompter(model: str, vllm: str = TARGET) -> Prompter:
    """Prompts of a control, as this version of vLLM serves them."""
    shape = SimpleNamespace(rule=RULES[model])
    return Prompter(ROOT / "fixtures" / model / "model", shape, vllm)


def texts(model: str, prompt: LogProbPrompt, form: PromptForm, pictures: PictureForm | None = None) -> str:
    """A prompt with its special tokens, as a text."""
    one = prompter(model)
    return str(one._tokenizer.decode(list(one.asked(prompt, IMAGES, form, pictures).tokens)))


@pytest.mark.parametrize("vllm", ["0.18.0", "0.32.0"])
@pytest.mark.parametrize("model", list(RULES))
def test_served_prompts_are_those_of_the_engine(model: str, vllm: str) -> None:
    rows = [row for row in SERVED if row["model"] == model]
    assert len(rows) > 30
    for row in rows:
        prompt = LogProbPrompt(row["id"], row["prompt"], tuple(row["pictures"]), row["system"])
        asked = prompter(model, vllm).asked(prompt, IMAGES)
        assert asked.tokens == unrolled(row["tokens"][vllm]), row["id"]
        assert len(asked.pictures) == len(row["pictures"])


def test_the_stored_prompts_differ_between_the_engines_and_from_the_template() -> None:
    """Otherwise the test above would prove nothing about the forms."""
    rows: list[dict[str, Any]] = [row for row in SERVED if row["model"] == "control_spm" and row["pictures"]]
    assert all(row["tokens"]["0.18.0"] != row["tokens"]["0.32.0"] for row in rows)
    for row in rows:
        prompt = LogProbPrompt(row["id"], row["prompt"], tuple(row["pictures"]), row["system"])
        published = prompter("control_spm").asked(prompt, IMAGES, PromptForm(PUBLISHED)).tokens
        assert published not in map(unrolled, row["tokens"].values())


def test_published_prompts_begin_with_the_start_token_and_hold_the_picture() -> None:
    tokens = prompter("control_spm").asked(SIGN, IMAGES, PromptForm(PUBLISHED)).tokens
    assert tokens[0] == 1
    assert tokens.count(prompter("control_spm").picture_token) == 16


def test_without_a_picture_both_forms_are_the_same() -> None:
    one = prompter("control_spm")
    assert one.asked(TEXT, IMAGES).tokens == one.asked(TEXT, IMAGES, PromptForm(PUBLISHED)).tokens


def test_a_system_message_stands_where_the_template_puts_it() -> None:
    found = texts("control", TEXT, PromptForm())
    assert found == (
        "<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is written?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (PromptForm(start=False), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (PromptForm(role_line_feed=False), "<s><|im_start|>userHi<|im_end|>\n<|im_start|>assistant\n"),
        (
            PromptForm(system="Be a cat."),
            "<s><|im_start|>system\nBe a cat.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
)
def test_a_fault_of_the_prompt_is_planted(form: PromptForm, found: str) -> None:
    assert texts("control", LogProbPrompt("hi", "Hi"), form) == found


def test_without_a_thumbnail_a_tiled_picture_has_one_tile_less() -> None:
    whole = prompter("control").asked(SIGN, IMAGES).tokens
    less = prompter("control").asked(SIGN, IMAGES, None, PictureForm(thumbnail="none")).tokens
    assert len(whole) - len(less) == 16


def test_pictures_that_a_text_does_not_place_come_first() -> None:
    assert with_placeholders("a", 2) == f"{PLACEHOLDER}\n{PLACEHOLDER}\na"
    assert with_placeholders(f"a {PLACEHOLDER} b", 2) == f"{PLACEHOLDER}\na {PLACEHOLDER} b"
    assert with_placeholders("", 1) == PLACEHOLDER
    assert with_placeholders(f"a {PLACEHOLDER}", 0) == f"a {PLACEHOLDER}"
    with pytest.raises(UsageProblem, match="more <image> than pictures"):
        with_placeholders(PLACEHOLDER * 2, 1)


def test_tokens_are_replaced_in_order_and_only_so_many() -> None:
    assert replaced([1, 8, 9, 2, 8, 9, 8, 9], [8, 9], [[5], [6, 6]]) == (1, 5, 2, 6, 6, 8, 9)
    assert replaced([1, 8, 2, 9], [8, 9], [[5]]) is None
    assert replaced([1, 2], [8], []) == (1, 2)


def test_a_folder_without_a_template_or_tokens_is_one_line(tmp_path: Path) -> None:
    source = ROOT / "fixtures" / "control" / "model"
    settings = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    del settings["chat_template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(UsageProblem, match="cannot load .* as AutoTokenizer"):
        Prompter(tmp_path, SimpleNamespace(rule=RULES["control"]))
    (tmp_path / "tokenizer.json").write_text((source / "tokenizer.json").read_text("utf-8"), "utf-8")
    with pytest.raises(UsageProblem, match="has no chat template"):
        Prompter(tmp_path, SimpleNamespace(rule=RULES["control"]))


def test_a_template_in_a_file_of_its_own_is_read(tmp_path: Path) -> None:
    source = ROOT / "fixtures" / "control" / "model"
    settings = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    template = settings.pop("chat_template")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "tokenizer.json").write_text((source / "tokenizer.json").read_text("utf-8"), "utf-8")
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}), "utf-8")
    tokens = Prompter(tmp_path, SimpleNamespace(rule=RULES["control"])).asked(SIGN, IMAGES).tokens
    assert tokens == prompter("control").asked(SIGN, IMAGES).tokens


def test_versions_of_vllm_are_told_apart() -> None:
    assert [decodes_pictures(version) for version in ("0.18.0", "0.32.0")] == [False, True]
    assert [keeps_base(version) for version in ("0.18.0", "0.32.0")] == [False, True]
    assert release("0.18.0+cpu") == "0.18.0"
    with pytest.raises(UsageProblem, match="--vllm: 'new' is not a version"):
        release("new")
