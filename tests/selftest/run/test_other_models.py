"""Profiles of other models: a run works with what they state, and says what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.made_context import REAL, attached, context_of
from tests.support.runs import Ran, pytest_run

from vlm_acceptance.accuracy.mmmu.dataset import prompts
from vlm_acceptance.config.model_facts import FACTS
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile import Mmmu, Profile
from vlm_acceptance.config.profile_file import load_profile, profile_names
from vlm_acceptance.run import summary

TWO_LINES = "name: mine\nmodel: {id: org/m}\n"
URL = "--vlm-base-url=http://127.0.0.1:9"


def planned(tmp_path: Path, text: str, *args: str) -> Ran:
    """The plan of a run with a profile of this text."""
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    ran = pytest_run("--vlm-plan", "-v", f"--vlm-profile={tmp_path / 'mine.yaml'}", f"--vlm-reports={tmp_path}", *args)
    assert ran.code == 0, ran.output
    return ran


def test_a_profile_of_two_lines_has_a_plan_that_claims_nothing_of_the_endpoint(tmp_path: Path) -> None:
    ran = planned(tmp_path, TWO_LINES, "-m", "smoke or slow", URL)
    assert "eager" not in ran.out
    assert "not inherited" not in ran.out
    assert "the profile does not state model.special_tokens, model.prompt_start; left out: this model's own" in ran.out
    for reason in (
        "the profile has no tile oracle (model.pictures.oracle)",
        "the profile has no context length (model.max_model_len)",
        "the profile does not say whether the model takes videos (model.video)",
        "the profile asks for no MMMU run (mmmu)",
    ):
        assert f": {reason}: " in ran.out


def test_foreign_facts_are_named_in_the_header_and_smoke_needs_no_mmmu(tmp_path: Path) -> None:
    ran = planned(tmp_path, f"extends: internvl2-2b-ascend\n{TWO_LINES}mmmu: {{}}\n", "-m", "smoke")
    (note,) = [line for line in ran.out.splitlines() if line.startswith("note: ")]
    assert note.startswith("note: mine.yaml: model.id is 'org/m', so facts of 'OpenGVLab/InternVL2-2B' in ")
    assert "references" in note
    assert "the ends of answers in generation_config.json" in ran.out


def mine(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_the_verdict_names_facts_that_are_not_inherited_too(tmp_path: Path) -> None:
    notes = summary.notes(attached(tmp_path, mine(tmp_path, f"extends: internvl2-2b-ascend\n{TWO_LINES}")))
    assert notes[0].startswith("mine.yaml: model.id is 'org/m', so facts of 'OpenGVLab/InternVL2-2B' ")
    assert notes[1].startswith("the profile does not state model.special_tokens, model.prompt_start; ")


def test_no_mode_is_claimed_where_none_is_stated_or_known(tmp_path: Path) -> None:
    path = mine(tmp_path, TWO_LINES)
    assert summary.statement(attached(tmp_path, path)) == (
        "org/m as profile mine deploys it (endpoint only, http://127.0.0.1:9)"
    )
    assert summary.statement(context_of(tmp_path, path)) == (
        "org/m as profile mine deploys it (launched from its folder, any mode; offline engine in any mode)"
    )
    assert summary.scope(context_of(tmp_path, path))["mode"] == "as started"
    assert "eager mode" not in summary.statement(attached(tmp_path, REAL))
    assert "eager mode; offline engine graph mode" in summary.statement(context_of(tmp_path, REAL))


def test_parallel_sizes_that_do_not_agree_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"{TWO_LINES}engine: {{args: [-tp, 2]}}\ndevice: {{count: 1}}\n", "utf-8")
    ran = pytest_run("--vlm-plan", f"--vlm-profile={tmp_path / 'mine.yaml'}")
    assert (ran.code, len(ran.problems)) == (4, 1), ran.output
    assert "device.count: 1, but --tensor-parallel-size 2 of engine.args need 2" in ran.problems[0]


def notes_of(**sections: object) -> str:
    profile = Profile.model_validate({"name": "mine", "model": {"id": "m"}, **sections})
    return "\n".join(summary.calibration_notes(profile))


def test_budgets_that_are_not_there_are_no_estimates() -> None:
    assert "no latency budgets" in notes_of()
    assert "first estimates" not in notes_of()
    assert "first estimates" in notes_of(latency={"categories": {"ocr": {"e2e_s": 1}}})
    assert "latenc" not in notes_of(latency={"recorded": True, "default": {"e2e_s": 1}})


@pytest.mark.parametrize(
    ("launched", "keys"),
    [
        (True, "model.weights_bytes, model.stop_token_ids, model.special_tokens, model.prompt_start"),
        (False, "model.special_tokens, model.prompt_start"),
    ],
)
def test_facts_that_nobody_states_are_named_once(launched: bool, keys: str) -> None:
    profile = Profile.model_validate({"name": "mine", "model": {"id": "m"}})
    (line,) = summary.unstated(profile, launched)
    assert line == f"the profile does not state {keys}; left out: " + ", ".join(FACTS[key] for key in keys.split(", "))


def test_internvls_system_message_is_sent_to_internvl_only() -> None:
    sent = {name: prompts(load_profile(name, PROFILES).profile.mmmu or Mmmu(), ()) for name in profile_names(PROFILES)}
    assert {name: "InternVL" in made.system for name, made in sent.items()} == {
        name: name not in ("control-cpu-preempting", "control-cpu-priority") for name in sent
    }
    other = prompts(Mmmu(), ())
    assert other.system == ""
    assert any("No system message is sent" in line for line in other.deviations)


def test_of_the_control_nothing_is_missing() -> None:
    profile = Profile.model_validate({"name": "mine", "model": {"id": "m", "control": True}})
    assert summary.unstated(profile, True) == []
