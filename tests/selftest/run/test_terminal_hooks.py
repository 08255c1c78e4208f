"""What a command line asks pytest to show besides the verdict."""

from __future__ import annotations

import pytest

from vlm_acceptance.run.terminal_hooks import asks_for_details


@pytest.mark.parametrize(
    "words",
    [
        ["-qrA"],
        ["-rA"],
        ["-r", "fE"],
        ["--tb=long"],
        ["--tb", "short"],
        ["-l"],
        ["--showlocals"],
        ["-m", "smoke", "-x", "-rf"],
    ],
)
def test_details_that_are_asked_for(words: list[str]) -> None:
    assert asks_for_details(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-q", "-x", "-s", "-v"],
        ["-m", "smoke"],
        ["-msmoke or slow"],
        ["-m", "-rv"],
        ["-k", "very_rare"],
        ["-p", "no:cacheprovider"],
        ["-c", "/srv/pyproject.toml"],
        ["--vlm-profile=control-cpu", "tests/acceptance/test_tools.py::test_x[-v]"],
        ["--maxfail=1", "--lf", "--vlm-reports", "reports-v"],
    ],
)
def test_words_that_ask_for_no_details(words: list[str]) -> None:
    assert not asks_for_details(words)
