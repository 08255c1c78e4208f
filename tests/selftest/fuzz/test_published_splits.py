"""Published data of short answers that are damaged or hostile: read, or refused in one line and in little memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.made_splits import (
    annotations_of,
    noise_png,
    question,
    write_lines,
    write_parquet_split,
    write_table,
)
from tests.support.mutations import HOSTILE_TEXTS, changed, damaged
from tests.support.reading_limits import peak_mb, survives

from vlm_acceptance.accuracy.docvqa.splits import VAL
from vlm_acceptance.accuracy.published import Source
from vlm_acceptance.accuracy.split_preparation import OpaqueCopies
from vlm_acceptance.accuracy.split_sources import lines_in, parquet_in, table_at
from vlm_acceptance.core.errors import EnvironmentProblem

ROWS = [question(number, "form", page=f"page {number % 2}") for number in range(4)]


def read(source: Source | None) -> None:
    """Every question, as `prepare` reads it."""
    assert source is not None
    source.digests()
    copies = OpaqueCopies(1_000_000)
    for row in source.rows(pictures=True):
        copies(row)


@given(data=st.data())
def test_a_table_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    path = write_table(VAL, ROWS, folder)
    content = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, content))
    else:
        cells = content.decode().split("\t")
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(st.sampled_from(HOSTILE_TEXTS))
        path.write_bytes("\t".join(cells).encode("utf-8", "surrogatepass"))
    survives(lambda: read(table_at(VAL, path)), before_mb)


@given(data=st.data())
def test_json_lines_are_read_or_refused_in_one_line(
    data: st.DataObject, lines: Path, folder: Path, before_mb: float
) -> None:
    path = lines / "val.jsonl"
    good = [json.loads(line) for line in path.with_suffix(".good").read_text().splitlines()]
    rows = changed(data, good)
    text = "\n".join(json.dumps(row) for row in rows) if isinstance(rows, list) else json.dumps(rows)
    content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(damaged(data, content) if data.draw(st.booleans()) else content)
    survives(lambda: read(lines_in(VAL, lines)), before_mb)


@given(data=st.data())
def test_annotations_are_read_or_refused_in_one_line(data: st.DataObject, lines: Path, before_mb: float) -> None:
    content = json.dumps(changed(data, annotations_of(VAL, ROWS))).encode("utf-8", "surrogatepass")
    (lines / "val" / "val_v1.0.json").write_bytes(damaged(data, content) if data.draw(st.booleans()) else content)
    survives(lambda: read(lines_in(VAL, lines)), before_mb)


@given(data=st.data())
def test_parquet_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path, before_mb: float) -> None:
    rows = [dict(row) for row in ROWS]
    row, name = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(["id", "question", "group", "picture"]))
    row[name] = data.draw(st.sampled_from([text for text in HOSTILE_TEXTS if text.isprintable()]))
    if name == "picture":
        row[name] = damaged(data, noise_png("x"))
    write_parquet_split(VAL, rows, folder)
    path = next(folder.rglob("*.parquet"))
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, path.read_bytes()))
    survives(lambda: read(parquet_in(VAL, folder)), before_mb)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    folder = write_lines(VAL, ROWS, tmp_path / "lines")
    (folder / "val.good").write_text((folder / "val.jsonl").read_text())
    return folder


def test_a_line_without_an_end_is_refused_in_little_memory(folder: Path) -> None:
    path = folder / "t.tsv"
    with path.open("wb") as file:
        file.write(b"index\timage\tquestion\tanswer\n0\t")
        for _ in range(400):
            file.write(b"A" * (1 << 20))
    before_mb = peak_mb()
    with pytest.raises(EnvironmentProblem, match="it has a line of more than"):
        list(table_at(VAL, path).rows(pictures=True))
    survives(lambda: read(table_at(VAL, path)), before_mb)


def test_a_quoted_field_without_an_end_is_refused_in_little_memory(folder: Path) -> None:
    path = folder / "t.tsv"
    path.write_bytes(b'index\timage\tquestion\tanswer\n0\t"' + (b"A" * 1000 + b"\n") * 100_000)
    before_mb = peak_mb()
    with pytest.raises(EnvironmentProblem, match=r"field larger than field limit"):
        list(table_at(VAL, path).rows(pictures=True))
    survives(lambda: read(table_at(VAL, path)), before_mb)
