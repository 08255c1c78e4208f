"""The collector raises one failure with every finding, the most severe first, and its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import DeploymentFailure, EnvironmentProblem, ToBeCalibrated
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.finding_classes import FAILURE, FindingClass, Severity
from vlm_acceptance.core.waiting import Waited
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.run.findings import MAX_EVIDENCE, FindingCollector

KIND = FindingClass("a.check", "something small", FAILURE)
SMALL = Finding(KIND, "this", "that", "here")
FATAL = Finding(FindingClass("b.check", "something fatal", Severity.FATAL), "life", "death")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    made = RunStore(tmp_path, "p")
    yield made
    made.close()


def collector(store: RunStore, policy: str = "failed") -> FindingCollector:
    return FindingCollector("tests/test_x.py::test_y", store, "http://127.0.0.1:1", None, policy)


def exchange(number: int = 1) -> Exchange:
    return Exchange(f"r{number:05d}", Request("POST", "/v1/x", {"n": number}), "2026-01-01T00:00:00Z", 0, 1, 200)


def kept(store: RunStore) -> list[str]:
    return sorted(path.name for path in store.folder.glob("evidence/*/*"))


def test_no_finding_no_failure(store: RunStore) -> None:
    quiet = collector(store)
    quiet.add([], exchange())
    quiet.settle()
    assert kept(store) == []


def test_what_the_machine_explains_is_an_error_unless_there_are_findings(store: RunStore) -> None:
    busy = collector(store)
    busy.excuse("")
    busy.settle()
    busy.excuse("machine busy: 8 ms of 9 ms waiting")
    with pytest.raises(EnvironmentProblem, match="machine busy: 8 ms"):
        busy.settle()
    busy.add([SMALL])
    with pytest.raises(DeploymentFailure, match="that; expected this"):
        busy.settle()


def test_a_deadline_that_passed_on_a_busy_machine_is_an_error(store: RunStore) -> None:
    late = replace(exchange(), status=None, error=ErrorDetail("timeout", "not complete after 30 s"))
    busy = FindingCollector("t", store, "http://127.0.0.1:1", None, "none", waited=lambda _: Waited(1e-9, 1e-9, 0.0))
    busy.add([SMALL], late)
    with pytest.raises(EnvironmentProblem, match="machine busy: .*; that, expected this"):
        busy.settle()
    busy.add([SMALL], exchange())
    with pytest.raises(DeploymentFailure):
        busy.settle()


def test_a_finding_about_no_exchange_keeps_its_own_evidence(store: RunStore) -> None:
    made = collector(store)
    made.add([replace(FATAL, evidence="answers.jsonl (q1)", repeat="ask q1")])
    with pytest.raises(DeploymentFailure, match=r"evidence: answers\.jsonl \(q1\)\n  repeat:   ask q1"):
        made.settle()
    assert made.properties["evidence"] == "answers.jsonl (q1)"


def test_watched_findings_may_be_disregarded_but_added_ones_may_not(store: RunStore) -> None:
    made, babble, answer = collector(store), exchange(1), exchange(2)
    made.watch([SMALL], babble)
    made.disregard(babble)
    made.settle()
    made.watch([SMALL], answer)
    made.add([FATAL], babble)
    made.disregard(babble)
    with pytest.raises(DeploymentFailure):
        made.settle()
    assert [found.check for found in made.raised] == ["b.check", "a.check"]


def test_the_gravest_finding_comes_first_and_none_is_lost(store: RunStore) -> None:
    made = collector(store)
    made.add([SMALL])
    made.add([FATAL], exchange())
    with pytest.raises(DeploymentFailure) as raised:
        made.settle()
    head, *rest = str(raised.value).splitlines()
    assert head == "death; expected life"
    assert "[a.check] here" in rest
    assert [found.check for found in made.raised] == ["b.check", "a.check"]


def test_a_finding_about_an_exchange_has_its_evidence_and_its_repeat_line(store: RunStore) -> None:
    made = collector(store)
    made.add([SMALL], exchange(), "question 1")
    with pytest.raises(DeploymentFailure, match=r"repeat:   python3 \S+/repeat\.py http"):
        made.settle()
    (found,) = made.all
    assert found.where == "question 1: here"
    assert Path(found.evidence, "request.json").is_file()
    assert made.properties["evidence"] == found.evidence


def test_the_headline_is_one_line_of_bounded_length(store: RunStore) -> None:
    made = collector(store)
    made.add([Finding(KIND, "x\ny", "z " * 5000)])
    with pytest.raises(DeploymentFailure) as raised:
        made.settle()
    assert len(str(raised.value).splitlines()[0]) <= 400


@pytest.mark.parametrize(("policy", "good", "bad"), [("failed", 0, 1), ("all", 1, 1), ("none", 0, 0)])
def test_what_is_kept_is_a_choice(policy: str, good: int, bad: int, store: RunStore) -> None:
    made = collector(store, policy)
    made.add([], exchange(1))
    assert len(kept(store)) == good
    made.add([SMALL], exchange(2))
    assert len(kept(store)) == good + bad


def test_one_exchange_is_kept_once_and_many_are_bounded(store: RunStore) -> None:
    made = collector(store)
    for number in [1, 1, *range(2, MAX_EVIDENCE + 6)]:
        made.add([SMALL], exchange(number))
    assert len(kept(store)) == MAX_EVIDENCE
    assert "exchanges.jsonl" in made.all[-1].evidence


def test_a_finding_carries_the_exchange_it_is_about(store: RunStore) -> None:
    made = collector(store)
    made.add([SMALL.about(exchange(2)), SMALL])
    assert kept(store) == ["r00002"]
    assert [bool(found.evidence) for found in made.all] == [True, False]


def test_absent_figures_are_left_out(store: RunStore) -> None:
    made = collector(store)
    made.note(a=1, b=None, c=0.0)
    assert made.properties == {"a": "1", "c": "0.0"}


def test_a_watched_finding_counts_where_the_test_does_not_add_it(store: RunStore) -> None:
    made = collector(store)
    made.watch([FATAL], exchange())
    with pytest.raises(DeploymentFailure, match="death"):
        made.settle()
    assert made.raised[0].where == "r00001"
    assert kept(store) != []


def test_a_watched_finding_that_the_test_adds_counts_once(store: RunStore) -> None:
    made = collector(store)
    made.add([FATAL.at("question 1")], exchange())
    made.watch([FATAL], exchange())
    with pytest.raises(DeploymentFailure):
        made.settle()
    assert [found.where for found in made.raised] == ["question 1"]


def test_watching_sound_answers_finds_nothing(store: RunStore) -> None:
    made = collector(store)
    made.watch([], exchange())
    made.settle()
    assert made.raised == []


def test_only_findings_that_can_all_wait_are_to_be_calibrated(store: RunStore) -> None:
    def made() -> FindingCollector:
        return FindingCollector("t", store, "http://127.0.0.1:1", None, "none", lambda one: one.check == "a.check")

    waiting, failing = made(), made()
    waiting.add([SMALL, SMALL])
    with pytest.raises(ToBeCalibrated, match="^below a bar that was never calibrated: here: that; expected this"):
        waiting.settle()
    failing.add([SMALL, FATAL])
    with pytest.raises(DeploymentFailure, match="^death; expected life"):
        failing.settle()


@pytest.mark.parametrize(("is_unrecorded", "raised"), [(True, ToBeCalibrated), (False, DeploymentFailure)])
def test_what_a_calibration_did_not_record_is_to_be_calibrated(
    is_unrecorded: bool, raised: type[Exception], store: RunStore
) -> None:
    made = collector(store)
    made.add([Finding(FindingClass("c.check", "too few", Severity.ABILITY), "6 of 8", "5 of 8")])
    if is_unrecorded:
        made.is_unrecorded()
    with pytest.raises(raised, match="5 of 8"):
        made.settle()


def test_a_fatal_finding_waits_for_no_calibration(store: RunStore) -> None:
    made = collector(store)
    made.is_unrecorded()
    made.add([FATAL])
    with pytest.raises(DeploymentFailure):
        made.settle()


def test_a_category_is_reported_with_its_name_in_the_guide(store: RunStore) -> None:
    made = FindingCollector("t", store, "http://127.0.0.1:1", None, "none", guide_names={"ocr": "TextVQA"})
    made.judges("ocr")
    assert made.properties == {"category": "ocr", "guide_name": "TextVQA"}
    made.judges("multi_picture")
    assert made.categories == ["multi_picture"]
