"""Every page that the suite writes, made from small stored runs: name -> maker of its file; one line a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import history_pages, stored_figures
from tests.support.pages import ERRORED, RUN, answer, append, change, change_rows, exchange
from vlm_acceptance.core.language import set_language
from vlm_acceptance.report import html

MARK = "hostileRan"
RAN = f"window.{MARK}=(window.{MARK}||0)+1"
# each would run or send something if it were not shown as text
HOSTILE = (
    f"<script>{RAN}</script>",
    f"</script><script>{RAN}</script>",
    f"</style><script>{RAN}</script><style>*{{display:none}}</style>",
    f'"\'><img src=x onerror="{RAN}">',
    f'<svg onload="{RAN}"><animate onbegin="{RAN}" attributeName=x dur=1s></svg>',
    f'<details open ontoggle="{RAN}">x</details>',
    f'<iframe srcdoc="<script>parent.{MARK}=1</script>"></iframe>',
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css><img src=http://127.0.0.1:9/x.png>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><base href=http://127.0.0.1:9/>",
    "<style>@import url(http://127.0.0.1:9/x.css); body{background:url(http://127.0.0.1:9/y.png)}</style>",
    f'[x](javascript:{RAN}) <a href="javascript:{RAN}">x</a>',
    f"{{{{ self.__init__.__globals__ }}}}${{{RAN}}}",
    "\u202egnorw\u2066\u2069\u200f\ufeff \u2028\u2029",
    "]]>--><!--",
)


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(RUN, folder / "20261101T080000Z-control-cpu"))


def _page(run: Path) -> Path:
    (run / "report.html").write_text(html.render(run), "utf-8")
    return run / "report.html"


def rejected(folder: Path) -> Path:
    """The page of a rejection with its evidence."""
    return _page(_copy(folder))


def accepted(folder: Path) -> Path:
    """The page of an accepted run: every test passed."""
    run = _copy(folder)
    passed = {"outcome": "passed", "message": "", "findings": []}
    change_rows(run, "results.jsonl", lambda row: row.update(passed))

    def edit(summary: dict[str, Any]) -> None:
        summary.update(verdict="accepted", exit_code=0, reason="all 6 required tests of -m smoke passed")
        summary.update(areas={"health": {"passed": 1}, "schema": {"passed": 4}, "latency": {"passed": 1}})
        for row in summary["tests"]:
            row.update(outcome="passed", message="")

    return _page(change(run, edit))


def slow(folder: Path) -> Path:
    """The page of a slow run: every plot, and a sentence without a place to break it."""
    run = _copy(folder)
    described = json.loads((run / "summary.json").read_text("utf-8"))
    described.update(capacity=stored_figures.capacity(), reason="x" * 300)
    return _page(stored_figures.stored(run, stored_figures.observations(), described, stored_figures.accuracy()))


def chinese(folder: Path) -> Path:
    """The page of a rejection in Chinese."""
    set_language("zh")
    try:
        return rejected(folder)
    finally:
        set_language("en")


def hostile(folder: Path) -> Path:
    """The page of a run in which every foreign text means harm."""
    return _page(_poisoned(_copy(folder)))


def _poisoned(run: Path) -> Path:
    text = "\n".join(HOSTILE)

    def poison(row: dict[str, Any]) -> None:
        row.update(message=f"{text}\n{text}", must=text, properties={text: text, "evidence": text})
        row.update(id=f"{row['id']}[{HOSTILE[0]}{HOSTILE[3]}]", area=HOSTILE[4])
        for found in row["findings"]:
            found.update(check=text, expected=text, observed=text, where=text, repeat=text)

    change_rows(run, "results.jsonl", poison)
    change_rows(run, "exchanges.jsonl", lambda row: row.update(body=answer(text), frames=[]))
    append(run, "exchanges.jsonl", exchange(ERRORED, answer(text)))
    (run / "observations").mkdir(exist_ok=True)
    (run / "observations" / "javascript:a<img src=x>.json").write_text(json.dumps({text: text}), "utf-8")
    poisoned = {
        **dict.fromkeys(("statement", "reason"), text),
        "notes": list(HOSTILE),
        "scope": {text: text, "url": f"javascript:{RAN}"},
        "areas": {text: {text: 1}},
        "latency": {text: {"n": text, "tokens": text}},
        "references": {text: {"score": 1.0, "source": f"javascript:{RAN}"}},
        "not_applicable": {text: text},
        "versions": {text: [text]},
        "known_issues": {text: [text]},
        "causes": [{"id": text, "title": text, "advice": text, "tests": [text]}],
    }
    return change(run, lambda s: s.update(poisoned))


PAGES: dict[str, Callable[[Path], Path]] = {
    "accepted": accepted,
    "rejected": rejected,
    "slow": slow,
    "chinese": chinese,
    "hostile": hostile,
    **history_pages.PAGES,
    **history_pages.hostile_pages(HOSTILE),
}
