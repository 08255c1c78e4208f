"""No engine starts on a machine whose limits would break it later: that would look like a broken deployment."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.made_context import context_of

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.engine import machine


def test_no_engine_starts_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "REPORT_BYTES", 1 << 60)
    context = context_of(tmp_path)
    for engine in (context.offline, context.launch):
        with pytest.raises(EnvironmentProblem, match=r"free .* choose another"):
            engine.get()
