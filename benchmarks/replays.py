"""Whether deployments that answer from a store are refused by name, and right ones never, each run with its own seed.

`python benchmarks/replays.py` starts the control once. It makes clean runs (`--clean-whole 10 --clean-narrowed 40`);
the first one is recorded. Then, for each kind of store (the recorded run replayed without an engine, a cache by body,
by text, by similar text), whole runs of smoke and runs of the area `challenge` alone (`--whole 3 --narrowed 17`). Exit
code 1 when a clean run is refused, or a store is not, or is not named. `--only KIND` takes one kind.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "proof")]  # the stand-ins are scripts, not a package

from acceptance_runs import Run, run_suite  # noqa: E402
from fault_stages import Stages  # noqa: E402
from faults_stored import Store, by_content  # noqa: E402
from standins.fault_proxy import FaultProxy  # noqa: E402

from vlm_acceptance.config.options import PROFILES  # noqa: E402
from vlm_acceptance.config.profile_file import load_profile  # noqa: E402
from vlm_acceptance.engine.installation import find_engine  # noqa: E402
from vlm_acceptance.engine.process import run_tag  # noqa: E402
from vlm_acceptance.engine.server import launch  # noqa: E402

NARROW = "tests/acceptance/test_challenge.py"
NO_ENGINE = "http://127.0.0.1:9"
RUN_S = 1800
# kind of store -> findings of which at least one must name it
NAMES = {
    "replayed": {"challenge.stored", "challenge.unread"},
    "cached-by-body": {"challenge.cached_body"},
    "cached-by-text": {"challenge.cached_text"},
    "nearest-answer": {"challenge.stored", "challenge.cached_text"},
}
Proxy = Callable[[], FaultProxy]


@contextmanager
def control(folder: Path, name: str) -> Iterator[str]:
    """The URL of the control, served by the real engine."""
    profile = load_profile(name, PROFILES).profile
    command, model = find_engine(None, None, os.environ).command, ROOT / str(profile.model.path)
    log = folder / "server.log"
    served = launch(profile, command, model, os.environ, log, run_tag(), api_key=None, progress=lambda _: None)
    try:
        if not served.ready:
            raise SystemExit(f"the control did not start: {served.stages[-1].detail}")
        yield served.base_url
    finally:
        served.stop()


class Series:
    """Runs one after another, each with reports of its own, and how many ended as they must."""

    def __init__(self, folder: Path, profile: str) -> None:
        self._folder, self._profile = folder, profile
        self._numbers = itertools.count(1)
        self.runs = self.right = 0

    def run(self, what: str, proxy: Proxy, is_whole: bool, names: set[str]) -> None:
        """One run; with `names` it must be refused by one of these findings, else it must not be refused."""
        with proxy() as server:
            args = (f"--vlm-profile={self._profile}", f"--vlm-base-url={server.url}", *([] if is_whole else [NARROW]))
            ran = run_suite(self._folder / str(next(self._numbers)), *args, timeout_s=RUN_S)
        found = findings_of(ran)
        if names:
            is_right = ran.code == 1 and bool(found & names)
        else:
            is_right = ran.code == (0 if is_whole else 11) and not ran.refused_by and not ran.ids("error")
        self.runs += 1
        self.right += is_right
        shown = ", ".join(sorted(found)) or "nothing found"
        size, seed = "whole" if is_whole else "narrowed", (ran.summary or {}).get("scope", {}).get("seed")
        print(f"{what:<15} {size:<9} exit {ran.code:>2}  {ran.seconds:5.0f} s  seed {seed}  {shown}", flush=True)
        if not is_right:
            print(ran.messages[:2000] or ran.out[-2000:], flush=True)


def findings_of(ran: Run) -> set[str]:
    """Classes of the findings of a run."""
    rows = (ran.reports / "latest" / "results.jsonl").read_text("utf-8").splitlines()
    return {found["check"] for row in rows for found in json.loads(row)["findings"]}


def stores(url: str, record: Store) -> dict[str, Proxy]:
    """A proxy of each kind of store; caches begin empty."""

    def cache(fault: str) -> Proxy:
        return lambda: FaultProxy(url, fault)

    caches = {name: cache(name) for name in NAMES if name != "replayed"}
    return {"replayed": lambda: FaultProxy(NO_ENGINE, stages=record.replaying()), **caches}


def main() -> int:
    """Print one line per run and the totals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", default="control-cpu")
    for name, count in (("clean-whole", 10), ("clean-narrowed", 40), ("whole", 3), ("narrowed", 17)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--only", choices=NAMES)
    given = parser.parse_args()
    record = Store(by_content)
    with tempfile.TemporaryDirectory(prefix="replays-") as temp, control(Path(temp), given.profile) as url:
        clean, refused = (Series(Path(temp, name), given.profile) for name in ("clean", "refused"))
        for number, is_whole in enumerate([True] * given.clean_whole + [False] * given.clean_narrowed):
            stages = record.recording() if number == 0 else Stages()
            clean.run("clean", lambda stages=stages: FaultProxy(url, stages=stages), is_whole, set())
        for kind, proxy in stores(url, record).items():
            if given.only in (None, kind):
                for is_whole in [True] * given.whole + [False] * given.narrowed:
                    record.rewind()
                    refused.run(kind, proxy, is_whole, NAMES[kind])
    print(f"{clean.right} of {clean.runs} clean runs were not refused")
    print(f"{refused.right} of {refused.runs} runs at a store were refused by name")
    return 0 if (clean.right, refused.right) == (clean.runs, refused.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
