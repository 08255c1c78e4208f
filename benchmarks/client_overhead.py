"""CPU time of our client per request, against a server in another process that answers at once.

`python benchmarks/client_overhead.py [--requests N] [--json]`. Exit code 1 when a case is over the bar of 5 ms.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.client.http import Client
from vlm_acceptance.core.exchange import Request, reply_of

BAR_MS = 5.0
WARM_UP = 20
PICTURE_BYTES = 100_000
SERVER = Path(__file__).resolve().parents[1] / "tests" / "proof" / "standins" / "quick_server.py"
QUESTION = " ".join(["word"] * 32)  # the server repeats it, so a streamed answer has 32 events with text


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over all requests of one case, in milliseconds; `cpu_ms` is this process alone."""

    case: str
    requests: int
    cpu_ms: float
    wall_ms: float
    is_within_bar: bool


@contextmanager
def server() -> Iterator[str]:
    """The root URL of a quick server in a process of its own."""
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def body(is_picture: bool, is_stream: bool) -> dict[str, Any]:
    """A chat request; the picture is random bytes, which the server does not decode."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": QUESTION}]
    if is_picture:
        url = "data:image/png;base64," + base64.b64encode(random.Random(0).randbytes(PICTURE_BYTES)).decode()
        parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
    request = {"model": "quick-standin", "messages": [{"role": "user", "content": parts}], "temperature": 0}
    return {**request, "stream": True, "stream_options": {"include_usage": True}} if is_stream else request


def measure(client: Client, case: str, request: Request, count: int) -> Measured:
    """Send the request `count` times, one after another; an unreadable answer ends the benchmark."""
    for _ in range(WARM_UP):
        assert reply_of(client.send(request)).text == QUESTION
    cpu, wall = time.process_time(), time.monotonic()
    exchanges = [client.send(request) for _ in range(count)]
    cpu_ms, wall_ms = (time.process_time() - cpu) / count * 1000, (time.monotonic() - wall) / count * 1000
    for exchange in exchanges:
        reply_of(exchange)
    return Measured(case, count, round(cpu_ms, 3), round(wall_ms, 3), cpu_ms < BAR_MS)


def measure_all(count: int) -> list[Measured]:
    """Text and a picture, each in one piece and streamed."""
    results = []
    with server() as url:
        client = Client(url)
        for is_picture in (False, True):
            for is_stream in (False, True):
                request = Request("POST", "/v1/chat/completions", body(is_picture, is_stream), stream=is_stream)
                case = f"{'picture' if is_picture else 'text'}, {'streamed' if is_stream else 'one piece'}"
                results.append(measure(client, case, request, count))
        return results


def main() -> int:
    """Print the table or the JSON; 1 when a case is over the bar."""
    parser = argparse.ArgumentParser(description="CPU time of the client per request.")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    given = parser.parse_args()
    results = measure_all(given.requests)
    if given.json:
        print(json.dumps({"bar_ms": BAR_MS, "cases": [asdict(result) for result in results]}, indent=2))
    else:
        print(f"{'case':<20} {'requests':>8} {'CPU ms':>8} {'wall ms':>8}   bar {BAR_MS:g} ms of CPU")
        for r in results:
            state = "ok" if r.is_within_bar else "OVER"
            print(f"{r.case:<20} {r.requests:>8} {r.cpu_ms:>8.2f} {r.wall_ms:>8.2f}   {state}")
    return 0 if all(result.is_within_bar for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
