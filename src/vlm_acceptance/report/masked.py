"""Secrets masked in values, before they are written: JSON values, exchanges, and the tree of a JUnit file.

Texts from outside are masked. Structure is not: numbers, names of keys, and names and paths of the suite stay, so that
every report can be read whatever the secret is.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlm_acceptance.core.exchange import ErrorDetail, Exchange
from vlm_acceptance.core.masking import Mask

# names of properties and keys whose texts are paths and names of the suite
OWN_PROPERTIES = frozenset({"evidence"})
Place = tuple[Any, Any]  # a list or dict, and the index or key of a text in it


def masked(value: Any, mask: Mask, own: Collection[str] = ()) -> Any:
    """A JSON value of the suite with all texts masked but those below a key in `own`; names of keys stay."""
    if not mask.secrets:
        return value
    if isinstance(value, Mapping):
        return {key: inner if key in own else masked(inner, mask, own) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner, mask, own) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float)) else mask(str(value))


def masked_exchange(exchange: Exchange, mask: Mask) -> Exchange:
    """The exchange with its response masked, also where a secret is split over events; the request is ours."""
    if not mask.secrets:
        return exchange
    error = exchange.error and ErrorDetail(exchange.error.kind, mask(exchange.error.message))
    headers = {mask.long(name): mask(value) for name, value in exchange.headers.items()}
    before = [frame.data for frame in exchange.frames]
    data = masked_documents(before, mask)
    frames = tuple(
        replace(frame, data=text, event=mask(frame.event)) for frame, text in zip(exchange.frames, data, strict=True)
    )
    if data != before:
        body = "".join(f"data: {text}\n\n" for text in data).encode("utf-8", "surrogatepass")
    else:
        text = exchange.body.decode("utf-8", "surrogateescape")
        (shown,) = masked_documents([text], mask)
        body = exchange.body if shown == text else shown.encode("utf-8", "surrogateescape")
    return replace(exchange, error=error, headers=headers, frames=frames, body=body)


def masked_documents(texts: Sequence[str], mask: Mask) -> list[str]:
    """Texts that are JSON or not, masked one by one and as a reader may join them: by the place of a text in them.

    JSON stays JSON, and is written anew only where something was masked.
    """
    values = [_parsed(text) for text in texts]
    places: dict[tuple[Any, ...], list[Place]] = {}
    numbers: list[Place] = []
    tokens: list[tuple[dict[str, Any], str]] = []
    for value in values:
        _collect(value, places, numbers, tokens)
    before = [json.dumps(value) for value in values]
    for group in places.values():
        for (holder, key), text in zip(group, mask.joined([holder[key] for holder, key in group]), strict=True):
            holder[key] = text
    for holder, key in numbers:
        holder[key] = _number(holder[key], mask)
    for holder, token in tokens:
        if holder["token"] != token:
            holder["bytes"] = None  # they spell the token
    shown = []
    for text, value, old in zip(texts, values, before, strict=True):
        is_same = json.dumps(value) == old
        shown.append(text if is_same else value[0] if len(value) > 1 else json.dumps(_renamed(value[0], mask)))
    return shown


def _parsed(text: str) -> list[Any]:
    """The JSON value of a text in a list; a text that is not JSON with a second item, as a sign."""
    try:
        value = json.loads(text)
        json.dumps(value)
    except (ValueError, RecursionError):
        return [text, None]
    # a bare text or number is no structure
    return [value] if isinstance(value, (dict, list)) else [text, None]


def _collect(
    document: list[Any],
    places: dict[tuple[Any, ...], list[Place]],
    numbers: list[Place],
    tokens: list[tuple[dict[str, Any], str]],
) -> None:
    """Sort the texts of a document by their places: whatever the index in lists, and by the index in the last list."""
    todo: list[tuple[tuple[Any, ...], int | None, Any, Any]] = [((), None, document, 0)]
    while todo:
        path, last, holder, key = todo.pop()
        value = holder[key]
        if isinstance(value, str):
            places.setdefault(path, []).append((holder, key))
            if last is not None:
                places.setdefault((*path, "[]", last), []).append((holder, key))
        elif isinstance(value, dict):
            if isinstance(value.get("token"), str) and "bytes" in value:
                tokens.append((value, value["token"]))
            at = (*path, value["index"]) if isinstance(value.get("index"), int) else path
            todo += [((*at, name), last, value, name) for name in reversed(value)]
        elif isinstance(value, list):
            todo += [((*path, "[]"), index, value, index) for index in reversed(range(len(value)))]
        elif value is not None and not isinstance(value, bool):
            numbers.append((holder, key))


def _number(value: float, mask: Mask) -> object:
    text = str(value)
    return value if mask.long(text) == text else mask.long(text)


def _renamed(value: Any, mask: Mask) -> Any:
    """The value with long secrets masked in the names of keys."""
    if isinstance(value, dict):
        return {mask.long(name): _renamed(inner, mask) for name, inner in value.items()}
    return [_renamed(inner, mask) for inner in value] if isinstance(value, list) else value


def mask_junit(path: Path, mask: Mask) -> None:
    """Mask messages, texts and the values of properties of a JUnit file; names stay. A torn file is masked as text."""
    if not mask.secrets:
        return
    try:
        tree = ET.parse(path)  # noqa: S314  (pytest has just written it)
    except ET.ParseError:
        path.write_text(mask(path.read_text("utf-8", "replace")), "utf-8")
        return
    found = [element for element in tree.iter() if _mask_element(element, mask)]
    if found:
        partial = path.with_name(path.name + ".part")
        tree.write(partial, "utf-8", xml_declaration=True)
        partial.replace(path)


def _mask_element(element: ET.Element, mask: Mask) -> bool:
    """Mask one element; whether it held a secret."""
    before = (element.text, dict(element.attrib))
    if element.text and element.text.strip():
        element.text = mask(element.text)
    if "message" in element.attrib:
        element.set("message", mask(element.attrib["message"]))
    if element.tag == "property" and element.get("name") not in OWN_PROPERTIES:
        element.set("value", mask(element.get("value", "")))
    return before != (element.text, dict(element.attrib))


def mask_lines(path: Path, mask: Mask) -> None:
    """Mask a file of JSON values, one in a line, or of one value, that another program has written."""
    if not mask.secrets or not path.is_file():
        return
    text = path.read_text("utf-8", "surrogateescape")
    lines = text.split("\n") if path.suffix == ".jsonl" else [text]
    shown = "\n".join(_masked_each(lines, mask))
    if shown != text:
        path.write_text(shown, "utf-8", "surrogateescape")


def _masked_each(lines: Sequence[str], mask: Mask) -> Iterator[str]:
    for line in lines:
        yield from masked_documents([line], mask)
