"""Faults of a deployment that confuses pictures: stale caches, lost order, formats that break it."""

from __future__ import annotations

import base64
import binascii
import io
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import (
    CHAT,
    Call,
    Dose,
    Response,
    Rewriter,
    Stages,
    edits_body,
    error_response,
    rewrites_text,
)
from faults_answers import signs_unread
from faults_request import data_url
from faults_response import Meeting, question_of
from PIL import Image, UnidentifiedImageError

Part = dict[str, Any]
SWAP_WAIT_S = 0.5
STORED_SIZE = (448, 448)
FIXED_VERSION = "999.0"


def _parts(body: dict[str, Any] | None) -> list[Part]:
    """The picture parts of the last message."""
    messages = (body or {}).get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else {}
    content = last.get("content") if isinstance(last, dict) else None
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]


def _picture(part: Part) -> Image.Image | None:
    """The picture of a data URL, not yet decoded; None for anything else."""
    url = (part.get("image_url") or {}).get("url") or ""
    try:
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True)))
    except (UnidentifiedImageError, OSError, binascii.Error, Image.DecompressionBombError):
        return None


def _puts(change: Callable[[list[Part]], list[Part]]) -> Stages:
    """The engine gets the picture parts that `change` returns; parts that it leaves out are removed."""

    def request(call: Call) -> Call:
        body = call.json() if call.route in (CHAT, "/tokenize") else None
        parts = _parts(body)
        if body is None or not parts:
            return call
        changed = iter(change(parts))
        kept = []
        for part in body["messages"][-1]["content"]:
            new = next(changed, None) if any(part is one for one in parts) else part
            kept += [] if new is None else [new]
        body["messages"][-1]["content"] = kept
        return call.with_json(body)

    return Stages(request=request)


def _remembers(key: Callable[[Call], str]) -> Stages:
    """The first answer to each key is repeated for all later requests with it; an empty key changes nothing."""
    first: dict[str, str] = {}
    lock = threading.Lock()

    def start(call: Call) -> Rewriter:
        name = key(call)
        known = first.get(name)

        def rewrite(text: str, done: bool) -> str:
            if not name:
                return text
            if known is not None:
                return known if done else known[: len(text)]
            if done:
                with lock:
                    first.setdefault(name, text)
            return text

        return rewrite

    return rewrites_text(start)


def by_text(dose: Dose) -> Stages:
    return _remembers(lambda call: question_of(call) if _parts(call.json()) else "")


def by_picture(dose: Dose) -> Stages:
    return _remembers(lambda call: "".join(part["image_url"]["url"] for part in _parts(call.json())))


def reversed_order(dose: Dose) -> Stages:
    return _puts(lambda parts: parts[::-1])


def beyond_dropped(dose: Dose) -> Stages:
    return _puts(lambda parts: parts[: int(dose.magnitude)])


def of_previous(dose: Dose) -> Stages:
    last: list[list[Part]] = []
    lock = threading.Lock()

    def change(parts: list[Part]) -> list[Part]:
        with lock:
            last.append(parts)
            before = last.pop(0) if len(last) > 1 else parts
        return before if len(before) == len(parts) else parts

    return _puts(change)


def uuid_stale(dose: Dose) -> Stages:
    seen: dict[str, Part] = {}
    puts = _puts(lambda parts: [seen.setdefault(part["uuid"], part) if "uuid" in part else part for part in parts])
    other = edits_body("/version", lambda body: body.update(version=FIXED_VERSION))
    return replace(puts, response=other.response)


def large_signs_unread(dose: Dose) -> Stages:
    """The first so many signs are not read where the picture is not the stored one: in its large form."""

    def is_large(call: Call) -> bool:
        pictures = map(_picture, _parts(call.json()))
        return any(picture is not None and picture.size != STORED_SIZE for picture in pictures)

    return signs_unread(dose, is_large)


def shrunk(dose: Dose) -> Stages:
    def edit(part: Part) -> Part:
        picture, most = _picture(part), int(dose.magnitude)
        if picture is None or max(picture.size) <= most:
            return part
        small = picture.convert("RGB")
        small.thumbnail((most, most))
        return {**part, "image_url": {**part["image_url"], "url": data_url(small)}}

    return _puts(lambda parts: [edit(part) for part in parts])


def _breaks_on(is_hit: Callable[[Image.Image], bool]) -> Stages:
    def instead(call: Call) -> Response | None:
        pictures = [_picture(part) for part in _parts(call.json())] if call.is_chat else []
        hit = any(picture is not None and is_hit(picture) for picture in pictures)
        return error_response(500, "Internal server error") if hit else None

    return Stages(instead=instead)


def breaks_on_rgba(dose: Dose) -> Stages:
    return _breaks_on(lambda picture: picture.mode == "RGBA")


def breaks_on_thin(dose: Dose) -> Stages:
    return _breaks_on(lambda picture: min(picture.size) < dose.magnitude)


def breaks_on_large(dose: Dose) -> Stages:
    return _breaks_on(lambda picture: picture.width * picture.height > dose.magnitude * 1e6)


def caches_idle(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        if call.route != "/metrics":
            return response
        page = re.sub(rb"(?m)^(vllm:(?:prefix|mm)_cache_hits\S*) \S+$", rb"\1 0.0", response.body)
        return replace(response, body=page)

    return Stages(response=response)


def swapped_rarely(dose: Dose) -> Stages:
    meeting = Meeting(SWAP_WAIT_S)

    def start(call: Call) -> Rewriter:
        waits = dose.drawn(call.number).random() < dose.magnitude
        return lambda text, done: meeting.exchange(text, waits) if done else ""

    return rewrites_text(start)
