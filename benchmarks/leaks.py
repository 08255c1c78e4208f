"""How often the soak's memory check reports a server that keeps 1 MB per request, and one that keeps only the last few.

`python benchmarks/leaks.py [--runs N] [--seconds S] [--kb N]`. Every run has a server process of its own. Exit code 1
when a leak is missed or a server without a leak is reported.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "proof")]

from standins.quick_server import MODEL, Behaviour, QuickServer  # noqa: E402

from vlm_acceptance.checks.load import Asked  # noqa: E402
from vlm_acceptance.checks.trends import growth, leak, shown  # noqa: E402
from vlm_acceptance.client.chat import chat_body  # noqa: E402
from vlm_acceptance.client.http import Client  # noqa: E402
from vlm_acceptance.client.recording import RecordingClient  # noqa: E402
from vlm_acceptance.config.profile import Deadlines  # noqa: E402
from vlm_acceptance.config.profile_sections import Load  # noqa: E402
from vlm_acceptance.core.finding_classes import LEAK  # noqa: E402
from vlm_acceptance.engine.memory import resident_mb  # noqa: E402
from vlm_acceptance.workloads import load  # noqa: E402
from vlm_acceptance.workloads.soak import soak  # noqa: E402

HELD = 32
TOKEN_DELAY_S = 0.05
CONCURRENCY = 4
POLL_S = 0.05


def serve(kb: int) -> None:
    """Serve until killed; keep `kb` kilobytes per request, and some megabytes for a while in any case."""
    kept: list[bytearray] = []
    passing: list[bytearray] = []
    draw = random.Random()

    def on_chat(_number: int) -> None:
        passing.append(bytearray(b"\1") * draw.randrange(1 << 18, 1 << 20))
        del passing[:-HELD]
        if kb:
            kept.append(bytearray(b"\1") * (kb << 10))

    with QuickServer(Behaviour(token_delay_s=TOKEN_DELAY_S, on_chat=on_chat)) as server:
        print(server.port, flush=True)
        threading.Event().wait()


def has_leak(kb: int, seconds: float) -> tuple[bool, str]:
    """One soak of a server that keeps `kb` kilobytes per request: whether a leak was found, and its slope."""
    argv = [sys.executable, __file__, "--serve", str(kb)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            client = Client(f"http://127.0.0.1:{server.stdout.readline().strip()}")
            tree = [psutil.Process(server.pid)]
            watchdog = load.Watchdog(client, 60, lambda: resident_mb(tree))
            recording = RecordingClient(client, MODEL, Deadlines(), lambda _: None, set())
            jobs = [load.Job(Asked(word, ((word,),)), chat_body(MODEL, word)) for word in ("one", "two", "three")]
            made = soak(recording, jobs, seconds, CONCURRENCY, watchdog)
        finally:
            server.kill()
    requests, megabytes = made.memory("rss_mb")
    line = growth(requests, megabytes)
    found = leak(requests, megabytes, "the server", Load().leak_kb_per_request)
    return any(one.kind is LEAK for one in found), f"{len(made.served)} requests, {line and shown(line)}"


def main() -> int:
    """Measure both servers and print how often a leak was found."""
    parser = argparse.ArgumentParser(description="Leaks found and false alarms of the soak's memory check.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--kb", type=int, default=1024, help="kilobytes that the leaking server keeps per request")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return 0
    load.POLL_S = POLL_S
    counts = {}
    for kb in (given.kb, 0):
        results = [has_leak(kb, given.seconds) for _ in range(given.runs)]
        counts[kb] = sum(found for found, _ in results)
        print(f"{kb} KB per request: leak found in {counts[kb]} of {given.runs} runs; the last: {results[-1][1]}")
    return int(counts[given.kb] < given.runs or counts[0] > 0)


if __name__ == "__main__":
    sys.exit(main())
