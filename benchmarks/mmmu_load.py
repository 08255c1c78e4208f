"""What our sender costs in an accuracy run: span, memory and CPU against an endpoint that costs nothing.

`python benchmarks/mmmu_load.py [--questions N] [--case NAME ...] [--json]` makes its own questions, one picture of
0.35 MB each, and runs every measurement in a process of its own. Exit code 1 when a bar is not reached.
"""

# The cases:
# - `official`: pictures as they are; `doubled`: the default protocol. Each is compared with a bare loop of `requests`
#   that sends the same bodies, made beforehand, from as many threads.
# - `slots`: an endpoint with 16 slots of 500 ms, compared with the ideal.
# - `suite`: the whole `pytest -m slow` of the accuracy run against the endpoint, from start to verdict. The endpoint
#   always answers `A` and counts no tile, so that the verdict is a rejection.
# - `growth`: 900, 3,600 and 11,000 questions through the suite; pictures repeat after 900.

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import requests
from PIL import Image

from vlm_acceptance.accuracy.answers_file import AnswerFile, answers
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.mmmu.protocols import protocol
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, write_prepared
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.run import progress_line
from vlm_acceptance.accuracy.server_run import QuestionSender
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import Pool

QUESTIONS, CONCURRENCY, REPEATS = 900, 32, 3
SLOTS, SLOT_MS = 16, 500
MAX_RATIO, MAX_PEAK_MB, MAX_SLOTS_RATIO = 1.5, 200, 1.03
GROWTH = (900, 3600, 11000)
SIZE = (640, 480)
SCORER = "vlmevalkit_2024_07"
CASES = ("official", "doubled", "slots", "suite", "growth")
ROOT = Path(__file__).resolve().parents[1]
AREAS = ("tests/acceptance/test_accuracy_data.py", "tests/acceptance/test_mmmu.py")
SERVER = Path(__file__).with_name("zero_server.py")


def png(seed: int, size: tuple[int, int]) -> tuple[bytes, bytes]:
    """A noisy PNG of about 0.35 MB and the same picture doubled."""
    noise = random.Random(seed).randbytes(3 * size[0] * size[1]).translate(bytes(96 + n % 8 for n in range(256)))
    picture = Image.frombytes("RGB", size, noise)
    doubled = picture.resize((2 * size[0], 2 * size[1]), Image.Resampling.BILINEAR)
    return encoded(picture), encoded(doubled)


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def numbered(picture: bytes, number: int) -> bytes:
    """The same picture with a number in a text chunk before its end: other bytes, at no cost."""
    content = b"tEXtnumber\0%d" % number
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return picture[:-12] + chunk + picture[-12:]


def questions(count: int) -> Iterator[NewItem]:
    """Multiple-choice questions; the first 900 pictures all differ."""
    plain, doubled = png(0, SIZE)
    for number in range(count):
        place = number % QUESTIONS
        picture = NewPicture(1, numbered(plain, place), {"x2": numbered(doubled, place)})
        text = f"Question {number}: <image 1> Which of these does the picture show? " + "More words. " * 15
        options = ("a noisy square", "a noisy circle", "nothing at all", "a question")
        ident = f"validation_Made_{number}"
        yield NewItem(ident, f"Subject {number % 30}", "multiple-choice", text, options, ("A",), (picture,))


@contextlib.contextmanager
def server(slots: int = 0) -> Iterator[str]:
    """The root URL of an endpoint in a process of its own, which ends with the block."""
    argv = [sys.executable, str(SERVER), "--slots", str(slots), "--ms", str(SLOT_MS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def bare(url: str, data: Prepared, name: str, concurrency: int) -> dict[str, Any]:
    """The span of a plain loop of `requests` over bodies that are ready in memory."""
    prompts = protocol(name)
    sender = QuestionSender(Client(url), "zero", data, 60)
    bodies = iter([sender.body(prompts.request(item)) for item in data])
    lock, done = threading.Lock(), []

    def work() -> None:
        while True:
            with lock:
                body = next(bodies, None)
            if body is None:
                return
            headers = {"Content-Type": "application/json"}
            answer = requests.post(f"{url}/v1/chat/completions", data=body, headers=headers, timeout=60)
            answer.raise_for_status()
            done.append(answer.json()["choices"][0]["message"]["content"])

    began, cpu = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ["A"] * len(data)
    return {"span_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu}


def ours(url: str, data: Prepared, name: str, concurrency: int) -> dict[str, Any]:
    """The span of our sender: prompts, pictures, answers file, scores and progress of every question."""
    prompts, scorer = protocol(name), SCORERS[SCORER]
    sender = QuestionSender(Client(url), "zero", data, 60)
    ids = [ident for ident, _ in data.groups]
    right = done = errors = 0
    began, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        with AnswerFile.create(Path(folder) / "answers.jsonl", {"data": {"sha256": data.sha256}}) as file:

            def take(answer: Answer) -> None:
                nonlocal right, done, errors
                file.add(answer)
                done += 1
                errors += answer.text is None
                if answer.text is not None:
                    right += scorer([data[answer.id]], {answer.id: answer.text})[answer.id].right
                progress_line("load", done, len(ids), right, errors, fresh=done, elapsed_s=time.monotonic() - began)

            for pair in Pool(lambda ident: sender.send(prompts.request(data[ident])), ids, concurrency):
                if pair is not None:
                    take(pair[1])
        span, cpu = time.monotonic() - began, time.process_time() - cpu
        found = list(answers(file.path))
    assert {answer.text for answer in found} == {"A"} and right == len(found) == len(ids) and not errors
    return {"span_s": span, "cpu_s": cpu, "tries_again": sum(len(answer.attempts) for answer in found)}


def child(how: str, url: str, folder: str, name: str, concurrency: int) -> None:
    """One measurement in this fresh process; its result is a line of JSON."""
    measured = {"bare": bare, "ours": ours}[how](url, Prepared.open(Path(folder)), name, concurrency)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**measured, "peak_mb": peak_kb / 1024}))


def measure(how: str, folder: Path, name: str, slots: int = 0) -> dict[str, float]:
    """A measurement in a process of its own against a server of its own; `whole_s` is from its start to its end."""
    with server(slots) as url:
        began = time.monotonic()
        argv = [sys.executable, __file__, "--child", how, url, str(folder), name, str(CONCURRENCY)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
        return {**json.loads(done.stdout), "whole_s": time.monotonic() - began}


def row(case: str, count: int, seen: dict[str, float], bar: str, is_reached: bool) -> dict[str, Any]:
    figures = {name: round(value, 3) for name, value in seen.items()}
    return {"case": case, "questions": count, **figures, "bar": bar, "reached": is_reached}


def beside_bare(folder: Path, case: str, name: str, count: int) -> Iterator[dict[str, Any]]:
    """Bare and ours in turns; the ratio is that of the median spans.

    Doubled pictures have no bar for the ratio: our process reads, checks and encodes them, the bare loop does not.
    """
    spans: dict[str, list[float]] = {"bare": [], "ours": []}
    peak_mb = 0.0
    for how in ("bare", "ours") * REPEATS:
        seen = measure(how, folder, name)
        spans[how].append(seen["span_s"])
        peak_mb = max(peak_mb, seen["peak_mb"] if how == "ours" else 0)
        ratio = median(spans["ours"]) / median(spans["bare"]) if spans["ours"] else 0.0
        is_last = len(spans["ours"]) == REPEATS
        limit = "" if case == "doubled" else f", at most {MAX_RATIO:g}"
        bar = f"ratio of medians {ratio:.2f}{limit}; peak at most {MAX_PEAK_MB} MB" if is_last else ""
        is_reached = (ratio <= MAX_RATIO or case == "doubled") and peak_mb <= MAX_PEAK_MB
        yield row(f"{case}, {how}", count, seen, bar, is_reached or not is_last)


def with_slots(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Our span compared with that of slots that are always full."""
    seen = measure("ours", folder, "official", SLOTS)
    ideal = -(-count // SLOTS) * SLOT_MS / 1000
    ratio = seen["span_s"] / ideal
    bar = f"{ratio:.3f} of the ideal {ideal:g} s, at most {MAX_SLOTS_RATIO:g}"
    yield row("slots, ours", count, seen, bar, ratio <= MAX_SLOTS_RATIO)


def suite(folder: Path, name: str) -> dict[str, float]:
    """One run of the suite, attached to an endpoint of its own: seconds from start to verdict, and peak memory."""
    with server() as url, tempfile.TemporaryDirectory() as reports:
        options = {"profile": "internvl2-2b-ascend", "base-url": url, "reports": reports}
        options |= {"mmmu-data": str(folder), "mmmu-protocol": name}
        sets = ["dataset=made", f"concurrency={CONCURRENCY}", "early_stop=false"]
        argv = [sys.executable, "-m", "pytest", "-q", "-m", "slow", *AREAS]
        argv += [f"--vlm-{option}={value}" for option, value in options.items()]
        argv += [f"--vlm-set=mmmu.{text}" for text in sets] + [
            "--vlm-set=model.aliases=[zero]",
            "--vlm-set=model.source=folder",
        ]
        began = time.monotonic()
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        whole_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        summary = json.loads(next(Path(reports).glob("runs/*/summary.json")).read_text("utf-8"))
    properties = {key: value for test in summary["tests"] for key, value in test["properties"].items()}
    assert properties["answered"] == f"{len(Prepared.open(folder))}/{len(Prepared.open(folder))}"
    peak_mb, cpu_s = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
    return {"span_s": float(properties["span_s"]), "whole_s": whole_s, "cpu_s": cpu_s, "peak_mb": peak_mb}


def whole(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The suite from start to verdict, with both protocols."""
    for name in ("official", "vlmevalkit"):
        seen = suite(folder, name)
        yield row(f"suite, {name}", count, seen, f"peak at most {MAX_PEAK_MB} MB", seen["peak_mb"] <= MAX_PEAK_MB)


def growth(place: Path) -> Iterator[dict[str, Any]]:
    """Time per question and peak memory as the work grows."""
    for count in GROWTH:
        seen = suite(made(place, count), "official")
        bar = f"{1000 * seen['whole_s'] / count:.2f} ms a question, peak at most {MAX_PEAK_MB} MB"
        yield row("growth, suite", count, seen, bar, seen["peak_mb"] <= MAX_PEAK_MB)


def made(place: Path, count: int) -> Path:
    """The prepared folder of `count` questions, made once."""
    folder = place / str(count)
    if not folder.exists():
        write_prepared(folder, questions(count), dataset="made", source="made", revision=None)
    return folder


def main() -> int:
    """Measure and print; 1 when a bar is not reached."""
    parser = argparse.ArgumentParser(description="What our sender costs in an accuracy run.")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--case", nargs="+", choices=CASES)
    parser.add_argument("--json", action="store_true", help="JSON lines instead of the table")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child[:4], int(given.child[4]))
        return 0
    cases = given.case or CASES
    all_reached = True
    with tempfile.TemporaryDirectory() as place:
        folder, count = made(Path(place), given.questions), given.questions
        for seen in itertools.chain(
            beside_bare(folder, "official", "official", count) if "official" in cases else (),
            beside_bare(folder, "doubled", "vlmevalkit", count) if "doubled" in cases else (),
            with_slots(folder, count) if "slots" in cases else (),
            whole(folder, count) if "suite" in cases else (),
            growth(Path(place)) if "growth" in cases else (),
        ):
            all_reached = all_reached and seen["reached"]
            print(json.dumps(seen) if given.json else line(seen), flush=True)
    return 0 if all_reached else 1


def line(seen: dict[str, Any]) -> str:
    state = ("ok" if seen["reached"] else "NOT REACHED") if seen["bar"] else ""
    return (
        f"{seen['case']:<20} {seen['questions']:>6}  span {seen['span_s']:>7.2f} s  whole {seen['whole_s']:>7.2f} s  "
        f"CPU {seen['cpu_s']:>6.2f} s  peak {seen['peak_mb']:>5.0f} MB  {seen['bar']}  {state}"
    )


if __name__ == "__main__":
    sys.exit(main())
