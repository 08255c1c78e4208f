"""Answers with log probabilities, made for the selftests of the checks of parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vlm_acceptance.checks.parameters_answer import Answered, answer_of
from vlm_acceptance.core.exchange import CHAT, ErrorDetail, Exchange, Frame, Request
from vlm_acceptance.core.finding import Finding

BROKEN = Exchange("r1", Request("POST", CHAT), "t", 0, 1, error=ErrorDetail("reset", "by peer"))
HOT, TIE = 1.5, 0.5


def entry(name: str, p: float = -0.1, **others: float) -> dict[str, Any]:
    """A token named `token_id:N`, or by its text, with its alternatives."""
    top = [{"token": one, "logprob": value} for one, value in {name: p, **others}.items()]
    return {"token": name, "logprob": p, "bytes": list(f" w{name[-1]}".encode()), "top_logprobs": top}


def sure(*numbers: int) -> list[dict[str, Any]]:
    """Tokens that are far likelier than any other."""
    return [entry(f"token_id:{number}", -0.01, **{"token_id:98": -9.0}) for number in numbers]


def unsure(*numbers: int, p: float = -3.0) -> list[dict[str, Any]]:
    """Tokens that are less likely than another one."""
    return [entry(f"token_id:{number}", p, **{"token_id:98": -0.2, "token_id:97": -2.0}) for number in numbers]


def body(entries: Sequence[dict[str, Any]] | None, reason: str = "stop", **more: Any) -> dict[str, Any]:
    tokens = len(entries or ())
    choice = {"index": 0, "message": {"content": more.pop("text", "a text")}, "finish_reason": reason}
    choice |= {"logprobs": None if entries is None else {"content": list(entries)}}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    return {"model": "m", "choices": [choice], "usage": usage, **more}


def answer(entries: Sequence[dict[str, Any]] | None, reason: str = "stop", **more: Any) -> Exchange:
    return Exchange(
        "r1", Request("POST", CHAT, {}), "t", 0, 1, 200, body=json.dumps(body(entries, reason, **more)).encode()
    )


def streamed(entries: Sequence[dict[str, Any]], **more: Any) -> Exchange:
    """The same in chunks of one token."""
    usage = body(entries)["usage"]
    chunks = []
    for number, one in enumerate(entries, 1):
        last = number == len(entries)
        piece = {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [one]}}
        chunks.append({"choices": [{**piece, "finish_reason": "length" if last else None}], "usage": more.get("each")})
    raw = [*(json.dumps(chunk) for chunk in (*chunks, {"choices": [], "usage": usage})), "[DONE]"]
    request = Request("POST", CHAT, {"stream_options": {"include_usage": True}}, stream=True)
    return Exchange("s", request, "t", 0, 1, 200, frames=tuple(Frame(n, data) for n, data in enumerate(raw)))


def read(exchange: Exchange) -> Answered:
    found = answer_of(exchange)
    assert isinstance(found, Answered)
    return found


def observed(found: Sequence[Finding]) -> str:
    return " | ".join(one.observed for one in found)


def words(*tokens: str, text: str, reason: str = "stop") -> Exchange:
    entries = [{**entry(token), "bytes": list(token.encode())} for token in tokens]
    return answer(entries, reason, text=text)
