"""The accelerator of a deployment: its identity, its memory in use, and the release of that memory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

from vlm_acceptance.core.errors import DeviceProblem
from vlm_acceptance.engine.npu_smi import Chip, Process, parse_info, parse_map, refusal

IMPAIRED = ("WARNING", "ALARM")
NPU_DISTRIBUTIONS = ("vllm-ascend", "torch-npu")
NPU_SMI_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device of `kind` npu, cpu or none: first logical id, memory of all chips (None: unobserved), processes."""

    kind: str
    name: str
    index: int | None = None
    used_mb: int | None = None
    total_mb: int | None = None
    others: tuple[Process, ...] = ()
    chips: tuple[Chip, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Whether memory was released; None when it cannot be observed."""

    released: bool | None
    seconds: float
    last_mb: int | None


def probe(kind: str) -> DeviceState:
    """The device of a profile's `kind` cpu or none."""
    return DeviceState("cpu", _cpu_name(), detail="memory unobserved") if kind == "cpu" else DeviceState("none", "")


def probe_npu(
    visible: str | None, count: int = 1, timeout_s: float = NPU_SMI_TIMEOUT_S, env: Mapping[str, str] = os.environ
) -> DeviceState:
    """The chips of ASCEND_RT_VISIBLE_DEVICES (`visible`), else the first `count`; DeviceProblem: not readable."""
    info = parse_info(_npu_smi(["info"], timeout_s, env))
    logical, detail = _logical_ids(info.chips, timeout_s, env)
    wanted = _wanted(visible, sorted(logical)) if visible else sorted(logical)[:count]
    chips = tuple(logical[i] for i in wanted)
    places = {(chip.npu, chip.chip) for chip in chips}
    return DeviceState(
        kind="npu",
        name=chips[0].name,
        index=wanted[0],
        used_mb=_total(chip.hbm_used_mb for chip in chips),
        total_mb=_total(chip.hbm_total_mb for chip in chips),
        others=tuple(p for p in info.processes if (p.npu, p.chip) in places),
        chips=chips,
        detail=f"npu-smi {info.version}; {detail}",
    )


def device_problems(
    state: DeviceState, expected_name: str, expected_total_mb: int | None, count: int = 1, floor_mb: int = 4096
) -> list[str]:
    """Why an NPU must not be used; `expected_name` is a pattern, and up to `floor_mb` in use a chip counts as free."""
    if state.kind != "npu":
        return []
    problems = []
    if len(state.chips) < count:
        problems.append(f"the profile needs {count} chips and {len(state.chips)} can be seen")
    for chip in state.chips:
        where = f"NPU {chip.npu} chip {chip.chip}"
        if refused := refusal(chip):
            problems.append(refused)
        elif not re.fullmatch(expected_name, chip.name):
            problems.append(f"{where} is {chip.name}, the profile is for {expected_name}")
        # chips of one kind differ by the memory that their firmware reserves
        tolerance_mb = 0.02 * (expected_total_mb or 0)
        if expected_total_mb and chip.hbm_total_mb and abs(chip.hbm_total_mb - expected_total_mb) > tolerance_mb:
            problems.append(f"{where} has {chip.hbm_total_mb} MB, the profile is for {expected_total_mb}: another card")
        if chip.health.upper() not in ("OK", *IMPAIRED):
            problems.append(f"{where} {_health(chip)}")
        if chip.hbm_used_mb is not None and chip.hbm_used_mb > floor_mb:  # idle chips show 2.8 to 3.4 GB
            problems.append(_occupied(chip, where, floor_mb, state.others))
    return problems


def impaired(state: DeviceState) -> list[str]:
    """Chips that report a Warning or an Alarm: many such boards work, so they must answer before they are used."""
    chips = (chip for chip in state.chips if chip.health.upper() in IMPAIRED)
    return [f"NPU {chip.npu} chip {chip.chip} {_health(chip)}" for chip in chips]


def _health(chip: Chip) -> str:
    return f"reports health {chip.health!r}: see `npu-smi info -t health -i {chip.npu}`"


def wait_for_release(
    used: Callable[[], int | None],
    before_mb: int | None,
    tolerance_mb: int,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    interval_s: float = 0.5,
) -> Release:
    """Poll `used` until it is at most `before_mb` plus `tolerance_mb`; DeviceProblem when the last probe failed."""
    started = clock()
    while True:
        failure: DeviceProblem | None = None
        last: int | None = None
        try:
            last = used()
        except DeviceProblem as problem:
            failure = problem
        passed = clock() - started
        if failure is None:
            if last is None or before_mb is None:
                return Release(None, passed, last)
            if last <= before_mb + tolerance_mb:
                return Release(True, passed, last)
        if passed >= timeout_s:
            if failure:
                raise failure
            return Release(False, passed, last)
        sleep(interval_s)


def npu_sign(
    root: Path = Path("/"), env: Mapping[str, str] = os.environ, version_of: Callable[[str], str | None] | None = None
) -> str | None:
    """Why an NPU was detected on this machine, in a few words; None when there is no sign of one."""
    nodes = sorted((root / "dev").glob("davinci*"))
    if nodes:
        return f"/dev/{nodes[0].name} exists"
    if (root / "usr/local/Ascend").is_dir():
        return "/usr/local/Ascend exists"
    for distribution in NPU_DISTRIBUTIONS:
        if (version_of or _installed)(distribution):
            return f"the Python distribution {distribution} is installed"
    found = shutil.which("npu-smi", path=env.get("PATH", ""))
    return f"npu-smi is on PATH ({found})" if found else None


def _npu_smi(words: list[str], timeout_s: float, env: Mapping[str, str]) -> str:
    found = shutil.which("npu-smi", path=env.get("PATH", ""))
    if not found:
        raise DeviceProblem(
            "npu-smi is not on PATH, so no NPU can be seen: in a container mount /usr/local/bin/npu-smi, "
            "/usr/local/dcmi and /usr/local/Ascend/driver from the host"
        )
    command = " ".join(["npu-smi", *words])
    try:
        done = subprocess.run([found, *words], env=env, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise DeviceProblem(f"`{command}` gave no answer in {timeout_s:g} s: the driver hangs, see dmesg") from None
    except OSError as broken:
        raise DeviceProblem(f"`{command}` could not be started: {broken}") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        last = (text.strip() or "nothing printed").splitlines()[-1].strip()
        raise DeviceProblem(f"`{command}` ended with code {done.returncode}: {last}")
    return text


def _logical_ids(chips: tuple[Chip, ...], timeout_s: float, env: Mapping[str, str]) -> tuple[dict[int, Chip], str]:
    try:
        ids = parse_map(_npu_smi(["info", "-m"], timeout_s, env))
    except DeviceProblem as problem:
        # the runtime numbers its chips from 0 in the order of the table, so the table can replace the map
        return dict(enumerate(chips)), f"logical ids counted from the table ({problem})"
    logical = {ids[chip.npu, chip.chip]: chip for chip in chips if (chip.npu, chip.chip) in ids}
    if not logical:
        raise DeviceProblem("`npu-smi info` and `npu-smi info -m` list different chips")
    return logical, f"{len(logical)} chips mapped"


def _wanted(visible: str, known: list[int]) -> list[int]:
    words = [word.strip() for word in visible.split(",") if word.strip()]
    if not words or not all(word.isdigit() for word in words):
        raise DeviceProblem(f"ASCEND_RT_VISIBLE_DEVICES={visible!r} is not a list of numbers")
    wanted = [int(word) for word in words]
    if wanted != sorted(set(wanted)):
        raise DeviceProblem(f"ASCEND_RT_VISIBLE_DEVICES={visible!r} must be in ascending order, each id once")
    missing = [i for i in wanted if i not in known]
    if missing:
        raise DeviceProblem(
            f"ASCEND_RT_VISIBLE_DEVICES={visible!r} names {missing[0]}, and the logical ids here are "
            f"{', '.join(map(str, known))}: they count what is mounted in this container, so leave it unset"
        )
    return wanted


def _occupied(chip: Chip, where: str, floor_mb: int, processes: tuple[Process, ...]) -> str:
    holders = [p for p in processes if (p.npu, p.chip) == (chip.npu, chip.chip)]
    held = ", ".join(f"{p.name} (host pid {p.pid}) holds {p.memory_mb} MB" for p in holders)
    return (
        f"{where} already holds {chip.hbm_used_mb} of {chip.hbm_total_mb} MB, an idle one at most {floor_mb}: "
        f"{held or 'npu-smi lists no process here; use npu-smi on the host'}"
    )


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _installed(distribution: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()  # Arm kernels print no model name
