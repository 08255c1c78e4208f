"""Right answers in every published layout: lists of texts, none blank, each kept as it is, or refused in one line."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.made_splits import Values, question, write_lines, write_parquet_split, write_table

from vlm_acceptance.accuracy.chartqa.splits import HUMAN
from vlm_acceptance.accuracy.chartqa.splits import TEST as CHARTQA
from vlm_acceptance.accuracy.docvqa.splits import VAL as DOCVQA
from vlm_acceptance.accuracy.ocrbench.splits import TEST as OCRBENCH
from vlm_acceptance.accuracy.published import PublishedRow, Source
from vlm_acceptance.accuracy.published_split import Split
from vlm_acceptance.accuracy.split_sources import lines_in, parquet_in, table_at
from vlm_acceptance.accuracy.textvqa.splits import VAL as TEXTVQA
from vlm_acceptance.core.errors import EnvironmentProblem

pytest.importorskip("pyarrow")
TEN = ["a", "", " A", "b", "a", "a", "a", "a", "a", 'it\'s "so"']
PAGE = question(1, "form", page="p")
CHART = question(1, HUMAN, ["14"])
TEXTS = question(1, golds=TEN, page="p")


def read(source: Source | None) -> list[PublishedRow]:
    assert source is not None
    return list(source.rows(pictures=True))


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("['24/7', '3.429 ']", ("24/7", "3.429 ")),
        ('["it\'s"]', ("it's",)),
        (" [ 'a' , '', ]", ("a", "")),
        (r"""['\\frac', 'a\'b', "\u00e9"]""", (r"\frac", "a'b", "é")),
    ],
)
def test_a_table_has_the_literal_of_a_list(tmp_path: Path, answer: str, gold: tuple[str, ...]) -> None:
    table = write_table(DOCVQA, [{**PAGE, "answer": answer}], tmp_path)
    assert read(table_at(DOCVQA, table))[0].gold == gold


@pytest.mark.parametrize(
    "answer",
    [
        "['CENTRE', 'CEN", '["a", null]', "()", "('a','b')", "['a' 'b']", "['a' + 'b']", "['a'] * 2", "[2013, 2014]",
        "12", "a", "'quoted'", '["""a"""]', "[b'a']", "['a', ['b']]", "[,]", r"['\x1']", "['a\nb']",
        f"[0x{'f' * 8000}]",
        "[]", f"[{'9' * 5000}]", "[" * 5000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("split", [DOCVQA, OCRBENCH], ids=["docvqa", "ocrbench"])
def test_answers_of_a_table_that_are_no_list_of_texts_are_refused(tmp_path: Path, split: Split, answer: str) -> None:
    group = "Handwriting Recognition" if split is OCRBENCH else ""
    table = write_table(split, [{**question(1, group), "answer": answer}], tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"its right answers are .*, expected a .*list of texts") as refused:
        read(table_at(split, table))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("answer", ["[2013, 2014]", "['Yes', 'No']", "[a"])
def test_an_answer_of_a_chart_is_one_text_as_it_is(tmp_path: Path, answer: str) -> None:
    table = write_table(CHARTQA, [{**CHART, "answer": answer}], tmp_path / "a")
    assert read(table_at(CHARTQA, table))[0].gold == (answer,)


@pytest.mark.parametrize("golds", [[""], [" ", "\t"]])
@pytest.mark.parametrize("split", [DOCVQA, OCRBENCH], ids=["docvqa", "ocrbench"])
def test_blank_answers_are_refused_in_every_layout(tmp_path: Path, split: Split, golds: list[str]) -> None:
    rows = [question(1, "svt", golds)]
    parquet = write_parquet_split(split, rows, tmp_path / "hub")
    for source in (parquet_in(split, parquet), table_at(split, write_table(split, rows, tmp_path))):
        with pytest.raises(EnvironmentProblem, match="a right answer of .* is blank"):
            read(source)
    if split.lines is not None:
        with pytest.raises(EnvironmentProblem, match="a right answer of .* is blank"):
            read(lines_in(split, write_lines(split, rows, tmp_path / "lines")))


def test_a_blank_answer_beside_others_is_refused_where_every_answer_would_contain_it(tmp_path: Path) -> None:
    rows = [question(1, "svt", ["CENTRE", " "])]
    with pytest.raises(EnvironmentProblem, match=r"a right answer of \['CENTRE', ' '\] is blank"):
        read(table_at(OCRBENCH, write_table(OCRBENCH, rows, tmp_path)))


@pytest.mark.parametrize("golds", [TEN[:9], [*TEN, "eleventh"]])
def test_a_question_of_textvqa_has_ten_answers_exactly(tmp_path: Path, golds: list[str]) -> None:
    rows = [{**TEXTS, "golds": golds}]
    with pytest.raises(EnvironmentProblem, match=f"60001: it has {len(golds)} right answers, expected 10"):
        read(parquet_in(TEXTVQA, write_parquet_split(TEXTVQA, rows, tmp_path)))


@pytest.mark.parametrize("values", [{"question": "x\ud800?"}, {"golds": ["a", "\udc00"]}])
def test_half_a_character_is_refused(tmp_path: Path, values: Values) -> None:
    lines = write_lines(DOCVQA, [{**PAGE, **values}], tmp_path)
    with pytest.raises(EnvironmentProblem, match="60001: its question or a right answer holds a character that is not"):
        read(lines_in(DOCVQA, lines))
    with pytest.raises(EnvironmentProblem, match="holds a character that is not valid Unicode"):
        read(table_at(DOCVQA, write_table(DOCVQA, [{**PAGE, "answer": r"['\ud800']"}], tmp_path)))


def test_right_answers_of_a_million_characters_are_refused(tmp_path: Path) -> None:
    rows = [{**PAGE, "golds": ["x" * 60_000] * 20}]
    with pytest.raises(EnvironmentProblem, match="60001: its right answers have more than 65536 characters"):
        read(parquet_in(DOCVQA, write_parquet_split(DOCVQA, rows, tmp_path)))


def test_blanks_without_an_end_are_refused_at_once(tmp_path: Path) -> None:
    rows = [{**PAGE, "answer": f"['a'{' ' * 60_000}x]"}]
    start = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="expected a list of texts"):
        read(table_at(DOCVQA, write_table(DOCVQA, rows, tmp_path)))
    assert time.monotonic() - start < 5


def test_one_text_is_not_ten_answers(tmp_path: Path) -> None:
    lines = write_lines(TEXTVQA, [TEXTS], tmp_path)
    assert TEXTVQA.lines is not None
    single = replace(TEXTVQA, lines=replace(TEXTVQA.lines, annotations=()))
    with pytest.raises(EnvironmentProblem, match="60001: it has 1 right answers, expected 10"):
        read(lines_in(single, lines))
