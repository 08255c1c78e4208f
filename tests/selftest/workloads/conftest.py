"""A quick server in the engine's place, and the exchanges that were recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.proof.standins.quick_server import QuickServer

from vlm_acceptance.core.exchange import Exchange


@pytest.fixture
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


@pytest.fixture
def recorded() -> list[Exchange]:
    return []
