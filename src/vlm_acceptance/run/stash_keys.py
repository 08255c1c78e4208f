"""Where pytest keeps what hooks and fixtures share; a module of its own, so that pytest can load the plugin first."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.core.verdict import TestResult
from vlm_acceptance.run.context import RunContext

CONTEXT = pytest.StashKey[RunContext]()
LINES = pytest.StashKey[list[str]]()
RESULT = pytest.StashKey[TestResult]()
PROPERTIES = pytest.StashKey[dict[str, str]]()
FINDINGS = pytest.StashKey[list[dict[str, Any]]]()
