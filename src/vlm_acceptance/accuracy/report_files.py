"""The accuracy run's report: JSON under the guide's file name, a table for reading, lines for the verdict."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import report
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.stats.binomial import detectable_drop, standard_error, wilson


def about(
    plan: AccuracyPlan, device: str, versions: Mapping[str, str | None], model: str, run: Mapping[str, Any]
) -> report.About:
    """What was asked, of what, by which protocol; `run` is what is known of the run as a whole, its verdict too."""
    first = plan.request(plan.order[0])
    return report.About(
        dataset=plan.prepared.dataset,
        revision=plan.prepared.revision,
        data_sha256=plan.prepared.sha256,
        protocol=plan.prompts.name,
        deviations=[*plan.prompts.deviations, *_tile_deviation(plan)],
        prompts_sha256=plan.prompts_sha256,
        sampling=first.params,
        model=model,
        engine=plan.wanted.engine,
        device=device,
        versions=versions,
        started_utc=run.get("started_utc"),
        more={
            "profile": plan.profile.name,
            "control": plan.profile.model.control,
            "system_message": first.system,
            "verdict": run.get("verdict"),
            "reason": run.get("reason"),
            "run": run.get("run"),
        },
    )


def _tile_deviation(plan: AccuracyPlan) -> list[str]:
    pictures, meant = plan.profile.model.pictures, plan.prompts.tiles
    if pictures.oracle == "none" or meant is None or meant == pictures.max_tiles:
        return []
    return [f"The served model cuts a picture into at most {pictures.max_tiles} tiles; the protocol means {meant}."]


def figures_of(made: AccuracyResult) -> dict[str, Any]:
    """Limits, intervals and the drop that this run could have detected; shares are 0 to 1."""
    plan, right, answered = made.plan, made.right, made.answered
    reference = plan.wanted.reference_among(plan.profile.references)[1]
    drop = None
    if reference is not None and reference.correct is not None and reference.total is not None:
        drop = detectable_drop(reference.correct, reference.total, made.total, plan.limits.low)
    low, high = wilson(right, answered)
    return {
        "limits": dataclasses.asdict(plan.limits),
        "reference": reference.model_dump() if reference else None,
        "standard_error": standard_error(right, answered),
        "wilson_95": [low, high],
        "detectable_drop_80": drop,
        "early_stop": {"enabled": plan.wanted.stops_early, "alpha": plan.wanted.early_stop_alpha},
        "stop": _stop_row(made),
        "sighted": _sighted(made),
    }


def _stop_row(made: AccuracyResult) -> dict[str, Any] | None:
    stop = made.stop
    return {"clause": stop.cause, "reason": stop.reason, "asked": stop.asked} if stop else None


def _sighted(made: AccuracyResult) -> dict[str, Any] | None:
    if made.stop is not None or not made.plan.blank_ids:
        return None
    try:
        return dataclasses.asdict(made.picture_ablation())
    except EnvironmentProblem:  # the clause says it
        return None


def comparison(made: AccuracyResult, baseline: Path | None) -> dict[str, Any] | None:
    """The figures beside a stored run, or None when there is none to compare with."""
    if baseline is None or made.stop is not None:
        return None
    plan = made.plan
    try:
        return report.beside(
            baseline, plan.prepared, made.answers, made.deciding_scores, plan.scorer, plan.wanted.paired
        )
    except UsageProblem:  # the clause that compares says it
        return None


def content(made: AccuracyResult, told: report.About, baseline: Path | None = None) -> dict[str, Any]:
    """The whole report as JSON."""
    stopped = f"after {made.stop.asked} questions: {made.stop.reason}" if made.stop else None
    return report.content(told, made.figures, figures_of(made), made.statements(), comparison(made, baseline), stopped)


def write(store: RunStore, stem: str, found: Mapping[str, Any]) -> list[str]:
    """Write the JSON file and the table into the run's folder, the JSON file also beside it; returns lines to show."""
    name = report.file_name(str(found["device"]), stem)
    text = json.dumps(found, indent=1, ensure_ascii=True, default=str) + "\n"
    path = store.write(name, text)
    store.write(f"{stem}.txt", report.table(found))
    newest = store.reports / name
    partial = newest.with_name(f".{name}.part")
    partial.write_bytes(path.read_bytes())
    partial.replace(newest)
    return report.detail(found)
