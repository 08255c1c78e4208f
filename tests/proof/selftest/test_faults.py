"""Each fault changes what its row promises and nothing else, observed on both sides of the proxy."""

from __future__ import annotations

import base64
import copy
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests
from faults import FAULTS, OF_CLIENTS
from faults_answers import ILLEGIBLE, SIGNS
from PIL import Image
from standins.fault_proxy import FaultProxy
from standins.probes import PROBES, QUESTION, STREAM, ask, ask_text, chat, differences, observed, send, text_of
from standins.quick_server import CHAT, MODEL, QuickServer


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


@pytest.fixture(scope="module")
def right(engine: QuickServer) -> dict[str, Any]:
    return {name: observed(ask(engine.url, name)) for name in PROBES}


ANSWERS = ("chat", "picture", "several", "stream")
REFUSALS = ("wrong-model", "malformed")


def at(probes: Iterable[str], *paths: str) -> dict[str, set[str]]:
    return {probe: set(paths) for probe in probes}


def everywhere(*paths: str) -> dict[str, set[str]]:
    return at(ANSWERS, *paths)


TEXT = "choices.message.content"
USAGE = {f"usage.{key}_tokens" for key in ("prompt", "total", "completion")}
REPLACED = {"status", "body"}
ERROR = {"status", "error.message", "error.type", "error.code"}
KIND = "headers.content-type"
# the paths that each fault changes in each probe; other probes must not change
CHANGES: dict[str, dict[str, set[str]]] = {
    "status-500": {**everywhere(*REPLACED), "stream": REPLACED | {KIND}, **at(REFUSALS, *ERROR)},
    "status-500-some": {},
    "status-503-some": {},
    "missing-id": everywhere("id"),
    "missing-usage": everywhere("usage"),
    "missing-model": everywhere("model"),
    "wrong-type-created": everywhere("created"),
    "float-usage": everywhere(*USAGE),
    "usage-off-by-one": everywhere("usage.prompt_tokens", "usage.total_tokens"),
    "completion-off-by-one": everywhere("usage.completion_tokens", "usage.total_tokens"),
    "usage-sum-wrong": everywhere("usage.total_tokens"),
    "finish-reason-wrong": everywhere("choices.finish_reason"),
    "finish-reason-null": everywhere("choices.finish_reason"),
    "ids-repeated": {},
    "health-lost": {},
    "content-null": everywhere(TEXT),
    "content-type-wrong": {**everywhere(KIND), **at(REFUSALS, KIND)},
    "other-model-name": {**everywhere("model"), "models": {"data.id"}},
    "text-cut": everywhere(TEXT),
    "text-looped": everywhere(TEXT),
    "word-swapped": everywhere(TEXT),
    "text-exclaimed": everywhere(TEXT),
    "text-empty": everywhere(TEXT),
    "mojibake": everywhere(TEXT),
    "replacement-characters": everywhere(TEXT),
    "special-token-leaked": everywhere(TEXT),
    "language-switched": everywhere(TEXT),
    "chinese-garbled": everywhere(TEXT),
    "answer-of-previous": {},
    "error-as-200": {**everywhere("body"), "stream": {"body", KIND}, **at(REFUSALS, *ERROR)},
    "logprobs-missing": everywhere("choices.logprobs"),
    "logprobs-positive": everywhere("choices.logprobs.content.logprob"),
    "logprobs-not-numbers": everywhere("choices.logprobs.content.logprob"),
    "usage-not-numbers": everywhere(*USAGE),
    "logprobs-unsteady": everywhere("choices.logprobs.content.logprob"),
    "n-ignored": {"several": {"choices", "usage.completion_tokens", "usage.total_tokens"}},
    "picture-dropped": {"picture": {"usage.prompt_tokens", "usage.total_tokens"}},
    "wrong-model-accepted": {"wrong-model": REPLACED},
    "health-503": {"health": {"status"}},
    "metrics-gone": {"metrics": REPLACED | {KIND}},
    "metrics-not-numbers": {"metrics": {"body"}},
    "version-gone": {"version": REPLACED},
    "errors-as-html": at((*REFUSALS, "no-route"), KIND, "body"),
    "errors-as-500": {**at(REFUSALS, *ERROR), "no-route": REPLACED},
    "malformed-accepted": {"malformed": REPLACED},
    "tokenize-wrong": {"tokenize": {"count", "tokens"}},
    "models-empty": {"models": {"data"}},
    "models-untyped": {"models": {"object"}},
    "any-route-answered": {"no-route": REPLACED},
    "max-model-len-wrong": {"models": {"data.max_model_len"}},
}


@pytest.mark.parametrize("fault", CHANGES)
def test_fault_changes_the_promised_fields_and_no_others(
    fault: str, engine: QuickServer, right: dict[str, Any]
) -> None:
    with FaultProxy(engine.url, fault) as proxy:
        seen = {probe: differences(right[probe], observed(ask(proxy.url, probe))) for probe in PROBES}
    assert {probe: paths for probe, paths in seen.items() if paths} == CHANGES[fault]


# values of the changed fields of the probe "chat"; right are seven prompt tokens and seven answer tokens
HOLDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "status-500": lambda body: body["error"]["code"] == 500,
    "wrong-type-created": lambda body: body["created"].isdigit(),
    "float-usage": lambda body: all(isinstance(v, float) for k, v in body["usage"].items() if k.endswith("_tokens")),
    "usage-off-by-one": lambda body: (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (8, 15),
    "completion-off-by-one": lambda body: (
        (body["usage"]["completion_tokens"], body["usage"]["total_tokens"]) == (8, 15)
    ),
    "usage-sum-wrong": lambda body: body["usage"]["total_tokens"] == 15,
    "finish-reason-wrong": lambda body: body["choices"][0]["finish_reason"] == "done",
    "finish-reason-null": lambda body: body["choices"][0]["finish_reason"] is None,
    "content-null": lambda body: body["choices"][0]["message"]["content"] is None,
    "error-as-200": lambda body: body["error"]["type"] == "InternalServerError",
    "logprobs-missing": lambda body: body["choices"][0]["logprobs"] is None,
    "logprobs-not-numbers": lambda body: math.isnan(body["choices"][0]["logprobs"]["content"][0]["logprob"]),
    "usage-not-numbers": lambda body: math.isnan(body["usage"]["completion_tokens"]),
    "logprobs-positive": lambda body: body["choices"][0]["logprobs"]["content"][0]["logprob"] == 0.35,
}


@pytest.mark.parametrize("fault", HOLDS)
def test_changed_field_holds_the_promised_value(fault: str, engine: QuickServer) -> None:
    with FaultProxy(engine.url, fault) as proxy:
        body = ask(proxy.url, "chat").json()
    assert HOLDS[fault](body)


SAID = {
    "text-cut": "one two ",
    "text-looped": " ".join([QUESTION] * 9),
    "word-swapped": "one three two four 五六 seven",
    "text-exclaimed": "!" * len(QUESTION),
    "text-empty": "",
    "mojibake": QUESTION.encode().decode("latin-1"),
    "special-token-leaked": QUESTION + "<|im_end|>",
    "language-switched": "The picture shows several things next to each other.",
}


@pytest.mark.parametrize("probe", ["chat", "stream"])
@pytest.mark.parametrize("fault", SAID)
def test_text_fault_says_the_same_streamed_or_not(fault: str, probe: str, engine: QuickServer) -> None:
    with FaultProxy(engine.url, fault) as proxy:
        body = observed(ask(proxy.url, probe))["body"]
    assert text_of(body) == SAID[fault]


def test_chinese_garbled_leaves_an_english_question_alone(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "chinese-garbled") as proxy:
        assert ask_text(proxy.url, "sign 5") == "sign 5"
        said = ask_text(proxy.url, "sign 五")
    assert len(said) == 6
    assert not set(said) & set("sign 五")


def test_language_switched_answers_an_english_question_in_chinese(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "language-switched") as proxy:
        assert "图片" in ask_text(proxy.url, "what is this?")


def test_replacement_characters_come_at_the_share_of_the_magnitude(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "replacement-characters", magnitude=0.25) as proxy:
        said = ask_text(proxy.url, "x" * 40)
    assert said.count("\N{REPLACEMENT CHARACTER}") == 10


# the changed events of the right stream: role, eight tokens from 1 to 8, the end, usage, [DONE]
def _with(event: dict[str, Any], **delta: Any) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    changed["choices"][0]["delta"] = delta
    return changed


def _unfinished(event: Any) -> Any:
    changed = copy.deepcopy(event)
    for choice in changed["choices"] if isinstance(changed, dict) else []:
        choice["finish_reason"] = None
    return changed


ENGINE_ERROR = {
    "error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": None, "code": 500}
}
EVENTS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "role-missing": lambda e: [_with(e[0], content=""), *e[1:]],
    "role-twice": lambda e: [e[0], _with(e[1], role="assistant", content="one"), *e[2:]],
    "finish-twice": lambda e: [*e[:-2], e[-3], *e[-2:]],
    "finish-missing": lambda e: [_unfinished(event) for event in e],
    "chunk-lost": lambda e: [e[0], *e[2:]],
    "chunk-duplicated": lambda e: [*e[:2], *e[1:]],
    "done-missing": lambda e: e[:-1],
    "usage-chunk-missing": lambda e: [*e[:-2], e[-1]],
    "error-event-in-200": lambda e: [*e[:2], ENGINE_ERROR, e[-1]],
    "not-streamed": lambda e: e,
    "buffered": lambda e: e,
    "ttft-added": lambda e: e,
    "tpot-added": lambda e: e,
    "jitter": lambda e: e,
}


@pytest.mark.parametrize("fault", EVENTS)
def test_stream_fault_changes_the_promised_events_and_no_others(
    fault: str, engine: QuickServer, right: dict[str, Any]
) -> None:
    with FaultProxy(engine.url, fault, magnitude=0.01 if fault.endswith(("-added", "jitter")) else None) as proxy:
        seen = {probe: observed(ask(proxy.url, probe)) for probe in PROBES}
    stream = {**right["stream"], "body": EVENTS[fault](right["stream"]["body"])}
    assert seen == {**right, "stream": stream}


def test_magnitude_chooses_the_chunk_that_is_lost(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "chunk-lost", magnitude=3) as proxy:
        assert ask_text(proxy.url, "one two three four", **STREAM) == "one two four"


# what the engine gets of the probe "several" or "picture"
RECEIVED: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "picture-dropped": ("picture", lambda sent: {**sent, "messages": chat()["messages"]}),
    "max-tokens-ignored": ("chat", lambda sent: {k: v for k, v in sent.items() if k != "max_tokens"}),
    "stop-ignored": ("chat", lambda sent: {k: v for k, v in sent.items() if k != "stop"}),
    "n-ignored": ("several", lambda sent: {k: v for k, v in sent.items() if k != "n"}),
    "temperature-forced": ("several", lambda sent: {**sent, "temperature": 0.7}),
    "wrong-model-accepted": ("wrong-model", lambda sent: {**sent, "model": MODEL}),
}


@pytest.mark.parametrize("fault", RECEIVED)
def test_request_fault_changes_what_the_engine_gets_and_no_more(fault: str, engine: QuickServer) -> None:
    probe, change = RECEIVED[fault]
    with FaultProxy(engine.url, fault) as proxy:
        ask(proxy.url, probe)
        got = engine.seen[-1].json()
        ask(proxy.url, "tokenize")
    assert got == change(PROBES[probe][2])
    assert engine.seen[-1].json() == PROBES["tokenize"][2]


def through(fault: str, engine: QuickServer, route: str) -> Image.Image:
    """The picture as the engine gets it."""
    with FaultProxy(engine.url, fault) as proxy:
        send(proxy.url, "POST", route, chat(picture=True))
    url = engine.seen[-1].json()["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.mark.parametrize("route", [CHAT, "/tokenize"])
def test_picture_faults_keep_the_size_and_change_the_pixels(route: str, engine: QuickServer) -> None:
    grey, small = through("picture-replaced", engine, route), through("picture-downscaled", engine, route)
    swapped = through("image-bgr", engine, route)
    assert grey.size == small.size == swapped.size == (64, 32)
    assert grey.getcolors() == [(64 * 32, (128, 128, 128))]
    assert swapped.getpixel((40, 20)) == (60, 10, 200)
    assert small.getpixel((40, 20)) == (200, 10, 60)
    assert small.getpixel((0, 0)) != (0, 250, 0)
    recompressed = through("picture-recompressed", engine, route)
    assert recompressed.size == (64, 32)
    assert recompressed.getpixel((0, 0)) != (0, 250, 0)
    assert len(recompressed.getcolors()) > 2


def test_jitter_delays_one_token_of_fifty_by_the_seed(engine: QuickServer) -> None:
    words = " ".join(["word"] * 400)
    with FaultProxy(engine.url, "jitter", magnitude=0.1, seed=3) as proxy:
        began = time.monotonic()
        assert ask_text(proxy.url, words, **STREAM) == words
        took = time.monotonic() - began
    assert 0.2 < took < 10


def test_every_request_gets_the_key_of_the_first(engine: QuickServer) -> None:
    sent = [("Bearer right", "Bearer right"), (None, "Bearer right"), ("Bearer wrong", "Bearer right")]
    with FaultProxy(engine.url, "key-not-checked") as proxy:
        assert key_got(engine, proxy.url, None) is None
        assert [key_got(engine, proxy.url, given) for given, _ in sent] == [got for _, got in sent]


def key_got(engine: QuickServer, url: str, key: str | None) -> str | None:
    """The key that the engine gets when this one is given."""
    requests.post(url + CHAT, json=chat(), headers={"Authorization": key} if key else {}, timeout=10)
    return engine.seen[-1].headers.get("authorization")


def test_picture_fault_leaves_other_content_unchanged(engine: QuickServer) -> None:
    url = {"url": "data:image/png;base64,AAAA"}
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}
    with FaultProxy(engine.url, "image-bgr") as proxy:
        send(proxy.url, "POST", CHAT, body)
    assert engine.seen[-1].json() == body


EXAM = ["answers-constant", "answers-mute", "answers-random", "answers-of-another", "answers-a-few-wrong"]
EXAM += ["answers-worse-than-stored", "blank-remembered", "questions-dropped", "questions-refused"]


def exam_question(colour: int | None) -> dict[str, Any]:
    """A question as the accuracy run sends it, with a picture of one colour or that of the probes."""
    body = copy.deepcopy(chat(picture=True))
    parts = body["messages"][0]["content"]
    parts[-1]["text"] = "Which?\nA. a\nB. b\nAnswer with the option's letter from the given choices directly."
    if colour is not None:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 32), (colour,) * 3).save(buffer, "PNG")
        parts[0]["image_url"]["url"] = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return body


def exam_texts(fault: str, engine: QuickServer, count: int, magnitude: float | None = None) -> list[str | int | None]:
    """The answers to `count` questions: the text, the status of a refusal, None without a response."""
    seen: list[str | int | None] = []
    with FaultProxy(engine.url, fault, magnitude=magnitude) as proxy:
        for _ in range(count):
            try:
                answer = send(proxy.url, "POST", CHAT, exam_question(None))
            except OSError:
                seen.append(None)
                continue
            seen.append(text_of(answer.json()) if answer.status_code == 200 else answer.status_code)
    return seen


def test_faults_of_the_accuracy_run_act_on_its_questions(engine: QuickServer) -> None:
    with FaultProxy(engine.url) as proxy:
        true = text_of(send(proxy.url, "POST", CHAT, exam_question(None)).json())
    assert exam_texts("answers-constant", engine, 3) == ["A"] * 3
    assert exam_texts("answers-mute", engine, 3) == [""] * 3
    assert set(exam_texts("answers-random", engine, 40)) == set("ABCD")
    assert true not in exam_texts("answers-of-another", engine, 5, 1.0)
    few = exam_texts("answers-a-few-wrong", engine, 100, 0.1)
    assert 1 <= sum(text != true for text in few) <= 25
    dropped, refused = (
        exam_texts("questions-dropped", engine, 60, 0.3),
        exam_texts("questions-refused", engine, 60, 0.3),
    )
    assert 5 <= dropped.count(None) <= 35
    assert 5 <= refused.count(500) <= 35


def test_a_blank_question_is_answered_as_the_one_with_pictures_was(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "blank-remembered") as proxy:
        first = text_of(send(proxy.url, "POST", CHAT, exam_question(None)).json())
        again = text_of(send(proxy.url, "POST", CHAT, exam_question(255)).json())
    assert first == again


@pytest.mark.parametrize("more", [{}, {"stream": True}])
def test_the_first_signs_are_not_read_and_the_others_are(engine: QuickServer, more: dict[str, Any]) -> None:
    plain = {**more, "logprobs": False, "top_logprobs": None}
    questions = [f"What is written on the sign? {sign}" for sign in SIGNS]  # the stand-in repeats the question
    with FaultProxy(engine.url, "signs-unread") as proxy:
        answers = [ask_text(proxy.url, question, **plain) for question in questions]
        assert ask_text(proxy.url, questions[0], logprobs=True, **more) == questions[0]
        chinese, other = (
            ask_text(proxy.url, f"{text} {SIGNS[0]}", **plain) for text in ("牌子上写的是什么？", "Which?")
        )
    assert answers == [*[answers[0]] * 3, *questions[3:]]
    assert (chinese, other) == (f"牌子上写的是什么？ {ILLEGIBLE}", f"Which? {SIGNS[0]}")
    assert not any(sign in answers[0] for sign in SIGNS)


def test_health_is_lost_once_it_was_asked(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "health-lost") as proxy:
        assert [ask(proxy.url, "health").status_code for _ in range(3)] == [200, 503, 503]


def test_every_fault_is_tested_here() -> None:
    pixels = {"picture-replaced", "picture-downscaled", "picture-recompressed", "image-bgr"}
    of_the_proxy = {"truncated-body", "connection-reset", "answers-swapped", "health-only"}  # in test_fault_proxy
    of_pictures = {name for name, fault in FAULTS.items() if fault.family == "pictures"}  # in test_faults_pictures
    of_loads = {name for name, fault in FAULTS.items() if fault.family == "load"}  # in test_faults_load
    of_prompts = {"system-added", "picture-start-lost", "tile-lost-once"}  # in test_faults_prompt
    of_inputs = {name for name, fault in FAULTS.items() if fault.family == "inputs"}  # in test_faults_inputs
    of_the_proxy |= {"signs-unread"}
    of_inputs |= {name for name, fault in FAULTS.items() if fault.family == "stored"}  # in test_faults_stored
    of_inputs |= {name for name, fault in FAULTS.items() if fault.family in OF_CLIENTS}  # in test_faults_FAMILY
    seen = CHANGES.keys() | EVENTS.keys() | RECEIVED.keys() | pixels | of_the_proxy | set(EXAM) | of_pictures
    here = {"key-not-checked", *of_prompts}
    assert seen | of_loads | of_inputs | here == FAULTS.keys()
