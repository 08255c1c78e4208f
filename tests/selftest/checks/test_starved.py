"""A request that a busy machine kept from being answered in time counts neither as right nor as wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.checks.answer import judge_question
from vlm_acceptance.checks.completion import stopped_before
from vlm_acceptance.checks.golden_answers import answers_match
from vlm_acceptance.checks.load import Asked, own_answers
from vlm_acceptance.checks.pictures import in_order
from vlm_acceptance.checks.release import hardly_alike, same_texts
from vlm_acceptance.checks.stream import same_text
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NS, ErrorDetail, Exchange, NoReply, Reply, Request, Usage
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.waiting import ProcessorReading

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def late(waited_share: float, kind: str = "timeout") -> Exchange:
    """A request of 30 s without an answer, for this share of which the engine waited for a full machine."""
    last = round(30 * NS * waited_share)
    readings = (
        ProcessorReading(0, 0, 0, 0, 0, 0, 0, 0, 0, 8),
        ProcessorReading(30 * NS, 0, last, 0, 8 * 30 * NS, 0, last, last, 0, 8),
    )
    return Exchange("r1", Request("POST", "/x"), "", 0, 30 * NS, error=ErrorDetail(kind, "x"), readings=readings)


BUSY, HUNG = late(0.8), late(0.1)


def reply(text: str) -> Reply:
    return Reply(text, "stop", Usage(1, 8, 9), "m", 1.0)


def missing(exchange: Exchange) -> NoReply:
    made = exchange.reply
    assert isinstance(made, NoReply)
    return made


def question_of(names: tuple[str, ...]) -> Question:
    pictures = tuple(Picture(Path(f"{name}.png"), ((name,),), frozenset({name})) for name in names)
    return Question("q", "What?", "en", (1, 64), 64, 1, pictures)


def answers(wrong: int, *last: Exchange) -> list[Reply | NoReply]:
    """Right answers, but for the first `wrong` and those to the last requests."""
    texts = ["nothing of it"] * wrong + list(WORDS[wrong : len(WORDS) - len(last)])
    return [*map(reply, texts), *map(missing, last)]


def judged(wrong: int, *last: Exchange) -> list[Finding]:
    return judge_question(question_of(WORDS), answers(wrong, *last), 6)


def under_load(wrong: int, *last: Exchange) -> list[Finding]:
    asked = [Asked(name, ((name,),), frozenset({name})) for name in WORDS]
    return own_answers(asked, answers(wrong, *last), 8)


def golden(wrong: int, *last: Exchange) -> list[Finding]:
    return answers_match([{"id": name, "answer": name} for name in WORDS], answers(wrong, *last))


def ordered(wrong: int, *last: Exchange) -> list[Finding]:
    return in_order([(name,) for name in WORDS], answers(wrong, *last), 6)


JUDGES = pytest.mark.parametrize("judge", [judged, under_load, golden, ordered])


@JUDGES
def test_a_starved_request_alone_is_the_only_finding_so_that_it_is_an_error(judge) -> None:  # type: ignore[no-untyped-def]
    found = judge(0, BUSY)
    assert [one.exchange for one in found] == [BUSY]
    assert judge(0) == []


@JUDGES
def test_a_request_that_was_not_answered_on_an_idle_machine_is_a_failure(judge) -> None:  # type: ignore[no-untyped-def]
    for exchange in (HUNG, late(0.8, "reset")):
        found = judge(0, exchange)
        assert any(not one.is_starved for one in found)
        assert any(one.fatal for one in found)


@JUDGES
def test_a_starved_request_does_not_excuse_wrong_answers(judge) -> None:  # type: ignore[no-untyped-def]
    assert any(not one.is_starved for one in judge(4, BUSY))
    assert any(not one.is_starved for one in judge(0, BUSY, HUNG))


def test_a_starved_request_is_not_counted_as_wrong_beside_wrong_answers_that_are_allowed() -> None:
    assert [one.exchange for one in judged(2, BUSY)] == [BUSY]
    assert judged(2, BUSY, BUSY) != []
    assert all(one.is_starved for one in judged(2, BUSY, BUSY))
    (summary, *_) = judged(3, BUSY)
    assert (summary.check, summary.fatal) == ("answer.count", False)
    assert all(one.is_starved for one in ordered(2, BUSY))


def test_a_comparison_with_a_starved_answer_is_about_the_starved_request() -> None:
    fine = Exchange("r2", Request("POST", "/x"), "", 0, NS, 200, body=b"{}")
    assert [one.exchange for one in same_text(BUSY, fine)] == [BUSY]
    assert [one.exchange for one in stopped_before(BUSY, BUSY, "word")] == [BUSY, BUSY]


def test_offline_answers_that_were_compared_with_starved_ones_do_not_count() -> None:
    same = same_texts("q", [BUSY] * 7 + [HUNG], [reply("alpha")] * 8)
    assert (same.agreed, len(same.starved), len(same.found)) == (0, 7, 8)
    assert hardly_alike("q", same) == []
    assert hardly_alike("q", same_texts("q", [HUNG] * 8, [reply("alpha")] * 8)) != []


def test_only_a_late_request_is_starved() -> None:
    assert BUSY.is_starved and missing(BUSY).is_starved
    assert not HUNG.is_starved
    assert not late(0.8, "reset").is_starved
    assert not NoReply("given up").is_starved
