"""The faults round odd inputs, seen to act."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "proof"))  # the stand-ins are scripts, not a package

from faults_inputs import is_broken
from standins.fault_proxy import FaultProxy
from standins.probes import chat, picture_url, send
from standins.quick_server import CHAT, QuickServer

WHOLE = picture_url()
BROKEN = WHOLE[:-40]
LONG_TEXT = "one " * 5000


@pytest.fixture(scope="module")
def engine() -> Iterator[QuickServer]:
    with QuickServer() as server:
        server.behaviour = replace(server.behaviour, max_model_len=4096)
        yield server


def about(url: str, text: str = "What is this?") -> dict[str, Any]:
    body = copy.deepcopy(chat(text, picture=True))
    body["messages"][0]["content"][0]["image_url"]["url"] = url
    return body


@pytest.mark.parametrize("url", [BROKEN, "data:image/png;base64,%%%", "data:image/png;base64,"])
def test_a_picture_that_cannot_be_read_is_broken(url: str) -> None:
    assert is_broken(url)


@pytest.mark.parametrize("url", [WHOLE, "http://127.0.0.1/x.png", ""])
def test_what_can_be_read_or_is_elsewhere_is_not_broken(url: str) -> None:
    assert not is_broken(url)


def test_a_picture_is_poisoned_by_a_refusal_and_no_other_is(engine: QuickServer) -> None:
    other = picture_url((32, 32))
    with FaultProxy(engine.url, "refused-poisons") as proxy:
        statuses = [
            send(proxy.url, "POST", CHAT, body).status_code
            for body in (about(WHOLE), about(WHOLE, LONG_TEXT), about(WHOLE), about(other), chat())
        ]
    assert statuses == [200, 400, 500, 200, 200]


def test_only_a_broken_picture_is_reset(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "resets-on-broken") as proxy:
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).status_code == 200
        with pytest.raises(requests.ConnectionError):
            send(proxy.url, "POST", CHAT, about(BROKEN))


def test_a_broken_picture_hangs_as_long_as_is_said(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "hangs-on-broken", magnitude=0.3) as proxy:
        with pytest.raises(requests.ConnectionError):
            send(proxy.url, "POST", CHAT, about(BROKEN))
        assert send(proxy.url, "POST", CHAT, about(WHOLE)).elapsed.total_seconds() < 0.3


def test_the_engine_is_told_not_to_stop(engine: QuickServer) -> None:
    with FaultProxy(engine.url, "never-stops") as proxy:
        send(proxy.url, "POST", CHAT, chat())
    assert engine.seen[-1].json()["ignore_eos"] is True
