"""Faults of clients' requests: a kind or size of picture files is broken."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from typing import Any

from fault_stages import CHAT, Call, Dose, Response, Stages, error_response
from faults_request import data_url
from PIL import Image, ImageOps, UnidentifiedImageError

Part = dict[str, Any]
IsHit = Callable[[Image.Image], bool]
MB = 1_000_000
TOO_LARGE = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
# of a picture that a gateway shrinks
SMALL_PX = 64


def _parts(call: Call) -> tuple[dict[str, Any] | None, list[list[Any]]]:
    """The body of a chat request, and the parts of its messages."""
    body = call.json() if call.route in (CHAT, "/tokenize") else None
    messages = (body or {}).get("messages")
    contents = [one.get("content") for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return body, [content for content in contents if isinstance(content, list)]


def _opened(part: Any) -> Image.Image | None:
    """The picture of a data URL, not yet decoded; None for anything else."""
    source = part.get("image_url") if isinstance(part, dict) else None
    url = source.get("url") if isinstance(source, dict) else None
    try:
        return Image.open(io.BytesIO(base64.b64decode(str(url).partition(",")[2], validate=True)))
    except (UnidentifiedImageError, OSError, binascii.Error, Image.DecompressionBombError):
        return None


def _edits(edit: Callable[[Part, Image.Image], Part]) -> Stages:
    """The engine gets the picture parts that `edit` returns."""

    def request(call: Call) -> Call:
        body, contents = _parts(call)
        if body is None or not contents:
            return call
        for content in contents:
            content[:] = [part if (seen := _opened(part)) is None else edit(part, seen) for part in content]
        return call.with_json(body)

    return Stages(request=request)


def _with_picture(part: Part, picture: Image.Image) -> Part:
    return {**part, "image_url": {**part["image_url"], "url": data_url(picture)}}


def _replaces(is_hit: IsHit, change: Callable[[Image.Image], Image.Image]) -> Callable[[Dose], Stages]:
    """Pictures of one kind arrive changed, as a PNG."""

    def edit(part: Part, picture: Image.Image) -> Part:
        return _with_picture(part, change(picture)) if is_hit(picture) else part

    return lambda dose: _edits(edit)


def breaks_on(is_hit: IsHit) -> Callable[[Dose], Stages]:
    """A request with a picture of one kind is answered with status 500."""

    def instead(call: Call) -> Response | None:
        pictures = [_opened(part) for content in _parts(call)[1] for part in content] if call.is_chat else []
        hit = any(picture is not None and is_hit(picture) for picture in pictures)
        return error_response(500, "cannot write this mode") if hit else None

    return lambda dose: Stages(instead=instead)


def body_limited(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        is_over = call.is_chat and len(call.body) > dose.magnitude * MB
        return Response(413, {"content-type": "text/html"}, TOO_LARGE) if is_over else None

    return Stages(instead=instead)


def large_shrunk(dose: Dose) -> Stages:
    def edit(part: Part, picture: Image.Image) -> Part:
        if len(part["image_url"]["url"]) <= dose.magnitude * MB:
            return part
        return _with_picture(part, picture.convert("RGB").resize((SMALL_PX, SMALL_PX)))

    return _edits(edit)


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def _on_black(picture: Image.Image) -> Image.Image:
    shown = picture.convert("RGBA")
    black = Image.new("RGBA", shown.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, shown).convert("RGB")


def _is_animated(picture: Image.Image) -> bool:
    return getattr(picture, "n_frames", 1) > 1


def _last_frame(picture: Image.Image) -> Image.Image:
    picture.seek(picture.n_frames - 1)  # type: ignore[attr-defined]
    return picture.convert("RGB")


def _is_palette_png(picture: Image.Image) -> bool:
    return picture.mode == "P" and picture.format == "PNG"


def _swapped(picture: Image.Image) -> Image.Image:
    return Image.merge("RGB", picture.convert("RGB").split()[::-1])


def _is_turned(picture: Image.Image) -> bool:
    return picture.getexif().get(0x0112, 1) != 1


def kind_of_previous(dose: Dose) -> Stages:
    """A GIF arrives as the picture of another request before it."""
    last: list[Part] = []

    def edit(part: Part, picture: Image.Image) -> Part:
        before = last[-1] if last else part
        if picture.format == "GIF":
            return before
        last[:] = [part]
        return part

    return _edits(edit)


def later_lost(dose: Dose) -> Stages:
    """Pictures after a text get lost, but the first so many."""

    def request(call: Call) -> Call:
        body, contents = _parts(call)
        if body is None or not contents:
            return call
        for content in contents:
            kept, is_between, count = [], False, 0
            for part in content:
                is_picture = isinstance(part, dict) and part.get("type") == "image_url"
                is_between = is_between or not is_picture
                count += is_picture and is_between
                kept += [] if is_picture and count > dose.magnitude else [part]
            content[:] = kept
        return call.with_json(body)

    return Stages(request=request)


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Callable[[Dose], Stages]], ...] = (
    ("body-limited-1-mb", "a gateway answers a request of more than so many MB with status 413", 1, body_limited),
    ("body-limited-4-mb", "a gateway answers a request of more than so many MB with status 413", 4, body_limited),
    ("large-upload-shrunk", "a picture of more than so many MB arrives as 64 x 64 pixels", 1, large_shrunk),
    ("cmyk-500", "a CMYK picture is answered with status 500", 1, breaks_on(lambda p: p.mode == "CMYK")),
    ("gif-500", "a GIF is answered with status 500", 1, breaks_on(lambda p: p.format == "GIF")),
    ("bmp-500", "a BMP is answered with status 500", 1, breaks_on(lambda p: p.format == "BMP")),
    ("tiff-500", "a TIFF is answered with status 500", 1, breaks_on(lambda p: p.format == "TIFF")),
    ("webp-500", "a WebP is answered with status 500", 1, breaks_on(lambda p: p.format == "WEBP")),
    ("one-bit-500", "a picture of 1 bit a pixel is answered with status 500", 1, breaks_on(lambda p: p.mode == "1")),
    ("grey-alpha-500", "a grey picture with alpha is answered with status 500", 1, breaks_on(lambda p: p.mode == "LA")),
    ("transparent-on-black", "transparent pictures arrive on black", 1, _replaces(_is_transparent, _on_black)),
    ("turn-ignored", "photos arrive as they are stored, without their EXIF", 1,
     _replaces(_is_turned, lambda p: p.convert("RGB"))),
    ("last-frame", "an animated picture arrives as its last frame", 1, _replaces(_is_animated, _last_frame)),
    ("palette-swapped", "red and blue are swapped in a PNG with a palette", 1, _replaces(_is_palette_png, _swapped)),
    ("cmyk-inverted", "CMYK pictures arrive inverted", 1,
     _replaces(lambda p: p.mode == "CMYK", lambda p: ImageOps.invert(p.convert("RGB")))),
    ("gif-of-previous", "a GIF arrives as the picture of the request before", 1, kind_of_previous),
    ("later-pictures-lost", "of the pictures after a text only so many arrive", 1, later_lost),
)  # fmt: skip
