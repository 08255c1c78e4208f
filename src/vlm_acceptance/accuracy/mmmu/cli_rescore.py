"""`re-score`: scores the stored answers of a run again with every scorer, without a server."""

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
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import Paired
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import is_file, is_folder
from vlm_acceptance.core.text import printable
from vlm_acceptance.stats.binomial import standard_error, wilson

MINI = ROOT / "fixtures" / "mmmu_mini" / "prepared"
DEFAULT_SCORER = "vlmevalkit_2024_07"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("run", type=Path, help="the folder of a run, or its mmmu_val.jsonl")
    default = "default: those of `prepare` or the mini set, the ones that the run used"
    parser.add_argument("--data", type=Path, help=f"the prepared data ({default})")
    parser.add_argument("--scorer", default=DEFAULT_SCORER, choices=sorted(MMMU.scorers), help="scorer of the table")
    parser.add_argument("--baseline", type=Path, help="a stored run to compare with")
    parser.add_argument("--json", type=Path, help="write the report as JSON to this file")


def main(given: argparse.Namespace) -> int:
    """Print the table and write the JSON file, if one is given."""
    file = given.run / f"{MMMU.stem}.jsonl" if is_folder(given.run) else given.run
    if not is_file(file):
        raise UsageProblem(f"{str(given.run)!r} is not a run: it has no {MMMU.stem}.jsonl")
    if given.baseline is not None and not is_file(given.baseline):
        raise UsageProblem(f"--baseline: the file {str(given.baseline)!r} does not exist")
    identity, answers = answers_file.read(file)
    prepared = data_of(identity, given.data)
    content = rescored(identity, answers, prepared, given.scorer, given.baseline)
    if given.json is not None:
        try:
            given.json.write_text(json.dumps(content, indent=1, ensure_ascii=True, default=str) + "\n", "utf-8")
        except OSError as broken:
            raise UsageProblem(f"--json: {str(given.json)!r} cannot be written: {broken.strerror}") from None
    sys.stdout.write(printable(report.text(content)))
    return 0


def data_of(identity: Mapping[str, Any], given: Path | None) -> Prepared:
    """The prepared data that a run used; UsageProblem if they are not found or differ."""
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
                f"--data: the index of {str(folder)!r} has sha256 {prepared.sha256[:16]}, but the run used "
                f"{wanted.get('dataset')} with {str(wanted.get('sha256'))[:16]}"
            )
    raise UsageProblem(f"the data of this run ({wanted.get('dataset')}) were not found: give --data")


def rescored(
    identity: Mapping[str, Any], answers: Mapping[str, Answer], prepared: Prepared, scorer: str, baseline: Path | None
) -> dict[str, Any]:
    """The accuracy report of stored answers; what only the run itself could measure is absent."""
    scores = metrics.score(prepared, answers, MMMU.scorers)
    measured = metrics.measure(prepared, answers, scores, scorer, MMMU.domains)
    right, answered = measured["total"]["right"], measured["total"]["answered"]
    statistics = {"standard_error": standard_error(right, answered), "wilson_95": list(wilson(right, answered))}
    comparison = None
    if baseline is not None:
        comparison = report.compare_with(baseline, prepared, answers, scores[scorer], MMMU.scorers[scorer], Paired())
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
