"""Offline answers beside served ones, and how an engine ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlm_acceptance.checks.agreement import Agreement, agreement
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.engine_figures import ExitReport
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.spelling import Spelled, spelled_of
from vlm_acceptance.core.text import trimmed

# of eight; a calibration accepts no fewer
FEWEST_AGREED = 2


def reply_to(replies: Mapping[str, Reply], ident: str) -> Reply | NoReply:
    """The offline answer to the request `ident`, or that there is none."""
    return replies.get(ident) or NoReply(f"the offline engine gave no answer to {ident}")


@dataclass(frozen=True, slots=True)
class OfflineAgreement:
    """How the offline answers to a question compare with the served ones; `found` has one finding for each other."""

    equal: int
    near_ties: int
    found: list[Finding]

    @property
    def agreed(self) -> int:
        """Answers that are equal or differ first at a near-tie."""
        return self.equal + self.near_ties

    @property
    def starved(self) -> list[Finding]:
        """Those about starved requests, of which nobody knows whether they would agree."""
        return [one for one in self.found if one.is_starved]


def same_texts(
    where: str, served: Sequence[Exchange], offline: Sequence[Reply | NoReply], tie: float | None = None
) -> OfflineAgreement:
    """Compare each text; with `tie`, and log probabilities in the served one, it may differ from a near-tie on."""
    found, near_ties = [], 0
    for number, (exchange, right) in enumerate(zip(served, offline, strict=True), start=1):
        left = spelled_of(exchange)
        if isinstance(left, NoReply) or isinstance(right, NoReply):
            same = Agreement(0, why="an answer is missing")
        else:
            same = agreement(left, Spelled(right.text), tie)
        near_ties += same.is_accepted and not same.is_equal
        if not same.is_accepted:
            texts = [str(side) if isinstance(side, NoReply) else trimmed(side.text) for side in (left, right)]
            expected, seen = f"the server's text, {texts[0]}", f"offline {texts[1]}; {same}"
            found.append(Finding(kinds.OFFLINE_TEXT, expected, seen, f"{where}-{number}", exchange))
    return OfflineAgreement(len(served) - near_ties - len(found), near_ties, found)


def hardly_alike(where: str, same: OfflineAgreement) -> list[Finding]:
    """Two engines of one model give the same answer at least twice: fewer is more than rounding."""
    if same.agreed + len(same.starved) >= FEWEST_AGREED:
        return []
    expected, total = f"at least {FEWEST_AGREED} answers that agree", same.agreed + len(same.found)
    return [Finding(kinds.OFFLINE_OTHER, expected, f"{same.agreed} of {total} agree", where)]


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
