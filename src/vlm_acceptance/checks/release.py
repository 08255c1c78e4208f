"""Offline answers beside served ones, and how an engine ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed


def reply_to(replies: Mapping[str, Reply], ident: str) -> Reply | NoReply:
    """The offline answer to the request `ident`, or that there is none."""
    return replies.get(ident) or NoReply(f"the offline engine gave no answer to {ident}")


def same_texts(
    where: str, served: Sequence[Reply | NoReply], offline: Sequence[Reply | NoReply]
) -> tuple[int, list[Finding]]:
    """How many texts are equal, and one finding for each that is not."""
    found = []
    for number, (left, right) in enumerate(zip(served, offline, strict=True), start=1):
        if isinstance(left, NoReply) or isinstance(right, NoReply) or left.text != right.text:
            texts = [str(side) if isinstance(side, NoReply) else trimmed(side.text) for side in (left, right)]
            expected, seen = f"the server's text, {texts[0]}", f"offline {texts[1]}"
            found.append(Finding(kinds.OFFLINE_TEXT, expected, seen, f"{where}-{number}"))
    return len(served) - len(found), found


def ended_cleanly(ending: ExitReport | None, what: str) -> list[Finding]:
    """It ended on request, in time, and left no process."""
    if ending is None:
        return [Finding(kinds.RELEASE_NO_EXIT, f"{what} to end", "it was never asked to end")]
    found, killed = [], f"killed: {'; '.join(ending.killed) or 'nothing'}"
    if not ending.on_request:
        observed = f"still running after {ending.seconds:g} s; {killed}"
        found.append(Finding(kinds.RELEASE_SIGTERM, f"{what} to end on SIGTERM", observed))
    elif ending.killed:
        found.append(Finding(kinds.RELEASE_CHILDREN, f"no process left by {what}", killed))
    if ending.left:
        found.append(Finding(kinds.RELEASE_LEFT, f"no process of {what}", f"still running: {'; '.join(ending.left)}"))
    return found


def memory_returned(back: bool | None, seen: str) -> list[Finding]:
    """Device memory is what it was before the launch; not judged if it was not observed (None)."""
    return [Finding(kinds.RELEASE_MEMORY, "device memory as before the launch", seen)] if back is False else []
