"""The file of --vlm-record-baseline: log probabilities of a right deployment, and how far it is from itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.made_context import ACCEPTED, attached

from vlm_acceptance.checks.logprobs import repeat
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.logprobs import LogProbs, StoredLogProbs, read_baseline
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.reference_file import read_about
from vlm_acceptance.run import calibration
from vlm_acceptance.run.context import RunContext

# so many rows the control's baseline has
ROWS = len(read_baseline(ROOT / "fixtures/baselines/control.jsonl"))


def moved(rows: list[StoredLogProbs], nats: float) -> list[StoredLogProbs]:
    """The rows with every log probability so much lower."""
    return [replace(row, logprobs=lowered(row.logprobs, nats)) for row in rows]


def lowered(one: LogProbs, nats: float) -> LogProbs:
    return replace(one, top=tuple({token: value - nats for token, value in listed.items()} for listed in one.top))


def recorded(tmp_path: Path, nats: float = 0.0) -> tuple[RunContext, list[str]]:
    """A right run of the control that records into mine.jsonl what is so far from the stored values, and its lines."""
    context = attached(tmp_path, vlm_record_baseline=str(tmp_path / "mine.jsonl"))
    rows = list(context.inputs.stored_logprobs)
    known = {row.prompt.id: row.logprobs for row in rows}
    context.record.logprobs = moved(rows, nats)
    seen = {name: lowered(one, 0.001) for name, one in known.items()}
    context.record.repeats = [repeat("together", known, seen)]
    return context, calibration.record(context, ACCEPTED)


def test_recorded_log_probabilities_are_a_baseline_to_compare_with(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    assert context.settings.record_baseline is None
    context.record.logprobs = list(attached(tmp_path).inputs.stored_logprobs)
    assert calibration.record(context, ACCEPTED) == [f"  baseline: {file} ({ROWS} prompts, 0 repeats)"]
    again = attached(tmp_path, vlm_baseline=str(file))
    assert (again.settings.baseline, again.settings.logprobs_baseline) == (None, file)
    assert list(again.inputs.stored_logprobs) == context.record.logprobs


def test_recorded_log_probabilities_hold_no_key_and_can_be_read_after_any_answer(tmp_path: Path) -> None:
    key, file = "sk-'quoted\"<&>\\-0123456789", tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    context.mask = Mask(key)
    known = list(context.inputs.stored_logprobs)
    answer = f"your key is {key}\x1b[2J\x00\ud800</script>\r\n"
    context.record.logprobs = [replace(row, logprobs=replace(row.logprobs, text=answer)) for row in known]
    assert calibration.record(context, ACCEPTED) == [f"  baseline: {file} ({ROWS} prompts, 0 repeats)"]
    assert key[-10:] not in file.read_text("utf-8")
    again = list(attached(tmp_path, vlm_baseline=str(file)).inputs.stored_logprobs)
    assert [row.logprobs.tokens for row in again] == [row.logprobs.tokens for row in known]
    assert again[0].logprobs.text == "your key is [masked]\x1b[2J\x00?</script>\r\n"


def test_a_baseline_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    context.record.logprobs = list(attached(tmp_path).inputs.stored_logprobs)

    def full(path: Path, text: str, *_: object, **__: object) -> None:
        path.write_bytes(text.encode()[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        calibration.record(context, ACCEPTED)
    assert not file.exists()


@pytest.mark.parametrize("spoiled", ["narrowed", "a prompt without log probabilities", "rejected"])
def test_log_probabilities_of_a_deployment_that_is_not_right_are_not_recorded(tmp_path: Path, spoiled: str) -> None:
    file = tmp_path / "mine.jsonl"
    context = attached(tmp_path, vlm_record_baseline=str(file))
    known = list(attached(tmp_path).inputs.stored_logprobs)
    context.record.logprobs = known[1:] if spoiled == "a prompt without log probabilities" else known
    context.record.narrowed = "-k 'ocr'" if spoiled == "narrowed" else ""
    ruling = replace(ACCEPTED, code=1) if spoiled == "rejected" else ACCEPTED
    assert "not recorded" in calibration.record(context, ruling)[0]
    assert not file.exists()


def test_repeats_are_floors_from_which_limits_are_made(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    _, lines = recorded(tmp_path)
    assert lines == [f"  baseline: {file} ({ROWS} prompts, 1 repeats)"]
    (floor,) = read_about(file).changes
    assert (floor.name, floor.floor, len(floor.prompts)) == ("repeat: together", True, ROWS)
    one = floor.prompts["ocr/sign-1"]
    assert one.shift / one.listed == pytest.approx(0.001, rel=0.01)
    again = attached(tmp_path, vlm_baseline=str(file)).inputs
    assert again.about_baseline.origin is None
    names = [row.prompt.id for row in again.stored_logprobs[:12]]
    # an engine may repeat itself exactly until it is started again
    assert again.logprob_limits(names).limits.alarm == 0.04
    recorded(tmp_path, nats=0.003)
    twice = attached(tmp_path, vlm_baseline=str(file)).inputs
    # twice what the deployment does to itself, and far below the limit of the profile
    assert twice.logprob_limits(names).limits.alarm == pytest.approx(0.006, rel=0.1)


def test_a_second_run_of_the_same_deployment_is_one_more_floor(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    recorded(tmp_path)
    first = read_baseline(file)
    _, lines = recorded(tmp_path, nats=0.003)
    assert lines == [f"  baseline: {file} (start 2 of the same deployment, 0.0030 away)"]
    assert read_baseline(file) == first
    assert [change.name for change in read_about(file).changes] == ["repeat: together", "repeat: start 2"]
    recorded(tmp_path, nats=0.001)
    assert [change.name for change in read_about(file).changes][2:] == ["repeat: start 3"]


def test_another_deployment_is_no_repeat(tmp_path: Path) -> None:
    recorded(tmp_path)
    before = (tmp_path / "mine.jsonl").read_bytes()
    _, lines = recorded(tmp_path, nats=0.5)
    assert lines[0].startswith("  baseline: not extended, as this run differs from it (0.5000 over ")
    # within logprobs.alarm, which is 0.04, and beyond what two answers of one deployment may differ
    _, lines = recorded(tmp_path, nats=0.03)
    assert "not extended" in lines[0]
    assert "within 0.02 in the mean of all" in lines[0]
    assert (tmp_path / "mine.jsonl").read_bytes() == before


@pytest.mark.parametrize("far", ["one prompt", "another token"])
def test_one_prompt_of_another_deployment_is_enough(tmp_path: Path, far: str) -> None:
    recorded(tmp_path)
    before = (tmp_path / "mine.jsonl").read_bytes()
    context, _ = recorded(tmp_path)
    (tmp_path / "mine.jsonl").write_bytes(before)
    row = context.record.logprobs[3]
    if far == "one prompt":
        other = lowered(row.logprobs, 0.2)
    else:
        first, *rest = row.logprobs.top
        token = next(one for one in range(10**6) if one not in first)
        other = LogProbs("x", (token, *row.logprobs.tokens[1:]), ({**first, token: -0.1}, *rest))
    context.record.logprobs[3] = replace(row, logprobs=other)
    (line,) = calibration.record(context, ACCEPTED)
    assert line.startswith(f"  baseline: not extended, as this run differs from it ({row.prompt.id}: ")
    assert "\n" not in line
    assert (tmp_path / "mine.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            f'{{"reference": 1, "model": "m", "files": {{"a": "{"0" * 64}"}}, "code": "c", "route": "own", '
            '"arithmetic": "float32", "form": "served", "top": 5}\n',
            "is a reference, computed without a deployment",
        ),
        (
            '{"id": "a", "prompt": "x", "pictures": [], "text": "t", "tokens": [5], "top": [{"5": -0.1}]}\n',
            "holds other prompts than logprobs.prompts",
        ),
    ],
    ids=["reference", "other prompts"],
)
def test_a_file_that_cannot_be_extended_is_named_before_anything_starts(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(content, "utf-8")
    with pytest.raises(UsageProblem, match=why) as problem:
        attached(tmp_path, vlm_record_baseline=str(file)).check()
    assert "name a file that does not exist" in str(problem.value)


def test_changes_that_bring_no_limits_are_named_before_anything_starts(tmp_path: Path) -> None:
    recorded(tmp_path)
    recorded(tmp_path, nats=0.003)
    file = tmp_path / "mine.jsonl"
    with file.open("a", encoding="utf-8") as out:
        out.write('{"change": "int4", "floor": false, "prompts": {}}\n')
    with pytest.raises(UsageProblem, match=r"mine\.jsonl.*") as problem:
        attached(tmp_path, vlm_baseline=str(file)).inputs.check(str)
    assert "\n" not in str(problem.value)
