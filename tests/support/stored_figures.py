"""A made run's folder with all figures that plots are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.report.store import OBSERVATIONS

TIMES = ("ttft_s", "tpot_s", "e2e_s")


def latency() -> dict[str, Any]:
    def samples(base: float) -> list[dict[str, Any]]:
        rows = [{"cold": True, "ttft_s": 9 * base, "tpot_s": None, "e2e_s": 20 * base, "tokens": 5}]
        rows += [
            {"cold": False, "ttft_s": base + n / 1000, "tpot_s": base / 10, "e2e_s": 3 * base + n / 1000, "tokens": 9}
            for n in range(3)
        ]
        return rows

    return {
        "categories": {
            "ocr": {"budget": {"ttft_s": 0.3, "tpot_s": 0.03, "e2e_s": 1.5}, "samples": samples(0.05)},
            "chart": {"budget": {"e2e_s": 1.5}, "samples": samples(0.08)},
        }
    }


def fit(x: list[float], y: list[float], limit_y: list[float], unit: str) -> dict[str, Any]:
    line = {"x": x, "y": y, "limit_y": limit_y, "value": 0.05, "low": -0.02, "high": 0.12}
    return {**line, "n": 80, "blocks": 12, "limit": 0.5, "unit": unit}


def soak(count: int = 80) -> dict[str, Any]:
    began = [n * 30 / count for n in range(count)]
    answers = {
        "of": count,
        "began_s": began,
        "ttft_s": [0.05 + n / 10_000 for n in range(count)],
        "tpot_s": [None if n % 4 else 0.004 for n in range(count)],
        "e2e_s": [0.4 + n / 1000 for n in range(count)],
        "tokens": [10 + n % 3 for n in range(count)],
    }
    readings = {
        "of": 31,
        "at_s": [float(n) for n in range(31)],
        "done": [n * 3 for n in range(31)],
        "in_flight": [8] * 31,
        "running": [float(7 + n % 2) for n in range(31)],
        "waiting": [0.0] * 31,
        "rss_mb": [900 + n / 10 for n in range(31)],
        "hbm_mb": [None] * 31,
    }
    fits = {name: fit([0.0, 15.0, 30.0], [0.4, 0.41, 0.42], [0.4, 0.5, 0.62], "share") for name in TIMES}
    fits["rss_mb"] = fit([30.0, 90.0], [901.0, 903.0], [901.0, 930.0], "KB a request")
    budgets = {"ttft_s": {"p99": 2.0}, "itl_s": {"p99": 0.5}, "requests_per_s": 2.0}
    return {
        "seconds": 30.5, "concurrency": 8, "answers": answers, "readings": readings, "fits": fits, "budgets": budgets,
    }  # fmt: skip


def percentiles(base: float) -> dict[str, Any]:
    return {"p50": base, "p90": 2 * base, "p99": 3 * base, "n": 20}


def capacity() -> list[dict[str, Any]]:
    def step(at_once: int, state: str) -> dict[str, Any]:
        times = {name: percentiles(at_once / 100) for name in TIMES}
        return {
            "concurrency": at_once, "state": state, "requests": 40, **times, "itl_s": percentiles(0.01),
            "requests_per_s": at_once * 2.0, "output_tokens_per_s": at_once * 64.5, "failures": {},
        }  # fmt: skip

    steps = [step(1, "held"), step(4, "held"), step(16, "lost"), step(16, "lost")]
    return [
        {
            "prompt": name, "prompt_tokens": tokens, "capacity": 4, "end": "lost twice at 16: why", "steps": steps,
            "budgets": {"errors": 0, "ttft_s": {"p90": 0.2}, "tpot_s": {}, "itl_s": {}, "e2e_s": {}}, "recorded": None,
        }
        for name, tokens in (("text-512", 512), ("one_tile-512", 515))
    ]  # fmt: skip


def tally(right: int, answered: int, low: float, high: float) -> dict[str, Any]:
    share = right / answered
    return {"right": right, "answered": answered, "questions": answered, "share": share, "low": low, "high": high}


def accuracy() -> dict[str, Any]:
    changed = [{"id": "q1", "group": "Art", "gold": ["A"], "then": "A", "now": "=B"}]
    return {
        "scorer": "one",
        "total": tally(90, 120, 0.66, 0.82),
        "subjects": {"Art": tally(20, 30, 0.49, 0.81), "Music": tally(70, 90, 0.68, 0.85)},
        "scorers": {"one": tally(90, 120, 0.66, 0.82), "two": tally(88, 120, 0.65, 0.8)},
        "letters": {"answers": {"A": 40, "B": 30}, "golds": {"A": 35, "B": 30, "C": 5}},
        "statistics": {"limits": {"low": 80, "high": 118}, "reference": {"correct": 88, "total": 120}},
        "comparison": {
            "name": "right.jsonl", "compared": 120, "both": 85, "neither": 28, "lost": changed * 3,
            "gained": changed * 4, "interval_95": [-0.03, 0.05], "margin": 0.03,
        },
    }  # fmt: skip


def early_stop() -> dict[str, Any]:
    asked = list(range(1, 121))
    return {
        "asked": asked,
        "right": [n * 3 // 4 for n in asked],
        "score": [0.9**n for n in asked],
        "letters": [0.95**n for n in asked],
        "stops_at": {"score": 1000.0, "letters": 1000.0},
        "limit": 80, "total": 120, "not_before": 30, "not_after": 96.0, "stopped": None,
    }  # fmt: skip


def logprobs() -> dict[str, Any]:
    prompts = [{"id": f"p{n}", "mean": n / 1000, "largest": n / 100, "diverged": None} for n in range(12)]
    prompts.append({"id": "lost", "mean": None, "largest": None, "diverged": None})
    limits = {"limit": 0.04, "limit_prompt": 0.1}
    return {"test": "t.py::test_logprobs", "mean": 0.0055, "against": "control.jsonl", **limits, "prompts": prompts}


def timeline() -> dict[str, Any]:
    def span(kind: str, name: str, begin: float, end: float, area: str = "", outcome: str = "") -> dict[str, Any]:
        return {"kind": kind, "name": name, "area": area, "outcome": outcome, "begin_s": begin, "end_s": end}

    spans = [span("stage", "offline engine", 1.0, 20.0), span("stage", "engine", 21.0, 40.0)]
    outcomes = ("passed", "failed", "error", "not run")
    spans += [span("test", f"t.py::test_{n}", 40.0 + n, 41.0 + n, "health", outcomes[n]) for n in range(4)]
    ready = [{"name": "process", "ok": True, "begin_s": 22.0, "end_s": 30.0}]
    waits = {"begin_s": [40.0, 41.0, 42.0], "end_s": [41.0, 42.0, 43.0], "waited_s": [0.0, 0.5, 0.25]}
    return {"began_utc": "2026-11-01T08:00:00+00:00", "spans": spans, "readiness": ready, "waits": waits}


def observations() -> dict[str, Any]:
    """Every observation by its name."""
    return {
        "latency": latency(), "soak-figures": soak(), "early-stop": early_stop(), "logprobs-x": logprobs(),
        "timeline": timeline(),
    }  # fmt: skip


def summary() -> dict[str, Any]:
    """What plots and workbook read of a summary."""
    tests = [{"id": "t.py::test_0", "area": "health", "outcome": "passed", "seconds": 1.0, "message": ""}]
    guide = [{"category": "ocr", "tokens": 14, "seconds": 1.66, "note": ""}]
    return {"capacity": capacity(), "guide": guide, "tests": tests}


def stored(folder: Path, observed: Mapping[str, Any], described: Any, report: Any) -> Path:
    """Write a folder of a run with these observations, this summary and this report of an accuracy run."""
    (folder / OBSERVATIONS).mkdir(parents=True, exist_ok=True)
    for name, value in observed.items():
        (folder / OBSERVATIONS / f"{name}.json").write_text(json.dumps(value), "utf-8")
    (folder / "summary.json").write_text(json.dumps(described), "utf-8")
    (folder / "npu_accuracy_mmmu_val.json").write_text(json.dumps(report), "utf-8")
    return folder


def whole(folder: Path) -> Path:
    """A folder with all of them."""
    return stored(folder, observations(), summary(), accuracy())
