"""A stored run is matched question by question; an invalid file is refused in one line."""

from __future__ import annotations

import csv
import random
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from tests.support.made_run import answered, choice, exact, failed, open_item

from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.baseline import changed, compare, read_baseline
from vlm_acceptance.accuracy.item import Item, Score
from vlm_acceptance.core.errors import UsageProblem

HEAD = ["index", "question", "A", "B", "C", "D", "answer", "category", "l2-category", "split", "prediction"]


def twenty() -> list[Item]:
    """Choices with texts of their own, one open question in five."""
    made = [choice(f"validation_Art_Theory_{n}", "Art_Theory", f"What is in picture {n}?") for n in range(1, 17)]
    return made + [open_item(f"validation_Math_{n}", "Math", f"How many in {n}?") for n in range(1, 5)]


def table(items: Sequence[Item], answers: Sequence[Any], head: Sequence[str] = HEAD) -> list[list[Any]]:
    """The rows that VLMEvalKit stores, its heading first."""
    rows: list[list[Any]] = [list(head)]
    for number, (item, answer) in enumerate(zip(items, answers), start=1):
        cells = {
            "index": number,
            "id": item.id,
            "question": item.question,
            **dict(zip("ABCD", item.options)),
            "answer": item.gold[0],
            "category": item.group.replace("_", " "),
            "l2-category": "Any & All",
            "split": "validation",
            "prediction": answer,
        }
        rows.append([cells.get(name) for name in head])
    return rows


def write(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    return path


def refused(path: Path, items: Sequence[Item]) -> str:
    with pytest.raises(UsageProblem) as caught:
        read_baseline(path, items)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize("suffix", ["xlsx", "csv", "tsv"])
def test_a_vlmevalkit_file_gives_the_raw_answer_of_every_question(tmp_path: Path, suffix: str) -> None:
    items = twenty()
    texts = [f'answer, "quoted"\nof {number}' for number in range(20)]
    path = write(tmp_path / f"Model_MMMU_DEV_VAL.{suffix}", table(items, texts))
    baseline = read_baseline(path, items)
    assert baseline.texts == dict(zip([item.id for item in items], texts))
    assert baseline.name == path.name
    assert baseline.missing == baseline.extra == ()
    assert baseline.hits is None


def test_rows_in_another_order_are_matched_by_text(tmp_path: Path) -> None:
    items = twenty()
    head, *rows = table(items, [f"answer {number}" for number in range(20)])
    random.Random(1).shuffle(rows)
    baseline = read_baseline(write(tmp_path / "x.csv", [head, *rows]), items)
    assert baseline.texts == {item.id: f"answer {number}" for number, item in enumerate(items)}


def test_an_id_takes_precedence_over_the_text(tmp_path: Path) -> None:
    items = [choice("validation_Art_1"), choice("validation_Art_2")]
    rows = table(items, ["one", "two"], ["index", "id", "question", "category", "prediction"])
    rows[1][1], rows[2][1] = rows[2][1], rows[1][1]
    baseline = read_baseline(write(tmp_path / "x.csv", rows), items)
    assert baseline.texts == {"validation_Art_1": "two", "validation_Art_2": "one"}


def test_rows_of_the_dev_split_are_left_out(tmp_path: Path) -> None:
    items = twenty()
    rows = table(items, ["right"] * 20)
    rows += [[*row[:-2], "dev", "wrong"] for row in rows[1:11]]
    baseline = read_baseline(write(tmp_path / "x.xlsx", rows), items)
    assert set(baseline.texts.values()) == {"right"}
    assert baseline.extra == ()


def test_questions_with_equal_texts_are_matched_in_their_order(tmp_path: Path) -> None:
    items = [Item(f"validation_Art_{n}", "Art", "multiple-choice", "Which?", ("x", "y"), ("A",), ()) for n in range(6)]
    baseline = read_baseline(write(tmp_path / "x.csv", table(items, list("ABABBA"))), items)
    assert list(baseline.texts.values()) == list("ABABBA")


def test_equal_texts_with_a_missing_row_are_not_matched(tmp_path: Path) -> None:
    same = [Item(f"validation_Art_{n}", "Art", "multiple-choice", "Which?", ("x", "y"), ("A",), ()) for n in range(3)]
    path = write(tmp_path / "x.csv", table([*twenty(), *same[:2]], ["A"] * 22))
    baseline = read_baseline(path, [*twenty(), *same], share=0.2)
    assert baseline.missing == tuple(item.id for item in same)
    assert len(baseline.extra) == 2


def test_copies_that_differ_in_white_space_case_and_numbers_are_the_same_question(tmp_path: Path) -> None:
    # the options alone tell the two apart
    items = [
        Item(f"validation_Art_{number}", "Art", "multiple-choice", "What  is\nthis ?", options, ("A",), ())
        for number, options in enumerate([("1", "0.50", "None", "½ Cup"), ("2", "0.50", "None", "½ Cup")])
    ]
    rows = [
        ["question", "A", "B", "C", "D", "category", "prediction"],
        [" what is this ?", 2.0, "0.5", None, "½ cup", "art", "second"],
        [" what is this ?", 1.0, "0.5", None, "½ cup", "ART", "first"],
    ]
    baseline = read_baseline(write(tmp_path / "x.xlsx", rows), items)
    assert baseline.texts == {"validation_Art_0": "first", "validation_Art_1": "second"}


def test_a_unique_question_is_matched_despite_rewritten_options(tmp_path: Path) -> None:
    items = twenty()
    rows = table(items, ["A"] * 20)
    rows[1][2] = "quite another option"
    assert len(read_baseline(write(tmp_path / "x.csv", rows), items).texts) == 20


def test_questions_that_differ_only_in_rewritten_options_are_not_matched(tmp_path: Path) -> None:
    made = [Item(f"validation_Art_{n}", "Art", "multiple-choice", "Which?", (f"x{n}",), ("A",), ()) for n in range(2)]
    rows = table(made, ["A", "B"])
    for row in rows[1:]:
        row[2] = f"quite another {row[0]}"
    assert read_baseline(write(tmp_path / "x.csv", rows), made, share=1).texts == {}


def test_a_second_row_with_one_id_matches_no_other_question(tmp_path: Path) -> None:
    items = [open_item("validation_Art_1"), open_item("validation_Art_2")]
    rows = table([items[0], items[0]], ["one", "two"], ["index", "id", "question", "category", "prediction"])
    baseline = read_baseline(write(tmp_path / "x.csv", rows), items, share=1)
    assert baseline.texts == {"validation_Art_1": "one"}
    assert baseline.extra == ("row 3: 'validation_Art_1'",)


def test_open_questions_with_equal_texts_are_matched_with_choices_of_a_judged_file(tmp_path: Path) -> None:
    items = [open_item(f"validation_Art_{n}", gold=(str(n),)) for n in range(2)]
    rows = table(items, ["one", "two"])
    for row in rows[1:]:
        row[2:4] = [row[6], "Other Answers"]
    assert list(read_baseline(write(tmp_path / "x.csv", rows), items).texts.values()) == ["one", "two"]


def test_a_workbook_that_states_a_wrong_size_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "x.xlsx", table(twenty(), ["A"] * 20))
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', parts[sheet])
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            book.writestr(name, data)
    assert b'ref="A1"' in parts[sheet]
    assert len(read_baseline(path, twenty()).texts) == 20


def test_a_judged_file_gives_hits_and_matches_open_questions_turned_into_choices(tmp_path: Path) -> None:
    items = twenty()
    rows = table(items, ["A"] * 20, [*HEAD, "hit", "log"])
    for number, row in enumerate(rows[1:]):
        row[-2:] = [number % 2, "Match Log: A. "]
        if row[2] is None:
            row[2:4] = [row[6], "Other Answers"]
    baseline = read_baseline(write(tmp_path / "x_openai_result.xlsx", rows), items)
    assert baseline.hits == {item.id: bool(number % 2) for number, item in enumerate(items)}


def test_a_failed_request_is_no_answer_and_an_empty_cell_is_an_empty_answer(tmp_path: Path) -> None:
    items = twenty()
    texts: list[Any] = ["A"] * 20
    texts[3], texts[4] = "Failed to obtain answer via API.", None
    baseline = read_baseline(write(tmp_path / "x.xlsx", table(items, texts)), items)
    assert baseline.missing == (items[3].id,)
    assert baseline.texts[items[4].id] == ""


def test_a_hit_on_a_failed_request_is_ignored(tmp_path: Path) -> None:
    items = twenty()
    rows = table(items, ["A"] * 20, [*HEAD, "hit"])
    for row in rows[1:]:
        row[-1] = 1
    rows[4][-2] = "Failed to obtain answer via API."
    hits = read_baseline(write(tmp_path / "x.xlsx", rows), items).hits
    assert hits is not None
    assert items[3].id not in hits
    assert len(hits) == 19


@pytest.mark.parametrize("text", ["=1+1", "60", "0", "True", "  B \n", "x\x0cy", "答案：C", "<b>A</b>", "A" * 32_000])
def test_an_answer_is_read_from_xlsx_unchanged(tmp_path: Path, text: str) -> None:
    rows = table(twenty(), [text.replace("\x0c", "_x000C_")] * 20)
    assert set(read_baseline(write(tmp_path / "x.xlsx", rows), twenty()).texts.values()) == {text}


def test_an_answer_of_megabytes_is_read_from_csv(tmp_path: Path) -> None:
    rows = table(twenty(), ["A" * 3_000_000] * 20)
    assert {len(text) for text in read_baseline(write(tmp_path / "x.csv", rows), twenty()).texts.values()} == {
        3_000_000
    }


def test_a_number_in_a_spreadsheet_is_read_as_text(tmp_path: Path) -> None:
    baseline = read_baseline(write(tmp_path / "x.xlsx", table(twenty(), [60, 60.0, 0.5, True] * 5)), twenty())
    assert list(baseline.texts.values())[:4] == ["60", "60", "0.5", "True"]


def test_our_own_answers_file_gives_texts_and_its_identity(tmp_path: Path) -> None:
    items = twenty()
    path = tmp_path / "mmmu_val.jsonl"
    with AnswerFile.create(path, {"benchmark": "abc"}) as file:
        file.add(answered(items[1].id, "late"))
        for item in items[1:]:
            file.add(answered(item.id, "B\ud800\x1b"))
        file.add(failed(items[0].id, "lost", "timeout: 600 s"))
    with path.open("ab") as raw:
        raw.write(b'{"id": "validation_Math_4", "te')
    baseline = read_baseline(path, items)
    assert baseline.identity == {"benchmark": "abc"}
    assert set(baseline.texts.values()) == {"B\ud800\x1b"}
    assert baseline.missing == (items[0].id,)
    assert baseline.extra == ()


def test_more_than_the_allowed_share_of_questions_without_an_answer_is_refused(tmp_path: Path) -> None:
    items = twenty()
    almost = read_baseline(write(tmp_path / "x.csv", table(items[1:], ["A"] * 19)), items)
    assert almost.missing == (items[0].id,)
    message = refused(write(tmp_path / "less.csv", table(items[2:], ["A"] * 18)), items)
    assert "2 of 20 questions" in message
    assert items[0].id in message


def test_more_than_the_allowed_share_of_unmatched_rows_is_refused(tmp_path: Path) -> None:
    items = twenty()
    others = [choice(f"validation_Law_{n}", "Law", f"Which law {n}?") for n in range(2)]
    one = read_baseline(write(tmp_path / "one.csv", table([*items, *others[:1]], ["A"] * 21)), items)
    assert one.extra == ("row 22: 'Which law 0?'",)
    assert "2 of its 22 rows" in refused(write(tmp_path / "x.csv", table([*items, *others], ["A"] * 22)), items)


def test_a_file_of_other_questions_is_refused_and_one_of_its_rows_named(tmp_path: Path) -> None:
    others = [choice(f"validation_Law_{n}", "Law", f"Which law \x1b[2J {n}?\n" * 500) for n in range(40)]
    message = refused(write(tmp_path / "x.csv", table(others, ["A"] * 40)), twenty())
    assert "20 of 20 questions" in message
    assert "40 of its 40 rows" in message
    assert "row 2: 'Which law \\x1b" in message


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("x.pkl", b"", "one of .jsonl, .xlsx, .csv, .tsv"),
        ("absent.csv", None, "No such file"),
        ("empty.csv", b"", "no column 'prediction'"),
        ("acc.csv", b"split,Overall,Accounting\nvalidation,0.36,0.3\n", "no column 'prediction' among 'split, Overall"),
        ("guess.csv", b"index,prediction\n1,A\n", "no column 'question'"),
        ("latin.csv", b"id,prediction\n1,caf\xe9\n", "not UTF-8"),
        ("head.csv", b"id,prediction\n", "20 of 20 questions have no answer"),
        ("x.xlsx", b"id,prediction\n1,A\n", "not a readable xlsx"),
        ("x.xlsx", b"PK\x03\x04 and no more", "not a readable xlsx"),
        ("x.jsonl", b"", "line 1"),
        ("x.jsonl", b'[{"id": "validation_Art_1"}]\n', "line 1"),
        ("x.jsonl", b'{"identity": {}}\n{"id": 3, "status": "answered"}\n', "line 2"),
        ("x.jsonl", b'{"identity": {}}\n', "20 of 20 questions have no answer"),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes | None, expected: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    assert expected in refused(path, twenty())


def test_a_damaged_workbook_is_refused_or_read_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.xlsx", table(twenty(), ["A"] * 20)).read_bytes()
    chance = random.Random(7)
    path = tmp_path / "damaged.xlsx"
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 20)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_baseline(path, twenty())
            outcomes.add("read")
        except UsageProblem:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_without_openpyxl_the_message_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.xlsx", table(twenty(), ["A"] * 20))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install openpyxl" in refused(path, twenty())


def marked(rights: str) -> dict[str, Score]:
    return {f"q{number}": Score(right == "1", "") for number, right in enumerate(rights) if right != "-"}


def test_lost_and_gained_are_counted_over_the_questions_of_both_runs() -> None:
    seen = compare(marked("0110-0-1"), marked("1010100"))
    assert seen.lost == ("q0",)
    assert seen.gained == ("q1",)
    assert (seen.both, seen.neither, seen.compared) == (1, 2, 5)


def test_a_run_compared_with_itself_loses_and_gains_nothing() -> None:
    seen = compare(marked("0110"), marked("0110"))
    assert (seen.lost, seen.gained, seen.compared) == ((), (), 4)


def test_changed_questions_are_listed_with_both_answers_cut_to_size() -> None:
    items = [choice("q0"), choice("q1"), choice("q2")]
    now, then = {"q0": "B" * 9_000_000, "q1": "A", "q2": "A"}, {"q0": "A", "q1": "\x1b[2J\ud800", "q2": "A"}
    rows = changed(compare(exact(items, now), exact(items, then)), items, now, then)
    assert [row["id"] for row in rows["lost"]] == ["q0"]
    assert rows["lost"][0]["now"].endswith("(9000000 characters)")
    assert rows["gained"] == [{"id": "q1", "group": "Art", "gold": ["A"], "then": "\\x1b[2J\\ud800", "now": "A"}]
