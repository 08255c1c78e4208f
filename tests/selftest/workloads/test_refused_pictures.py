"""A text that fits into a context alone, and not with its picture."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.exchange import CHAT, Exchange, NoReply, Request
from vlm_acceptance.workloads import refused_pictures


class Served:
    """Answers each route with a status and a body, and keeps the requests."""

    def __init__(self, routes: dict[str, tuple[int, Any]]) -> None:
        self.routes, self.asked = routes, list[Request]()

    def send(self, request: Request) -> Exchange:
        self.asked.append(request)
        status, body = self.routes[request.path]
        return Exchange("r1", request, "", 0, 1, status, body=json.dumps(body).encode())


def asking(routes: dict[str, tuple[int, Any]], **defaults: Any) -> tuple[RecordingClient, Served]:
    served = Served(routes)
    client: Any = served
    return RecordingClient(client, "m", Deadlines(), lambda exchange: None, set(), defaults), served


def answered(prompt_tokens: int) -> tuple[int, Any]:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1, "total_tokens": prompt_tokens + 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "O"}, "finish_reason": "length"}
    return 200, {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


@pytest.mark.parametrize("picture_tokens", [18, 83, 258, 3330])
@pytest.mark.parametrize(("per_word", "rest"), [(1, 15), (1.003, 15), (2, 40), (0.5, 3)])
def test_the_text_fits_alone_and_not_with_the_picture(picture_tokens: int, per_word: float, rest: int) -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(int(len(text) / len("word ") * per_word) + rest)
        return counted[-1]

    refused_pictures.text_below(4096, picture_tokens, count)
    assert counted[-1] + 8 <= 4096 < counted[-1] + picture_tokens
    assert len(counted) <= 5


def test_a_count_that_follows_no_text_is_our_own_problem() -> None:
    with pytest.raises(HarnessProblem, match="no text of 4055 tokens"):
        refused_pictures.text_below(4096, 83, lambda text: 7)


def test_a_text_is_counted_by_the_tokenizer_and_nothing_is_generated() -> None:
    client, served = asking(
        {"/tokenize": (200, {"count": 17})}, chat_template_kwargs={"enable_thinking": False}, seed=1
    )
    assert refused_pictures.text_tokens(client, "one two") == 17
    assert [request.path for request in served.asked] == ["/tokenize"]
    body: Any = served.asked[0].body
    assert (body["chat_template_kwargs"], "seed" in body) == ({"enable_thinking": False}, False)


@pytest.mark.parametrize("tokenize", [(404, {"detail": "Not Found"}), (200, {"count": None}), (200, [])])
def test_without_a_tokenizer_an_answer_of_one_token_counts(tokenize: tuple[int, Any]) -> None:
    client, served = asking({"/tokenize": tokenize, CHAT: answered(17)})
    assert refused_pictures.text_tokens(client, "one two") == 17
    body: Any = served.asked[-1].body
    assert body["max_tokens"] == 1


def test_without_either_there_is_no_count() -> None:
    client, _ = asking({"/tokenize": (404, {}), CHAT: (500, {"error": {"message": "no"}})})
    assert isinstance(refused_pictures.text_tokens(client, "one two"), NoReply)
