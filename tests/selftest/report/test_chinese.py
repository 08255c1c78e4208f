"""In Chinese no English sentence is left, but for names, ids and answers."""

from __future__ import annotations

import gettext
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.chinese import english, english_in_page
from tests.support.runs import ROOT

from vlm_acceptance.core.language import CATALOGUES, DOMAIN, FOLDERS, set_language, tr
from vlm_acceptance.core.sentences import split_holes
from vlm_acceptance.report import html, verdict_text

DATA = ROOT / "tests" / "selftest" / "data"
RUNS = ("run_rejected", "run_accepted")  # parts of real runs: the control without its eyes, and as it is
SENTENCES = (DATA / "sentences.txt").read_text("utf-8").splitlines()


@pytest.fixture(autouse=True)
def zh() -> Iterator[None]:
    set_language("zh")
    yield
    set_language("en")


def test_english_is_found_but_not_in_names_ids_and_answers():
    assert english("说明：this is left over") == ["this is left over"]
    assert not english("'an answer of a model' 答错 --vlm-lang zh test_it[a-b] engine.args of 3 `pip install x`")
    assert list(english_in_page('<p title="of the page">文本 <code>one two three</code> one two three</p>')) == [
        ("p title", "of the page"),
        ("p", "one two three"),
    ]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_of_a_stored_run_is_shown_in_chinese(sentence):
    """Sentences of real runs: the control, the same blind, other weights, accepted and rejected."""
    assert not english(tr(sentence))


def test_every_message_with_values_in_its_holes_is_shown_in_chinese():
    with (CATALOGUES / FOLDERS["zh"] / "LC_MESSAGES" / f"{DOMAIN}.mo").open("rb") as file:
        messages = {key: value for key, value in vars(gettext.GNUTranslations(file))["_catalog"].items() if key}
    left = []
    for msgid, translation in messages.items():
        if msgid != translation and "%(" not in msgid and not english(translation):
            pieces, names = split_holes(msgid)
            values = [f"'v{place}'" if place % 2 else str(place + 3) for place in range(len(names))]
            text = "".join(part for pair in zip(pieces, [*values, ""], strict=True) for part in pair)
            left += [text] if english(tr(text)) else []
    assert left == []


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("shown", [verdict_text.lines, verdict_text.terminal_lines])
def test_the_verdict_is_shown_in_chinese(run: str, shown: Callable[[dict[str, Any]], list[str]]):
    summary = json.loads((DATA / run / "summary.json").read_text("utf-8"))
    lines = [tr(line) for line in shown(summary)]
    assert not [line for line in lines if english(line)]
    assert any("说明：" in line for line in lines)
    assert lines[0].startswith("验收")


@pytest.mark.parametrize("run", RUNS)
def test_the_page_is_shown_in_chinese(run: str):
    page = html.render(DATA / run)
    assert '<html lang="zh' in page
    assert "<h1>验收" in page
    assert sorted(set(english_in_page(page))) == []


@pytest.mark.parametrize("command", [["plan", "--profile", "control-cpu"], ["doctor"]], ids=["plan", "doctor"])
def test_the_command_speaks_chinese(command: list[str], tmp_path: Path):
    words = [sys.executable, "-m", "vlm_acceptance", *command, "--lang=zh", f"--vlm-reports={tmp_path}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=env, timeout=120, check=False)
    shown = re.split(r"={10,} vlm-acceptance ={10,}", done.stdout)[-1]
    lines = [line for line in shown.splitlines() if not re.fullmatch(r"=+ .* =+", line)]  # pytest's own
    assert len(lines) > 5, done.stderr
    assert not [line for line in lines if english(line)]
    assert all(re.search(r"[\u4e00-\u9fff]", line) for line in lines if "：" in line)
