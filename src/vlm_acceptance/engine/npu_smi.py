"""Parses the output of Ascend's `npu-smi info` and `npu-smi info -m`. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vlm_acceptance.core.errors import DeviceProblem

_PAIR = re.compile(r"(?<!\d)(\d{1,18}|NA|-)\s*/\s*(\d{1,18}|NA|-)(?!\d)", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_VERSION = re.compile(r"Version:\s*(\S+)")
_COMPLAINT = re.compile(r"fail|error|denied|not found|cannot|unable", re.IGNORECASE)
_FIRST_GENERATION = re.compile(r"(Ascend)?910((Pro|Premium)?A|ProB)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chip:
    """One die: `npu` and `chip` are npu-smi's numbers; memory is None when not printed, DDR on chips without HBM."""

    npu: int
    chip: int
    phy_id: int | None
    name: str
    health: str
    hbm_used_mb: int | None
    hbm_total_mb: int | None


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds memory of a chip. `pid` is the host's number, also inside a container."""

    npu: int
    chip: int
    pid: int
    name: str
    memory_mb: int
    pid_in_container: int | None


@dataclass(frozen=True, slots=True)
class NpuInfo:
    """The content of one `npu-smi info`."""

    version: str
    chips: tuple[Chip, ...]
    processes: tuple[Process, ...]


def parse_info(text: str) -> NpuInfo:
    """The device and process tables of `npu-smi info`; DeviceProblem when no chip can be read."""
    version = ""
    devices: list[list[str]] = []
    processes: list[list[str]] = []
    columns: list[str] = []
    table = ""
    has_phy_id, usages = False, 0
    for cells in filter(None, map(_cells, text.splitlines())):
        if cells[0].startswith("npu-smi"):
            found = _VERSION.search(cells[0])
            version = found.group(1) if found else ""
        elif "Process id" in cells:
            table, columns = "processes", cells
        elif "Bus-Id" in cells:
            table, columns = "devices", cells
            has_phy_id, usages = "Phy-ID" in cells[0], cells[-1].count("Usage(MB)")
        elif table == "devices":
            devices.append(cells)
        elif table == "processes" and not cells[0].startswith("No running"):
            processes.append(cells)
    if not devices:
        raise DeviceProblem(_no_table(text))
    if len(devices) % 2:
        raise DeviceProblem(f"npu-smi printed a chip without its second row: {' | '.join(devices[-1])}")
    pairs = zip(devices[::2], devices[1::2], strict=True)
    chips = tuple(_chip(first, second, has_phy_id, usages) for first, second in pairs)
    return NpuInfo(version, chips, tuple(_process(columns, cells) for cells in processes))


def parse_map(text: str) -> dict[tuple[int, int], int]:
    """`npu-smi info -m` as {(npu, chip): logical id}, without the management controller, which has no id."""
    lines = [line.split() for line in text.splitlines()]
    heads = [i for i, words in enumerate(lines) if " ".join(words).startswith("NPU ID Chip ID Chip Logic ID")]
    if not heads:
        raise DeviceProblem(_no_table(text, "`npu-smi info -m` printed no id map"))
    rows = [words for words in lines[heads[0] + 1 :] if len(words) >= 3 and _are_numbers(words[:3])]
    return {(int(npu), int(chip)): int(logic) for npu, chip, logic, *_ in rows}


def refusal(chip: Chip) -> str | None:
    """Why vllm-ascend does not support this chip, in one sentence; None when it does."""
    if not _FIRST_GENERATION.fullmatch(chip.name.replace(" ", "")):
        return None
    what = "a first-generation Ascend 910 that vllm-ascend does not support"
    return f"NPU {chip.npu} is a {chip.name}, {what}: run on an Atlas A2 (910B) or A3 machine"


def _cells(line: str) -> list[str]:
    line = line.strip()
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def _chip(first: list[str], second: list[str], has_phy_id: bool, usages: int) -> Chip:
    # the 950 has a separate column for the name and no chip number: one die per NPU
    npu, _, name = " ".join(first[:-2]).partition(" ")
    ids = second[0].split()
    pairs = _PAIR.findall(second[-1])
    if not (_are_numbers([npu, *ids]) and name and len(pairs) >= max(1, usages)):
        raise DeviceProblem(f"npu-smi printed a chip that cannot be read: {' | '.join(first)} / {' | '.join(second)}")
    # with DDR and HBM, HBM is the last pair; a single pair is the memory of the device
    used, total = pairs[-1]
    return Chip(
        npu=int(npu),
        chip=int(ids[0]) if ids else 0,
        phy_id=int(ids[1]) if has_phy_id and len(ids) > 1 else None,
        name=name.strip(),
        health=first[-2],
        hbm_used_mb=_number(used),
        hbm_total_mb=_number(total),
    )


def _process(columns: list[str], cells: list[str]) -> Process:
    ids = cells[0].split()
    row = dict(zip(columns, cells, strict=False))
    pid = row.get("Process id", "")
    if len(cells) != len(columns) or not ids or not _are_numbers([*ids, pid]):
        raise DeviceProblem(f"npu-smi printed a process row that cannot be read: {' | '.join(cells)}")
    memory = next((value for column, value in row.items() if column.startswith("Process memory")), "")
    return Process(
        npu=int(ids[0]),
        chip=int(ids[1]) if len(ids) > 1 else 0,
        pid=int(pid),
        name=row.get("Process name", ""),
        memory_mb=_number(memory) or 0,
        pid_in_container=_number(row.get("Process id in container", "")),
    )


def _are_numbers(words: Iterable[str]) -> bool:
    return all(_number(word) is not None for word in words)


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _no_table(text: str, what: str = "npu-smi printed no device table") -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)] or lines[:1] or ["nothing at all"]
    # the first complaint is about the driver's log level; the last one names the cause
    return (
        f"{what} but: {complaints[-1]!r}. Usual causes: another container holds the device, the driver's folders "
        "are not mounted where they belong, or the container lacks the device files or --privileged"
    )
