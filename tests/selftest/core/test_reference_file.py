"""The lines of a reference that are no rows: written, read again, and refused when they are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.support.reference_standin import PROMPTS, origin, recorded

from vlm_acceptance.core.change_names import PHRASES
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.logprobs import is_baseline, read_baseline, read_prompts
from vlm_acceptance.core.reference import Change, PromptDistance
from vlm_acceptance.core.reference_file import MOST_CHANGES, _OriginRow, change_line, origin_line, read_about
from vlm_acceptance.reference.prompt_form import FORMS
from vlm_acceptance.reference.routes import ARITHMETIC, ROUTES

FIRST, SECOND = (prompt.id for prompt in PROMPTS[:2])
CHANGE = Change("int4", False, {FIRST: PromptDistance(1.5, 0.25, 90, 100, 0.125, 5)})
# the second is an answer with another token at once, of whose list none is in both
FLOOR = Change(
    "bfloat16",
    True,
    {FIRST: PromptDistance(0.5, 0.25, 99, 100, 0.0, 5), SECOND: PromptDistance(0.0, 0.0, 0, 5, 0.0, 0)},
)
FAR = (0.5, 0.25, 2, 5, 0.5, 1)
POWER = {"change": "int4", "floor": False, "prompts": {FIRST: FAR}}


def reference(path: Path, *changes: Change, first: str | None = None) -> Path:
    """A reference of two prompts with these changes."""
    recorded(path, 2)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([first or lines[0], *lines[1:], *map(change_line, changes)]) + "\n", "utf-8")
    return path


def appended(path: Path, *values: object) -> Path:
    """The file with these lines behind its others."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(value)}\n" for value in values)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    about = read_about(reference(tmp_path / "r.jsonl", FLOOR, CHANGE))
    assert about.origin == origin()
    assert about.changes == (FLOOR, CHANGE)


def test_lines_of_power_are_no_rows(tmp_path: Path) -> None:
    path = reference(tmp_path / "r.jsonl", FLOOR, CHANGE)
    assert is_baseline(path)
    assert len(read_baseline(path)) == 2


def test_a_plain_baseline_says_nothing_about_itself(tmp_path: Path) -> None:
    path = reference(tmp_path / "r.jsonl")
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")
    about = read_about(path)
    assert (about.origin, about.changes) == (None, ())
    assert is_baseline(path)


def test_sums_are_rounded_to_a_millionth_of_a_nat() -> None:
    change = Change("noise", False, {"a": PromptDistance(0.12345678, 1 / 3, 2, 3, 0.1, 1)})
    assert json.loads(change_line(change))["prompts"]["a"] == [0.123457, 0.333333, 2, 3, 0.1, 1]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"reference": 2}, "version 2 of a reference; this suite reads 1"),
        ({"reference": "1"}, "reference: Input should be a valid integer"),
        ({"top": 0}, "top: Input should be greater than or equal to 1"),
        ({"files": ["config.json"]}, "files: Input should be a valid dictionary"),
        ({"arithmetic": None}, "arithmetic: Input should be 'float32', 'bfloat16' or 'float16'"),
        ({"route": "mine"}, "route: Input should be 'own' or 'transformers'"),
        ({"form": "other"}, "form: Input should be 'served' or 'published'"),
        ({"files": {}}, "files: Dictionary should have at least 1 item"),
        ({"files": {"../config.json": "a" * 64}}, "a name of a file without a folder is allowed"),
        ({"files": {"..": "a" * 64}}, "a name of a file without a folder is allowed"),
        ({"files": {"a\\b": "a" * 64}}, "a name of a file without a folder is allowed"),
        ({"files": {"config.json": "A" * 64}}, "files.config.json: String should match pattern"),
        ({"files": {"config.json": "a" * 63}}, "files.config.json: String should match pattern"),
        ({"files": {"a\x1b[2J\n": "a" * 64}}, r"files.a.x1b\[2J.n.*: Value error, control characters"),
        ({"versions": {"vllm": "1\nVERDICT: ACCEPTED"}}, "versions.vllm: Value error, control characters"),
        ({"versions": {"vllm": "1" * 201}}, "versions.vllm: String should have at most 200 characters"),
        ({"code": "\x1b"}, "code: Value error, control characters"),
        ({"change": "int4"}, "it has both keys, reference and change"),
    ],
)
def test_a_broken_first_line_is_named(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    first = json.dumps({**json.loads(origin_line(origin())), **changed})
    path = reference(tmp_path / "r.jsonl", first=first)
    for read in (read_about, read_baseline):
        with pytest.raises(UsageProblem, match=why) as refused:
            read(path)
        assert "line 1" in str(refused.value)
        assert str(refused.value).isprintable()


def test_a_name_that_a_checkpoint_gives_itself_controls_no_terminal(tmp_path: Path) -> None:
    first = json.dumps({**json.loads(origin_line(origin())), "model": "mine\n\x1b[2J" + "x" * 900})
    found = read_about(reference(tmp_path / "r.jsonl", first=first)).origin
    assert found is not None
    assert found.model.startswith(r"mine\n\x1b[2Jxxx")
    assert found.model.endswith("… (909 characters)")
    assert found.model.isprintable()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"prompts": {FIRST: [1.0, 2.0]}}, "prompts.*: Field required"),
        ({"prompts": {FIRST: ["x", 0, 0, 0, 0, 0]}}, "prompts.*: Input should be a valid number"),
        ({"prompts": {FIRST: ["1.0", *FAR[1:]]}}, "prompts.*: Input should be a valid number"),
        ({"prompts": {FIRST: [True, *FAR[1:]]}}, "prompts.*: Input should be a valid number"),
        ({"prompts": []}, "prompts: Input should be a valid dictionary"),
        ({"prompts": {}}, "prompts: Dictionary should have at least 1 item"),
        ({"prompts": {FIRST: [0.5, 0.5, 1.5, 2, 0.5, 1]}}, "prompts.*: Input should be a valid integer"),
        ({"prompts": {FIRST: [-0.5, *FAR[1:]]}}, "prompts.*: Input should be greater than or equal to 0"),
        ({"prompts": {FIRST: [0.5, 0.25, -2, 5, 0.5, 1]}}, "prompts.*: Input should be greater than or equal to 0"),
        ({"prompts": {FIRST: [1e13, *FAR[1:]]}}, "prompts.*: Input should be less than or equal to 1000000000000"),
        ({"prompts": {FIRST: [0.5, 0.25, 2, 10**15, 0.5, 1]}}, "prompts.*: Input should be less than or equal to"),
        ({"prompts": {FIRST: [0.5, 0.25, 6, 5, 0.5, 1]}}, "6 of 5 tokens in both lists; 0 to all of at least 1"),
        ({"prompts": {FIRST: [0.0, 0.0, 0, 0, 0.0, 1]}}, "0 of 0 tokens in both lists; 0 to all of at least 1"),
        ({"prompts": {FIRST: [0.5, 0.51, 2, 5, 0.5, 1]}}, "is 0.51; at most their sum, 0.5, is allowed"),
        ({"prompts": {FIRST: [0.5, 0.25, 0, 5, 0.5, 1]}}, "the sum of no distances is 0.5; 0 is allowed"),
        ({"floor": 1}, "floor: Input should be a valid boolean"),
        ({"floor": None}, "floor: Input should be a valid boolean"),
        ({"change": ""}, "change: String should match pattern"),
        ({"change": "x" * 61}, "change: String should match pattern"),
        ({"change": "int4\nVERDICT: ACCEPTED"}, "change: String should match pattern"),
        ({"change": "int4\x1b[31m"}, "change: String should match pattern"),
        ({"change": None}, "change: Input should be a valid string"),
        ({"prompts": {"a\x1b[2J\n": [1]}}, r"prompts.a.x1b\[2J.n"),
    ],
)
def test_a_broken_line_of_power_is_named(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    path = appended(reference(tmp_path / "r.jsonl"), {**POWER, **changed})
    for read in (read_about, read_baseline):
        with pytest.raises(UsageProblem, match=f"line 4 is not a valid line of a reference: .*{why}") as refused:
            read(path)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("written", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_a_sum_that_is_no_number_is_refused(tmp_path: Path, written: str) -> None:
    path = reference(tmp_path / "r.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(POWER).replace("0.25", written) + "\n")
    for read in (read_about, read_baseline):
        with pytest.raises(UsageProblem, match="line 4 is not valid JSON"):
            read(path)


def test_the_names_that_changes_have_are_allowed(tmp_path: Path) -> None:
    names = [*PHRASES, "repeat: start 2", "repeat: one-at-a-time", "noise 2.5 %"]
    path = reference(tmp_path / "r.jsonl", *(Change(name, True, CHANGE.prompts) for name in names))
    assert [change.name for change in read_about(path).changes] == names


def test_no_more_than_a_hundred_changes_are_read(tmp_path: Path) -> None:
    many = [Change(f"x{number}", False, CHANGE.prompts) for number in range(MOST_CHANGES + 1)]
    assert len(read_about(reference(tmp_path / "r.jsonl", *many[:-1])).changes) == MOST_CHANGES
    with pytest.raises(UsageProblem, match="more than 100 changes in one file"):
        read_about(reference(tmp_path / "more.jsonl", *many))


def test_the_order_of_keys_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = reference(tmp_path / "r.jsonl", FLOOR, CHANGE)
    known, rows = read_about(path), read_baseline(path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    written = {
        "sorted": "".join(f"{json.dumps(line, sort_keys=True, separators=(',', ':'))}\n" for line in lines),
        "backwards": "".join(f"{json.dumps(dict(reversed(line.items())))}\n" for line in lines),
        "marked": "\ufeff" + path.read_text("utf-8"),
        "indented": "".join(f"  {json.dumps(line)}\n\n" for line in lines),
        "escaped": path.read_text("utf-8").replace('"reference"', r'"\u0072eference"'),
    }
    for name, text in written.items():
        path.write_text(text, "utf-8")
        assert (read_about(path), read_baseline(path)) == (known, rows), name
        assert is_baseline(path), name


@pytest.mark.parametrize("key", ["reference", "change"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_row_may_have_the_keys_of_other_lines(tmp_path: Path, key: str, is_first: bool) -> None:
    path = reference(tmp_path / "r.jsonl", CHANGE)
    known, rows = read_about(path), read_baseline(path)
    first, *lines = map(json.loads, path.read_text("utf-8").splitlines())
    lines[0] = {key: "int4", **lines[0]} if is_first else {**lines[0], key: "int4"}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [first, *lines]), "utf-8")
    assert (read_about(path), read_baseline(path)) == (known, rows)
    asked = tmp_path / "prompts.jsonl"
    asked.write_text(json.dumps({"id": "a", "prompt": "Hi", "pictures": [], key: "x"}) + "\n", "utf-8")
    assert [prompt.id for prompt in read_prompts(asked)] == ["a"]
    assert not is_baseline(asked)


def test_a_change_of_a_prompt_without_row_is_refused(tmp_path: Path) -> None:
    other = Change("bf16", True, {**CHANGE.prompts, "other\n": PromptDistance(*FAR)})
    with pytest.raises(UsageProblem) as refused:
        read_about(reference(tmp_path / "r.jsonl", CHANGE, other))
    place = f"{tmp_path / 'r.jsonl'}, line 5"
    said = rf"{place}: the change 'bf16' names the prompt 'other\\n', which the file does not hold"
    assert str(refused.value) == said
    path = reference(tmp_path / "fewer.jsonl", FLOOR)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1], lines[3]]), "utf-8")
    with pytest.raises(UsageProblem, match="which the file does not hold"):
        read_about(path)


def test_a_row_with_a_number_as_its_id_has_its_changes(tmp_path: Path) -> None:
    path = reference(tmp_path / "r.jsonl")
    row = {**json.loads(path.read_text("utf-8").splitlines()[1]), "id": 7}
    change = Change("int4", False, {"7": PromptDistance(*FAR)})
    appended(path, row, json.loads(change_line(change)))
    assert read_about(path).changes == (change,)


def test_the_values_of_a_first_line_are_those_that_are_written() -> None:
    assert get_args(_OriginRow.model_fields["route"].annotation) == ROUTES
    assert get_args(_OriginRow.model_fields["arithmetic"].annotation) == ARITHMETIC
    assert get_args(_OriginRow.model_fields["form"].annotation) == FORMS


def test_a_change_or_a_first_line_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="'int4' occurs twice"):
        read_about(reference(tmp_path / "r.jsonl", CHANGE, CHANGE))
    path = reference(tmp_path / "twice.jsonl")
    with path.open("a", encoding="utf-8") as file:
        file.write(origin_line(origin()) + "\n")
    with pytest.raises(UsageProblem, match="the second first line"):
        read_about(path)
