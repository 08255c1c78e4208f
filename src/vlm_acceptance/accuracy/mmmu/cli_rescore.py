"""`re-score`: marks the stored answers of a run again, by every scorer, without a server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import answers_file, metrics, report
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.mmmu.cli_prepare import default_folder
from vlm_acceptance.accuracy.mmmu.dataset import MMMU
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.config.profile import Paired
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.text import printable
from vlm_acceptance.stats.binomial import standard_error, wilson

MINI = Path(__file__).resolve().parents[4] / "fixtures" / "mmmu_mini" / "prepared"
RECORD = "vlmevalkit_2024_07"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("run", type=Path, help="the folder of a run, or its mmmu_val.jsonl")
    whose = "default: those of `prepare`, or the mini set, whichever the run was asked from"
    parser.add_argument("--data", type=Path, help=f"the prepared data ({whose})")
    parser.add_argument("--scorer", default=RECORD, choices=sorted(MMMU.scorers), help="the scorer of the table")
    parser.add_argument("--baseline", type=Path, help="a stored run to compare with")
    parser.add_argument("--json", type=Path, help="write the report as JSON to this file")


def main(given: argparse.Namespace) -> int:
    """Print the table, and write the JSON where that is asked for."""
    file = given.run / f"{MMMU.stem}.jsonl" if given.run.is_dir() else given.run
    if not file.is_file():
        raise UsageProblem(f"{str(given.run)!r} is no run: it holds no {MMMU.stem}.jsonl")
    if given.baseline is not None and not given.baseline.is_file():
        raise UsageProblem(f"--baseline: the file {str(given.baseline)!r} does not exist")
    identity, found = answers_file.read(file)
    prepared = data_of(identity, given.data)
    content = rescored(identity, found, prepared, given.scorer, given.baseline)
    if given.json is not None:
        try:
            given.json.write_text(json.dumps(content, indent=1, ensure_ascii=True, default=str) + "\n", "utf-8")
        except OSError as broken:
            raise UsageProblem(f"--json: {str(given.json)!r} cannot be written: {broken.strerror}") from None
    sys.stdout.write(printable(report.text(content)))
    return 0


def data_of(identity: Mapping[str, Any], given: Path | None) -> Prepared:
    """The prepared data that a run was asked from; UsageProblem when they are others."""
    wanted = identity.get("data", {})
    for folder in [given] if given is not None else [default_folder(), MINI]:
        try:
            prepared = Prepared.open(folder)
        except EnvironmentProblem:
            if given is not None:
                raise
            continue
        if prepared.sha256 == wanted.get("sha256"):
            return prepared
        if given is not None:
            raise UsageProblem(
                f"--data: the index of {str(folder)!r} has sha256 {prepared.sha256[:16]}, and the run was asked from "
                f"{wanted.get('dataset')} with {str(wanted.get('sha256'))[:16]}"
            )
    raise UsageProblem(f"the data of this run ({wanted.get('dataset')}) are not where they are looked for: give --data")


def rescored(
    identity: Mapping[str, Any],
    found: Mapping[str, Answer],
    prepared: Prepared,
    record: str,
    baseline: Path | None,
) -> dict[str, Any]:
    """The accuracy report of stored answers; what only the run knew is absent."""
    scores = metrics.score(prepared, found, MMMU.scorers)
    measured = metrics.measure(prepared, found, scores, record, MMMU.domains)
    right, answered = measured["total"]["right"], measured["total"]["answered"]
    statistics = {"standard_error": standard_error(right, answered), "wilson_95": list(wilson(right, answered))}
    comparison = None
    if baseline is not None:
        comparison = report.compare_with(baseline, prepared, found, scores[record], MMMU.scorers[record], Paired())
    return report.content(_about(identity, prepared), measured, statistics, (), comparison)


def _about(identity: Mapping[str, Any], prepared: Prepared) -> dict[str, Any]:
    prompts, profile = identity.get("prompts", {}), identity.get("profile", {})
    return {
        "dataset": prepared.dataset,
        "revision": prepared.revision,
        "data_sha256": prepared.sha256,
        "protocol": prompts.get("protocol", "not known"),
        "deviations": (),
        "prompts_sha256": prompts.get("sha256", "not known"),
        "sampling": {},
        "model": profile.get("model", {}).get("id", "not known"),
        "engine": identity.get("target", {}).get("engine", "not known"),
        "device": "stored",
        "versions": {},
        "started_utc": None,
        "profile": profile.get("name"),
    }
