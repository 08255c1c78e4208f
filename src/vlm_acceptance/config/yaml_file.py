"""The one reader of YAML: a text or file becomes data or a pydantic model. Every problem is one line."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import DEPTH, BadFile, read_text, shown
from vlm_acceptance.core.text import trimmed

SHOWN = 120
# the slowest text of this size takes a second
YAML_BYTES = 1 << 16
NODES = 3000
DIGITS = 40
MERGE = "tag:yaml.org,2002:merge"
# what PyYAML raises over a value that is not of its tag, such as a date of month 13
_NOT_OF_ITS_TAG = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
Shape = TypeVar("Shape")


class Section(BaseModel):
    """Base of every section and row of a YAML file: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """SafeLoader with limits on size, depth and numbers, which refuses a key given twice and one of another mapping.

    An alias counts as much as what it stands for, so that a small text cannot become a large value.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = self._nodes = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        name: str = getattr(event, "anchor", None) or ""
        before = self._nodes
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias and name in self.anchors and name not in self._sizes:
            raise _refused("a value holds itself", event.start_mark)
        self._nodes += self._sizes.get(name, 1) if is_alias else 1
        if self._nodes > NODES:
            raise _refused(f"it holds more than {NODES} values", event.start_mark)
        if self._level >= DEPTH:
            raise _refused(f"it is nested more than {DEPTH} levels deep", event.start_mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if name and not is_alias:
            self._sizes[name] = self._nodes - before
        return node

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= DEPTH:
            raise _refused(f"it is nested more than {DEPTH} levels deep", self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except _NOT_OF_ITS_TAG as broken:
            shown = trimmed(node.value, 40) if isinstance(node.value, str) else "a value"
            why = f"{shown} is not a valid {node.tag.rpartition(':')[2]}: {broken}"
            raise _refused(why, node.start_mark) from None


def _refused(why: str, mark: yaml.Mark) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, why, mark)


def _mapping(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _refused("a value with the tag of a mapping is not one", node.start_mark)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == MERGE:
            raise _refused("'<<' (a merge of mappings) is not read here; write the keys out", key_node.start_mark)
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (dict, list, set)):
            raise _refused("a key is a mapping or a list", key_node.start_mark)
        if key in found:
            raise _refused(f"the key {key!r} is given twice", node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _whole(loader: _Loader, node: yaml.ScalarNode) -> Any:
    if len(node.value) > DIGITS:
        raise _refused(f"a number of {len(node.value)} digits; at most {DIGITS} are read", node.start_mark)
    return loader.construct_yaml_int(node)


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> float:
    number: float = loader.construct_yaml_float(node)
    if not math.isfinite(number):
        raise _refused(f"{trimmed(node.value, 40)} is not a finite number", node.start_mark)
    return number


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


def parse_yaml(text: str) -> Any:
    """The data of a YAML text; yaml.YAMLError for a text that is not valid, or too large or deep."""
    if len(text) > YAML_BYTES:
        raise yaml.YAMLError(f"it has {len(text)} characters; at most {YAML_BYTES} are read")
    return yaml.load(text, Loader=_Loader)  # noqa: S506  (_Loader is a SafeLoader)


def read_data(path: Path) -> Any:
    """The data of a YAML file; UsageProblem when it cannot be read."""
    try:
        return parse_yaml(read_text(path, YAML_BYTES))
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None
    except yaml.YAMLError as broken:
        why = " ".join(str(broken).split())
        raise UsageProblem(f"{shown(path)}: cannot be read as YAML: {shown(why, 300)}") from None


def read_yaml(path: Path, shape: type[Shape]) -> Shape:
    """The file as `shape`, a pydantic model or a list of models; UsageProblem names the first wrong key."""
    data = read_data(path)
    try:
        return TypeAdapter(shape).validate_python(data)
    except ValidationError as broken:
        raise UsageProblem(f"{shown(path)}: {first_error(broken, shape)[1]}") from None


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
