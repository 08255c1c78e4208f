"""Error rates of the ladder of load, against endpoints whose capacity is known.

`python benchmarks/capacity.py [--times N] [--equal N] [--json]`: the capacity must be found exactly each time, a slower
endpoint and one of half the slots refused beside the record each time, and an equal one never. Some minutes; on a
machine that does nothing else. Exit code 1 when a bar is not reached.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlm_acceptance.checks import capacity as checks
from vlm_acceptance.checks.load_steps import Climb
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.ladder_sections import Ladder, RecordedCapacity
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.workloads import capacity
from vlm_acceptance.workloads.ladder_prompts import Kind, prompt_of

SERVER = Path(__file__).with_name("slot_server.py")
MODEL = "slots"
TOKENS, TOKEN_MS = 10, 10.0
SLOTS = (4, 8, 16)
# by which number the slots are divided, and how much slower the tokens are
CASES = {"exact": (1, 1.0), "slower": (1, 1.5), "halved": (2, 1.0), "equal": (1, 1.0)}
# a request that waits for a slot waits as long as an answer takes, 0.1 s
LADDER = Ladder.model_validate(
    {
        "prompts": ["text"],
        "lengths": [128],
        "concurrency": [2, 4, 8, 16, 32],
        "output_tokens": TOKENS,
        "step_s": 0.4,
        "requests": 16,
        "budgets": {"ttft_s": {"p90": 0.06}, "e2e_s": {"p90": 0.18}},
    }
)


@contextlib.contextmanager
def server(slots: int, ms: float) -> Iterator[str]:
    """The root URL of an endpoint in a process of its own, which ends with the block."""
    argv = [sys.executable, str(SERVER), "--slots", str(slots), "--ms", str(ms)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def climbed(slots: int, ms: float, seed: int) -> Climb:
    """The ladder at an endpoint with so many slots."""
    with server(slots, ms) as url:
        client = RecordingClient(Client(url), MODEL, Deadlines(), lambda _: None, set())
        prompt = prompt_of(client, Kind("text", 128, ""), None)
        assert not isinstance(prompt, NoReply), prompt
        return capacity.climb(client, prompt, LADDER, 60, Chance(seed), lambda _: None)


def is_refused(climb: Climb, recorded: RecordedCapacity) -> bool:
    """Whether the ladder is worse than the record, also without what waiting for a processor explains."""
    times = [checks.slower(climb, recorded, LADDER.slower, without=without) for without in (False, True)]
    return bool(checks.shrunk(climb, recorded, LADDER.budgets)) or all(times)


def recorded(slots: int) -> RecordedCapacity:
    """What the right endpoint reaches."""
    climb = climbed(slots, TOKEN_MS, seed=-slots)
    return RecordedCapacity.model_validate(checks.recorded_of(climb))


def main(args: Sequence[str] | None = None) -> int:
    """Print a row for each question: how often it was answered right; 1 if one is not always."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--equal", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(args)
    records = {slots: recorded(slots) for slots in SLOTS}
    rows = [row(case, given.equal if case == "equal" else given.times, records) for case in CASES]
    for seen in rows:
        print(json.dumps(seen) if given.json else "  ".join(f"{name} {value}" for name, value in seen.items()))
    return int(any(seen["right"] < seen["times"] for seen in rows))


def row(case: str, times: int, records: dict[int, RecordedCapacity]) -> dict[str, object]:
    """How often one question was answered right, and each wrong answer."""
    right, busy, wrong = 0, 0, []
    for number in range(times):
        slots = SLOTS[number % len(SLOTS)]
        share, slowness = CASES[case]
        made = climbed(slots // share, TOKEN_MS * slowness, number)
        refused = is_refused(made, records[slots])
        is_right = made.capacity == slots if case == "exact" else refused == (case != "equal")
        right, busy = right + is_right, busy + made.is_busy
        wrong += [] if is_right else [f"{made.capacity} of {slots}, {'' if refused else 'not '}refused"]
    return {"case": case, "right": right, "times": times, "busy": busy, "wrong": wrong}


if __name__ == "__main__":
    sys.exit(main())
