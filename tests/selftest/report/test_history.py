"""The history of stored runs: steps are marked and named with what changed, and quiet nights are quiet."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.support.made_history import (
    Edit,
    accuracy_of,
    nights,
    rejected,
    slower,
    spread,
    summary_of,
    upgraded,
    write_run,
)
from tests.support.pages import RUN
from tests.support.still_pages import still

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.report.history import tracks_of, write_history
from vlm_acceptance.report.history_night import Score, read_night
from vlm_acceptance.report.history_series import Series, marks_of, trends_of
from vlm_acceptance.report.runs_index import write_index

SLOW, LOW = 19, 24  # numbers of nights: 2026-11-20 and 2026-11-25


def both(*edits: Edit) -> Edit:
    """Several changes of a summary as one."""
    return lambda summary: [edit(summary) for edit in edits]


def made_score(rights: Iterable[int], total: int) -> Series:
    """The series of a score with these counts."""
    scores = [Score(right, total) for right in rights]
    return Series("score", "s", [score.right / score.total for score in scores], scores)


def test_a_slower_engine_and_a_lower_score_are_marked_and_named(tmp_path: Path) -> None:
    edits = {SLOW: both(slower(1.6), upgraded("0.19.0"))}
    nights(tmp_path, 30, edits=edits, scores={LOW: 0.28})
    page, (track,) = write_history(tmp_path)
    said = {
        sentence.start: sentence.text
        for sentence in track.sentences
        if "TTFT" in sentence.text or "score" in sentence.text
    }
    assert said.keys() == {SLOW, LOW}
    assert said[SLOW].startswith("On 2026-11-20: TTFT, TPOT, E2E of ")
    assert " are longer, up to 1." in said[SLOW] and ", before " in said[SLOW]
    assert "On this night changed: vllm changed from 0.18.0 to 0.19.0." in said[SLOW]
    assert said[LOW].startswith("On 2026-11-25: the score is lower, ")
    assert "MMMU_val, direct" in said[LOW] and "/900)" in said[LOW]
    assert {mark.start for mark in track.marks} == {SLOW, LOW}
    read = still(page.read_text("utf-8"))
    assert said[SLOW] in read.text() and said[LOW] in read.text()
    cells = [str(attrs["class"]) for attrs in read.all("li") if "title" in attrs]
    assert [at for at, name in enumerate(cells) if "marked" in name] == [SLOW, LOW]


def test_all_figures_of_a_slower_engine_are_one_sentence(tmp_path: Path) -> None:
    nights(tmp_path, 30, edits={SLOW: slower(1.8)})
    (track,) = write_history(tmp_path)[1]
    (text,) = [one.text for one in track.sentences]
    assert "TTFT, TPOT, E2E of ocr, description, understanding, reasoning, chinese, large_pictures are longer" in text
    assert text.endswith("No version, file or setting that the runs report changed on this night.")


def test_one_figure_of_one_category_is_named_with_its_ratio(tmp_path: Path) -> None:
    def one(summary: dict[str, Any]) -> None:
        summary["latency"]["ocr"]["ttft_s"] *= 2

    nights(tmp_path, 30, edits={SLOW: one})
    (text,) = [sentence.text for sentence in write_history(tmp_path)[1][0].sentences]
    assert text.startswith("On 2026-11-20: TTFT of ocr is ") and " times as long (0." in text


def test_an_engine_that_stays_slower_is_slower_since_its_first_night(tmp_path: Path) -> None:
    nights(tmp_path, 30, edits={at: slower(1.5, "ttft_s") for at in range(SLOW, 30)})
    (track,) = write_history(tmp_path)[1]
    (text,) = [one.text for one in track.sentences]
    assert text.startswith("Since 2026-11-20: TTFT of ") and " are longer, up to 1." in text


def test_a_figure_that_changes_little_by_little_is_a_trend(tmp_path: Path) -> None:
    nights(tmp_path, 60, edits={at: slower(1.006**at, "e2e_s") for at in range(60)})
    (track,) = write_history(tmp_path)[1]
    said = [one.text for one in track.sentences]
    assert said and all("E2E of " in text for text in said)
    assert any(
        text.startswith("From 2026-11-01 to 2026-12-30 E2E of ") and "changed little by little, from 0." in text
        for text in said
    )
    assert all(one.is_worse for one in track.sentences)


def test_a_busy_machine_is_named_as_the_reason_of_longer_answers(tmp_path: Path) -> None:
    def starved(summary: dict[str, Any]) -> None:
        for row in summary["latency"].values():
            row.update(e2e_s=row["e2e_s"] + 1.0, waited_s=0.9)

    nights(tmp_path, 30, edits={SLOW: starved})
    (text,) = [one.text for one in write_history(tmp_path)[1][0].sentences]
    assert "The machine was busy: 0.89 s of it can be waiting for a processor." in text


def test_quiet_nights_have_no_sentence(tmp_path: Path) -> None:
    nights(tmp_path, 30)
    page, (track,) = write_history(tmp_path)
    assert (track.marks, track.sentences) == ([], [])
    assert "No step in any figure, and no change of the verdict." in still(page.read_text("utf-8")).text()


def test_at_most_one_of_twenty_quiet_histories_has_a_mark() -> None:
    chance = random.Random(7)
    marked = 0
    for _ in range(200):
        together = [spread(chance, 0.02) for _ in range(30)]
        series = [
            Series("ttft_s", f"c{number}", [0.13 * night * spread(chance, 0.04) for night in together])
            for number in range(18)
        ]
        counts = [accuracy_of(chance, 0.36)["total"] for _ in range(30)]
        fixed = [96 - sum(chance.random() < 0.02 for _ in range(96)) for _ in range(30)]
        series += [made_score((row["right"] for row in counts), 900), made_score(fixed, 96)]
        marks = marks_of(series)
        marked += bool(marks or trends_of(series, marks))
    assert marked <= 10


def test_the_verdicts_that_change_are_said_with_their_first_cause(tmp_path: Path) -> None:
    nights(tmp_path, 8, edits={5: rejected("1", "2")})
    page, (track,) = write_history(tmp_path)
    assert [one.text for one in track.sentences] == [
        "On 2026-11-07: accepted again.",
        "On 2026-11-06: rejected (the picture was not seen).",
    ]
    table = still(page.read_text("utf-8")).text("table")
    assert "rejected 38 / 40 the picture was not seen" in table


def test_runs_of_one_day_are_told_apart_by_their_time(tmp_path: Path) -> None:
    nights(tmp_path, 3, edits={1: rejected("1")})
    (tmp_path / "runs" / "20261102T020000Z-p").rename(tmp_path / "runs" / "20261101T093005Z-p")
    (track,) = write_history(tmp_path)[1]
    assert [one.text for one in track.sentences] == [
        "On 2026-11-03: accepted again.",
        "On 2026-11-01 09:30:05: rejected (the picture was not seen).",
    ]
    assert "time since 2026-11-01 02:00 UTC" in still((tmp_path / "history.html").read_text("utf-8")).text("svg")


def test_every_night_links_to_its_page_and_names_what_changed(tmp_path: Path) -> None:
    nights(tmp_path, 3, edits={2: upgraded("0.19.0")})
    page, _ = write_history(tmp_path)
    read = still(page.read_text("utf-8"))
    assert "runs/20261103T020000Z-p/report.html" in {attrs["href"] for attrs in read.all("a")}
    assert "vllm changed from 0.18.0 to 0.19.0" in read.text("table")
    assert read.all("svg")


def test_runs_of_other_profiles_and_models_are_not_compared(tmp_path: Path) -> None:
    nights(tmp_path, 30)
    for number in range(30, 33):
        summary = summary_of(random.Random(number), tmp_path)
        slower(3)(summary)
        summary["scope"]["profile"] = "other"
        write_run(tmp_path, number, summary)
    tracks = write_history(tmp_path)[1]
    assert [(track.name, len(track.nights)) for track in tracks] == [
        ("p, org/model, launched", 30),
        ("other, org/model, launched", 3),
    ]
    assert [track.marks for track in tracks] == [[], []]


def test_a_run_that_was_narrowed_is_listed_and_its_figures_are_not_used(tmp_path: Path) -> None:
    nights(tmp_path, 20, edits={15: both(slower(3), lambda summary: summary.update(narrowed="-k x", verdict="none"))})
    (track,) = write_history(tmp_path)[1]
    assert len(track.nights) == 20 and track.sentences == []


def test_a_run_that_was_judged_again_is_no_night(tmp_path: Path) -> None:
    nights(tmp_path, 4, edits={3: lambda summary: summary.update(judged={"run": "20261103T020000Z-p"})})
    page, (track,) = write_history(tmp_path)
    assert len(track.nights) == 3
    assert "1 judgement(s) of stored runs are left out: no engine ran." in still(page.read_text("utf-8")).text()
    assert "p (judged again: 20261103T020000Z-p)" in still(write_index(tmp_path).read_text("utf-8")).text("table")


def test_a_year_is_written_in_five_seconds(tmp_path: Path) -> None:
    nights(tmp_path, 365)
    began = time.process_time()
    page, (track,) = write_history(tmp_path)
    assert time.process_time() - began < 5
    assert len(track.nights) == 365
    assert page.stat().st_size < 2_000_000


def test_without_runs_there_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "runs" / "20261101T000000Z-p").mkdir(parents=True)
    with pytest.raises(UsageProblem, match="holds no finished run"):
        write_history(tmp_path)
    assert list(tmp_path.glob("*.html*")) == []


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
BROKEN = [
    "", "{", "[]", "1", '{"scope": 1, "tests": {"a": 1}, "latency": [1], "right": {"a": "b"}, "versions": null}',
    '{"latency": {"a": {"ttft_s": -1, "e2e_s": 1e300, "tpot_s": "x"}}, "right": {"x": [9, 8], "y": [1]}}',
    '{"stage_seconds": {"engine": true}, "causes": [1, {"title": null}], "capacity": [{"prompt": 1, "capacity": "x"}]}',
    '{"tests": [{"id": 1, "outcome": "passed"}, {"id": "a", "outcome": "failed", "properties": []}], "exit_code": "0"}',
]  # fmt: skip


def test_broken_and_hostile_runs_neither_stop_the_page_nor_speak_on_it(tmp_path: Path) -> None:
    for number, content in enumerate(BROKEN):
        folder = tmp_path / "runs" / f"2026120{number + 1}T000000Z-x"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(content, "utf-8")
    summary = summary_of(random.Random(1), tmp_path)
    summary = json.loads(
        json.dumps(summary).replace('"org/model"', json.dumps(HOSTILE)).replace('"ocr"', json.dumps(HOSTILE))
    )
    summary.update(verdict="rejected", causes=[{"title": HOSTILE}], versions={HOSTILE: HOSTILE}, reason=HOSTILE * 5000)
    write_run(tmp_path, 40, summary)
    write_run(tmp_path, 41, {**summary, "versions": {HOSTILE: "2"}})
    page, tracks = write_history(tmp_path)
    read = still(page.read_text("utf-8"))
    assert read.all("script") == []
    assert "\x1b" not in read.text() and "\u202e" not in read.text()
    assert "folder(s) hold no summary that can be read" in read.text()
    assert any(track.name.startswith("p, <script>") for track in tracks)


def test_a_link_out_of_the_reports_is_not_followed(tmp_path: Path) -> None:
    (secret,) = nights(tmp_path / "elsewhere", 1)
    (run,) = nights(tmp_path / "reports", 1)
    (tmp_path / "reports" / "runs" / "linked").symlink_to(secret)
    (run / "summary.json").unlink()
    (run / "summary.json").symlink_to(secret / "summary.json")
    with pytest.raises(UsageProblem):
        write_history(tmp_path / "reports")


def test_a_run_of_todays_format_is_read() -> None:
    night = read_night(RUN)
    assert (night.verdict, night.passed, night.total, night.is_control) == ("rejected", 3, 6, True)
    assert tracks_of([night])[0].marks == []


def test_the_ninetieth_percentile_is_that_of_warm_answers(tmp_path: Path) -> None:
    (run,) = nights(tmp_path, 1)
    (run / "observations").mkdir()
    warm = [{"cold": False, "ttft_s": number / 10, "tpot_s": "x"} for number in range(1, 11)]
    stored = {"categories": {"ocr": {"samples": [{"cold": True, "ttft_s": 9}, *warm, 1]}, "b": {"samples": 1}, "c": []}}
    (run / "observations" / "latency.json").write_text(json.dumps(stored), "utf-8")
    found = read_night(run).latency
    assert found["ttft_p90_s", "ocr"] == 0.9
    assert ("tpot_p90_s", "ocr") not in found
    page, (track,) = write_history(tmp_path)
    assert "Time to first token (TTFT), 90th percentile" in still(page.read_text("utf-8")).text()
    assert track.marks == []
