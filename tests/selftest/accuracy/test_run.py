"""One accuracy run: which earlier run is resumed, which requests are sent, and that every answer is on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import made_accuracy as made
from tests.support.wire import RESET, Answer, WireRequest, WireServer, response

from vlm_acceptance.accuracy import criteria
from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.answers_file import read
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog, QuestionPass, by_server, check_resume
from vlm_acceptance.client.http import Client
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem

Wire = Callable[[Answer], WireServer]
TARGET = {"engine": "server", "url": "http://h"}
NAME = "made_val.jsonl"
ERROR = response(b'{"error": {"message": "no"}}', "400 Bad Request")


def answer_log(plan: AccuracyPlan, reports: Path, run: str, resume: str | None = None, **target: Any) -> AnswerLog:
    """The answer log of a new run in `reports`, open."""
    folder = reports / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    opened = AnswerLog(plan, folder, str, lambda _: None, lambda _: None)
    opened.open({**TARGET, **target}, resume, reports)
    return opened


def run_of(opened: AnswerLog, endpoint: made.Endpoint, wire: Wire) -> AccuracyResult:
    return by_server(opened, Client(wire(endpoint).url), "m")


def right_endpoint(plan: AccuracyPlan) -> made.Endpoint:
    texts = made.right_texts(plan)
    return made.Endpoint(lambda ident, is_blank: "D" if is_blank else texts[ident])


def kept(path: Path) -> dict[str, str | None]:
    return {ident: answer.text for ident, answer in read(path)[1].items()}


def torn(path: Path, answers: int) -> None:
    """The file as a kill leaves it: so many answers and half of the next."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + answers]) + lines[1 + answers][:40])


def test_a_served_model_gets_every_question_and_every_answer_is_on_disk(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4})
    endpoint = right_endpoint(plan)
    run = run_of(answer_log(plan, tmp_path, "one"), endpoint, wire)
    assert (run.right, run.answered, run.new_answers, run.stop, run.incomplete) == (12, 12, 12, None, "")
    assert sorted(endpoint.asked) == sorted(plan.order)
    assert sorted(endpoint.blank) == sorted(plan.blank_ids)
    assert sorted(endpoint.tokenized) == sorted(2 * plan.order)
    assert kept(tmp_path / "runs" / "one" / NAME) == made.right_texts(plan)
    assert kept(tmp_path / "runs" / "one" / "made_val.blank.jsonl") == dict.fromkeys(plan.blank_ids, "D")
    assert criteria.wrong_tokens(run.token_counts(), made.TILE_TOKENS) == []
    assert (run.picture_ablation().right, run.picture_ablation().blank) == (4, 0)


@pytest.mark.parametrize("counts", [True, False], ids=["by tokenize", "by chat"])
def test_no_picture_that_is_tokenized_is_ever_asked_about(tmp_path: Path, wire: Wire, counts: bool) -> None:
    # vLLM 0.18 answers such a chat with an error, and with one side of a tile a blank picture could be the same
    plan = made.plan(tmp_path, sighted={"sample": 12})
    endpoint = right_endpoint(plan)

    def answer(request: WireRequest) -> list[object]:
        return endpoint(request) if counts or request.path != "/tokenize" else [response(b"{}", "404 Not Found")]

    server = wire(answer)
    run = by_server(answer_log(plan, tmp_path, "one"), Client(server.url), "m")
    assert criteria.wrong_tokens(run.token_counts(), made.TILE_TOKENS) == []
    assert criteria.uncounted_tokens(run.token_counts()) == ""
    urls: dict[str, set[str]] = {"/tokenize": set(), "/v1/chat/completions": set()}
    for request in server.requests:
        parts = json.loads(request.body)["messages"][-1]["content"]
        urls[request.path] |= {part["image_url"]["url"] for part in parts if part["type"] == "image_url"}
    assert len(urls["/tokenize"]) == 1
    assert not urls["/tokenize"] & urls["/v1/chat/completions"]


def test_the_requests_are_those_of_the_plan(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, {"model": {"id": "m", "thinking": True}}, concurrency=1)
    endpoint = right_endpoint(plan)
    run_of(answer_log(plan, tmp_path, "one"), endpoint, wire)
    assert endpoint.asked == plan.order
    body, first = endpoint.bodies[0], plan.request(plan.order[0])
    assert (body["model"], body["max_tokens"], body["messages"][0]["content"]) == ("m", 8, "Be brief.")
    assert body["messages"][1]["content"][-1]["text"] == first.text
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert endpoint.tokenized == []  # the profile has no tile oracle


def test_a_wrong_server_is_seen_in_score_tokens_and_blank_pictures(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4, "margin": 0.3}, min_correct=6)
    run = run_of(answer_log(plan, tmp_path, "one"), made.Endpoint(lambda ident, is_blank: "B"), wire)
    assert [one.check for one in criteria.score_too_low(run.right, run.total, plan.limits)] == ["accuracy.score"]
    seen = run.picture_ablation()
    assert criteria.ignores_pictures(seen.right, seen.blank, seen.questions, plan.wanted.sighted) != []
    doubled = replace(run, counted={digest: count + made.TILE_TOKENS for digest, count in run.counted.items()})
    assert len(criteria.wrong_tokens(doubled.token_counts(), made.TILE_TOKENS)) == criteria.MAX_EXAMPLES + 1


def test_refused_and_lost_questions_are_on_disk_as_such(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    texts = made.right_texts(plan)
    refused, lost = plan.order[2], plan.order[4]
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"
    run = run_of(
        answer_log(plan, tmp_path, "one"),
        made.Endpoint(lambda ident, _: {refused: ERROR, lost: cut}.get(ident, texts[ident])),
        wire,
    )
    statuses = {ident: answer.status for ident, answer in read(run.file)[1].items() if answer.text is None}
    assert statuses == {refused: "refused", lost: "lost"}
    assert "1 of 12 requests got no whole response" in run.incomplete
    assert [one.where for one in criteria.refusals(run.total, run.answers)] == [refused]


def test_a_killed_run_is_resumed_where_it_was(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4}, concurrency=2)
    whole = run_of(answer_log(plan, tmp_path, "one"), right_endpoint(plan), wire)
    first = tmp_path / "runs" / "one"
    torn(first / NAME, 7)
    torn(first / "made_val.blank.jsonl", 1)
    before = kept(first / NAME)
    endpoint = right_endpoint(plan)
    run = run_of(answer_log(plan, tmp_path, "two", "latest"), endpoint, wire)
    assert sorted(endpoint.asked) == sorted(set(plan.order) - set(before))
    assert len(endpoint.blank) == 3
    assert endpoint.tokenized == []
    assert (run.new_answers, run.answered, run.right_by_scorer) == (5, 12, whole.right_by_scorer)
    assert kept(tmp_path / "runs" / "two" / NAME) == made.right_texts(plan)
    assert kept(first / NAME) == before


def test_a_resumed_whole_run_sends_nothing(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    run_of(answer_log(plan, tmp_path, "one"), right_endpoint(plan), wire)
    endpoint = right_endpoint(plan)
    run = run_of(answer_log(plan, tmp_path, "two", "one"), endpoint, wire)
    assert endpoint.bodies == []
    assert (run.new_answers, run.right, run.incomplete) == (0, 12, "")


def test_a_complete_run_is_not_resumed(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 4})
    run = run_of(answer_log(plan, tmp_path, "one"), right_endpoint(plan), wire)
    with pytest.raises(UsageProblem, match=r"--vlm-resume: .*one has all 12 answers; .* re-score .*one`"):
        check_resume(plan, "latest", tmp_path)
    for part in ("", ".tokens", ".blank"):
        file = run.file.with_name(f"made_val{part}.jsonl")
        whole = file.read_bytes()
        os.truncate(file, len(whole) - 10)
        check_resume(plan, "latest", tmp_path)
        if part:
            file.unlink()
            check_resume(plan, "latest", tmp_path)
        file.write_bytes(whole)
    with pytest.raises(UsageProblem, match="has all 12 answers"):
        check_resume(plan, "latest", tmp_path)


def test_refused_and_lost_questions_are_sent_again(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path)
    texts = made.right_texts(plan)
    failing = plan.order[3]
    run_of(answer_log(plan, tmp_path, "one"), made.Endpoint(lambda i, _: ERROR if i == failing else texts[i]), wire)
    endpoint = right_endpoint(plan)
    run = run_of(answer_log(plan, tmp_path, "two", "latest"), endpoint, wire)
    assert endpoint.asked == [failing]
    assert run.right == 12


@pytest.mark.parametrize("how", ["latest", "folder", "relative", "name"])
def test_a_run_is_found_as_the_latest_by_folder_or_by_name(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = made.plan(tmp_path)
    for number, name in enumerate(("old", "newest", "older")):
        QuestionPass(answer_log(plan, tmp_path, name)).file.close()
        os.utime(tmp_path / "runs" / name / NAME, ns=(0, 10**9 * (1, 3, 2)[number]))
    newest = tmp_path / "runs" / "newest"
    given = {"latest": "latest", "folder": str(newest), "relative": "runs/newest", "name": "newest"}[how]
    found = answer_log(plan, tmp_path, "own", given).resumed_file()
    assert found is not None
    assert found.resolve() == newest / NAME


def test_the_latest_run_is_never_the_present_one_and_none_that_judged_another(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    QuestionPass(answer_log(plan, tmp_path, "other-judged")).file.close()
    QuestionPass(answer_log(plan, tmp_path, "own")).file.close()
    with pytest.raises(UsageProblem, match=f"--vlm-resume: no run below .* holds a {NAME}"):
        answer_log(plan, tmp_path, "own", "latest")


@pytest.mark.parametrize("resume", ["latest", "none", "{tmp}/nowhere", "{tmp}"])
def test_a_missing_run_is_reported_in_one_line(tmp_path: Path, resume: str) -> None:
    plan = made.plan(tmp_path)
    for check in (check_resume, lambda plan, given, reports: answer_log(plan, reports, "own", given)):
        with pytest.raises(UsageProblem, match="^--vlm-resume: ") as raised:
            check(plan, resume.format(tmp=tmp_path), tmp_path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"max_tokens": 9}, "prompts.sha256"),
        ({"protocol": "official"}, "prompts.protocol"),
        ({"more": {"engine": {"args": ["--dtype", "half"]}}}, "profile.engine.args"),
        ({"more": {"model": {"id": "other"}}}, "profile.model.id"),
    ],
)
def test_a_run_with_other_requests_is_refused_with_the_keys(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    QuestionPass(answer_log(made.plan(tmp_path), tmp_path, "one")).file.close()
    other = made.plan(tmp_path, **changes)
    with pytest.raises(UsageProblem, match=rf"cannot be resumed: .*{key} was "):
        check_resume(other, "latest", tmp_path)
    with pytest.raises(UsageProblem, match=rf"cannot be resumed: .*{key} was "):
        QuestionPass(answer_log(other, tmp_path, "two", "latest"))
    check_resume(made.plan(tmp_path), "latest", tmp_path)


def test_the_target_is_compared_when_it_is_known(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    QuestionPass(answer_log(plan, tmp_path, "one")).file.close()
    check_resume(plan, "latest", tmp_path)
    other = answer_log(plan, tmp_path, "two", "latest", url="http://other")
    with pytest.raises(UsageProblem, match="target.url was 'http://h', is 'http://other'"):
        QuestionPass(other)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"id": "x"}\n', "utf-8")
    with pytest.raises(UsageProblem, match="is not an answers file"):
        check_resume(made.plan(tmp_path), str(tmp_path), tmp_path)


def test_an_answer_is_on_disk_before_the_progress_is_shown(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    opened = answer_log(plan, tmp_path, "one")
    seen: list[int] = []
    opened.progress = lambda _: seen.append(len(kept(opened.file())))
    with QuestionPass(opened) as main:
        for answer in made.answers_with(plan, made.right_texts(plan)).values():
            main.add(answer)
    assert seen == list(range(1, 13))
    assert main.new_answers == 12


def test_a_key_is_masked_in_the_answers(tmp_path: Path) -> None:
    plan = made.plan(tmp_path)
    opened = AnswerLog(plan, tmp_path, lambda text: text.replace("sk-1", "***"), lambda _: None, lambda _: None)
    opened.open(TARGET, None, tmp_path)
    with QuestionPass(opened) as main:
        main.add(made.answers_with(plan, {plan.order[0]: "sk-1 is the key"})[plan.order[0]])
    assert "sk-1" not in opened.file().read_text("utf-8")


def test_an_endpoint_that_is_gone_stops_the_run(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, count=60, concurrency=16, sighted={"sample": 4})
    run = by_server(answer_log(plan, tmp_path, "one"), Client(wire(lambda _: [RESET]).url), "m")
    assert run.stop is not None
    assert run.stop.cause == "endpoint"
    assert len(run.answers) < 60
    assert run.incomplete.startswith("stopped after ")
    assert (run.blank_answers, run.counted) == ({}, {})


def test_a_hopeless_run_is_stopped_and_stays_stopped_when_it_is_resumed(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, count=120, early_stop=True, min_correct=60, max_correct=120, concurrency=4)
    run = run_of(answer_log(plan, tmp_path, "one"), made.Endpoint(lambda *_: "no idea"), wire)
    assert run.stop is not None
    assert run.stop.cause == "score"
    assert len(run.answers) < 60
    assert kept(run.file) == dict.fromkeys(run.answers, "no idea")
    endpoint = right_endpoint(plan)
    again = run_of(answer_log(plan, tmp_path, "two", "latest"), endpoint, wire)
    assert again.stop is not None
    assert again.stop.cause == "score"
    assert (endpoint.bodies, again.new_answers) == ([], 0)


def test_a_scorer_that_guesses_stops_no_run(tmp_path: Path, wire: Wire) -> None:
    wanted = {"early_stop": True, "min_correct": 60, "max_correct": 120}
    plan = made.plan(tmp_path, count=120, **wanted)
    unsteady = replace(plan, wanted=plan.wanted.model_copy(update={"scorer": "official_seed42"}))
    scorers = {**made.MADE.scorers, "official_seed42": made.exact}
    guessing = replace(unsteady, dataset=replace(made.MADE, scorers=scorers))
    run = run_of(answer_log(guessing, tmp_path, "one"), made.Endpoint(lambda *_: "no idea"), wire)
    assert (run.stop, run.answered) == (None, 120)


def test_missing_data_are_reported_with_the_command_that_prepares_them(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="prepare") as raised:
        accuracy.plan(made.profile({"data": str(tmp_path / "none")}))
    assert "\n" not in str(raised.value)


def test_data_of_the_profile_may_be_relative_to_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mini = {"dataset": "mmmu_mini", "max_correct": 120}
    plan = accuracy.plan(made.profile({**mini, "data": "fixtures/mmmu_mini/prepared"}))
    assert (len(plan.order), plan.prepared.dataset) == (120, "mmmu_mini")
    made.prepared(tmp_path / "here")
    assert accuracy.plan(made.profile({"data": "here"}), made.MADE).prepared.dataset == "made"


def test_the_repeat_command_has_the_protocol_of_the_profile(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, {"model": {"id": "m", "stop_token_ids": [2, 9]}}, system_message=False)
    run = run_of(answer_log(plan, tmp_path, "one"), right_endpoint(plan), wire)
    for words in (
        "python -m vlm_acceptance.accuracy.mmmu ask",
        f"--data {tmp_path / 'data'}",
        "--model m",
        "--protocol vlmevalkit",
        "--stop-token-id 2 --stop-token-id 9",
        "--no-system-message",
    ):
        assert words in run.repeat


def test_progress_shows_data_set_count_and_score(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 2})
    lines: list[str] = []
    opened = answer_log(plan, tmp_path, "one")
    stay: list[str] = []
    opened.progress, opened.print_line = lines.append, stay.append
    run_of(opened, right_endpoint(plan), wire)
    counts = [line.removeprefix("made ").partition("/12 ")[0] for line in lines if "/12 " in line]
    assert [int(count) for count in dict.fromkeys(counts) if count != "0"] == list(range(1, 13))
    assert any(line.startswith("made 12/12  acc 100.0 %") for line in lines)
    assert lines[-1] == "made with blank pictures 2/2"
    # a run that ends before the next line of a CI log is not last seen at its beginning
    assert [line.startswith("made 12/12  acc 100.0 %") for line in stay] == [True]


def test_the_identity_of_a_file_names_its_pass(tmp_path: Path, wire: Wire) -> None:
    plan = made.plan(tmp_path, sighted={"sample": 2})
    run = run_of(answer_log(plan, tmp_path, "one"), right_endpoint(plan), wire)
    first = json.loads(run.file.read_text("utf-8").partition("\n")[0])["identity"]
    assert (first["part"], first["target"], first["data"]["dataset"]) == ("all", TARGET, "made")
    blank = run.file.with_name("made_val.blank.jsonl")
    assert json.loads(blank.read_text("utf-8").partition("\n")[0])["identity"]["part"] == "blank"


def test_progress_says_all_that_matters_in_one_line() -> None:
    line = accuracy.progress_line("MMMU_val", 312, 900, 113, 0, fresh=312, elapsed_s=25.2)
    assert line == "MMMU_val 312/900  acc 36.2 % (31.1-41.7)  0 errors  12.4 q/s  0:47 left"


def test_progress_of_a_run_that_has_just_begun_has_no_rate_and_no_accuracy() -> None:
    assert accuracy.progress_line("M", 0, 900, 0, 0, fresh=0, elapsed_s=0.0) == "M 0/900  0 errors"


def test_progress_counts_errors_apart_and_resumed_answers_do_not_hurry_it() -> None:
    line = accuracy.progress_line("M", 901, 11000, 450, 1, fresh=100, elapsed_s=100.0)
    assert line == "M 901/11000  acc 50.0 % (46.7-53.3)  1 error  1.0 q/s  2:48:19 left"
