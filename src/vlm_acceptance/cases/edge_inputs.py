"""Odd inputs: data, read from `fixtures/edge_inputs.yaml`, and the requests they make."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vlm_acceptance.cases.pictures import JPEG_QUALITY
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.config.yaml_file import read_yaml
from vlm_acceptance.core.errors import HarnessProblem, UsageProblem
from vlm_acceptance.core.exchange import CHAT, Request

TEXT = "Reply with OK."
FEW_TOKENS = 4
_JSON = {"Content-Type": "application/json"}
_MAKERS = ("picture", "url", "served", "bomb", "text", "nested", "fields")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Expectation = Literal["refused", "answered", "right", "refused or answered", "refused or right"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _PictureRow(_Strict):
    kind: Literal["png", "jpeg"] = "png"
    cut: int = Field(default=0, ge=0)
    mime: str | None = None


class _Row(_Strict):
    id: str
    must: str
    expect: Expectation
    smoke: bool = False
    ours: bool = False
    body: Literal["error", "detail"] = "error"
    picture: _PictureRow | None = None
    url: str | None = None
    served: Literal["missing", "redirected", "circle", "endless"] | None = None
    bomb: int | None = Field(default=None, gt=0)
    text: str | None = None
    nested: int | None = Field(default=None, gt=0)
    fields: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_made_one_way(self) -> _Row:
        made = [name for name in _MAKERS if getattr(self, name) is not None]
        if len(made) != 1:
            raise ValueError(f"it is made in exactly one way of {', '.join(_MAKERS)}, not by {made or 'none'}")
        if "MUST" not in self.must:
            raise ValueError("must: it says what MUST hold")
        return self


@dataclass(frozen=True, slots=True)
class OddInput:
    """One odd input: `ours` says that only an engine of ours may be asked, `schema` which body a refusal has."""

    id: str
    must: str
    expect: Expectation
    smoke: bool
    ours: bool
    schema: str
    how: str
    made_of: Any = field(repr=False)

    @property
    def choices(self) -> int:
        """How many choices an answer has."""
        asked = self.made_of.get("n", 1) if self.how == "fields" else 1
        return asked if isinstance(asked, int) else 1

    def request(
        self,
        model: str,
        question: str,
        picture: Path,
        served_at: str | None,
        deadline_s: float,
        defaults: Mapping[str, Any] = MappingProxyType({}),
    ) -> Request:
        """The request; `served_at` is the root of the server of odd pictures, asked for by `served` rows alone.

        `defaults` are the body fields that every chat request carries unless it has its own.
        """
        if self.how == "nested":
            whole = json.dumps({**defaults, **chat_body(model, TEXT, max_tokens=FEW_TOKENS)})
            deep = f'{whole[:-1]}, "surplus": {"[" * self.made_of}{"]" * self.made_of}}}'
            return Request("POST", CHAT, deep.encode("ascii"), _JSON, deadline_s)
        if self.how == "text":
            body = chat_body(model, self.made_of, max_tokens=FEW_TOKENS)
        elif self.how == "fields":
            body = {**chat_body(model, TEXT, max_tokens=FEW_TOKENS), **self.made_of}
        else:
            body = chat_body(model, question, (self._picture_url(picture, served_at),))
        return Request("POST", CHAT, {**defaults, **body}, {}, deadline_s)

    def _picture_url(self, picture: Path, served_at: str | None) -> str:
        if self.how == "url":
            return str(self.made_of)
        if self.how == "served":
            if served_at is None:
                raise HarnessProblem(f"{self.id} needs a server of odd pictures")
            return f"{served_at}/{self.made_of}"
        if self.how == "bomb":
            return _data("image/png", black_png(self.made_of))
        row: _PictureRow = self.made_of
        whole = picture.read_bytes() if row.kind == "png" else _jpeg(picture)
        return _data(row.mime or f"image/{row.kind}", whole[: len(whole) - row.cut])


def load_inputs(path: Path) -> tuple[OddInput, ...]:
    """Every row; UsageProblem names what is wrong with the file."""
    rows = read_yaml(path, list[_Row])
    ids = [row.id for row in rows]
    twice = sorted({ident for ident in ids if ids.count(ident) > 1})
    if twice:
        raise UsageProblem(f"{path}: {', '.join(twice)} is the id of two rows")
    return tuple(_input(row) for row in rows)


def _input(row: _Row) -> OddInput:
    how = next(name for name in _MAKERS if getattr(row, name) is not None)
    ours = row.ours or how == "served"
    return OddInput(row.id, row.must, row.expect, row.smoke, ours, row.body, how, getattr(row, how))


def black_png(side: int) -> bytes:
    """A black greyscale PNG, `side` pixels square, made without the memory it takes to unpack."""
    packer = zlib.compressobj(9)
    line = bytes(side + 1)
    packed = b"".join([*(packer.compress(line) for _ in range(side)), packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _jpeg(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _data(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
