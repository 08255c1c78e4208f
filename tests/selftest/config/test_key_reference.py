"""The reference of keys: it is that of the schema, and every key says what it means."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from tests.support.runs import script

from vlm_acceptance.config.model_facts import FACTS
from vlm_acceptance.config.profile import Profile


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script, as a module."""
    return script("key_reference")


def rows(text: str) -> dict[str, list[str]]:
    """Cells of each key, without its own."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {cell[0].split("`")[1]: [cell[0], *cell[1:]] for cell in cells}


def test_the_page_is_current(reference: ModuleType) -> None:
    text = reference.PAGE.read_text("utf-8")
    assert reference.page(text) == text, "run `make catalogue`"


def test_every_key_has_its_type_its_meaning_and_an_example(reference: ModuleType) -> None:
    found = rows(reference.reference())
    assert len(found) > 200
    assert [key for key, cells in found.items() if not cells[1] or not cells[3]] == []
    assert [key for key, cells in found.items() if not cells[4] and "section" not in cells[1]] == []


def test_every_key_of_the_schema_is_listed(reference: ModuleType) -> None:
    listed = set(rows(reference.reference()))
    shown = Profile.model_validate({"name": "x", "model": {"id": "m"}, "mmmu": {}}).model_dump()
    missing = [
        f"{section}.{key}"
        for section, value in shown.items()
        if isinstance(value, dict)
        for key in value
        if f"{section}.{key}" not in listed
    ]
    assert missing == []


def test_facts_of_a_model_are_marked(reference: ModuleType) -> None:
    found = rows(reference.reference())
    marked = {key for key, cells in found.items() if cells[0].endswith("°")}
    assert {fact for fact in FACTS if fact in found} <= marked
    assert "guide[].tokens" in marked
    assert not {"model.id", "engine.args", "latency.repeats"} & marked


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("engine.port", "whole number, from 0 to 65,535", "`8000`"),
        ("load.slower", "number, above 1", "`10`"),
        ("model.max_pictures", "whole number, from 1", ""),
        ("mmmu.early_stop_alpha", "number, above 0, below 0.5", "`0.01`"),
        ("logprobs.common_top", "share", "`0.8`"),
        ("deadlines.cold_s", "seconds", "`600`"),
        ("api.routes", "list: `completions` or `responses` or `tokenize` or `models`", None),
        ("latency.categories", "mapping: text to section", "`{}`"),
        ("model.id", "text", "required"),
        ("ladder.concurrency", "list: whole number, from 1 to 64", "`[1, 4, 16, 64]`"),
    ],
)
def test_types_and_defaults_are_those_of_the_schema(
    reference: ModuleType, key: str, kind: str, default: str | None
) -> None:
    cells = rows(reference.reference())[key]
    assert cells[1] == kind
    assert default in (None, cells[2])


def examples(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, field in model.model_fields.items():
        if field.examples:
            found[f"{prefix}{name}"] = field.examples[0]
        if isinstance(field.default, BaseModel):
            found |= examples(type(field.default), f"{prefix}{name}.")
    return found


def test_examples_are_valid_values() -> None:
    for key, value in examples(Profile).items():
        data: dict[str, Any] = {"name": "x", "model": {"id": "m"}}
        section = data
        *above, last = key.split(".")
        for part in above:
            section = section.setdefault(part, {})
        section[last] = yaml.safe_load(yaml.safe_dump(value))
        Profile.model_validate(data)
