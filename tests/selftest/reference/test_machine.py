"""A container's limits on memory and processors count, as do those of the groups around it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from vlm_acceptance.reference import machine


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The group of this process, in a made-up tree."""
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/outer/inner\n", "utf-8")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUP", tmp_path / "own")
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return inner


def test_without_limits_the_machine_counts(group: Path) -> None:
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert machine.processors() == len(os.sched_getaffinity(0))
    assert machine.free_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("outer", [False, True])
def test_the_limits_of_the_container_count(group: Path, outer: bool) -> None:
    place = group.parent if outer else group
    (place / "cpu.max").write_text("100000 100000\n")
    (place / "memory.max").write_text("1000000\n")
    (place / "memory.current").write_text("900000\n")
    (place / "memory.stat").write_text("anon 300000\nactive_file 200000\ninactive_file 400000\n")
    assert machine.processors() == 1
    assert machine.free_memory() == 700_000
