"""A chat endpoint that knows every planted answer and gives it at once.

It knows the capability pictures by their bytes and reads nothing. It stands for a deployment that is right, to measure
how surely a fault put in front of it is caught. It is never accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from standins.quick_server import Behaviour, QuickServer, Seen

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.core.capability import Category


def planted(categories: Iterable[Category]) -> dict[tuple[str, str], str]:
    """The right answer by prompt and picture, as words of the case files."""
    return {
        (question.prompt, png_url(picture.path)): " ".join(part[0] for part in picture.parts)
        for category in categories
        for question in category.questions
        for picture in question.pictures
    }


class OracleServer(QuickServer):
    """A quick server that answers a known prompt about a known picture from `answers`."""

    def __init__(self, answers: Mapping[tuple[str, str], str], model: str) -> None:
        super().__init__(Behaviour(model=model))
        self._answers = answers

    def _chat(self, seen: Seen) -> tuple[int, str, list[bytes]] | None:
        body = json.loads(seen.body)
        content: Any = body["messages"][-1]["content"]
        if isinstance(content, list):
            text = next(part["text"] for part in content if part["type"] == "text")
            url = next((part["image_url"]["url"] for part in content if part["type"] == "image_url"), "")
            said = self._answers.get((text, url), "I do not know this picture.")
            body["messages"] = [{"role": "user", "content": said}]
        return super()._chat(replace(seen, body=json.dumps(body).encode()))
