"""The answers file: whole lines only, any text, and no answers of a run that is not comparable."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.accuracy.answers_file import AnswerFile, answers, read, read_identity, require_same
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem

IDENTITY = {
    "benchmark": "MMMU_val",
    "data": {"sha256": "ab" * 32, "items": 900},
    "profile": {"engine": {"args": ["-x"]}},
}
ANSWER = Answer(
    id="validation_Art_1",
    status="answered",
    text="B",
    finish_reason="stop",
    prompt_tokens=1801,
    completion_tokens=2,
    error="",
    http_status=200,
    started_utc="2026-11-22T20:00:00.000+00:00",
    elapsed_s=0.25,
    attempts=("connect: refused",),
    prompt_sha256="cd" * 32,
    pictures=("ef" * 32, "01" * 32),
    model="served",
)
FAILED = {"text": None, "finish_reason": None, "http_status": None, "model": None}
LOST = replace(ANSWER, id="lost", status="lost", error="timeout: 60 s", **FAILED)
REFUSED = replace(LOST, id="refused", status="refused", error="HTTP 400: 'no'", http_status=400)


def written(path: Path, *given: Answer) -> Path:
    with AnswerFile.create(path, IDENTITY) as file:
        for answer in given:
            file.add(answer)
    return path


def test_every_field_of_an_answer_comes_back(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST, REFUSED)
    assert read(path) == (IDENTITY, {a.id: a for a in (ANSWER, LOST, REFUSED)})


@pytest.mark.parametrize(
    "text",
    ["", "\ud800 alone", "\x00\x1b[31m\r\n\u2028\x85", "图中", '"}\n{"id": "x"}', "A" * 10_000_000],
    ids=["empty", "surrogate", "controls", "chinese", "json", "10 MB"],
)
def test_any_text_survives(tmp_path, text):
    path = written(tmp_path / "a.jsonl", replace(ANSWER, text=text), LOST)
    assert read(path)[1][ANSWER.id].text == text
    assert path.read_bytes().isascii()
    assert path.read_bytes().count(b"\n") == 3


def test_an_answer_is_in_the_file_when_add_returns(tmp_path):
    file = AnswerFile.create(tmp_path / "a.jsonl", IDENTITY)
    file.add(ANSWER)
    assert list(answers(file.path)) == [ANSWER]
    file.close()
    file.close()


def test_the_file_appears_with_its_identity_and_leaves_no_other(tmp_path):
    AnswerFile.create(tmp_path / "a.jsonl", IDENTITY).close()
    assert read_identity(tmp_path / "a.jsonl") == IDENTITY
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_answers_are_never_overwritten(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER)
    with pytest.raises(UsageProblem, match="exists already"):
        AnswerFile.create(path, IDENTITY)
    assert list(answers(path)) == [ANSWER]


def test_the_key_is_masked_in_every_line(tmp_path):
    def mask(line: str) -> str:
        return line.replace("sk-1", "[masked]")

    identity = {"target": {"url": "http://sk-1@h", "args": ["--api-key", "sk-1"]}}
    with AnswerFile.create(tmp_path / "a.jsonl", identity, mask) as file:
        file.add(replace(REFUSED, error="HTTP 401: 'sk-1 is not known'", attempts=("reset: sk-1",), model="sk-1"))
        file.add(replace(ANSWER, text="sk-1, then"))
    assert b"sk-1" not in file.path.read_bytes()
    with AnswerFile.resume(file.path, file.path, identity, mask) as again:
        assert again.kept == {ANSWER.id}
    require_same(file.path, identity, mask=mask)


@pytest.mark.parametrize("key", ["A", "1", "text", "id", "identity", "answered", "data", "sha256", "e", '"', "null"])
def test_no_key_can_break_a_line_or_change_a_name(tmp_path, key):
    def mask(text: str) -> str:
        return text.replace(key, "[masked]")

    identity = {**IDENTITY, "prompts": {"protocol": "text", "sha256": "1e" * 32}, "target": {"engine": "server"}}
    with AnswerFile.create(tmp_path / "a.jsonl", identity, mask) as file:
        for answer in (ANSWER, LOST, REFUSED):
            file.add(answer)
    with AnswerFile.resume(file.path, tmp_path / "b.jsonl", identity, mask) as again:
        assert again.kept == {ANSWER.id}
    seen, found = read(file.path)
    for section in ("data", "prompts", "target"):
        assert seen[section] == identity[section]
    for answer in (ANSWER, LOST, REFUSED):
        masked = {"text": found[answer.id].text, "error": found[answer.id].error}
        masked |= {"attempts": found[answer.id].attempts, "model": found[answer.id].model}
        assert found[answer.id] == replace(answer, **masked)


@pytest.mark.parametrize("torn", [1, 40, 300])
def test_an_incomplete_last_line_is_ignored_and_is_gone_after_resuming(tmp_path, torn):
    path = written(tmp_path / "a.jsonl", ANSWER, replace(ANSWER, id="second"))
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: last + torn])
    assert [answer.id for answer in answers(path)] == [ANSWER.id]
    with AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY) as file:
        assert file.kept == {ANSWER.id}
        file.add(replace(ANSWER, id="second"))
    assert (tmp_path / "b.jsonl").read_bytes() == whole


def test_resuming_sends_refused_and_lost_questions_again(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST, REFUSED)
    with AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY) as file:
        assert file.kept == {ANSWER.id}
    assert read(tmp_path / "b.jsonl") == (IDENTITY, {ANSWER.id: ANSWER})
    assert len(list(answers(path))) == 3


def test_a_run_can_be_resumed_in_its_own_file(tmp_path):
    path = written(tmp_path / "a.jsonl", LOST, ANSWER)
    with AnswerFile.resume(path, path, IDENTITY) as file:
        file.add(replace(ANSWER, id="lost"))
    assert [answer.id for answer in answers(path)] == [ANSWER.id, "lost"]


def test_an_identity_of_tuples_is_that_of_lists(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER)
    same = {**IDENTITY, "profile": {"engine": {"args": ("-x",)}}}
    AnswerFile.resume(path, tmp_path / "b.jsonl", same).close()


def test_resuming_names_every_key_that_differs_with_both_values(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER)
    other = {
        "benchmark": "MMMU_val",
        "data": {"sha256": "99" * 500, "items": 900},
        "profile": {"engine": {"args": ["-x", "--dtype"]}},
        "target": "offline",
    }
    with pytest.raises(UsageProblem) as raised:
        AnswerFile.resume(path, tmp_path / "b.jsonl", other)
    message = str(raised.value)
    assert f"data.sha256 was '{'ab' * 32}', is '9999" in message
    assert "profile.engine.args was ['-x'], is ['-x', '--dtype']" in message
    assert "target was absent, is 'offline'" in message
    assert "items" not in message
    assert len(message) < 500
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize(
    "first", ["", "\n", '{"id": 1}\n', '{"identity": []}\n', '["identity"]\n', '{"identity": {}', "[" * 100_000 + "\n"]
)
def test_a_file_without_identity_is_no_answers_file(tmp_path, first):
    (tmp_path / "a.jsonl").write_text(first)
    with pytest.raises(UsageProblem, match="line 1 holds no identity"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"status": ["answered"]},
        {"text": None},
        {"text": 3},
        {"id": 7},
        {"id": None},
        {"status": "lost"},
        {"finish_reason": {}},
        {"prompt_tokens": "9"},
        {"prompt_tokens": True},
        {"completion_tokens": 1.5},
        {"completion_tokens": -1},
        {"completion_tokens": 10**400},
        {"error": None},
        {"http_status": "200"},
        {"started_utc": 5},
        {"elapsed_s": "0.5"},
        {"elapsed_s": False},
        {"elapsed_s": float("nan")},
        {"elapsed_s": 10**400},
        {"attempts": None},
        {"attempts": "reset"},
        {"attempts": [1]},
        {"prompt_sha256": None},
        {"pictures": {"a": 1}},
        {"pictures": [None]},
        {"model": 3},
    ],
)
def test_a_line_that_is_not_an_answer_is_named(tmp_path, change):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST)
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(
        UsageProblem, match=f"line 2 is not a valid answer: .*({'|'.join(change)}|text)[.0-9]*(:| is) "
    ) as problem:
        read(path)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("missing", ["id", "text", "model", "pictures"])
def test_a_line_that_lacks_a_field_is_named(tmp_path, missing):
    path = written(tmp_path / "a.jsonl", ANSWER)
    first, line = path.read_text().splitlines()
    row = {name: value for name, value in json.loads(line).items() if name != missing}
    path.write_text(f"{first}\n{json.dumps(row)}\n")
    with pytest.raises(UsageProblem, match=f"line 2 is not a valid answer: the key '{missing}' is missing"):
        read(path)


@pytest.mark.parametrize(
    ("identity", "place"),
    [
        ({"data": "abc"}, "data"),
        ({"data": None}, "data"),
        ({"prompts": ["vlmevalkit"]}, "prompts"),
        ({"profile": 3}, "profile"),
        ({"profile": {"model": "m"}}, "profile.model"),
        ({"target": "server"}, "target"),
        ({"data": {"sha256": 3}}, "data.sha256"),
        ({"data": {"dataset": {}}}, "data.dataset"),
        ({"prompts": {"protocol": {"a": 1}}}, "prompts.protocol"),
        ({"profile": {"name": []}}, "profile.name"),
        ({"profile": {"model": {"id": {}}}}, "profile.model.id"),
    ],
)
def test_an_identity_of_another_form_is_reported_with_its_place(tmp_path, identity, place):
    (tmp_path / "a.jsonl").write_text(json.dumps({"identity": identity}) + "\n")
    for look in (read, lambda path: AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY)):
        with pytest.raises(
            UsageProblem, match=f"is not an answers file: line 1: {place} of the identity is .*expected a"
        ) as raised:
            look(tmp_path / "a.jsonl")
        assert "\n" not in str(raised.value)


def test_answers_to_the_prompts_of_the_plan_are_kept(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST)
    hashes = {ANSWER.id: ANSWER.prompt_sha256, LOST.id: LOST.prompt_sha256, "left": "99" * 32}
    with AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY, hashes=hashes) as file:
        assert file.kept == {ANSWER.id}


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        ({"lost": "cd" * 32}, r"line 2 \('validation_Art_1'\) answers no question of this run"),
        ({"validation_Art_1": "cd" * 32}, r"line 3 \('lost'\) answers no question of this run"),
        ({"validation_Art_1": "ce" * 32, "lost": "cd" * 32}, r"line 2 .* answers another prompt than this run's"),
        ({}, "line 2"),
    ],
)
def test_an_answer_to_another_prompt_than_the_plan_has_is_refused_with_id_and_line(tmp_path, hashes, message):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST)
    with pytest.raises(UsageProblem, match=message):
        AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY, hashes=hashes)
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_a_broken_line_before_the_last_is_not_passed_over(tmp_path):
    path = written(tmp_path / "a.jsonl", ANSWER, LOST)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
    with pytest.raises(UsageProblem, match="line 2"):
        AnswerFile.resume(path, tmp_path / "b.jsonl", IDENTITY)


def test_a_missing_file_is_reported_in_one_line(tmp_path):
    with pytest.raises(UsageProblem, match="No such file"):
        read(tmp_path / "none.jsonl")


def test_a_full_disk_leaves_whole_lines_only(tmp_path):
    path = tmp_path / "a.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with AnswerFile.create(path, IDENTITY) as file:
        file.add(ANSWER)
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        try:
            with pytest.raises(EnvironmentProblem, match="cannot be written"):
                file.add(LOST)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
        assert path.read_bytes() == before


PEAK = """
import resource, sys
from pathlib import Path
from vlm_acceptance.accuracy.answers_file import AnswerFile, answers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
AnswerFile.resume(Path(sys.argv[1]), Path(sys.argv[2]), {"a": 1}).close()
assert sum(1 for _ in answers(Path(sys.argv[2]))) == 300
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_is_never_held_whole(tmp_path):
    with AnswerFile.create(tmp_path / "a.jsonl", {"a": 1}) as file:
        for number in range(300):
            file.add(replace(ANSWER, id=str(number), text="x" * 500_000))
    argv = [sys.executable, "-c", PEAK, str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    grown_kb = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert grown_kb < 50_000
