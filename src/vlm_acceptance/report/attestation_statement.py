"""The in-toto statement of a run: what was tested, with which result, and what was not examined.

Statement v1 and the predicate test-result v0.1 (github.com/in-toto/attestation). Made from summary.json alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from vlm_acceptance.core.finding import Outcome, Verdict

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
SCHEMA = "vlm-acceptance/attestation/1"
# the predicate's own field for what the schema of test-result does not name
EXTENSION = "vlmAcceptance"
# samples of each file, hashed: not the SHA-256 of a file, so it must not be called sha256
SAMPLED = "vlmSampledSha256"
# name of a subject -> key of model_files
MODEL_FILES = {
    "config.json": "config_sha256",
    "chat template": "chat_template_sha256",
    "generation_config.json": "generation_config_sha256",
}
WEIGHTS, WEIGHTS_KEY = "weights", "weights_sampled_sha256"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def statement_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The statement without its evidence. `result` is PASSED for an accepted deployment, and else FAILED."""
    summary = {key: value for key, value in summary.items() if value is not None}
    tests: dict[str, list[str]] = {}
    for row in summary.get("tests", ()):
        tests.setdefault(str(row.get("outcome")), []).append(str(row.get("id")))
    known = {str(test) for named in _mapping(summary, "known_issues").values() for test in named}
    passed = tests.get(Outcome.PASSED.value, [])
    accepted = summary.get("verdict") == Verdict.ACCEPTED.value
    return {
        "_type": TYPE,
        "subject": list(_subjects(summary)),
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED" if accepted else "FAILED",
            "configuration": list(_configuration(summary)),
            "passedTests": [test for test in passed if test not in known],
            "warnedTests": [test for test in passed if test in known],
            "failedTests": tests.get(Outcome.FAILED.value, []),
            EXTENSION: {
                "schema": SCHEMA,
                "run": PurePath(str(summary.get("files", ""))).name,
                "verdict": summary.get("verdict", Verdict.NONE.value),
                **{key: summary[key] for key in ("reason", "statement", "control", "narrowed") if key in summary},
                "exitCode": summary.get("exit_code"),
                "scope": _mapping(summary, "scope"),
                "versions": _mapping(summary, "versions"),
                "device": _mapping(summary, "device"),
                "otherTests": {
                    outcome: ids
                    for outcome, ids in tests.items()
                    if outcome not in (Outcome.PASSED.value, Outcome.FAILED.value)
                },
                "notExamined": _by_reason(_mapping(summary, "not_applicable")),
                "notes": list(summary.get("notes", ())),
            },
        },
    }


def _subjects(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What was tested, by digest; of an endpoint that was not launched, the model's files are unknown."""
    files = _mapping(summary, "model_files")
    model = _mapping(summary, "scope").get("model", "")
    if files.get(WEIGHTS_KEY):
        about = {key: files[key] for key in ("weights_bytes", "parameters", "dtype") if key in files}
        yield {"name": WEIGHTS, "digest": {SAMPLED: files[WEIGHTS_KEY]}, "annotations": {"model": model, **about}}
    for name, key in MODEL_FILES.items():
        if files.get(key):
            yield {"name": name, "digest": {"sha256": files[key]}, "annotations": {"model": model}}
    profile = _mapping(summary, "profile")
    if profile.get("sha256"):
        yield {"name": f"profile {profile.get('file', '')}", "digest": {"sha256": profile["sha256"]}}
    suite = _mapping(summary, "suite")
    digest = {"dirHash": suite["dir_hash"]} if suite.get("dir_hash") else {}
    if COMMIT.fullmatch(str(suite.get("commit"))) and not suite.get("dirty"):
        digest["gitCommit"] = suite["commit"]
    if digest:
        yield {"name": "vlm-acceptance", "digest": digest, "annotations": {"version": suite.get("version", "")}}


def _configuration(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The effective profile, why it was chosen, and what replaced its values."""
    profile = _mapping(summary, "profile")
    if profile.get("sha256"):
        about = {"chosen": profile.get("chosen", ""), "overrides": profile.get("overrides", {})}
        command = {"command": list(summary.get("command", ()))}
        yield {
            "name": str(profile.get("file", "")),
            "digest": {"sha256": profile["sha256"]},
            "annotations": {**about, **command},
        }


def _by_reason(reasons: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for test, reason in reasons.items():
        groups.setdefault(str(reason), []).append(test)
    return [{"reason": reason, "tests": tests} for reason, tests in groups.items()]


def _mapping(summary: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = summary.get(key)
    return value if isinstance(value, Mapping) else {}
