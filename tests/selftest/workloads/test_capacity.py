"""The ladder against a stand-in: prompts of a known length that differ, and steps until the budgets are lost."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from tests.proof.standins.quick_server import MODEL, Behaviour, QuickServer

from vlm_acceptance.checks.load_steps import Climb, State
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.processor import ProcessorClock
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.ladder_sections import Ladder
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.workloads import capacity, load
from vlm_acceptance.workloads.ladder_prompts import Kind, Prompt, coloured_url, kinds_of, prompt_of, text_of

RULE = TileRule(448, 256, 1, 12, True)


@pytest.fixture
def kept() -> list[Exchange]:
    """What was recorded."""
    return []


@pytest.fixture
def client(engine: QuickServer, kept: list[Exchange]) -> RecordingClient:
    return RecordingClient(Client(engine.url), MODEL, Deadlines(), kept.append, set())


def climbed(client: RecordingClient, words: int = 60, **wanted: object) -> Climb:
    ladder = Ladder.model_validate({"concurrency": [1, 2, 4], "step_s": 0.05, "requests": 12, **wanted})
    return capacity.climb(client, Prompt("text-100", words), ladder, 30, Chance(1), lambda _: None)


def test_prompts_of_one_kind_have_the_same_words_in_another_order() -> None:
    chance = Chance(1)
    first, second = text_of(5, chance), text_of(5, chance)
    assert first != second
    assert sorted(first.replace(".", " ").split()) == sorted(second.replace(".", " ").split())
    assert first.count(" word") == 5


def test_a_prompt_has_the_wanted_length_by_the_servers_own_count(client: RecordingClient, engine: QuickServer) -> None:
    for form, length in (("text", 200), ("one_tile", 600), ("many_tiles", 4000)):
        prompt = prompt_of(client, Kind(form, length, ""), RULE)
        assert isinstance(prompt, Prompt)
        pictures = {"text": 0, "one_tile": 258, "many_tiles": 13 * 256 + 2}[form]
        reply = client.chat(text_of(prompt.words, Chance(2)), max_tokens=1).reply
        assert abs(reply.usage.prompt + pictures - length) <= 1  # type: ignore[union-attr]
    # a picture that is new to the engine never goes to /tokenize
    assert not any(b"image_url" in seen.body for seen in engine.seen)


def test_a_server_that_counts_nothing_is_no_answer(client: RecordingClient, engine: QuickServer) -> None:
    engine.behaviour = Behaviour(chat_status=500)
    made = climbed(client)
    assert (made.capacity, made.left_out, made.rungs) == (0, (1, 2, 4), ())
    assert made.broken is not None


def test_pictures_are_of_one_colour_and_all_different() -> None:
    chance, colours = Chance(1), set()
    for _ in range(8):
        content = base64.b64decode(coloured_url((448, 896), chance).partition(",")[2])
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, picture.size) == ("PNG", (448, 896))
            assert picture.convert("RGB").getcolors() is not None
            colours |= {picture.convert("RGB").getpixel((100, 800))}
    assert len(colours) == 8


def test_what_has_no_room_is_not_sent_and_says_why() -> None:
    wanted = Ladder(lengths=[128, 4000], output_tokens=64)
    why = {kind.name: kind.why_not for kind in kinds_of(wanted, RULE, 4050)}
    assert why["text-128"] == ""
    assert why["one_tile-128"] == "its picture alone has 258 tokens"
    assert why["text-4000"] == "4000 tokens and an answer of 64 are more than model.max_model_len, 4050"
    assert [kind.why_not for kind in kinds_of(wanted, RULE, None)].count("") == 4
    small = TileRule(448, 256, 1, 1, False)
    assert kinds_of(wanted, small, None)[-1].why_not == "the model cuts no picture into many tiles"


def test_without_budgets_each_step_holds(client: RecordingClient, kept: list[Exchange]) -> None:
    made = climbed(client)
    assert (made.capacity, made.left_out) == (4, ())
    for rung in made.rungs:
        assert rung.last.times("e2e_s")
        assert sum(one.is_measured for one in rung.last.taken) >= 12
        assert len(rung.last.taken) - len(rung.last.samples) == rung.concurrency
    assert len(kept) == 1 + 3 * capacity.KEPT


def test_a_step_that_is_lost_is_repeated_once_and_ends_the_ladder(client: RecordingClient) -> None:
    made = climbed(client, budgets={"e2e_s": {"p50": 0.000001}})
    assert [[state for _, state in rung.steps] for rung in made.rungs] in ([[State.LOST] * 2], [[State.BUSY] * 2])
    assert made.left_out == (2, 4)
    assert made.held == 0


@pytest.mark.parametrize("hang_s", [0.3, 30])
def test_an_engine_that_compiles_for_its_first_requests_holds_its_budgets(
    engine: QuickServer, monkeypatch: pytest.MonkeyPatch, hang_s: float
) -> None:
    def compiles(before: int) -> None:
        # the first request, and the first four at once; they make no token that /metrics counts for a second
        engine.behaviour = Behaviour(on_chat=compiles, token_delay_s=0.015 if before < 5 else 0)

    engine.behaviour = Behaviour(on_chat=compiles)
    monkeypatch.setattr(load, "POLL_S", 0.05)
    # without the waits of this process, which serves too: they would put a hang off
    blind, deadlines = ProcessorClock(proc=Path("/no-such-folder")), Deadlines(request_s=0.5, cold_s=20)
    client = RecordingClient(Client(engine.url), MODEL, deadlines, lambda _: None, {"chat+stream"}, clock=blind)
    wanted = Ladder.model_validate({"concurrency": [4], "step_s": 0.05, "requests": 12})
    made = capacity.climb(client, Prompt("text-100", 60), wanted, hang_s, Chance(1), lambda _: None)
    assert (made.broken, made.hang, made.capacity) == (None, None, 4)
    assert len(made.rungs[0].steps) == 1


def test_failures_in_a_row_end_a_step(client: RecordingClient, engine: QuickServer) -> None:
    wanted = Ladder.model_validate({"step_s": 60, "requests": 12})

    def body() -> dict[str, object]:
        return {"model": "another", "messages": []}

    made = capacity.step(client, body, wanted, 4, 30)
    assert made.failures.total() == len(made.taken)
    assert len(made.taken) <= capacity.SILENT_IN_A_ROW + 4
