"""Properties of the host or container that an engine needs; each problem comes with its remedy."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path

GIB = 1 << 30
# what a run needs: files and sockets at once, bytes for its reports, threads of suite and engine
OPEN_FILES, REPORT_BYTES, THREADS = 256, 200_000_000, 512
# address space: of a process with 64 threads; of an engine, which reserves much more than it uses
ATTACHED_GIB, LAUNCHED_GIB = 2, 8
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - read only
# vllm-ascend's FAQ names these
_REPEATABLE = {
    "LCCL_DETERMINISTIC": "1",
    "HCCL_DETERMINISTIC": "true",
    "ATB_MATMUL_SHUFFLE_K_ENABLE": "0",
    "ATB_LLM_LCOC_ENABLE": "0",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def shared_memory_problems(folder: Path = _SHARED_MEMORY, needed_bytes: int = GIB) -> list[str]:
    """Engine processes exchange tensors in `folder`: its total size must be `needed_bytes`."""
    try:
        total = shutil.disk_usage(folder).total
    except OSError as broken:
        return [f"{folder} cannot be read ({broken}): engine processes exchange data there"]
    if total >= needed_bytes:
        return []
    sizes = f"{total / GIB:.2g} GiB, {needed_bytes / GIB:.2g} are needed"
    return [f"{folder} has {sizes}: start the container with --shm-size=1g"]


def open_file_problems(needed: int, limit: int | None = None) -> list[str]:
    """`needed` files and sockets must be allowed; `limit` defaults to the soft limit of this process."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return []
    return [f"only {soft} files may be open, {needed} are needed: `ulimit -n {max(needed, 65536)}`"]


def address_space_problems(needed_gib: int, limit: int | None = None) -> list[str]:
    """`needed_gib` of address space must be allowed; `limit` in bytes defaults to the soft limit of this process."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY or soft >= needed_gib * GIB:
        return []
    return [f"the address space is limited to {soft >> 10} KiB, {needed_gib} GiB are needed: `ulimit -v unlimited`"]


def locked_memory_problems(limit: int | None = None) -> list[str]:
    """Cards that exchange data lock their buffers in memory; `limit` defaults to the soft limit of this process."""
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY or soft >= GIB:
        return []
    return [f"only {soft >> 10} KiB may be locked in memory: start the container with --ulimit memlock=-1"]


def thread_problems(needed: int, root: Path = Path("/"), limit: int | None = None) -> list[str]:
    """`needed` more threads must be allowed: by the container, and by the user's limit (`limit`, for all of them)."""
    most, now = (_entry_number(root / "sys/fs/cgroup" / name) for name in ("pids.max", "pids.current"))
    if most is not None and now is not None and most - now < needed:
        left = f"the container may start {max(0, most - now)} more threads of its {most}, {needed} are needed"
        return [f"{left}: start it with --pids-limit=-1"]
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return []
    return [f"the user may have {soft} threads, {needed} are needed: `ulimit -u unlimited`"]


def proxies(env: Mapping[str, str]) -> list[str]:
    """The variables that set a proxy."""
    return sorted(name for name in env if name.lower() in _PROXIES and env[name])


def loopback_proxy_problems(env: Mapping[str, str]) -> list[str]:
    """Tools other than the suite and its engine would ask even this machine through a proxy."""
    words = {word.strip() for name in ("NO_PROXY", "no_proxy") for word in env.get(name, "").split(",")}
    missing = [name for name in _LOOPBACK[:2] if name not in words and "*" not in words]
    if not proxies(env) or not missing:
        return []
    through = f"{', '.join(proxies(env))} without {', '.join(missing)} in no_proxy"
    remedy = f"for curl and clients: export no_proxy={','.join(sorted(words - {''}) + missing)}"
    return [f"{through}: the suite and its engine use no proxy for this machine; {remedy}"]


def with_loopback_no_proxy(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of `env` in which loopback addresses use no proxy; other exceptions are kept."""
    words = [word.strip() for name in ("NO_PROXY", "no_proxy") for word in env.get(name, "").split(",")]
    merged = ",".join(dict.fromkeys(word for word in (*words, *_LOOPBACK) if word))
    return {**env, "NO_PROXY": merged, "no_proxy": merged}


def disk_problems(folder: Path, needed_bytes: int) -> list[str]:
    """`needed_bytes` must be free where `folder` is or will be created."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    if free >= needed_bytes:
        return []
    sizes = f"{free / 1e9:.1f} GB free, {needed_bytes / 1e9:.1f} GB are needed"
    return [f"{there} has {sizes}: free some or choose another"]


def limit_problems(reports: Path) -> list[str]:
    """What keeps any run from its end: too few open files, or too little disk space for its reports."""
    return open_file_problems(OPEN_FILES) + disk_problems(reports, REPORT_BYTES)


def cann_version(root: Path = Path("/")) -> str | None:
    """The version of CANN; None when it is not installed."""
    folder, name = root / "usr/local/Ascend", "*-linux/ascend_toolkit_install.info"
    places = ("ascend-toolkit/latest", "cann", "cann-*", "ascend-toolkit/*")
    versions = (_entry(info, "version") for place in places for info in sorted(folder.glob(f"{place}/{name}")))
    return next(filter(None, versions), None)


def driver_version(root: Path = Path("/")) -> str | None:
    """The version of the NPU driver; None when its file is not mounted."""
    return _entry(root / "usr/local/Ascend/driver/version.info", "version")


def image_problems(env: Mapping[str, str], chip_name: str) -> list[str]:
    """The container image (SOC_VERSION of its environment) must be built for the chip that npu-smi names."""
    built_for = _generation_of_soc(env.get("SOC_VERSION", ""))
    found = _generation_of_chip(chip_name)
    if not built_for or not found or built_for == found:
        return []
    suffix = {"A2": "no suffix", "A3": "the suffix -a3", "310P": "the suffix -310p"}[found]
    built = f"the image is built for {built_for} (SOC_VERSION={env['SOC_VERSION']})"
    return [f"{built} and the chip is {chip_name}, which is {found}: take the image tag with {suffix}"]


def allocator_problems(env: Mapping[str, str]) -> list[str]:
    """PYTORCH_NPU_ALLOC_CONF must not disable the setting that keeps memory from growing."""
    conf = env.get("PYTORCH_NPU_ALLOC_CONF", "")
    if "max_split_size_mb" not in conf:
        return []
    # torch-npu does not accept both, so vllm-ascend leaves out its own setting when it finds this one
    lost = "displaces vllm-ascend's expandable_segments:True, which ended a memory creep with pictures"
    return [f"PYTORCH_NPU_ALLOC_CONF={conf} {lost}: unset it unless the deployment means it"]


def allocator_named(env: Mapping[str, str]) -> str:
    """The allocator of an NPU, for a finding about its memory."""
    conf = env.get("PYTORCH_NPU_ALLOC_CONF", "")
    if "max_split_size_mb" not in conf:
        return f"allocator: PYTORCH_NPU_ALLOC_CONF={conf}" if conf else "allocator: vllm-ascend's default"
    return f"allocator: PYTORCH_NPU_ALLOC_CONF={conf}, without expandable_segments: try without it"


def determinism_notes(env: Mapping[str, str]) -> list[str]:
    """Which settings that vllm-ascend names for repeatable answers the environment of an NPU lacks."""
    missing = [f"{name}={value}" for name, value in _REPEATABLE.items() if env.get(name, "").lower() != value]
    if not missing:
        return []
    return [f"greedy answers may differ from run to run, because the deployment does not set {', '.join(missing)}"]


def _entry_number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text("ascii").strip())
    return None


def _entry(path: Path, key: str) -> str | None:
    with contextlib.suppress(OSError):
        pairs = (line.partition("=") for line in path.read_text("utf-8", "replace").splitlines())
        return next((value.strip() for name, _, value in pairs if name.strip().lower() == key), None)
    return None


def _generation_of_soc(soc: str) -> str | None:
    soc = soc.lower()
    known = {"ascend910b": "A2", "910b": "A2", "ascend910_93": "A3", "910c": "A3", "ascend310p": "310P", "310p": "310P"}
    return next((name for start, name in known.items() if soc.startswith(start)), None)


def _generation_of_chip(name: str) -> str | None:
    # an A3 die has only the family name
    known = {"A2": r"(Ascend ?)?910B\d.*", "A3": r"Ascend ?910|(Ascend ?)?910(C|_93\d\d)", "310P": r"(Ascend ?)?310P.*"}
    return next((kind for kind, pattern in known.items() if re.fullmatch(pattern, name, re.IGNORECASE)), None)
