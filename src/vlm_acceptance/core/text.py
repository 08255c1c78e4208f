"""Foreign text made safe to show: bounded and without control characters."""

from __future__ import annotations


def trimmed(text: object, limit: int = 300) -> str:
    """`repr` of the value, cut to `limit` characters with a note of its full length."""
    shown = repr(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown)} characters)"


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped, so that it cannot control a terminal.

    Line feeds and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
