"""The bar of a question follows what was recorded, and never rises above what the profile demands."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.bars import MISSED, bar
from vlm_acceptance.stats.binomial import at_most


def test_without_a_recording_the_profile_decides() -> None:
    assert [bar(least, None) for least in (8, 6, 1)] == [8, 6, 1]


@pytest.mark.parametrize(
    ("recorded", "least"), [(8, 6), (7, 5), (6, 4), (5, 3), (4, 2), (3, 1), (2, 1), (1, 0), (0, 0)]
)
def test_a_recorded_count_lowers_the_bar_by_what_chance_may_cost(recorded: int, least: int) -> None:
    assert bar(6, recorded) == least
    assert bar(2, recorded) == min(2, least)
    # a right deployment is seldom below, and one answer more would refuse it too often
    assert at_most(least - 1, recorded, 0.98) <= MISSED
    assert least == recorded or at_most(least, recorded, 0.98) > MISSED
