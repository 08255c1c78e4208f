"""The page of a run whose answers, names and recorded paths mean harm, or are without measure."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.pages import ERRORED, EVIDENCE, RUN, answer, append, change, change_rows, exchange, sound

from vlm_acceptance.report.html import PAGE_BYTES, render

STOPPED = "tests/acceptance/test_schema.py::test_stop_string_stops"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</pre></details></html>",
    "<!-- ]]> &#0; &lt;",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07",
    "\x00\x08\x0b\x0c\r\x7f\x85\u2028",
    "\u202egnorw\u2066\ufeff",
    "\ud800 and \udfff",
    "\x1b[2J" * 1000,
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the stored run, moved from where it was made."""
    return Path(shutil.copytree(RUN, tmp_path / "20261101T080000Z-control-cpu"))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_answers_are_shown_and_do_nothing(run: Path, hostile: str) -> None:
    def poison(row: dict[str, Any]) -> None:
        row.update(message=f"{hostile}\n{hostile}", must=hostile, properties={hostile: hostile, "evidence": hostile})
        for found in row["findings"]:
            found.update(check=hostile, expected=hostile, observed=hostile, where=hostile, repeat=hostile)

    change_rows(run, "results.jsonl", poison)
    change_rows(run, "exchanges.jsonl", lambda row: row.update(body=answer(hostile), frames=[]))
    append(run, "exchanges.jsonl", exchange(ERRORED, answer(hostile)))
    append(run, "exchanges.jsonl", exchange(ERRORED, hostile))
    poisoned = {
        "statement": hostile,
        "reason": hostile,
        "notes": [hostile],
        "scope": {hostile: hostile},
        "areas": {hostile: {hostile: 1}},
        "latency": {hostile: {"n": hostile, "tokens": hostile}},
        "references": {hostile: {"score": 1.0, "source": hostile}},
        "not_applicable": {hostile: hostile},
        "versions": {hostile: [hostile]},
    }
    read = sound(render(change(run, lambda s: s.update(poisoned))))
    assert len(read.all("image")) == 1
    assert "49" not in read.text("h1") and "alert" not in read.text("h1")


@pytest.mark.parametrize("ident", ["<b>::<script>", "x.py::test['\"><img src=x onerror=y>]", "\x1b[2J"])
def test_a_hostile_test_id_is_only_text(run: Path, ident: str) -> None:
    change_rows(run, "results.jsonl", lambda row: row.update(id=ident + row["id"], area=ident))
    sound(render(run))


@pytest.mark.parametrize(
    "place",
    [
        "javascript:alert(1)",
        "https://example.org/evidence",
        "//example.org/evidence",
        "../../elsewhere",
        "/etc",
        "evidence/../..",
        "",
        ".",
        "outside",
        "a\0b",
        "evidence/" + "x" * 5000,
        "(the evidence of 12 other exchanges of this test was kept; see exchanges.jsonl)",
    ],
)
def test_evidence_outside_the_run_is_named_but_not_linked(run: Path, place: str) -> None:
    (run / "outside").symlink_to("/")

    def move(row: dict[str, Any]) -> None:
        for found in row["findings"]:
            found["evidence"] = place

    read = sound(render(change_rows(run, "results.jsonl", move)))
    assert not read.all("use")
    listed = {f"{EVIDENCE}/", "https://example.org/model-card"}  # in the list of files, and of the summary
    assert {str(attrs["href"]) for attrs in read.all("a") if "/" in str(attrs["href"])} <= listed


def test_evidence_that_is_recorded_relative_to_the_run_is_linked(run: Path) -> None:
    def move(row: dict[str, Any]) -> None:
        for found in row["findings"]:
            found["evidence"] = EVIDENCE

    assert len(sound(render(change_rows(run, "results.jsonl", move))).all("image")) == 1


def test_names_of_files_are_quoted_in_links(run: Path) -> None:
    (run / EVIDENCE / "javascript:a b#c?d.png").write_bytes(b"")
    read = sound(render(run))
    assert f"{EVIDENCE}/javascript%3Aa%20b%23c%3Fd.png" in [attrs["href"] for attrs in read.all("a")]


@pytest.mark.parametrize(
    ("source", "linked"),
    [("https://example.org/card", True), ("javascript:alert(1)", False), ("data:text/html,x", False), ("card", False)],
)
def test_a_source_is_linked_only_when_it_is_a_web_address(run: Path, source: str, linked: bool) -> None:
    read = sound(render(change(run, lambda s: s.update(references={"X": {"score": 1.0, "source": source}}))))
    assert source in read.text("table")
    assert (source in [attrs["href"] for attrs in read.all("a")]) is linked


def test_ten_megabytes_of_answer_are_cut_with_a_note(run: Path) -> None:
    long = "<b>" * 3_500_000

    def lengthen(row: dict[str, Any]) -> None:
        row["message"] = long
        for found in row["findings"]:
            found["observed"] = long

    change_rows(run, "results.jsonl", lengthen)
    append(run, "exchanges.jsonl", exchange(ERRORED, answer(long)))
    page = render(run)
    assert len(page.encode()) < 200_000
    read = sound(page)
    assert "cut, 10,500,000 characters" in read.text("article")
    assert "(10500000 characters)" in read.text("pre")


def test_many_failures_still_make_a_page_of_two_megabytes(run: Path) -> None:
    found = {"check": "x", "expected": "e" * 5000, "observed": "&" * 5000, "where": "w", "evidence": "", "repeat": ""}
    for number in range(100):
        append(
            run,
            "results.jsonl",
            {
                "id": f"tests/acceptance/test_schema.py::test_{number}",
                "area": "schema",
                "outcome": "failed",
                "seconds": 0.1,
                "message": "x",
                "findings": [found] * 12,
            },
        )
    page = render(run)
    assert len(page.encode()) < PAGE_BYTES
    assert "cut, 5,000 characters" in sound(page).text("article")


def twelve_exchanges(run: Path, number: int) -> None:
    """A failed test with twelve exchanges, each with a finding, its evidence and a picture."""
    text = "A man said: " + "who can tell, and which one is it? " * 20
    ident = f"tests/acceptance/test_x.py::test_{number}"
    findings = []
    with (run / "exchanges.jsonl").open("a", encoding="utf-8") as exchanges:
        for count in range(12):
            name = f"evidence/test_{number}/r{number:03}{count:02}"
            (run / name).mkdir(parents=True)
            picture = Image.new("RGB", (448, 448), (number, count, 99))
            picture.save(run / name / "picture-1.png", compress_level=1)
            (run / name / "repeat.txt").write_text("URL=http://127.0.0.1:8000\ncurl\n", "utf-8")
            exchanges.write(json.dumps(exchange(ident, answer(text), name[-6:])) + "\n")
            findings.append({"check": "x", "expected": text, "observed": text, "evidence": name})
    row = {"id": ident, "area": "x", "outcome": "failed", "seconds": 0.1, "message": text}
    append(run, "results.jsonl", {**row, "findings": findings})


def timed(run: Path) -> tuple[str, float]:
    """The page of a run, and the seconds of this process that it took."""
    started = time.process_time()
    return render(run), time.process_time() - started


def test_a_page_of_a_thousand_exchanges_is_small_and_soon_made(run: Path) -> None:
    """1,000 exchanges with evidence, and as many pictures: at most 3 MB, and four times the seconds of half of them."""
    (run / "results.jsonl").write_text("", "utf-8")
    for number in range(42):
        twelve_exchanges(run, number)
    render(run)  # which reads templates once
    _, half = timed(run)
    for number in range(42, 84):
        twelve_exchanges(run, number)
    page, whole = timed(run)
    assert whole < 4 * half
    assert 500_000 < len(page.encode()) < 3_000_000
    assert page.count('<details class="test failed"') == 84 + 1  # of the summary


def test_findings_beyond_forty_are_counted(run: Path) -> None:
    change_rows(run, "results.jsonl", lambda row: row.update(findings=row["findings"] * 20))
    assert "… and 20 more findings; see results.jsonl." in sound(render(run)).text("article")


def test_an_answer_nested_too_deep_to_read_is_named(run: Path) -> None:
    append(run, "exchanges.jsonl", exchange(ERRORED, "[" * 200_000))
    assert "r00099" in sound(render(run)).text("pre")


def test_a_link_in_an_evidence_folder_leads_to_no_picture_elsewhere(run: Path, tmp_path: Path) -> None:
    private = tmp_path / "private.png"
    shutil.copy(run / EVIDENCE / "picture-1.png", private)
    (run / EVIDENCE / "picture-1.png").unlink()
    (run / EVIDENCE / "picture-1.png").symlink_to(private)
    assert not sound(render(run)).all("image")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_observations_are_shown_and_do_nothing(run: Path, hostile: str) -> None:
    answer = {"test": hostile, "text": hostile, "right": hostile, "problem": hostile, "wrong": [hostile]}
    texts = dict.fromkeys(("group", "question", "language", "prompt", "name", "picture"), hostile)
    row = {**texts, "planted": [[hostile]], "asked": 2, "right": 1, "answers": [answer, {**answer, "problem": ""}]}
    (run / "observations").mkdir()
    (run / "observations" / "gallery.json").write_text(json.dumps([row]), "utf-8")
    values = [{"key": hostile, "value": hostile, "source": source} for source in (hostile, "default")]
    (run / "observations" / "profile.json").write_text(json.dumps(values), "utf-8")
    (run / EVIDENCE / "repeat.txt").write_text(f"URL={hostile}", "utf-8", "replace")
    causes = [{"title": hostile, "advice": hostile, "tests": [STOPPED]}]
    known = {"known_issue": hostile}
    change_rows(run, "results.jsonl", lambda one: one.update(properties=known))
    sound(render(change(run, lambda s: s.update(causes=causes, accuracy=[hostile]))))


def test_a_stream_without_an_answer_shows_its_events(run: Path) -> None:
    row = {**exchange(ERRORED, ""), "stream": True, "frames": [[0.1, "", '{"error": "EngineCore died"}']]}
    append(run, "exchanges.jsonl", row)
    assert "EngineCore died" in sound(render(run)).text("pre")
