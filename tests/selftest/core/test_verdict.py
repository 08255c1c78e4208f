"""The table of verdicts: environment over rejected over partial over inconclusive over accepted."""

from __future__ import annotations

import itertools

import pytest

from vlm_acceptance.core.finding import Outcome, Verdict
from vlm_acceptance.core.verdict import Ruling, TestResult, rule, worst

P, F, E, S, N = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED, Outcome.NOT_RUN
C = Outcome.TO_CALIBRATE


def ruled(*outcomes: Outcome, missing: int = 0, **more: object) -> Ruling:
    results = [TestResult(f"t.py::t{n}", "health", o, 0.1, f"{o.value} {n}\nmore") for n, o in enumerate(outcomes)]
    required = [result.id for result in results] + [f"t.py::missing{n}" for n in range(missing)]
    return rule(results, required, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "more", "verdict", "code"),
    [
        ([P, P], {}, Verdict.ACCEPTED, 0),
        ([P, S], {}, Verdict.ACCEPTED, 0),
        ([S, S], {}, Verdict.INCONCLUSIVE, 11),
        ([P, E], {}, Verdict.INCONCLUSIVE, 11),
        ([P, N], {}, Verdict.INCONCLUSIVE, 11),
        ([P, C], {}, Verdict.INCONCLUSIVE, 11),
        ([C], {}, Verdict.INCONCLUSIVE, 11),
        ([C, F], {}, Verdict.REJECTED, 1),
        ([P, C], {"narrowed": "-k 'x'"}, Verdict.NONE, 11),
        ([P, C], {"blocked": "no card"}, Verdict.INCONCLUSIVE, 10),
        ([P], {"missing": 1}, Verdict.INCONCLUSIVE, 11),
        ([P], {"interrupted": True}, Verdict.INCONCLUSIVE, 11),
        ([P], {"narrowed": "-k 'x'"}, Verdict.NONE, 11),
        ([P, E], {"narrowed": "-k 'x'"}, Verdict.NONE, 11),
        ([P, F], {}, Verdict.REJECTED, 1),
        ([F, E, N], {}, Verdict.REJECTED, 1),
        ([P, F], {"narrowed": "-x"}, Verdict.REJECTED, 1),
        ([F], {"interrupted": True}, Verdict.REJECTED, 1),
        ([E], {"blocked": "no card"}, Verdict.INCONCLUSIVE, 10),
        ([F, E], {"blocked": "no card"}, Verdict.INCONCLUSIVE, 10),
        ([P], {"blocked": "no card", "narrowed": "-k 'x'"}, Verdict.INCONCLUSIVE, 10),
        ([], {}, Verdict.INCONCLUSIVE, 11),
    ],
)
def test_each_row_of_the_table(outcomes: list[Outcome], more: dict[str, object], verdict: Verdict, code: int) -> None:
    ruling = ruled(*outcomes, **more)  # type: ignore[arg-type]
    assert (ruling.verdict, ruling.code) == (verdict, code)


def test_only_a_whole_run_without_any_flaw_is_accepted() -> None:
    for size in (1, 2, 3):
        for outcomes in itertools.product(Outcome, repeat=size):
            accepted = ruled(*outcomes).code == 0
            assert accepted == (P in outcomes and set(outcomes) <= {P, S})


def test_a_failure_is_never_hidden_by_other_problems() -> None:
    for outcomes in itertools.product(Outcome, repeat=3):
        for narrowed, interrupted in itertools.product(("", "-k"), (False, True)):
            ruling = ruled(*outcomes, narrowed=narrowed, interrupted=interrupted)
            assert (ruling.code == 1) == (F in outcomes)


def test_the_reason_names_the_first_failure_and_how_many_there_are() -> None:
    assert ruled(P, F, F).reason == "2 tests failed, first t1: failed 1"
    assert ruled(F).reason == "t0: failed 0"


def test_the_reason_names_what_was_not_judged_and_why() -> None:
    assert ruled(P, E, N).reason == "2 of 3 required tests were not judged: error 1"
    assert ruled(P, missing=1).reason == "1 of 2 required tests were not judged: t.py::missing0"


def test_the_reason_of_a_blocked_run_says_whether_anything_was_judged() -> None:
    assert ruled(E, N, blocked="no data").reason == "nothing could be judged: no data"
    assert ruled(P, E, blocked="no data").reason == "not everything could be judged: no data"
    assert ruled(P, E, blocked="no data").verdict is Verdict.INCONCLUSIVE


def test_an_error_of_a_test_outside_the_plan_does_not_count() -> None:
    extra = TestResult("other.py::t", "other", E, 0.1)
    passed = TestResult("t.py::t", "health", P, 0.1)
    assert rule([passed, extra], [passed.id]).code == 0


def test_a_run_is_to_be_calibrated_only_if_nothing_else_prevents_an_acceptance() -> None:
    for size in (1, 2, 3):
        for outcomes in itertools.product(Outcome, repeat=size):
            assert ruled(*outcomes).to_calibrate == (C in outcomes and set(outcomes) <= {P, S, C})
    assert not ruled(P, C, missing=1).to_calibrate
    assert not ruled(P, C, narrowed="-k").to_calibrate


def test_the_reason_of_an_uncalibrated_run_names_its_tests_and_what_else_was_not_judged() -> None:
    below = "one test is below bars that were never calibrated for this deployment, and nothing failed; first t1: "
    assert ruled(P, C).reason == f"{below}to be calibrated 1"
    assert ruled(P, C, E).reason == f"1 of 3 required tests were not judged: error 2; also {below}to be calibrated 1"


@pytest.mark.parametrize(
    ("outcomes", "expected", "says"),
    [
        ([P], P, ""),
        ([P, P], P, ""),
        ([F, P], F, "unstable: failed in 1 of 2 runs: failed 0"),
        ([P, E], E, "unstable: error in 1 of 2 runs: error 1"),
        ([P, C, P], C, "unstable: to be calibrated in 1 of 3 runs: to be calibrated 1"),
        ([N, P], N, "unstable: not run in 1 of 2 runs: not run 0"),
        ([E, F, E], F, "failed 1"),
        ([F, N], F, "failed 0"),
    ],
)
def test_of_several_runs_of_a_test_the_worst_counts(outcomes: list[Outcome], expected: Outcome, says: str) -> None:
    runs = [
        TestResult("t", "health", one, 0.1, "" if one is P else f"{one.value} {n}") for n, one in enumerate(outcomes)
    ]
    found = worst(runs)
    assert (found.outcome, found.message) == (expected, says)
    assert found.properties.get("runs", "") == (", ".join(o.value for o in outcomes) if len(outcomes) > 1 else "")
