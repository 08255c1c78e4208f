"""Stored runs in which any value is another one: every page over several runs is made all the same."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.history_pages import compared
from tests.support.made_history import nights
from tests.support.still_pages import still

from vlm_acceptance.core.files import BadFile
from vlm_acceptance.report.comparison import compare
from vlm_acceptance.report.comparison_page import lines, write_page
from vlm_acceptance.report.history import write_history
from vlm_acceptance.report.runs_index import write_index

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**15, 1e308, -1e308, 1e-320, 0.5, "", "x" * 10_000, "\u202e<b>", "accepted", "soak",
    "p50 1e99, p90 0", [], {}, [[1]], [None], {"a": {"b": 1}}, {"": None}, ["x"] * 500,
)  # fmt: skip
FILES = ("summary.json", "npu_accuracy_mmmu_val.json", "observations/latency.json", "observations/profile.json")
LINES = ("exchanges.jsonl", "results.jsonl")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a JSON value, as its container and its key in it."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def altered(value: Any, chance: random.Random) -> Any:
    """The value with some of its parts replaced."""
    made = copy.deepcopy(value)
    for _ in range(chance.randint(1, 4)):
        found = list(places(made))
        if not found or chance.random() < 0.02:
            return chance.choice(ODD)
        container, key = chance.choice(found)
        container[key] = copy.deepcopy(chance.choice(ODD))
    return made


def alter(folder: Path, chance: random.Random) -> None:
    for name in FILES:
        path = folder / name
        if path.exists() and chance.random() < 0.7:
            path.write_text(json.dumps(altered(json.loads(path.read_text("utf-8")), chance)), "utf-8")
    for name in LINES:
        path = folder / name
        if path.exists():
            rows = [altered(json.loads(line), chance) for line in path.read_text("utf-8").splitlines()]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.mark.parametrize("seed", range(6))
def test_any_value_of_a_run_may_be_another_one(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    folders = nights(tmp_path, 40, seed)
    for folder in folders:
        (folder / "observations").mkdir()
        sample = {"cold": False, "ttft_s": 0.1, "tpot_s": 0.01, "e2e_s": 1.0}
        latency = {"categories": {"ocr": {"samples": [dict(sample) for _ in range(6)]}}}
        (folder / "observations" / "latency.json").write_text(json.dumps(latency), "utf-8")
        alter(folder, chance)
    still(write_history(tmp_path)[0].read_text("utf-8"))
    still(write_index(tmp_path).read_text("utf-8"))


@pytest.mark.parametrize("seed", range(30))
def test_runs_with_other_values_are_compared(seed: int, tmp_path: Path) -> None:
    compared(tmp_path)
    first, second = sorted((tmp_path / "runs").iterdir())
    for folder in (first, second):
        (folder / "observations").mkdir()
        (folder / "observations" / "profile.json").write_text('[{"key": "a", "value": "1", "source": "x"}]', "utf-8")
        alter(folder, random.Random(seed))
    stored = [json.loads((folder / "summary.json").read_text("utf-8")) for folder in (first, second)]
    if not all(isinstance(one, dict) for one in stored):
        with pytest.raises(BadFile, match="is not the summary of a run"):
            compare(first, second)
        return
    made = compare(first, second)
    assert all(len(line) <= 150 for line in lines(made))
    still(write_page(made, tmp_path / "c.html").read_text("utf-8"))
