"""YAML files read against a model: one line names the file, the key, its value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from vlm_acceptance.config.yaml_file import Section, read_yaml
from vlm_acceptance.core.errors import UsageProblem


class Inner(Section):
    """Below a row."""

    kind: Literal["png", "jpeg"] = "png"


class Row(Section):
    """One row."""

    id: str
    size: int = 1
    picture: Inner | None = None
    more: dict[str, Inner] | None = None


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.yaml"
    path.write_text(text, "utf-8")
    return path


def test_rows_become_models(tmp_path: Path) -> None:
    rows = read_yaml(written(tmp_path, "- {id: a}\n- {id: b, size: 2, picture: {kind: jpeg}}\n"), list[Row])
    assert rows == [Row(id="a"), Row(id="b", size=2, picture=Inner(kind="jpeg"))]


@pytest.mark.parametrize(
    ("shape", "text", "words"),
    [
        (list[Row], "- {id: a, siez: 2}", ["unknown key '0.siez' (value 2)", "id, size, picture, more", "mean 'size'"]),
        (list[Row], "- {id: a}\n- {id: b, size: x}", ["1.size: 'x' is not valid: input should be a valid integer"]),
        (list[Row], "- {size: 2}", ["the key '0.id' is missing"]),
        (list[Row], "- {id: a, picture: {kind: jpg}}", ["0.picture.kind: 'jpg'", "mean 'jpeg'"]),
        (list[Row], "- {id: a, picture: {knd: png}}", ["unknown key '0.picture.knd'", "allowed: kind.", "mean 'kind'"]),
        (list[Row], "- {id: a, more: {any: {knd: 1}}}", ["unknown key '0.more.any.knd'"]),
        (list[Row], "- {id: 1, size: x}", ["0.id: 1", "(1 more)"]),
        (list[Row], "id: a", ["rows.yaml: {'id': 'a'} is not valid: input should be a valid list"]),
        (Row, "id: a\nsurplus: 1", ["unknown key 'surplus'"]),
        (Row, "id: a\nid: b", ["cannot be read as YAML", "the key 'id' is given twice"]),
        (Row, "id: [", ["cannot be read as YAML"]),
        (Row, f"id: {['long'] * 100}", ["id: ['long',", "characters)"]),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, shape: Any, text: str, words: list[str]) -> None:
    with pytest.raises(UsageProblem) as raised:
        read_yaml(written(tmp_path, text), shape)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'rows.yaml'}: ")
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_file_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"none\.yaml cannot be read: "):
        read_yaml(tmp_path / "none.yaml", Row)
