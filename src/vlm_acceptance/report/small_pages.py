"""Pages over several runs (history, comparison, list of runs): their templates, and how a page is written."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.finding import Verdict
from vlm_acceptance.core.language import language, tr
from vlm_acceptance.core.text import printable

TEMPLATES = Path(__file__).with_name("templates")
CUT = 2000  # characters of one text
TONES = {Verdict.ACCEPTED.value: "good", Verdict.REJECTED.value: "bad"}


def render(template: str, view: Mapping[str, Any]) -> str:
    """A page from its template; every value is cut, cleaned and escaped."""
    return _environment().get_template(template).render({**view, "language": "zh-CN" if language() == "zh" else "en"})


@lru_cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["tr"] = tr
    return made


def _shown(value: object) -> object:
    if hasattr(value, "__html__"):  # a chart, or the output of a macro
        return value
    text = str(value)
    return printable(text if len(text) <= CUT else f"{text[:CUT]}…")


def tone_of(verdict: str) -> str:
    """The class of a verdict's colour."""
    return TONES.get(verdict, "open")


def link(page: Path, target: Path) -> str:
    """The relative URL of a file from a page, wherever both lie; no name can be read as a scheme."""
    return quote(os.fsencode(os.path.relpath(target.absolute(), page.absolute().parent)))


def replace_file(path: Path, text: str) -> None:
    """Write a file beside its name and put it in its place, so that no reader sees a part; EnvironmentProblem."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        partial.write_text(text, "utf-8", errors="replace")
        partial.replace(path)
    except OSError as broken:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise EnvironmentProblem(f"{path} cannot be written: {broken.strerror}") from None
