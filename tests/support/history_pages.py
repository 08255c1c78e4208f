"""The pages over several runs, made from small stored runs: name -> maker of its file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.made_history import nights, rejected, slower, summary_of, upgraded, write_run
from vlm_acceptance.report.comparison import compare
from vlm_acceptance.report.comparison_page import write_page
from vlm_acceptance.report.history import write_history
from vlm_acceptance.report.runs_index import write_index

TEST = "tests/acceptance/test_capability.py::test_reads"


def history(folder: Path) -> Path:
    """Thirty nights with a slower engine, a lower score, a rejection and an upgrade."""
    edits = {7: rejected("1", "2"), 19: slower(1.6), **{at: upgraded("0.19.0") for at in range(20, 30)}}
    nights(folder, 30, edits=edits, scores={24: 0.28})
    return write_history(folder)[0]


def listed(folder: Path) -> Path:
    """The list of some runs, one rejected."""
    nights(folder, 5, edits={3: rejected("1")})
    return write_index(folder)


def compared(folder: Path) -> Path:
    """Two runs that differ in everything."""
    first, second = nights(folder, 2, edits={1: _worse}, scores={1: 0.28})
    _answers(first, ["The red bar is the highest of all.", "4"])
    _answers(second, ["The blue bar is the highest.", "4"])
    return write_page(compare(first, second), folder / "compare.html")


def _worse(summary: dict[str, Any]) -> None:
    for edit in (slower(2.0), upgraded("0.19.0"), rejected(*map(str, range(20)))):
        edit(summary)


def _answers(folder: Path, answers: Sequence[str]) -> None:
    (folder / "exchanges.jsonl").write_text("".join(_rows(answers)), "utf-8")
    findings = [{"check": "answer.wrong", "title": "wrong answer"}] * (len(answers[0]) - 20)
    (folder / "results.jsonl").write_text(json.dumps({"id": TEST, "findings": findings}) + "\n", "utf-8")


def _rows(answers: Sequence[str]) -> Iterator[str]:
    for number, answer in enumerate(answers):
        request = {"model": "m", "messages": [{"role": "user", "content": f"Question {number}: which is it?"}]}
        body = json.dumps({"choices": [{"index": 0, "message": {"content": answer}}]})
        row = {"test": TEST, "id": f"r{number}", "path": "/v1/chat/completions", "request": request, "status": 200}
        yield json.dumps({**row, "body": body, "frames": []}) + "\n"


def poisoned(folder: Path, texts: Sequence[str]) -> tuple[Path, Path]:
    """Two runs in which every foreign text is one of `texts`."""
    text = "\n".join(texts)
    summary = summary_of(random.Random(1), folder)
    summary = json.loads(
        json.dumps(summary).replace('"org/model"', json.dumps(text)).replace('"ocr"', json.dumps(text))
    )
    summary.update(verdict="rejected", exit_code=1, reason=text * 100, model_files={text: text})
    summary["causes"] = [{"id": text, "title": text, "advice": text}]
    summary["capacity"][0]["prompt"] = text
    summary["scope"]["profile"] = text
    runs = []
    for number in range(2):
        summary["versions"] = {one: f"{number}{one}" for one in texts}
        summary["tests"].append({"id": f"a::{text}", "outcome": f"{number}{text}", "message": text, "seconds": 0})
        runs.append(write_run(folder, number, summary))
        _answers(runs[-1], [f"{number} of all answers\n{text}", *texts])
        found = [{"check": one, "title": one} for one in texts * (number + 1)]
        (runs[-1] / "results.jsonl").write_text(json.dumps({"id": text, "findings": found}) + "\n", "utf-8")
    return runs[0], runs[1]


def hostile_pages(texts: Sequence[str]) -> dict[str, Callable[[Path], Path]]:
    """The same pages of runs in which every foreign text is one of `texts`."""
    return {
        "hostile history": lambda folder: (poisoned(folder, texts), write_history(folder)[0])[1],
        "hostile list": lambda folder: (poisoned(folder, texts), write_index(folder))[1],
        "hostile comparison": lambda folder: write_page(compare(*poisoned(folder, texts)), folder / "compare.html"),
    }


PAGES: dict[str, Callable[[Path], Path]] = {"history": history, "list of runs": listed, "comparison": compared}
