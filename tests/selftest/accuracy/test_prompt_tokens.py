"""Counts of prompt tokens: each prompt is counted once, counts are stored as they come, a resumed run reuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm_acceptance.accuracy.item import PreparedRequest
from vlm_acceptance.accuracy.prompt_tokens import PromptTokenCounts
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.exchange import NoReply

WANTED = {f"hash {n}": PreparedRequest(f"q{n}", "Be brief.", f"text {n}", (), {}) for n in range(100)}


class Counter:
    """Counts characters and keeps the texts it got; a text of `silent` gets no count."""

    def __init__(self, *silent: str) -> None:
        self.texts: list[tuple[str, str]] = []
        self._silent = silent
        self._lock = threading.Lock()

    def __call__(self, request: PreparedRequest) -> int | NoReply:
        with self._lock:
            self.texts.append((request.text, request.system))
        return NoReply("404") if request.text in self._silent else len(request.text)


def counted(
    path: Path, old: Path | None, count: Callable[[PreparedRequest], int | NoReply], concurrency: int = 4
) -> dict[str, int]:
    return dict(PromptTokenCounts(path, old).of(WANTED, count, concurrency))


def rows(path: Path) -> dict[str, int]:
    found = map(json.loads, path.read_text("utf-8").splitlines())
    return {row["sha256"]: row["tokens"] for row in found}


EXPECTED = {digest: len(one.text) for digest, one in WANTED.items()}


@pytest.mark.parametrize("concurrency", [1, 4, 64])
def test_every_text_is_counted_once_with_its_system_message(tmp_path: Path, concurrency: int) -> None:
    count = Counter()
    assert counted(tmp_path / "new", None, count, concurrency) == EXPECTED
    assert sorted(count.texts) == sorted((one.text, one.system) for one in WANTED.values())
    assert rows(tmp_path / "new") == EXPECTED


def test_a_text_without_a_count_is_left_out_and_counted_later(tmp_path: Path) -> None:
    found = counted(tmp_path / "new", None, Counter("text 3", "text 99"))
    assert found == {digest: n for digest, n in EXPECTED.items() if digest not in ("hash 3", "hash 99")}
    again = Counter()
    assert counted(tmp_path / "newer", tmp_path / "new", again) == EXPECTED
    assert sorted(text for text, _ in again.texts) == ["text 3", "text 99"]


def test_counts_of_an_earlier_run_are_reused_and_stored_in_the_new_file(tmp_path: Path) -> None:
    counted(tmp_path / "old", None, Counter())
    count = Counter()
    assert counted(tmp_path / "new", tmp_path / "old", count) == EXPECTED
    assert count.texts == []
    assert rows(tmp_path / "new") == EXPECTED


@pytest.mark.parametrize(
    "torn", ['{"sha256": "hash 99", "tok', "[]", "null", '{"tokens": 3}', '{"sha256": "hash 99", "tokens": "x"}']
)
def test_a_torn_line_of_a_killed_run_is_counted_again(tmp_path: Path, torn: str) -> None:
    old = tmp_path / "old"
    old.write_text(
        "".join(json.dumps({"sha256": d, "tokens": n}) + "\n" for d, n in EXPECTED.items() if d != "hash 99") + torn,
        "utf-8",
    )
    count = Counter()
    assert counted(tmp_path / "new", old, count) == EXPECTED
    assert [text for text, _ in count.texts] == ["text 99"]


def test_a_run_that_breaks_keeps_the_counts_it_has(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def count(request: PreparedRequest) -> int:
        if request.text == "text 70":
            raise Broken
        return len(request.text)

    with pytest.raises(HarnessProblem, match="Broken"):
        counted(tmp_path / "new", None, count, 1)
    assert set(rows(tmp_path / "new")) >= set(list(WANTED)[:64])


def test_a_broken_thread_is_a_harness_problem(tmp_path: Path) -> None:
    def count(request: PreparedRequest) -> int:
        raise ZeroDivisionError

    with pytest.raises(HarnessProblem):
        counted(tmp_path / "new", None, count)


def test_nothing_to_count_leaves_an_empty_file(tmp_path: Path) -> None:
    assert PromptTokenCounts(tmp_path / "new", None).of({}, Counter(), 4) == {}
    assert (tmp_path / "new").read_bytes() == b""
