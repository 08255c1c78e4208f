"""README.zh.md is a whole translation of README.md: same order, same code, same links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.runs import ROOT

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [a-z]{2,}")
EACH_OTHER = {"README.md", "README.zh.md"}


def prose(text: str) -> str:
    return BLOCK.sub("", text)


@pytest.fixture(scope="module")
def both() -> tuple[str, str]:
    """The English and the Chinese text."""
    return (ROOT / "README.md").read_text("utf-8"), (ROOT / "README.zh.md").read_text("utf-8")


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(BLOCK.findall, id="code blocks"),
        pytest.param(lambda text: re.findall(r"^(#+) ", prose(text), re.MULTILINE), id="headings"),
        pytest.param(lambda text: [row.count("|") for row in prose(text).splitlines() if row[:1] == "|"], id="tables"),
        pytest.param(lambda text: sorted(set(re.findall(r"\]\(([^)]*)\)", text)) - EACH_OTHER), id="links"),
        pytest.param(lambda text: sorted(set(re.findall(r"`([^`\n]+)`", prose(text)))), id="inline code"),
        pytest.param(lambda text: len(re.findall(r"^- ", prose(text), re.MULTILINE)), id="list items"),
    ],
)
def test_both_have_the_same(both, part):
    english, chinese = map(part, both)
    assert english
    assert chinese == english


def test_each_names_the_other(both):
    assert "](README.zh.md)" in both[0]
    assert "](README.md)" in both[1]


def test_no_paragraph_is_left_in_english(both):
    for paragraph in prose(both[1]).split("\n\n")[1:]:
        bare = re.sub(r"`[^`]*`|\([^)]*\)", "", paragraph)
        assert not ENGLISH.search(bare), paragraph
        assert CHINESE.search(bare) or not re.search(r"[a-z]{4}", bare.replace("[English]", "")), paragraph
    assert Path(ROOT / "README.zh.md").stat().st_size > 5000
