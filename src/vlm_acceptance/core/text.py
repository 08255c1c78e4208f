"""Foreign text made safe to show: bounded and without control characters."""

from __future__ import annotations

import unicodedata


def trimmed(text: object, limit: int = 300) -> str:
    """`repr` of the value, cut to `limit` characters with a note of its full length."""
    shown = repr(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown)} characters)"


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped, so that it cannot control a terminal.

    Line feeds and tabs stay.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def columns_of(char: str) -> int:
    """How many columns of a terminal a character takes: 2 for a Chinese one."""
    return 2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1


def filled_up(text: str, width: int) -> str:
    """The text with blanks to `width` columns of a terminal: before it, or behind it if the width is negative."""
    blanks = " " * (abs(width) - sum(map(columns_of, text)))
    return f"{text}{blanks}" if width < 0 else f"{blanks}{text}"
