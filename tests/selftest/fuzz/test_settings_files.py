"""Profiles and other YAML files that are not valid: the profile, or one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.mutations import damaged, json_text
from tests.support.reading_limits import survives

from vlm_acceptance.cases.edge_inputs import load_inputs
from vlm_acceptance.cases.known_issues import load_known_issues
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile, shown
from vlm_acceptance.core.errors import UsageProblem

NAMES = ("control-cpu", "internvl2-2b-ascend")
TEXTS = {name: (PROFILES / f"{name}.yaml").read_bytes() for name in NAMES}
VALUES: dict[str, Any] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
ISSUES = (ROOT / "fixtures" / "known_issues.yaml").read_bytes()
EDGES = (ROOT / "fixtures" / "edge_inputs.yaml").read_bytes()
# pieces of YAML that have a meaning of their own
PIECES = (
    b"&a ", b"*a", b"<<: *a\n", b"!!python/object:os.system ", b"!!binary ", b"!!timestamp x", b"!!map ", b"? ", b"- ",
    b"2024-13-45", b"1:2:3", b"0x" + b"f" * 5000, b"9" * 5000, b".inf", b"[" * 300, b"{a: " * 300, b"\0", b"\t",
    b"---\n", b"%YAML 9.9\n", b"|\n", b"\xff\xfe", b"!!set {a}", b"? [a]\n: b\n", b"&a [*a]",
)  # fmt: skip


def read(path: Path) -> None:
    loaded = load_profile(str(path), PROFILES)
    loaded.profile.check(launched=True)
    shown(loaded)


@given(data=st.data())
def test_a_profile_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    name = data.draw(st.sampled_from(NAMES))
    path = folder / "fuzzed.yaml"
    path.write_bytes(_written(data, TEXTS[name], VALUES[name]))
    survives(lambda: read(path), before_mb)


@given(data=st.data())
def test_known_issues_are_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "issues.yaml"
    path.write_bytes(_written(data, ISSUES, yaml.safe_load(ISSUES)[:2]))
    survives(lambda: load_known_issues(path), before_mb)


@given(data=st.data())
def test_edge_inputs_are_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "edges.yaml"
    path.write_bytes(_written(data, EDGES, yaml.safe_load(EDGES)[:3]))
    survives(lambda: load_inputs(path), before_mb)


def _written(data: st.DataObject, text: bytes, value: Any) -> bytes:
    how = data.draw(st.sampled_from(["values", "bytes", "pieces"]))
    if how == "values":
        return json_text(data, value)  # JSON is YAML
    if how == "bytes":
        return damaged(data, text)
    place = data.draw(st.integers(0, len(text)))
    return text[:place] + data.draw(st.sampled_from(PIECES)) + text[place:]


FOUND = {
    "a date that is none": "a: 2024-13-45",
    "a number of 5,000 digits": f"a: {'9' * 5000}",
    "hexadecimal digits": f"a: 0x{'f' * 5000}",
    "base sixty": f"a: {':'.join(['59'] * 3000)}",
    "deep lists": "[" * 60_000,
    "deep mappings": "\n".join(f"{' ' * level}a:" for level in range(300)),
    "a map of anchors": "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
    "30,000 keys": "\n".join(f"k{n}: 1" for n in range(30_000)),
    "5,000 short keys": "\n".join(f"{n}:" for n in range(5000)),
    "a value that holds itself": "a: &a [*a]",
    "a mapping that holds itself": "a: &a {b: *a}",
    "a merge": "a: &a {b: 1}\nc: {<<: *a}",
    "NUL": "a: \0",
    "UTF-16": "name: x".encode("utf-16"),
    "bytes": b"\x80\x81",
    "a list as key": "? [a]\n: 1",
    "not a number": "name: x\nmodel: {id: x}\nlatency: {default: {ttft_s: .nan}}",
    "for ever": "name: x\nmodel: {id: x}\ndeadlines: {request_s: .inf}",
    "a name for folders": f"name: {'x' * 300}\nmodel: {{id: x}}",
    "a name that names a terminal": 'name: x\nmodel: {id: x}\nengine: {env: {"\\e[2J\\n": [1]}}',
    "tiles without end": "name: x\nmodel: {id: x, pictures: {max_tiles: 1000000}}",
    "a pattern that is none": "name: x\nmodel: {id: x}\ndevice: {name: '('}",
    "a folder of nobody": "name: x\nmodel: {id: x}\nlogprobs: {prompts: ~nobody-here/x}",
    "a long path": f"name: x\nmodel: {{id: x}}\nlogprobs: {{prompts: {'x/' * 3000}}}",
    "a parent with a NUL": 'extends: "a\\0b"\nname: x\nmodel: {id: x}',
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_what_was_found_is_refused_in_one_line(text: str | bytes, folder: Path, before_mb: float) -> None:
    path = folder / "found.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageProblem):
        read(path)
    survives(lambda: read(path), before_mb)
