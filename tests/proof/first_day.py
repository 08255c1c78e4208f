"""The first day of a model: the bars of the NPU profile, nothing stored, and at most a reference computed on a CPU.

PROOF_FIRST_DAY=1 (`make proof FIRST_DAY=1`) plants every fault of a deployment once more under such a profile. Each
leaves first-day/FAULT.json; `first_day_table.py` makes a column of docs/faults.md of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import owners
import yaml
from check_ids import (
    ALL_LOGPROBS,
    COMPLETE,
    EDGE_SIZES,
    LARGE,
    LIMIT,
    LOGPROBS,
    NEW_TOKENS,
    REPEATED,
    SAME_BODY,
    SCORED,
    SERVED_FILES,
    TILES,
    TOKENS,
    short,
)

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import load_profile

FIRST_DAY = os.environ.get("PROOF_FIRST_DAY") == "1"
# where the matrix is written, and the rows of the first day
REPORTS = Path(os.environ.get("PROOF_REPORTS") or ROOT / "reports" / "proof")
FOLDER = REPORTS / "first-day"
# what anybody who has the checkpoint can compute before the first run
REFERENCE = "fixtures/baselines/control.jsonl"
REAL, OF_REFERENCE = "internvl2-2b-ascend", ("control-cpu", "control-cpu-preempting", "control-cpu-priority")
KNOWN = (*OF_REFERENCE, "control-long", "control-spm")
OPTION = "--vlm-profile="
BESIDE_REFERENCE = f"--vlm-baseline={ROOT / REFERENCE}"
# options by which tests of the proof give what nobody has on the first day: records, and budgets made of them
STORED = ("--vlm-baseline=", "--vlm-set=ladder.baseline", "--vlm-set=ladder.budgets", "--vlm-set=latency.")
# the score of a model card, from which limits follow by the binomial distribution
CARD = {"score": 75.0, "correct": 90, "total": 120, "source": "what is known of the control as of a published model"}
# areas that judge what the model says about pictures and texts, by bars that a weak model reaches
OF_ANSWERS = frozenset(
    {"capability", "pictures", "large_pictures", "challenge", "long_prompts", "repeatability", "offline", "mmmu"}
)
# of these areas, but about tokens, statuses and sizes
NOT_ANSWERS = frozenset({TILES, NEW_TOKENS, SAME_BODY, REPEATED, LIMIT, LARGE, EDGE_SIZES, COMPLETE, TOKENS})
OF_REFERENCE_TESTS = frozenset({LOGPROBS, *ALL_LOGPROBS, *SCORED})


def write_profile(folder: Path, base: str = "control-cpu") -> Path:
    """A profile of a control that judges as the NPU profile does, without stored answers and log probabilities."""
    real = load_profile(REAL, PROFILES).profile
    capability = real.capability.model_dump(mode="json", include={"min_correct", "calibrated", "recorded", "blind_max"})
    known = dict.fromkeys(("known_answers", "min_correct", "max_correct", "golden_answers"))
    content: dict[str, Any] = {
        "extends": base,
        "name": "first-day",
        "latency": real.latency.model_dump(mode="json", include={"default", "recorded", "categories"}),
        "load": {"budgets": None, "slower_s": None, "hang_s": None},
        "capability": {**capability, "golden_answers": known["golden_answers"]},
        "logprobs": real.logprobs.model_dump(mode="json", exclude={"prompts", "sample"}),
        "offline": {"same_text": real.offline.same_text},
        "ladder": {"budgets": None},
    }
    if load_profile(base, PROFILES).profile.mmmu is not None:
        content["references"] = {"mmmu_mini": CARD}
        content["mmmu"] = {
            **{key: known[key] for key in ("known_answers", "min_correct", "max_correct")},
            "known_scores": None,
            "reference": "mmmu_mini",
        }
    path = folder / f"first-day-{base}.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def options(args: Iterable[str], folder: Path) -> list[str]:
    """The arguments of a run with the first day's profile in place of a control's, and without what is stored.

    The reference is given as a user gives it, so that its own limits count.
    """
    found = []
    for arg in args:
        if arg.startswith(STORED):
            continue
        base = arg.removeprefix(OPTION) if arg.startswith(OPTION) else ""
        found.append(f"{OPTION}{write_profile(folder, base)}" if base in KNOWN else arg)
        found += [BESIDE_REFERENCE] if base in OF_REFERENCE else []
    return found


def is_of_answers(test: str) -> bool:
    """Whether a test judges what the model says, by a bar that a weak model reaches."""
    return test.partition("::")[0] in OF_ANSWERS and test not in NOT_ANSWERS


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a run lay from the reference in the mean, in nats, over so many prompts, and the limit for so many.

    `common` is the share of common tokens.
    """

    shift: float
    common: float
    limit: float
    prompts: int


@dataclass(frozen=True, slots=True)
class FirstDay:
    """What the first day's run makes of a fault.

    `refused_by`, `undecided` and `to_calibrate` are tests that failed, were errors, or lay below bars that nobody has
    calibrated; `whole`: every test was asked, not those alone that are meant for the fault.
    """

    fault: str
    refused_by: tuple[str, ...]
    undecided: tuple[str, ...]
    to_calibrate: tuple[str, ...]
    distance: Distance | None
    whole: bool

    @property
    def kind(self) -> str:
        """How it ends: protocol, reference, answers, undecided, to calibrate, or accepted."""
        if set(self.refused_by) & OF_REFERENCE_TESTS:
            others = [test for test in self.refused_by if test not in OF_REFERENCE_TESTS]
            return "both" if others else "reference"
        if self.refused_by:
            return "answers" if all(map(is_of_answers, self.refused_by)) else "protocol"
        if self.undecided:
            return "undecided"
        return "to calibrate" if self.to_calibrate else "accepted"

    @property
    def is_refused(self) -> bool:
        """Whether a test failed: the verdict is REJECTED."""
        return bool(self.refused_by)


def row_of(fault: str, summary: Mapping[str, Any] | None, whole: bool) -> FirstDay:
    """The row of a run from its summary.json."""
    tests = summary["tests"] if summary else []
    by: dict[str, list[str]] = {}
    for test in tests:
        by.setdefault(test["outcome"], []).append(short(test["id"]))
    # a mutant stands for an engine that computes wrongly, not for other files, which are refused before any request
    if fault in owners.MUTANTS:
        by["failed"] = [test for test in by.get("failed", ()) if test != SERVED_FILES]
    named = (tuple(sorted(by.get(outcome, ()))) for outcome in ("failed", "error", "to be calibrated"))
    return FirstDay(fault, *named, distance_of(summary), whole)


def distance_of(summary: Mapping[str, Any] | None) -> Distance | None:
    """The distance over most prompts that a test of the reference found; None without one."""
    tests = summary["tests"] if summary else []
    greedy = (LOGPROBS, *ALL_LOGPROBS)
    seen = [test["properties"] for test in tests if short(test["id"]) in greedy and "shift" in test["properties"]]
    found = [
        Distance(*(float(one[key]) for key in ("shift", "top_in_common", "alarm")), int(one["prompts"])) for one in seen
    ]
    return max(found, key=lambda one: one.prompts, default=None)


class HasSummary(Protocol):
    """A run of the suite (acceptance_runs.Run, which imports this module)."""

    summary: dict[str, Any] | None
    whole: bool


def note(fault: str, run: HasSummary) -> FirstDay:
    """The row of a run on the first day, written as soon as the run ends; on other days it is only returned."""
    row = row_of(fault, run.summary, run.whole)
    if FIRST_DAY:
        write(row, FOLDER)
    return row


def write(row: FirstDay, folder: Path) -> None:
    """Store a row as folder/FAULT.json."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**asdict(row), "kind": row.kind}, indent=1, ensure_ascii=False)
    (folder / f"{row.fault}.json").write_text(text + "\n", "utf-8")


def read(folder: Path) -> dict[str, FirstDay]:
    """The rows of a folder, by fault."""
    rows = (json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")))
    return {row["fault"]: _read(row) for row in rows}


def _read(row: Mapping[str, Any]) -> FirstDay:
    named = (tuple(row[key]) for key in ("refused_by", "undecided", "to_calibrate"))
    distance = Distance(**row["distance"]) if row["distance"] else None
    return FirstDay(row["fault"], *named, distance, row["whole"])
