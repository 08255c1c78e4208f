"""A stored run is judged again without a server: the same verdict, another one by other limits, and what is absent."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import FAILS, HEAD, PASSES, Ran, accept, junit_of, results_of, summary_of, warm_run
from tests.support.wire import Answer, WireRequest, WireServer, completion, endpoint, response

from vlm_acceptance.core.exchange import CHAT

# a plugin of pytest in the folder of the run
NO_SOCKETS = """
import socket

def refuse(self, *args):
    raise AssertionError(f"a socket is used: {args}")

for name in ("connect", "connect_ex", "bind", "listen"):
    setattr(socket.socket, name, refuse)
"""
AT_ONCE = '''
def test_many(client, findings):
    """Every one MUST be answered."""
    bodies = [{"model": client.model_id, "messages": [{"role": "user", "content": f"number {n}"}]} for n in range(5)]
    exchanges = client.all([*bodies, *bodies], 4)
    findings.note(texts=" ".join(exchange.reply.text for exchange in exchanges))
'''
SEEN = '''
def test_sees(client, context, findings):
    """What is seen of the machine MUST be kept."""
    findings.note(load=context.observed("load", tuple[float, int | None], lambda: (LOAD, None)))
    seen = client.observed("pair", dict[str, int], lambda: {client.chat("one two").id: 1})
    findings.note(pair=len(seen))
'''
SLOW = '''
def test_is_fast(client, findings, profile):
    """It MUST be fast."""
    exchange = client.chat("one two")
    if exchange.elapsed_s > profile.latency.default.e2e_s:
        findings.add([WRONG], exchange)
'''


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def judged(root: Path, run: Path, reports: Path, *args: str, env: Mapping[str, str] | None = None) -> Ran:
    """Judge a stored run where no socket can be used."""
    (root / "nosockets.py").write_text(NO_SOCKETS, "utf-8")
    given = ("-p", "nosockets", f"--vlm-judge={run}", f"--vlm-reports={reports}")
    return warm_run("-m", "smoke", *given, *args, cwd=root, env=env)


def only_run(reports: Path) -> Path:
    return next((reports / "runs").iterdir())


def summary_in(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text("utf-8"))
    return found


def rows(reports: Path) -> list[tuple[Any, ...]]:
    """What was judged of each test, without places and times."""
    return [
        (
            row["id"],
            row["outcome"],
            {name: value for name, value in row["properties"].items() if name != "evidence"},
            [(one["check"], one["expected"], one["observed"], one["where"]) for one in row["findings"]],
        )
        for row in results_of(reports)
    ]


def numbered() -> Answer:
    """An endpoint whose answers differ by the order of the requests."""
    count = itertools.count(1)

    def answer(request: WireRequest) -> bytes | None:
        if request.path != CHAT:
            return None
        return response(json.dumps(completion(f"This is answer {next(count)}.")).encode())

    return endpoint(answer)


@pytest.mark.parametrize(
    ("tests", "code"),
    [(HEAD + PASSES, 0), (HEAD + PASSES + FAILS, 1), (HEAD + AT_ONCE + "LOAD = 0.5\n" + SEEN, 0)],
    ids=["accepted", "rejected", "at once, and what is seen"],
)
def test_the_same_profile_gives_the_same_verdict_without_a_socket(
    tests: str, code: int, checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=tests)
    assert accept(root, reports, server.url).code == code
    server.close()
    asked = len(server.requests)
    ran = judged(root, reports / "latest", reports.with_name("again"))
    assert ran.code == code, ran.output
    assert rows(reports.with_name("again")) == rows(reports)
    assert len(server.requests) == asked
    run = only_run(reports.with_name("again"))
    again = summary_in(run)
    assert run.name.endswith("-quick-judged")
    assert not (reports.with_name("again") / "latest").exists()
    assert again["verdict"] == summary_of(reports)["verdict"]
    assert again["judged"] == {
        "run": only_run(reports).name, "folder": str(only_run(reports).resolve()), "absent": 0,
    }  # fmt: skip
    assert f"judged again from the run {only_run(reports).name}, no server was asked" in again["statement"]
    assert "the profile is not that of the stored run" not in " ".join(again["notes"])
    assert junit_of(reports.with_name("again")).get("failures") == str(code)
    assert (run / "report.html").is_file()


def test_what_is_seen_is_not_made_again(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + "LOAD = 0.5\n" + SEEN)
    assert accept(root, reports, server.url).code == 0
    (root / "tests" / "acceptance" / "test_health.py").write_text(HEAD + "LOAD = 7.5\n" + SEEN, "utf-8")
    assert judged(root, reports / "latest", reports.with_name("again")).code == 0
    (row,) = results_of(reports.with_name("again"))
    assert row["properties"] == {"load": "(0.5, None)", "pair": "1"}


def test_tighter_limits_refuse_a_stored_run(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + SLOW)
    assert accept(root, reports, server.url, "--vlm-set=latency.default.e2e_s=10").code == 0
    again = reports.with_name("again")
    assert judged(root, reports / "latest", again).code == 0  # the limit of that run, though no file has it
    tight = judged(root, reports / "latest", again.with_name("tight"), "--vlm-set=latency.default.e2e_s=0.000001")
    assert tight.code == 1, tight.output
    assert "the profile is not that of the stored run: its limits are those of this verdict" in tight.out


def test_what_the_stored_run_does_not_hold_is_not_run(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + PASSES)
    assert accept(root, reports, server.url).code == 0
    newer = HEAD + PASSES + PASSES.replace("test_passes", "test_newer") + SEEN.replace("LOAD", "0.5")
    (root / "tests" / "acceptance" / "test_health.py").write_text(newer, "utf-8")
    ran = judged(root, reports / "latest", reports.with_name("again"))
    assert ran.code == 11, ran.output
    outcomes = {row["id"].rpartition("::")[2]: row["outcome"] for row in results_of(reports.with_name("again"))}
    assert outcomes == {"test_passes": "passed", "test_newer": "not run", "test_sees": "not run"}
    assert "2 tests are not run: the stored run does not hold what they look at" in ran.out
    # a failure is a failure, whatever is absent
    (root / "tests" / "acceptance" / "test_health.py").write_text(
        newer.replace("findings.note(answer", "findings.add([WRONG]);findings.note(answer"), "utf-8"
    )
    assert judged(root, reports / "latest", reports.with_name("third")).code == 1


def test_a_run_of_an_earlier_version_is_judged_as_far_as_it_goes(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer], tmp_path: Path
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + PASSES + SEEN.replace("LOAD", "0.5"))
    assert accept(root, reports, server.url).code == 0
    older = tmp_path / "older"
    shutil.copytree(only_run(reports), older)
    for name in ("observations.jsonl", "profile.yaml", "attestation.json", "attestation.lines"):
        (older / name).unlink()
    lines = [json.loads(line) for line in (older / "exchanges.jsonl").read_text("utf-8").splitlines()]
    kept = [{key: value for key, value in row.items() if key not in ("started_ns", "readings")} for row in lines]
    (older / "exchanges.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in kept), "utf-8")
    ran = judged(root, older, reports.with_name("again"))
    assert ran.code == 11, ran.output
    outcomes = [row["outcome"] for row in results_of(reports.with_name("again"))]
    assert outcomes == ["passed", "not run"]
    assert "the stored run has no attestation" in ran.output
    assert not list(reports.with_name("again").rglob("attestation.*"))


def cut(run: Path) -> str:
    (run / "summary.json").unlink()
    return "is not the folder of a finished run: summary.json cannot be read: No such file or directory"


def no_object(run: Path) -> str:
    (run / "exchanges.jsonl").write_text("[1]\n", "utf-8")
    return "exchanges.jsonl has a line that is not an object, line 1"


def no_exchange(run: Path) -> str:
    (run / "exchanges.jsonl").write_text('{"test": "t", "id": 3}\n', "utf-8")
    return "line 1 is not an exchange"


def no_seed(run: Path) -> str:
    summary = summary_in(run)
    summary["scope"]["seed"] = "7"
    (run / "summary.json").write_text(json.dumps(summary), "utf-8")
    return "holds no seed: its requests cannot be made again"


def judged_before(run: Path) -> str:
    (run / "summary.json").write_text(json.dumps({**summary_in(run), "judged": {"folder": "/runs/first"}}), "utf-8")
    return "was judged from /runs/first, which holds what the server sent: give that"


def another_model(run: Path) -> str:
    summary = summary_in(run)
    summary["scope"]["model"] = "org/other"
    (run / "summary.json").write_text(json.dumps(summary), "utf-8")
    return "that run is one of the model 'org/other', and the profile is for "


def the_control(run: Path) -> str:
    (run / "summary.json").write_text(json.dumps({**summary_in(run), "control": True}), "utf-8")
    return "that run and the profile do not agree on whether the model is the control"


SPOILT = (cut, no_object, no_exchange, no_seed, judged_before, another_model, the_control)


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda one: one.__name__)
def test_a_folder_that_cannot_be_judged_is_one_line(
    spoil: Callable[[Path], str], checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + PASSES)
    assert accept(root, reports, server.url).code == 0
    (only_run(reports) / "attestation.json").unlink()  # else the change is named
    said = spoil(only_run(reports))
    ran = judged(root, only_run(reports), reports.with_name("again"))
    assert ran.code == 4, ran.output
    (problem,) = ran.problems
    assert said in problem


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--vlm-base-url=http://127.0.0.1:1"], "no server is asked; leave --vlm-base-url out"),
        (["--vlm-seed=1"], "the seed of that run is "),
    ],
)
def test_options_of_a_run_that_asks_are_refused(
    args: list[str], said: str, checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + PASSES)
    assert accept(root, reports, server.url).code == 0
    ran = judged(root, reports / "latest", reports.with_name("again"), *args)
    assert (ran.code, said in ran.problems[0]) == (4, True), ran.output


def test_options_of_the_environment_are_those_of_another_run(
    checkout: Callable[..., Path], reports: Path, wire: Callable[[Answer], WireServer]
) -> None:
    server, root = wire(numbered()), checkout(test_health=HEAD + PASSES)
    assert accept(root, reports, server.url).code == 0
    env = {"VLM_PROFILE": "absent", "VLM_BASE_URL": "http://127.0.0.1:1", "VLM_SEED": "3", "VLM_API_KEY_ENV": "NONE"}
    ran = judged(root, reports / "latest", reports.with_name("again"), env=env)
    assert ran.code == 0, ran.output
