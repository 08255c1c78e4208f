"""The command's options become those of pytest, without traps; what is wrong is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.cli.run import pytest_args
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import UsageProblem

HERE = Path("/some/where")
FILES = ["-c", f"{ROOT}/pyproject.toml", f"--rootdir={ROOT}", f"{ROOT}/tests/acceptance"]


def options(command: str, *words: str) -> list[str]:
    """What follows the files of the suite in pytest's arguments."""
    made = pytest_args(command, words, {}, HERE)
    assert made[: len(FILES)] == FILES
    return made[len(FILES) :]


@pytest.mark.parametrize(
    ("command", "mark"), [("smoke", "smoke"), ("slow", "slow"), ("nightly", "smoke or slow")], ids=str
)
def test_each_run_has_its_mark_and_reports_to_the_current_folder(command: str, mark: str) -> None:
    assert options(command) == ["-m", mark, "--vlm-reports=/some/where/reports"]


@pytest.mark.parametrize(
    "words",
    [["--vlm-profile", "/tmp/x y.yaml"], ["--vlm-profile=/tmp/x y.yaml"], ["--profile", "/tmp/x y.yaml"]],
    ids=["space", "equals", "short"],
)
def test_a_value_may_follow_a_space(words: list[str]) -> None:
    assert "--vlm-profile=/tmp/x y.yaml" in options("smoke", *words)


def test_an_option_may_be_given_again_and_hold_equals() -> None:
    made = options("smoke", "--set", "engine.port=1", "--vlm-set=engine.env.A=B=C", "--plan")
    assert made[3:] == ["--vlm-set=engine.env.A=B=C", "--vlm-plan", "--vlm-reports=/some/where/reports"]
    assert made[2] == "--vlm-set=engine.port=1"


def test_what_follows_two_dashes_is_left_to_pytest() -> None:
    assert options("smoke", "--seed", "3", "--", "-k", "ocr", "--", "--help")[-4:] == ["-k", "ocr", "--", "--help"]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (f"{ROOT}/tests/acceptance/test_health.py", f"{ROOT}/tests/acceptance/test_health.py"),
        ("tests/acceptance/test_health.py::test_x[a/b::c]", f"{ROOT}/tests/acceptance/test_health.py::test_x[a/b::c]"),
        ("acceptance/test_health.py", f"{ROOT}/tests/acceptance/test_health.py"),
        ("acceptance", f"{ROOT}/tests/acceptance"),
    ],
)
def test_a_named_test_stands_in_place_of_the_whole_suite(word: str, named: str) -> None:
    made = pytest_args("plan", ["--seed=3", "--", "-v", word], {}, ROOT / "tests")
    assert [one for one in made if one.startswith(f"{ROOT}/tests")] == [named]
    assert made[-2:] == ["-v", named]


@pytest.mark.parametrize(
    "words",
    [
        ["-k", "acceptance"],
        ["--deselect", "acceptance/test_health.py::test_x"],
        ["--deselect=acceptance/test_health.py"],
        ["acceptance/test_no_such.py"],
        ["/dev/null"],
        ["selftest"],
        ["x" * 5000],
    ],
    ids=lambda words: words[-1][:40],
)
def test_what_names_no_test_of_the_suite_leaves_it_whole(words: list[str]) -> None:
    made = pytest_args("smoke", ["--", *words], {}, ROOT / "tests")
    assert made[: len(FILES)] == FILES
    assert made[-len(words) :] == words


@pytest.mark.parametrize(("words", "mark"), [([], "smoke"), (["slow"], "slow"), (["nightly"], "smoke or slow")])
def test_a_plan_is_of_one_of_the_runs(words: list[str], mark: str) -> None:
    assert options("plan", *words) == ["-m", mark, "--vlm-plan", "--vlm-reports=/some/where/reports"]


def test_a_named_folder_of_reports_is_used() -> None:
    assert "--vlm-reports=out" in options("smoke", "--reports", "out")
    assert not [word for word in options("smoke", "--reports", "out") if "/some/where" in word]
    assert "reports" not in " ".join(pytest_args("smoke", [], {"VLM_REPORTS": "x"}, HERE)[len(FILES) :])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--vlm-profil=x"], ["'--vlm-profil'", "come after --", "mean '--vlm-profile'"]),
        (["--profil", "x"], ["'--profil'", "mean '--profile'"]),
        (["-q"], ["'-q'", "options of pytest come after --"]),
        (["tests/acceptance/test_health.py"], ["'tests/acceptance/test_health.py'", "come after --"]),
        (["--profile"], ["--profile: its value is missing", "--profile NAME"]),
        (["--vlm-model", "--vlm-port=1"], ["--vlm-model: its value is missing", "PATH"]),
        (["--vlm-plan=yes"], ["--vlm-plan: it takes no value", "'yes'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line(words: list[str], says: list[str]) -> None:
    with pytest.raises(UsageProblem) as wrong:
        options("smoke", *words)
    line = str(wrong.value)
    assert "\n" not in line
    assert [part for part in says if part not in line] == []
