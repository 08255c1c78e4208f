"""A bench for the commands of the recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.recipes import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A machine with CANN, a stand-in for the suite and one for docker."""
    return Bench(tmp_path)
