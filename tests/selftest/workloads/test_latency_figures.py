"""The stored figures of a category's latency: every answer, the cold one named, and the budget."""

from __future__ import annotations

from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.config.profile import Budget
from vlm_acceptance.core.exchange import Exchange, Request
from vlm_acceptance.workloads.latency import Measured, figures_of

LAST = Exchange("r1", Request("GET", "/"), "", 0, 1, 200)


def test_every_answer_is_kept_in_the_order_of_sending() -> None:
    warm = (Sample(0.1, 0.01, 1.5, 9), Sample(0.2, None, 1.0, None))
    row = figures_of(Measured(Sample(3.0, None, 4.0, 7), warm, LAST), Budget(ttft_s=0.3))
    assert row == {
        "budget": {"ttft_s": 0.3},
        "samples": [
            {"cold": True, "ttft_s": 3.0, "tpot_s": None, "e2e_s": 4.0, "tokens": 7},
            {"cold": False, "ttft_s": 0.1, "tpot_s": 0.01, "e2e_s": 1.5, "tokens": 9},
            {"cold": False, "ttft_s": 0.2, "tpot_s": None, "e2e_s": 1.0, "tokens": None},
        ],
    }
