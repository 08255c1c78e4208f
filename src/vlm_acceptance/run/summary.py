"""The summary of a run as one JSON value: the content of summary.json."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from vlm_acceptance import __version__
from vlm_acceptance.checks.bars import PICTURES, bar, bar_of_new
from vlm_acceptance.checks.pictures import ORDERS
from vlm_acceptance.config.model_facts import left_out
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import CONVERSATIONS, LONG_PROMPTS, MULTI_PICTURE, Profile
from vlm_acceptance.core.engine_figures import LATE_S
from vlm_acceptance.core.errors import VlmAcceptanceError
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.verdict import Ruling
from vlm_acceptance.core.waiting import in_words
from vlm_acceptance.engine import log as engine_log
from vlm_acceptance.engine import machine, weights
from vlm_acceptance.report.causes import EXPLAINED, causes_of
from vlm_acceptance.report.store import FINDINGS, row_of
from vlm_acceptance.report.store import OWN_TEXTS as STORED_TEXTS
from vlm_acceptance.run import baseline_limits, calibration
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.requirements import area_of
from vlm_acceptance.run.suite_digest import suite_digest

SCHEMA = "vlm-acceptance/summary/1"
# facts of the model that tests use where the profile states them; the tests of other facts are not applicable
FOLDER_FACTS, PROMPT_FACTS = ("weights_bytes", "stop_token_ids"), ("special_tokens", "prompt_start")
# keys whose texts are names, paths and sentences of the suite and its profile
OWN_TEXTS = frozenset({
    "schema", "verdict", "statement", "scope", "suite", "profile", "model_files", "kind", "name", "areas", "required",
    "not_applicable", "calibration", "guide_names", "right", "expected", "latency", "capacity", "guide", "references",
    "id", "area", "outcome", "evidence", "mode", "accuracy", "files", "causes",
})  # fmt: skip


def collect(context: RunContext, ruling: Ruling) -> dict[str, Any]:
    """The summary of a finished run."""
    profile = context.profile
    return {
        "schema": SCHEMA,
        "verdict": ruling.verdict.value,
        "exit_code": ruling.code,
        "reason": ruling.reason,
        "causes": causes(context),
        "statement": statement(context),
        "control": profile.model.control,
        "scope": scope(context),
        "narrowed": context.record.narrowed,
        "command": ["pytest", *sys.argv[1:]],
        "suite": {**suite_version(), "dir_hash": suite_digest()},
        "profile": profile_facts(context),
        "versions": versions(context),
        "model_files": fingerprint(context),
        "device": device(context),
        "engine": engine(context),
        "offline": offline(context),
        "device_memory": device_memory(context),
        "areas": areas(context),
        "required": len(context.record.required),
        "stage_seconds": context.record.stage_seconds,
        "not_applicable": {test: row.reason for test, row in context.record.not_applicable.items()},
        "known_issues": context.record.known_issues,
        "notes": notes(context),
        "calibration": calibration.proposal(context, ruling),
        "guide_names": context.inputs.guide_names,
        "right": {question: list(count) for question, count in context.record.right.items()},
        "new_pictures": context.record.new_pictures,
        "expected": {
            "weights_load_s": profile.weight_load_s and profile.weight_load_s.model_dump(),
            "model_memory_gib": profile.model_memory_gib and profile.model_memory_gib.model_dump(),
        },
        "latency": {name: dataclasses.asdict(row) for name, row in context.record.latency.items()},
        "capacity": context.record.capacity,
        "guide": [row.model_dump() for row in profile.guide],
        "references": {name: row.model_dump() for name, row in profile.references.items()},
        "tests": [{**row_of(r), "message": r.message.partition("\n")[0]} for r in context.record.results],
        "accuracy": context.record.accuracy,
        "files": str(context.store.folder),
    }


def causes(context: RunContext) -> list[dict[str, Any]]:
    """What explains the failures and errors of the run, the first cause first; masked before its texts are cut."""
    rows = [
        {**row_of(result), "findings": [found.row() for found in result.findings[:FINDINGS]]}
        for result in context.record.results
        if result.outcome.value in EXPLAINED
    ]
    return [found.row() for found in causes_of(context.store.masked(rows, STORED_TEXTS))]


def scope(context: RunContext) -> dict[str, Any]:
    """What the verdict covers."""
    profile, launched = context.profile, context.settings.launched
    return {
        "model": profile.model.id,
        "profile": profile.name,
        "mode": (profile.engine.mode or "as started") if launched else "as attached",
        "deployment": "launched" if launched else "endpoint only",
        "seed": context.settings.seed,
        "url": context.settings.base_url or (context.launch.value.base_url if context.launch.value else None),
    }


def known_before(context: RunContext) -> dict[str, str]:
    """Properties of the JUnit suite that are known before the first test."""
    suite = suite_version()
    return {
        "suite": f"{suite['version']} {suite['commit'] or 'without a commit'}{' (changed)' if suite['dirty'] else ''}",
        "statement": statement(context),
        "control": "yes" if context.profile.model.control else "no",
        **{name: str(value) for name, value in scope(context).items() if value is not None},
        "profile_sha256": profile_facts(context)["sha256"],
        "narrowed": context.record.narrowed or "no",
    }


def known_after(context: RunContext) -> dict[str, str]:
    """Properties of the JUnit suite that are known after the run: versions, device, hashes of the model's files."""
    seen = device(context) or {"problem": "not seen: the endpoint is attached"}
    return {
        **{f"version.{name}": value for name, value in versions(context).items()},
        "device": seen.get("problem") or f"{seen['kind']} {seen['name']}",
        **{f"model_files.{name}": str(value) for name, value in (fingerprint(context) or {}).items()},
    }


def statement(context: RunContext) -> str:
    """What the verdict is about, in one sentence."""
    return f"{_deployed(context)}{context.judged_words}"


def _deployed(context: RunContext) -> str:
    profile = context.profile
    if context.record.unreachable:
        return (
            f"the endpoint {context.settings.base_url}, which cannot be reached: its model and its profile are unknown"
        )
    served = "by its id" if profile.engine.serve == "id" else "from its folder"
    where = f"launched {served}" if context.settings.launched else f"endpoint only, {context.settings.base_url}"
    if profile.model.control:
        return f"the control ({profile.model.id}, {where}); nothing is said about InternVL2-2B or any other model"
    return f"{profile.model.id} as profile {profile.name} deploys it ({', '.join([where, *_modes(context)])})"


def _modes(context: RunContext) -> list[str]:
    """The modes that the profile promises, those of server and offline engine apart; nothing of an endpoint's."""
    profile = context.profile
    if not context.settings.launched:
        return []
    server = f"{profile.engine.mode or 'any'} mode"
    offline = f"; offline engine {profile.offline.mode or 'in any'} mode"
    return [server + offline if profile.offline.enabled else server]


def suite_version() -> dict[str, Any]:
    """Version and commit of the suite; commit is None outside a git checkout."""
    # an installed suite may lie below a repository of somebody else
    commit = _git("rev-parse", "HEAD") if (ROOT / ".git").exists() else None
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
    """Versions of the distributions in the engine's interpreter; empty when attached or unknown."""
    if not context.settings.launched:
        return {}
    try:
        return dict(context.preflight.engine.versions)
    except VlmAcceptanceError:
        return {}


def fingerprint(context: RunContext) -> dict[str, Any] | None:
    """Hashes of the served folder; None when no engine was launched."""
    if context.launch.value is None or not context.settings.launched:
        return None
    if context.judged_facts:
        return context.stored_model_files
    return dataclasses.asdict(weights.fingerprint(context.preflight.folder))


def device(context: RunContext) -> dict[str, Any] | None:
    """The device before the launch; None when attached."""
    if not context.settings.launched:
        return None
    try:
        return dataclasses.asdict(context.preflight.device)
    except VlmAcceptanceError as broken:
        return {"problem": str(broken)}


def engine(context: RunContext) -> dict[str, Any]:
    """Command, readiness stages, log figures and end of the engine."""
    deployment = context.launch.value
    if deployment is None:
        return {}
    log = engine_log.figures(deployment.log_text().splitlines()) if deployment.launched else None
    return {
        "command": deployment.process.argv if deployment.process else None,
        "stages": [
            {"name": s.name, "ok": s.ok, "seconds": round(s.seconds, 3), "detail": s.detail} for s in deployment.stages
        ],
        "log": {**dataclasses.asdict(log), "mode": log.mode_shown} if log else None,
        "ending": dataclasses.asdict(deployment.ending) if deployment.ending else None,
    }


def offline(context: RunContext) -> dict[str, Any]:
    """Log figures of the offline engine; empty if it did not run."""
    figures = context.record.offline_figures
    return {"log": {**dataclasses.asdict(figures), "mode": figures.mode_shown}} if figures else {}


def device_memory(context: RunContext) -> dict[str, str]:
    """What was seen of the device's memory after each engine ended."""
    released = {"offline engine": context.record.offline_release, "server": context.record.server_release}
    return {name: release.seen for name, release in released.items() if release is not None}


def areas(context: RunContext) -> dict[str, dict[str, int]]:
    """Counts by area and outcome; required tests that never finished count as not run."""
    record = context.record
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for result in record.results:
        counts[result.area][result.outcome.value] += 1
    seen = {result.id for result in record.results}
    for ident in record.required:
        if ident not in seen:
            counts[area_of(ident)][Outcome.NOT_RUN.value] += 1
    return {area: dict(found) for area, found in counts.items()}


def notes(context: RunContext) -> list[str]:
    """What a reader of the verdict must know: replaced settings, defaults, uncalibrated questions, gaps."""
    profile, record, launched = context.profile, context.record, context.settings.launched
    found = [*context.judged_notes, *context.settings.loaded.notes, *(context.preflight.notes() if launched else [])]
    found += unstated(profile, launched)
    found += calibration_notes(profile)
    if record.latency:
        found.append(f"the machine while latency was measured: {in_words(record.waits)}")
    unasked = {row.reason for row in record.not_applicable.values() if row.feature == "mmmu"}
    found += [f"no accuracy run is part of this verdict: {reason}" for reason in unasked]
    if not launched:
        found.append("endpoint only: launch, device, weights, offline engine and release were not examined")
    if not launched and profile.endpoint.only_v1:
        found.append("only /v1 is offered (endpoint.only_v1): /health, /metrics, /version and /tokenize were not asked")
    found += [context.gateway.note] if context.gateway.note else []
    if record.too_many:
        seen = f"{record.too_many} requests were answered 429 (too many requests)"
        found.append(f"{seen}: if a gateway limits them, say how many it takes with endpoint.requests_per_s")
    if not context.settings.judged and (proxies := machine.proxies(os.environ)):
        found.append(f"a proxy is set ({', '.join(proxies)}); requests to this machine do not use it")
    found += _declared(record.defaults)
    for issue, tests in sorted(record.known_issues.items()):
        found.append(f"known issue, in {len(tests)} test(s): {issue}")
    if record.serve_benchmark:
        found.append(record.serve_benchmark)
    found += _late_children(record.late_children)
    repeated = {
        result.id.rpartition("::")[2]: result.properties["runs"]
        for result in record.results
        if "runs" in result.properties
    }
    if repeated:
        found.append(f"repeated by another plugin: {', '.join(f'{name} ({runs})' for name, runs in repeated.items())}")
    found += numbers(context)
    found += [context.store.budget.note] if context.store.budget.note else []
    if record.orphans:
        found.append(f"{len(record.orphans)} process(es) left by an earlier, killed run were ended before this run")
    return found


def numbers(context: RunContext) -> list[str]:
    """Whose log probabilities the deployment was compared with, and what that would have refused; or what is unseen."""
    baseline, compared = context.settings.logprobs_baseline, context.record.compared
    if baseline is None:
        return [baseline_limits.UNSEEN]
    about = context.inputs.about_baseline
    return baseline_limits.notes(about, compared, baseline.name)


def unstated(profile: Profile, launched: bool) -> list[str]:
    """A line on facts of the model that the profile leaves open, and what a run leaves out without them."""
    names = (*(FOLDER_FACTS if launched else ()), *PROMPT_FACTS)
    missing = [f"model.{name}" for name in names if not getattr(profile.model, name)]
    if profile.model.control or not missing:
        return []
    return [f"the profile does not state {', '.join(missing)}; left out: {left_out(missing)}"]


def _declared(defaults: Mapping[str, float]) -> list[str]:
    """What a request gets for a parameter that it does not name, where that is declared."""
    values = ", ".join(f"{name} {value:g}" for name, value in defaults.items())
    return [f"defaults of requests that name no value, as declared: {values}"] if values else []


def calibration_notes(profile: Profile) -> list[str]:
    """Bars that are uncalibrated, lowered or only reported, and budgets that are first estimates."""
    wanted, found = profile.capability, []
    if not wanted.calibrated:
        found.append("capability cases are uncalibrated for this model: no recorded run of a known-good deployment yet")
    lowered = _lowered(wanted.min_correct, wanted.recorded)
    if lowered:
        found.append(f"bars lowered by the calibration, which saw: {', '.join(lowered)}")
    if wanted.report_only:
        found.append(f"only reported by calibration, not judged: {', '.join(wanted.report_only)}")
    if not profile.latency.has_budgets:
        found.append("the profile has no latency budgets (latency): latencies are reported, not judged")
    elif not profile.latency.recorded:
        found.append("latency budgets are first estimates, not a recorded baseline (--vlm-record-baseline)")
    return found


def _lowered(min_correct: int, recorded: Mapping[str, int]) -> list[str]:
    """Questions whose bar the calibration lowered, in words; those that are drawn anew for each run come last."""
    found: dict[bool, list[str]] = {False: [], True: []}
    for question, count in recorded.items():
        is_new = question == CONVERSATIONS or question.startswith(LONG_PROMPTS)
        asked = len(ORDERS) if question == MULTI_PICTURE else PICTURES
        least, usual = (
            bar_of_new(min_correct, seen) if is_new else bar(min_correct, seen, asked) for seen in (count, None)
        )
        if least < usual:
            found[is_new].append(f"{question} {count} of {asked} (bar {least})")
    return found[False] + found[True]


def _late_children(late: Mapping[str, Sequence[str]]) -> list[str]:
    """Processes that outlived an engine, though not for too long."""
    rest = f"by over {LATE_S:g} s, then ended by themselves"
    return [f"outlived the {name} {rest}: {'; '.join(processes)}" for name, processes in late.items() if processes]
