"""Two profiles in one command: the first run records, the second is compared; the first rejection is the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from vlm_acceptance.run.compare import EVERY_PROMPT, ITS_OWN_LIMITS, compare


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([0, 1], 1), ([10], 10)], ids=str)
def test_the_second_runs_only_after_the_first_was_accepted(tmp_path: Path, codes: list[int], expected: int) -> None:
    seen: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> int:
        seen.append(command)
        return codes[len(seen) - 1]

    assert compare("eager", "graph", tmp_path / "new", ["-q"], run) == expected
    assert len(seen) == len(codes)


def test_the_second_run_is_compared_with_the_recording_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "logprobs.jsonl").write_text("of an earlier comparison", "utf-8")
    seen: list[Sequence[str]] = []
    compare("eager", "graph", tmp_path, ["-q"], lambda command: seen.append(command) or 0)
    first, second = seen
    assert not (tmp_path / "logprobs.jsonl").exists()
    assert {"--vlm-profile=eager", f"--vlm-record-baseline={tmp_path}/logprobs.jsonl", "-q"} <= set(first)
    assert {"--vlm-profile=graph", f"--vlm-baseline={tmp_path}/logprobs.jsonl", f"--vlm-set={EVERY_PROMPT}"} <= set(
        second
    )
    assert f"--vlm-set={ITS_OWN_LIMITS}" in second  # what the first one does to itself is no limit for the second one
    assert "-q" in second
