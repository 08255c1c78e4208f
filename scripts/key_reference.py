"""Writes the reference of keys in docs/profiles.md, from the schema of a profile; the rest of the page stays."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vlm_acceptance.config.model_facts import is_fact
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.yaml_file import model_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "profiles.md"
BEGIN, END = "<!-- keys: written by `make catalogue` -->\n", "<!-- end of keys -->\n"
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "any value"}
FACT = " °"
# a row of a list, and a value of a mapping, in the name of a key below it
ROW, VALUE = "[]", ".NAME"
MOST_SECONDS = 10_000_000
HEAD = "| key | type | default | meaning | example |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its place in a profile, and what the schema says about it."""

    name: str
    type: str
    default: str
    meaning: str
    example: str

    @property
    def row(self) -> str:
        """Its row in a table."""
        mark = FACT if is_fact(self.name.replace(ROW, "")) else ""
        cells = (f"`{self.name}`{mark}", self.type, self.default, self.meaning, self.example)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def reference() -> str:
    """The reference as Markdown: keys of the profile itself, then a table for each section."""
    fields = Profile.model_fields
    sections = {name: model for name, field in fields.items() if (model := model_of(field.annotation))}
    seen: dict[type[BaseModel], str] = {}
    lines = [HEAD, *(key.row for name in fields if name not in sections for key in _keys(name, fields[name], seen))]
    for name, model in sections.items():
        lines += ["", f"### `{name}`{FACT if is_fact(name) else ''}", "", _told(model), "", HEAD]
        lines += [
            key.row for below, field in model.model_fields.items() for key in _keys(f"{name}.{below}", field, seen)
        ]
    return "\n".join([*lines, ""])


def page(text: str) -> str:
    """The page with the present reference between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no {(END if begin else BEGIN).strip()}")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _keys(name: str, field: FieldInfo, seen: dict[type[BaseModel], str]) -> Iterator[Key]:
    """The key itself, and those below it; a section that stands in several places is described at the first."""
    kind, model = _type(field.annotation, field.metadata), _model_below(field.annotation)
    meaning = field.description or ""
    if model is None:
        yield Key(name, kind, _default(field), meaning, _example(field))
        return
    place = f"{name}{_step(field.annotation)}"
    told = meaning or _told(model)
    if model in seen:
        yield Key(name, kind, _default(field), f"{told.rstrip('.')}. Keys as in `{seen[model]}`", _example(field))
        return
    seen[model] = place
    yield Key(name, kind, _default(field), told, _example(field))
    for below, inner in model.model_fields.items():
        yield from _keys(f"{place}.{below}", inner, seen)


def _told(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _model_below(annotation: Any) -> type[BaseModel] | None:
    """The model of a value, or of those in a list or mapping."""
    if model := model_of(annotation):
        return model
    inner = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
    return next((model for arg in inner if (model := _model_below(arg))), None)


def _step(annotation: Any) -> str:
    """How a key below is reached: of a row of a list, or of a value of a mapping."""
    origin = typing.get_origin(annotation)
    return ROW if origin is list else VALUE if origin is dict else ""


def _type(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(args[0], [*args[1:], *metadata])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(arg, metadata) for arg in args if arg is not type(None))
    if origin is list:
        return f"list: {_type(args[0])}"
    if origin is dict:
        return f"mapping: {_type(args[0])} to {_type(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    flat = [one for item in metadata for one in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return _number(annotation, flat)


def _number(kind: Any, metadata: list[Any]) -> str:
    """A plain type with the bounds of a number, such as `whole number, 1 to 8`."""
    if Le(MOST_SECONDS) in metadata:
        return "seconds"
    if kind is float and Ge(0) in metadata and Le(1) in metadata:
        return "share"
    least = next((f"from {one.ge:g}" for one in metadata if isinstance(one, Ge)), "")
    above = next((one.gt for one in metadata if isinstance(one, Gt)), None)
    if above is not None:
        least = f"from {above + 1:g}" if kind is int else f"above {above:g}"
    most = next((f"to {one.le:,.12g}" for one in metadata if isinstance(one, Le)), "")
    most = next((f"below {one.lt:g}" for one in metadata if isinstance(one, Lt)), most)
    bounds = ", ".join(filter(None, (least, most))).replace(", to", " to")
    return f"{WORDS[kind]}{f', {bounds}' if bounds else ''}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    return "" if value is None or isinstance(value, BaseModel) else _shown(value)


def _example(field: FieldInfo) -> str:
    if field.examples:
        return _shown(field.examples[0])
    is_shown = field.default or type(field.default) in (bool, int, float)
    return _default(field) if is_shown and not field.is_required() else ""


def _shown(value: Any) -> str:
    """A value as one would write it in YAML."""
    text = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
