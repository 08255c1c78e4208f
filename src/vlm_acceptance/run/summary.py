"""Everything a run has to say about itself, as one JSON value: the content of summary.json."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from vlm_acceptance import __version__
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import VlmAcceptanceError
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.verdict import Ruling
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine import machine, weights
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.requirements import area_of

SCHEMA = "vlm-acceptance/summary/1"


def collect(context: RunContext, ruling: Ruling) -> dict[str, Any]:
    """The summary of a finished run."""
    profile = context.profile
    return {
        "schema": SCHEMA,
        "verdict": ruling.verdict.value,
        "exit_code": ruling.code,
        "reason": ruling.reason,
        "statement": statement(context),
        "control": profile.model.control,
        "scope": scope(context),
        "narrowed": context.record.narrowed,
        "command": ["pytest", *sys.argv[1:]],
        "suite": suite_version(),
        "profile": profile_facts(context),
        "versions": versions(context),
        "model_files": fingerprint(context),
        "device": device(context),
        "engine": engine(context),
        "areas": areas(context),
        "required": len(context.record.required),
        "not_applicable": {test: row.reason for test, row in context.record.not_applicable.items()},
        "notes": notes(context),
        "expected": {
            name: measure.model_dump() if measure else None
            for name, measure in (
                ("weights_load_s", profile.weight_load_s),
                ("model_memory_gib", profile.model_memory_gib),
            )
        },
        "latency": {name: dataclasses.asdict(row) for name, row in context.record.latency.items()},
        "guide": [row.model_dump() for row in profile.guide],
        "references": {name: row.model_dump() for name, row in profile.references.items()},
        "tests": [
            {
                "id": result.id,
                "area": result.area,
                "outcome": result.outcome.value,
                "seconds": round(result.seconds, 3),
                "message": result.message.partition("\n")[0],
                "properties": dict(result.properties),
            }
            for result in context.record.results
        ],
        "accuracy": context.record.accuracy,
        "files": str(context.store.folder),
    }


def scope(context: RunContext) -> dict[str, Any]:
    """What the verdict covers, key by key."""
    profile, launched = context.profile, context.settings.launched
    return {
        "model": profile.model.id,
        "profile": profile.name,
        "mode": profile.engine.mode if launched else "as attached",
        "deployment": "launched" if launched else "endpoint only",
        "url": context.settings.base_url or (context.launch.value.base_url if context.launch.value else None),
    }


def known_before(context: RunContext) -> dict[str, str]:
    """Properties of the JUnit suite that are known before anything runs: who judges what."""
    ours = suite_version()
    return {
        "suite": f"{ours['version']} {ours['commit'] or 'without a commit'}{' (changed)' if ours['dirty'] else ''}",
        "statement": statement(context),
        "control": "yes" if context.profile.model.control else "no",
        **{name: str(value) for name, value in scope(context).items() if value is not None},
        "profile_sha256": profile_facts(context)["sha256"],
        "narrowed": context.record.narrowed or "no",
    }


def known_after(context: RunContext) -> dict[str, str]:
    """Properties of the JUnit suite that the run has seen: versions, device, hashes of the model's files."""
    found = {f"version.{name}": value for name, value in versions(context).items()}
    seen = device(context)
    if seen is None:
        found["device"] = "not seen: the endpoint is attached"
    else:
        found["device"] = seen.get("problem") or f"{seen['kind']} {seen['name']}"
    for name, value in (fingerprint(context) or {}).items():
        found[f"model_files.{name}"] = str(value)
    return found


def statement(context: RunContext) -> str:
    """What the verdict speaks about, in one sentence."""
    profile = context.profile
    where = "launched" if context.settings.launched else f"endpoint only, {context.settings.base_url}"
    if profile.model.control:
        return f"the control ({profile.model.id}, {where}); nothing is said about InternVL2-2B or any other model"
    return f"{profile.model.id} as profile {profile.name} deploys it ({where}, {profile.engine.mode} mode)"


def suite_version() -> dict[str, Any]:
    """Version and commit of the suite; commit is None outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    return {"version": __version__, "commit": commit, "dirty": bool(_git("status", "--porcelain")) if commit else None}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def profile_facts(context: RunContext) -> dict[str, Any]:
    """The effective profile's file, hash and overrides, and why it was chosen."""
    loaded = context.settings.loaded
    text = yaml.safe_dump(loaded.profile.model_dump(mode="json"), sort_keys=True)
    given = {key: source for key, source in loaded.sources.items() if not source.endswith((".yaml", ".yml"))}
    return {
        "file": loaded.path.name,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "chosen": context.settings.profile_reason,
        "overrides": given,
    }


def versions(context: RunContext) -> Mapping[str, str]:
    """Distributions in the engine's interpreter; empty when attached or unknown."""
    if not context.settings.launched:
        return {}
    try:
        return dict(context.preflight.engine.versions)
    except VlmAcceptanceError:
        return {}


def fingerprint(context: RunContext) -> dict[str, Any] | None:
    """Hashes of the served folder; None when it was not reached."""
    if context.launch.value is None or not context.settings.launched:
        return None
    return dataclasses.asdict(weights.fingerprint(context.preflight.folder))


def device(context: RunContext) -> dict[str, Any] | None:
    """The device before the launch."""
    if not context.settings.launched:
        return None
    try:
        return dataclasses.asdict(context.preflight.device)
    except VlmAcceptanceError as broken:
        return {"problem": str(broken)}


def engine(context: RunContext) -> dict[str, Any]:
    """How the engine started, what its log says, how it ended."""
    deployment = context.launch.value
    if deployment is None:
        return {}
    log = engine_log.figures(deployment.log_text().splitlines()) if deployment.launched else None
    return {
        "command": deployment.process.argv if deployment.process else None,
        "stages": [
            {"name": r.name, "ok": r.ok, "seconds": round(r.seconds, 3), "detail": r.detail} for r in deployment.stages
        ],
        "log": dataclasses.asdict(log) if log else None,
        "ending": dataclasses.asdict(deployment.ending) if deployment.ending else None,
    }


def areas(context: RunContext) -> dict[str, dict[str, int]]:
    """Counts by area and outcome; tests of the plan that never finished count as not run."""
    counts: dict[str, Counter[str]] = {}
    for result in context.record.results:
        counts.setdefault(result.area, Counter())[result.outcome.value] += 1
    seen = {result.id for result in context.record.results}
    for ident in context.record.required:
        if ident not in seen:
            counts.setdefault(area_of(ident), Counter())[Outcome.NOT_RUN.value] += 1
    return {area: dict(found) for area, found in counts.items()}


def notes(context: RunContext) -> list[str]:
    """What a reader of the verdict must know: displaced settings, defaults, uncalibrated cases, gaps."""
    profile = context.profile
    found = []
    if context.settings.launched:
        found.extend(machine.allocator_problems(profile.engine.env))
    if not profile.capability.calibrated:
        found.append("capability cases are uncalibrated for this model: no recorded run of a known-good deployment yet")
    if profile.capability.report_only:
        found.append(f"demoted by calibration, reported but not judged: {', '.join(profile.capability.report_only)}")
    if not profile.latency.recorded:
        found.append(
            "latency budgets are the profile's first estimates, not a recorded baseline (--vlm-record-baseline)"
        )
    unasked = {row.reason for row in context.record.not_applicable.values() if row.feature == "mmmu"}
    found.extend(f"no accuracy run is part of this verdict: {reason}" for reason in unasked)
    if not context.settings.launched:
        found.append("endpoint only: launch, device, weights, offline engine and release were not examined")
    if proxies := machine.proxies(os.environ):
        found.append(f"a proxy is set ({', '.join(proxies)}); requests to this machine do not use it")
    for issue, tests in sorted(context.record.known_issues.items()):
        found.append(f"known issue, seen in {len(tests)} test(s): {issue}")
    if context.record.serve_benchmark:
        found.append(context.record.serve_benchmark)
    if context.record.orphans:
        found.append(
            f"{len(context.record.orphans)} process(es) that an earlier, killed run had left were ended before this one"
        )
    return found
