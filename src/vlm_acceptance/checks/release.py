"""Offline answers beside served ones, and how an engine ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed


class Ended(Protocol):
    """How a process tree ended: what had to be killed, what would not go."""

    @property
    def on_request(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    @property
    def code(self) -> int | None: ...
    @property
    def killed(self) -> tuple[str, ...]: ...
    @property
    def left(self) -> tuple[str, ...]: ...


def reply_to(replies: Mapping[str, Reply], ident: str) -> Reply | NoReply:
    """The offline answer of a request, or that there is none."""
    return replies.get(ident) or NoReply(f"the offline engine gave no answer to {ident}")


def same_texts(
    where: str, served: Sequence[Reply | NoReply], offline: Sequence[Reply | NoReply]
) -> tuple[int, list[Finding]]:
    """How many texts are equal, and one finding for each that is not."""
    found = []
    for number, (left, right) in enumerate(zip(served, offline, strict=True), start=1):
        if isinstance(left, NoReply) or isinstance(right, NoReply) or left.text != right.text:
            seen = [str(side) if isinstance(side, NoReply) else trimmed(side.text) for side in (left, right)]
            found.append(
                Finding(kinds.OFFLINE_TEXT, f"the server's text, {seen[0]}", f"offline {seen[1]}", f"{where}-{number}")
            )
    return len(served) - len(found), found


def ended_cleanly(ending: Ended | None, what: str) -> list[Finding]:
    """It ended when asked, in time, and left no process."""
    if ending is None:
        return [Finding(kinds.RELEASE_NO_EXIT, f"{what} to end", "it was never asked to")]
    found = []
    if not ending.on_request:
        observed = f"still there after {ending.seconds:g} s; killed: {'; '.join(ending.killed) or 'nothing'}"
        found.append(Finding(kinds.RELEASE_SIGTERM, f"{what} to end on SIGTERM", observed))
    elif ending.killed:
        found.append(
            Finding(kinds.RELEASE_CHILDREN, f"no process left by {what}", f"killed: {'; '.join(ending.killed)}")
        )
    if ending.left:
        found.append(Finding(kinds.RELEASE_LEFT, f"no process of {what}", f"still there: {'; '.join(ending.left)}"))
    return found


def memory_returned(back: bool | None, seen: str) -> list[Finding]:
    """Device memory is what it was before the launch; None, unobserved, is not judged."""
    return [Finding(kinds.RELEASE_MEMORY, "device memory as before the launch", seen)] if back is False else []
