"""Token ids of a reference file, in which a run of one token is [id, length]."""

from __future__ import annotations

from collections.abc import Sequence


def unrolled(listed: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Every id, one after another."""
    return tuple(token for one in listed for token in ([one] if isinstance(one, int) else [one[0]] * one[1]))
