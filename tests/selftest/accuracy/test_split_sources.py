"""Every published layout of the data sets of short answers gives the same questions; damage is refused in one line."""

from __future__ import annotations

import base64
import json
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_splits import (
    Values,
    noise_png,
    picture_of,
    question,
    write_lines,
    write_parquet_split,
    write_table,
)

from vlm_acceptance.accuracy.chartqa.splits import AUGMENTED, HUMAN
from vlm_acceptance.accuracy.chartqa.splits import TEST as CHARTQA
from vlm_acceptance.accuracy.docvqa.splits import TEST as DOCVQA_TEST
from vlm_acceptance.accuracy.docvqa.splits import VAL as DOCVQA
from vlm_acceptance.accuracy.infovqa.splits import VAL as INFOVQA
from vlm_acceptance.accuracy.ocrbench.splits import TEST as OCRBENCH
from vlm_acceptance.accuracy.published import PublishedRow, Source
from vlm_acceptance.accuracy.published_split import Split
from vlm_acceptance.accuracy.split_sources import lines_in, parquet_in, table_at, table_in
from vlm_acceptance.accuracy.textvqa.splits import VAL as TEXTVQA
from vlm_acceptance.core.errors import EnvironmentProblem

pytest.importorskip("pyarrow")
TEN = ["a", "", " A", "b", "a", "a", "a", "a", "a", 'it\'s "so"']
DOCS = [question(1, "form", page="p"), question(2, "layout", ["x"], page="q"), question(3, "form", page="p")]
CHARTS = [question(1, HUMAN, ["14"]), question(2, HUMAN, ["[2013, 2014]"]), question(3, AUGMENTED, [" Yes "])]
OCR = [question(1, "svt", ["CENTRE "]), question(2, "HME100k", ["\\frac { 1 } { 2 }", "x"])]
TEXTS = [question(1, golds=TEN, page="p"), question(2, golds=TEN[::-1], page="p")]


def read(source: Source | None) -> list[PublishedRow]:
    assert source is not None
    assert [row.pictures for row in source.rows(pictures=False)] == [()] * len(list(source.rows(pictures=False)))
    return list(source.rows(pictures=True))


def essence(rows: list[PublishedRow]) -> list[tuple[Any, ...]]:
    return [(row.question, row.gold, row.pictures) for row in rows]


def expected(rows: list[Values]) -> list[tuple[Any, ...]]:
    return [(row["question"], tuple(row["golds"]), ((1, picture_of(row)),)) for row in rows]


@pytest.mark.parametrize(
    ("split", "rows"), [(DOCVQA, DOCS), (INFOVQA, DOCS), (TEXTVQA, TEXTS)], ids=["docvqa", "infovqa", "textvqa"]
)
def test_all_three_layouts_give_the_same_questions(tmp_path: Path, split: Split, rows: list[Values]) -> None:
    by_parquet = read(parquet_in(split, write_parquet_split(split, rows, tmp_path / "hub", files=2)))
    by_table = read(table_in(split, write_table(split, rows, tmp_path / "tsv", ids="question_id").parent))
    by_lines = read(lines_in(split, write_lines(split, rows, tmp_path / "lines")))
    assert essence(by_parquet) == essence(by_table) == essence(by_lines) == expected(rows)
    for found in (by_parquet, by_table, by_lines):
        assert [row.id for row in found] == [str(row["id"]) for row in rows]
        assert {(row.kind, row.options) for row in found} == {("open", ())}


def test_charts_have_running_numbers_within_their_half_in_every_layout(tmp_path: Path) -> None:
    hub = [{**row, "group": {HUMAN: "human_test", AUGMENTED: "augmented_test"}[row["group"]]} for row in CHARTS]
    by_parquet = read(parquet_in(CHARTQA, write_parquet_split(CHARTQA, hub, tmp_path / "hub")))
    by_table = read(table_at(CHARTQA, write_table(CHARTQA, CHARTS, tmp_path)))
    by_lines = read(lines_in(CHARTQA, write_lines(CHARTQA, CHARTS, tmp_path)))
    for found in (by_parquet, by_table, by_lines):
        assert essence(found) == expected(CHARTS)
        assert [row.id for row in found] == ["human-0001", "human-0002", "augmented-0001"]
        assert [row.group for row in found] == [HUMAN, HUMAN, AUGMENTED]


def test_ocrbench_has_the_names_of_its_data_sets_or_where_there_are_none_the_categories(tmp_path: Path) -> None:
    by_parquet = read(parquet_in(OCRBENCH, write_parquet_split(OCRBENCH, OCR, tmp_path / "hub")))
    assert [(row.id, row.group) for row in by_parquet] == [("0001", "svt"), ("0002", "HME100k")]
    categories = ["Regular Text Recognition", "Handwritten Mathematical Expression Recognition"]
    table = [{**row, "group": category} for row, category in zip(OCR, categories, strict=True)]
    by_table = read(table_at(OCRBENCH, write_table(OCRBENCH, table, tmp_path)))
    assert [(row.id, row.group) for row in by_table] == [("0001", "Regular Text Recognition"), ("0002", "HME100k")]
    assert essence(by_table) == essence(by_parquet) == expected(OCR)


def test_group_of_a_page_is_its_first_kind_or_the_split(tmp_path: Path) -> None:
    assert [row.group for row in read(parquet_in(DOCVQA, write_parquet_split(DOCVQA, DOCS, tmp_path / "a")))] == [
        "form", "layout", "form",
    ]  # fmt: skip
    bare = [{**row, "group": ""} for row in DOCS]
    assert {row.group for row in read(parquet_in(DOCVQA, write_parquet_split(DOCVQA, bare, tmp_path / "b")))} == {"val"}
    assert {row.group for row in read(lines_in(DOCVQA, write_lines(DOCVQA, DOCS, tmp_path / "c")))} == {"val"}


def test_only_the_files_of_the_wanted_config_and_split_are_read(tmp_path: Path) -> None:
    write_parquet_split(DOCVQA, DOCS, tmp_path)
    write_parquet_split(INFOVQA, DOCS[:1], tmp_path)
    write_parquet_split(DOCVQA_TEST, [{**row, "golds": []} for row in DOCS[:2]], tmp_path)
    assert len(read(parquet_in(DOCVQA, tmp_path))) == 3
    assert len(read(parquet_in(INFOVQA, tmp_path))) == 1
    assert len(read(parquet_in(INFOVQA, tmp_path / "InfographicVQA"))) == 1
    assert len(read(parquet_in(DOCVQA_TEST, tmp_path))) == 2
    assert parquet_in(DOCVQA, tmp_path / "InfographicVQA") is None


def test_answers_that_are_not_public_are_empty_whatever_stands_there(tmp_path: Path) -> None:
    rows = [{**DOCS[0], "golds": []}, {**DOCS[1], "golds": []}]
    for source in (
        parquet_in(DOCVQA_TEST, write_parquet_split(DOCVQA_TEST, rows, tmp_path / "hub")),
        table_in(DOCVQA_TEST, write_table(DOCVQA_TEST, rows, tmp_path / "tsv").parent),
        lines_in(DOCVQA_TEST, write_lines(DOCVQA_TEST, rows, tmp_path / "lines")),
    ):
        assert [row.gold for row in read(source)] == [(), ()]


def test_ids_of_a_table_are_those_of_the_questions_or_the_index(tmp_path: Path) -> None:
    with_ids = table_at(DOCVQA, write_table(DOCVQA, DOCS, tmp_path / "a", ids="questionId"))
    without = table_at(DOCVQA, write_table(DOCVQA, DOCS, tmp_path / "b", first=7))
    assert (with_ids.ids, without.ids) == ("questionId", "index")
    assert [row.id for row in read(with_ids)] == ["60001", "60002", "60003"]
    assert [row.id for row in read(without)] == ["7", "8", "9"]


def test_a_row_may_name_a_later_row_that_has_its_picture(tmp_path: Path) -> None:
    rows = [{**DOCS[0], "image": "2"}, {**DOCS[1], "image": " 2 "}, DOCS[1]]
    found = read(table_at(DOCVQA, write_table(DOCVQA, rows, tmp_path, share=False)))
    assert [row.pictures[0][1] for row in found] == [picture_of(DOCS[1])] * 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["9"], "row 1: 0: its picture is that of the row with the index '9', which does not exist"),
        (["0"], "row 1: 0: its picture is that of the row with the index '0', which has none of its own"),
        (["1", "0"], "row 1: 0: its picture is that of the row with the index '1', which has none of its own"),
        ([""], "row 1: 0: it has no picture"),
        (["=" * 65], "row 1: 0: a picture is not base64"),
        (["../../etc/passwd"], "which does not exist"),
    ],
)
def test_a_row_that_points_nowhere_or_in_a_circle_is_refused(tmp_path: Path, images: list[str], message: str) -> None:
    rows = [{**row, "image": image} for row, image in zip(DOCS, images, strict=False)]
    source = table_at(DOCVQA, write_table(DOCVQA, rows, tmp_path))
    with pytest.raises(EnvironmentProblem, match=message):
        list(source.rows(pictures=True))
    if "base64" not in message:  # found before any picture is read
        with pytest.raises(EnvironmentProblem, match=message):
            list(source.rows(pictures=False))


def test_an_index_that_two_rows_have_is_refused(tmp_path: Path) -> None:
    path = write_table(DOCVQA, DOCS[:1], tmp_path)
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    with pytest.raises(EnvironmentProblem, match="row 2: its index 0 is that of an earlier row, too"):
        list(table_at(DOCVQA, path).rows(pictures=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column answer, image, index, question: this is not DocVQA_VAL.tsv"),
        (b"index\timage\tquestion\n", "has no column answer: this is not DocVQA_VAL.tsv"),
        (b"index\timage\tquestion\tanswer\tanswer\n", "has more than one column answer: download it again"),
        (b"index\timage\tquestion\tanswer\n0\tx\n", "row 1: it has 2 of 4 fields"),
        (b'index\timage\tquestion\tanswer\n0\t"x', "is damaged or incomplete"),
        (b"index\timage\tquestion\tanswer\n0\tx\t\xff\xfe\ty\n", "is damaged or incomplete"),
        (b"index\timage\tquestion\tanswer\n" + b"\t" * 20_000, "a line of more than 10000 fields"),
        (b"\0" * 500, "this is not DocVQA_VAL.tsv|damaged"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=message) as refused:
        list(table_at(DOCVQA, tmp_path / "t.tsv").rows(pictures=True))
    assert "\n" not in str(refused.value)


def test_a_table_is_compared_with_the_md5_of_the_published_one(tmp_path: Path) -> None:
    source = table_at(DOCVQA, write_table(DOCVQA, DOCS, tmp_path))
    found = source.notes()[0].partition("its md5 is ")[2][:32]
    assert source.notes() == (
        f"DocVQA_VAL.tsv is not the published table: its md5 is {found} instead of {DOCVQA.table.md5}",
    )
    same = replace(source, split=replace(DOCVQA, table=replace(DOCVQA.table, md5=found)))
    assert same.notes() == (f"DocVQA_VAL.tsv is the published table, md5 {found}",)


def test_pictures_of_json_lines_are_found_below_their_folder_only(tmp_path: Path) -> None:
    for number, prefix in enumerate(("", "data/docvqa/", "./made/")):
        source = lines_in(DOCVQA, write_lines(DOCVQA, DOCS, tmp_path / str(number), prefix))
        assert essence(read(source)) == expected(DOCS)


def test_a_missing_picture_is_not_replaced_by_one_of_the_same_name(tmp_path: Path) -> None:
    folder = write_lines(DOCVQA, DOCS, tmp_path)
    (folder / "pages" / "q.png").rename(folder / "q.png")
    source = lines_in(DOCVQA, folder)
    assert source is not None
    for read_all in (source.digests, lambda: list(source.rows(pictures=True))):
        with pytest.raises(
            EnvironmentProblem, match="line 2: 60002: its picture 'data/made/pages/q.png' does not exist"
        ):
            read_all()


def test_every_file_of_json_lines_has_folders_of_its_own(tmp_path: Path) -> None:
    folder = write_lines(CHARTQA, CHARTS, tmp_path)
    human = folder / "test_human.jsonl"
    human.write_text(human.read_text().replace("data/made/", ""))
    assert essence(read(lines_in(CHARTQA, folder))) == expected(CHARTS)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("../secret.png", "which is not below its folder"),
        ("/etc/passwd", "which is not below its folder"),
        ("pages/../../secret.png", "which is not below its folder"),
        ("out/secret.png", "which leads out of its folder"),
        ("data/out/secret.png", "which leads out of its folder"),
        ("pages/none.png", "does not exist below the folder"),
        ("pages", "does not exist below the folder"),
        ("a/" * 20_000 + "b", "which is too long a name"),
        ("a\0b", "which is not the name of a file"),
        ("", "which is not the name of a file"),
        (17, "which is not the name of a file"),
        (None, "which is not the name of a file"),
        ("loop/a.png", "which is not the name of a file|does not exist"),
    ],
)
def test_a_picture_elsewhere_is_refused(tmp_path: Path, image: object, message: str) -> None:
    folder = write_lines(DOCVQA, [{**DOCS[0], "image": image}], tmp_path / "lines")
    (tmp_path / "secret.png").write_bytes(noise_png("secret"))
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    source = lines_in(DOCVQA, folder)
    assert source is not None
    with pytest.raises(EnvironmentProblem, match=message) as refused:
        list(source.rows(pictures=True))
    assert "\n" not in str(refused.value)
    with pytest.raises(EnvironmentProblem, match=message):
        source.digests()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not valid JSON"),
        ("[]", "line 1 is not an object: this is not DocVQA"),
        ('{"image": "a.png"}', "line 1 has no question, question_id: this is not DocVQA"),
        ("[" * 500_000, "line 1 "),
        (json.dumps({"image": "a", "question": "x" * 70_000, "question_id": 1}), "its question has more than 65536"),
        (json.dumps({"image": "a", "question": " ", "question_id": 60001}), "60001: its question is ' '"),
        (json.dumps({"image": "a", "question": "?", "question_id": 7}), "7: its right answers are not in val_v1.0"),
        ("x" * 2_000_000, "has a line of more than 1048576 bytes"),
    ],
)
def test_damaged_json_lines_are_refused_in_one_line(tmp_path: Path, line: str, message: str) -> None:
    folder = write_lines(DOCVQA, DOCS, tmp_path)
    (folder / "val.jsonl").write_text(line + "\n")
    source = lines_in(DOCVQA, folder)
    assert source is not None
    with pytest.raises(EnvironmentProblem, match=message) as refused:
        list(source.rows(pictures=False))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("id", [1.5, True, None, "", " ", "1\n2", "x" * 81, ["1"]])
def test_an_id_is_a_number_or_a_short_printable_text(tmp_path: Path, id: object) -> None:
    folder = write_lines(DOCVQA_TEST, [{**DOCS[0], "id": id, "golds": []}], tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"test.jsonl, line 1: question 1: its id is .*, expected") as refused:
        read(lines_in(DOCVQA_TEST, folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "has neither annotations nor data"),
        ([], "has neither annotations nor data"),
        ({"data": [1]}, "entry 1 has no id of a question or no list of answers"),
        ({"data": [{"questionId": 1, "answers": "x"}]}, "entry 1 has no id"),
        ({"data": [{"questionId": 1, "answers": [1]}]}, "entry 1 has no id"),
        ({"data": [{"questionId": 1, "answers": ["a"]}] * 2}, "question 1 is there twice"),
        ({"data": [{"questionId": row["id"], "answers": []} for row in DOCS]}, r"60001: its right answers are \[\]"),
    ],
)
def test_damaged_annotations_are_refused_in_one_line(tmp_path: Path, content: object, message: str) -> None:
    folder = write_lines(DOCVQA, DOCS, tmp_path)
    (folder / "val" / "val_v1.0.json").write_text(json.dumps(content))
    with pytest.raises(EnvironmentProblem, match=message):
        read(lines_in(DOCVQA, folder))


def test_json_lines_without_what_belongs_to_them_are_refused(tmp_path: Path) -> None:
    (write_lines(DOCVQA, DOCS, tmp_path / "a") / "val" / "val_v1.0.json").unlink()
    with pytest.raises(
        EnvironmentProblem, match=r"right answers: val/val_v1.0.json or val_v1.0.json or val_v1.0_withQT.json is m"
    ):
        lines_in(DOCVQA, tmp_path / "a")
    (write_lines(CHARTQA, CHARTS, tmp_path / "b") / "test_augmented.jsonl").unlink()
    with pytest.raises(EnvironmentProblem, match=r"holds ChartQA only in part: test_augmented.jsonl is missing"):
        lines_in(CHARTQA, tmp_path / "b")
    assert lines_in(DOCVQA, tmp_path / "b") is None
    assert lines_in(OCRBENCH, tmp_path / "b") is None


def test_digests_of_json_lines_depend_on_every_picture(tmp_path: Path) -> None:
    source = lines_in(DOCVQA, write_lines(DOCVQA, DOCS, tmp_path))
    assert source is not None
    before = source.digests()
    assert sorted(before) == ["pictures", "val.jsonl", "val/val_v1.0.json"]
    (tmp_path / "pages" / "q.png").write_bytes(noise_png("other"))
    after = source.digests()
    assert {name for name in before if before[name] != after[name]} == {"pictures"}


@pytest.mark.parametrize("keep", [0.0, 0.4, 0.95])
def test_truncated_parquet_is_named(tmp_path: Path, keep: float) -> None:
    source = parquet_in(OCRBENCH, write_parquet_split(OCRBENCH, OCR, tmp_path))
    assert source is not None
    path = source.files[0]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(EnvironmentProblem, match=r"data/test-00000-of-00001.parquet is damaged or incomplete"):
        list(source.rows(pictures=True))


def test_another_parquet_is_refused_by_its_columns(tmp_path: Path) -> None:
    write_parquet_split(TEXTVQA, TEXTS, tmp_path)
    (tmp_path / "data" / "validation-00000-of-00001.parquet").rename(tmp_path / "test-00000-of-00001.parquet")
    with pytest.raises(EnvironmentProblem, match="has no column answer, dataset: this is not OCRBench"):
        list(parquet_in(OCRBENCH, tmp_path).rows(pictures=False))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["answers", "question_types"])
def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    import pyarrow
    from pyarrow import parquet

    source = parquet_in(DOCVQA, write_parquet_split(DOCVQA, DOCS, tmp_path))
    assert source is not None
    table = parquet.read_table(source.files[0], partitioning=None)
    parquet.write_table(table.append_column(name, pyarrow.array([["WRONG"]] * 3)), source.files[0])
    with pytest.raises(EnvironmentProblem, match=f"parquet has more than one column {name}: download it again"):
        read(source)


def test_missing_part_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    write_parquet_split(DOCVQA, DOCS, tmp_path, files=3)
    (tmp_path / "DocVQA" / "validation-00001-of-00003.parquet").unlink()
    with pytest.raises(EnvironmentProblem, match="DocVQA/validation-00001-of-00003.parquet is missing"):
        parquet_in(DOCVQA, tmp_path)


def test_an_unknown_half_of_chartqa_is_refused(tmp_path: Path) -> None:
    rows = [{**CHARTS[0], "group": "val_human"}]
    with pytest.raises(EnvironmentProblem, match="question 1: its group is 'val_human', which ChartQA does not have"):
        read(parquet_in(CHARTQA, write_parquet_split(CHARTQA, rows, tmp_path)))


def test_a_picture_in_base64_with_other_characters_is_refused(tmp_path: Path) -> None:
    coded = base64.b64encode(noise_png("x")).decode()
    table = write_table(OCRBENCH, [{**OCR[0], "image": f"{coded[:70]}é{coded[70:]}"}], tmp_path)
    with pytest.raises(EnvironmentProblem, match="row 1: 0001: a picture is not base64"):
        read(table_at(OCRBENCH, table))


def test_a_group_of_control_characters_is_refused(tmp_path: Path) -> None:
    rows = [{**DOCS[0], "group": "for\x1b[2Jm"}]
    with pytest.raises(EnvironmentProblem, match=r"its group is '.*', which DocVQA does not have"):
        read(parquet_in(DOCVQA, write_parquet_split(DOCVQA, rows, tmp_path)))


def test_memory_does_not_grow_with_the_rows_of_a_table(tmp_path: Path) -> None:
    noise = random.Random(0)
    rows = [question(number, page=f"page {number // 2}") for number in range(100)]
    for row in rows:
        row["picture"] = noise.randbytes(300_000)
    table = table_at(DOCVQA, write_table(DOCVQA, rows, tmp_path))
    del rows
    tracemalloc.start()
    try:
        assert sum(len(row.pictures[0][1]) for row in table.rows(pictures=True)) == 30_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # of 15 MB of pictures, however many there are
