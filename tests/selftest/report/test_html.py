"""The page of a run: sound HTML from stored files alone."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.support.pages import (
    ERRORED,
    EVIDENCE,
    RUN,
    Reader,
    answer,
    append,
    change,
    change_rows,
    exchange,
    own_script,
    sound,
)

from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.report.html import render
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run.outputs import write_page


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the stored run, moved from where it was made."""
    return Path(shutil.copytree(RUN, tmp_path / "20261101T080000Z-control-cpu"))


@pytest.mark.parametrize("page", ["<p><b></p></b>", "<p>", "</p>", "<p id=a id=b></p>"])
def test_the_reader_of_these_tests_refuses_unsound_html(page: str) -> None:
    with pytest.raises(AssertionError):
        Reader(page)


def test_a_stored_run_makes_a_sound_and_semantic_page(run: Path) -> None:
    read = sound(render(run))
    assert read.all("html") == [{"lang": "en"}]
    assert "REJECTED – 20261101T080000Z-control-cpu" in read.text("title")
    assert len(read.all("h1")) == 1 and len(read.all("main")) == 1
    assert all(attrs.get("scope") for attrs in read.all("th"))
    assert all(attrs.get("aria-label") for attrs in read.all("svg") if attrs.get("role") == "img")
    assert all(attrs.get("aria-hidden") or attrs.get("role") == "img" for attrs in read.all("svg"))
    assert read.all("time") == [{"datetime": "2026-11-01T08:00:00+00:00"}]


def test_the_policy_of_the_page_forbids_network_and_every_script_but_its_own(run: Path) -> None:
    page = render(run)
    policy = [str(attrs["content"]) for attrs in sound(page).all("meta") if "http-equiv" in attrs]
    assert policy and policy[0].startswith("default-src 'none'; img-src data:;")
    assert "http" not in policy[0] and "script-src 'sha256-" in policy[0]
    assert own_script(page)
    assert not own_script(page.replace("</body>", "<script>alert(1)</script></body>"))
    assert not own_script(page.replace('"use strict"', '"use strict" '))
    assert not own_script(page.replace("script-src 'sha256-", "script-src 'unsafe-inline' 'sha256-"))


@pytest.mark.parametrize(
    ("verdict", "code", "headline", "tone"),
    [
        ("accepted", 0, "ACCEPTED (control)", "good"),
        ("rejected", 1, "REJECTED", "bad"),
        ("inconclusive", 11, "INCONCLUSIVE", "open"),
        ("inconclusive", 10, "INCONCLUSIVE (environment)", "open"),
        ("none", 11, "NO VERDICT", "open"),
    ],
)
def test_the_headline_has_the_verdicts_word_and_colour(
    run: Path, verdict: str, code: int, headline: str, tone: str
) -> None:
    read = sound(render(change(run, lambda s: s.update(verdict=verdict, exit_code=code))))
    assert read.text("h1") == headline
    assert read.all("body") == [{"class": tone}]


def test_an_accepted_model_is_not_called_the_control(run: Path) -> None:
    read = sound(render(change(run, lambda s: s.update(verdict="accepted", exit_code=0, control=False))))
    assert read.text("h1") == "ACCEPTED"


def test_the_head_has_statement_reason_and_scope(run: Path) -> None:
    head = sound(render(run)).text("header")
    assert "nothing is said about InternVL2-2B" in head
    assert "Parameters of requests are not obeyed 1 of 6 tests" in head
    assert "mode as attached" in head and "started 2026-11-01 08:00:00 UTC" in head


def test_areas_have_passed_of_all_and_name_the_rest(run: Path) -> None:
    body = sound(render(run)).text("table")
    assert "health 1/1" in body
    assert "schema 1/4 1.90 s 1 error, 1 failed, 1 not run" in body


def test_a_failed_test_shows_its_rule_findings_evidence_and_repeat_line(run: Path) -> None:
    read = sound(render(run))
    article = read.text("article")
    assert "`stop` MUST end the answer before the string" in article
    assert "stop.text fatal expected 'This is a '" in article
    assert "stop.finish , choice 0 expected finish_reason 'stop' observed 'length'" in article
    assert "stop.usage" in article
    hrefs = {str(attrs["href"]) for attrs in read.all("a")}
    assert {f"{EVIDENCE}/", f"{EVIDENCE}/request.json", f"{EVIDENCE}/response.json"} <= hrefs
    assert len(read.all("image")) == 1 and f"{EVIDENCE}/picture-1.png" in hrefs
    assert {attrs["aria-label"] for attrs in read.all("svg") if "aria-label" in attrs} == {"picture-1.png"}
    assert "urllib.request" in read.text("pre")
    assert "Anna, who bought 4 items" in read.text("pre")


def test_findings_about_one_exchange_show_its_evidence_once(run: Path) -> None:
    assert sound(render(run)).text().count("Evidence:") == 1


def test_details_are_folded_until_asked_for(run: Path) -> None:
    details = sound(render(run)).all("details")
    assert len(details) > 5 and all("open" not in attrs for attrs in details)


def test_every_relative_link_leads_to_a_file_of_the_run(run: Path) -> None:
    read = sound(render(run))
    links = [str(attrs["href"]) for attrs in read.all("a")]
    relative = [link for link in links if not link.startswith(("#", "http"))]
    assert len(relative) > 5
    assert all((run / unquote(link)).exists() for link in relative)


def test_observations_are_listed_beside_the_other_files(run: Path) -> None:
    (run / "observations").mkdir()
    (run / "observations" / "soak.json").write_text("{}", "utf-8")
    hrefs = {str(attrs["href"]) for attrs in sound(render(run)).all("a")}
    assert {"results.jsonl", "observations/soak.json"} <= hrefs


def test_an_errored_test_shows_its_traceback_and_last_exchanges(run: Path) -> None:
    for number in range(5):
        append(run, "exchanges.jsonl", exchange(ERRORED, answer(f"it says {number}"), f"r0010{number}"))
    read = sound(render(run))
    assert "from openai import OpenAI" in read.text("pre")
    assert [number for number in range(5) if f"it says {number}" in read.text("pre")] == [2, 3, 4]


def test_a_test_that_passed_or_did_not_run_has_a_row_and_no_article(run: Path) -> None:
    read = sound(render(run))
    assert len(read.all("article")) == 2
    assert "test_models_body" not in read.text("article")
    assert "passed test_models_body" in read.text("table")
    row = r"not run test_ids_are_unique .* MUST .* 0\.0 ms not run: the deployment did not get ready: text"
    assert re.search(row, read.text("table"))


def test_headings_are_in_order(run: Path) -> None:
    levels = [int(name[1]) for name, _ in sound(render(run)).elements if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


CAUSE = {
    "id": "stop",
    "title": "Stop strings are ignored",
    "advice": "Look at the tokenizer.",
    "tests": ["tests/acceptance/test_schema.py::test_stop_string_stops", ERRORED],
}


def test_the_first_cause_is_in_the_banner_and_has_its_tests_under_it(run: Path) -> None:
    read = sound(render(change(run, lambda s: s.update(causes=[CAUSE]))))
    assert "REJECTED Stop strings are ignored 2 of 6 tests" in read.text("header")
    assert "Look at the tokenizer." in read.text("header")
    assert len(read.all("article")) == 1
    assert read.text("article").startswith("Stop strings are ignored Look at the tokenizer. 2 of 6 tests, 3 findings")


def test_a_known_issue_is_neither_green_nor_counted_as_passed(run: Path) -> None:
    def excuse(row: dict[str, Any]) -> None:
        if row["id"].endswith("test_models_body"):
            row["properties"] = {"known_issue": "a-500 (vllm <1)"}

    change(run, lambda s: s.update(notes=["known issue, in 1 test(s): a-500 (vllm <1)", "another note"]))
    read = sound(render(change_rows(run, "results.jsonl", excuse)))
    assert "known issue test_models_body" in read.text("table")
    assert "passed test_models_body" not in read.text("table")
    assert "schema 0/4 1.90 s 1 error, 1 failed, 1 not run, 1 known issue" in read.text("table")
    assert {"class": "badge known-issue"} in read.all("span")
    assert "Known issue: a-500 (vllm <1)" in read.text("section")
    assert read.text("li").count("a-500") == 0 and "another note" in read.text("li")


def test_what_was_not_judged_is_listed_with_its_reason(run: Path) -> None:
    assert "the deployment did not get ready: text: test_ids_are_unique" in sound(render(run)).text("li")


def test_seconds_are_those_of_the_whole_test_where_they_are_known(run: Path) -> None:
    assert "(without setup and teardown)" in sound(render(run)).text("header")
    read = sound(render(change_rows(run, "results.jsonl", lambda row: row.update(wall_s=50.0))))
    assert "tests took 5 min 0 s" in read.text("header")
    assert "without setup" not in read.text()


def test_seconds_of_an_older_run_come_from_its_junit_file(run: Path) -> None:
    case = '<testcase classname="tests.acceptance.test_schema" name="test_models_body" time="41.5"/>'
    (run / "junit.xml").write_text(f"<testsuite>{case}</testsuite>", "utf-8")
    assert "passed test_models_body" in sound(render(run)).text("table")
    assert re.search(r"test_models_body .*? 41\.50 s", sound(render(run)).text("table"))


def test_values_of_the_profile_have_their_sources(run: Path) -> None:
    (run / "observations").mkdir()
    values = [("deadlines.cold_s", "7", "--vlm-set"), ("latency.repeats", "3", "default")]
    rows = [{"key": key, "value": value, "source": source} for key, value, source in values]
    (run / "observations" / "profile.json").write_text(json.dumps(rows), "utf-8")
    read = sound(render(run))
    assert "deadlines.cold_s 7 --vlm-set" in read.text("table")
    assert "Defaults (1) key value source latency.repeats 3 default" in read.text("details")


def test_commands_that_repeat_a_request_are_shown_to_be_copied(run: Path) -> None:
    commands = 'URL=http://127.0.0.1:8000\ncurl -sS "$URL/v1/x"\npython3 repeat.py "$URL"\n'
    (run / EVIDENCE / "repeat.txt").write_text(commands, "utf-8")
    read = sound(render(run))
    assert f'cd {EVIDENCE} URL=http://127.0.0.1:8000 curl -sS "$URL/v1/x" python3 repeat.py' in read.text("pre")
    assert sum(attrs.get("class") == "copy" for attrs in read.all("pre")) == 3  # and two commands of the run


def test_a_command_is_never_cut(run: Path) -> None:
    (run / EVIDENCE / "repeat.txt").write_text(f"URL={'x' * 3000}", "utf-8")
    assert "x" * 3000 in sound(render(run)).text("pre")


def test_files_that_are_written_after_the_page_are_listed(run: Path) -> None:
    hrefs = [str(attrs["href"]) for attrs in sound(render(run, ("junit.xml", "verdict.txt"))).all("a")]
    assert hrefs.count("junit.xml") == hrefs.count("verdict.txt") == 1


def test_what_an_input_must_get_is_shown_as_the_rule_of_its_test(run: Path) -> None:
    edit = {"properties": {"must": "A PNG cut short MUST be refused."}}
    table = sound(render(change_rows(run, "results.jsonl", lambda row: row.update(edit)))).text("table")
    assert "test_models_body A PNG cut short MUST be refused." in table
    assert "must A PNG" not in table


def test_of_many_broken_tests_only_findings_are_printed_on_paper(run: Path) -> None:
    assert sound(render(run)).all("body") == [{"class": "bad"}]
    for number in range(10):
        row = {"id": f"x.py::test_{number}", "area": "x", "outcome": "failed", "seconds": 0.1}
        append(run, "results.jsonl", row)
    assert sound(render(run)).all("body") == [{"class": "bad many"}]


def test_a_page_in_chinese_says_so(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlm_acceptance.report.html.language", lambda: "zh")
    assert sound(render(run)).all("html") == [{"lang": "zh-CN"}]


def test_filters_have_labels_and_are_hidden_without_the_script(run: Path) -> None:
    read = sound(render(run))
    assert "Find Outcome all" in read.text("label")
    (box,) = [attrs for attrs in read.all("div") if attrs.get("class") == "filter"]
    assert "hidden" in box


def test_latency_stands_beside_the_guides_own(run: Path) -> None:
    table = sound(render(run)).text("table")
    assert "guide: tokens" in table
    assert re.search(r"ocr 3 [\d.]+ ms [\d.]+ ms .* 13 14 1\.66 s cold", table)
    assert "description – no data" in table


def test_without_a_guide_its_columns_are_left_out(run: Path) -> None:
    assert "guide" not in sound(render(change(run, lambda s: s.update(guide=[])))).text("table")


STEP = {
    "concurrency": 4,
    "state": "held",
    "requests": 20,
    "ttft_s": {"p50": 0.1, "p90": 0.2, "p99": 0.3, "n": 16},
    "tpot_s": None,
    "itl_s": None,
    "e2e_s": {"p50": 1.0, "p90": 1.5, "p99": 2.0, "n": 16},
    "requests_per_s": 3.5,
    "output_tokens_per_s": 112.0,
    "failures": {"HTTP 503": 1},
}
CLIMB = {"prompt": "text-512", "capacity": 4, "end": "4 is the most that was tried", "steps": [STEP]}


def test_each_step_of_a_rising_load_has_a_row(run: Path) -> None:
    assert "Capacity" not in sound(render(run)).text("h2")
    read = sound(render(change(run, lambda s: s.update(capacity=[CLIMB]))))
    row = "text-512 4 held 20 0.10 s / 0.20 s / 0.30 s no data no data 1.00 s / 1.50 s / 2.00 s 3.5 112 HTTP 503 1"
    assert row in read.text("table")
    assert "capacity 4: 4 is the most that was tried" in read.text("table")


def test_the_environment_has_versions_device_hashes_and_command(run: Path) -> None:
    text = sound(render(run)).text()
    for part in ("vllm-ascend 0.18.0rc1", "910B3", "0605ed76c4f7b391", "vllm serve /srv/models/control", "MMMU_val"):
        assert part in text


def test_what_is_not_applicable_is_grouped_by_reason(run: Path) -> None:
    reasons = {f"tests/acceptance/test_a.py::test_{n}": "no card" if n < 3 else "no guide" for n in range(4)}
    folded = sound(render(change(run, lambda s: s.update(not_applicable=reasons)))).text("details")
    assert "no card (3) test_0 , test_1 , test_2" in folded and "no guide (1) test_3" in folded


@pytest.mark.parametrize("absent", ["results.jsonl", "exchanges.jsonl", "evidence"])
def test_a_missing_file_is_named_on_the_page(run: Path, absent: str) -> None:
    path = run / absent
    path.unlink() if path.is_file() else shutil.rmtree(path)
    read = sound(render(run))
    assert read.text("h1") == "REJECTED"
    assert "failed test_stop_string_stops" in read.text("article")
    assert absent == "evidence" or f"This page is incomplete: {absent} is absent." in read.text("li")


def test_a_line_that_a_killed_run_cut_is_counted(run: Path) -> None:
    for name in ("results.jsonl", "exchanges.jsonl"):
        with (run / name).open("a", encoding="utf-8") as file:
            file.write('{"id": "tests/acc')
    notes = sound(render(run)).text("li")
    assert "1 line(s) of results.jsonl cannot be read" in notes
    assert "1 line(s) of exchanges.jsonl cannot be read" in notes


def test_a_result_that_the_summary_alone_has_is_shown(run: Path) -> None:
    (run / "results.jsonl").write_text("", "utf-8")
    read = sound(render(run))
    assert "6 test(s) are shown as summary.json has them" in read.text("li")
    assert "passed test_models_body" in read.text("table")


def test_an_old_summary_without_optional_keys_makes_a_page(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    for key in summary:
        for value in ({k: v for k, v in summary.items() if k != key}, {**summary, key: None}):
            (run / "summary.json").write_text(json.dumps(value), "utf-8")
            sound(render(run))


def test_a_bare_verdict_makes_a_page(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"verdict": "inconclusive"}', "utf-8")
    read = sound(render(tmp_path))
    assert read.text("h1") == "INCONCLUSIVE"
    assert "No test has a result." in read.text()


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"areas": [1]}', '{"tests": [{}]}', "[" * 200_000])
def test_an_unreadable_summary_is_a_harness_problem(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content, "utf-8")
    with pytest.raises(HarnessProblem, match=r"report\.html was not made"):
        render(tmp_path)


def test_the_same_files_make_the_same_page(run: Path) -> None:
    assert render(run) == render(run)


def test_a_run_writes_its_page_without_the_api_key(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "control-cpu", "sk-very-secret")
    shutil.copytree(RUN, store.folder, dirs_exist_ok=True)
    change(store.folder, lambda s: s.update(statement=store.masked("refused sk-very-secret")))
    assert write_page(store) == []
    page = (store.folder / "report.html").read_text("utf-8")
    assert "refused [masked]" in page and "sk-very-secret" not in page
    store.close()


def test_a_page_that_cannot_be_made_costs_a_note_and_no_verdict(tmp_path: Path) -> None:
    store = RunStore(tmp_path, "control-cpu")
    store.write("summary.json", '{"areas": "\x1b"}')
    (line,) = write_page(store)
    assert line.startswith("  note: report.html was not made: ")
    assert not (store.folder / "report.html").exists()
    store.close()
