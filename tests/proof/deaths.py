"""Kill acceptance runs at random moments and look for what they leave; exit code 1 when anything is left.

`python tests/proof/deaths.py --times 25 --engine real --mode slow --death KILL`: the real engine is the control on
this machine's CPU, the stand-in a scripted one that starts at once; `--mode slow` runs `-m "smoke or slow"` with a
short soak; without `--death` all of DEATHS come in turn. The moment of a death is a number of lines in a file of the
run, drawn from --seed, not a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from vlm_acceptance.engine.port import free_port, holders, is_open, named
from vlm_acceptance.engine.process import RUN_TAG, tagged_processes

PROOF = Path(__file__).resolve().parent
ROOT = PROOF.parents[1]
ENDS_WITHIN_S = 10.0
TEARDOWN_S = 60.0
REACHED_WITHIN_S = 600.0
# a kill at the last line of a file might come after the end of the run
MOST = 0.9
TOO_LATE = "the run had ended"
NEVER = "the run never reached the moment"
LOG, EXCHANGES, RESULTS = "server.log", "exchanges.jsonl", "results.jsonl"
PHASES = ("", LOG, EXCHANGES, RESULTS)
# who gets which signal: pytest, the supervisor of the engine, or the guard of that; if pytest is not to die, it is
# killed when everything else has ended
PYTEST, SUPERVISOR, GUARD = "pytest", "supervisor.py", "guard.py"
DEATHS = {
    "KILL": ((signal.SIGKILL, PYTEST),),
    "TERM": ((signal.SIGTERM, PYTEST),),
    "INT": ((signal.SIGINT, PYTEST),),
    "KILL supervisor": ((signal.SIGKILL, SUPERVISOR),),
    "KILL guard": ((signal.SIGKILL, GUARD),),
    "KILL both": ((signal.SIGKILL, PYTEST), (signal.SIGKILL, SUPERVISOR)),
    "KILL both, guard first": ((signal.SIGKILL, GUARD), (signal.SIGKILL, PYTEST)),
    "STOP supervisor, KILL": ((signal.SIGSTOP, SUPERVISOR), (signal.SIGKILL, PYTEST)),
    "STOP guard, KILL": ((signal.SIGSTOP, GUARD), (signal.SIGKILL, PYTEST)),
    "STOP both, KILL": ((signal.SIGSTOP, SUPERVISOR), (signal.SIGSTOP, GUARD), (signal.SIGKILL, PYTEST)),
    "STOP pytest, KILL supervisor": ((signal.SIGSTOP, PYTEST), (signal.SIGKILL, SUPERVISOR)),
}
ORDERLY = ("TERM", "INT")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a run: `lines` in one of its files (0: the file exists; no file: at once), then `after_s` seconds."""

    file: str
    lines: int = 0
    after_s: float = 0.0

    def reached(self, folder: Path) -> bool:
        """Whether the run of this folder has reached these lines; `after_s` is not counted."""
        files = folder.glob(f"reports/runs/*/{self.file}") if self.file else ()
        return not self.file or any(path.read_bytes().count(b"\n") >= self.lines for path in files)

    def __str__(self) -> str:
        return f"{self.file or 'start'}{f':{self.lines}' if self.lines else ''} +{self.after_s:.2f} s"


# the end of a phase that is counted in seconds
NEXT = {"": Moment(LOG), LOG: Moment(EXCHANGES, 1)}


@dataclass(frozen=True, slots=True)
class Whole:
    """An undisturbed run: seconds until its engine log and its first exchange exist, lines of its files."""

    starting_s: float
    loading_s: float
    exchanges: int
    results: int


# lower bounds for a smoke run of the stand-in on a fast machine
STAND_IN = Whole(starting_s=0.6, loading_s=0.0, exchanges=40, results=40)


@dataclass(frozen=True, slots=True)
class Kill:
    """One of DEATHS, whether its signal is sent twice, and when."""

    name: str
    twice: bool
    at: Moment


@dataclass(frozen=True, slots=True)
class Death:
    """A run that was killed: its last output, its exit code, seconds until everything was gone, and what was left."""

    kill: Kill
    stage: str
    code: int | None
    gone_s: float
    results: int
    left: tuple[str, ...]

    @property
    def missed(self) -> bool:
        """Whether the kill did not come at its moment; such a death proves nothing."""
        return self.stage.startswith((TOO_LATE, NEVER))


def kills(times: int, names: Sequence[str], whole: Whole, seed: int) -> Iterator[Kill]:
    """`times` kills with deaths and phases in turn; every other SIGTERM and SIGINT is sent twice."""
    draw = random.Random(seed)
    for number in range(times):
        name = names[number % len(names)]
        twice = name in ORDERLY and (number // len(names)) % 2 == 1
        # every death meets every phase
        phase = PHASES[(number + number // math.lcm(len(names), len(PHASES))) % len(PHASES)]
        yield Kill(name, twice, moment(phase, draw.random() * MOST, whole))


def moment(phase: str, share: float, whole: Whole) -> Moment:
    """The moment at this share of a phase."""
    if phase in ("", LOG):
        return Moment(phase, 0, round(share * (whole.loading_s if phase else whole.starting_s), 2))
    return Moment(phase, 1 + int(share * (whole.exchanges if phase == EXCHANGES else whole.results)))


def die(kill: Kill, engine: str, folder: Path, mode: str = "smoke") -> Death:
    """Start a run, kill it, and wait until everything it started has ended."""
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "out.txt").open("wb") as out:
        run = subprocess.Popen(
            argv(engine, folder, port, mode),
            cwd=ROOT,
            env=environment(),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    came = wait_for(kill.at, folder, run)
    stage = last_line(folder / "out.txt") if came else NEVER
    stage = TOO_LATE if run.poll() is not None else stage
    tree = started_by(run.pid)
    send(run, kill, tree)
    survivors: list[str] = []
    if not dies(kill):
        survivors = [f"process {one.pid} beside a living pytest" for one in ended_late(tree)]
        run.kill()
    try:
        run.wait(TEARDOWN_S)
    except subprocess.TimeoutExpired:
        stage += " (it did not end after the signal)"
    began = time.monotonic()
    while (left := leftovers(run.pid, tree, port)) and time.monotonic() < began + ENDS_WITHIN_S:
        time.sleep(0.1)
    gone_s = time.monotonic() - began
    if run.poll() is None:
        run.kill()
        run.wait()
    lines, broken = results(folder)
    jobs = [path.name for path in folder.glob("reports/runs/*/offline-job.json")]
    return Death(kill, stage, run.returncode, gone_s, lines, (*survivors, *left, *broken, *jobs))


def wait_for(moment: Moment, folder: Path, run: subprocess.Popen[bytes]) -> bool:
    """Wait until a run has reached the moment or has ended; True when it was reached. `after_s` ends with the phase."""
    until = time.monotonic() + REACHED_WITHIN_S
    while not (came := moment.reached(folder)) and run.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    until = time.monotonic() + moment.after_s
    while came and time.monotonic() < until and run.poll() is None and not NEXT[moment.file].reached(folder):
        time.sleep(0.01)
    return came


def send(run: subprocess.Popen[bytes], kill: Kill, tree: Sequence[psutil.Process]) -> None:
    """Send the signals of a death; SIGINT goes to the process group, as a terminal sends it."""
    for _ in range(2 if kill.twice else 1):
        for number, victim in DEATHS[kill.name]:
            if victim == PYTEST:
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if kill.name == "INT" else os.kill)(run.pid, number)
            for process in tree if victim != PYTEST else ():
                with contextlib.suppress(psutil.Error):
                    if any(word.endswith(f"engine/{victim}") for word in process.cmdline()):
                        process.send_signal(number)
        time.sleep(0.3 if kill.twice else 0)


def dies(kill: Kill) -> bool:
    """Whether pytest ends by this death."""
    return any(victim == PYTEST and number != signal.SIGSTOP for number, victim in DEATHS[kill.name])


def ended_late(tree: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Processes that still live ENDS_WITHIN_S after now."""
    until = time.monotonic() + ENDS_WITHIN_S
    while (left := [process for process in tree if lives(process)]) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def argv(engine: str, folder: Path, port: int, mode: str = "smoke") -> list[str]:
    """The command line of a run; `slow` selects smoke and slow tests with a short soak."""
    base = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--vlm-profile=control-cpu"]
    base += ["-m", "smoke or slow", "--vlm-soak-s=3"] if mode == "slow" else ["-m", "smoke"]
    base += [f"--vlm-port={port}", f"--vlm-reports={folder / 'reports'}"]
    return base if engine == "real" else [*base, f"--vlm-engine={stand_in(folder)}", "--vlm-set=offline.enabled=false"]


def environment() -> dict[str, str]:
    """This environment without variables of an outer run; the stand-in gets a child that survives its SIGKILL."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_"))}
    return {**clean, "VLM_STANDIN": "two-processes"}


def stand_in(folder: Path) -> Path:
    """An executable `vllm` that runs the scripted engine."""
    path = folder / "vllm"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{PROOF}/standins/scripted_engine.py' \"$@\"\n", "utf-8")
    path.chmod(0o755)
    return path


def started_by(pid: int) -> list[psutil.Process]:
    """All descendants of a run at this moment, with or without its run tag."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def leftovers(pid: int, tree: Sequence[psutil.Process], port: int) -> list[str]:
    """Processes, temporary folders and the open port of a run."""
    living = {process.pid: process for process in (*tree, *tagged_by(pid)) if lives(process)}
    left = [f"process {number}" for number in sorted(living)]
    for note in Path(tempfile.gettempdir()).glob("vlma-*/.run"):
        with contextlib.suppress(OSError):
            if note.read_text("utf-8").startswith(f"{pid}-"):
                left.append(str(note.parent))
    return left + ([f"port {port} held by {named(holders(port))}"] if is_open(port) else [])


def tagged_by(pid: int) -> list[psutil.Process]:
    """Processes with the run tag of the run that had this pid."""
    found = []
    for process in tagged_processes():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(RUN_TAG, "").startswith(f"{pid}-"):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    """Whether the process still exists and is not a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def results(folder: Path) -> tuple[int, list[str]]:
    """The number of results, and the lines of results and exchanges that are not JSON."""
    count, broken = 0, []
    for name in (RESULTS, EXCHANGES):
        for path in folder.glob(f"reports/runs/*/{name}"):
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                count += name == RESULTS
                try:
                    json.loads(line)
                except ValueError:
                    broken.append(f"{path.name}:{number} is not JSON")
    return count, broken


def whole_run(engine: str, folder: Path, mode: str) -> Whole:
    """Measure an undisturbed run under the present load of this machine."""
    folder.mkdir(parents=True)
    began = time.monotonic()
    with (folder / "out.txt").open("wb") as out:
        words = argv(engine, folder, free_port(), mode)
        run = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=out, stderr=out)
    wait_for(Moment(LOG), folder, run)
    starting_s = time.monotonic() - began
    wait_for(Moment(EXCHANGES, 1), folder, run)
    loading_s = time.monotonic() - began - starting_s
    run.wait()
    counts = [
        sum(path.read_bytes().count(b"\n") for path in folder.glob(f"reports/runs/*/{name}"))
        for name in (EXCHANGES, RESULTS)
    ]
    return Whole(starting_s, loading_s, *counts)


def next_run_starts(folder: Path) -> bool:
    """Whether a later run gets its engine ready."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [*argv("stand-in", folder, free_port()), "tests/acceptance/test_health.py", "-k", "readiness"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    (folder / "out.txt").write_text(done.stdout + done.stderr, "utf-8")
    return done.returncode == 11 and "failed" not in done.stdout  # narrowed: no failure, no acceptance


def last_line(path: Path) -> str:
    """The last line of output of a run."""
    lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output yet"


def row(number: int, death: Death) -> str:
    """One line of the table."""
    kill = f"{death.kill.name}{' x2' if death.kill.twice else ''}"
    left = "; ".join(death.left) or "nothing"
    cells = (f"{number:>3}", f"{kill:<28}", f"{death.kill.at!s:<28}", f"{death.code!s:>5}", f"{death.gone_s:>6.1f}")
    return "  ".join((*cells, f"{death.results:>7}", f"{left:<10}", death.stage[:60]))


def main() -> int:
    """Print the table; 1 when anything was left, a kill came too late or the next run does not start."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--engine", choices=["stand-in", "real"], default="stand-in")
    parser.add_argument("--mode", choices=["smoke", "slow"], default="smoke")
    parser.add_argument("--death", choices=[*DEATHS, "all"], default="all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    names = list(DEATHS) if given.death == "all" else [given.death]
    bad = late = 0
    print("  #  death                         when                           code  gone_s  results  left        stage")
    with tempfile.TemporaryDirectory(prefix="deaths-") as place:
        whole = whole_run(given.engine, Path(place) / "whole", given.mode)
        for number, kill in enumerate(kills(given.times, names, whole, given.seed), start=1):
            death = die(kill, given.engine, Path(place) / str(number), given.mode)
            bad += bool(death.left)
            late += death.missed
            print(row(number, death), flush=True)
        starts = next_run_starts(Path(place) / "next")
    print(f"undisturbed run: {whole}; {late} kills came too late")
    print(f"{given.times - bad} of {given.times} left nothing; the next run {'starts' if starts else 'DOES NOT START'}")
    return 1 if bad or late or not starts else 0


if __name__ == "__main__":
    sys.exit(main())
