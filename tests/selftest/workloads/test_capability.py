"""The requests of a capability category by each route, and the judgement of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image
from tests.acceptance.test_capability import fetched_picture
from tests.support.runs import ROOT
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.cases.pictures import encoded
from vlm_acceptance.checks.latency import Sample, row_of
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.capability import Category, Question
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.workloads import capability

IMAGES = ROOT / "fixtures" / "images"
CATEGORIES = load_categories(ROOT / "fixtures" / "cases", IMAGES)
OCR = CATEGORIES[0]


def profile(**keys: object) -> Profile:
    return Profile.model_validate({"name": "p", "model": {"id": "m"}, "capability": keys})


def right(question: Question) -> list[Reply | NoReply]:
    texts = [" ".join(part[0] for part in picture.parts) for picture in question.pictures]
    length = question.tokens[0]
    return [Reply(text, "stop", Usage(100, length, 100 + length), "m", 0.1) for text in texts]


def question_of(category: Category) -> Question:
    return category.questions[0]


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.id)
def test_planted_answers_pass_and_one_prompt_goes_with_eight_pictures(category: Category) -> None:
    for question in (*category.questions, category.translated):
        judged = capability.judged(profile(min_correct=8), category, question, right(question))
        assert judged.findings == []
        assert judged.figures == {
            f"{question.id}_right": "8 of 8",
            f"{question.id}_tokens": str(8 * question.tokens[0]),
        }
        urls = [capability.picture_url(picture, "png", IMAGES, None) for picture in question.pictures]
        bodies = capability.bodies("m", question, urls)
        assert len({str(body["messages"][0]["content"][0]) for body in bodies}) == 8
        assert {body["messages"][0]["content"][1]["text"] for body in bodies} == {question.prompt}
        assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.0, question.max_tokens)}


def test_a_recorded_count_lowers_the_bar_of_its_question_alone() -> None:
    question = question_of(OCR)
    replies = [*right(question)[:3], *(replace(reply, text="unreadable") for reply in right(question)[3:])]
    recorded = profile(min_correct=6, calibrated=True, recorded={"ocr/sign": 5})
    judged = capability.judged(recorded, OCR, question, replies)
    assert (judged.findings, judged.key, judged.right) == ([], "ocr/sign", 3)
    large = capability.judged(recorded, OCR, question, replies, is_large=True)
    assert (large.key, "3 of 8 right, at least 6 required" in large.findings[0].observed) == ("ocr/sign-large", True)
    assert capability.judged(recorded, OCR, question, [*replies[:2], *replies[3:], replies[-1]]).findings


def test_the_bar_under_load_follows_what_was_recorded_or_until_then_counted_alone() -> None:
    weak = {capability.key_of(one, question): 2 for one in CATEGORIES for question in one.questions}
    assert capability.load_bar(profile(min_correct=6), CATEGORIES, {}) == 6
    assert capability.load_bar(profile(min_correct=6), CATEGORIES, weak) == 1
    assert capability.load_bar(profile(min_correct=6, calibrated=True), CATEGORIES, weak) == 6
    recorded = profile(min_correct=6, calibrated=True, recorded=weak)
    assert capability.load_bar(recorded, CATEGORIES, {}) == 1
    assert capability.load_bar(profile(min_correct=6), CATEGORIES, {"ocr/sign": 5}) == 5  # six sixes and a three


def test_too_few_right_answers_are_refused_unless_the_category_is_only_reported() -> None:
    question = question_of(OCR)
    replies = right(question)
    replies[:4] = [NoReply("timeout: gone")] * 4
    judged = capability.judged(profile(min_correct=6), OCR, question, replies)
    assert judged.findings
    assert judged.figures[f"{question.id}_right"] == "4 of 8"
    report_only = profile(min_correct=6, report_only=["ocr"])
    assert all(finding.fatal for finding in capability.judged(report_only, OCR, question, replies).findings)
    assert capability.judged(report_only, OCR, question, replies).findings
    wrong = [*right(question)[:2], *(replace(reply, text="nothing of it") for reply in right(question)[2:])]
    assert capability.judged(profile(min_correct=6), OCR, question, wrong).findings
    assert capability.judged(report_only, OCR, question, wrong).findings == []


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.id)
@pytest.mark.parametrize("text", ["", "庍寎", "!!!!!!!!!!!!"])
def test_a_translated_question_answered_with_garbage_or_nothing_is_refused(category: Category, text: str) -> None:
    garbled = [replace(reply, text=text) for reply in right(category.translated) if isinstance(reply, Reply)]
    found = capability.judged(profile(min_correct=6), category, category.translated, garbled).findings
    assert found[0].where == category.translated.id
    assert found[0].observed.startswith("0 of 8 right")


def test_answers_without_usage_have_no_token_count() -> None:
    question = question_of(OCR)
    bare: list[Reply | NoReply] = [Reply("x", "stop", None, "m", 0.1) for _ in question.pictures]
    assert capability.judged(profile(), OCR, question, bare).figures[f"{question.id}_tokens"] == "no data"


def test_each_route_sends_the_picture_in_its_own_way() -> None:
    picture = question_of(OCR).pictures[0]
    assert capability.picture_url(picture, "png", IMAGES, None).startswith("data:image/png;base64,")
    assert capability.picture_url(picture, "jpeg", IMAGES, None).startswith("data:image/jpeg;base64,")
    assert capability.picture_url(picture, "url", IMAGES, "http://h:1") == "http://h:1/ocr/sign-1.png"
    with pytest.raises(ValueError, match="picture server"):
        capability.picture_url(picture, "url", IMAGES, None)


def test_blind_requests_have_a_grey_picture_or_none() -> None:
    grey, none = capability.blind_bodies("m", question_of(OCR))
    assert grey["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png")
    assert none["messages"][0]["content"] == question_of(OCR).prompt


def test_the_profile_may_limit_the_planted_answers_of_a_blind_answer() -> None:
    question = question_of(OCR)
    assert capability.with_blind_limit(profile(blind_max=0), question).blind_max == 0
    assert capability.with_blind_limit(profile(), question) is question


def test_offline_requests_are_the_same_questions_under_ids_of_their_own() -> None:
    requests = capability.offline_requests(CATEGORIES)
    ids = [request["id"] for request in requests]
    assert len(set(ids)) == len(ids)
    assert ids == [i for c in CATEGORIES for q in c.questions for i in capability.offline_ids(c, q)]
    assert {len(request["messages"][0]["content"]) for request in requests} == {2}


def test_offline_requests_of_large_pictures_are_of_one_question_in_sizes_that_vary() -> None:
    large = capability.offline_large_requests(CATEGORIES, None)
    small = capability.offline_requests(CATEGORIES)[:8]

    assert [one["id"] for one in large] == [f"ocr/sign-large-{number}" for number in range(1, 9)]
    assert not {one["id"] for one in large} & {one["id"] for one in small}
    for one, other in zip(large, small, strict=True):
        assert one["max_tokens"] == other["max_tokens"]
        (picture, text), (shown, same) = one["messages"][0]["content"], other["messages"][0]["content"]
        assert text == same
        assert picture != shown
    assert len({one["messages"][0]["content"][0]["image_url"]["url"] for one in large}) == 8


def test_an_exchange_without_an_answer_is_never_a_text() -> None:
    gone = Exchange("r1", Request("POST", "/x"), "t", 0, 1, error=ErrorDetail("reset", "by peer"))
    assert isinstance(gone.reply, NoReply)


@pytest.mark.parametrize(("status", "said"), [("200 OK", ""), ("404 No", "HTTP 404")])
def test_a_public_picture_is_reachable_or_the_reason_is_given(
    status: str, said: str, wire: Callable[[Answer], WireServer]
) -> None:
    server = wire(lambda request: [response(b"png", status)])
    assert fetched_picture(f"{server.url}/a/b.png?x=1") == (said, None)
    assert server.requests[0].path == "/a/b.png?x=1"


def test_the_size_of_a_public_picture_is_known(wire: Callable[[Answer], WireServer]) -> None:
    file = encoded(Image.new("RGB", (640, 224)), "PNG")
    server = wire(lambda request: [response(file, "200 OK")])
    assert fetched_picture(f"{server.url}/a/b.png") == ("", (640, 224))


def test_a_public_picture_without_a_server_is_unreachable() -> None:
    assert fetched_picture("http://127.0.0.1:9/a.png") == ("connect", None)


def test_a_latency_row_has_medians_of_warm_samples_and_the_cold_one_beside() -> None:
    samples = [Sample(ttft, 0.01, ttft + 1, 10) for ttft in (0.3, 0.1, 0.2)]
    row = row_of(Sample(9.0, 0.01, 10.0, 10), samples)
    assert (row.n, row.ttft_s, row.cold_ttft_s, row.cold_e2e_s) == (3, 0.2, 9.0, 10.0)
    assert row.tokens == 10


def test_prompts_with_a_planted_answer_are_known_from_those_without() -> None:
    planted = capability.planted(CATEGORIES, IMAGES)
    assert ("What is written on the sign?", ("ocr/sign-1.png",)) in planted
    for pictures in (("probe/grey-448.png",), ("chinese/sign-1.png",), ()):
        assert ("What is written on the sign?", pictures) not in planted
