"""Rules for the YAML files of deploy/: each one is valid by the schema that its reader publishes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import validator_for
from tests.support.recipes import DEPLOY, documents, gitlab_jobs

SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES = ("volumes.yaml", "job-smoke.yaml", "cronjob-nightly.yaml")
CI = {
    ".gitlab-ci.yml": "gitlab-ci",
    "github-workflow.yml": "github-workflow",
    "github-control.yml": "github-workflow",
}


def check(document: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raises ValidationError when a document is not valid."""
    validator_for(schema)(schema).validate(document)


def schema(name: str) -> dict[str, Any]:
    """A schema that is stored here."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    return loaded


def of_kind(kind: str) -> dict[str, Any]:
    """The schema of a kind of Kubernetes."""
    return {**schema("kubernetes"), "$ref": f"#/$defs/{kind}"}


def test_every_yaml_file_has_a_schema() -> None:
    files = {path.name for path in DEPLOY.iterdir() if path.suffix in (".yml", ".yaml")}
    assert files == {*KUBERNETES, *CI}


@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_takes_the_file(name: str) -> None:
    for document in documents(name):
        check(document, of_kind(document["kind"]))


@pytest.mark.parametrize("name", CI)
def test_ci_takes_the_file(name: str) -> None:
    (document,) = documents(name)
    check(document, schema(CI[name]))


def test_misspelt_field_of_a_pod_is_refused() -> None:
    (document,) = documents("job-smoke.yaml")
    wrong = copy.deepcopy(document)
    pod = wrong["spec"]["template"]["spec"]
    pod["terminationGracePeriod"] = pod.pop("terminationGracePeriodSeconds")
    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        check(wrong, of_kind("Job"))


def test_misspelt_field_of_a_policy_is_refused() -> None:
    (document,) = documents("cronjob-nightly.yaml")
    wrong = copy.deepcopy(document)
    del wrong["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["operator"]
    with pytest.raises(jsonschema.ValidationError, match="operator"):
        check(wrong, of_kind("CronJob"))


def test_gitlab_takes_each_job_with_what_it_extends() -> None:
    check({"stages": ["acceptance", "deploy"], **gitlab_jobs()}, schema("gitlab-ci"))


def test_more_retries_than_gitlab_has_are_refused() -> None:
    smoke = gitlab_jobs()["smoke"]
    with pytest.raises(jsonschema.ValidationError):
        check({"smoke": {**smoke, "retry": {**smoke["retry"], "max": 3}}}, schema("gitlab-ci"))


def test_step_without_an_action_is_refused() -> None:
    (document,) = documents("github-workflow.yml")
    wrong = copy.deepcopy(document)
    del wrong["jobs"]["acceptance"]["steps"][1]["uses"]
    with pytest.raises(jsonschema.ValidationError):
        check(wrong, schema("github-workflow"))
