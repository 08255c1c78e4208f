"""A chat template is rendered to find what it puts around messages; one that does more is not described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlm_acceptance.config.client_sections import Template
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.run.prompt_template import start_of, turns_of

LOOP = "{%% for m in messages %%}%s{%% endfor %%}{%% if add_generation_prompt %%}%s{%% endif %%}"
CHATML = LOOP % ("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n", "<|im_start|>assistant\n")
DEFAULT_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}" + CHATML


def folder(tmp_path: Path, template: str) -> Path:
    config = {"chat_template": template, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


def test_the_turns_of_the_control_are_those_of_its_profile() -> None:
    found = turns_of(PROFILES.parent / "control" / "model")
    assert found == Template(
        start="<s>", turn="<|im_start|>{role}\n{content}<|im_end|>\n", answer="<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "template",
    [
        CHATML,
        "{{ bos_token }}" + CHATML,
        LOOP % ("### {{ m.role }}: {{ m.content }}\n", "### assistant:"),
        LOOP % ("[{{ m.role }}]{{ m.content }}", "[assistant]"),
    ],
)
def test_texts_around_each_message_are_found(template: str, tmp_path: Path) -> None:
    found = turns_of(folder(tmp_path, template))
    assert found is not None
    messages = [{"role": "user", "content": "other {content}"}, {"role": "assistant", "content": "and more"}]
    start = start_of(tmp_path)
    assert start is not None
    assert found.rendered(messages).startswith(start + "other {content}")


def test_a_template_with_a_default_system_message_has_only_a_start(tmp_path: Path) -> None:
    assert turns_of(folder(tmp_path, DEFAULT_SYSTEM)) is None
    assert start_of(tmp_path) == "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\n"


@pytest.mark.parametrize(
    "template",
    [
        LOOP % ("{{ m.content | upper }}", ""),
        LOOP % ("{{ m.role }}{{ m.content }}{{ m.content }}", ""),
        "{{ raise_exception('no') }}",
        "{% for",
        "the same for everyone",
    ],
)
def test_a_template_that_changes_messages_or_fails_tells_nothing(template: str, tmp_path: Path) -> None:
    assert (start_of(folder(tmp_path, template)), turns_of(tmp_path)) == (None, None)


def test_a_folder_without_a_template_tells_nothing(tmp_path: Path) -> None:
    assert (start_of(tmp_path), turns_of(tmp_path)) == (None, None)
