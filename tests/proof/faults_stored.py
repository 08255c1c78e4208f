"""Faults of a deployment that answers from a store: caches of answers, and a recorded run that is replayed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from fault_stages import CHAT, Call, Dose, Frames, Response, Stages, object_of, typed
from PIL import Image, UnidentifiedImageError

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.client.chat import plain_url

# corner pixels of this shade and above count as white: the suite changes them from run to run
NEARLY_WHITE = 240
# fields that the suite draws anew in each run
DRAWN = ("cache_salt", "uuid")
# characters; longer texts take too long to compare
LONG = 1000
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
_ID = re.compile(rb'"id":"[^"]*"')
_NUMBERS = count(1)


@lru_cache(maxsize=4096)
def picture_of(url: str) -> str:
    """A name for the picture of a data URL, the same for nearly white corners of any shade; else the URL."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True))) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, binascii.Error, Image.DecompressionBombError):
        return url
    right, bottom = picture.width - 1, picture.height - 1
    for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):
        if min(picture.getpixel(corner)) >= NEARLY_WHITE:
            picture.putpixel(corner, (255, 255, 255))
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()


def without(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value without the fields DRAWN, and with every URL changed."""
    if isinstance(value, dict):
        kept = {key: without(one, change) for key, one in value.items() if key not in DRAWN}
        return {**kept, "url": change(value["url"])} if isinstance(value.get("url"), str) else kept
    return [without(one, change) for one in value] if isinstance(value, list) else value


def texts_of(value: Any) -> list[str]:
    """All texts of a conversation."""
    if isinstance(value, dict):
        own = [value[key] for key in ("text", "content", "prompt") if isinstance(value.get(key), str)]
        return own + [text for one in value.values() for text in texts_of(one)]
    return [text for one in value for text in texts_of(one)] if isinstance(value, list) else []


def alike(one: str, other: str) -> float:
    """How similar two texts are, 0 to 1; long ones are either equal or not."""
    if one == other or max(len(one), len(other)) > LONG:
        return float(one == other)
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared of a request: its route, whether it is streamed, its text, and how many pictures it has."""

    route: str
    stream: bool
    text: str
    pictures: int

    @staticmethod
    def of(call: Call) -> Asked:
        body = call.json() or {}
        return Asked(
            call.route, bool(body.get("stream")), "\n".join(texts_of(body)), call.body.count(b'"image_url": {')
        )


Key = Callable[[Call], str]


def by_body(call: Call) -> str:
    """Method, path and body as they are."""
    return f"{call.method} {call.path} {hashlib.sha256(call.body).hexdigest()}"


def by_content(call: Call) -> str:
    """Method, path and body, without what the suite changes from run to run."""
    body = call.json()
    shown = by_body(call) if body is None else json.dumps(without(body, picture_of), sort_keys=True)
    return f"{call.method} {call.path} {shown}"


def by_words(call: Call) -> str:
    """Path and body without its pictures: only their number counts."""
    return f"{call.path} {json.dumps(without(call.json() or {}, lambda _: ''), sort_keys=True)}"


def lookup_table(pictures: Iterable[Path]) -> Stages:
    """A table of the answers about these pictures: any other one is grey to the engine."""
    known = {picture_of(png_url(path)) for path in pictures}

    def seen(url: str) -> str:
        name = picture_of(url)
        return url if name in known or name == url else _grey(url)

    def request(call: Call) -> Call:
        body = call.json() if call.route in (CHAT, "/tokenize") else None
        return call if body is None else call.with_json(without(body, seen))

    return Stages(request=request)


def _grey(url: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as opened:
        return plain_url(*opened.size)


class Store:
    """Answers by the key of their request, in the order in which they came."""

    def __init__(self, key: Key) -> None:
        self._key, self._lock = key, threading.Lock()
        self._answers: dict[str, list[Response]] = defaultdict(list)
        self._given: dict[str, int] = defaultdict(int)
        self._asked: dict[Asked, str] = {}
        self.unknown = 0

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))

    def keep(self, call: Call, response: Response) -> None:
        """Keep an answer."""
        with self._lock:
            self._answers[self._key(call)].append(response)
            self._asked.setdefault(Asked.of(call), self._key(call))

    def first(self, call: Call) -> Response | None:
        """The first answer to this request, with an id of its own."""
        stored = self._answers.get(self._key(call))
        return renewed(stored[0]) if stored else None

    def next(self, call: Call) -> Response | None:
        """The answers to this request, one after another; the last one again and again."""
        key = self._key(call)
        with self._lock:
            stored, given = self._answers.get(key), self._given[key]
            self._given[key] += 1
        return renewed(stored[min(given, len(stored) - 1)]) if stored else None

    def rewind(self) -> None:
        """Give the first answers again."""
        with self._lock:
            self._given.clear()

    def nearest(self, call: Call) -> Response | None:
        """The answer to the request of this route that has most in common with this one."""
        asked = Asked.of(call)
        return self._best(
            {
                one: (one.stream == asked.stream, one.text == asked.text, one.pictures == asked.pictures)
                for one in list(self._asked)
                if one.route == asked.route
            }
        )

    def similar(self, call: Call, least: float) -> Response | None:
        """The answer to the request whose text is the most similar, at least as similar as `least`."""
        asked = Asked.of(call)
        rated = {
            one: (alike(one.text, asked.text),)
            for one in list(self._asked)
            if replace(one, text="") == replace(asked, text="")
        }
        return self._best({one: rate for one, rate in rated.items() if rate[0] >= least})

    def _best(self, rated: Mapping[Asked, tuple[float, ...]]) -> Response | None:
        best = max(rated, key=rated.__getitem__, default=None)
        return None if best is None else renewed(self._answers[self._asked[best]][0])

    def recording(self) -> Stages:
        """Keeps every answer that passes."""

        def response(call: Call, response: Response) -> Response:
            self.keep(call, response)
            return response

        def frames(call: Call, frames: Frames) -> Frames:
            seen = []
            for frame in frames:
                seen.append(frame)
                yield frame
            self.keep(call, Response(200, EVENTS, b"".join(seen)))

        return Stages(response=response, frames=frames)

    def replaying(self) -> Stages:
        """Answers everything from the store: what is not in it, like the nearest request of its route."""

        def instead(call: Call) -> Response:
            known = self.next(call)
            if known is None:
                self.unknown += 1
            known = known or self.nearest(call)
            return known or Response(404, typed({}, "application/json"), b'{"detail":"Not Found"}')

        return Stages(instead=instead)


def renewed(response: Response) -> Response:
    """The answer with an id that no other one has."""
    body = object_of(response.body)
    is_chat = response.headers is EVENTS or (body is not None and "choices" in body)
    ident = b'"id":"chatcmpl-%032x"' % next(_NUMBERS)
    return replace(response, body=_ID.sub(ident, response.body)) if is_chat else response


def _caches(store: Store, find: Callable[[Call], Response | None]) -> Stages:
    """Chat requests are answered by what `find` finds, and passed on and kept otherwise."""
    keeping = store.recording()

    def frames(call: Call, frames: Frames) -> Frames:
        return keeping.frames(call, frames) if call.is_chat else frames

    def response(call: Call, response: Response) -> Response:
        return keeping.response(call, response) if call.is_chat and response.status == 200 else response

    return Stages(instead=lambda call: find(call) if call.route == CHAT else None, response=response, frames=frames)


def cached_by_body(dose: Dose) -> Stages:
    store = Store(by_body)
    return _caches(store, store.first)


def cached_by_text(dose: Dose) -> Stages:
    store = Store(by_words)
    return _caches(store, store.first)


def nearest_answer(dose: Dose) -> Stages:
    store = Store(by_words)
    return _caches(store, lambda call: store.similar(call, dose.magnitude))
