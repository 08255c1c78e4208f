"""Findings about times stand only if they stand without what waiting explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlm_acceptance.checks.waiting import SHOWN, late_by_waiting, standing
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import EDGE_DEADLINE, LOAD_NO_ANSWER, LOAD_STARVED, REFUSAL_DEADLINE
from vlm_acceptance.core.waiting import Waited

SLOW = Finding(LOAD_STARVED, "each within 5 s", "9 s", "a")
WAITS = [Waited(10.0, 0.5, 6.0, 0.0, 12.0)]


def test_a_finding_that_waiting_explains_does_not_stand_and_is_said() -> None:
    stand, busy = standing([SLOW], [], WAITS)
    assert stand == []
    assert busy.startswith("machine busy: 6500 ms of 10000 ms waiting for a processor (")
    assert busy.endswith("; a: 9 s, expected each within 5 s")


def test_a_finding_that_remains_stands_and_says_that_it_is_the_rest() -> None:
    rest = replace(SLOW, observed="6 s")
    assert standing([SLOW], [rest], WAITS) == (
        [replace(SLOW, observed="6 s without what waiting for a processor explains")],
        "",
    )
    assert standing([SLOW], [SLOW], WAITS) == ([SLOW], "")


def test_what_only_the_rest_shows_is_no_finding() -> None:
    assert standing([], [SLOW], WAITS) == ([], "")
    stand, busy = standing([SLOW], [replace(SLOW, where="b")], WAITS)
    assert (stand, busy != "") == ([], True)


TIMEOUT = Finding(LOAD_NO_ANSWER, "an answer", "timeout: not complete after 30 s")


@pytest.mark.parametrize(
    ("found", "kind", "waited", "is_excused"),
    [
        (TIMEOUT, "timeout", Waited(31.0, 1.0, 14.5, 0.0), True),
        (TIMEOUT, "timeout", Waited(31.0, 1.0, 13.5, 0.0), False),
        (TIMEOUT, "timeout", Waited(31.0, 1.0, 20.0, 0.0, others_s=2.0), False),
        (TIMEOUT, "timeout", None, False),
        (TIMEOUT, "reset", Waited(31.0, 1.0, 25.0), False),
        (Finding(EDGE_DEADLINE, "a response within 30 s", "31 s"), None, Waited(31.0, 1.0, 25.0), True),
        (Finding(REFUSAL_DEADLINE, "a refusal within 30 s", "31 s"), None, Waited(31.0, 1.0, 25.0), True),
        (Finding(LOAD_STARVED, "x", "y"), None, Waited(31.0, 1.0, 25.0), False),
    ],
)
def test_a_deadline_that_passed_says_nothing_if_waiting_explains_half_of_the_time(
    found: Finding, kind: str | None, waited: Waited | None, is_excused: bool
) -> None:
    error = None if kind is None else ErrorDetail(kind, "x")
    exchange = Exchange("r1", Request("POST", "/"), "", 0, 30 * NS, 200, error=error)
    why = late_by_waiting(found, exchange, lambda _: waited)
    assert (why != "") is is_excused
    assert not why or why.startswith("machine busy: ")


def test_some_may_stand_while_others_are_excused() -> None:
    many = [replace(SLOW, where=f"r{number}") for number in range(20)]
    stand, busy = standing([SLOW, *many], many, WAITS)
    assert (len(stand), "a: 9 s" in busy) == (SHOWN, True)
