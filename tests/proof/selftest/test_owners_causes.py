"""The expected causes: each fault that a verdict can name has one or two, and each is a cause."""

from __future__ import annotations

import owners
import owners_causes

from vlm_acceptance.core.causes import CAUSES


def test_every_fault_of_a_deployment_has_its_causes() -> None:
    faults = {fault for table in (owners.REFUSED, owners.ERRORS) for family in table.values() for fault in family}
    assert set(owners_causes.EXPECTED) == faults


def test_they_are_one_or_two_causes_of_the_table() -> None:
    wrong = {
        fault: expected
        for fault, expected in owners_causes.EXPECTED.items()
        if not 1 <= len(expected) <= 2 or len(set(expected)) < len(expected) or set(expected) - set(CAUSES)
    }
    assert wrong == {}
