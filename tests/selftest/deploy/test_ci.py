"""Rules for the recipes for GitLab and GitHub: their scripts run here, and jobs end as the exit codes say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.recipes import DEPLOY, Bench, Done, documents, gitlab_jobs
from tests.support.runs import ROOT

from vlm_acceptance.core.verdict import EXIT

LIMIT = "--foreground --preserve-status --kill-after=300"


def gitlab(bench: Bench, name: str, codes: str, limit: str = "") -> tuple[str, int]:
    """(status of a job, attempts) as GitLab decides it by `retry` and `allow_failure`."""
    job = gitlab_jobs()[name]
    script = "\n".join(job["script"])
    script = re.sub(r"(?<=300 )\d+h", limit, script) if limit else script
    done = bench.run(script, codes)
    attempts = 1
    while done.code in job["retry"]["exit_codes"] and attempts <= job["retry"]["max"]:
        done = bench.run(script, codes)
        attempts += 1
    if done.code == 0:
        return "passed", attempts
    return ("warning" if done.code in job["allow_failure"]["exit_codes"] else "failed"), attempts


def step(job: str, number: int = 0) -> dict[str, Any]:
    """A step of the workflow for the card."""
    (document,) = documents("github-workflow.yml")
    found: dict[str, Any] = document["jobs"][job]["steps"][number]
    return found


def github(bench: Bench, codes: str, **env: str) -> Done:
    """The step that runs the suite, with the files and variables that GitHub gives."""
    files = {name: str(bench.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    given = {"COMMAND": "smoke", "LIMIT": "2h", "HOME": str(bench.folder / "github" / "home"), **files, **env}
    return bench.run(step("acceptance")["run"], codes, **given)


ENDS = [("0", "passed", 1), ("1", "failed", 1), ("4", "failed", 1), ("10", "failed", 3), ("10 0", "passed", 2),
        ("10 11", "warning", 2), ("11", "warning", 1)]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "codes", "status", "attempts"), [*(("smoke", *end) for end in ENDS), ("nightly", "10 11", "warning", 2)]
)
def test_gitlab_job_ends_as_its_exit_codes_say(bench: Bench, name: str, codes: str, status: str, attempts: int) -> None:
    assert gitlab(bench, name, codes) == (status, attempts)
    assert bench.lines("calls") == [f"vlm-acceptance {name} --vlm-reports=reports"] * attempts
    assert bench.lines("cann") == ["sourced sourced"]
    assert (bench.work / "reports" / "junit.xml").exists()


def test_gitlab_keeps_reports_whatever_happened() -> None:
    for name in ("smoke", "nightly"):
        artifacts = gitlab_jobs()[name]["artifacts"]
        assert artifacts["when"] == "always"
        assert artifacts["paths"] == ["reports/"]
        assert artifacts["reports"] == {"junit": "reports/junit.xml"}


def test_gitlab_tables_are_those_of_the_verdict() -> None:
    for name in ("smoke", "nightly"):
        job = gitlab_jobs()[name]
        assert job["retry"]["exit_codes"] == [EXIT["environment"]]
        assert job["allow_failure"]["exit_codes"] == [EXIT["inconclusive"]]


@pytest.mark.parametrize(("codes", "permitted"), [("0", True), ("11", False), ("1", False)])
def test_gitlab_permits_only_what_was_accepted(bench: Bench, codes: str, permitted: bool) -> None:
    gitlab(bench, "smoke", codes)
    done = bench.run("\n".join(gitlab_jobs()["permission"]["script"]), codes)
    assert (done.code == 0) is permitted


def test_gitlab_does_not_permit_by_the_control(bench: Bench) -> None:
    gitlab(bench, "smoke", "0")
    verdict = bench.work / "reports" / "runs" / "1" / "verdict.txt"
    verdict.write_text("ACCEPTED (control)  the control\n", "utf-8")
    assert bench.run("\n".join(gitlab_jobs()["permission"]["script"]), "0").code == 1


def test_gitlab_run_that_takes_too_long_ends_by_itself(bench: Bench) -> None:
    assert gitlab(bench, "smoke", "hang", limit="5s") == ("warning", 1)
    assert (bench.work / "reports" / "junit.xml").exists()


def test_limit_of_a_run_is_shorter_than_that_of_its_gitlab_job() -> None:
    for name in ("smoke", "nightly"):
        job = gitlab_jobs()[name]
        (found,) = re.findall(rf"{LIMIT} (\d+)h", "\n".join(job["script"]))
        assert int(found) < int(job["timeout"].removesuffix(" hours"))


@pytest.mark.parametrize(("codes", "status", "attempts"), ENDS)
def test_github_job_ends_as_its_exit_codes_say(bench: Bench, codes: str, status: str, attempts: int) -> None:
    last = codes.split()[-1]
    done = github(bench, codes)
    assert done.code == (0 if status in ("passed", "warning") else int(last)), done.output
    assert ("::warning " in done.output) is (status == "warning")
    assert bench.lines("calls") == ["vlm-acceptance smoke --vlm-reports=reports"] * attempts
    assert bench.lines("cann") == ["sourced sourced"]
    assert bench.lines("pauses") == ["pause"] * (attempts - 1)
    assert bench.lines("GITHUB_OUTPUT") == [f"code={last}"]
    assert len(bench.lines("GITHUB_STEP_SUMMARY")) == 1
    assert (bench.work / "reports" / "junit.xml").exists()


def test_github_run_finds_the_weights_and_data_of_the_volumes(bench: Bench) -> None:
    """The runner sets a HOME of its own in a container; the suite looks in ~/.cache."""
    (document,) = documents("github-workflow.yml")
    github(bench, "0")
    assert bench.lines("home") == [str(bench.path("/root"))]
    volumes = [one for one in document["jobs"]["acceptance"]["container"]["volumes"] if not one.endswith(":ro")]
    assert {one.partition(":")[2] for one in volumes} == {
        f"/root/.cache/{part}" for part in ("modelscope", "vlm-acceptance")
    }


@pytest.mark.parametrize("code", ["0", "1", "4", "10", "11", ""])
def test_github_permits_only_what_was_accepted(bench: Bench, code: str) -> None:
    done = bench.run(step("permission")["run"], "0", CODE=code)
    assert (done.code == 0) is (code == str(EXIT["accepted"]))


def test_github_run_that_takes_too_long_ends_by_itself(bench: Bench) -> None:
    done = github(bench, "hang", LIMIT="5s")
    assert done.code == 0
    assert bench.lines("GITHUB_OUTPUT") == ["code=11"]


def test_github_reports_are_those_of_this_job(bench: Bench) -> None:
    old = bench.work / "reports" / "runs" / "old"
    old.mkdir(parents=True)
    github(bench, "1")
    assert [path.name for path in (bench.work / "reports" / "runs").iterdir()] == ["1"]


@pytest.mark.parametrize("name", ["github-workflow.yml", "github-control.yml"])
def test_github_uploads_reports_whatever_happened(name: str) -> None:
    (document,) = documents(name)
    last = next(iter(document["jobs"].values()))["steps"][-1]
    assert last["if"] == "always()"
    assert last["uses"].startswith("actions/upload-artifact@")
    assert last["with"]["path"].split() == ["reports/junit.xml", "reports/runs/"]


@pytest.mark.parametrize("name", ["github-workflow.yml", "github-control.yml"])
def test_github_scripts_hold_no_expression(name: str) -> None:
    """GitHub puts the value of an expression into the script as it is: a name with a quote would be code."""
    (document,) = documents(name)
    for job in document["jobs"].values():
        assert not any("${{" in one.get("run", "") for one in job["steps"])


def test_strangers_code_does_not_reach_the_card() -> None:
    (document,) = documents("github-workflow.yml")
    assert document["on"].keys() == {"workflow_dispatch", "push", "schedule"}
    assert document["permissions"] == {}


def test_three_attempts_fit_into_the_github_job() -> None:
    (document,) = documents("github-workflow.yml")
    job = document["jobs"]["acceptance"]
    hours = max(int(found) for found in re.findall(r"'(\d+)h'", job["env"]["LIMIT"]))
    assert job["timeout-minutes"] > 3 * hours * 60


def test_github_container_is_started_as_docker_run_does() -> None:
    (document,) = documents("github-workflow.yml")
    container = document["jobs"]["acceptance"]["container"]
    script = (DEPLOY / "docker-run.sh").read_text("utf-8").replace("${CARD:-0}", "0")
    devices = set(re.findall(r"/dev/\w+", script.partition("devices=(")[2].partition(")")[0]))
    driver = set(re.findall(r"/\S+", script.partition("driver=(")[2].partition("\n)")[0]))
    assert set(re.findall(r"--device=(\S+)", container["options"])) == devices
    assert {one.removesuffix(":ro").partition(":")[0] for one in container["volumes"] if one.endswith(":ro")} == driver


def test_control_is_run_by_the_command_that_keeps_its_exit_code() -> None:
    (document,) = documents("github-control.yml")
    scripts = [one["run"] for one in document["jobs"]["control"]["steps"] if "run" in one]
    assert scripts[-2:] == ["make venv", ".venv/bin/vlm-acceptance smoke --vlm-profile=control-cpu"]
    assert "\nvenv:" in (ROOT / "Makefile").read_text("utf-8")
