"""Faults round odd inputs: what a server does with a broken picture, and with a picture it refused before."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

from fault_stages import Call, Cut, Dose, Response, Stages, error_response
from PIL import Image


def pictures_of(call: Call) -> list[str]:
    """The addresses of all pictures in a chat request."""
    messages = (call.json() or {}).get("messages") if call.is_chat else None
    contents = [m.get("content") for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part["image_url"]["url"] for part in parts if part.get("type") == "image_url"]


def is_broken(url: str) -> bool:
    """Whether an address holds picture data that cannot be read to their end."""
    if not url.startswith("data:"):
        return False
    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True))) as picture:
            picture.load()
    except (OSError, ValueError):
        return True
    return False


def refused_poisons(dose: Dose) -> Stages:
    refused: set[str] = set()

    def instead(call: Call) -> Response | None:
        if not refused.intersection(pictures_of(call)):
            return None
        return error_response(500, "Expected a cached item for mm_hash")

    def response(call: Call, response: Response) -> Response:
        if 400 <= response.status < 500:
            refused.update(pictures_of(call))
        return response

    return Stages(instead=instead, response=response)


def _on_broken_pictures(act: Callable[[Dose], Response | None]) -> Callable[[Dose], Stages]:
    def stages(dose: Dose) -> Stages:
        return Stages(instead=lambda call: act(dose) if any(map(is_broken, pictures_of(call))) else None)

    return stages


def _hang(dose: Dose) -> Response | None:
    dose.pause(dose.magnitude)
    raise Cut


def _reset(dose: Dose) -> Response | None:
    raise Cut


hangs_on_broken = _on_broken_pictures(_hang)
resets_on_broken = _on_broken_pictures(_reset)


def never_stops(dose: Dose) -> Stages:
    def request(call: Call) -> Call:
        body = call.json() if call.is_chat else None
        return call if body is None else call.with_json({**body, "ignore_eos": True})

    return Stages(request=request)
