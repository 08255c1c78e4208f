"""A reference grows group by group, survives a kill at any moment, and never mixes two kinds of figures."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.reference_standin import GROUP, IMAGES, PROMPTS, Model, origin, recorded
from tests.support.runs import ROOT
from tests.support.token_runs import unrolled

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.logprobs import is_baseline, read_baseline, read_prompts
from vlm_acceptance.core.reference import Change, PromptDistance
from vlm_acceptance.core.reference_file import change_line, origin_line, read_about
from vlm_acceptance.reference.checkpoint import file_hash
from vlm_acceptance.reference.progress import Progress
from vlm_acceptance.reference.record import Job, record, run_lengths
from vlm_acceptance.reference.routes import Opened

SECONDS_A_GROUP = 0.02


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a reference that was recorded without an interruption."""
    out = tmp_path_factory.mktemp("whole") / "reference.jsonl"
    recorded(out, len(PROMPTS))
    return out.read_bytes()


def test_a_reference_is_a_baseline_that_knows_its_origin(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 3)
    assert is_baseline(out)
    assert [row.prompt for row in read_baseline(out)] == list(read_prompts(out)) == list(PROMPTS[:3])
    about = read_about(out)
    assert about.origin is not None
    assert (about.origin.route, about.origin.top, about.changes) == ("own", 5, ())


def test_a_row_holds_the_tokens_of_its_prompt_and_the_hashes_of_its_pictures(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 1)
    row = json.loads(out.read_text("utf-8").splitlines()[1])
    assert unrolled(row["prompt_tokens"]) == (1, 1, *PROMPTS[0].prompt.encode())
    assert row["picture_sha256"] == [file_hash(IMAGES / name) for name in PROMPTS[0].pictures]


def test_the_distance_of_the_other_form_stands_where_its_tokens_differ(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, len(PROMPTS))
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()[1:]]
    assert {bool(row["pictures"]) for row in rows} == {True, False}
    assert all(("other_form" in row) is bool(row["pictures"]) for row in rows)
    # one token less moves every figure of the made-up model by 0.01
    far = {"form": "published", "shift": 0.01, "largest": 0.01, "common": 1.0, "chosen": 0.01}
    assert all(row["other_form"] == far for row in rows if row["pictures"])


def test_runs_of_a_token_are_written_short() -> None:
    tokens = (1, 5, 7, 7, 7, 7, 7, 6, 2, 2)
    assert run_lengths(tokens) == [1, 5, [7, 5], 6, 2, 2]
    assert unrolled(run_lengths(tokens)) == tokens


def test_a_whole_file_is_not_computed_again(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 5)
    before = out.read_bytes()
    computed, model = recorded(out, 5)
    assert (computed, model.groups, out.read_bytes()) == (False, [], before)


def test_a_row_too_many_is_no_line_of_power_whatever_keys_it_has(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 6)
    *lines, last = out.read_text("utf-8").splitlines()
    out.write_text("".join(f"{line}\n" for line in [*lines, json.dumps({**json.loads(last), "change": "x"})]), "utf-8")
    with pytest.raises(UsageProblem, match="recorded with prompts more than 5, and now it is 5"):
        recorded(out, 5)


def test_a_file_whose_keys_were_sorted_is_not_computed_again(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 5)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    out.write_text("\ufeff" + "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows), "utf-8")
    assert recorded(out, 5)[0] is False


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.33, 0.6, 0.999])
def test_a_file_that_was_cut_anywhere_goes_on_to_the_same_bytes(whole: bytes, tmp_path: Path, share: float) -> None:
    out = tmp_path / "reference.jsonl"
    out.write_bytes(whole[: int(len(whole) * share)])
    recorded(out, len(PROMPTS))
    assert out.read_bytes() == whole


def test_prompts_are_grouped_as_without_an_interruption(whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[: 1 + GROUP + 2]))  # two rows of the second group
    _, model = recorded(out, len(PROMPTS))
    assert model.groups[0] == [prompt.id for prompt in PROMPTS[GROUP : 2 * GROUP]]
    assert out.read_bytes() == whole


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_recorder_killed_at_a_random_moment_goes_on_to_the_same_bytes(
    whole: bytes, tmp_path: Path, seed: int
) -> None:
    out = tmp_path / "reference.jsonl"
    argv = [sys.executable, "-m", "tests.support.reference_standin", str(out), str(SECONDS_A_GROUP)]
    process = subprocess.Popen(argv, cwd=ROOT, env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})
    wanted, deadline = random.Random(seed).uniform(0, 0.9) * len(whole), time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if out.exists() and out.stat().st_size > wanted:
            break
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(out.read_bytes()) < len(whole)
    recorded(out, len(PROMPTS))
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"arithmetic": "bfloat16"}, "arithmetic float32, and now it is bfloat16"),
        ({"form": "published"}, "form served, and now it is published"),
        ({"top": 20}, "top 5, and now it is 20"),
        ({"files": {"config.json": "b" * 64}}, "files.config.json aaaa"),
        ({"versions": {"torch": "2.13.0", "vllm": "0.18.0"}}, "versions.vllm absent, and now it is 0.18.0"),
        ({"code": "d" * 64}, "code cccc"),
    ],
)
def test_a_file_of_other_figures_is_refused_by_what_differs(
    tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 3)
    before = out.read_bytes()
    with pytest.raises(UsageProblem, match=named) as refused:
        recorded(out, 3, **changed)
    assert "\n" not in str(refused.value)
    assert out.read_bytes() == before


def test_a_file_of_other_prompts_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 6)
    with pytest.raises(UsageProblem, match="prompts more than 3, and now it is 3"):
        recorded(out, 3)


@pytest.mark.parametrize("content", [b"# notes\n", b"# notes", b'{"id": "a"}\n', b"[]\n"])
def test_a_file_that_is_no_reference_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "notes.txt"
    out.write_bytes(content)
    with pytest.raises(UsageProblem, match="exists and is no reference"):
        recorded(out, 3)
    assert out.read_bytes() == content


def test_power_of_an_unfinished_file_is_dropped_when_it_goes_on(whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    lines = whole.splitlines(keepends=True)
    change = change_line(Change("int4", False, {PROMPTS[0].id: PromptDistance(1.0, 1.0, 1, 1, 1.0, 1)})).encode()
    out.write_bytes(b"".join(lines[: 1 + GROUP]) + change + b"\n")
    _, model = recorded(out, len(PROMPTS))
    assert out.read_bytes() == whole
    assert model.groups[0][0] == PROMPTS[GROUP].id


def test_a_first_line_without_rows_gives_way_to_another_reference(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    for content in (origin_line(origin()) + "\n", origin_line(origin())[:40]):
        out.write_text(content, "utf-8")
        recorded(out, 3, arithmetic="bfloat16")
        about = read_about(out)
        assert about.origin is not None
        assert about.origin.arithmetic == "bfloat16"


def test_a_model_that_cannot_be_opened_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"

    def refused() -> Opened:
        raise UsageProblem("no such model")

    with pytest.raises(UsageProblem, match="no such model"):
        record(Job(out, origin(), PROMPTS[:3], IMAGES), refused, Progress("reference", 3).start)
    assert not out.exists()


@pytest.mark.parametrize("first", [True, False])
def test_a_full_disk_is_one_line_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    out = tmp_path / "reference.jsonl"

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Later(Model):
        def answer(self, asked, top):  # type: ignore[no-untyped-def]
            if first or self.groups:
                monkeypatch.setattr(os, "fsync", full)
            return super().answer(asked, top)

    with pytest.raises(EnvironmentProblem, match=r"--out: .* cannot be written: No space left on device"):
        recorded(out, 2 * GROUP, Later())
    monkeypatch.undo()
    recorded(out, 2 * GROUP)
    assert len(read_baseline(out)) == 2 * GROUP


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    out = Path("/dev/null")
    if kind == "pipe":
        os.mkfifo(out := tmp_path / "pipe")
    with pytest.raises(UsageProblem, match=f"--out: {out} is not a regular file"):
        recorded(out, 3)
    assert out.exists()


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
@pytest.mark.parametrize(
    ("arithmetic", "said"),
    [
        ("float16", "float16 overflows in this model; take --arithmetic bfloat16 or float32"),
        ("float32", "the log probabilities are no numbers in float32; the checkpoint may be damaged"),
    ],
)
@pytest.mark.parametrize("in_answer", [True, False])
def test_what_is_no_number_is_refused_by_the_prompt(
    tmp_path: Path, broken: float, arithmetic: str, said: str, in_answer: bool
) -> None:
    class Overflowing(Model):
        def score(self, asked, answers, top):  # type: ignore[no-untyped-def]
            self.calls = getattr(self, "calls", 0) + 1
            found = super().score(asked, answers, top)
            return [({**tops[0], 5: broken}, *tops[1:]) for tops in found] if in_answer or self.calls > 1 else found

    out = tmp_path / "reference.jsonl"
    with pytest.raises(UsageProblem) as refused:
        recorded(out, len(PROMPTS), Overflowing(), arithmetic=arithmetic)
    assert str(refused.value).startswith("prompt ")
    assert str(refused.value).endswith(said)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"
    recorded(out, 6)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[3:]]))
    with pytest.raises(UsageProblem, match="line 3 is damaged"):
        recorded(out, 6)


def test_two_recorders_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "reference.jsonl"

    class Second(Model):
        def answer(self, asked, top):  # type: ignore[no-untyped-def]
            with pytest.raises(UsageProblem, match="another process is writing"):
                recorded(out, 3)
            return super().answer(asked, top)

    assert recorded(out, 3, Second())[0]


@pytest.mark.parametrize("place", ["", "absent/reference.jsonl"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageProblem, match="--out: .* cannot be written") as refused:
        recorded(tmp_path / place, 3)
    assert "\n" not in str(refused.value)
