"""The Chinese catalogue: it holds every text for people of the sources, and its compiled form is the same."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.runs import script

from vlm_acceptance.core.language import CATALOGUES, DOMAIN, FOLDERS
from vlm_acceptance.core.sentences import split_holes

CATALOGUE = CATALOGUES / FOLDERS["zh"] / "LC_MESSAGES" / f"{DOMAIN}.po"
ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}")
CODE = re.compile(r"`[^`]*`|pip install .*")
LINE = re.compile(r'^(?:(msgid|msgstr) )?(".*")$')
SOURCE = '''
"""A docstring of a module."""
import re
HEAD = "two words"
NAME = "one"
PATTERN = re.compile("two words of a pattern")

def found(count, names, more=""):
    """A docstring of a function."""
    tail = "one more" if count else "and no more"
    tr("{count} times", count=count)
    return f"{count:d} of {len(names)} right{'; ' + more if more else ''} {', '.join(names) or 'no names'} {{x}}" + tail
'''


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    """The script, as a module."""
    return script("messages")


@pytest.fixture(scope="module")
def collected(messages: ModuleType) -> dict[str, str]:
    """Every text of the sources."""
    return dict(messages.collected())


@pytest.fixture(scope="module")
def translations() -> dict[str, str]:
    """The entries of the .po file, which has no plurals and no contexts."""
    found: dict[str, list[str]] = {"msgid": [], "msgstr": []}
    entries: dict[str, str] = {}
    kind = "msgid"
    for line in [*CATALOGUE.read_text("utf-8").splitlines(), 'msgid ""']:
        if not (read := LINE.match(line)):
            continue
        if read[1] == "msgid" and found["msgstr"]:
            entries["".join(found["msgid"])] = "".join(found["msgstr"])
            found = {"msgid": [], "msgstr": []}
        kind = read[1] or kind
        found[kind].append(ast.literal_eval(read[2]))
    return entries


def test_every_text_of_the_sources_is_in_the_catalogue_and_nothing_else(collected, translations):
    catalogued = set(translations) - {""}
    assert sorted(set(collected) - catalogued) == [], "run make messages, and translate what it lists"
    assert sorted(catalogued - set(collected)) == [], "run make messages"


def test_every_text_has_a_translation_with_the_same_holes(translations):
    for msgid, translation in translations.items():
        assert translation, f"not translated: {msgid!r}"
        if "%(" not in msgid:
            assert sorted(set(split_holes(msgid)[1])) == sorted(set(split_holes(translation)[1])), msgid
        if msgid:
            assert translation == msgid or not ENGLISH.search(CODE.sub("", translation)), msgid
            assert msgid.endswith("\n") == translation.endswith("\n"), msgid


def test_the_compiled_catalogue_is_that_of_the_text(translations):
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {msgid: compiled.gettext(msgid) for msgid in translations if msgid} == {
        msgid: translation for msgid, translation in translations.items() if msgid
    }


def test_texts_and_their_variants_are_collected_but_not_docstrings_and_patterns(messages):
    found = messages._Texts(ast.parse(SOURCE)).found
    assert "two words" in found
    assert "{count} times" in found
    assert "{0} of {1} right {2} {{x}}{3}" in found
    assert "{0} of {1} right; {2} no names {{x}}{3}" in found
    assert {"one more", "and no more"} <= set(found)
    assert not [text for text in found if "docstring" in text or "pattern" in text or text == "one"]


def test_sentences_of_checks_and_of_templates_are_collected(messages, collected, tmp_path: Path):
    page = tmp_path / "page.j2"
    page.write_text('<p title="{{ tr("a title") }}">{{ tr("{n} times", n=3) }}{{ tr(stored) }}</p>', "utf-8")
    assert list(messages._of_template(page)) == ["a title", "{n} times"]
    assert "No test of this name MUST be there." not in collected
    assert "`/health` MUST answer 200 within its deadline." in collected
    assert "A PNG cut short MUST be refused with a readable 4xx." in collected
