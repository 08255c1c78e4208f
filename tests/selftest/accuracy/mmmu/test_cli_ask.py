"""`ask`: one question to a running endpoint, as the accuracy run sends it, with the score of every scorer."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.runs import ROOT, clean_env
from tests.support.wire import Answer, WireRequest, WireServer, completion, response

from vlm_acceptance.accuracy.mmmu.__main__ import main
from vlm_acceptance.accuracy.mmmu.protocols import protocol
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.run import plan, repeat_line
from vlm_acceptance.accuracy.server_run import QuestionSender
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile

Wire = Callable[[Answer], WireServer]
MINI = ROOT / "fixtures" / "mmmu_mini" / "prepared"
CHOICE = "validation_Accounting_1"


def ask(capsys: pytest.CaptureFixture[str], url: str, *args: object, ident: str = CHOICE) -> tuple[int, str, str]:
    given = ["ask", ident, "--base-url", url, "--model", "m", "--data", str(MINI), *map(str, args)]
    code = main(given)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def answering(wire: Wire, text: str) -> WireServer:
    return wire(lambda _: [response(json.dumps(completion(text, "m")).encode())])


def scores(out: str) -> dict[str, str]:
    """right or wrong, by scorer."""
    rows = [line.split() for line in out.splitlines() if line.startswith("  ")]
    return {row[0]: row[1].rstrip(",") for row in rows}


def test_prompt_gold_answer_and_all_scores_are_shown(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    gold = Prepared.open(MINI)[CHOICE].gold[0]
    code, out, err = ask(capsys, answering(wire, gold).url)
    assert (code, err) == (0, "")
    assert scores(out) == dict.fromkeys(SCORERS, "right")
    for words in ('prompt:  "<image>', f"gold:    {gold}", f"answer:  '{gold}'", "3 of prompt, 2 of answer", '"stop"'):
        assert words in out


def test_a_wrong_answer_is_an_answer_with_wrong_scores(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    gold = Prepared.open(MINI)[CHOICE].gold[0]
    wrong = next(letter for letter in "ABCD" if letter != gold)
    code, out, _ = ask(capsys, answering(wire, wrong).url)
    assert code == 0
    assert scores(out) == dict.fromkeys(SCORERS, "wrong")


def test_the_request_is_that_of_the_accuracy_run(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    server = answering(wire, "A")
    ask(capsys, f"{server.url}/v1/", "--stop-token-id", 2, "--stop-token-id", 92542)
    prepared = Prepared.open(MINI)
    question = protocol("vlmevalkit", (2, 92542)).request(prepared[CHOICE])
    assert server.requests[0].path == "/v1/chat/completions"
    assert json.loads(server.requests[0].body) == json.loads(
        QuestionSender(Client("http://h"), "m", prepared, 9).body(question)
    )


def test_the_repeat_command_of_a_finding_sends_the_same_request(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [
        (f"mmmu.{key}", value, "a test")
        for key, value in {"data": str(MINI), "system_message": "false", "max_tokens": "77"}.items()
    ]
    overrides += [("model.stop_token_ids", "[2, 5]", "a test"), ("model.thinking", "true", "a test")]
    made = plan(load_profile("control-cpu", PROFILES, overrides).profile)
    server = answering(wire, "A")
    words = repeat_line(made, server.url, "m").split()
    assert words[:3] == ["python", "-m", "vlm_acceptance.accuracy.mmmu"]
    assert main([*words[3:], CHOICE]) == 0
    defaults = {"chat_template_kwargs": {"enable_thinking": False}}
    sender = QuestionSender(Client("http://h"), "m", made.prepared, 9, defaults)
    assert json.loads(server.requests[0].body) == json.loads(sender.body(made.request(CHOICE)))


@pytest.mark.parametrize("name", ["internvl", "official", "vlmevalkit-20240708"])
def test_the_protocol_is_chosen(wire: Wire, capsys: pytest.CaptureFixture[str], name: str) -> None:
    server = answering(wire, "A")
    ask(capsys, server.url, "--protocol", name)
    sent = json.loads(server.requests[0].body)["messages"][-1]["content"][-1]["text"]
    assert sent == protocol(name).request(Prepared.open(MINI)[CHOICE]).text


def test_the_body_is_written_as_it_is_sent(wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = answering(wire, "A")
    ask(capsys, server.url, "--body", tmp_path / "body.json", "--no-system-message")
    assert (tmp_path / "body.json").read_bytes() == server.requests[0].body
    assert [message["role"] for message in json.loads(server.requests[0].body)["messages"]] == ["user"]


def test_the_key_is_sent_and_not_shown(
    wire: Wire, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADE_KEY", "sk-1")
    server = answering(wire, "A")
    _, out, _ = ask(capsys, server.url, "--api-key-env", "MADE_KEY")
    assert server.requests[0].headers["authorization"] == "Bearer sk-1"
    assert "sk-1" not in out


def test_a_refusal_is_shown_without_scores_and_is_exit_code_1(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = response(b'{"error": {"message": "too long"}}', "400 Bad Request")
    code, out, _ = ask(capsys, wire(lambda _: [refusal]).url)
    assert code == 1
    assert "refused: " in out
    assert "too long" in out
    assert scores(out) == {}


def test_an_endpoint_that_is_not_there_is_lost_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, out, _ = ask(capsys, f"http://127.0.0.1:{port}")
    assert code == 1
    assert "lost: " in out


def test_an_answer_cannot_steer_the_terminal(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ask(capsys, answering(wire, "\x1b[2J\u202eA").url)
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--api-key-env", "NO_SUCH_KEY"], ["--api-key-env", "'NO_SUCH_KEY'"]),
        (["--protocol", "vlmevlkit"], ["Did you mean 'vlmevalkit'?"]),
        (["--body", "/none/such/body.json"], ["--body", "/none/such/body.json"]),
        (["--max-tokens", "0"], ["--max-tokens"]),
        (["--max-tokens", "x"], ["--max-tokens"]),
        (["--deadline", "-1"], ["--deadline"]),
        (["--deadline", "9999999999"], ["--deadline"]),
        (["--base-url", "http://[::1"], ["--base-url", "http://[::1"]),
        (["--base-url", "http://h:x"], ["--base-url", "not an http(s) URL"]),
        (["--base-url", "http://me:secret@h"], ["--base-url", "--api-key-env"]),
        (["--modle", "m"], ["--modle"]),
        (["--base-url", "127.0.0.1:8000"], ["--base-url", "127.0.0.1:8000"]),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_4(
    capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]
) -> None:
    code, out, err = ask(capsys, "http://127.0.0.1:9", *args)
    assert (code, out, err.count("\n")) == (4, "", 1)
    for word in words:
        assert word in err
    assert "secret" not in err


def test_an_unknown_question_is_refused_with_the_nearest_id(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ask(capsys, "http://127.0.0.1:9", ident="validation_Acounting_1")
    assert code == 4
    assert "Did you mean 'validation_Accounting_1'?" in err


def test_the_command_runs_by_itself(wire: Wire) -> None:
    def reply(_: WireRequest) -> list[object]:
        return [response(json.dumps(completion("A", "m")).encode())]

    argv = [sys.executable, "-m", "vlm_acceptance.accuracy.mmmu", "ask", CHOICE, "--data", str(MINI)]
    argv += ["--base-url", wire(reply).url, "--model", "m"]
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(scores(done.stdout)) == set(SCORERS)
