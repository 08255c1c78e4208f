"""Findings about times stand only if they stand without what waiting explains."""

from __future__ import annotations

from dataclasses import replace

from vlm_acceptance.checks.waiting import SHOWN, standing
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import LOAD_STARVED
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


def test_some_may_stand_while_others_are_excused() -> None:
    many = [replace(SLOW, where=f"r{number}") for number in range(20)]
    stand, busy = standing([SLOW, *many], many, WAITS)
    assert (len(stand), "a: 9 s" in busy) == (SHOWN, True)
