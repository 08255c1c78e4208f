"""Findings about times: which of them stand when the machine was busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.waiting import Waited, in_words

SHOWN = 8
LATE = (kinds.EDGE_DEADLINE, kinds.REFUSAL_DEADLINE)


def standing(found: Sequence[Finding], rest: Sequence[Finding], waits: Sequence[Waited]) -> tuple[list[Finding], str]:
    """The findings that stand, at most SHOWN, and why the others say nothing about the deployment, or ''.

    `found` judges times as they were, `rest` the same times without what waiting for a processor explains; a finding
    stands if it is in both.
    """
    before, after = {_key(one) for one in found}, {_key(one) for one in rest}
    excused = [one for one in found if _key(one) not in after]
    without = "without what waiting for a processor explains"
    both = [one for one in rest if _key(one) in before]
    stand = [one if one in found else replace(one, observed=f"{one.observed} {without}") for one in both[:SHOWN]]
    if not excused:
        return stand, ""
    first = excused[0]
    where = f"{first.where}: " if first.where else ""
    return stand, f"machine busy: {in_words(waits)}; {where}{first.observed}, expected {first.expected}"


def late_by_waiting(found: Finding, exchange: Exchange, waits: Callable[[Exchange], Waited | None]) -> str:
    """Why a finding about a deadline that passed says nothing: waiting explains half of the time; '' otherwise."""
    waited = waits(exchange) if found.kind in LATE or exchange.is_late else None
    if waited is None or not waited.starves(exchange.elapsed_s):
        return ""
    return f"machine busy: {waited}; {found.observed}, expected {found.expected}"


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.check, finding.where, finding.expected
