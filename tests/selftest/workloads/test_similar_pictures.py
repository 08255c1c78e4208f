"""Similar pictures differ in the picture alone, a seed decides their order, and a mix-up of answers is found."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from itertools import groupby

import pytest
from PIL import Image

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.config.profile import LongSimilarPictures
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.run.inputs import CASES, IMAGES
from vlm_acceptance.workloads import similar_pictures

EVERY = similar_pictures.all_pictures(load_categories(CASES, IMAGES))


def exchange(text: str) -> Exchange:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    body = {"model": "m", "choices": [choice], "usage": usage}
    return Exchange("r1", Request("POST", "/"), "t", 0, 1, 200, body=json.dumps(body).encode())


COPIES = LongSimilarPictures(copies=3, preamble=False)
LOST = Exchange("r1", Request("POST", "/"), "t", 0, 1, error=ErrorDetail("reset", "gone"))


def test_every_picture_is_there_with_a_name_of_its_own() -> None:
    assert len({one.name for one in EVERY}) == len(EVERY) == 56
    assert len(similar_pictures.of_question(EVERY, "understanding/plum")) == 8
    assert {one.group for one in similar_pictures.of_question(EVERY, None)} == {EVERY[0].group}


def test_bodies_of_a_question_differ_in_the_picture_alone() -> None:
    for body in (similar_pictures.short_body, lambda m, t: similar_pictures.long_body(m, t, LongSimilarPictures())):
        first, second = (body("m", one) for one in EVERY[:2])
        (one,), (two,) = ([p for p in b["messages"][0]["content"] if p["type"] == "image_url"] for b in (first, second))
        assert one != two
        one["image_url"]["url"] = two["image_url"]["url"]
        assert first == second


@pytest.mark.parametrize(("wanted", "pictures"), [(LongSimilarPictures(), 1), (COPIES, 3)])
def test_long_bodies_are_long_by_text_or_by_copies(wanted: LongSimilarPictures, pictures: int) -> None:
    *parts, text = similar_pictures.long_body("m", EVERY[0], wanted)["messages"][0]["content"]
    assert len(parts) == pictures
    assert text["text"].endswith(EVERY[0].question.prompt)
    # a token is at most about five letters of English: more than two blocks of 128
    assert (len(text["text"]) > 5 * 256) is wanted.preamble


def test_every_burst_holds_every_picture_shuffled() -> None:
    rounds = list(similar_pictures.bursts(EVERY, 4))
    assert all(Counter(t.name for t in sent) == Counter(t.name for t in EVERY) for sent in rounds)
    assert len({tuple(t.name for t in sent) for sent in rounds}) == 4
    assert list(similar_pictures.bursts(EVERY, 4)) == rounds
    runs = [sum(1 for _ in groupby(sent, key=lambda t: t.group)) for sent in rounds]
    assert runs[1] == runs[3] == 7 and min(runs[0], runs[2]) > 20
    assert sum(map(len, similar_pictures.bursts(EVERY))) > 700


def test_large_pictures_are_of_one_size_and_fill_every_fifth_burst() -> None:
    large = similar_pictures.large(EVERY, None)

    assert [one.name for one in large] == [one.name for one in EVERY]
    assert len({one.url for one in (*large, *EVERY)}) == 112
    assert {png_size(one.url) for one in large} == {(1344, 896)}
    body = similar_pictures.short_body("m", large[0])
    assert body["messages"][0]["content"][0]["image_url"]["url"] == large[0].url
    rounds = list(similar_pictures.bursts(EVERY, 10, large))
    assert [number for number, sent in enumerate(rounds) if sent[0].url in {one.url for one in large}] == [4, 9]
    assert [len(sent) for sent in rounds] == [56] * 10


def png_size(url: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return picture.size


def test_a_swap_between_questions_is_found_and_right_answers_have_no_finding() -> None:
    sent = [EVERY[0], next(t for t in EVERY if t.question.id == "receipt")]
    right = [exchange(" ".join(part[0] for part in one.picture.parts)) for one in sent]
    assert similar_pictures.mixed_up(sent, right) == []
    assert [found.where for found in similar_pictures.mixed_up(sent, right[::-1])] == [one.name for one in sent]
    assert [found.check for found in similar_pictures.mixed_up(sent, [right[0], LOST])] == ["pictures.missing"]


def test_prompt_tokens_are_those_of_the_answer() -> None:
    assert similar_pictures.prompt_tokens_of(exchange("x")) == 9
    assert similar_pictures.prompt_tokens_of(LOST) is None
