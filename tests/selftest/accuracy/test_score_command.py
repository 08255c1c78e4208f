"""`score` of the data sets of short answers: the means of stored answers, and one line for every mistake."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_splits import Values, noise_png, question

from vlm_acceptance.accuracy.item import OPEN
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, write_prepared
from vlm_acceptance.accuracy.prepared import Prepared

PACKAGES = ("ocrbench", "chartqa", "textvqa", "docvqa", "infovqa")


NAMES = {
    "ocrbench": "OCRBench", "chartqa": "ChartQA_test", "textvqa": "TextVQA_val", "docvqa": "DocVQA_val",
    "infovqa": "InfoVQA_val",
}  # fmt: skip


def prepared(folder: Path, rows: list[Values], prepared_as: str, dataset: str = "mini") -> Prepared:
    items = [
        NewItem(
            str(row["id"]), row["group"], OPEN, row["question"], (), tuple(row["golds"]),
            (NewPicture(1, noise_png(row["page"])),),
        )
        for row in rows
    ]  # fmt: skip
    return write_prepared(
        folder / "data", items, dataset=dataset, source="made", revision=None, about={"prepared_as": prepared_as}
    )


def answers_file(folder: Path, answers: dict[str, str]) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": k, "answer": v}) + "\n" for k, v in answers.items()), "utf-8")
    return path


def run(package: str, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = import_module(f"vlm_acceptance.accuracy.{package}.__main__").main(["score", *map(str, words)])
    return (code, *capsys.readouterr())


HALVES = [
    *(question(n, "test_human", ["100"]) for n in range(4)),
    *(question(n, "test_augmented", ["yes"]) for n in range(4, 6)),
]


def scored(tmp_path: Path, capsys: pytest.CaptureFixture[str], package: str, rows: list[Values], texts: list[str]):
    data = prepared(tmp_path, rows, NAMES[package])
    file = answers_file(tmp_path, {str(row["id"]): text for row, text in zip(rows, texts, strict=False)})
    out = tmp_path / "scores.json"
    code, said, problem = run(package, capsys, file, "--data", data.folder, "--json", out)
    assert (code, problem) == (0, "")
    content: dict[str, Any] = json.loads(out.read_text("utf-8"))
    assert content["data_sha256"] == data.sha256
    return said, {(row["scorer"], row["group"]): row for row in content["scores"]}


def test_every_scorer_and_half_of_chartqa_is_shown(tmp_path, capsys):
    said, rows = scored(tmp_path, capsys, "chartqa", HALVES, ["100", "95", "105.2", "7", " Yes\n", "no"])
    assert said.startswith("mini: 6 of 6 questions with a public answer are answered\n")
    assert rows["relaxed_internvl", "test_human"]["mean"] == 0.5
    assert rows["relaxed_gold", "test_human"]["mean"] == 0.5
    assert rows["relaxed_gold", "test_augmented"]["mean"] == 0.5
    assert [rows[name, ""]["mean"] for name in ("relaxed_internvl", "relaxed_gold")] == [0.5, 0.5]
    low, high = rows["relaxed_gold", ""]["low"], rows["relaxed_gold", ""]["high"]
    assert 0 <= low < 0.5 < high <= 1


def test_the_two_rules_of_relaxed_accuracy_differ(tmp_path, capsys):
    _, rows = scored(tmp_path, capsys, "chartqa", HALVES[:2], ["95", "95"])
    assert (rows["relaxed_internvl", ""]["mean"], rows["relaxed_gold", ""]["mean"]) == (0.0, 1.0)


def test_parts_of_a_point_make_the_mean(tmp_path, capsys):
    rows = [question(1, golds=["red"] * 2 + ["blue"] * 8), question(2, golds=["a dog"] * 10)]
    _, found = scored(tmp_path, capsys, "textvqa", rows, ["red", "Dog"])
    assert found["vqa_internvl", ""]["mean"] == pytest.approx(0.8)


def test_questions_about_one_picture_are_one_draw(tmp_path, capsys):
    alone = [question(n, golds=["abcd"]) for n in range(20)]
    texts = ["abcd"] * 10 + ["no"] * 10
    _, apart = scored(tmp_path, capsys, "docvqa", alone, texts)
    shared = [{**row, "page": f"page {n // 5}"} for n, row in enumerate(alone)]
    (tmp_path / "shared").mkdir()
    _, together = scored(tmp_path / "shared", capsys, "docvqa", shared, texts)
    widths = [each["anls", ""]["high"] - each["anls", ""]["low"] for each in (apart, together)]
    assert widths[1] > 1.5 * widths[0]


def test_one_picture_gives_no_interval(tmp_path, capsys):
    _, rows = scored(tmp_path, capsys, "infovqa", [question(1, golds=["x"])], ["x"])
    assert (rows["anls", ""]["mean"], rows["anls", ""]["low"]) == (1.0, None)


@pytest.mark.parametrize(("texts", "mean"), [(["x"] * 6, 1.0), (["no"] * 6, 0.0)])
def test_equal_scores_do_not_make_the_score_certain(tmp_path, capsys, texts, mean):
    _, rows = scored(tmp_path, capsys, "ocrbench", [question(n, "svt", ["x"]) for n in range(6)], texts)
    row = rows["containment", ""]
    assert row["mean"] == mean
    assert row["high"] - row["low"] > 0.3


def test_parts_that_are_equal_give_no_interval(tmp_path, capsys):
    rows = [question(n, golds=["red"] * 2 + ["blue"] * 8) for n in range(4)]
    _, found = scored(tmp_path, capsys, "textvqa", rows, ["red"] * 4)
    assert (found["vqa_internvl", ""]["low"], found["vqa_internvl", ""]["high"]) == (None, None)


def test_questions_without_a_public_answer_are_left_out(tmp_path, capsys):
    rows = [question(1, golds=["x"]), question(2, golds=[]), question(3, golds=["x"])]
    said, found = scored(tmp_path, capsys, "docvqa", rows, ["x", "y", "x"])
    assert "mini: 2 of 2 questions with a public answer are answered" in said
    assert "incomplete" not in said
    assert found["anls", ""]["questions"] == 2


def test_missing_answers_are_told_and_not_wrong(tmp_path, capsys):
    rows = [question(n, "IIIT5K", ["word"]) for n in range(3)]
    said, found = scored(tmp_path, capsys, "ocrbench", rows, ["a word", "words"])
    assert "mini: 2 of 3 questions with a public answer are answered" in said
    assert "incomplete" in said
    assert (found["containment", ""]["mean"], found["containment", ""]["answered"]) == (1.0, 2)


def test_capitals_count_in_formulas_alone(tmp_path, capsys):
    rows = [question(1, "HME100k", ["A + b"]), question(2, "svt", ["A + b"])]
    _, found = scored(tmp_path, capsys, "ocrbench", rows, ["a+b", "a + B"])
    assert (found["containment", "HME100k"]["mean"], found["containment", "svt"]["mean"]) == (0.0, 1.0)


@pytest.mark.parametrize("package", PACKAGES)
def test_mistakes_are_one_line(tmp_path, capsys, package):
    data = prepared(tmp_path, [question(1, golds=["x"] * 10), question(2, golds=["y"] * 10)], NAMES[package])
    empty, broken = tmp_path / "empty.jsonl", tmp_path / "broken.jsonl"
    empty.write_text("", "utf-8")
    broken.write_text('{"id": "60001"}\n', "utf-8")
    good, foreign = answers_file(tmp_path, {"60001": "x"}), tmp_path / "foreign.jsonl"
    twice, nameless = tmp_path / "twice.jsonl", tmp_path / "nameless.jsonl"
    twice.write_text(2 * '{"id": "60001", "answer": "x"}\n', "utf-8")
    nameless.write_text('{"id": "60001", "answer": "x"}\n{"id": "", "answer": "x"}\n', "utf-8")
    foreign.write_text('{"id": "60003", "answer": "x"}\n', "utf-8")
    cases = [
        ((tmp_path / "absent.jsonl", "--data", data.folder), 4, "does not exist"),
        ((empty, "--data", data.folder), 4, "holds no answer"),
        ((broken, "--data", data.folder), 4, "line 1"),
        ((twice, "--data", data.folder), 4, "line 2 answers 60001 a second time"),
        ((nameless, "--data", data.folder), 4, "'' is no question of mini"),
        ((foreign, "--data", data.folder), 4, "'60003' is no question of mini. Did you mean '6000"),
        ((good, "--data", tmp_path / "nowhere"), 10, f"accuracy.{package} prepare"),
        ((good, "--data", data.folder, "--json", tmp_path), 4, "--json"),
        ((good, "--dta", data.folder), 4, "Did you mean '--data'?"),
    ]
    for words, code, part in cases:
        got, said, problem = run(package, capsys, *words)
        assert (got, said) == (code, ""), problem
        assert part in problem
        assert problem.count("\n") == 1


def test_data_of_another_set_are_refused(tmp_path, capsys):
    data = prepared(tmp_path, [question(1, golds=["x"])], "InfoVQA_val")
    file = answers_file(tmp_path, {"60001": "x"})
    code, _, problem = run("docvqa", capsys, file, "--data", data.folder)
    assert code == 4
    assert "holds InfoVQA_val, not DocVQA_val" in problem


def test_answers_to_hidden_questions_are_not_scored(tmp_path, capsys):
    data = prepared(tmp_path, [question(1, golds=[])], "DocVQA_test")
    file = answers_file(tmp_path, {"60001": "x"})
    code, _, problem = run("docvqa", capsys, file, "--data", data.folder, "--split", "test")
    assert code == 4
    assert "the right answers to these questions are not in the data" in problem


def test_a_part_of_the_published_data_is_not_scored(tmp_path, capsys):
    data = prepared(tmp_path, [question(1, golds=["x"])], "DocVQA_val", "DocVQA_val")
    file = answers_file(tmp_path, {"60001": "x"})
    code, _, problem = run("docvqa", capsys, file, "--data", data.folder)
    assert code == 10
    assert "this is not the whole DocVQA_val: 1 of 5349 questions" in problem
