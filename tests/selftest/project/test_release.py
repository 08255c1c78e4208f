"""What a release says of itself: its bill of materials, its licences, and how to report a weakness."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
LICENCES = ROOT / "docs" / "licences.md"
MADE_WITH = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
}
MADE_WITH |= {"os_name": "posix", "implementation_name": "cpython", "platform_python_implementation": "CPython"}


@pytest.fixture(scope="module")
def bill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bill", ROOT / "scripts" / "bill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("licences", "shown"),
    [
        ([], "not named"),
        ([{"license": {"id": "MIT"}}, {"license": {"name": "License :: OSI Approved"}}], "MIT"),
        ([{"expression": "MIT OR Apache-2.0"}, {"license": {"id": "MIT"}}], "MIT OR Apache-2.0"),
        ([{"license": {"name": "BSD\n3-Clause"}}], "BSD 3-Clause"),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "BSD-3-Clause"}}], "MIT and BSD-3-Clause"),
    ],
)
def test_a_licence_is_named_by_its_spdx_expression_where_there_is_one(
    bill: ModuleType, licences: list[object], shown: str
) -> None:
    assert bill.licence_of({"licenses": licences}) == shown


def test_the_bill_gets_version_and_hash_of_the_wheel_and_makes_the_page(bill: ModuleType, tmp_path: Path) -> None:
    wheel, made, page = (tmp_path / name for name in ("x-1.2-py3-none-any.whl", "x.cdx.json", "licences.md"))
    wheel.write_bytes(b"wheel")
    parts = [
        {"name": "zlib", "version": "1", "licenses": [{"license": {"id": "Zlib"}}]},
        {"name": "Abc", "version": "2"},
    ]
    made.write_text(json.dumps({"metadata": {"component": {"name": "x"}}, "components": parts}), "utf-8")
    bill.main(made, wheel, page)
    itself = json.loads(made.read_text("utf-8"))["metadata"]["component"]
    (found,) = itself["hashes"]
    assert itself["version"] == "1.2"
    assert found == {"alg": "SHA-256", "content": hashlib.sha256(b"wheel").hexdigest()}
    assert page.read_text("utf-8").endswith("| Abc | 2 | not named |\n| zlib | 1 | Zlib |\n")


def test_the_page_of_licences_has_the_pinned_versions_and_no_others() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", LICENCES.read_text("utf-8"), re.MULTILINE)
    listed = {(name.lower().replace("_", "-"), version) for name, version, _ in rows if version[0].isdigit()}
    lines = (ROOT / "constraints" / "runtime.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line.removesuffix(" \\")) for line in lines if "==" in line]
    needed = [one for one in pins if one.marker is None or one.marker.evaluate(MADE_WITH)]
    assert listed == {(one.name.lower(), str(one.specifier)[2:]) for one in needed}, "run make release"
    assert all(licence != "not named" for name, version, licence in rows)


def test_the_note_on_security_says_how_to_report_and_names_no_address() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "private vulnerability report" in text
    assert not re.search(r"\S@\S|https?://", text)
