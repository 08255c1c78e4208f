"""The HTML page of a run, made from the files of its folder: one file, without network and server.

Its only script is `report.js`, named by its hash in the page's policy, which forbids every other one. The page can be
read without it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup, escape

from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.language import language, tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report import page, units
from vlm_acceptance.report.verdict_text import seconds

TEMPLATES = Path(__file__).with_name("templates")
PAGE_BYTES = 2_000_000
# characters of one text; the shorter cuts are used only when the page is larger than PAGE_BYTES
CUTS = (2000, 400, 80)
# a text that is only this much longer is not cut: the note of the cut would be as long
SLACK = 40
# of a link or a command to copy, which is useless once it is cut
WHOLE = 4000


def render(folder: Path, later: tuple[str, ...] = ()) -> str:
    """The page of a run's folder; texts are cut at 2,000 characters, with a note. Only summary.json must exist.

    `later`: files of the folder that are written after the page. HarnessProblem when summary.json cannot be read or
    the page cannot be made.
    """
    made = ""
    try:
        view = page.view(folder.resolve(), later)
        for cut in CUTS:
            made = environment(cut).get_template("report.html.j2").render(view, **frame())
            if len(made.encode()) <= PAGE_BYTES:
                break
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, TemplateError) as broken:
        raise HarnessProblem(f"report.html was not made: {type(broken).__name__}: {broken}") from broken
    return made


def frame() -> dict[str, object]:
    """What every page of ours needs around its content: language, script and policy."""
    return {"language": "zh-CN" if language() == "zh" else language(), "script": script(), "policy": policy()}


@lru_cache(maxsize=1)
def script() -> Markup:
    """The script of the pages."""
    return Markup((TEMPLATES / "report.js").read_text("utf-8"))  # noqa: S704  (a file of ours)


@lru_cache(maxsize=1)
def policy() -> Markup:
    """The policy of the pages: nothing is loaded, and no other script than ours runs."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode("ascii")
    allowed = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return Markup(f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'")  # noqa: S704  (of ours)


@lru_cache
def environment(cut: int) -> Environment:
    """The environment of the templates: every value is cut at so many characters, cleaned and escaped."""

    def shown(value: object) -> object:
        if hasattr(value, "__html__"):  # the output of a macro, whose values were shown already
            return value
        text = str(value)
        if len(text) <= cut + SLACK:
            return printable(text)
        return f"{printable(text[:cut])}… ({tr('cut, {count} characters', count=f'{len(text):,}')})"

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def whole(text: str) -> object:
        return escape(printable(text)) if len(text) <= WHOLE else text

    made.globals.update(tr=tr)
    made.filters.update(
        time=seconds,
        plain=units.plain,
        figure=units.figure,
        percentiles=units.percentiles,
        duration=units.duration,
        size=units.size,
        whole=whole,
        outcome=units.outcome,
        css=lambda outcome: re.sub(r"[^a-z]+", "-", str(outcome)),
    )
    made.tests["web"] = lambda text: re.match(r"https?://", str(text)) is not None
    return made
