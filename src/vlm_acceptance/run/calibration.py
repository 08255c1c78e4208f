"""Profiles and baselines that a run records when its deployment is right."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vlm_acceptance.checks.bars import FEWEST_RECORDED, PICTURES, unlike
from vlm_acceptance.checks.challenge import BLIND
from vlm_acceptance.checks.latency import LatencyRow
from vlm_acceptance.config.ladder_sections import StepBudgets
from vlm_acceptance.config.profile import LARGE_PICTURES, MULTI_PICTURE
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding, Outcome
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.core.verdict import EXIT, Ruling, TestResult
from vlm_acceptance.core.waiting import in_words
from vlm_acceptance.run import recording
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.workloads.capability import key_of

HEADROOM = 1.5
# a median this much higher is no slower deployment: the asking machine may pause as long
LEAST_HEADROOM_S = {"ttft_s": 0.1, "tpot_s": 0.005, "e2e_s": 0.1}
BUDGETS = (kinds.LATENCY_TTFT, kinds.LATENCY_TPOT, kinds.LATENCY_E2E)
UNDER_LOAD = (kinds.LOAD_COUNT, kinds.LOAD_ANSWER)
PARTS = {"capability": "calibration", "latency": "baseline", "ladder": "capacity"}
UNFINISHED = (Outcome.ERROR, Outcome.NOT_RUN)


def can_wait(context: RunContext, finding: Finding) -> bool:
    """Whether a finding is only about a bar that was never calibrated for this deployment."""
    if finding.kind in BUDGETS:
        return not context.profile.latency.recorded
    if context.profile.capability.calibrated:
        return False
    # under load the bar follows what the same run counted alone; without such counts it is as uncalibrated
    is_load = finding.kind in UNDER_LOAD and not finding.fatal and not context.record.right
    # how alike a graph engine and an eager server answer was measured on no card
    is_unlike_offline = finding.kind is kinds.OFFLINE_TEXT and not context.profile.offline.same_text
    return finding.severity is Severity.ABILITY or is_load or is_unlike_offline


def proposal(context: RunContext, ruling: Ruling) -> dict[str, Any]:
    """What this run can record, as JSON: for each part of PARTS the keys of the profile, or why there are none.

    `missing` are the parts that the present profile lacks, `due` whether they alone prevent a verdict.
    """
    profile = context.profile
    lacks = {"capability": not profile.capability.calibrated, "latency": not profile.latency.recorded}
    made = {"capability": _calibration(context, ruling), "latency": _baseline(context, ruling)}
    if context.record.capacity:
        lacks["ladder"] = not profile.ladder.baseline
        made["ladder"] = _capacity(context, ruling)
    found: dict[str, Any] = {
        "base": str(context.settings.loaded.path.resolve()),
        "due": ruling.to_calibrate,
        "missing": [part for part, is_missing in lacks.items() if is_missing],
        "parts": {part: {"content": content, "summary": summary} for part, (content, summary) in made.items()},
        "command": "",
    }
    if any(found["parts"][part]["content"] for part in found["missing"]):
        command = (sys.executable, "-m", "vlm_acceptance.run.calibrate")
        found["command"] = shlex.join([*command, str(context.store.folder), f"{profile.name}-calibrated.yaml"])
    return found


def record(context: RunContext, ruling: Ruling) -> list[str]:
    """Write the files of --vlm-calibrate and --vlm-record-baseline; returns a line for each.

    A profile extends the present one. Given one file, both go into it; given two, the second extends the first.
    """
    lines = recording.record(context, ruling)
    settings, proposed = context.settings, proposal(context, ruling)
    wanted = {"capability": settings.calibrate, "latency": settings.record_baseline}
    files: dict[Path, list[str]] = {}
    for part, path in wanted.items():
        if path is not None:
            files.setdefault(path, []).append(part)
    base = Path(proposed["base"])
    for path, parts in files.items():
        lines += write_profile(path, base, parts, proposed, context.store.folder.name)
        base = path.resolve() if path.exists() else base
    return lines


def write_profile(
    path: Path,
    base: Path,
    parts: Sequence[str],
    proposed: Mapping[str, Any],
    run: str,
) -> list[str]:
    """Write a profile that extends `base` by these parts of a proposal, if it has any; returns a line for each."""
    content: dict[str, Any] = {"extends": str(base), "name": path.stem}
    lines = []
    for part in parts:
        made = proposed["parts"][part]
        content.update(made["content"])
        lines.append(f"  {PARTS[part]}: {path if made['content'] else 'not recorded'} ({made['summary']})")
    if any(proposed["parts"][part]["content"] for part in parts):
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        path.write_text(f"# recorded by {run}\n{text}", "utf-8")  # it holds no text of the deployment
    return lines


def _obstacle(context: RunContext, ruling: Ruling) -> str:
    """Why nothing of this run may be recorded; '' if all that failed are bars of ability and latency budgets."""
    if context.record.narrowed:
        return f"partial run ({context.record.narrowed})"
    if ruling.code == EXIT["environment"]:
        return f"the environment: {ruling.reason}"
    finished = {result.id for result in context.record.results}
    if unfinished := [ident for ident in context.record.required if ident not in finished]:
        return f"the run was interrupted: {len(unfinished)} tests did not finish, first {_short(unfinished[0])}"
    failed = [result for result in context.record.results if result.outcome is Outcome.FAILED]
    for result in sorted(failed, key=lambda one: not any(finding.fatal for finding in one.findings)):
        if any(finding.fatal for finding in result.findings):
            return f"a calibration cannot accept fatal findings: {_named(result)}"
        if not result.findings or not all(map(_is_calibrated_away, result.findings)):
            return f"calibration cannot accept what failed: {_named(result)}"
    return ""


def _is_calibrated_away(finding: Finding) -> bool:
    return finding.severity is Severity.ABILITY or finding.kind in BUDGETS


def _named(result: TestResult) -> str:
    return f"{_short(result.id)}: {result.first_line}"


def _short(ident: str) -> str:
    return ident.rpartition("::")[2]


def _calibration(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """The calibration or nothing, and why: only a right deployment shows the abilities of its model."""
    if why := _obstacle(context, ruling):
        return {}, why
    right = context.record.right
    asked = [
        key_of(one, question) for one in context.inputs.categories for question in (*one.questions, one.translated)
    ]
    uncounted = [key for key in (*asked, MULTI_PICTURE) if key not in right]
    broken = [result for result in context.record.results if result.categories and result.outcome in UNFINISHED]
    if uncounted or broken:
        what = _named(broken[0]) if broken else f"no answers to {uncounted[0]}"
        return {}, f"the capability cases of -m smoke did not all run: {what}"
    if why := _unread(context) or _unlike_routes(context):
        return {}, why
    least = context.profile.capability.min_correct
    below = [f"{key} {count} of {total}" for key, (count, total) in right.items() if count < least * total / 8]
    summary = f"lower bars for {', '.join(below)}" if below else "every question reached its bar"
    recorded = {**context.record.counted, **context.record.agreed}
    return {"capability": {"calibrated": True, "recorded": recorded}, **_new_pictures(context)}, summary


def _new_pictures(context: RunContext) -> dict[str, Any]:
    """A lower bar of the new pictures, if so few were read: another run draws others, so that only blindness fails."""
    right, least = context.record.new_pictures, context.profile.challenge.min_correct
    return {"challenge": {"min_correct": BLIND + 1}} if right is not None and BLIND < right < least else {}


def _unread(context: RunContext) -> str:
    """The category of which no question has enough right answers to be a bar, small or in large form; '' if none."""
    least, right = f"{FEWEST_RECORDED} of {PICTURES}", context.record.right
    for category in context.inputs.categories:
        if category.id in context.profile.capability.report_only:
            continue
        questions = (*category.questions, category.translated)
        for is_large, form in ((False, ""), (True, " in large form")):
            counts = [right[key][0] for one in questions if (key := key_of(category, one, is_large=is_large)) in right]
            if counts and max(counts) < FEWEST_RECORDED:
                return f"no question of the category {category.id}{form} has {least} right answers"
    return ""


def _unlike_routes(context: RunContext) -> str:
    """The question that one route answers much worse than another, and the two tests; '' if no question is."""
    for key, counts in context.record.by_route.items():
        if pair := unlike(counts):
            most, least = (f"{counts[test]} in {test.rpartition('/')[2]}" for test in pair)
            return f"the right answers to {key} differ too much between two tests: {most}, {least}"
    return ""


def _baseline(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """The latency budgets or nothing, and why."""
    if why := _obstacle(context, ruling):
        return {}, why
    rows = context.record.latency
    broken = [one for one in context.record.results if one.outcome in UNFINISHED and one.area == "latency"]
    unmeasured = [category.id for category in context.inputs.categories if category.id not in rows]
    unmeasured += [name for name, row in rows.items() if not all(map(is_figure, _medians(row).values()))]
    if broken or unmeasured:
        return {}, f"the latencies were not all measured: {_named(broken[0]) if broken else unmeasured[0]}"
    waits = context.record.waits
    if HEADROOM * sum(one.explained_s for one in waits) > (HEADROOM - 1) * sum(one.elapsed_s for one in waits):
        return {}, f"the machine was too busy to measure: {in_words(waits)}"  # such budgets would excuse any slowness
    categories = {}
    for name, row in rows.items():
        categories[name] = {key: _budget(key, value) for key, value in _medians(row).items()}
    for name, budgets in categories.items():
        _allow_longest_answer(context, name, budgets, [one["tpot_s"] for one in categories.values() if "tpot_s" in one])
    return {"latency": {"recorded": True, "categories": categories}}, f"{HEADROOM} x the medians of this run"


def _capacity(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """The capacity by prompt or nothing, and why."""
    if why := _obstacle(context, ruling):
        return {}, why
    if context.profile.ladder.budgets == StepBudgets():
        return {}, "the profile has no budgets (ladder.budgets)"
    rows = [row for row in context.record.capacity if row["steps"]]
    if unknown := [row for row in rows if row["recorded"] is None]:
        return {}, f"no capacity of {unknown[0]['prompt']}: {unknown[0]['end']}"
    summary = ", ".join(f"{row['prompt']} {row['capacity']} at once" for row in rows)
    return {"ladder": {"baseline": {row["prompt"]: row["recorded"] for row in rows}}}, summary


def _medians(row: LatencyRow) -> dict[str, float]:
    """The medians that are known, by their names in a budget."""
    medians = {"ttft_s": row.ttft_s, "tpot_s": row.tpot_s, "e2e_s": row.e2e_s}
    return {key: value for key, value in medians.items() if value is not None}


def _allow_longest_answer(context: RunContext, name: str, budgets: dict[str, float], measured: Sequence[float]) -> None:
    """Raise the end to end budget to that of the longest answer: a longer answer is no slower deployment.

    Answers too short to measure a time per token take the slowest budget of this run, or the profile's.
    """
    tpot_s = budgets.get("tpot_s") or max(measured, default=context.profile.latency.budget(name).tpot_s)
    if tpot_s is None or not {"ttft_s", "e2e_s"} <= budgets.keys():
        return
    asked = "ocr" if name == LARGE_PICTURES else name
    question = next(category.questions[0] for category in context.inputs.categories if category.id == asked)
    longest = budgets["ttft_s"] + (question.max_tokens - 1) * tpot_s
    budgets["e2e_s"] = round(max(budgets["e2e_s"], longest), 4)


def _budget(figure: str, median: float) -> float:
    return round(max(HEADROOM * median, median + LEAST_HEADROOM_S[figure]), 4)
