"""Settings of the fuzzer: the same 300 cases a format in every run of the selftests, or FUZZ_CASES new ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.support.reading_limits import peak_mb

CASES = 300
settings.register_profile(
    "selftest",
    max_examples=int(os.environ.get("FUZZ_CASES", CASES)),
    derandomize="FUZZ_CASES" not in os.environ,
    deadline=None,  # the limits count processor time
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
settings.load_profile("selftest")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the file of each case; it is one for all cases of a test."""
    return tmp_path


@pytest.fixture
def before_mb() -> float:
    """The largest memory before the first case."""
    return peak_mb()
