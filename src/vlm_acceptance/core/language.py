"""The language of texts for people: English msgids, translated at the moment they are shown.

Stored files and JUnit stay in English. `tr` takes a msgid of the sources, or a finished English sentence of a stored
file: the sentence is matched against the msgids with holes, and what filled the holes is put into the translation.
"""

from __future__ import annotations

import functools
import gettext
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.sentences import Catalogue

CATALOGUES = Path(__file__).resolve().parents[1] / "locale"
DOMAIN = "vlm_acceptance"
FOLDERS = {"en": "", "zh": "zh_CN"}
OPTION, SHORT_OPTION, VARIABLE = "--vlm-lang", "--lang", "VLM_LANG"
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # the order of POSIX
_chosen = "en"


def language_of(option: str | None, environ: Mapping[str, str]) -> str:
    """`en` or `zh`: the option, else VLM_LANG, else the locale; UsageProblem for an option with another value."""
    for name, value in ((OPTION, option), (VARIABLE, environ.get(VARIABLE))):
        if value:
            if value not in FOLDERS:
                allowed = ", ".join(FOLDERS)
                raise UsageProblem(
                    f"{name}: {value!r} is not a language; there are: {allowed}.{nearest(value, FOLDERS)}"
                )
            return value
    locale = next((environ[name] for name in LOCALE_VARIABLES if environ.get(name)), "")
    return "zh" if re.match(r"zh(?![a-z])", locale, re.IGNORECASE) else "en"


def option_in(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The words of a command line without --vlm-lang, and its value; what comes after `--` is not for the command."""
    end = words.index("--") if "--" in words else len(words)
    left, chosen, at = [], None, 0
    while at < end:
        name, equals, value = words[at].partition("=")
        if name not in (OPTION, SHORT_OPTION):
            left.append(words[at])
        elif equals:
            chosen = value
        else:
            at += 1
            if at >= end:
                raise UsageProblem(f"{name}: its value is missing, give {name} LANG")
            chosen = words[at]
        at += 1
    return [*left, *words[end:]], chosen


def set_language(name: str) -> None:
    """Show texts in this language from now on: `en` or `zh`."""
    global _chosen
    _chosen = name


def language() -> str:
    """The language that was set."""
    return _chosen


def tr(text: str, **fields: object) -> str:
    """The text in the chosen language, with its {fields} filled in."""
    if fields:
        return _message(text).format(**fields)
    return text if _chosen == "en" or not text else _of_stored(_chosen, text)


def tr_lines(lines: Iterable[str]) -> list[str]:
    """Stored lines in the chosen language; a sentence whose rest was wrapped, behind two blanks, is one line again."""
    if _chosen == "en":
        return list(lines)
    whole: list[str] = []
    for line in lines:
        if line.startswith("  ") and whole:
            whole[-1] = f"{whole[-1]} {line.strip()}"
        else:
            whole.append(line)
    return [tr(line) for line in whole]


def _message(msgid: str) -> str:
    return msgid if _chosen == "en" else _catalogue(_chosen).messages.get(msgid, msgid)


@functools.lru_cache(maxsize=4096)
def _of_stored(name: str, text: str) -> str:
    return _catalogue(name).translated(text)


@functools.lru_cache(maxsize=len(FOLDERS))
def _catalogue(name: str) -> Catalogue:
    path = CATALOGUES / FOLDERS[name] / "LC_MESSAGES" / f"{DOMAIN}.mo"
    with path.open("rb") as file:
        read = gettext.GNUTranslations(file)
    # gettext has no public way to list the messages of a catalogue
    messages: dict[str, str] = vars(read)["_catalog"]
    return Catalogue({key: value for key, value in messages.items() if key and isinstance(key, str) and value})
