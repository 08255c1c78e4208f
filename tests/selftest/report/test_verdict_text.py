"""The text of the verdict: what was judged, what was not, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.report.verdict_text import lines

SUMMARY: dict[str, Any] = {
    "verdict": "accepted",
    "exit_code": 0,
    "reason": "all 3 required tests passed",
    "statement": "org/model as profile p deploys it",
    "control": False,
    "areas": {"health": {"passed": 2}, "schema": {"passed": 1, "failed": 1, "not run": 2}},
    "versions": {},
    "device": None,
    "engine": {},
    "latency": {},
    "guide": [],
    "not_applicable": {},
    "notes": [],
    "files": "/tmp/reports/runs/x",
}
ROW = {"n": 3, "ttft_s": 0.05, "tpot_s": None, "e2e_s": 1.5, "cold_e2e_s": 4.0, "tokens": 12}


def text(**changes: Any) -> str:
    return "\n".join(lines({**SUMMARY, **changes}))


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({}, "ACCEPTED  org/model"),
        ({"control": True}, "ACCEPTED (control)  org/model"),
        ({"verdict": "rejected", "exit_code": 1}, "REJECTED  "),
        ({"verdict": "rejected", "exit_code": 1, "control": True}, "REJECTED  "),
        ({"verdict": "inconclusive", "exit_code": 11}, "INCONCLUSIVE  "),
        ({"verdict": "inconclusive", "exit_code": 10}, "INCONCLUSIVE (environment)  "),
        ({"verdict": "none", "exit_code": 11}, "NO VERDICT  "),
        ({"verdict": "none", "exit_code": 11, "control": True}, "NO VERDICT  "),
    ],
)
def test_the_first_line_is_the_verdict_and_its_statement(changes: dict[str, Any], headline: str) -> None:
    assert text(**changes).startswith(headline)
    assert text(**changes).count("ACCEPTED") == headline.count("ACCEPTED")


def test_areas_show_what_passed_of_all_and_what_became_of_the_rest() -> None:
    assert "  health       2/2\n" in text()
    assert "  schema       1/4  1 failed, 2 not run\n" in text()


def test_only_an_accepted_run_needs_nothing_next() -> None:
    assert "next:" not in text()
    assert "next: run without -k" in text(verdict="none", exit_code=11)
    assert "next: open report.html" in text(verdict="rejected", exit_code=1)
    assert "next: fix" in text(verdict="inconclusive", exit_code=10)


def test_a_rejected_engine_can_be_started_again() -> None:
    engine = {"command": ["vllm", "serve", "/a b"]}
    assert "engine: vllm serve '/a b'" in text(engine=engine, verdict="rejected", exit_code=1)
    assert "engine: vllm" not in text(engine=engine)


def test_absent_figures_are_reported_as_absent_and_not_as_zero() -> None:
    engine = {"log": {"weights_load_s": 1.5, "model_memory_gib": None, "kv_cache_tokens": 233344}}
    assert "weights loaded in 1.5 s, model memory not reported, KV cache 233,344 tokens" in text(engine=engine)
    assert "TTFT 50.0 ms, TPOT no data, E2E 1.50 s (warm medians, n=3; cold 4.00 s, 12 tokens)" in text(
        latency={"ocr": ROW}
    )


def test_versions_and_device_of_a_launched_engine_are_named() -> None:
    card = {"kind": "npu", "name": "910B4", "used_mb": 3000, "total_mb": 32768, "detail": "npu-smi 24.1"}
    shown = text(versions={"vllm": "0.18.0+empty"}, device=card)
    assert "versions: vllm 0.18.0+empty" in shown
    assert "device: 910B4, 3000 of 32768 MB in use before (npu-smi 24.1)" in shown
    assert "versions" not in text()
    assert "device" not in text(device={"kind": "cpu", "name": "x"})


def test_the_guides_figure_stands_beside_ours() -> None:
    guide = [{"category": "ocr", "tokens": 14, "seconds": 1.66, "note": "cold"}]
    assert "; guide: 14 tokens 1.66 s cold\n" in text(latency={"ocr": ROW}, guide=guide)
    assert "guide" not in text(latency={"chinese": ROW}, guide=guide)


def test_what_was_not_examined_is_listed_with_its_reasons() -> None:
    shown = text(not_applicable={"a": "no card", "b": "no card", "c": "no offline engine"}, notes=["uncalibrated"])
    assert "not applicable: 3 (no card; no offline engine)" in shown
    assert "  note: uncalibrated" in shown


HELD = {"concurrency": 4, "state": "held", "output_tokens_per_s": 98.5, "ttft_s": {"p99": 0.3}, "tpot_s": None}


@pytest.mark.parametrize(
    ("capacity", "steps", "shown"),
    [
        (
            4,
            [{**HELD, "e2e_s": {"p99": 2}}],
            "4 at once, 500 prompt tokens: TTFT p99 0.30 s, E2E p99 2.00 s, 98.5 output",
        ),
        (0, [{**HELD, "state": "lost"}], "no step within the budgets (the end)"),
        (None, [], "not known (the end)"),
    ],
)
def test_the_capacity_of_each_kind_of_prompt_is_named(capacity: int | None, steps: list[Any], shown: str) -> None:
    row = {"prompt": "text-512", "prompt_tokens": 500, "capacity": capacity, "end": "the end", "steps": steps}
    assert f"  capacity text-512: {shown}" in text(capacity=[row])


def test_right_answers_are_listed_by_what_was_asked() -> None:
    right = {"multi_picture": (4, 4), "conversations": (7, 8), "long_prompts-1024": (8, 8), "long_prompts-3584": (6, 8)}
    shown = text(right=right)
    assert "right multi_picture: order 4 of 4" in shown
    assert "right conversations: answers 7 of 8" in shown
    assert "right long_prompts: 1024 tokens 8 of 8, 3584 tokens 6 of 8" in shown
