"""What a run keeps of its pictures for its page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.report.page_gallery import gallery_of
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.report.thumbnails import Sheet
from vlm_acceptance.run.gallery import MOST_ANSWERS, NEW, Gallery

IMAGES = ROOT / "fixtures" / "images" / "ocr"
PICTURES = tuple(Picture(IMAGES / f"sign-{n}.png", ((f"WORD{n}",),), frozenset()) for n in (1, 2))
SIGN = Question("sign", "What is written?", "en", (1, 40), 64, 1, PICTURES)
WRONG = [Finding(kinds.ANSWER_WRONG, "'WORD1'", "'x'")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path, "p", "sk-secret")
    yield made
    made.close()


def reply(text: str) -> Reply:
    return Reply(text, "stop", None, "m", 0.5)


def rows(store: RunStore) -> list[dict[str, Any]]:
    return json.loads((store.folder / "observations" / "gallery.json").read_text("utf-8"))


def test_answers_are_counted_by_question_and_picture(store: RunStore) -> None:
    gallery = Gallery()
    gallery.add_all("t[png]", "ocr", SIGN, [reply("WORD1"), reply("nothing")], [[], WRONG])
    gallery.add_all("t[jpeg]", "ocr", SIGN, [reply("WORD1!"), reply("WORD2")], [[], []])
    gallery.write(store)
    first, second = rows(store)
    assert [(one["asked"], one["right"]) for one in (first, second)] == [(2, 2), (2, 1)]
    assert [one["text"] for one in first["answers"]] == ["WORD1"]
    assert [(one["text"], one["right"], one["test"]) for one in second["answers"]] == [("nothing", False, "t[png]")]
    assert second["answers"][0]["wrong"] == [kinds.ANSWER_WRONG.title]
    assert (store.folder / first["picture"]).read_bytes().startswith(b"\x89PNG")


def test_wrong_answers_after_a_right_one_are_kept_but_not_too_many(store: RunStore) -> None:
    gallery = Gallery()
    for text in ("WORD1", *(f"wrong {n}" for n in range(9))):
        found = [] if text == "WORD1" else WRONG
        gallery.add_all("t", "ocr", SIGN, [reply(text), reply("WORD2")], [found, []])
    gallery.write(store)
    (first, _) = rows(store)
    assert (first["asked"], first["right"]) == (10, 1)
    assert [one["text"] for one in first["answers"]] == ["WORD1", "wrong 0", "wrong 1", "wrong 2"]
    assert len(first["answers"]) == MOST_ANSWERS


def test_a_missing_answer_is_not_right_and_says_why(store: RunStore) -> None:
    gallery = Gallery()
    gallery.add_all("t", "ocr", SIGN, [NoReply("HTTP 500"), reply("WORD2")], [[], []])
    gallery.write(store)
    answer = rows(store)[0]["answers"][0]
    assert (answer["right"], answer["problem"], answer["text"]) == (False, "HTTP 500", "")


def test_a_new_picture_is_written_from_its_own_content(store: RunStore) -> None:
    gallery, content = Gallery(), (IMAGES / "sign-3.png").read_bytes()
    drawn = Picture(Path("1-read-en.png"), (("AMBER",), ("4711",)), frozenset())
    gallery.add("t", NEW, SIGN, drawn, reply("AMBER 4711"), [], lambda: content)
    gallery.write(store)
    (question,) = gallery_of(store.folder, Sheet(), [])[NEW]
    assert question.entries[0].planted == "AMBER, 4711"
    assert question.entries[0].small is not None


def test_an_answer_that_repeats_a_secret_is_masked(store: RunStore) -> None:
    gallery = Gallery()
    gallery.add_all("t", "ocr", SIGN, [reply("it is sk-secret"), reply("WORD2")], [[], []])
    gallery.write(store)
    text = (store.folder / "observations" / "gallery.json").read_text("utf-8")
    assert "sk-secret" not in text
    assert "[masked]" in text


def test_a_run_that_asked_about_no_picture_has_no_gallery(store: RunStore) -> None:
    Gallery().write(store)
    assert not (store.folder / "observations").exists()
