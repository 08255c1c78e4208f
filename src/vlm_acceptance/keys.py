"""Where pytest keeps what hooks and fixtures share."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.suite import Suite
from vlm_acceptance.verdict import TestResult

SUITE = pytest.StashKey[Suite]()
LINES = pytest.StashKey[list[str]]()
RESULT = pytest.StashKey[TestResult]()
PROPERTIES = pytest.StashKey[dict[str, str]]()
FINDINGS = pytest.StashKey[list[dict[str, Any]]]()
