"""What can be known of a machine and a profile before an engine starts. Nothing is started, downloaded or reserved."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from packaging.version import Version

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile_file import Loaded
from vlm_acceptance.core.errors import DeviceProblem, EnvironmentProblem, PortTaken
from vlm_acceptance.core.files import expanded
from vlm_acceptance.engine import device as devices
from vlm_acceptance.engine import installation, machine, tiling, weights
from vlm_acceptance.engine.device import DeviceState
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING, Line, Probe, judged
from vlm_acceptance.engine.preflight import Preflight
from vlm_acceptance.engine.server import require_free_port

# each tool, so that a probe that asks one ends in its own time
TOOL_S = 4.0
PYTHONS = ((3, 10), (3, 12))
PYTEST = "8.2"
NPU_FOLDERS = "in a container mount /usr/local/Ascend/driver from the host"
# words of a problem of the card -> remedy
CARD_REMEDIES = {
    "already holds": "stop that, wait, or take another card with ASCEND_RT_VISIBLE_DEVICES=N",
    "the profile is for": "take the profile of this card, or set device.name and device.memory_mb",
    "chips and": "give the container more cards, or set device.count",
    "ended with code": "see dmesg on the host, and whether device files and driver are mounted here",
}
NO_CANN = "CANN was not found in /usr/local/Ascend: take the image of vllm-ascend, or install CANN"


def of_suite(reports: Path, env: Mapping[str, str], needed_gib: int) -> list[Probe]:
    """Probes of what every run needs, launched or attached."""
    return [
        Probe("suite", _suite),
        Probe("reports", lambda: _reports(reports)),
        Probe("open files", _open_files),
        Probe("address space", lambda: _address_space(needed_gib)),
        Probe("threads", lambda: judged("threads", machine.thread_problems(machine.THREADS), "enough", WARNING)),
        Probe("proxies", lambda: _proxies(env)),
    ]


class LaunchDoctor:
    """Probes of what the engine of a profile needs on this machine; `chosen` is why it is this profile."""

    def __init__(
        self, loaded: Loaded, chosen: str, api_key: str | None, env: Mapping[str, str], root: Path = Path("/")
    ) -> None:
        self.loaded = loaded
        self.profile = loaded.profile
        self.chosen = chosen
        self.api_key = api_key
        self.env = env
        self.root = root
        self.preflight = Preflight(self.profile, ROOT, env, lambda _: None, TOOL_S)
        self._sources_work = True

    def probes(self) -> list[Probe]:
        """All of them; what a later one needs an earlier one finds."""
        found: list[tuple[str, Callable[[], Iterable[Line]]]] = [
            ("profile", self.of_profile),
            ("environment", self.of_environment),
            ("engine", self.of_engine),
            ("device", self.of_device),
        ]
        if self.profile.device.kind == "npu":
            found += [("driver", self.of_driver), ("cann", self.of_cann), ("image", self.of_image)]
            found += [("locked memory", self.of_locked_memory)]
        found += [("shared memory", self.of_shared_memory), ("port", self.of_port)]
        found += [("weights", self.of_weights), ("tiles", self.of_tiles)]
        return [Probe(check, find) for check, find in found]

    def of_profile(self) -> Iterator[Line]:
        """It was read and checked; former names of keys, and facts left out."""
        yield Line("profile", OK, f"{self.profile.name} ({self.chosen})")
        yield from (Line("profile", WARNING, note) for note in self.loaded.notes)

    def of_environment(self) -> Iterator[Line]:
        """The scripts of the profile can be sourced."""
        wanted = self.profile.engine.source
        self._sources_work = False
        _ = self.preflight.env
        self._sources_work = True
        here = [script for script in wanted if expanded(script).is_file()]
        if missing := [script for script in wanted if script not in here]:
            problem = f"{', '.join(missing)} does not exist"
            if self.profile.device.kind == "npu":
                problem += (
                    ", and without CANN no NPU can be used: take the image of vllm-ascend, or correct engine.source"
                )
            else:
                problem += ": see engine.source"
            yield Line("environment", WARNING, problem)
        else:
            yield Line(
                "environment",
                OK,
                f"sourced: {', '.join(here)}" if here else "as it is given: the profile names no script",
            )

    def of_engine(self) -> Iterator[Line]:
        """vLLM is found, in the versions of the profile."""
        self._require_environment()
        engine, wanted = self.preflight.engine, self.profile.versions
        shown = ", ".join(f"{name} {version}" for name, version in list(engine.versions.items())[:6])
        yield Line("engine", OK, f"{' '.join(engine.command)} ({shown or 'its versions cannot be read'})")
        if engine.python is None:
            remedy = "name it with --vlm-engine-python=PATH"
            yield Line("versions", FAILURE, f"the interpreter behind {engine.command[0]} is not known: {remedy}")
            return
        problems = installation.version_problems(wanted, engine.versions)
        remedy = f"install it in {engine.python}, or name another interpreter with --vlm-engine-python=PATH"
        fine = "those of the profile" if wanted else "the profile expects none"
        yield from judged("versions", [f"{'; '.join(problems)}: {remedy}"] if problems else [], fine)

    def of_device(self) -> Iterator[Line]:
        """The card is that of the profile, healthy and free; no other run has reserved it."""
        self._require_environment()
        if self.profile.device.kind != "npu":
            yield from self._of_no_npu()
            return
        if users := self.preflight.card_users():
            yield from (Line("device", FAILURE, f"{user}: wait until it ends") for user in users)
        try:
            state = self.preflight.device
        except DeviceProblem as problem:
            yield Line("device", FAILURE, f"{problem}{_remedy_for(str(problem))}")
            return
        yield Line("device", OK, _card(state))
        for doubt in devices.impaired(state):
            yield Line("device", WARNING, f"{doubt}; the run asks it to calculate before it is used")
        for other in state.others:
            remedy = "it must not grow while the run measures: stop it, or wait"
            yield Line("device", WARNING, f"{other.name} (host pid {other.pid}) holds {other.memory_mb} MB: {remedy}")

    def of_driver(self) -> Iterator[Line]:
        """The driver's version file is where its folder is mounted."""
        version = machine.driver_version(self.root)
        missing = [] if version else [f"no version file of the NPU driver: {NPU_FOLDERS}"]
        yield from judged("driver", missing, f"{version}", WARNING)

    def of_cann(self) -> Iterator[Line]:
        """CANN is installed."""
        version = machine.cann_version(self.root)
        yield from judged("cann", [] if version else [NO_CANN], f"{version}", WARNING)

    def of_image(self) -> Iterator[Line]:
        """The container image is built for the chip."""
        try:
            env, name = self.preflight.env, self.preflight.device.name
        except EnvironmentProblem:
            yield _unexamined("image", "device")
            return
        soc = env.get("SOC_VERSION")
        yield from judged("image", machine.image_problems(env, name), f"SOC_VERSION={soc or '(not set)'}, chip {name}")

    def of_locked_memory(self) -> Iterator[Line]:
        """Several cards exchange data through locked memory."""
        problems = machine.locked_memory_problems() if self.profile.device.count > 1 else []
        yield from judged("locked memory", problems, "enough for this many cards", WARNING)

    def of_shared_memory(self) -> Iterator[Line]:
        """Processes of an engine exchange data there; one process needs none."""
        yield from judged("shared memory", machine.shared_memory_problems(), "large enough", WARNING)

    def of_port(self) -> Iterator[Line]:
        """Nothing listens where the server will."""
        engine = self.profile.engine
        if engine.port == 0:
            yield Line("port", OK, f"a free one of {engine.host} is taken")
            return
        try:
            require_free_port(self.profile, self.api_key, TOOL_S - 1)
        except PortTaken as held:
            yield Line("port", FAILURE, str(held))
        else:
            yield Line("port", OK, f"{engine.port} of {engine.host} is free")

    def of_weights(self) -> Iterator[Line]:
        """The model's folder is here and complete, or can be downloaded to where there is room."""
        folder = self.preflight.folder_here()
        if folder is None:
            yield from self._of_download()
            return
        found = weights.fingerprint(folder)
        size = f"{found.weights_bytes / 1e6:,.0f} MB of {found.dtype}, {found.parameters / 1e6:,.0f} million parameters"
        yield Line("weights", OK, f"{folder}: {size}, sampled sha256 {found.weights_sampled_sha256[:12]}")

    def of_tiles(self) -> Iterator[Line]:
        """The profile does not contradict the tiles of the model's config.json."""
        pictures = self.profile.model.pictures
        try:
            folder = None if pictures.oracle == "none" else self.preflight.folder_here()
        except EnvironmentProblem:
            yield _unexamined("tiles", "weights")
            return
        if folder is None:
            yield Line("tiles", OK, "nothing to compare: no oracle in the profile, or no folder yet")
            return
        args = self.profile.engine.args
        problems = tiling.contradictions(pictures, tiling.served_tiling(folder, args), args)
        yield from judged("tiles", [f"{problem}: correct the profile" for problem in problems], "those of config.json")

    def _require_environment(self) -> None:
        if not self._sources_work:
            raise EnvironmentProblem("not examined: it needs the environment, see above")

    def _of_no_npu(self) -> Iterator[Line]:
        state = self.preflight.device
        yield Line("device", OK, f"{state.name or 'none'}, {os.cpu_count()} processors, {_memory_gib()}")
        if self.profile.device.kind == "cpu" and (sign := devices.npu_sign(self.root, self.env)):
            remedy = "for the card take --vlm-profile=internvl2-2b-ascend or your own"
            yield Line("device", WARNING, f"the profile is for the CPU, and an NPU was detected ({sign}): {remedy}")

    def _of_download(self) -> Iterator[Line]:
        model = self.profile.model
        cache = expanded(self.env.get("MODELSCOPE_CACHE") or Path.home() / ".cache/modelscope")
        where = f"{model.id} is not on this machine: the run downloads it from ModelScope to {cache}"
        problems = machine.disk_problems(cache, int(1.1 * (model.weights_bytes or 0)))
        try:
            has_client = "modelscope" in self.preflight.engine.versions
        except EnvironmentProblem:
            has_client = True  # reported as that of the engine
        if not has_client:
            problems.append(
                f"{where}, and its interpreter lacks the package modelscope: --vlm-model=PATH names a folder"
            )
        yield from (Line("weights", FAILURE, problem) for problem in problems)
        if not problems:
            remedy = "needs a network; --vlm-model=PATH names a folder that has it"
            yield Line("weights", WARNING, f"{where}, which {remedy}")


def _unexamined(check: str, needed: str) -> Line:
    return Line(check, WARNING, f"not examined: it needs the {needed}, see above")


def _suite() -> Iterator[Line]:
    """The interpreter and pytest; vLLM may be in another interpreter."""
    lowest, highest = (".".join(map(str, version)) for version in PYTHONS)
    problems = []
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        problems.append(f"python {platform.python_version()} at {sys.executable}: take one of {lowest} to {highest}")
    found = {name: _version(name) for name in ("pytest", "pytest-timeout")}
    if missing := [name for name, version in found.items() if version is None]:
        problems.append(f"{', '.join(missing)} is not installed in {sys.executable}: pip install {' '.join(missing)}")
    elif Version(found["pytest"] or "0") < Version(PYTEST):
        problems.append(f"pytest is {found['pytest']}, at least {PYTEST} is needed: pip install 'pytest>={PYTEST}'")
    yield from judged(
        "suite", problems, f"python {platform.python_version()} ({sys.executable}), pytest {found['pytest']}"
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _open_files() -> list[Line]:
    needed = machine.OPEN_FILES
    return judged("open files", machine.open_file_problems(needed), f"{_limit(resource.RLIMIT_NOFILE)} may be open")


def _address_space(needed_gib: int) -> list[Line]:
    problems = machine.address_space_problems(needed_gib)
    return judged("address space", problems, f"{_limit(resource.RLIMIT_AS)} bytes a process")


def _limit(which: int) -> str:
    soft, _ = resource.getrlimit(which)
    return "any number of" if soft == resource.RLIM_INFINITY else f"{soft}"


def _reports(folder: Path) -> Iterator[Line]:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    problems = machine.disk_problems(folder, machine.REPORT_BYTES)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        problems.append(f"{there} cannot be written to: name another folder with --vlm-reports=DIR")
    free = shutil.disk_usage(there).free / 1e9
    yield from judged("reports", problems, f"{folder}, {free:.0f} GB free")


def _proxies(env: Mapping[str, str]) -> list[Line]:
    named = ", ".join(machine.proxies(env))
    fine = f"{named}; not for this machine" if named else "none is set"
    return judged("proxies", machine.loopback_proxy_problems(env), fine, WARNING)


def _remedy_for(problem: str) -> str:
    return "".join(f"; {remedy}" for words, remedy in CARD_REMEDIES.items() if words in problem)


def _card(state: DeviceState) -> str:
    free = None if state.used_mb is None or state.total_mb is None else state.total_mb - state.used_mb
    memory = "memory not shown" if free is None else f"{free} of {state.total_mb} MB free"
    chips = ", ".join(f"NPU {chip.npu} chip {chip.chip} ({chip.health})" for chip in state.chips)
    return f"{len(state.chips)} x {state.name}: {chips}, {memory}, {state.detail}"


def _memory_gib() -> str:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / machine.GIB:.0f} GiB of memory"
