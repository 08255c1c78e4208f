"""Profiles and baselines that a run records when its deployment is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vlm_acceptance.core import logprobs
from vlm_acceptance.core.finding import Outcome
from vlm_acceptance.core.finding_classes import Severity
from vlm_acceptance.core.verdict import EXIT, Ruling
from vlm_acceptance.run.context import RunContext

HEADROOM = 1.5
NOT_RIGHT = (Outcome.FAILED, Outcome.ERROR, Outcome.NOT_RUN)


def record(context: RunContext, ruling: Ruling) -> list[str]:
    """Write the files of --vlm-calibrate and --vlm-record-baseline; returns a line for each.

    A profile extends the present one. Given one file, both go into it; given two, the second extends the first.
    """
    lines = _record_logprobs(context, ruling)
    base = context.settings.loaded.path.resolve()
    written: dict[Path, dict[str, Any]] = {}
    for path, what, make in (
        (context.settings.calibrate, "calibration", _calibration),
        (context.settings.record_baseline, "baseline", _baseline),
    ):
        if path is None:
            continue
        content, summary = make(context, ruling)
        lines.append(f"  {what}: {path if content else 'not recorded'} ({summary})")
        if content:
            extended = written.setdefault(path, {"extends": str(base), "name": path.stem})
            extended.update(content)
            base = path.resolve()
    for path, content in written.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        path.write_text(context.mask(f"# recorded by {context.store.folder.name}\n{text}"), "utf-8")
    return lines


def _record_logprobs(context: RunContext, ruling: Ruling) -> list[str]:
    path, taken = context.settings.record_logprobs, context.record.logprobs
    if path is None:
        return []
    obstacles = (
        (len(taken) < len(context.inputs.logprob_prompts), "log probabilities are missing for some prompts"),
        (bool(context.record.narrowed), "the run was narrowed"),
        (ruling.code != EXIT["accepted"], "the deployment was not found right"),
    )
    if why := next((why for is_so, why in obstacles if is_so), ""):
        return [f"  baseline: not recorded ({why}): {path}"]
    part = path.with_name(f"{path.name}.part")
    lines = "".join(f"{context.mask(logprobs.line_of(row))}\n" for row in taken)
    part.write_text(lines, "utf-8", errors="replace")  # a lone surrogate is not valid in UTF-8
    part.replace(path)  # the baseline is written whole or not at all
    return [f"  baseline: {path} ({len(taken)} prompts)"]


def _calibration(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """The calibration or nothing, and why: only a right deployment shows the abilities of its model."""
    results = context.record.results
    judged = [result for result in results if result.categories]
    refused = [result for result in results if result.outcome is Outcome.FAILED]
    if context.record.narrowed or not judged or any(r.outcome in (Outcome.ERROR, Outcome.NOT_RUN) for r in judged):
        return {}, "the capability cases did not all run"
    found = [finding for result in refused for finding in result.findings]
    if any(finding.fatal for finding in found):
        return {}, "fatal findings cannot be calibrated away"
    others = [finding for finding in found if finding.severity is not Severity.ABILITY]
    if ruling.code == EXIT["environment"] or others or not all(result.categories for result in refused):
        return {}, "something else than the capability cases failed"
    below = sorted({category for result in refused for category in result.categories})
    summary = f"only reports {', '.join(below)}" if below else "every category keeps its bar"
    return {"capability": {"calibrated": True, "report_only": below}}, summary


def _baseline(context: RunContext, ruling: Ruling) -> tuple[dict[str, Any], str]:
    """The latency budgets or nothing, and why."""
    record = context.record
    if record.narrowed or not record.latency:
        return {}, "the latencies were not all measured"
    is_wrong = any(result.outcome in NOT_RIGHT and result.area != "latency" for result in record.results)
    if ruling.code == EXIT["environment"] or is_wrong:
        return {}, "the deployment was not found right"
    categories = {}
    for name, row in record.latency.items():
        medians = {"ttft_s": row.ttft_s, "tpot_s": row.tpot_s, "e2e_s": row.e2e_s}
        categories[name] = {key: round(value * HEADROOM, 4) for key, value in medians.items() if value is not None}
    return {"latency": {"recorded": True, "categories": categories}}, f"{HEADROOM} x the medians of this run"
