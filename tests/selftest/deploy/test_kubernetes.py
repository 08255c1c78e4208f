"""Rules for the recipes for Kubernetes: how a Job ends by the exit codes of the suite, and what a pod needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.recipes import Bench, documents, instructions, job_spec

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.verdict import EXIT

JOBS = {"job-smoke.yaml": "smoke", "cronjob-nightly.yaml": "nightly"}
USAGE = int(pytest.ExitCode.USAGE_ERROR)
PYTEST = {
    int(pytest.ExitCode.INTERRUPTED),
    int(pytest.ExitCode.INTERNAL_ERROR),
    int(pytest.ExitCode.NO_TESTS_COLLECTED),
}


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of a Job about failed pods."""
    found: list[dict[str, Any]] = job_spec(name)["podFailurePolicy"]["rules"]
    return found


def codes_of(name: str, action: str) -> list[int]:
    """The exit codes for which a Job takes an action."""
    listed = [rule["onExitCodes"] for rule in rules(name) if rule["action"] == action and "onExitCodes" in rule]
    assert all(one["operator"] == "In" for one in listed)
    return [code for one in listed for code in one["values"]]


def action(name: str, code: int) -> str:
    """What Kubernetes does with a failed pod: the action of the first rule that matches, else the pod is counted."""
    for rule in rules(name):
        if code in rule.get("onExitCodes", {"values": ()})["values"]:
            return str(rule["action"])
    return "Count"


def ends(name: str, bench: Bench, codes: str) -> tuple[str, int]:
    """(how the Job ends, how many pods were started), with the command of its pod run for each of them."""
    spec = job_spec(name)
    (container,) = spec["template"]["spec"]["containers"]
    entrypoint = dict(instructions())["ENTRYPOINT"].strip('[]"')
    failed = started = 0
    while failed <= spec["backoffLimit"]:
        started += 1
        done = bench.run(f'{entrypoint} "$@"', codes, container["args"], VLM_REPORTS=str(bench.path("/reports")))
        if done.code == 0:
            return "Complete", started
        done_with = action(name, done.code)
        if done_with == "FailJob":
            return f"Failed with exit code {done.code}", started
        failed += done_with == "Count"
    return "Failed after the last attempt", started


@pytest.mark.parametrize(
    ("name", "codes", "end"),
    [
        ("job-smoke.yaml", "0", ("Complete", 1)),
        ("job-smoke.yaml", "1", ("Failed with exit code 1", 1)),
        ("job-smoke.yaml", "4", ("Failed with exit code 4", 1)),
        ("job-smoke.yaml", "10", ("Failed after the last attempt", 3)),
        ("job-smoke.yaml", "10 1", ("Failed with exit code 1", 2)),
        ("job-smoke.yaml", "11", ("Failed with exit code 11", 1)),
        ("job-smoke.yaml", "137 0", ("Complete", 2)),
        ("cronjob-nightly.yaml", "10 0", ("Complete", 2)),
    ],
)
def test_job_ends_as_its_exit_codes_say(bench: Bench, name: str, codes: str, end: tuple[str, int]) -> None:
    assert ends(name, bench, codes) == end
    assert bench.lines("calls") == [f"vlm-acceptance {JOBS[name]}"] * end[1]
    assert bench.lines("cann") == ["sourced sourced"]
    assert (bench.path("/reports") / "junit.xml").exists()


@pytest.mark.parametrize("name", JOBS)
def test_every_exit_code_has_one_rule(name: str) -> None:
    assert codes_of(name, "Count") == [EXIT["environment"]]
    failing = codes_of(name, "FailJob")
    assert sorted(failing) == sorted({EXIT["rejected"], EXIT["inconclusive"], USAGE, *PYTEST})
    assert {EXIT["accepted"], *failing, *codes_of(name, "Count")} >= {*EXIT.values(), USAGE}


@pytest.mark.parametrize("name", JOBS)
def test_policy_keeps_the_rules_of_kubernetes(name: str) -> None:
    """Kubernetes' own validation, which its schema does not hold."""
    pod = job_spec(name)["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert len(rules(name)) <= 20
    for rule in rules(name):
        assert rule["action"] in ("FailJob", "Ignore", "Count")
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        if found := rule.get("onExitCodes"):
            assert found["containerName"] in [container["name"] for container in pod["containers"]]
            assert 0 not in found["values"]
            assert found["values"] == sorted(set(found["values"]))


@pytest.mark.parametrize("name", JOBS)
def test_displaced_pod_is_replaced_whatever_its_exit_code(name: str) -> None:
    first = rules(name)[0]
    assert first == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}


@pytest.mark.parametrize("name", JOBS)
def test_pod_has_time_to_end_its_engine(name: str) -> None:
    pod = job_spec(name)["template"]["spec"]
    profile = load_profile("internvl2-2b-ascend", PROFILES, []).profile
    engine, device = profile.engine, profile.device
    needed = engine.stop_timeout_s + engine.children_timeout_s + device.release_timeout_s
    assert pod["terminationGracePeriodSeconds"] > needed
    assert job_spec(name)["activeDeadlineSeconds"] > engine.start_timeout_s + profile.offline.timeout_s


@pytest.mark.parametrize("name", JOBS)
def test_pod_gets_one_card_and_no_token_and_no_variables_of_services(name: str) -> None:
    pod = job_spec(name)["template"]["spec"]
    (container,) = pod["containers"]
    card = {"huawei.com/Ascend910": 1}
    assert container["resources"]["limits"] == card
    assert container["resources"]["requests"].items() >= card.items()
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def named(items: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Volumes or mounts by their name."""
    return {item["name"]: item for item in items}


@pytest.mark.parametrize("name", JOBS)
def test_volumes_are_mounted_and_claims_exist(name: str) -> None:
    pod = job_spec(name)["template"]["spec"]
    volumes, mounts = named(pod["volumes"]), named(pod["containers"][0]["volumeMounts"])
    assert volumes.keys() == mounts.keys()
    claims = {one["persistentVolumeClaim"]["claimName"] for one in volumes.values() if "persistentVolumeClaim" in one}
    assert claims == {document["metadata"]["name"] for document in documents("volumes.yaml")}
    for volume in volumes.values():
        if "hostPath" in volume:  # parts of the driver are where the host has them, and stay unchanged
            mount = mounts[volume["name"]]
            assert (mount["mountPath"], mount["readOnly"]) == (volume["hostPath"]["path"], True)
    assert f"VLM_REPORTS={mounts['reports']['mountPath']}" in dict(instructions())["ENV"].split()


def test_both_jobs_differ_in_command_and_deadline_only() -> None:
    smoke, nightly = (job_spec(name) for name in JOBS)
    assert smoke["activeDeadlineSeconds"] < nightly["activeDeadlineSeconds"]
    for spec, command in zip((smoke, nightly), JOBS.values()):
        spec["activeDeadlineSeconds"] = 0
        arguments = spec["template"]["spec"]["containers"][0]["args"]
        assert arguments.pop() == command
    assert smoke == nightly
