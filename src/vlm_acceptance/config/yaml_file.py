"""The one reader of YAML: a text or file becomes data or a pydantic model. Every problem is one line."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.text import trimmed

SHOWN = 120
Shape = TypeVar("Shape")


class Section(BaseModel):
    """Base of every section and row of a YAML file: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice; plain YAML would silently keep the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str) -> Any:
    """The data of a YAML text; yaml.YAMLError for a text that is not valid."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)


def read_data(path: Path) -> Any:
    """The data of a YAML file; UsageProblem when it cannot be read."""
    try:
        return parse_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as broken:
        raise UsageProblem(f"{path}: cannot be read as YAML: {' '.join(str(broken).split())}") from None


def read_yaml(path: Path, shape: type[Shape]) -> Shape:
    """The file as `shape`, a pydantic model or a list of models; UsageProblem names the first wrong key."""
    data = read_data(path)
    try:
        return TypeAdapter(shape).validate_python(data)
    except ValidationError as broken:
        raise UsageProblem(f"{path}: {first_error(broken, shape)[1]}") from None


def first_error(broken: ValidationError, shape: Any) -> tuple[str, str]:
    """The dotted key of the first error, and one line with the key, its value, what is allowed and the nearest."""
    errors = broken.errors()
    first = errors[0]
    loc = [str(part) for part in first["loc"] if part != "[key]"]  # added to the loc of a wrong key of a mapping
    key, value = ".".join(loc), trimmed(first["input"], SHOWN)
    if first["type"] == "extra_forbidden":
        fields = fields_at(shape, loc[:-1])
        return key, f"unknown key {key!r} (value {value}); allowed: {', '.join(fields)}.{nearest(loc[-1], fields)}"
    if first["type"] == "missing":
        return key, f"the key {key!r} is missing"
    hint = ""
    if first["type"] == "literal_error":
        allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ",").split(",")]
        hint = nearest(str(first["input"]), allowed)
    also = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:].removesuffix(".")
    end = "" if message.endswith("?") else "."
    return key, f"{f'{key}: ' if key else ''}{value} is not valid: {message}{end}{hint}{also}"


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a type is, alone or in a union with others; None for a list or mapping of models."""
    origin = typing.get_origin(annotation)
    if origin is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if origin in (types.UnionType, typing.Union):
        return next(filter(None, map(model_of, typing.get_args(annotation))), None)
    return None


def fields_at(shape: Any, loc: Sequence[str]) -> list[str]:
    """The keys that a model has at a place in `shape`; [] where there is no model."""
    for part in loc:
        model = model_of(shape)
        if model is None:  # a list or mapping: its values have the last of its types
            shape = next(reversed(typing.get_args(shape)), None)
        else:
            shape = model.model_fields[part].annotation if part in model.model_fields else None
    model = model_of(shape)
    return list(model.model_fields) if model else []
