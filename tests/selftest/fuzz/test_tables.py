"""Tables of questions and answers that are damaged or hostile: read, or refused in one line and in little memory."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.made_mmmu import small, write_parquet, write_tsv
from tests.support.mutations import HOSTILE_TEXTS, changed, damaged
from tests.support.reading_limits import peak_mb, survives

from vlm_acceptance.accuracy.baseline_files import read_stored
from vlm_acceptance.accuracy.mmmu.cli_prepare import picture_variants
from vlm_acceptance.accuracy.mmmu.source_parquet import parquet_file
from vlm_acceptance.accuracy.mmmu.source_tsv import tsv_file
from vlm_acceptance.accuracy.published import Source
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import BadFile

HEAD = ["index", "id", "question", "A", "B", "answer", "category", "split", "prediction", "hit"]
TABLE = [HEAD, *([str(n), f"q{n}", "Which?", "one", "two", "A", "Art", "validation", "A", "1"] for n in range(4))]
SHEET = "xl/worksheets/sheet1.xml"


def workbook(rows: list[list[object]]) -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(buffer)
    return buffer.getvalue()


WORKBOOK = workbook([list(row) for row in TABLE])


def with_part(name: str, content: bytes) -> bytes:
    """The workbook with another content of one part."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return buffer.getvalue()


def read(source: Source) -> None:
    """Every question, as `prepare` reads it."""
    source.digests()
    for row in source.rows(pictures=True):
        for _, picture in row.pictures:
            try:
                picture_variants(picture, first=True)
            except BadFile as broken:
                raise EnvironmentProblem(str(broken)) from None


@given(data=st.data())
def test_a_table_of_answers_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    kind = data.draw(st.sampled_from([("csv", ","), ("tsv", "\t")]))
    path, text = folder / f"table.{kind[0]}", io.StringIO(newline="")
    rows = changed(data, TABLE)
    rows = (
        [list(map(str, row)) if isinstance(row, list) else [str(row)] for row in rows] if isinstance(rows, list) else []
    )
    csv.writer(text, delimiter=kind[1], escapechar="\\").writerows(rows)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    path.write_bytes(damaged(data, content) if data.draw(st.booleans()) else content)
    survives(lambda: read_stored(path), before_mb)


@given(data=st.data())
def test_an_xlsx_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = folder / "table.xlsx"
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, WORKBOOK))
    else:
        with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as archive:
            name = data.draw(st.sampled_from(sorted(archive.namelist())))
            path.write_bytes(with_part(name, damaged(data, archive.read(name))))
    survives(lambda: read_stored(path), before_mb)


@given(data=st.data())
def test_published_tsv_is_read_or_refused_in_one_line(
    data: st.DataObject, tsv: bytes, folder: Path, before_mb: float
) -> None:
    path = folder / "fuzzed.tsv"
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, tsv))
    else:
        cells = tsv.decode().split("\t")
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(HOSTILE_TEXTS))
        path.write_bytes("\t".join(cells).encode("utf-8", "surrogatepass"))
    survives(lambda: read(tsv_file(path)), before_mb)


@given(data=st.data())
def test_published_parquet_is_read_or_refused_in_one_line(
    data: st.DataObject, parquet: bytes, folder: Path, before_mb: float
) -> None:
    path = folder / "fuzzed.parquet"
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, parquet))
    else:
        rows = small("Art", each=2)
        row, name = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(sorted(rows[0])))
        row[name] = data.draw(st.sampled_from([text for text in HOSTILE_TEXTS if text.isprintable()]))
        if name.startswith("image_"):
            row[name] = {"bytes": damaged(data, small("Art")[0]["image_1"]["bytes"]), "path": None}
        write_parquet(rows, path)
    survives(lambda: read(parquet_file(path)), before_mb)


@pytest.fixture
def tsv(tmp_path: Path) -> bytes:
    return write_tsv(small("Art"), tmp_path / "good.tsv").read_bytes()


@pytest.fixture
def parquet(tmp_path: Path) -> bytes:
    return write_parquet(small("Art"), tmp_path / "good.parquet").read_bytes()


def sheet(rows: str) -> bytes:
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return with_part(SHEET, f'<worksheet xmlns="{name}"><sheetData>{rows}</sheetData></worksheet>'.encode())


CELL = '<c t="inlineStr"><is><t>x</t></is></c>'
HOSTILE = {
    "millions of cells": lambda: sheet(f"<row>{CELL * 90}</row>" * 20_000),
    "one row of cells": lambda: sheet(f"<row>{'<c/>' * 2_000_000}</row>"),
    "a row of the last number": lambda: sheet('<row r="999999999"><c/></row>'),
    "a cell of the last column": lambda: sheet('<row r="1"><c r="XFD1"/></row>' * 2),
    "many rows": lambda: sheet("<row/>" * 900_000),
    "deep": lambda: sheet("<row>" * 200_000),
    "one long text": lambda: sheet(f'<row><c t="inlineStr"><is><t>{"x" * 120_000_000}</t></is></c></row>'),
    "many texts in one": lambda: sheet(f'<row><c t="inlineStr"><is>{"<r><t>x</t></r>" * 500_000}</is></c></row>'),
    "many styles": lambda: with_part(
        "xl/styles.xml",
        b'<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs>'
        + b"<xf/>" * 500_000
        + b"</cellXfs></styleSheet>",
    ),
    "entities": lambda: with_part(
        SHEET, b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><worksheet>&c;</worksheet>'
    ),
}


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE)
def test_a_small_xlsx_of_many_cells_is_refused_in_little_memory(made: Callable[[], bytes], folder: Path) -> None:
    path = folder / "bomb.xlsx"
    path.write_bytes(made())
    assert path.stat().st_size < 4_000_000
    before_mb = peak_mb()
    with pytest.raises(UsageProblem):
        read_stored(path)
    survives(lambda: read_stored(path), before_mb)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_without_an_end_of_its_cell_is_refused(ending: str, folder: Path, before_mb: float) -> None:
    path = folder / f"open.{ending}"
    path.write_bytes(b'"' + b"x" * 40_000_000)
    with pytest.raises(UsageProblem):
        read_stored(path)


@pytest.mark.parametrize("more", ["\ufeff", "é", "=", "\0", "[", "'"])
def test_a_picture_of_other_characters_than_base64_is_refused(more: str, tsv: bytes, folder: Path) -> None:
    (folder / "found.tsv").write_bytes(tsv.replace(b"iVBOR", f"iVB{more}OR".encode(), 1))
    with pytest.raises(EnvironmentProblem):
        read(tsv_file(folder / "found.tsv"))
