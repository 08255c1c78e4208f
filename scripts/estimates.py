"""Writes fixtures/estimates.yaml from recorded runs on the control: what `--vlm-plan` says of requests and time.

`python scripts/estimates.py ENGINE RUN [RUN ...]` takes folders of `-m "smoke or slow"` runs, launched. Of several runs
the least time of a test counts: what it takes where nothing else runs. Standard library only.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ESTIMATES = Path(__file__).resolve().parents[1] / "fixtures" / "estimates.yaml"
HEAD = """# What each acceptance test cost on the control, launched on two cores: requests, and seconds of its own. Of a
# parametrized test it is the mean. Starts of engines are apart; the soak and the accuracy run are rates.
# Written by scripts/estimates.py from recorded runs.
"""
# made once for several tests: their cost goes by the profile, not by the test
SHARED = ("load::test_soak_", "mmmu::")
WHOLE = ("server_s", "offline_s", "soak_per_s", "mmmu_per_s")
READY = "health::test_readiness"


def short(ident: str) -> str:
    """A test as `area::test[parameters]`, from a node id."""
    return ident.rpartition("/")[2].removeprefix("test_").replace(".py::", "::")


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def seconds_of(run: Path) -> dict[str, float]:
    """Seconds of every test, its fixtures included."""
    cases = ET.parse(run / "junit.xml").getroot().iter("testcase")  # noqa: S314  (a file of our own)
    found = ((case.attrib["classname"].rpartition("test_")[2], case.attrib) for case in cases)
    return {f"{area}::{attrib['name']}": float(attrib["time"]) for area, attrib in found}


def starts_of(results: Iterable[dict[str, Any]], seconds: dict[str, float]) -> tuple[float, float]:
    """Seconds until the server was ready, and those of the offline engine, which goes before it."""
    seen = [row["properties"]["seen"] for row in results if short(row["id"]).startswith(READY)]
    server = sum(float(found) for text in seen for found in re.findall(r"after ([\d.]+) s\)$", text))
    return server, sum(took for test, took in seconds.items() if test.startswith(READY)) - server


def rates_of(run: Path, results: Iterable[dict[str, Any]], seconds: dict[str, float]) -> dict[str, float]:
    """Requests a second of the soak and of the accuracy run, where the run had them."""
    found = {}
    for row in results:
        if short(row["id"]) == "load::test_soak_is_answered":
            found["soak_per_s"] = float(row["properties"]["requests_per_s"])
    asked = sum(len(rows(path)) for path in run.glob("mmmu_val*.jsonl"))
    took = sum(took for test, took in seconds.items() if test.startswith("mmmu::"))
    return {**found, "mmmu_per_s": asked / took} if asked else found


def written(engine: str, runs: Sequence[Path]) -> str:
    """The file's text."""
    seconds: dict[str, list[float]] = defaultdict(list)
    requests: dict[str, int] = {}
    figures: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        took, results = seconds_of(run), rows(run / "results.jsonl")
        counts = Counter(short(row["test"]) for row in rows(run / "exchanges.jsonl"))
        for test, one in took.items():
            seconds[test].append(one)
            requests[test] = counts[test]
        starts = zip(("server_s", "offline_s"), starts_of(results, took), strict=True)
        for name, figure in (*starts, *rates_of(run, results, took).items()):
            figures[name].append(figure)
    if lacking := [name for name in WHOLE if min(figures[name], default=0.0) <= 0]:
        sys.exit(f"not every run is a whole `smoke or slow` run of launched engines: no {', '.join(lacking)}")
    lines = [f"{HEAD}engine: {engine}"]
    lines += [f"{name}: {(max if name.endswith('_per_s') else min)(seen):.1f}" for name, seen in figures.items()]
    lines.append("tests:")
    for name in dict.fromkeys(test.partition("[")[0] for test in seconds if not test.startswith(SHARED)):
        mine = [test for test in seconds if test.partition("[")[0] == name]
        mean = 0.0 if name == READY else statistics.mean(min(seconds[test]) for test in mine)
        count = round(statistics.mean(requests[test] for test in mine))
        lines.append(f"  {name}: {{requests: {count}, seconds: {mean:.2f}}}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    ESTIMATES.write_text(written(sys.argv[1], [Path(name) for name in sys.argv[2:]]), "utf-8")
