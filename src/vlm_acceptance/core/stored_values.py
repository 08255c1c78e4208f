"""Values of the suite out of the JSON of a stored run, by their declared types: dataclasses, findings, exchanges."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from array import array
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import NotStored
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import Severity

# an exchange that is stored by its id, or as a whole row
ExchangeOf = Callable[[Any], Exchange]
_SEQUENCES = (list, tuple, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)


class _Arrays:
    """`array[float]` of an annotation: arrays cannot be subscripted before Python 3.12."""

    def __class_getitem__(cls, _: object) -> type:
        return array


def value_of(kind: Any, stored: Any, exchange_of: ExchangeOf) -> Any:
    """The value of type `kind` that `stored` stands for; ValueError where it stands for none."""
    try:
        return _value(kind, stored, exchange_of)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as broken:
        raise ValueError(f"{type(broken).__name__}: {broken}") from None


def _value(kind: Any, stored: Any, exchange_of: ExchangeOf) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(kind), stored, exchange_of)
    if origin in _SEQUENCES or kind in (list, tuple):
        return _sequence(kind, origin, stored, exchange_of)
    if origin in _MAPPINGS:
        key_of, inner = typing.get_args(kind)
        return {_value(key_of, key, exchange_of): _value(inner, one, exchange_of) for key, one in stored.items()}
    if kind is array:
        return array("d", (float(one) for one in stored))
    if kind is Exchange:
        if not isinstance(stored, (str, Mapping)):
            raise ValueError(f"{stored!r:.80} names no exchange")
        return exchange_of(stored)
    if kind is Finding:
        return _finding(stored, exchange_of)
    if is_dataclass(kind):
        return _dataclass(kind, stored, exchange_of)
    return _plain(kind, stored)


def _plain(kind: Any, stored: Any) -> Any:
    if kind is Any or kind is object:
        return stored
    if kind in (None, type(None)):
        if stored is not None:
            raise ValueError(f"{stored!r:.80} in place of nothing")
        return None
    if kind is float and type(stored) in (int, float):
        return float(stored)
    if kind is int and isinstance(stored, str):  # a key of a JSON object
        return int(stored)
    if kind is Path and isinstance(stored, str):
        return Path(stored)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(stored)
    if kind in (str, int, bool) and type(stored) is kind:
        return stored
    raise ValueError(f"{stored!r:.80} is not of type {kind}")


def _one_of(members: tuple[Any, ...], stored: Any, exchange_of: ExchangeOf) -> Any:
    """The first member that fits; of several dataclasses that with the same fields."""
    if stored is None and type(None) in members:
        return None
    if Exchange in members and type(None) in members:
        try:
            return _value(Exchange, stored, exchange_of)
        except NotStored:  # one that was not recorded: memory must not grow with the requests
            return None
    if isinstance(stored, Mapping):
        same = [one for one in members if is_dataclass(one) and {each.name for each in fields(one)} == stored.keys()]
        members = (*same, *members)
    for member in members:
        try:
            return _value(member, stored, exchange_of)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    raise ValueError(f"{stored!r:.80} fits none of {len(members)} types")


def _sequence(kind: Any, origin: Any, stored: Any, exchange_of: ExchangeOf) -> Any:
    if not isinstance(stored, list):
        raise ValueError(f"{stored!r:.80} is not a list")
    inner = typing.get_args(kind) or (Any, ...)
    is_tuple = (origin or kind) is tuple
    if is_tuple and inner[-1] is not ...:
        return tuple(_value(each, one, exchange_of) for each, one in zip(inner, stored, strict=True))
    values = [_value(inner[0], one, exchange_of) for one in stored]
    return tuple(values) if is_tuple else values


def _dataclass(kind: Any, stored: Any, exchange_of: ExchangeOf) -> Any:
    hints = typing.get_type_hints(kind, localns={"array": _Arrays})
    found = {}
    for one in fields(kind):
        if one.name in stored:
            found[one.name] = _value(hints[one.name], stored[one.name], exchange_of)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{kind.__name__} without {one.name}")
    return kind(**found)


def _finding(stored: Mapping[str, Any], exchange_of: ExchangeOf) -> Finding:
    kind, severity = kinds.BY_ID[stored["check"]], Severity(stored["severity"])
    about = stored.get("exchange")
    expected, observed, where = (_plain(str, stored[name]) for name in ("expected", "observed", "where"))
    return Finding(
        kind,
        expected,
        observed,
        where,
        exchange=None if about is None else exchange_of(about),
        graded=None if severity is kind.severity else severity,
    )
