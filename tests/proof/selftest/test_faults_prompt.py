"""The faults of prompts and their tokens change what they promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standins.fault_proxy import FaultProxy
from standins.probes import PROBES, ask, chat, send
from standins.quick_server import CHAT, MODEL, QuickServer

QUESTION_OF_MMMU = chat(
    "Which?\nA. a\nB. b\nAnswer with the option's letter from the given choices directly.", picture=True
)


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        yield server


SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@pytest.mark.parametrize("probe", ["chat", "tokenize"])
def test_an_added_system_message_comes_first_in_chat_and_count(probe: str, engine: QuickServer) -> None:
    with FaultProxy(engine.url, "system-added") as proxy:
        ask(proxy.url, probe)
        got = engine.seen[-1].json()
        send(proxy.url, "POST", "/tokenize", {"model": MODEL, "prompt": "x"})
    assert got == {**PROBES[probe][2], "messages": [SYSTEM, *PROBES[probe][2]["messages"]]}
    assert engine.seen[-1].json() == {"model": MODEL, "prompt": "x"}


def test_only_a_counted_picture_loses_its_first_token(engine: QuickServer) -> None:
    whole = [send(engine.url, "POST", "/tokenize", chat(picture=each)).json() for each in (True, False)]
    with FaultProxy(engine.url, "picture-start-lost") as proxy:
        seen = [send(proxy.url, "POST", "/tokenize", chat(picture=each)).json() for each in (True, False)]
    assert seen == [{**whole[0], "tokens": whole[0]["tokens"][1:], "count": whole[0]["count"] - 1}, whole[1]]


def test_one_question_lacks_the_tokens_of_one_tile(engine: QuickServer) -> None:
    seen = []
    with FaultProxy(engine.url, "tile-lost-once", magnitude=2) as proxy:
        for _ in range(5):
            send(proxy.url, "POST", CHAT, chat())
            seen.append(send(proxy.url, "POST", CHAT, QUESTION_OF_MMMU).json()["usage"])
    usual, lost = seen[0], seen[2]
    assert [one == usual for one in seen] == [True, True, False, True, True]
    assert {key: usual[key] - lost[key] for key in usual if usual[key] != lost[key]} == {
        "prompt_tokens": 16,
        "total_tokens": 16,
    }
