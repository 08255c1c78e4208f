"""Faults of edge inputs: broken pictures, pictures that were refused before, unusual fields."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from fault_stages import Call, Cut, Dose, Response, Stages, error_response, json_response
from faults_server import small_answer
from PIL import Image


def pictures_of(call: Call) -> list[str]:
    """The addresses of all pictures in a chat request."""
    return _pictures_in(call.json()) if call.is_chat else []


def _pictures_in(body: dict[str, Any] | None) -> list[str]:
    messages = (body or {}).get("messages")
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
    except (OSError, ValueError, Image.DecompressionBombError):
        return True
    return False


CACHE_MISS = "Expected a cached item for mm_hash"


def refused_poisons(dose: Dose) -> Stages:
    """The form of vLLM 0.18, on any version: for ever."""
    refused, response = _refused_pictures()

    def instead(call: Call) -> Response | None:
        return error_response(500, CACHE_MISS) if refused.intersection(pictures_of(call)) else None

    return Stages(instead=instead, response=response)


def refused_fails_once(dose: Dose) -> Stages:
    """The form of later versions, once, but not with their message."""
    refused, response = _refused_pictures()

    def instead(call: Call) -> Response | None:
        again = refused.intersection(pictures_of(call))
        refused.difference_update(again)
        return error_response(500, "The picture is not available.") if again else None

    return Stages(instead=instead, response=response)


def refused_poisons_others(dose: Dose) -> Stages:
    """Every other picture is answered with the message of the known issue, the refused one rightly."""
    refused, response = _refused_pictures()

    def instead(call: Call) -> Response | None:
        asked = pictures_of(call)
        return error_response(500, CACHE_MISS) if refused and asked and not refused.intersection(asked) else None

    return Stages(instead=instead, response=response)


def counted_poisons(dose: Dose) -> Stages:
    """What /tokenize saw first is never answered."""
    counted: set[str] = set()

    def instead(call: Call) -> Response | None:
        return error_response(500, CACHE_MISS) if counted.intersection(pictures_of(call)) else None

    def response(call: Call, response: Response) -> Response:
        if call.route == "/tokenize":
            counted.update(_pictures_in(call.json()))
        return response

    return Stages(instead=instead, response=response)


def _refused_pictures() -> tuple[set[str], Callable[[Call, Response], Response]]:
    refused: set[str] = set()

    def response(call: Call, response: Response) -> Response:
        if 400 <= response.status < 500:
            refused.update(pictures_of(call))
        return response

    return refused, response


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


_FIELDS = {"model", "messages", "max_tokens", "temperature", "stream", "stream_options", "logprobs", "top_logprobs"}
_FIELDS |= {"n", "stop", "seed"}
_ROLES = ("system", "user", "assistant")
_MOST_PIXELS = 10**8


def _is_edge_picture(url: str) -> bool:
    if not url.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")):
        return True
    head = url.partition(",")[2][:32]
    try:
        start = base64.b64decode(head, validate=True)
    except ValueError:
        return True
    if not start.startswith(b"\x89PNG"):
        return is_broken(url)
    width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
    return url.startswith("data:image/jpeg") or width * height > _MOST_PIXELS


def _is_edge_text(text: object) -> bool:
    return not text or any((ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) < 0xE000 for c in str(text))


def is_edge_input(call: Call) -> bool:
    """Whether a chat request is one that only the edge inputs of the suite contain."""
    if not call.is_chat:
        return False
    body = call.json()
    if body is None or body.keys() - _FIELDS:
        return True
    numbers = [body.get(key) or 0 for key in ("n", "max_tokens", "seed", "top_logprobs")]
    if min(numbers) < 0 or max(numbers) > 10**5 or numbers[0] > 100:
        return True
    messages = [m for m in body["messages"] if isinstance(m, dict)] if isinstance(body.get("messages"), list) else []
    texts = [m["content"] for m in messages if isinstance(m.get("content"), str)]
    return (
        any(m.get("role") not in _ROLES for m in messages)
        or any(map(_is_edge_text, texts))
        or any(map(_is_edge_picture, pictures_of(call)))
    )


def odd_accepted(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        if not is_edge_input(call):
            return None
        answer = small_answer(call.number, (call.json() or {}).get("model"))
        return json_response(200, answer)

    return Stages(instead=instead)


def odd_500(dose: Dose) -> Stages:
    return Stages(instead=lambda call: error_response(500, "This was not foreseen.") if is_edge_input(call) else None)


def pictures_refused(dose: Dose) -> Stages:
    return Stages(instead=lambda call: error_response(500, "No pictures today.") if pictures_of(call) else None)
