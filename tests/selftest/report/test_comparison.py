"""Two stored runs beside each other: what changed is shown with its size, what did not is said."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_history import accuracy_of, rejected, slower, summary_of, upgraded, write_run
from tests.support.pages import EVIDENCE, RUN
from tests.support.still_pages import still

from vlm_acceptance.core.files import BadFile
from vlm_acceptance.report.comparison import Comparison, compare
from vlm_acceptance.report.comparison_answers import compare_answers, marked
from vlm_acceptance.report.comparison_page import default_page, lines, write_page
from vlm_acceptance.report.comparison_scores import newcombe
from vlm_acceptance.report.history_night import Score

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PICTURE = f"<image/png, sha256 {hashlib.sha256(URL.encode()).hexdigest()[:16]}, {len(URL)} characters>"
TEST = "tests/acceptance/test_capability.py::test_reads"


def summary(seed: int = 1) -> dict[str, Any]:
    return summary_of(random.Random(seed), Path("x"))


def exchange(ident: str, question: str, answer: str, picture: str = PICTURE, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question}]
    request = {"model": "m", "seed": 1, "messages": [{"role": "user", "content": parts}], "max_tokens": 8}
    body = json.dumps({"choices": [{"index": 0, "message": {"content": answer}}]})
    row = {"test": TEST, "id": ident, "method": "POST", "path": "/v1/chat/completions", "request": request}
    return {**row, "status": 200, "body": body, "frames": [], **more}


def streamed(ident: str, question: str, *pieces: str) -> dict[str, Any]:
    frames: list[list[object]] = [
        [0.1 * at, "", json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]})]
        for at, piece in enumerate(pieces)
    ]
    return exchange(ident, question, "", body=None, frames=[*frames, [0.9, "", "[DONE]"]])


def lines_of(folder: Path, name: str, *rows: Mapping[str, Any]) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run, and one after an upgrade that is slower, reads worse and fails a test."""
    chance = random.Random(1)
    before, now = summary(), summary()
    slower(2.0, "ttft_s")(now)
    upgraded("0.19.0")(now)
    rejected("3")(now)
    now["capacity"][0]["capacity"] = 4
    first = write_run(tmp_path, 0, before, accuracy_of(chance, 0.36))
    second = write_run(tmp_path, 1, now, accuracy_of(chance, 0.28))
    lines_of(first, "results.jsonl", {"id": "a", "findings": []})
    found = {"check": "answer.words", "title": "expected words", "expected": "x", "observed": "y"}
    lines_of(second, "results.jsonl", {"id": "a", "findings": [found, found]})
    lines_of(first, "exchanges.jsonl", exchange("r1", "Which?", "The red bar."), exchange("r2", "How many?", "4"))
    lines_of(second, "exchanges.jsonl", exchange("r8", "Which?", "The blue bar."), streamed("r9", "How many?", "", "4"))
    return first, second


def rows_of(compared: Comparison, ident: str) -> list[tuple[str, str, str]]:
    return [(row.name, row.before, row.now) for row in compared.section(ident).rows]


def test_what_changed_is_in_its_section(runs: tuple[Path, Path]) -> None:
    compared = compare(*runs)
    assert rows_of(compared, "changes") == [("version: vllm", "0.18.0", "0.19.0")]
    assert rows_of(compared, "outcomes") == [("test_a.py::test_3", "passed", "failed")]
    assert rows_of(compared, "findings") == [("answer.words", "0", "2")]
    assert rows_of(compared, "causes") == [("the picture was not seen", "no", "yes")]
    assert rows_of(compared, "capacity") == [("short", "8 at once", "4 at once")]
    assert compared.unlike == [] and compared.gaps == []


def test_latency_has_its_ratio_and_what_is_much_slower_is_marked(runs: tuple[Path, Path]) -> None:
    section = compare(*runs).section("latency")
    found = {row.name: (row.note, row.mark) for row in section.rows}
    assert found["ocr: TTFT"] == ("× 2.00", "worse")
    assert found["ocr: TPOT"] == ("× 1.00", "")


def test_a_score_has_the_interval_of_each_run_and_of_the_difference(runs: tuple[Path, Path]) -> None:
    found = {row.name: row for row in compare(*runs).section("scores").rows}
    row = found["MMMU_val, direct"]
    assert "/900; " in row.before and "/900; " in row.now and row.mark == "worse"
    assert row.note.startswith("-") and "points (95 %: -" in row.note
    assert found["the questions of every run"].mark == ""


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10
        (Score(48, 80), Score(56, 70), (0.0524, 0.3339)),
        (Score(3, 10), Score(9, 10), (0.1705, 0.8090)),
        (Score(0, 10), Score(10, 10), (0.6075, 1.0)),
    ],
)
def test_the_interval_of_a_difference_is_that_of_the_literature(
    before: Score, now: Score, expected: tuple[float, float]
) -> None:
    assert newcombe(before, now) == pytest.approx(expected, abs=6e-5)


def test_the_same_question_is_compared_whether_streamed_or_not(runs: tuple[Path, Path]) -> None:
    answers = compare(*runs).answers
    assert (answers.same, answers.different, answers.only_first, answers.only_second) == (1, 1, 0, 0)
    (shown,) = answers.shown
    assert (shown.test, shown.question) == ("test_reads", "Which?")
    assert ("del", "red") in shown.before and ("ins", "blue") in shown.now


def test_a_question_is_another_one_with_another_picture_or_limit(runs: tuple[Path, Path]) -> None:
    other = exchange("r1", "Which?", "The red bar.", PICTURE.replace("sha256 ", "sha256 0")[:-1] + ">")
    lines_of(runs[1], "exchanges.jsonl", other, exchange("r2", "How many of them?", "4"))
    answers = compare(*runs).answers
    assert (answers.same, answers.different, answers.only_first, answers.only_second) == (0, 0, 2, 2)


def test_a_question_asked_twice_is_compared_with_its_own_repetition(runs: tuple[Path, Path]) -> None:
    for folder, last in zip(runs, ("b", "c"), strict=True):
        rows = [exchange("r1", "Which?", "a"), exchange("r2", "Which?", last)]
        lines_of(folder, "exchanges.jsonl", *rows)
    answers = compare(*runs).answers
    assert (answers.same, answers.different) == (1, 1)


def test_answers_that_are_none_are_left_out(runs: tuple[Path, Path]) -> None:
    broken = (
        exchange("r3", "x", "y", body="{"),
        exchange("r4", "x", "y", status=500),
        exchange("r5", "x", "y", request=None),
    )
    odd = exchange("r6", "x", "y", frames=[["a"], 1]), exchange("r7", "x", "y", body='{"choices": [1]}'), {"id": "r8"}
    for folder in runs:
        lines_of(folder, "exchanges.jsonl", *broken, *odd)
    answers = compare(*runs).answers
    assert (answers.same, answers.different, answers.only_first, answers.only_second) == (0, 0, 0, 0)


def test_the_page_shows_the_picture_and_both_texts_with_the_difference_marked(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = runs[0] / "evidence" / "x" / "r1"
    folder.mkdir(parents=True)
    (folder / "picture-1.png").write_bytes(PNG)
    page = write_page(compare(*runs), tmp_path / "compare.html")
    read = still(page.read_text("utf-8"))
    assert [attrs["src"] for attrs in read.all("img")] == [URL]
    assert (read.text("del"), read.text("ins")) == ("red", "blue")
    assert "The red bar. second The blue bar." in read.text("article")
    assert read.all("script") == []


def test_a_picture_of_the_suite_is_found_in_its_folder(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "sign.png").write_bytes(PNG)
    (shown,) = compare_answers(*runs, [tmp_path / "images"]).shown
    assert [str(picture) for picture in shown.pictures] == [URL]


def test_words_that_differ_are_marked_and_joined_again_they_are_the_texts() -> None:
    before, now = "The sign says RIVER 472.", "The sign said RIVER 471!"
    parts = list(marked(before, now))
    assert "".join(text for kind, text in parts if kind != "ins") == before
    assert "".join(text for kind, text in parts if kind != "del") == now
    assert [text for kind, text in parts if kind == "ins"] == ["said", "471!"]
    assert list(marked("a " * 1000, "b")) == [("del", "a " * 1000), ("ins", "b")]


def test_the_same_run_has_no_difference(runs: tuple[Path, Path]) -> None:
    compared = compare(runs[0], runs[0])
    shown = "\n".join(lines(compared))
    assert "Versions, files and settings: nothing changed" in shown
    assert "Outcomes of tests: every test has the same outcome" in shown
    assert "Latency: 18 compared, none differs much" in shown
    assert "2 questions in both runs, 2 answered alike, 0 differently" in shown
    assert not [row for section in compared.sections for row in section.rows if row.mark]


def test_the_terminal_gets_a_short_summary_of_what_differs(runs: tuple[Path, Path]) -> None:
    shown = lines(compare(*runs))
    assert len(shown) <= 45 and max(map(len, shown)) <= 150
    text = "\n".join(shown)
    assert "first:  ACCEPTED" in text and "second: REJECTED" in text
    assert "version: vllm: 0.18.0 -> 0.19.0" in text
    assert "ocr: TTFT: 0.1" in text and "× 2.00" in text
    assert "'The red bar.' -> 'The blue bar.'" in text


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model", "org/other", "The runs are of different models: org/model and org/other."),
        ("profile", "q", "The runs have different profiles: p and q."),
        ("deployment", "endpoint only", "One run started its engine and the other was attached"),
    ],
)
def test_runs_of_another_deployment_are_compared_and_the_first_line_says_so(
    key: str, value: str, says: str, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    stored = json.loads((runs[1] / "summary.json").read_text("utf-8"))
    stored["scope"][key] = value
    (runs[1] / "summary.json").write_text(json.dumps(stored), "utf-8")
    compared = compare(*runs)
    assert lines(compared)[0].startswith(says)
    assert says in still(write_page(compared, tmp_path / "c.html").read_text("utf-8")).text("header")


def test_a_run_of_todays_format_is_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    compared = compare(RUN, runs[1])
    still(write_page(compared, tmp_path / "c.html").read_text("utf-8"))
    assert compared.first.verdict == "rejected" and (RUN / EVIDENCE).is_dir()


def test_files_that_are_absent_or_broken_are_named(runs: tuple[Path, Path]) -> None:
    (runs[0] / "exchanges.jsonl").unlink()
    (runs[1] / "results.jsonl").write_text("{\n[]\n" + json.dumps({"findings": [1, {"check": 1}]}) + "\n", "utf-8")
    compared = compare(*runs)
    assert compared.gaps == [f"{runs[0].name}: exchanges.jsonl cannot be read: No such file or directory"]
    assert rows_of(compared, "findings") == []
    (runs[1] / "summary.json").write_text("{", "utf-8")
    with pytest.raises(BadFile, match="summary.json is not valid JSON"):
        compare(*runs)


def test_no_text_of_a_run_becomes_a_part_of_the_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    hostile = "</pre><script>alert(1)</script>\x1b[0m\u202e"
    lines_of(runs[1], "exchanges.jsonl", exchange("r1", "Which?", hostile), exchange("r2", hostile, hostile))
    stored = json.loads((runs[1] / "summary.json").read_text("utf-8"))
    stored["versions"]["<b>"] = hostile
    stored["tests"].append({"id": hostile, "outcome": hostile})
    (runs[1] / "summary.json").write_text(json.dumps(stored), "utf-8")
    read = still(write_page(compare(*runs), tmp_path / "c.html").read_text("utf-8"))
    assert read.all("script") == [] and "\x1b" not in read.text() and "\u202e" not in read.text()


def test_the_page_lies_in_the_folder_of_reports_of_the_second_run(tmp_path: Path) -> None:
    (tmp_path / "reports" / "runs" / "x").mkdir(parents=True)
    (tmp_path / "alone").mkdir()
    assert default_page(tmp_path / "reports" / "runs" / "x") == tmp_path / "reports" / "compare.html"
    assert default_page(tmp_path / "alone") == tmp_path / "alone" / "compare.html"


def test_values_of_the_profile_that_changed_are_named_where_both_runs_stored_them(runs: tuple[Path, Path]) -> None:
    note = compare(*runs).section("profile").same
    assert note == "the same values"
    for folder, budget in zip(runs, ("0.3", "0.5"), strict=True):
        (folder / "observations").mkdir()
        rows = [
            {"key": "latency.default.ttft_s", "value": budget, "source": "p.yaml"},
            {"key": "seed", "value": "1"},
            7,
        ]
        (folder / "observations" / "profile.json").write_text(json.dumps(rows), "utf-8")
    assert rows_of(compare(*runs), "profile") == [("latency.default.ttft_s", "0.3", "0.5")]


def test_a_difference_that_many_requests_have_is_shown_once(runs: tuple[Path, Path]) -> None:
    for folder, text in zip(runs, ("a", "b"), strict=True):
        others = [exchange(f"r{number}", "Which?", text, test=f"{TEST}[{number}]") for number in range(5)]
        lines_of(folder, "exchanges.jsonl", *others, exchange("r9", "How many?", text))
    answers = compare(*runs).answers
    assert [(one.question, one.more) for one in answers.shown] == [("Which?", 4), ("How many?", 0)]
    assert answers.different == 6


def test_scores_are_compared_question_by_question_where_both_runs_say_which_are_right(runs: tuple[Path, Path]) -> None:
    questions = [f"q{number}" for number in range(900)]
    for folder, wrong in zip(runs, (questions[:300], [*questions[2:300], *questions[400:415]]), strict=True):
        path = folder / "npu_accuracy_mmmu_val.json"
        stored = json.loads(path.read_text("utf-8"))
        stored["by_question"] = {ident: ident not in wrong for ident in questions}
        path.write_text(json.dumps(stored), "utf-8")
    row = next(row for row in compare(*runs).section("scores").rows if row.name.startswith("MMMU"))
    # 15 lost, 2 gained: twice the tail of a binomial of 17 with a share of 1/2, 154 / 2**17
    assert row.note.startswith("15 lost, 2 gained of 900: -1.4 points (95 %: -2.") and row.note.endswith("p 0.0023")
    assert row.mark == "worse"
    shown = lines(compare(*runs))
    assert row.note in "\n".join(shown) and max(map(len, shown)) <= 150


def test_a_difference_of_questions_that_chance_explains_is_not_marked(runs: tuple[Path, Path]) -> None:
    for folder, wrong in zip(runs, ("q1", "q2"), strict=True):
        path = folder / "npu_accuracy_mmmu_val.json"
        stored = json.loads(path.read_text("utf-8"))
        stored["by_question"] = {"q1": wrong != "q1", "q2": wrong != "q2", "q3": True, "q4": 1}
        path.write_text(json.dumps(stored), "utf-8")
    row = next(row for row in compare(*runs).section("scores").rows if row.name.startswith("MMMU"))
    assert row.note.startswith("1 lost, 1 gained of 3: +0.0 points") and row.mark == ""
