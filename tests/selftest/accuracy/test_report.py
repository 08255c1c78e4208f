"""The accuracy report: its text, its verdict lines and its properties show what was counted, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support.made_run import DOMAINS, answered, choice, exact, failed, generous, open_item

from vlm_acceptance.accuracy import report
from vlm_acceptance.accuracy.baseline import changed, compare
from vlm_acceptance.accuracy.item import Answer, Item
from vlm_acceptance.accuracy.metrics import measure, score

ABOUT: Mapping[str, Any] = MappingProxyType(
    {
        "dataset": "MMMU_val",
        "revision": "master",
        "data_sha256": "d" * 64,
        "protocol": "vlmevalkit",
        "deviations": ("the chat template puts a line feed behind every turn",),
        "prompts_sha256": "p" * 64,
        "sampling": {"temperature": 0, "max_tokens": 1024},
        "model": "InternVL2-2B",
        "engine": "server",
        "device": "npu",
        "versions": {"vllm": "0.18.0", "torch-npu": None},
    }
)


def nine_hundred() -> tuple[list[Item], dict[str, Answer]]:
    """900 questions, 329 right by the deciding scorer."""
    items = [choice(f"q{n}", ("Art", "Music", "Math", "Physics", "Law")[n % 5]) for n in range(890)]
    items += [open_item(f"o{n}", "Math") for n in range(10)]
    texts = ["A"] * 329 + ["B"] * 300 + ["C"] * 261 + ["no idea"] * 10
    return items, {item.id: answered(item.id, text) for item, text in zip(items, texts)}


def made(
    items: list[Item], answers: dict[str, Answer], about: Mapping[str, Any] = ABOUT, **more: Any
) -> dict[str, Any]:
    found = score(items, answers, {"vlmevalkit_2024_07": exact, "generous": generous})
    measured = measure(items, answers, found, "vlmevalkit_2024_07", DOMAINS, span_s=90.0, new_answers=900)
    statistics = {"limits": {"low": 303, "high": 373}, "standard_error": float("nan"), "p": 0.25, "list": (1, 2)}
    content = report.content(about, measured, more.pop("statistics", statistics), **more)
    return json.loads(json.dumps(content, allow_nan=False))


def test_the_first_line_has_count_percent_interval_scorer_and_protocol() -> None:
    wanted = "MMMU_val 329/900 = 36.6 % (33.5-39.8), scorer vlmevalkit_2024_07, protocol vlmevalkit"
    assert report.verdict_lines(made(*nine_hundred()))[0] == wanted


def test_the_first_line_of_an_unfinished_run_shows_what_is_missing() -> None:
    items, answers = nine_hundred()
    del answers["q3"]
    answers["q0"], answers["q1"] = failed("q0", "lost", "timeout"), failed("q1", "refused", "400")
    head = report.verdict_lines(made(items, answers))[0]
    assert head.startswith("MMMU_val 326/897 = 36.3 % ")
    assert "of 900 questions 1 refused, 1 lost, 1 not asked" in head


def test_the_first_line_of_a_run_without_answers_has_no_score() -> None:
    head = report.verdict_lines(made(nine_hundred()[0], {}))[0]
    assert "0/0, nothing answered" in head
    assert "900 not asked" in head
    assert "%" not in head


def test_the_json_describes_data_protocol_sampling_and_versions() -> None:
    content = made(*nine_hundred())
    assert content["schema"] == "vlm-acceptance/accuracy/1"
    assert content["deviations"] == list(ABOUT["deviations"])
    assert content["sampling"] == {"temperature": 0, "max_tokens": 1024}
    assert content["versions"] == {"vllm": "0.18.0", "torch-npu": None}
    assert content["data_sha256"] == "d" * 64
    assert content["total"]["right"] == 329
    assert content["statistics"]["limits"] == {"low": 303, "high": 373}


def test_a_number_that_json_cannot_hold_is_null() -> None:
    assert made(*nine_hundred())["statistics"]["standard_error"] is None


def test_further_keys_of_the_caller_are_at_the_top() -> None:
    about = {**ABOUT, "control": True}
    assert made(*nine_hundred(), about=about)["control"] is True


@pytest.mark.parametrize(
    ("device", "stem", "name"),
    [
        ("npu", "mmmu_val", "npu_accuracy_mmmu_val.json"),
        ("CPU", "MMMU mini", "cpu_accuracy_mmmu_mini.json"),
        ("../x", "a/b", "x_accuracy_a_b.json"),
        ("", "mmmu_val", "unknown_accuracy_mmmu_val.json"),
    ],
)
def test_the_file_has_the_name_of_the_guide_on_every_device(device: str, stem: str, name: str) -> None:
    assert report.file_name(device, stem) == name


def test_the_table_has_every_domain_subject_and_scorer_with_its_interval() -> None:
    shown = report.text(made(*nine_hundred()))
    rows = shown.splitlines()
    for name in ("all", "multiple-choice", "open", "Art and Design", "  Art", "  Music", "Science", "  Math", "  Law"):
        assert any(row.startswith(f"{name} ") and "/" in row and row.endswith(")") for row in rows), name
    assert sum(row.startswith("  Art ") for row in rows) == 1
    assert any(row.startswith("vlmevalkit_2024_07 (deciding)") and " 329/900 " in row for row in rows)
    assert any(row.startswith("generous ") and " 900/900 " in row for row in rows)
    assert "the chat template puts" in shown
    assert "torch-npu not known" in shown


def test_columns_are_aligned() -> None:
    items, answers = nine_hundred()
    rows = report.text(made(items, answers)).splitlines()
    start = next(number for number, row in enumerate(rows) if row.startswith("all "))
    ends = {row.rstrip().index("  (") for row in rows[start:] if row.endswith(")") and "-" in row.rpartition("(")[2]}
    assert len(ends) == 1


def test_the_table_is_ascii_of_bounded_width_and_ends_in_one_line_feed() -> None:
    shown = report.text(made(*nine_hundred()))
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 160
    assert shown.endswith("\n")
    assert not shown.endswith("\n\n")


def test_ten_failures_and_repeats_are_listed_and_the_others_counted() -> None:
    items, answers = nine_hundred()
    for number in range(12):
        answers[f"q{number}"] = failed(f"q{number}", "lost", "timeout: 600 s")
    answers["q20"] = answered("q20", "A", attempts=("connect: refused",))
    shown = report.text(made(items, answers))
    assert shown.count("lost: 'timeout: 600 s'") == 10
    assert "and 3 more" in shown
    assert "without an answer" not in report.text(made(*nine_hundred()))


def test_statistics_and_sentences_of_the_caller_are_shown() -> None:
    shown = report.text(made(*nine_hundred(), statements=["a drop of 5.1 points is refused with 80 %"]))
    assert "  a drop of 5.1 points" in shown
    assert "limits.low" in shown
    assert " 303\n" in shown
    assert "standard_error                       not known" in shown


def test_lost_and_gained_questions_are_listed_with_both_answers() -> None:
    items, answers = nine_hundred()
    now = {ident: answer.text or "" for ident, answer in answers.items()}
    then = {**now, "q0": "D", "q400": "A", "q401": "A" * 500}
    seen = compare(exact(items, now), exact(items, then))
    rows = changed(seen, items, now, then)
    shown = report.text(made(items, answers, comparison={"name": "gpu.xlsx", "compared": seen.compared, **rows}))
    assert "  lost (1)\n    q400 " in shown
    assert "gold A: then 'A', now 'B'" in shown
    assert "  gained (1)\n    q0 " in shown


def test_a_stopped_run_shows_the_reason_near_the_top() -> None:
    content = made(*nine_hundred(), stopped="after 40 questions: p < 0.01")
    assert report.text(content).splitlines()[2] == "stopped early: after 40 questions: p < 0.01"
    assert report.verdict_lines(content)[1] == "stopped early: after 40 questions: p < 0.01"


def test_the_verdict_lines_are_at_most_twelve_and_begin_with_the_score() -> None:
    content = made(*nine_hundred(), statements=[f"sentence {n}" for n in range(30)], stopped="so")
    lines = report.verdict_lines(content)
    assert len(lines) == 12
    assert lines[0].startswith("MMMU_val 329/900 = 36.6 %")
    assert "sentence 0" in lines
    assert all("\n" not in line and line.isascii() for line in lines)


def test_a_long_sentence_is_wrapped_for_the_terminal_and_not_cut() -> None:
    sentence = "of all that was asked here " * 10 + "nothing is lost"
    lines = report.verdict_lines(made(*nine_hundred(), statements=[sentence]))
    assert " ".join(line.strip() for line in lines).endswith(sentence)


def test_the_verdict_lines_show_an_unusual_shape() -> None:
    items = [choice("a"), choice("b"), choice("c")]
    calm = report.verdict_lines(made(items, {item.id: answered(item.id, "A") for item in items}))
    assert "shape: most frequent letter A 100.0 %, every answer could be read" in calm
    mute = report.verdict_lines(made(items, {item.id: answered(item.id, "") for item in items}))
    assert "shape: no letter read, choices without a letter 3/3, empty 3/3" in mute


def test_subjects_are_right_of_answered() -> None:
    items = [choice(f"q{n}", "Art") for n in range(30)]
    answers = {item.id: answered(item.id, "A" if n < 11 else "B") for n, item in enumerate(items)}
    assert report.subject_counts(made(items, answers)) == {"Art": "11/30"}
    answers["q29"] = failed("q29", "lost", "x")
    assert report.subject_counts(made(items, answers)) == {"Art": "11/29 of 30"}


def test_hostile_answers_and_names_break_no_output() -> None:
    evil = "\x1b[2J\ud800\x00\n</td><script>alert(1)</script>\u202e模型" * 50
    items = [choice("q0", evil), choice(evil, "Art"), open_item("q2", "Art")]
    answers = {"q0": answered("q0", evil * 1000), "q2": answered("q2", "A" * 10_000_000)}
    answers[evil] = failed(evil, "refused", evil * 1000)
    about = {**ABOUT, **dict.fromkeys(("dataset", "revision", "data_sha256", "protocol", "model"), evil)}
    about["deviations"] = [evil]
    content = made(items, answers, about=about, statements=[evil], stopped=evil, statistics={evil: evil})
    shown = report.text(content) + "\n".join(report.verdict_lines(content)) + report.verdict_lines(content)[0]
    assert shown.replace("\n", "").isprintable()
    assert shown.isascii()
    assert len(shown) < 20_000
    assert len(json.dumps(content)) < 200_000
    for name, value in report.subject_counts(content).items():
        ElementTree.fromstring(ElementTree.tostring(ElementTree.Element("property", {"name": name, "value": value})))
