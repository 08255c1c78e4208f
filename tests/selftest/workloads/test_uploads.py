"""Requests with uploads: pictures that are read as PNG, and pictures between texts that fit into the context."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vlm_acceptance.cases.picture_kinds import of_group
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.config.profile import Deadlines
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import Exchange, Request
from vlm_acceptance.core.tiles import TileRule, picture_tokens
from vlm_acceptance.workloads import uploads

RULE = TileRule(tile_px=448, tokens_per_tile=256, min_tiles=1, max_tiles=12, thumbnail=True)
PICTURES = tuple(Picture(Path(f"{n}.png"), ((f"word{n}",),), frozenset()) for n in range(3))
QUESTION = Question("q", "What?", "en", (1, 64), 64, 0, PICTURES)
IMAGES = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (10, 20, 30)]
ASKED = [(QUESTION, picture, image) for picture, image in zip(PICTURES, IMAGES, strict=True)]


def client(said: Callable[[int], object]) -> RecordingClient:
    """A client whose n-th request gets this text."""
    asked: list[Request] = []

    class Served:
        def send(self, request: Request) -> Exchange:
            asked.append(request)
            usage = {"prompt_tokens": 30, "completion_tokens": 3, "total_tokens": 33}
            choice = {"index": 0, "message": {"role": "assistant", "content": said(len(asked) - 1)}}
            body = {"model": "m", "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
            return Exchange("r1", request, "", 0, 1, 200, body=json.dumps(body).encode())

    served: Any = Served()
    return RecordingClient(served, "m", Deadlines(), lambda exchange: None, set())


def test_only_pictures_that_are_read_as_png_are_subjects() -> None:
    found, lost = uploads.read_as_png(client(lambda n: "word1" if n == 1 else "word9"), ASKED, 1, ())
    assert [(one.picture, one.tokens) for one in found] == [(PICTURES[1], 30)]
    assert lost == []
    found, lost = uploads.read_as_png(client(lambda n: None), ASKED, 1, ())
    assert (found, len(lost)) == ([], 3)
    assert lost[0].exchange is not None


def test_a_file_shows_the_subject_of_its_number() -> None:
    subjects, _ = uploads.read_as_png(client(lambda n: f"word{n}"), ASKED, 1, ())
    kind = of_group("other")[0]
    bodies = [uploads.file_body("m", kind, subjects, number) for number in range(4)]
    assert bodies[0] == bodies[3] != bodies[1]


def test_each_picture_stands_after_a_text() -> None:
    content = uploads.between_texts("m", [(64, 64), (32, 32)])["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]


@pytest.mark.parametrize("room", [None, 32768, 4096, 1500, 300])
def test_pictures_between_texts_fit_into_the_context(room: int | None) -> None:
    sizes = uploads.sizes_between(RULE, 10, room)
    cost = sum(picture_tokens(*size, RULE) for size in sizes)
    assert room is None or cost <= max(0, room - uploads.BESIDE_PICTURES)
    assert len(sizes) == {None: 10, 32768: 10, 4096: 5, 1500: 2, 300: 0}[room]


def test_without_a_tile_rule_all_pictures_are_alike() -> None:
    assert uploads.sizes_between(None, 3, 4096) == [uploads.ONE_TILE] * 3
