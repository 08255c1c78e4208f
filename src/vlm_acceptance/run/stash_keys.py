"""Keys of the values that hooks and fixtures share; apart from the plugin, so that pytest can load that first."""

from __future__ import annotations

import pytest

from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.findings import FindingCollector

CONTEXT = pytest.StashKey[RunContext]()
LINES = pytest.StashKey[list[str]]()
COLLECTOR = pytest.StashKey[FindingCollector]()
# node ids of the tests whose failure or error the verdict shows
SHOWN = pytest.StashKey[frozenset[str]]()
