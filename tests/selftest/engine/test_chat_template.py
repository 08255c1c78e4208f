"""The template of a served folder, wherever it stands; a broken one is not known."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from vlm_acceptance.config.client_sections import Template
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine import chat_template

MESSAGES = [{"role": "system", "content": "Be {role}."}, {"role": "user", "content": "hello"}]
TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
WANTED = "<s>[system]Be {role}.[user]hello"


def folder(path: Path, config: object, **files: str) -> Path:
    (path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    for name, text in files.items():
        (path / name.replace("_json", ".json").replace("_jinja", ".jinja")).write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"bos_token": "<s>", "chat_template": TEMPLATE}, {}),
        ({"bos_token": {"content": "<s>"}, "chat_template": [{"name": "default", "template": TEMPLATE}]}, {}),
        ({"bos_token": "<s>"}, {"chat_template_jinja": TEMPLATE}),
        (
            {"bos_token": "<s>", "chat_template": "other"},
            {"chat_template_json": json.dumps({"chat_template": TEMPLATE})},
        ),
    ],
)
def test_a_template_is_found(tmp_path, config, files):
    assert chat_template.rendered(folder(tmp_path, config, **files), MESSAGES) == WANTED


@pytest.mark.parametrize(
    "template",
    [
        None,
        7,
        "{% for",
        "{{ raise_exception('no') }}",
        "{{ messages.nothing.more }}",
        "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_broken_template_is_not_known(tmp_path, template):
    seen = chat_template.rendered(folder(tmp_path, {"chat_template": template}), MESSAGES)
    assert seen is None


def test_no_folder_has_no_template(tmp_path):
    assert chat_template.rendered(tmp_path / "none", MESSAGES) is None


@pytest.mark.parametrize("name", ["control-cpu", "control-spm"])
def test_the_controls_state_the_template_that_they_have(name):
    model = load_profile(name, PROFILES).profile.model
    assert model.template is not None
    assert chat_template.rendered(ROOT / str(model.path), MESSAGES) == model.template.rendered(MESSAGES)


def test_a_content_that_looks_like_a_field_stays():
    stated = Template(start="<s>", turn="[{role}]{content}")
    assert stated.rendered([{"role": "user", "content": "{role}{content}"}]) == "<s>[user]{role}{content}"


@pytest.mark.parametrize("folder", ["control", "control_spm"])
def test_the_controls_have_the_template_of_their_recipe(folder: str) -> None:
    recipe = ast.parse((ROOT / "fixtures" / "control" / "recipe" / "vocabulary.py").read_text("utf-8"))
    given = {
        ast.unparse(node.targets[0]): node.value
        for node in recipe.body
        if isinstance(node, ast.Assign) and len(node.targets) == 1
    }
    settings = json.loads((ROOT / "fixtures" / folder / "model" / "tokenizer_config.json").read_text("utf-8"))
    assert settings["chat_template"] == ast.literal_eval(given["TEMPLATE"])
