"""Published counts and content hash: whole data pass, and every kind of damage is refused with what differs."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.made_mmmu import LISTS, made_mmmu

from vlm_acceptance.accuracy.content_check import content_sha256
from vlm_acceptance.accuracy.mmmu.expected_counts import (
    MMMU_VAL,
    PINNED,
    PUBLISHED,
    SEVERAL,
    Expected,
    check_prepared,
    check_rows,
    expected_counts,
)
from vlm_acceptance.accuracy.mmmu.source import Row
from vlm_acceptance.accuracy.mmmu.source_parquet import _row
from vlm_acceptance.accuracy.mmmu.subjects import DOMAINS, SUBJECTS, parts_of
from vlm_acceptance.core.errors import EnvironmentProblem

ROWS = [replace(_row(values, "made.parquet", None), pictures=()) for values in made_mmmu()]
OPEN_ROW = next(row for row in ROWS if row.kind == "open")
CHOICE_ROW = next(row for row in ROWS if len(row.options) == 4 and row.gold == ("A",) and "show" in row.question)
Damage = Callable[[list[Row]], list[Row]]


def changed(row: Row, **fields: object) -> Damage:
    return lambda rows: [replace(row, **fields) if other.id == row.id else other for other in rows]  # type: ignore[arg-type]


def without(*ids: str) -> Damage:
    return lambda rows: [row for row in rows if row.id not in ids]


def prepared(rows: list[Row], dataset: str = MMMU_VAL, recorded: str | None = None) -> Any:
    """What a check reads of prepared data."""

    class Stored(SimpleNamespace):
        def __iter__(self) -> Iterator[Row]:
            return iter(rows)

    manifest = {"content_sha256": recorded} if recorded else {}
    return Stored(dataset=dataset, groups=[(row.id, row.group) for row in rows], manifest=manifest)


def of(id: str) -> Row:
    return next(row for row in ROWS if row.id == id)


def test_thirty_subjects_make_six_domains_of_the_official_sizes():
    assert [len(subjects) * 30 for subjects in DOMAINS.values()] == [120, 150, 150, 150, 120, 210]
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 30


def test_subjects_stand_in_the_order_of_the_official_evaluation():
    assert SUBJECTS[:5] == ("Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory")
    assert SUBJECTS[19:23] == ("Manage", "Marketing", "Materials", "Math")
    assert SUBJECTS[-4:] == ("Physics", "Psychology", "Public_Health", "Sociology")


def test_subject_is_what_stands_between_the_first_and_the_last_underscore():
    assert parts_of("validation_Art_Theory_7") == ("validation", "Art_Theory", 7)
    assert parts_of("dev_Art_1") == ("dev", "Art", 1)
    assert [parts_of(id) for id in ("Art_1", "validation_1", "validation_Art_x", "train_Art_1", "")] == [None] * 5


def test_data_with_every_published_count_pass():
    assert check_rows(ROWS, PUBLISHED) == (900, content_sha256(ROWS))
    check_prepared(prepared(ROWS))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("validation_Art_3"), "Art: 29 of 30 questions, missing validation_Art_3"),
        (
            without(*(f"validation_Agriculture_{number}" for number in range(17, 31))),
            "Agriculture: 16 of 30 questions, missing validation_Agriculture_17, validation_Agriculture_18, "
            "validation_Agriculture_19, and 11 more",
        ),
        (lambda rows: [row for row in rows if row.group != "Math"], "Math: 0 of 30 questions"),
        (lambda rows: [*rows, rows[4]], "validation_Accounting_5 is in made.parquet and again in made.parquet"),
        (
            lambda rows: [*rows, replace(rows[0], id="validation_Accounting_31")],
            "Accounting: validation_Accounting_31 should not be there; 901 questions instead of 900",
        ),
        (
            lambda rows: [*rows, replace(rows[0], id="dev_Accounting_1")],
            "dev_Accounting_1 in made.parquet belongs to the split dev",
        ),
        (
            lambda rows: [*rows, replace(rows[0], id="validation_Cooking_1")],
            "'validation_Cooking_1' in made.parquet is",
        ),
        (changed(CHOICE_ROW, file_subject="Music"), f"{CHOICE_ROW.id} is in made.parquet, which is for Music"),
        (
            changed(CHOICE_ROW, gold=("B",)),
            "241 questions with the answer A instead of 242; 231 questions with the answer B instead of 230",
        ),
        (changed(CHOICE_ROW, options=("x", "y", "z")), "112 questions with 3 options instead of 111"),
        (changed(CHOICE_ROW, options=tuple("12345678")), "1 questions with 8 options instead of 0"),
        (changed(CHOICE_ROW, kind="open", options=()), "846 multiple-choice questions instead of 847; 54 open"),
        (changed(CHOICE_ROW, question="none"), "979 placeholders instead of 980"),
        (
            changed(of("validation_Physics_21"), gold=("9.8",)),
            "the answer of validation_Physics_21 is 9.8 instead of A",
        ),
        (
            changed(of("validation_Math_15"), gold=("24/7",)),
            "the answer of validation_Math_15 is 24/7 instead of a list of several answers",
        ),
        (
            changed(of("validation_Math_15"), kind="multiple-choice", gold=("A",), options=("x", "y")),
            "the answer of validation_Math_15 is that of a multiple-choice question instead of a list",
        ),
    ],
)
def test_data_that_differ_are_refused_with_what_is_missing(damage: Damage, message: str):
    with pytest.raises(EnvironmentProblem, match=re.escape(message)) as problem:
        check_rows(damage(ROWS), PUBLISHED)
    assert str(problem.value).startswith("this is not the whole MMMU_val: ")
    assert len(str(problem.value)) < 1000


def test_another_data_set_is_refused_in_one_line_however_much_is_wrong():
    with pytest.raises(EnvironmentProblem, match="; and [0-9]+ more$") as problem:
        check_rows([replace(row, id=f"x{row.id}") for row in ROWS], PUBLISHED)
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 1000


def test_run_refuses_prepared_data_that_are_not_whole():
    with pytest.raises(EnvironmentProblem, match="Accounting: 29 of 30 questions, missing validation_Accounting_1"):
        check_prepared(prepared(ROWS[1:]))
    check_prepared(prepared(ROWS[1:], "mmmu_part"))


def test_run_refuses_other_content_than_was_prepared():
    recorded = content_sha256(ROWS)
    check_prepared(prepared(ROWS[::-1], recorded=recorded))
    for fields in ({"question": "other"}, {"options": ("x", "y")}, {"gold": ("B",)}):
        with pytest.raises(EnvironmentProblem, match=f"answers is [0-9a-f]{{16}} instead of {recorded[:16]}$"):
            check_prepared(prepared(changed(CHOICE_ROW, **fields)(ROWS), recorded=recorded))


def test_pinned_content_is_asserted_in_preparation_and_in_a_run():
    pinned = PINNED["mmmu_mini"][:16]
    with pytest.raises(EnvironmentProblem, match=f"the hash of ids, .* instead of {pinned}"):
        check_rows(ROWS, Expected(dataset="mmmu_mini"))
    with pytest.raises(EnvironmentProblem, match=f"the hash of ids, .* instead of {pinned}"):
        check_prepared(prepared(ROWS, "mmmu_mini", recorded=content_sha256(ROWS)))


def test_there_is_no_pinned_hash_of_mmmu_val():
    assert set(PINNED) == {"mmmu_mini"}


def test_form_of_answers_is_not_asserted_of_formats_that_do_not_keep_it():
    single = [replace(row, gold=row.gold[:1]) for row in ROWS]
    assert check_rows(single, PUBLISHED, keeps_lists=False)[0] == 900
    assert {id for id, answer in PUBLISHED.open_answers.items() if answer == SEVERAL} == set(LISTS)


def test_other_data_are_measured_by_the_counts_beside_them(tmp_path: Path):
    (tmp_path / "counts.json").write_text(
        '{"dataset": "small", "items": 3, "multiple_choice": 2, "open": 1, "golds": {"A": 2}, "options": {"4": 2}}'
    )
    expected = expected_counts("small", tmp_path)
    assert (expected.items, expected.options, expected.per_subject) == (3, {4: 2}, None)
    assert expected_counts(None, tmp_path) == expected
    choices = [row for row in ROWS if len(row.options) == 4 and row.gold == ("A",)]
    assert check_rows([*choices[:2], OPEN_ROW], expected)[0] == 3
    with pytest.raises(EnvironmentProblem, match="not the whole small: 4 questions instead of 3; 3 multiple"):
        check_rows([*choices[:3], OPEN_ROW], expected)


def test_counts_of_another_data_set_are_not_taken(tmp_path: Path):
    (tmp_path / "counts.json").write_text('{"dataset": "small", "items": 3}')
    assert expected_counts("large", tmp_path) == Expected(dataset="large")
    assert expected_counts(MMMU_VAL, tmp_path) is PUBLISHED
    assert expected_counts(None, tmp_path / "none") is PUBLISHED


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"dataset": "small", "options": {"four": 1}}', '{"dataset": "small", "golds": 3}']
)
def test_counts_that_cannot_be_understood_are_refused(tmp_path: Path, text: str):
    (tmp_path / "counts.json").write_text(text)
    with pytest.raises(EnvironmentProblem, match=r"counts\.json") as problem:
        expected_counts("small", tmp_path)
    assert "\n" not in str(problem.value)
