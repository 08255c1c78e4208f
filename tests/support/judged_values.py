"""Every figure that a check gets as a value, such as a time, and what judges it: rows for the walk of bad values."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from tests.support.judged_wire import LIMITS, Row
from vlm_acceptance.accuracy import criteria
from vlm_acceptance.accuracy.baseline import Comparison
from vlm_acceptance.checks import (
    agreement,
    challenge,
    edge_inputs,
    hang,
    latency,
    load,
    logprobs,
    refusals,
    server_info,
    trends,
)
from vlm_acceptance.config.profile import Budget, Measure, Paired
from vlm_acceptance.config.profile_sections import Limits, LoadBudgets
from vlm_acceptance.core.exchange import NS, Exchange, Reply, Request, Usage
from vlm_acceptance.core.logprobs import LogProbs
from vlm_acceptance.core.spelling import Spelled
from vlm_acceptance.workloads import soak

NOT_FINITE = (math.nan, math.inf, -math.inf)
BUDGET = Budget(ttft_s=1, tpot_s=0.1, e2e_s=2)
ERROR = b'{"error": {"message": "no", "type": "BadRequest", "param": null, "code": 400}}'


def _tokens(chosen: float = -0.05, listed: float = -8.0, behind: bool = False) -> LogProbs:
    """An answer of two tokens; with `behind` the second one is the other one, and its text, too."""
    second = {4: -0.1, 6: listed, 7: -9.0}
    return LogProbs("It 43" if behind else "It 42", (5, 6 if behind else 4), ({5: chosen, 8: -8.0, 9: -9.0}, second))


def _stored(known: LogProbs, seen: LogProbs) -> object:
    return logprobs.against_baseline({"a": known}, {"a": seen}, LIMITS)[0]


def _again(one: LogProbs, other: LogProbs) -> object:
    return logprobs.alike({"a": one}, {"a": other}, LIMITS, exact=False)[0]


def _log_probabilities() -> Iterator[Row]:
    judges: dict[str, tuple[Callable[[float], object], float]] = {
        "against_baseline chosen": (lambda p: _stored(_tokens(), _tokens(chosen=p)), -0.05),
        "against_baseline listed": (lambda p: _stored(_tokens(), _tokens(listed=p)), -8.0),
        "against_baseline stored": (lambda p: _stored(_tokens(chosen=p), _tokens()), -0.05),
        "against_baseline near-tie": (lambda p: _stored(_tokens(listed=p), _tokens(listed=-0.3, behind=True)), -0.3),
        "alike chosen": (lambda p: _again(_tokens(), _tokens(chosen=p)), -0.05),
        "alike listed": (lambda p: _again(_tokens(listed=p), _tokens()), -8.0),
        "alike near-tie": (lambda p: _again(_tokens(listed=p), _tokens(listed=-0.3, behind=True)), -0.3),
        "agreement listed": (lambda p: not _agrees(-0.1, p), -0.3),
        "agreement chosen": (lambda p: not _agrees(p, -0.3), -0.1),
    }
    for name, (judge, good) in judges.items():
        yield Row(name, judge, good, NOT_FINITE)


def _agrees(chosen: float, listed: float) -> bool:
    one = Spelled("It 42", ("It", " 42"), (-0.1, chosen), ((), ((" 43", listed),)))
    return agreement.agreement(one, Spelled("It 43"), 0.5).is_accepted


def _after(seconds: float, status: int = 200, raw: bytes = b"{}") -> Exchange:
    request = Request("POST", "/v1/chat/completions", {})
    return Exchange(
        "r", request, "t", 0, cast(int, seconds * NS), status, {"content-type": "application/json"}, body=raw
    )


@dataclass(frozen=True)
class _Timed(Reply):
    first_s: float = 0.0
    pace_s: float = 0.0

    @property
    def ttft_s(self) -> float | None:
        return self.first_s

    @property
    def tpot_s(self) -> float | None:
        return self.pace_s


def _sample(**times: float) -> latency.Sample:
    return replace(latency.Sample(0.5, 0.05, 1.0, 9), **cast(Any, times))


def _paced(pace_s: float) -> object:
    reply = _Timed("x", "stop", Usage(5, 9, 14), "m", 1.0, first_s=0.5, pace_s=pace_s)
    return latency.within(BUDGET, [latency.from_reply(reply)] * 8, "x")


def _soaked(seconds: float, answers: int = 100) -> object:
    made = soak.Soak([soak.Served(1.0, _sample(), None)] * answers, array("d"), seconds=seconds)
    return soak.beyond(made, LoadBudgets(requests_per_s=5, output_tokens_per_s=50, goodput=0.5), BUDGET)


def _times() -> Iterator[Row]:
    fine = [_sample()] * 7
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        good = getattr(_sample(), name)

        def within(value: float, name: str = name) -> object:
            return latency.within(BUDGET, [*fine, _sample(**{name: value})], "x")

        def not_good(value: float, name: str = name) -> object:
            return load.good([_sample(**{name: value})], BUDGET) == 0

        yield Row(f"latency.within {name}", within, good, NOT_FINITE)
        yield Row(f"load.good {name}", not_good, good, NOT_FINITE)
    judges: dict[str, tuple[Callable[[float], object], float]] = {
        "flows elapsed_s": (lambda s: latency.flows(_Timed("x", "stop", None, "m", s, first_s=0.5)), 1.0),
        "flows ttft_s": (lambda s: latency.flows(_Timed("x", "stop", None, "m", 1.0, first_s=s)), 0.5),
        "from_reply tpot_s": (_paced, 0.05),
        "fair": (lambda s: load.fair({str(n): _after(s if n == 3 else 1.0) for n in range(9)}, 3, 5), 1.0),
        "load.within": (lambda s: load.within(Limits(p50=2), load.percentiles([1.0] * 99 + [s]), "ttft"), 1.0),
        "at_least": (lambda rate: load.at_least("requests_per_s", rate, 1.0, "a second"), 1.0),
        "errors_within": (lambda count: load.errors_within(cast(int, count), 100, 0.1), 10.0),
        "soak.beyond seconds": (_soaked, 10.0),
        "repeats_are_computed new": (lambda count: challenge.repeats_are_computed(count, 6, 6), 6.0),
        "repeats_are_computed again": (lambda count: challenge.repeats_are_computed(6, count, 6), 6.0),
        "_late": (lambda s: edge_inputs.became(_after(s, 400, ERROR), expect="refused", deadline_s=9), 1.0),
        "right": (
            lambda s: [one for one in edge_inputs.right(_after(s), (), 9) if "response within" in one.expected],
            1.0,
        ),
        "refused": (lambda s: refusals.refused(_after(s, 400, ERROR), statuses=(400,), deadline_s=9), 1.0),
        "memory_is_bounded": (lambda mb: edge_inputs.memory_is_bounded(cast(int, mb), 100), 100.0),
        "close_to": (lambda value: server_info.close_to(value, Measure(value=10, tolerance=0.1), "x"), 10.5),
        "leak": (lambda mb: trends.leak(range(60), [*[900.0] * 20, mb, *[900.0] * 39], "rss", 1), 900.0),
        "leak late": (lambda mb: trends.leak(range(60), [*[900.0] * 50, mb, *[900.0] * 9], "rss", 1), 900.0),
        "leak requests": (lambda done: trends.leak([*range(59), done], [900.0] * 60, "rss", 1), 59.0),
        "drift": (lambda s: trends.drift([*((float(n), 1.0) for n in range(89)), (89.0, s)], "ttft", 0.5), 1.0),
        "drift at": (lambda at: trends.drift([*((float(n), 1.0) for n in range(89)), (at, 1.0)], "ttft", 0.5), 89.0),
        "counted_while_running": (lambda value: hang.counted_while_running(0.0, [value]), 1.0),
        "counted_while_running before": (lambda value: hang.counted_while_running(value, [2.0]), 1.0),
        "freed": (lambda value: hang.freed(0.0, [(0.1, value)], 1.0), 0.0),
        "freed before": (lambda value: hang.freed(value, [(0.1, 0.0)], 1.0), 0.0),
        "only_ours": (lambda value: not hang.only_ours([(0.0, 2.0), (1.0, value)], 2), 1.0),
        "too_short": (lambda tokens: server_info.too_short(cast(int, tokens), 16), 33.0),
    }
    for name, (judge, value) in judges.items():
        yield Row(name, judge, value, NOT_FINITE)


@dataclass(frozen=True)
class _Compared(Comparison):
    chance: float = 1.0

    @property
    def p(self) -> float:
        return self.chance


def _scores() -> Iterator[Row]:
    limits = criteria.Limits(5, 9, "so it is")

    def tiles(value: Any, **more: Any) -> object:
        row = replace(criteria.TokenCount("q", 44, 16, 44, 16, 28), **more)
        return criteria.wrong_tokens([row], 16) or criteria.uncounted_tokens([row])

    judges: dict[str, tuple[Callable[[Any], object], Any]] = {
        "score_too_low": (lambda right: criteria.score_too_low(right, 10, limits), 5),
        "score_too_high": (lambda right: criteria.score_too_high(right, 10, limits), 9),
        "worse_than_baseline": (
            lambda p: criteria.worse_than_baseline(_Compared((), (), 9, 1, p), Paired()),
            1.0,
        ),
        "wrong_tokens seen": (lambda count: tiles(count, seen=count), 44),
        "wrong_tokens small": (lambda count: tiles(count, small_seen=count), 44),
        "wrong_tokens text": (lambda count: tiles(count, text=count), 28),
    }
    for name, (judge, value) in judges.items():
        bad = (*NOT_FINITE, None) if name.startswith("wrong_tokens") else NOT_FINITE
        yield Row(name, judge, value, bad)


def rows() -> Iterator[Row]:
    """All figures that are values."""
    yield from _log_probabilities()
    yield from _times()
    yield from _scores()
