"""Stored runs that never took place: folders of reports with many nights, for history, list and comparison."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

CATEGORIES = ("ocr", "description", "understanding", "reasoning", "chinese", "large_pictures")
TIMES = {"ttft_s": 0.13, "tpot_s": 0.012, "e2e_s": 0.9}
FIRST = datetime(2026, 11, 1, 2, 0, 0, tzinfo=timezone.utc)
VERSIONS = {"python": "3.11.7", "vllm": "0.18.0", "torch": "2.9.0"}
QUESTIONS = 12  # of eight pictures each
MMMU = 900
Edit = Callable[[dict[str, Any]], object]


def spread(chance: random.Random, share: float) -> float:
    """A factor around 1 by which a night differs from others."""
    return math.exp(chance.gauss(0, share))


def summary_of(chance: random.Random, folder: Path, noise: float = 0.04, tests: int = 40) -> dict[str, Any]:
    """The summary of an accepted run; the times of a night vary by `noise`, together and each by itself."""
    night = spread(chance, noise / 2)
    latency = {
        category: {
            "n": 5,
            **{name: usual * night * spread(chance, noise) for name, usual in TIMES.items()},
            "cold_e2e_s": 2.0,
            "tokens": 16,
            "waited_s": 0.01,
        }
        for category in CATEGORIES
    }
    right = {f"ocr/q{number}": [8 - (chance.random() < 0.1), 8] for number in range(QUESTIONS)}
    return {
        "schema": "vlm-acceptance/summary/1",
        "verdict": "accepted",
        "exit_code": 0,
        "reason": f"all {tests} required tests of -m smoke passed",
        "statement": "a model as profile p deploys it",
        "control": False,
        "scope": {"model": "org/model", "profile": "p", "mode": "eager", "deployment": "launched", "seed": 1},
        "narrowed": "",
        "suite": {"version": "0.1.0", "commit": "a" * 40, "dirty": False},
        "profile": {"file": "p.yaml", "sha256": "b" * 64, "overrides": {}},
        "versions": dict(VERSIONS),
        "model_files": {"config_sha256": "c" * 64, "weights_bytes": 4144896},
        "device": {"kind": "npu", "name": "910B"},
        "engine": {"log": {"mode": "eager mode", "model_memory_gib": 4.13, "kv_cache_tokens": 262144}},
        "stage_seconds": {"engine": 40 * spread(chance, noise), "40 required tests": 100.0},
        "right": {**right, "conversations": [8 - (chance.random() < 0.5), 8]},
        "new_pictures": 8 - (chance.random() < 0.3),
        "latency": latency,
        "capacity": [{"prompt": "short", "capacity": 8, "prompt_tokens": 64, "end": "it held", "steps": []}],
        "tests": [
            {"id": f"tests/acceptance/test_a.py::test_{number}", "area": "a", "outcome": "passed", "seconds": 0.1,
             "message": "", "properties": {}}
            for number in range(tests)
        ],
        "files": str(folder),
    }  # fmt: skip


def accuracy_of(chance: random.Random, share: float) -> dict[str, Any]:
    """The report of an accuracy run: most questions are answered alike every night."""
    right = sum(chance.random() < 0.5 for _ in range(20)) + round(MMMU * share) - 10
    return {"dataset": "MMMU_val", "protocol": "direct", "total": {"right": right, "answered": MMMU}}


def write_run(
    reports: Path, number: int, summary: Mapping[str, Any], accuracy: Mapping[str, Any] | None = None
) -> Path:
    """The folder of the run of a night."""
    folder = reports / "runs" / f"{FIRST + timedelta(days=number):%Y%m%dT%H%M%SZ}-p"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    if accuracy is not None:
        (folder / "npu_accuracy_mmmu_val.json").write_text(json.dumps(accuracy), "utf-8")
    return folder


def nights(
    reports: Path,
    count: int,
    seed: int = 1,
    edits: Mapping[int, Edit] | None = None,
    scores: Mapping[int, float] | None = None,
) -> list[Path]:
    """Runs of `count` nights; `edits` change the summary of a night, `scores` its share of right answers."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        summary = summary_of(chance, reports)
        if edits and number in edits:
            edits[number](summary)
        accuracy = accuracy_of(chance, (scores or {}).get(number, 0.36))
        made.append(write_run(reports, number, summary, accuracy))
    return made


def slower(factor: float, *figures: str) -> Edit:
    """An engine whose times (all without a name) are so many times as long."""

    def edit(summary: dict[str, Any]) -> None:
        for row in summary["latency"].values():
            for name in figures or TIMES:
                row[name] *= factor

    return edit


def upgraded(version: str) -> Edit:
    """Another version of vllm."""
    return lambda summary: summary["versions"].update(vllm=version)


def rejected(*names: str, causes: tuple[str, ...] = ("the picture was not seen",)) -> Edit:
    """A run in which the tests of these numbers failed."""

    def edit(summary: dict[str, Any]) -> None:
        summary.update(verdict="rejected", exit_code=1, reason=f"{len(names)} tests failed")
        summary["causes"] = [{"id": "x", "title": title, "advice": "look", "tests": []} for title in causes]
        for row in summary["tests"]:
            if row["id"].rpartition("_")[2] in names:
                row["outcome"] = "failed"

    return edit
