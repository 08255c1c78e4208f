"""The causes of stored runs of the proof: what a fault is, is named first."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from cause_scores import PACKED, ids_of, packed
from owners_causes import EXPECTED

from vlm_acceptance.core import causes

RUNS: dict[str, list[dict[str, Any]]] = {
    run["fault"]: run["rows"] for run in map(json.loads, PACKED.read_text("utf-8").splitlines())
}
FIRST = {fault: (ids_of(rows) or [""])[0] for fault, rows in RUNS.items()}
# the first cause is not what was expected of the fault
KNOWN_WRONG = {
    # the answers to some questions about pictures are wrong, and no text without a picture shows it
    **dict.fromkeys(("layer-dropped", "rope-base", "tokenizer"), "picture.seen_wrongly"),
    # a kind of picture file that is not answered counts as a refusal
    **dict.fromkeys(("bmp-500", "cmyk-500", "tiff-500", "large-refused", "thin-refused"), "protocol.refusals"),
    "last-frame": "picture.mixed_up",
    "logprobs-positive": "protocol.body",
}


def test_the_first_cause_of_a_fault_is_one_that_was_expected() -> None:
    wrong = {fault: cause for fault, cause in FIRST.items() if cause not in EXPECTED[fault]}
    assert wrong == KNOWN_WRONG


def test_nine_of_ten_are_right() -> None:
    right = Counter(cause in EXPECTED[fault] for fault, cause in FIRST.items())
    assert right[True] >= 0.9 * len(FIRST)


def test_a_blind_deployment_has_one_cause() -> None:
    assert ids_of(RUNS["blind"]) == [causes.UNSEEN.id]


def test_no_run_needs_more_causes_than_a_terminal_shows() -> None:
    assert max(len(ids_of(rows)) for rows in RUNS.values()) <= 5


def test_packing_keeps_a_finding_of_each_class() -> None:
    finding = {"where": "", "observed": "x" * 1000, "expected": "", "evidence": "/srv/x", "repeat": "python3"}
    many = [{**finding, "check": f"a.{number // 40}"} for number in range(41)]
    less = packed({"id": "i", "outcome": "failed", "message": "m" * 1000, "findings": many, "must": "It MUST."})
    assert [found["check"] for found in less["findings"]] == [one["check"] for one in many]
    assert sum("observed" in found for found in less["findings"]) == 3
    assert max(len(value) for found in less["findings"] for value in found.values()) == 240
    assert set(less) == {"id", "outcome", "message", "findings"}
