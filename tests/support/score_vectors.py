"""Pairs of golds and an answer with the scores of the original code: tests/selftest/accuracy/vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.item import OPEN, Item, Score, Scorer

VECTORS = Path(__file__).parents[1] / "selftest" / "accuracy" / "vectors"


def rows(name: str) -> list[list[Any]]:
    """The rows of a file; its first line names their columns."""
    header, *lines = (VECTORS / name).read_text("utf-8").splitlines()
    read: list[list[Any]] = [json.loads(line) for line in lines]
    assert {len(row) for row in read} == {len(json.loads(header)["row"])}
    return read


def short(*golds: str, group: str = "any", ident: str = "1") -> Item:
    """A question that is answered with a word or a phrase."""
    return Item(ident, group, OPEN, "What?", (), golds, ())


def score(scorer: Scorer, golds: Sequence[str], answer: str, group: str = "any") -> Score:
    """The score of one answer."""
    return scorer([short(*golds, group=group)], {"1": answer})["1"]
