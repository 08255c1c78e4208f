"""The prompt that is served: it begins as stated, and with a picture as without one; known blanks are a known issue."""

from __future__ import annotations

import json

import pytest

from vlm_acceptance.cases.known_issues import KnownHere, KnownIssue, load_known_issues
from vlm_acceptance.checks.served_prompt import PromptTokens, begins_alike, begins_with, read_tokens
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.core.finding import Finding

HEAD = ["<s>", "<|im_start|>", "user", "\n"]
TURN = ["<|im_end|>", "\n"]
PICTURE = ["<img>", *["<IMG_CONTEXT>"] * 4, "</img>", "\n"]
# as vLLM serves a picture with a slow SentencePiece tokenizer
ENCODED_TWICE = ["▁", "<s>", "<|im_start|>", "▁user", "\n", *PICTURE, "What", "?", *TURN]
VOCABULARY = sorted({*HEAD, *TURN, *PICTURE, *ENCODED_TWICE, "Tell", "system", "You", "x"})


def prompt(*texts: str) -> PromptTokens:
    return PromptTokens(tuple(map(VOCABULARY.index, texts)), texts)


def answer(texts: list[str] | None, ids: object, status: int = 200) -> Exchange:
    body = json.dumps({"count": 1, "tokens": ids, "token_strs": texts}, ensure_ascii=False).encode()
    return Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, status, body=body)


def answered(texts: list[str]) -> Exchange:
    return answer(texts, list(map(VOCABULARY.index, texts)))


TEXTS = (prompt(*HEAD, "What", "?", *TURN), prompt(*HEAD, "Tell", *TURN))
WANTED = prompt(*HEAD, "What", "?")


def test_a_prompt_begins_with_what_is_stated() -> None:
    assert begins_with(TEXTS[0], WANTED) == []


@pytest.mark.parametrize(
    "served",
    [
        [*HEAD[1:], "What", "?", *TURN],
        [*HEAD[:1], "<|im_start|>", "system", "\n", "You", *TURN, *HEAD[1:], "What", "?", *TURN],
        [*HEAD[:3], "What", "?", *TURN],
        [*HEAD, "What"],
    ],
    ids=["no-bos", "system", "no-newline", "cut"],
)
def test_a_prompt_that_begins_otherwise_is_refused_with_its_tokens(served: list[str]) -> None:
    (found,) = begins_with(prompt(*served), WANTED)
    assert found.check == "prompt.start"
    assert found.expected == r"a prompt that begins with '<s>' '<|im_start|>' 'user' '\n' 'What' '?'"
    assert found.observed.startswith(" ".join(map(repr, served[:4])))


def test_a_prompt_with_a_picture_begins_like_one_without() -> None:
    assert begins_alike(TEXTS, prompt(*HEAD, *PICTURE, "What", "?", *TURN)) == []


@pytest.mark.parametrize(
    "served",
    [ENCODED_TWICE, [*HEAD[1:], *PICTURE, "What"], ["<s>", *HEAD, *PICTURE, "What"], [*PICTURE, *HEAD], HEAD[:2]],
    ids=["encoded-twice", "no-bos", "two", "picture-first", "cut"],
)
def test_a_prompt_with_a_picture_that_begins_otherwise_is_refused(served: list[str]) -> None:
    (found,) = begins_alike(TEXTS, prompt(*served))
    assert found.expected == r"as without a picture: '<s>' '<|im_start|>' 'user' '\n' …"
    assert found.where == "a picture"


def test_prompts_without_a_common_start_have_nothing_to_compare() -> None:
    assert begins_alike((prompt("What"), prompt("Tell")), prompt(*PICTURE)) == []


@pytest.fixture
def known() -> tuple[KnownHere, list[KnownIssue]]:
    seen: list[KnownIssue] = []
    issues = load_known_issues(ROOT / "fixtures" / "known_issues.yaml")
    return KnownHere(issues, {"vllm": "0.18.0"}, seen.append), seen


def left(served: list[str], known: KnownHere) -> list[Finding]:
    found = begins_alike(TEXTS, prompt(*served))
    return list(known.filter_known("picture-prompt", found, answered(served), 60))


@pytest.mark.parametrize("served", [ENCODED_TWICE, [*ENCODED_TWICE[:5], "▁", *ENCODED_TWICE[5:]]], ids=["0.18", "0.32"])
def test_blanks_before_the_special_tokens_are_a_known_issue_and_named(
    known: tuple[KnownHere, list[KnownIssue]], served: list[str]
) -> None:
    here, seen = known
    assert left(served, here) == []
    assert [issue.id for issue in seen] == ["picture-prompt-is-encoded-twice"]


@pytest.mark.parametrize(
    "served",
    [
        ["▁", *ENCODED_TWICE[2:]],
        ENCODED_TWICE[2:],
        ["▁", "<s>", "<|im_start|>", "system", "\n", "You", *TURN, *ENCODED_TWICE[2:]],
        ["▁", "▁", *ENCODED_TWICE[1:]],
        [*ENCODED_TWICE[:4], "x", *ENCODED_TWICE[4:]],
        [*ENCODED_TWICE[:5], "x", *ENCODED_TWICE[5:]],
    ],
    ids=["no-bos", "no-blank-no-bos", "system", "two-blanks", "in-the-turn", "before-the-picture"],
)
def test_anything_else_is_not_the_known_issue(served: list[str], known: tuple[KnownHere, list[KnownIssue]]) -> None:
    here, seen = known
    assert [found.check for found in left(served, here)] == ["prompt.start"]
    assert seen == []


def test_another_version_does_not_have_the_issue(known: tuple[KnownHere, list[KnownIssue]]) -> None:
    here = KnownHere(known[0].issues, {"vllm": "0.33.0"}, known[1].append)
    assert len(left(ENCODED_TWICE, here)) == 1


def test_tokens_are_read_with_or_without_their_texts() -> None:
    assert read_tokens(answer(["<s>", "x"], [1, 2])) == PromptTokens((1, 2), ("<s>", "x"))
    bare = read_tokens(answer(None, list(range(20))))
    assert isinstance(bare, PromptTokens)
    assert bare.start() == "0 1 2 3 4 5 6 7 8 9 …"


@pytest.mark.parametrize(
    "seen",
    [
        answer([], []),
        answer(["x"], ["x"]),
        answer(["x"], None),
        answer(["x"], [1], status=404),
        Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, 200, body=b"[1]"),
        Exchange("r1", Request("POST", "/tokenize"), "t", 0, 1, error=ErrorDetail("reset", "by peer")),
    ],
)
def test_an_answer_without_tokens_is_refused(seen: Exchange) -> None:
    found = read_tokens(seen)
    assert isinstance(found, Finding)
    assert (found.check, found.expected) == ("prompt.tokens", "tokens from /tokenize")
