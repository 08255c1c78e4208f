"""How severe a finding is."""

from __future__ import annotations

import enum


class Severity(enum.Enum):
    """ABILITY: what a model may be unable to do, so calibration may accept it. FAILURE: the test fails.

    FATAL: the test fails however many answers are right; calibration cannot accept it.
    """

    ABILITY = "ability"
    FAILURE = "failure"
    FATAL = "fatal"


ABILITY, FAILURE, FATAL = Severity
