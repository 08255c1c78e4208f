"""How often the test for swapped answers catches a server that swaps two concurrent answers once in 200.

`python benchmarks/contamination.py [--seeds N] [--share S] [--json]`. The server knows all answers and sends them at
once; a proxy swaps them. Exit code 1 when fewer than 95 % of the seeds are caught, or when a server that swaps nothing
has a finding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "proof")]  # the stand-ins are scripts, not a package

from standins.fault_proxy import FaultProxy  # noqa: E402
from standins.oracle_server import OracleServer, planted  # noqa: E402

from vlm_acceptance.cases.capability import load_categories  # noqa: E402
from vlm_acceptance.client.chat import chat  # noqa: E402
from vlm_acceptance.client.http import Client  # noqa: E402
from vlm_acceptance.client.pool import send_all  # noqa: E402
from vlm_acceptance.run.inputs import CASES, IMAGES  # noqa: E402
from vlm_acceptance.workloads import similar_pictures  # noqa: E402

MODEL = "oracle"
BAR = 0.95
DEADLINE_S = 30


def found_at(url: str) -> tuple[int, int]:
    """Requests sent and findings about them, by the bursts of the slow test."""
    client = Client(url)
    sent = found = 0
    for burst in similar_pictures.bursts(similar_pictures.all_pictures(load_categories(CASES, IMAGES))):
        requests = [chat(similar_pictures.short_body(MODEL, one), DEADLINE_S) for one in burst]
        found += len(similar_pictures.mixed_up(burst, send_all(client, requests, similar_pictures.CONCURRENCY)))
        sent += len(burst)
    return sent, found


def measured(seeds: int, share: float) -> dict[str, Any]:
    """Caught seeds, and findings about a server without a fault."""
    began, rows, sent = time.monotonic(), [], 0
    with OracleServer(planted(load_categories(CASES, IMAGES)), MODEL) as oracle:
        with FaultProxy(oracle.url) as proxy:
            sent, without_fault = found_at(proxy.url)
        for seed in range(seeds):
            with FaultProxy(oracle.url, "answers-swapped-rarely", magnitude=share, seed=seed) as proxy:
                rows.append(found_at(proxy.url)[1])
    caught = sum(count > 0 for count in rows)
    expected = 1 - (1 - share) ** sent
    return {
        "seeds": seeds,
        "requests": sent,
        "share": share,
        "caught": caught,
        "expected_to_swap": round(expected, 4),
        "without_fault": without_fault,
        "found_per_seed": rows,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """Measure and print; 1 when the bar is not reached."""
    parser = argparse.ArgumentParser(description="How often swapped answers are caught.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.005)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = measured(given.seeds, given.share)
    if given.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['caught']} of {result['seeds']} seeds caught with {result['requests']} requests each, in "
            f"{result['expected_to_swap']:.1%} of all runs there is a swap at all; "
            f"without a fault {result['without_fault']} findings; {result['seconds']} s"
        )
    return int(result["caught"] < BAR * result["seeds"] or result["without_fault"] > 0)


if __name__ == "__main__":
    sys.exit(main())
