"""Faults between client and engine: the engine gets another request than the client sent."""

from __future__ import annotations

import base64
import binascii
import io
import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import CHAT, Call, Dose, Stages
from PIL import Image, UnidentifiedImageError

GREY = (128, 128, 128)


def _edits_request(edit: Callable[[dict[str, Any]], None], *routes: str) -> Stages:
    def request(call: Call) -> Call:
        body = call.json() if call.route in routes else None
        if body is None:
            return call
        edit(body)
        return call.with_json(body)

    return Stages(request=request)


def _edits_parts(edit: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Stages:
    """Replace each content part by what `edit` returns, remove it for None; `/tokenize` gets the same prompt."""

    def each(body: dict[str, Any]) -> None:
        for message in body.get("messages") or []:
            if isinstance(message, dict) and isinstance(message.get("content"), list):
                edited = (edit(part) if isinstance(part, dict) else part for part in message["content"])
                message["content"] = [part for part in edited if part is not None]

    return _edits_request(each, CHAT, "/tokenize")


def _edits_pictures(edit: Callable[[Image.Image], Image.Image]) -> Stages:
    def each(part: dict[str, Any]) -> dict[str, Any]:
        source: Any = part.get("image_url")
        picture = _opened(source["url"]) if isinstance(source, dict) and "url" in source else None
        return part if picture is None else {**part, "image_url": {**source, "url": data_url(edit(picture))}}

    return _edits_parts(each)


def _opened(url: str) -> Image.Image | None:
    """The picture of a data URL; None for any other URL and for bytes that are not a picture."""
    if not url.startswith("data:"):
        return None
    try:
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True))).convert("RGB")
    except (UnidentifiedImageError, OSError, binascii.Error, Image.DecompressionBombError):
        return None


def data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def picture_dropped(dose: Dose) -> Stages:
    return _edits_parts(lambda part: None if part.get("type") == "image_url" else part)


def picture_replaced(dose: Dose) -> Stages:
    return _edits_pictures(lambda picture: Image.new("RGB", picture.size, GREY))


def picture_downscaled(dose: Dose) -> Stages:
    def edit(picture: Image.Image) -> Image.Image:
        small = picture.copy()
        small.thumbnail((int(dose.magnitude), int(dose.magnitude)))
        return small.resize(picture.size)

    return _edits_pictures(edit)


def image_bgr(dose: Dose) -> Stages:
    return _edits_pictures(lambda picture: Image.merge("RGB", picture.split()[::-1]))


def picture_recompressed(dose: Dose) -> Stages:
    def edit(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(dose.magnitude))
        return Image.open(file)

    return _edits_pictures(edit)


def _ignores(*keys: str) -> Stages:
    def edit(body: dict[str, Any]) -> None:
        for key in keys:
            body.pop(key, None)

    return _edits_request(edit, CHAT)


def system_added(dose: Dose) -> Stages:
    foreign = {"role": "system", "content": "You are a helpful assistant."}

    def edit(body: dict[str, Any]) -> None:
        if isinstance(body.get("messages"), list):
            body["messages"].insert(0, foreign)

    return _edits_request(edit, CHAT, "/tokenize")


def max_tokens_ignored(dose: Dose) -> Stages:
    return _ignores("max_tokens", "max_completion_tokens")


def stop_ignored(dose: Dose) -> Stages:
    return _ignores("stop")


def n_ignored(dose: Dose) -> Stages:
    return _ignores("n")


def temperature_forced(dose: Dose) -> Stages:
    return _edits_request(lambda body: body.update(temperature=dose.magnitude), CHAT)


def wrong_model_accepted(dose: Dose) -> Stages:
    served: list[str] = []
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy of the environment

    def edit(body: dict[str, Any]) -> None:
        if not served:
            with direct.open(f"{dose.upstream}/v1/models") as models:
                served.extend(card["id"] for card in json.load(models)["data"])
        if "model" in body and body["model"] not in served:
            body["model"] = served[0]

    return _edits_request(edit, CHAT)


def key_not_checked(dose: Dose) -> Stages:
    """All requests get the key of the first request that has one."""
    known: list[str] = []

    def request(call: Call) -> Call:
        others = {name: value for name, value in call.headers.items() if name.lower() != "authorization"}
        own = [value for name, value in call.headers.items() if name.lower() == "authorization"]
        known.extend(own[: not known])
        return replace(call, headers={**others, "Authorization": known[0]}) if known else call

    return Stages(request=request)


def squared_part(part: Any, side: int) -> Any:
    """A content part; a picture in it becomes a square of so many pixels."""
    source: Any = part.get("image_url") if isinstance(part, dict) else None
    picture = _opened(source["url"]) if isinstance(source, dict) and "url" in source else None
    return part if picture is None else {**part, "image_url": {**source, "url": data_url(picture.resize((side, side)))}}
