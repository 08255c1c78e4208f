"""The stored figures of a soak: every answer, every reading, and the fits that are judged."""

from __future__ import annotations

import json

from vlm_acceptance.checks.hang import RUNNING, Reading
from vlm_acceptance.checks.latency import Sample
from vlm_acceptance.checks.trends import drift_of, growth
from vlm_acceptance.config.profile_sections import Load, LoadBudgets
from vlm_acceptance.workloads.soak import Served, Soak
from vlm_acceptance.workloads.soak_figures import MOST_ROWS, figures_of

WANTED = Load(soak_concurrency=5, drift=0.4, leak_kb_per_request=32, budgets=LoadBudgets(requests_per_s=3))


def made(count: int = 60) -> Soak:
    served = [
        Served(n / 4, Sample(0.1 + n / 1000, None if n % 2 else 0.01, 1 + n / 100, 9), None) for n in range(count)
    ]
    served[3] = Served(0.75, None, None)
    readings = [
        Reading(float(n), {f"{RUNNING}": float(n % 3)} if n else None, 4 * n, 5, 900 + n * 0.001, None)
        for n in range(30)
    ]
    return Soak(served, readings=readings, seconds=15.25)


def test_every_answer_and_reading_is_a_row() -> None:
    row = figures_of(made(), WANTED)
    answers, readings = row["answers"], row["readings"]
    assert answers["of"] == 60 and readings["of"] == 30 and (row["seconds"], row["concurrency"]) == (15.25, 5)
    assert answers["began_s"][:3] == [0, 0.25, 0.5] and answers["tpot_s"][:3] == [0.01, None, 0.01]
    assert [answers[name][3] for name in ("began_s", "ttft_s", "tpot_s", "e2e_s", "tokens")] == [0.75, *[None] * 4]
    assert readings["done"][2] == 8 and readings["running"][:3] == [None, 1, 2] and readings["waiting"] == [None] * 30
    assert readings["rss_mb"][29] == 900.029 and set(readings["hbm_mb"]) == {None}
    assert row["budgets"]["requests_per_s"] == 3


def test_the_fits_are_those_that_are_judged_with_their_limits() -> None:
    soak = made()
    fits = figures_of(soak, WANTED)["fits"]
    assert set(fits) == {"ttft_s", "tpot_s", "e2e_s", "rss_mb"}
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        judged = drift_of(soak.points(name))
        assert judged is not None
        assert [fits[name][key] for key in ("value", "low", "high", "n")] == [
            judged.value, judged.low, judged.high, judged.n,
        ]  # fmt: skip
        assert fits[name]["limit"] == 0.4
    judged = growth(*soak.memory("rss_mb"))
    assert judged is not None and fits["rss_mb"]["value"] == judged.value and fits["rss_mb"]["limit"] == 32


def test_a_long_soak_is_thinned_and_stays_small() -> None:
    row = figures_of(made(30_000), WANTED)
    answers = row["answers"]
    assert answers["of"] == 30_000 and len(answers["e2e_s"]) == MOST_ROWS
    assert (answers["began_s"][0], answers["began_s"][-1]) == (0, 29_999 / 4)
    assert len(json.dumps(row)) < 1_000_000


def test_a_soak_without_answers_has_no_fit() -> None:
    row = figures_of(Soak(), WANTED)
    assert row["fits"] == {} and row["answers"]["of"] == 0 and row["answers"]["began_s"] == []
