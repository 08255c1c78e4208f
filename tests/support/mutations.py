"""Valid files made wrong: values replaced, removed, nested and repeated; bytes cut, changed and inserted."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

HOSTILE_TEXTS = (
    "", "x", "\0", "../../etc/passwd", "/etc/passwd", "/dev/zero", "~nobody/x", "\n", "\x1b[2J", "\ud800", "é" * 300,
    "NaN", "1" * 30, "<image 99999999999>", "[" * 300, "x" * 100_000,
)  # fmt: skip
HUGE = "@huge"  # stands for a number of 5,000 digits, which Python does not print
HOSTILE_NUMBERS = (
    0, -1, 1, 2, 0.5, -0.0, 1e308, 1 << 31, 1 << 63, 10**19, 10**400, float("nan"), float("inf"), float("-inf"),
    HUGE,
)  # fmt: skip


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(HOSTILE_TEXTS),
    st.sampled_from(HOSTILE_NUMBERS),
    st.text(max_size=8),
    st.integers(),
    st.sampled_from([90, 150, 400]).map(_deep),
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
Change = Callable[[st.DataObject, Any], None]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value: its container and its key or index."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            yield one, key
            waiting.append(one[key])


def changed(data: st.DataObject, value: Any) -> Any:
    """A copy with one to three of its places changed."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        spots = list(places(value))
        if not spots:
            return data.draw(ANYTHING)
        container, key = data.draw(st.sampled_from(spots))
        _change(data, container, key)
    return value


def _change(data: st.DataObject, container: Any, key: Any) -> None:
    how = data.draw(st.sampled_from(["replace", "replace", "remove", "nest", "repeat", "rename"]))
    if how == "remove":
        del container[key]
    elif how == "nest":
        container[key] = data.draw(st.sampled_from([[container[key]], {"x": container[key]}]))
    elif how == "repeat" and isinstance(container, list):
        container.extend([container[key]] * data.draw(st.sampled_from([1, 50])))
    elif how == "rename" and isinstance(container, dict):
        container[data.draw(st.sampled_from(HOSTILE_TEXTS))] = container.pop(key)
    else:
        container[key] = data.draw(ANYTHING)


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """The bytes cut, changed or with others inserted, in one to three places."""
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        how = data.draw(st.sampled_from(["cut", "flip", "insert", "repeat", "remove"]))
        if how == "cut":
            content = content[:place]
        elif how == "flip" and place < len(content):
            content = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
        elif how == "insert":
            more = data.draw(
                st.sampled_from([b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 300, b"{", b'"', b"\t", b"9" * 99])
            )
            content = content[:place] + more + content[place:]
        elif how == "repeat":
            content = content[:place] + content[max(0, place - 40) : place] * 5 + content[place:]
        else:
            content = content[:place] + content[place + data.draw(st.integers(1, 60)) :]
    return content


def json_text(data: st.DataObject, valid: Any) -> bytes:
    """A valid JSON value with changed places, or with damaged bytes."""
    if data.draw(st.booleans()):
        return damaged(data, json.dumps(valid).encode())
    return _dumped(changed(data, valid))


def json_lines(data: st.DataObject, valid: list[Any]) -> bytes:
    """Valid rows as JSON lines with changed places, or with damaged bytes."""
    if data.draw(st.booleans()):
        return damaged(data, b"".join(json.dumps(row).encode() + b"\n" for row in valid))
    rows = changed(data, valid)
    return b"".join(_dumped(row) + b"\n" for row in (rows if isinstance(rows, list) else [rows]))


def _dumped(value: Any) -> bytes:
    return json.dumps(value).replace(f'"{HUGE}"', "9" * 5000).encode("utf-8")
