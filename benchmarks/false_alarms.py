"""Clean smoke runs of the control under conditions that are not its fault; exit code 1 when a run is refused.

Every run must be accepted; on a busy machine it may instead be inconclusive if each error names the wait for a
processor. The exit code is also 1 when a condition is not possible here and `--without NAME` does not leave it out.

`python benchmarks/false_alarms.py` makes 20 runs, one after the other, each from a copy of this checkout; `--runs N`
makes N of them, one condition after another; `--only NAME` only those of a condition. For a run that is not accepted
the tests that refused it are printed, and for every run how busy the machine was. As root it also runs as `nobody`;
`--old-pytest DIR` is a folder into which `pip install --target DIR "pytest==8.2.*"` has put the older pytest. Locales
must be among those of `locale -a`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv*", "reports", "__pycache__", ".*_cache")
NOBODY = "65534"
UNDECIDED = 11
WAIT = re.compile(r"machine busy: \d+ ms of \d+ ms waiting for a processor")
MACHINE = "the machine while latency was measured"
DEAD = "http://127.0.0.1:9"
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
HOLD = "import time\nheld = bytearray(b'x') * {}\ntime.sleep(100000)"
SYNC = (
    "import os, sys\npath = sys.argv[1]\nwhile True:\n    with open(path, 'wb') as file:\n        for _ in range(16):\n"
    "            file.write(os.urandom(1 << 20)); file.flush(); os.fsync(file.fileno())\n"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What differs in a run: its environment, umask, the name of its folder, its user, what runs at the same time.

    On a `busy` machine a time may be undecided.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    umask: int = -1
    folder: str = "checkout"
    user: str = ""
    beside: Sequence[str] = ()
    old_pytest: bool = False
    busy: bool = False


PROXIES = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), DEAD)
# empty, so that the proxies hold for loopback too
PROXIES |= {"NO_PROXY": "", "no_proxy": ""}
CONDITIONS = (
    Condition("both cores busy", beside=(BUSY, BUSY), busy=True),
    Condition("four busy loops", beside=(BUSY,) * 4, busy=True),
    Condition("idle"),
    Condition("half the memory taken", beside=("memory",)),
    Condition("slow disk", beside=("disk",)),
    Condition("LC_ALL=C", env={"LC_ALL": "C", "LANG": "C"}),
    Condition("LC_ALL=POSIX", env={"LC_ALL": "POSIX"}),
    Condition("LANG=zh_CN.UTF-8", env={"LANG": "zh_CN.UTF-8", "LANGUAGE": "zh_CN"}),
    Condition("LC_ALL=tr_TR.UTF-8", env={"LC_ALL": "tr_TR.UTF-8"}),
    Condition("TZ=Pacific/Chatham", env={"TZ": "Pacific/Chatham"}),
    Condition("umask 077", umask=0o077),
    Condition("umask 000", umask=0),
    Condition("dead proxies", env=PROXIES),
    Condition("spaces and Chinese in the path", folder="a check out 验收 套件"),
    Condition("an ordinary user", user=NOBODY),
    Condition("pytest 8.2", old_pytest=True),
)


def copied(place: Path, condition: Condition) -> Path:
    """A copy of this checkout for a run under `condition`."""
    root = place / condition.folder
    shutil.copytree(ROOT, root, ignore=LEFT_BEHIND, symlinks=True)
    if condition.user:
        for path in (place, root, *root.rglob("*")):
            os.chown(path, int(condition.user), int(condition.user), follow_symlinks=False)
    return root


def memory_bytes() -> int:
    """Bytes of memory that may be used: the machine's, or a lower limit of the control group or of a parent of it."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            base, name = Path("/sys/fs/cgroup"), "memory.max"
            if "memory" in kinds.split(","):  # version 1
                base, name = base / "memory", "memory.limit_in_bytes"
            group = base / path.lstrip("/")
            for folder in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # not there, or `max`
                    limits.append(int((folder / name).read_text("utf-8")))
    return min(limits)


def lacking(condition: Condition, old_pytest: Path | None) -> str:
    """Why a condition is not possible on this machine, or ''."""
    if condition.old_pytest and old_pytest is None:
        return "no --old-pytest"
    if condition.user and os.getuid() != 0:
        return "not root"
    wanted = {value for name, value in condition.env.items() if name in ("LC_ALL", "LANG")}
    unknown = {value for value in wanted if plain(value) not in locales()}
    return f"not in `locale -a`: {', '.join(sorted(unknown))}" if unknown else ""


def locales() -> set[str]:
    """The locales of the C library, in one spelling."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    return {"c", "posix", *map(plain, listed.split())}


def plain(locale: str) -> str:
    """One spelling for `zh_CN.UTF-8` and `zh_CN.utf8`."""
    return locale.lower().replace("-", "")


@contextlib.contextmanager
def beside(condition: Condition, place: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes that run at the same time, and kill them at the end."""
    scripts = {"memory": HOLD.format(memory_bytes() // 2), "disk": SYNC}
    started = [
        subprocess.Popen([sys.executable, "-c", scripts.get(what, what), str(place / "filler")], start_new_session=True)
        for what in condition.beside
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(condition: Condition, place: Path, old_pytest: Path | None) -> tuple[int, bool, str]:
    """Exit code of one run, whether waiting alone is why it was not accepted, and the tests that refused it.

    -1 when a process beside it ended early: then the condition did not hold.
    """
    root = copied(place, condition)
    reports = root / "reports"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLM_", "PYTEST_"))}
    path = [str(old_pytest)] if condition.old_pytest else []
    env = {**clean, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", **condition.env}
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "smoke"]
    argv += ["--vlm-profile=control-cpu", f"--vlm-reports={reports}"]
    if condition.user:
        env = {**env, "HOME": str(place), "USER": "nobody"}
        # the interpreter may be in a home that this user cannot read: it may read everything, but write only its own
        caps = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        argv = ["setpriv", "--reuid", condition.user, "--regid", condition.user, "--clear-groups", *caps, *argv]
    with beside(condition, place) as others, (place / "out.txt").open("wb") as out:
        done = subprocess.run(
            argv,
            cwd=root,
            env=env,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            umask=condition.umask,
            check=False,
        )
        ended = [other.returncode for other in others if other.poll() is not None]
    if ended:
        return -1, False, f"a process beside the run ended early: {ended}"
    return done.returncode, *why_refused(reports / "latest" / "summary.json", place / "out.txt")


def why_refused(summary: Path, out: Path) -> tuple[bool, str]:
    """Whether waiting alone is why a run was not accepted; the tests that refused it; and what was waited."""
    if not summary.is_file():
        lines = out.read_text("utf-8", "replace").strip().splitlines()
        return False, lines[-1] if lines else "no output"
    run = json.loads(summary.read_text("utf-8"))
    wrong = [test for test in run["tests"] if test["outcome"] in ("failed", "error")]
    is_wait = bool(wrong) and all(test["outcome"] == "error" and WAIT.match(test["message"]) for test in wrong)
    shown = [f"{test['id'].rpartition('::')[2]}: {test['message'][:160]}" for test in wrong]
    return is_wait, "; ".join([*shown, *(note for note in run["notes"] if note.startswith(MACHINE))])


def main() -> int:
    """Print one line per run and how many were accepted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    names = [condition.name for condition in CONDITIONS]
    parser.add_argument("--only", action="append", choices=names)
    parser.add_argument("--without", action="append", choices=names, default=[], help="may be left out")
    parser.add_argument("--old-pytest", type=Path, help="folder that holds pytest 8.2")
    given = parser.parse_args()
    wanted = [condition for condition in CONDITIONS if not given.only or condition.name in given.only]
    left_out = {condition.name: lacking(condition, given.old_pytest) for condition in wanted}
    left_out = {name: why for name, why in left_out.items() if why or name in given.without}
    possible = [condition for condition in wanted if condition.name not in left_out]
    accepted = undecided = runs = 0
    for condition in islice(cycle(possible), given.runs):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="alarms-") as place:
            Path(place).chmod(0o755)
            code, is_wait, reason = run(condition, Path(place), given.old_pytest)
        runs += 1
        accepted += code == 0
        undecided += code == UNDECIDED and is_wait and condition.busy
        print(f"{condition.name:<36} exit {code:>2}  {time.monotonic() - began:5.0f} s  {reason}", flush=True)
    print(f"{accepted} of {runs} clean runs were accepted, {undecided} undecided on a busy machine")
    for name, why in left_out.items():
        print(f"left out: {name} ({why or 'by --without'})")
    return 0 if accepted + undecided == given.runs and left_out.keys() <= set(given.without) else 1


if __name__ == "__main__":
    sys.exit(main())
