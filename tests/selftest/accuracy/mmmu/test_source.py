"""Every published format gives the same questions, and damage is refused with the file and the question."""

import base64
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_mmmu import (
    Values,
    made_mmmu,
    png,
    small,
    subject_of,
    values_of,
    write_folder,
    write_parquet,
    write_tsv,
)

from vlm_acceptance.accuracy import parquet_rows
from vlm_acceptance.accuracy.item import CHOICE, OPEN
from vlm_acceptance.accuracy.mmmu.expected_counts import PUBLISHED, check_rows
from vlm_acceptance.accuracy.mmmu.source import Row
from vlm_acceptance.accuracy.mmmu.source_parquet import parquet_file, parquet_folder
from vlm_acceptance.accuracy.mmmu.source_tsv import tsv_file
from vlm_acceptance.core.errors import EnvironmentProblem

pytest.importorskip("pyarrow")
FIRST = "validation_Art_1"


def read_folder(folder: Path) -> list[Row]:
    source = parquet_folder(folder)
    assert source is not None
    return list(source.rows(pictures=True))


def one(tmp_path: Path, **fields: Any) -> Row:
    """The row that a published question with these fields becomes."""
    values = {**values_of(FIRST, "See <image 1>", ["one", "two"], "B", 1), **fields}
    return read_folder(write_folder([values], tmp_path))[0]


def essence(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.id, row.group, row.kind, row.question, row.options, row.gold, row.pictures) for row in rows]


@pytest.fixture(scope="module")
def whole() -> list[Values]:
    return made_mmmu()


def test_folder_and_merged_file_give_the_same_900_questions_with_every_published_count(
    tmp_path: Path, whole: list[Values]
):
    by_subject = read_folder(write_folder(whole, tmp_path / "hub"))
    assert check_rows(by_subject, PUBLISHED)[0] == 900
    merged = write_parquet(whole, tmp_path / "merged" / "data" / "validation-00000-of-00001.parquet", 100)
    assert essence(list(parquet_file(merged).rows(pictures=True))) == essence(by_subject)
    assert essence(read_folder(tmp_path / "merged")) == essence(by_subject)
    assert by_subject[0].file_subject == "Accounting"
    assert next(parquet_file(merged).rows(pictures=True)).file_subject is None


@pytest.mark.parametrize("ids", [True, False])
def test_table_gives_the_same_900_questions_with_ids_or_without(tmp_path: Path, whole: list[Values], ids: bool):
    table = tsv_file(write_tsv(whole, tmp_path / "MMMU_DEV_VAL.tsv", ids))
    expected = read_folder(write_folder(whole, tmp_path / "hub"))
    assert essence(list(table.rows(pictures=True))) == essence(expected)


def test_text_alone_is_read_without_pictures(tmp_path: Path):
    made = small("Art")
    parquet = parquet_folder(write_folder(made, tmp_path))
    assert parquet is not None
    table = tsv_file(write_tsv(made, tmp_path / "t.tsv"))
    for source in (parquet, table):
        assert [row.pictures for row in source.rows(pictures=False)] == [(), ()]


def test_subjects_are_read_in_the_official_order_for_any_name_of_the_folder(tmp_path: Path):
    made = small("Sociology", "Art_Theory", "Accounting", each=1)
    rows = read_folder(write_folder(made, tmp_path / "deep" / "down"))
    assert [row.group for row in rows] == ["Accounting", "Art_Theory", "Sociology"]


def test_files_of_other_splits_and_unfinished_downloads_are_not_read(tmp_path: Path):
    write_folder(small("Art"), tmp_path)
    (tmp_path / "Art" / "test-00000-of-00001.parquet").write_bytes(b"not read")
    (tmp_path / "._____temp" / "Art").mkdir(parents=True)
    (tmp_path / "._____temp" / "Art" / "validation-00000-of-00001.parquet").write_bytes(b"half")
    assert len(read_folder(tmp_path)) == 2
    (tmp_path / "Art" / "validation-00000-of-00001.parquet").unlink()
    assert parquet_folder(tmp_path) is None


def test_missing_part_of_a_file_in_parts_is_named(tmp_path: Path):
    write_parquet(small("Art"), tmp_path / "Art" / "validation-00001-of-00003.parquet")
    with pytest.raises(EnvironmentProblem, match="Art/validation-00000-of-00003.parquet is missing"):
        parquet_folder(tmp_path)


def test_options_are_python_literals(tmp_path: Path):
    row = one(tmp_path, options="""["it's", 'a "b"', '$\\\\frac{1}{2}$', 7]""")
    assert row.options == ("it's", 'a "b"', "$\\frac{1}{2}$", "7")


def test_options_with_a_number_that_python_does_not_print_are_refused(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=rf"Art/validation-.*parquet: {FIRST}: its options are"):
        one(tmp_path, options=f"['a', -0x{'f' * 8000}]")


@pytest.mark.parametrize("text", ["[one, two]", "['one'", "{'one'}", "", "[['one']]", "__import__('os').getcwd()"])
def test_options_that_are_not_a_list_of_texts_are_refused_with_the_question(tmp_path: Path, text: str):
    with pytest.raises(EnvironmentProblem, match=rf"Art/validation-.*parquet: {FIRST}: its options are"):
        one(tmp_path, options=text)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("60", ("60",)),
        ("['24/7','3.429']", ("24/7", "3.429")),
        ('["it\'s", "its"]', ("it's", "its")),
        ("[1, 2]", ("[1, 2]",)),
        ("[a, b]", ("[a, b]",)),
        ("[]", ("[]",)),
        ("C", ("C",)),
        (" trained ", (" trained ",)),
    ],
)
def test_open_answers_stay_as_published_and_lists_of_texts_stay_lists(
    tmp_path: Path, answer: str, gold: tuple[str, ...]
):
    row = one(tmp_path, options="[]", answer=answer, question_type="open")
    assert (row.kind, row.options, row.gold) == (OPEN, (), gold)


def test_short_answer_is_another_word_for_open(tmp_path: Path):
    assert one(tmp_path, options="[]", answer="9", question_type="short-answer").kind == OPEN
    with pytest.raises(EnvironmentProblem, match=f"{FIRST}: its question_type is 'essay'"):
        one(tmp_path, question_type="essay")


@pytest.mark.parametrize("answer", ["C", "b", "", "AB", "?", None])
def test_answer_of_a_choice_is_a_letter_of_its_options(tmp_path: Path, answer: str | None):
    with pytest.raises(EnvironmentProblem, match=f"{FIRST}: its answer is .*, expected one of AB"):
        one(tmp_path, answer=answer)


def test_open_question_without_an_answer_is_refused(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=f"{FIRST}: its answer is '', expected a text"):
        one(tmp_path, options="[]", answer="", question_type="open")


def test_pictures_keep_their_slots(tmp_path: Path):
    held = {"bytes": png("x"), "path": None}
    row = one(tmp_path, image_2=held, image_7=held)
    assert [slot for slot, _ in row.pictures] == [1, 2, 7]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_1": None}, "picture 1 is missing, though the text has <image 1>"),
        ({"options": "['<image 4>', 'two']"}, "picture 4 is missing, though the text has <image 4>"),
        ({"image_1": None, "question": "See"}, "it has no picture"),
        ({"image_1": {"bytes": None, "path": "a.png"}}, "picture 1: the file has only its name"),
        ({"question": None}, "it has no question"),
    ],
)
def test_incomplete_question_is_refused(tmp_path: Path, fields: Values, message: str):
    with pytest.raises(EnvironmentProblem, match=f"{FIRST}: {message}"):
        one(tmp_path, **fields)


def test_another_file_than_mmmu_is_refused(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="'Art-1': this is not a valid id of MMMU"):
        one(tmp_path, id="Art-1")
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "validation-00000-of-00001.parquet"
    parquet.write_table(pyarrow.table({"id": ["validation_Art_1"], "question": ["?"]}), path)
    with pytest.raises(EnvironmentProblem, match="has no column answer, image_1, .*: this is not MMMU"):
        list(parquet_file(path).rows(pictures=True))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_parquet_is_named(tmp_path: Path, keep: float):
    folder = write_folder(small("Art", "Music"), tmp_path)
    path = folder / "Music" / "validation-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(EnvironmentProblem, match=r"^Music/validation-.*parquet is damaged or incomplete") as bad:
        read_folder(folder)
    assert "\n" not in str(bad.value)


def test_damage_within_a_parquet_file_is_named(tmp_path: Path):
    path = write_parquet(small("Art", each=30), tmp_path / "Art" / "validation-00000-of-00001.parquet")
    content = bytearray(path.read_bytes())
    content[4:4000] = bytes(3996)
    path.write_bytes(content)
    with pytest.raises(EnvironmentProblem, match="Art/validation-00000-of-00001.parquet"):
        read_folder(tmp_path)


def test_absent_pyarrow_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    folder = write_folder(small("Art"), tmp_path)
    monkeypatch.setattr(parquet_rows.importlib, "import_module", absent)
    with pytest.raises(EnvironmentProblem, match='pip install "pyarrow>=16,<26"'):
        read_folder(folder)


def test_memory_does_not_grow_with_the_row_groups_of_a_file(tmp_path: Path):
    import pyarrow

    noise = random.Random(0)
    values = [{**row, "image_1": {"bytes": noise.randbytes(500_000), "path": None}} for row in small("Art", each=120)]
    path = write_parquet(values, tmp_path / "validation-00000-of-00001.parquet", 3)
    del values
    tracemalloc.start()
    try:
        before = pyarrow.total_allocated_bytes()
        peak = max(pyarrow.total_allocated_bytes() for _ in parquet_file(path).rows(pictures=True)) - before
        peak += tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000  # of 60 MB, however many there are


def test_digests_name_the_files_of_a_source(tmp_path: Path):
    source = parquet_folder(write_folder(small("Art", "Music"), tmp_path))
    assert source is not None
    found = source.digests()
    assert list(found) == ["Art/validation-00000-of-00001.parquet", "Music/validation-00000-of-00001.parquet"]
    assert {len(digest) for digest in found.values()} == {64}


def table_of(tmp_path: Path, values: list[Values]) -> Path:
    return write_tsv(values, tmp_path / "MMMU_DEV_VAL.tsv")


def read_table(path: Path) -> list[Row]:
    return list(tsv_file(path).rows(pictures=True))


def test_table_has_no_types_so_a_question_without_options_is_open(tmp_path: Path):
    made = [*small("Art"), values_of("validation_Art_3", "<image 1>?", [], "['a','b']", 1)]
    rows = read_table(table_of(tmp_path, made))
    assert [row.kind for row in rows] == [CHOICE, CHOICE, OPEN]
    assert rows[2].gold == ("a", "b")
    assert subject_of(made[2]) == rows[2].group == "Art"


def test_table_with_a_byte_order_mark_is_read_alike(tmp_path: Path):
    path = table_of(tmp_path, small("Art"))
    rows = read_table(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [(row.id, row.options) for row in read_table(path)] == [(row.id, row.options) for row in rows]


def test_option_with_the_text_none_is_an_option(tmp_path: Path):
    values = values_of("validation_Geography_15", "<image 1>?", ["one", "two", "three", "None"], "A", 1)
    parquet = parquet_folder(write_folder([values], tmp_path / "parquet"))
    assert parquet is not None
    for rows in (read_table(table_of(tmp_path, [values])), list(parquet.rows(pictures=True))):
        assert [row.options for row in rows] == [("one", "two", "three", "None")]


def test_categories_are_read_with_blanks_and_ampersands(tmp_path: Path):
    path = table_of(tmp_path, small("Energy_and_Power", each=1))
    path.write_text(path.read_text().replace("\tEnergy_and_Power\t", "\tEnergy & Power\t"))
    assert [row.id for row in read_table(path)] == ["validation_Energy_and_Power_1"]


def test_pictures_of_a_table_take_the_numbers_of_the_placeholders_where_they_agree(tmp_path: Path):
    values = values_of(FIRST, "<image 2> or <image 4>", ["one", "two"], "B", 2)
    assert [slot for slot, _ in read_table(table_of(tmp_path, [values]))[0].pictures] == [2, 4]
    values["question"] = "<image 1>"
    assert [slot for slot, _ in read_table(table_of(tmp_path, [values]))[0].pictures] == [1, 2]


@pytest.mark.parametrize("end", [-1, -30, -300])
def test_truncated_table_is_refused(tmp_path: Path, end: int):
    values = small("Art", each=1)
    path = table_of(tmp_path, [values[0], values_of("validation_Art_2", '"<image 1>\n"', ["a", "b"], "A", 5)])
    content = path.read_bytes().rstrip(b"\r\n")
    path.write_bytes(content[:end])
    with pytest.raises(EnvironmentProblem, match=r"MMMU_DEV_VAL\.tsv"):
        read_table(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\timage", "\tphoto", "has no column image: this is not MMMU_DEV_VAL.tsv"),
        ("\tone\ttwo", "\t\ttwo", "validation_Art_1: option A is empty, though later ones are not"),
        ("\tB\tArt", "\tE\tArt", "row 1: validation_Art_1: its answer is 'E', expected one of AB"),
        ("iVBOR", "i!BOR", "row 1: validation_Art_1: a picture is not base64"),
        ("iVBOR", "['", "validation_Art_1: its pictures are not a list of texts"),
    ],
)
def test_incomplete_table_is_refused_with_row_and_question(tmp_path: Path, old: str, new: str, message: str):
    path = table_of(tmp_path, small("Art", each=1))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(EnvironmentProblem, match=message):
        read_table(path)


def test_reference_to_another_row_is_refused(tmp_path: Path):
    path = table_of(tmp_path, small("Art", each=1))
    coded = base64.b64encode(png(f"{FIRST} 1")).decode()
    path.write_text(path.read_text().replace(coded, "17"))
    with pytest.raises(EnvironmentProblem, match="its picture is '17', which is not base64 of a picture"):
        read_table(path)
