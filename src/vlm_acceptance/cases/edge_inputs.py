"""Edge inputs: rows of `fixtures/edge_inputs.yaml`, and the requests they make."""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from vlm_acceptance.cases.pictures import data_url, jpeg_bytes
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.config.yaml_file import Section, read_yaml
from vlm_acceptance.core.errors import HarnessProblem, UsageProblem
from vlm_acceptance.core.exchange import CHAT, Request

TEXT = "Reply with OK."
FEW_TOKENS = 4
_JSON = {"Content-Type": "application/json"}
_WAYS = ("picture", "url", "served", "bomb", "text", "nested", "fields")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class _PictureFile(Section):
    kind: Literal["png", "jpeg"] = "png"
    cut: int = Field(default=0, ge=0)
    mime: str | None = None


class EdgeInput(Section):
    """One edge input: exactly one of the fields from `picture` on says how its request is made.

    `ours`: only an engine launched by this run gets it. `body` is the schema of the body of a refusal.
    """

    id: str
    must: str = Field(pattern="MUST")
    expect: Literal["refused", "answered", "right", "refused or answered", "refused or right"]
    smoke: bool = False
    ours: bool = False
    body: Literal["error", "detail"] = "error"
    picture: _PictureFile | None = None
    url: str | None = None
    served: Literal["missing", "redirected", "circle", "endless"] | None = None
    bomb: int | None = Field(default=None, gt=0)
    text: str | None = None
    nested: int | None = Field(default=None, gt=0)
    fields: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_made_one_way(self) -> EdgeInput:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"set exactly one of {', '.join(_WAYS)}; set here: {', '.join(given) or 'nothing'}")
        return self

    @property
    def launched_only(self) -> bool:
        """Whether only an engine launched by this run gets it."""
        return self.ours or self.served is not None

    @property
    def choices(self) -> int:
        """How many choices an answer must have."""
        count = (self.fields or {}).get("n", 1)
        return count if isinstance(count, int) else 1

    def request(
        self,
        model: str,
        question: str,
        picture: Path,
        served_at: str | None,
        deadline_s: float,
        defaults: Mapping[str, Any] = MappingProxyType({}),
    ) -> Request:
        """The request. `served_at` is the root of the server of edge pictures, needed by `served` rows only.

        `defaults` are body fields of every chat request; the row's own fields replace them.
        """
        text = TEXT if self.text is None else self.text
        body = {**defaults, **chat_body(model, text, max_tokens=FEW_TOKENS)}
        if self.nested is not None:
            deep = f'{json.dumps(body)[:-1]}, "surplus": {"[" * self.nested}{"]" * self.nested}}}'
            return Request("POST", CHAT, deep.encode("ascii"), _JSON, deadline_s)
        if self.fields is not None:
            body |= self.fields
        elif self.text is None:
            body = {**defaults, **chat_body(model, question, (self._picture_url(picture, served_at),))}
        return Request("POST", CHAT, body, {}, deadline_s)

    def _picture_url(self, picture: Path, served_at: str | None) -> str:
        if self.url is not None:
            return self.url
        if self.served is not None:
            if served_at is None:
                raise HarnessProblem(f"{self.id} needs the server of edge pictures")
            return f"{served_at}/{self.served}"
        if self.bomb is not None:
            return data_url("image/png", black_png(self.bomb))
        file = self.picture or _PictureFile()
        whole = picture.read_bytes() if file.kind == "png" else jpeg_bytes(picture)
        return data_url(file.mime or f"image/{file.kind}", whole[: len(whole) - file.cut])


def load_inputs(path: Path) -> tuple[EdgeInput, ...]:
    """Every row; UsageProblem names what is wrong with the file."""
    rows = read_yaml(path, list[EdgeInput])
    twice = sorted(ident for ident, count in Counter(row.id for row in rows).items() if count > 1)
    if twice:
        raise UsageProblem(f"{path}: {', '.join(twice)} is the id of two rows")
    return tuple(rows)


def black_png(side: int) -> bytes:
    """A black greyscale PNG of `side` x `side` pixels, made without holding its pixels in memory."""
    packer, line = zlib.compressobj(9), bytes(side + 1)
    packed = b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
