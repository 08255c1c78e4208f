"""Requests about new pictures and texts: a seed decides them, and no two are the same."""

from __future__ import annotations

import base64
import io

from PIL import Image

from vlm_acceptance.cases.challenge_pictures import draw
from vlm_acceptance.checks.challenge import LAYOUTS
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.workloads import challenge

DRAWN = draw(3, 112, [(2, 1)])


def test_half_of_the_new_pictures_are_streamed_and_all_are_greedy() -> None:
    bodies = challenge.bodies("m", DRAWN)
    assert [body.get("stream", False) for body in bodies] == [False, True] * 4
    assert {(body["model"], body["temperature"], body["max_tokens"]) for body in bodies} == {("m", 0.0, 64)}
    assert [body["messages"][0]["content"][1]["text"] for body in bodies] == [one.prompt for one in DRAWN]
    url = bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as sent:
        assert (sent.size, sent.tobytes()) == (DRAWN[0].image.size, DRAWN[0].image.tobytes())


def test_the_offline_engine_gets_the_same_pictures_and_prompts() -> None:
    served = [body["messages"] for body in challenge.bodies("m", DRAWN)]
    asked = challenge.offline_requests(DRAWN)
    assert [one["messages"] for one in asked] == served
    assert [one["id"] for one in asked] == challenge.offline_ids(DRAWN)


def test_texts_are_put_together_of_two_lines() -> None:
    texts = challenge.texts(Chance(1))
    assert list(texts) == list(LAYOUTS)
    short, long = texts["AB"].split("\n")
    assert (texts["BA"], texts["AAAA"]) == (f"{long}\n{short}", "\n".join([short] * 4))
    assert 2 * len(short.split()) < len(long.split())
    assert texts == challenge.texts(Chance(1))
    assert len({challenge.texts(Chance(seed))["AB"] for seed in range(50)}) == 50


def test_new_bodies_are_all_different_and_sampled_ones_have_no_seed() -> None:
    bodies = challenge.new_bodies("m", Chance(1), 7)
    assert len({str(body) for body in bodies}) == 7
    sampled = challenge.sampled_body("m", Chance(1), challenge.url_of(DRAWN[0]))
    assert (sampled["temperature"], sampled["max_tokens"], sampled["ignore_eos"]) == (1.0, 64, True)
    assert "seed" not in sampled
    assert sampled == challenge.sampled_body("m", Chance(1), challenge.url_of(DRAWN[0]))
