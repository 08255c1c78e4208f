"""The list of all runs of a folder of reports: index.html, rewritten after every run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import is_file
from vlm_acceptance.core.language import language, tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.history import PAGE as HISTORY
from vlm_acceptance.report.history import read_nights
from vlm_acceptance.report.history_night import Night
from vlm_acceptance.report.small_pages import link, render, replace_file, tone_of
from vlm_acceptance.report.verdict_text import headline

PAGE = "index.html"
MOST = 200  # runs in the list; each run rewrites it
# a verdict stands whatever is in the folders of other runs
BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, TemplateError)
FILES = ("verdict.txt", "summary.json", "verification_log.txt")


def write_index(reports: Path) -> Path:
    """Write the list of the newest runs; runs that cannot be read are counted. EnvironmentProblem if it fails."""
    page = reports / PAGE
    nights, broken, older = read_nights(reports, MOST)
    left_out = [
        tr("{count} folder(s) hold no summary that can be read.", count=broken) if broken else "",
        tr("{count} older run(s) are left out.", count=older) if older else "",
    ]
    view = {
        "rows": [_row(page, night) for night in reversed(nights)],
        "left_out": [text for text in left_out if text],
        "history": HISTORY if is_file(reports / HISTORY) else "",
    }
    replace_file(page, render("runs_index.html.j2", view))
    return page


def rewrite_index(reports: Path) -> list[str]:
    """Write the list after a run; a note for the verdict when that is not possible."""
    try:
        write_index(reports)
    except (EnvironmentProblem, *BROKEN) as problem:
        return [f"  note: {printable(str(problem))}"]
    return []


def _row(page: Path, night: Night) -> Mapping[str, Any]:
    folder = night.folder
    report = folder / "report.html"
    return {
        "night": night,
        "tone": tone_of(night.verdict),
        "headline": word_of(night),
        "started": f"{night.began:%Y-%m-%d %H:%M:%S}" if night.began else night.name,
        "page": link(page, report if is_file(report) else folder / "summary.json"),
        "took": duration(night.seconds),
        "files": [{"name": name, "href": link(page, folder / name)} for name in FILES if is_file(folder / name)],
    }


def word_of(night: Night) -> str:
    """The verdict as the report of the run says it, in the chosen language."""
    word = headline({"verdict": night.verdict, "exit_code": night.code, "control": night.is_control})
    # in other languages the verdict alone has no capitals
    return tr(night.verdict) if language() != "en" and word == night.verdict.upper() else tr(word)


def duration(seconds: float | None) -> str:
    """Seconds as `1 h 02 min`, `2 min 05 s` or `9 s`; '' if not known."""
    if seconds is None or seconds > 1e9:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
