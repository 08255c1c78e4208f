"""The page of a run: sound HTML from stored files alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.support.pages import ERRORED, EVIDENCE, RUN, Reader, answer, append, change, exchange, sound

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
    assert all(attrs.get("alt") for attrs in read.all("img"))
    assert read.all("time") == [{"datetime": "2026-11-01T08:00:00+00:00"}]


def test_the_policy_of_the_page_forbids_network_and_scripts(run: Path) -> None:
    policy = [str(attrs["content"]) for attrs in sound(render(run)).all("meta") if "http-equiv" in attrs]
    assert policy and policy[0].startswith("default-src 'none';")
    assert "http" not in policy[0]


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
    assert "1 test failed: test_stop_string_stops" in head
    assert "mode as attached" in head and "started 2026-11-01 08:00:00 UTC" in head


def test_areas_have_passed_of_all_and_name_the_rest(run: Path) -> None:
    body = sound(render(run)).text("table")
    assert "health 1/1" in body
    assert "schema 1/4 1 error, 1 failed, 1 not run" in body


def test_a_failed_test_shows_its_rule_findings_evidence_and_repeat_line(run: Path) -> None:
    read = sound(render(run))
    article = read.text("article")
    assert "`stop` MUST end the answer before the string" in article
    assert "stop.text fatal expected 'This is a '" in article
    assert "stop.finish choice 0 expected finish_reason 'stop' observed 'length'" in article
    assert "stop.usage" in article
    hrefs = {str(attrs["href"]) for attrs in read.all("a")}
    assert {f"{EVIDENCE}/", f"{EVIDENCE}/request.json", f"{EVIDENCE}/response.json"} <= hrefs
    assert read.all("img") == [{"src": f"{EVIDENCE}/picture-1.png", "loading": "lazy", "alt": "picture-1.png"}]
    assert "urllib.request" in read.text("pre")
    assert "Anna, who bought 4 items" in read.text("pre")


def test_findings_about_one_exchange_show_its_evidence_once(run: Path) -> None:
    assert sound(render(run)).text().count("Evidence:") == 1


def test_details_are_folded_until_asked_for(run: Path) -> None:
    details = sound(render(run)).all("details")
    assert details and all(not attrs for attrs in details)


def test_every_relative_link_leads_to_a_file_of_the_run(run: Path) -> None:
    read = sound(render(run))
    links = [str(attrs.get("href") or attrs.get("src")) for attrs in read.all("a", "img")]
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
    assert "not run test_ids_are_unique 0.00 not run: the deployment did not get ready: text" in read.text("table")


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
    items = sound(render(change(run, lambda s: s.update(not_applicable=reasons)))).text("li")
    assert "no card: test_0 , test_1 , test_2" in items and "no guide: test_3" in items


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
    change(store.folder, lambda s: s.update(reason=store.masked("refused sk-very-secret")))
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
