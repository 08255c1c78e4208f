"""What this process may use of the machine: processors and memory, by the limits of its container too (cgroup v2)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_PREFIX = "0::/"


def processors() -> int:
    """Threads that can run at once."""
    counts = [len(os.sched_getaffinity(0))]
    for group in _groups():
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdecimal() and period.strip().isdecimal():
            counts.append(max(1, math.floor(int(quota) / max(1, int(period)))))
    return min(counts)


def free_memory() -> int:
    """Bytes that can be taken; what files hold in the cache is given back when it is needed, and counts as free."""
    free = [psutil.virtual_memory().available]
    for group in _groups():
        most, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
        if most.isdecimal() and used.isdecimal():
            stat = dict(line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line)
            cached = sum(int(stat.get(key, 0)) for key in ("active_file", "inactive_file"))
            free.append(max(0, int(most) - max(0, int(used) - cached)))
    return min(free)


def _groups() -> Iterator[Path]:
    """The group of this process and those around it: each has limits of its own."""
    line = next((line for line in _text(OWN_GROUP).splitlines() if line.startswith(_PREFIX)), None)
    if line is None:
        return
    parts = [part for part in line.removeprefix(_PREFIX).split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        yield CGROUPS.joinpath(*parts[:count])


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
