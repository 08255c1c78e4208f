#!/usr/bin/env -S python3 -I -S
"""A stand-in for `npu-smi` whose memory column follows the life of an engine. Link it as `npu-smi` on PATH.

`info` and `info -m` are answered in the real tool's layouts. It is steered by the environment:
NPU_SMI_VARIANT     910b (default), wide (26.x), a3, 910a, 310p, failed (no table), silent (never answers)
NPU_SMI_CHIPS       how many chips, default 1
NPU_SMI_BASE_MB     what an idle chip shows, default 3161
NPU_SMI_MARKER      text in the command line of the engine; while such a process lives, chip 0 holds more
NPU_SMI_ENGINE_MB   by this much, default 20000
NPU_SMI_LAG_S       for this long after the engine is gone, default 0; needs NPU_SMI_STATE
NPU_SMI_LEAK        1: for ever after; needs NPU_SMI_STATE
NPU_SMI_STATE       file in which the stand-in remembers when it last saw the engine
NPU_SMI_HIDE        1: the process table stays empty, as in most containers
NPU_SMI_HEALTH      what chip 0 reports, default OK
NPU_SMI_GROW_MB_S   chip 0 holds this much more each second since its engine was first seen; needs NPU_SMI_STATE
NPU_SMI_OTHERS      foreign processes of chip 0, `pid:name:mb,...`; their memory is counted too
"""

import os
import sys
import time

NAMES = {"910b": "910B3", "wide": "910B3", "a3": "Ascend910", "910a": "910A", "310p": "310P3"}
TOTALS = {"910a": 32768, "310p": 44280}
VERSIONS = {"910b": "25.0.rc1.2", "wide": "26.0.rc2", "a3": "24.1.rc3.5", "910a": "23.0.rc2", "310p": "24.1.rc2"}
# Widths of the three columns, and of the fields inside the last one.
COLUMNS = {"wide": (27, 15, 70), "310p": (31, 17, 54)}
FIELDS = {"wide": (21, 24, 24), "310p": (13, 18, 22)}


def main(arguments: list[str]) -> int:
    variant = os.environ.get("NPU_SMI_VARIANT", "910b")
    if variant == "silent":
        time.sleep(3600)
    if variant == "failed":
        # the real tool also writes this to standard output
        print("DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi module initialize failed. ret is -8005")
        return 255
    if arguments == ["info", "-m"]:
        print(id_map(variant), end="")
    elif arguments == ["info"]:
        print(tables(variant), end="")
    else:
        print(f"Invalid parameter: {' '.join(arguments)}")
        return 1
    return 0


def chips(variant: str) -> list[tuple[int, int]]:
    count = int(os.environ.get("NPU_SMI_CHIPS", "1"))
    # Two dies share an NPU number on A3 and on the 310P Duo.
    return [(i // 2, i % 2) if variant in ("a3", "310p") else (i, 0) for i in range(count)]


def tables(variant: str) -> str:
    widths = COLUMNS.get(variant, (27, 15, 52))
    fields = FIELDS.get(variant, (12, 18, 22))
    single = "+" + "-" * (sum(widths) + 2) + "+"
    parted, double = ("+" + "+".join(sign * width for width in widths) + "+" for sign in "-=")
    engine_pid, engine_mb = engine()
    others = foreign()
    version = VERSIONS[variant]
    lines = [single, row((f"npu-smi {version:<24} Version: {version}",), (sum(widths) + 2,)), parted]
    lines += header(variant, widths, fields)
    lines.append(double)
    listed = chips(variant)
    for i, (npu, chip) in enumerate(listed):
        used = int(os.environ.get("NPU_SMI_BASE_MB", "3161"))
        used += engine_mb + sum(mb for _, _, mb in others) if i == 0 else 0
        health = os.environ.get("NPU_SMI_HEALTH", "OK") if i == 0 else "OK"
        lines += chip_rows(variant, i, npu, chip, used, health, widths, fields)
        same_npu = i + 1 < len(listed) and listed[i + 1][0] == npu
        lines.append((parted if variant == "310p" else single) if same_npu else double)
    if variant != "310p":
        lines += processes(
            variant, widths, [*others, *([(engine_pid, "VLLMEngineCor", engine_mb)] if engine_pid else [])]
        )
    return "\n".join(lines) + "\n"


def header(variant: str, widths: tuple[int, ...], fields: tuple[int, ...]) -> list[str]:
    second = {"a3": "Chip  Phy-ID", "310p": "Chip    Device"}.get(variant, "Chip")
    first = "NPU     Name" if variant == "310p" else "NPU   Name"
    upper = spread(("Power(W)", "Temp(C)", "Hugepages-Usage(page)"), fields)
    memory = ("AICore(%)", "Memory-Usage(MB)") + (() if variant == "310p" else ("HBM-Usage(MB)",))
    return [row((first, "Health", upper), widths), row((second, "Bus-Id", spread(memory, fields)), widths)]


def chip_rows(
    variant: str,
    i: int,
    npu: int,
    chip: int,
    used: int,
    health: str,
    widths: tuple[int, ...],
    fields: tuple[int, ...],
) -> list[str]:
    total = TOTALS.get(variant, 65536)
    gap = 8 if variant == "310p" else 6
    ids = f"{chip:<{gap}}{i}" if variant in ("a3", "310p") else str(chip)
    power = "NA" if variant == "310p" else "-" if chip else "93.6"
    memory = f"{used:<5}/ {total}"
    columns = {"310p": ("0", memory), "910a": ("0", "2280 / 15039", memory)}.get(variant, ("0", "0    / 0", memory))
    return [
        row((f"{npu:<{gap}}{NAMES[variant]}", health, spread((power, "40", "0    / 0"), fields)), widths),
        row((ids, f"0000:{0xC1 + i:02X}:00.0", spread(columns, fields)), widths),
    ]


def processes(variant: str, widths: tuple[int, ...], held: list[tuple[int, str, int]]) -> list[str]:
    last = sum(widths) - widths[0] - widths[1]
    parts = (widths[0], widths[1], 20, 23, last - 45) if variant == "wide" else (widths[0], widths[1], 26, last - 27)
    heads = ["NPU     Chip", "Process id", "Process name", "Process memory(MB)"]
    heads += ["Process id in container"] if variant == "wide" else []
    double = "+" + "+".join("=" * width for width in widths) + "+"
    lines = ["+" + "+".join("-" * width for width in widths) + "+", row(tuple(heads), parts), double]
    shown = [] if os.environ.get("NPU_SMI_HIDE") == "1" else held
    for npu in dict.fromkeys(npu for npu, _ in chips(variant)):
        for pid, name, mb in shown if npu == 0 else []:
            cells = ["0       0", str(pid), name, str(mb)] + (["NA"] if variant == "wide" else [])
            lines.append(row(tuple(cells), parts))
        if npu or not shown:
            lines.append(row((f"No running processes found in NPU {npu}",), (sum(widths) + 2,)))
        lines.append(double)
    return lines


def id_map(variant: str) -> str:
    heads = ["NPU ID", "Chip ID", "Chip Logic ID", *(["Chip Phy-ID"] if variant == "a3" else []), "Chip Name"]
    rows = [heads]
    for i, (npu, chip) in enumerate(chips(variant)):
        rows.append([str(npu), str(chip), str(i), *([str(i)] if variant == "a3" else []), NAMES[variant]])
    rows.append(["0", "2", "-", *(["-"] if variant == "a3" else []), "Mcu"])
    return "".join("\t" + "".join(f"{word:<31}" for word in words) + "\n" for words in rows)


def row(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    return "|" + "|".join(f" {cell}".ljust(width) for cell, width in zip(cells, widths, strict=True)) + "|"


def spread(cells: tuple[str, ...], fields: tuple[int, ...]) -> str:
    return "".join(cell.ljust(width) for cell, width in zip(cells, fields, strict=False)).rstrip()


def foreign() -> list[tuple[int, str, int]]:
    words = [word.split(":") for word in os.environ.get("NPU_SMI_OTHERS", "").split(",") if word]
    return [(int(pid), name, int(mb)) for pid, name, mb in words]


def engine() -> tuple[int, int]:
    """The pid of the engine, 0 after it ended, and the memory that chip 0 holds for it."""
    marker, state = os.environ.get("NPU_SMI_MARKER", ""), os.environ.get("NPU_SMI_STATE", "")
    pid = alive(marker.encode()) if marker else 0
    if pid:
        if state:
            with open(state, "w"):  # only its modification time is used
                pass
        return pid, held(state)
    if not state or not os.path.exists(state):
        return 0, 0
    late = time.time() - os.path.getmtime(state) < float(os.environ.get("NPU_SMI_LAG_S", "0"))
    return 0, held(state) if late or os.environ.get("NPU_SMI_LEAK") == "1" else 0


def held(state: str) -> int:
    """The memory of a living engine."""
    memory = int(os.environ.get("NPU_SMI_ENGINE_MB", "20000"))
    speed = float(os.environ.get("NPU_SMI_GROW_MB_S", "0"))
    if not speed or not state:
        return memory
    first = state + ".first"
    if not os.path.exists(first):
        with open(first, "w"):
            pass
    return memory + int(speed * (time.time() - os.path.getmtime(first)))


def alive(marker: bytes) -> int:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if marker in file.read():  # empty for a zombie
                        return int(name)
            except OSError:
                continue  # ended meanwhile
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
