"""The attestation of a run: it is a statement of in-toto, and every change of the evidence is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.pages import EVIDENCE, RUN, change

from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.files import BadFile
from vlm_acceptance.report import attestation, attestation_files, html
from vlm_acceptance.report.attestation import verify, write
from vlm_acceptance.report.attestation_statement import statement_of

EXCHANGES = 60


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the stored run with an attestation and more exchanges."""
    folder = Path(shutil.copytree(RUN, tmp_path / "run"))
    rows = [json.dumps({"test": "x", "id": f"r{number:05}", "body": "y" * number}) for number in range(EXCHANGES)]
    (folder / "exchanges.jsonl").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    write(folder)
    return folder


def edit(run: Path, name: str, changed: Callable[[list[str]], object]) -> list[str]:
    """What verify() says after the lines of a file were changed in place."""
    lines = (run / name).read_text("utf-8").splitlines(keepends=True)
    changed(lines)
    (run / name).write_text("".join(lines), "utf-8")
    return verify(run)


def reseal(run: Path, edited: Callable[[dict[str, Any]], object]) -> list[str]:
    """What verify() says after the statement itself was edited."""
    path = run / "attestation.json"
    statement = json.loads(path.read_text("utf-8"))
    edited(statement)
    path.write_text(json.dumps(statement), "utf-8")
    return verify(run)


def test_an_untouched_run_has_no_differences(run: Path) -> None:
    assert verify(run) == []


def test_it_is_a_statement_with_the_predicate_of_test_results(run: Path) -> None:
    statement = json.loads((run / "attestation.json").read_text("utf-8"))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    names = [subject["name"] for subject in statement["subject"]]
    assert names == ["weights", "config.json", "profile control-cpu.yaml"]
    assert len(names) == len(set(names))
    assert all(subject["digest"] for subject in statement["subject"])
    assert "sha256" not in statement["subject"][0]["digest"], "samples are not the SHA-256 of a file"
    predicate = statement["predicate"]
    assert predicate["result"] == "FAILED"
    assert [row["name"] for row in predicate["configuration"]] == ["control-cpu.yaml"]
    assert predicate["failedTests"] == ["tests/acceptance/test_schema.py::test_stop_string_stops"]
    assert len(predicate["passedTests"]) == 3 and predicate["warnedTests"] == []
    more = predicate["vlmAcceptance"]
    assert (more["verdict"], more["scope"]["deployment"]) == ("rejected", "endpoint only")
    assert set(more["otherTests"]) == {"error", "not run"}
    assert sum(len(row["tests"]) for row in more["notExamined"]) == 27
    assert {row["reason"] for row in more["notExamined"]} >= {"the profile expects no versions"}


@pytest.mark.parametrize(
    ("verdict", "result"),
    [("accepted", "PASSED"), ("rejected", "FAILED"), ("inconclusive", "FAILED"), ("none", "FAILED"), (None, "FAILED")],
)
def test_only_an_accepted_deployment_has_passed(verdict: str | None, result: str) -> None:
    assert statement_of({"verdict": verdict})["predicate"]["result"] == result


def test_a_test_that_passed_with_a_known_issue_is_a_warning() -> None:
    rows = [{"id": name, "outcome": "passed"} for name in ("a", "b")]
    predicate = statement_of({"tests": rows, "known_issues": {"it is slow": ["b"]}})["predicate"]
    assert (predicate["passedTests"], predicate["warnedTests"]) == (["a"], ["b"])


@pytest.mark.parametrize(
    ("suite", "digest"),
    [
        ({"dir_hash": "1" * 64, "commit": "a" * 40, "dirty": False}, {"dirHash": "1" * 64, "gitCommit": "a" * 40}),
        ({"dir_hash": "1" * 64, "commit": "a" * 40, "dirty": True}, {"dirHash": "1" * 64}),
        ({"dir_hash": None, "commit": "a" * 40, "dirty": False}, {"gitCommit": "a" * 40}),
    ],
    ids=["clean", "changed", "unreadable"],
)
def test_the_suite_is_named_by_its_files_and_a_commit_that_holds_them(
    suite: dict[str, Any], digest: dict[str, str]
) -> None:
    (subject,) = statement_of({"suite": suite})["subject"]
    assert subject["digest"] == digest


def test_digests_are_those_of_the_usual_tools(run: Path) -> None:
    (entry,) = [one for one in attestation.read(run)["predicate"]["vlmAcceptance"]["evidence"] if "lines" in str(one)][
        :1
    ]
    content = (run / entry["name"]).read_bytes()
    assert entry["digest"]["sha256"] == hashlib.sha256(content).hexdigest()
    rows = (run / "attestation.lines").read_text("utf-8").splitlines()
    line = (run / "exchanges.jsonl").read_bytes().splitlines(keepends=True)[36]
    assert f"{hashlib.sha256(line).hexdigest()}  exchanges.jsonl:37" in rows


def test_files_are_chained_in_the_order_written(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RUN, tmp_path / "run"))
    os.utime(folder / "results.jsonl", ns=(1, 1))
    os.utime(folder / "summary.json", ns=(1 << 62, 1 << 62))
    write(folder)
    statement = attestation.read(folder)
    evidence = statement["predicate"]["vlmAcceptance"]["evidence"]
    assert (evidence[0]["name"], evidence[-1]["name"]) == ("results.jsonl", "summary.json")
    link = "0" * 64
    for entry in evidence:
        link = hashlib.sha256(f"{link} {entry['digest']['sha256']} {entry['name']}\n".encode()).hexdigest()
        assert entry["annotations"]["chain"] == link
    assert attestation.head_of(statement) == link


def test_a_changed_line_is_named_with_its_number(run: Path) -> None:
    found = edit(run, "exchanges.jsonl", lambda lines: lines.__setitem__(36, lines[36].replace("yy", "yz", 1)))
    assert found == ["exchanges.jsonl: line 37 was changed"]


def test_each_changed_line_is_named(run: Path) -> None:
    found = edit(run, "exchanges.jsonl", lambda lines: [lines.__setitem__(n, "{}\n") for n in (2, 3, 50)])
    assert found == [f"exchanges.jsonl: line {number} was changed" for number in (3, 4, 51)]


def test_a_removed_last_line_is_named(run: Path) -> None:
    assert edit(run, "exchanges.jsonl", lambda lines: lines.pop()) == [f"exchanges.jsonl: line {EXCHANGES} was removed"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda lines: lines.pop(9), "line 10 was removed"),
        (lambda lines: lines.insert(9, "{}\n"), "line 10 was added"),
        (lambda lines: lines.extend(["{}\n", "{}\n"]), f"lines {EXCHANGES + 1} to {EXCHANGES + 2} were added"),
        (lambda lines: lines.__delitem__(slice(0, 5)), "lines 1 to 5 were removed"),
        (lambda lines: lines.clear(), f"lines 1 to {EXCHANGES} were removed"),
        (lambda lines: lines.__setitem__(EXCHANGES - 1, lines[-1].rstrip()), f"line {EXCHANGES} was changed"),
        (
            lambda lines: lines.__setitem__(slice(10, 50), ["{}\n"] * 40),
            "lines 11 to 50 were changed; 40 lines are in their place",
        ),
    ],
    ids=["removed", "inserted", "appended", "first five", "all", "without its line feed", "forty"],
)
def test_lines_that_were_removed_added_or_replaced_are_named(
    run: Path, changed: Callable[[list[str]], object], says: str
) -> None:
    assert edit(run, "exchanges.jsonl", changed) == [f"exchanges.jsonl: {says}"]


def test_two_lines_in_another_order_are_seen(run: Path) -> None:
    def swap(lines: list[str]) -> None:
        lines[4], lines[5] = lines[5], lines[4]

    assert len(edit(run, "exchanges.jsonl", swap)) == 2


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", [f"{EVIDENCE}/picture-1.png", f"{EVIDENCE}/response.json", "summary.json"])
def test_a_changed_byte_names_its_file(run: Path, name: str, place: int) -> None:
    content = bytearray((run / name).read_bytes())
    content[place] ^= 1
    (run / name).write_bytes(content)
    (sentence,) = verify(run)
    assert sentence == f"{name}: this file was changed; it had {len(content)} bytes and has {len(content)}"


def test_a_file_that_was_removed_or_added_is_named(run: Path) -> None:
    (run / EVIDENCE / "request.json").unlink()
    (run / EVIDENCE / "more.json").write_text("{}", "utf-8")
    (run / "again").symlink_to(run / "evidence")
    assert verify(run) == [
        f"{EVIDENCE}/request.json: this file was removed",
        "again: this file was added",
        f"{EVIDENCE}/more.json: this file was added",
    ]


def test_a_file_in_whose_place_is_a_link_is_named(run: Path, tmp_path: Path) -> None:
    shutil.move(run / "results.jsonl", tmp_path / "elsewhere.jsonl")
    (run / "results.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    assert verify(run) == ["results.jsonl is a link"]


def test_pages_made_again_and_a_signature_are_no_change(run: Path) -> None:
    for name in ("report.html", "report.xlsx", "attestation.dsse.json"):
        (run / name).write_text("made later", "utf-8")
    assert verify(run) == []
    (run / "evidence" / "report.html").write_text("not the page of the run", "utf-8")
    assert verify(run) == ["evidence/report.html: this file was added"]


def test_the_page_can_be_made_from_an_attested_run(run: Path) -> None:
    (run / "report.html").write_text(html.render(run), "utf-8")
    assert verify(run) == []


def test_a_copy_of_a_run_is_still_as_attested(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy", copy_function=shutil.copyfile))
    assert verify(copy) == []


def test_without_its_lines_a_changed_file_is_named_as_a_whole(run: Path) -> None:
    (run / "attestation.lines").unlink()
    first, second = edit(run, "exchanges.jsonl", lambda lines: lines.pop())
    assert first.startswith("attestation.lines cannot be read")
    assert second.startswith("exchanges.jsonl: this file was changed")


def test_a_changed_list_of_lines_is_named(run: Path) -> None:
    (sentence,) = edit(run, "attestation.lines", lambda lines: lines.pop())
    assert sentence == "attestation.lines was changed: lines that were changed in other files cannot be named"


@pytest.mark.parametrize(
    ("edited", "says"),
    [
        (
            lambda s: s["predicate"].update(result="PASSED"),
            'predicate.result is "PASSED", which is not what summary.json',
        ),
        (lambda s: s["predicate"]["failedTests"].clear(), "predicate.failedTests is []"),
        (lambda s: s["predicate"]["vlmAcceptance"].update(verdict="accepted"), "vlmAcceptance.verdict is"),
        (lambda s: s["predicate"]["vlmAcceptance"].update(more=1), "vlmAcceptance.more is 1"),
        (lambda s: s["predicate"].update(url="http://x"), "predicate.url is"),
        (lambda s: s["subject"][0].update(name="y"), "subject is"),
        (lambda s: s["predicate"]["vlmAcceptance"]["evidence"].pop(0), "its chain breaks at"),
        (lambda s: s["predicate"]["vlmAcceptance"]["evidence"].reverse(), "its chain breaks at"),
        (
            lambda s: s["predicate"]["vlmAcceptance"]["evidence"][0]["annotations"].update(bytes=1),
            "does not agree with that file",
        ),
    ],
    ids=["result", "tests", "verdict", "more", "url", "subject", "a file less", "order", "size"],
)
def test_a_statement_that_was_edited_is_named(run: Path, edited: Callable[[dict[str, Any]], object], says: str) -> None:
    found = reseal(run, edited)
    assert says in found[0]
    assert found[0].startswith("attestation.json: ")


@pytest.mark.parametrize(
    "edited",
    [
        lambda s: s.update(predicate=[]),
        lambda s: s["predicate"].update(vlmAcceptance="x"),
        lambda s: s["predicate"]["vlmAcceptance"].update(schema="another/2"),
        lambda s: s["predicate"]["vlmAcceptance"].update(evidence={"a": 1}),
        lambda s: s["predicate"]["vlmAcceptance"].update(evidence=[{"name": 1, "digest": {"sha256": ""}}]),
        lambda s: s.update(_type="other"),
    ],
)
def test_a_file_that_is_no_statement_is_one_sentence(run: Path, edited: Callable[[dict[str, Any]], object]) -> None:
    (sentence,) = reseal(run, edited)
    assert sentence.startswith("attestation.json is not an attestation")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", "", "x" * 5000, "\ud800", ".", "evidence"])
def test_names_in_a_hostile_statement_lead_nowhere(run: Path, name: str) -> None:
    def add(statement: dict[str, Any]) -> None:
        entry = {"name": name, "digest": {"sha256": "0" * 64}, "annotations": {"chain": "0", "bytes": "\x1b[2J" * 999}}
        statement["predicate"]["vlmAcceptance"]["evidence"].append(entry)

    found = reseal(run, add)
    assert len(found) == 2
    assert all(len(sentence) < 800 and sentence.isprintable() for sentence in found)
    assert "root:" not in "".join(found)


def test_very_many_differences_are_cut(run: Path) -> None:
    for number in range(300):
        (run / f"more-{number}").write_bytes(b"")
    found = verify(run)
    assert len(found) == 201
    assert found[-1] == "more than 200 differences; the rest is not listed"


def test_a_pipe_in_the_folder_does_not_block(run: Path) -> None:
    os.mkfifo(run / "pipe")
    assert verify(run) == ["pipe: this file was added"]
    write(run)
    assert verify(run) == ["pipe: this file was added"]


def test_a_line_longer_than_a_block_has_the_digest_of_the_line(tmp_path: Path) -> None:
    lines = [b"x" * (3 * attestation_files.BLOCK + 5) + b"\n", b"\n", b"y" * attestation_files.BLOCK]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    found = attestation_files.read(tmp_path, "a.jsonl")
    assert list(found.lines) == [hashlib.sha256(line).hexdigest() for line in lines]
    assert found.size == sum(map(len, lines))


@pytest.mark.parametrize("content", ["{", "[]", '"x"', '{"tests": 1}'])
def test_a_run_whose_summary_is_broken_gets_no_attestation(tmp_path: Path, content: str) -> None:
    (tmp_path / "summary.json").write_text(content, "utf-8")
    with pytest.raises(HarnessProblem, match=r"attestation\.json was not made"):
        write(tmp_path)
    assert not attestation.is_attested(tmp_path)
    with pytest.raises(BadFile):
        attestation.read(tmp_path)


def test_a_summary_of_an_earlier_release_can_be_attested(run: Path) -> None:
    change(run, lambda s: [s.pop(key) for key in ("suite", "model_files", "not_applicable", "scope")])
    write(run)
    assert verify(run) == []


DOC = Path(__file__).resolve().parents[3] / "docs" / "attestation.md"
KEYS, SIGN, CHECK = (part.partition("```")[0] for part in DOC.read_text("utf-8").split("```sh\n")[1:])


def shell(script: str, folder: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """A block of the page, run by sh in a folder where `vlm-acceptance` is what it is here."""
    env = {"PATH": f"{folder}:{os.environ['PATH']}", **{name: str(value) for name, value in variables.items()}}
    return subprocess.run(["sh", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def signed(run: Path, tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """A run that was signed as docs/attestation.md shows; the call checks it as the page shows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    keys = tmp_path / "keys"
    keys.mkdir()
    command = keys / "vlm-acceptance"
    command.write_text('#!/bin/sh\necho "$@"\n', "utf-8")
    command.chmod(0o755)
    made = shell(KEYS, keys)
    assert made.returncode == 0, made.stderr
    done = shell(SIGN, run, KEY=keys / "acceptance.key")
    assert done.returncode == 0, done.stderr
    return lambda: shell(CHECK, keys, RUN=run, PUB=keys / "acceptance.pub", MODEL="/model")


def test_a_run_signed_with_openssl_is_checked_with_openssl(
    run: Path, signed: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    envelope = json.loads((run / "attestation.dsse.json").read_text("utf-8"))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    done = signed()
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Verified OK\nverify {run} --accepted --model /model\n"
    assert verify(run) == []


def test_a_statement_that_was_edited_after_the_signature_is_refused(
    run: Path, signed: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    reseal(run, lambda s: s["predicate"].update(result="PASSED"))
    done = signed()
    assert (done.returncode, "differ" in done.stdout + done.stderr) == (1, True)


def test_an_envelope_that_was_edited_is_refused(
    run: Path, signed: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    path = run / "attestation.dsse.json"
    envelope = json.loads(path.read_text("utf-8"))
    head = envelope["payload"][:40]
    envelope["payload"] = ("B" if head[0] != "B" else "C") + envelope["payload"][1:]
    path.write_text(json.dumps(envelope), "utf-8")
    done = signed()
    assert done.returncode != 0
    assert "verify " not in done.stdout
