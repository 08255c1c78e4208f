"""How often and how soon the early stops reject sound and broken runs over 900 questions, by simulation,
under the errors that a profile allows by default.

`python benchmarks/early_stop.py [--runs N] [--json]`. Exit code 1 when a case misses its bar.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

from vlm_acceptance.accuracy.plan import stratified_order
from vlm_acceptance.config.profile import Mmmu
from vlm_acceptance.stats.binomial import at_least, lower_limit
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

TOTAL, GROUPS, CHOICES = 900, 30, 847
REFERENCE = 327
LIMIT = lower_limit(REFERENCE, TOTAL, TOTAL, 0.05)
CHANCE = 0.001  # how often a true share exactly at its bar is reported as missed
SCORE_ALPHA, LETTER_ALPHA = Mmmu().early_stop_alpha, 0.001
LETTER_SHARE = Mmmu().shape.top_letter

Answers = Callable[[random.Random], Iterator[tuple[bool, str]]]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of run: its answers as (right, letter), and what is required of it.

    `most_stopped` is a true share, which the simulated one may exceed by chance alone; `latest_median` counts the
    questions sent before half of the runs are stopped.
    """

    name: str
    answers: Answers
    most_stopped: float = 1.0
    latest_median: float = math.inf


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one case. A number of questions is None where too few runs were stopped for it."""

    case: str
    runs: int
    stopped_by_score: float
    stopped_by_letters: float
    median: int | None
    ninth_decile: int | None
    last: int | None
    is_within_bar: bool
    seconds: float


def in_random_order(right: int, rng: random.Random) -> Iterator[tuple[bool, str]]:
    """Exactly `right` right answers; the letters are spread evenly over four."""
    scores = [True] * right + [False] * (TOTAL - right)
    rng.shuffle(scores)
    return ((is_right, "ABCD"[place % 4]) for place, is_right in enumerate(scores))


def in_rounds(right: list[int], rng: random.Random) -> Iterator[tuple[bool, str]]:
    """`right[n]` right answers in group n, in the stratified order."""
    size = TOTAL // GROUPS
    scores = {f"{group} {number}": number < right[group] for group in range(GROUPS) for number in range(size)}
    order = stratified_order([(one, one.split()[0]) for one in scores], rng.getrandbits(32))
    return ((scores[one], "ABCD"[place % 4]) for place, one in enumerate(order))


def unanswered(right: int, rng: random.Random) -> Iterator[tuple[bool, str]]:
    """The same in random order; every twentieth answer is lost at random, and added as right."""
    return ((True, "") if rng.random() < 0.05 else pair for pair in in_random_order(right, rng))


def independent(share: float, rng: random.Random) -> Iterator[tuple[bool, str]]:
    """Every answer right with the same probability."""
    return ((rng.random() < share, "ABCD"[place % 4]) for place in range(TOTAL))


def one_letter(often: int, right: float, rng: random.Random) -> Iterator[tuple[bool, str]]:
    """Answers to the multiple-choice questions alone; `often` of them are A, any is right with probability `right`."""
    letters = ["A"] * often + ["B"] * (CHOICES - often)
    rng.shuffle(letters)
    return ((rng.random() < right, letter) for letter in letters)


def empty(_: random.Random) -> Iterator[tuple[bool, str]]:
    """No text in any answer."""
    return ((False, "") for _ in range(TOTAL))


def cases() -> list[Case]:
    """Sound runs first, then broken ones."""
    size = TOTAL // GROUPS
    alike = [LIMIT // GROUPS + (group < LIMIT % GROUPS) for group in range(GROUPS)]
    whole = [min(size, max(0, LIMIT - size * group)) for group in range(GROUPS)]
    return [
        Case(f"{LIMIT} right, random order", partial(in_random_order, LIMIT), most_stopped=SCORE_ALPHA),
        Case(f"{LIMIT} right, equal groups", partial(in_rounds, alike), most_stopped=SCORE_ALPHA),
        Case(f"{LIMIT} right, whole groups", partial(in_rounds, whole), most_stopped=SCORE_ALPHA),
        Case(f"{REFERENCE} right, random order", partial(in_random_order, REFERENCE), most_stopped=SCORE_ALPHA / 5),
        Case(f"{REFERENCE} right, 5 % lost", partial(unanswered, REFERENCE), most_stopped=SCORE_ALPHA / 5),
        Case(
            "A in 60 % of the answers",
            partial(one_letter, int(LETTER_SHARE * CHOICES), 0.5),
            most_stopped=LETTER_ALPHA,
        ),
        Case("282 right (5 points lost)", partial(in_random_order, 282)),
        Case("A in every answer", partial(one_letter, CHOICES, 0.326), latest_median=25),
        Case("letters at random", partial(independent, 0.245), latest_median=200),
        Case("empty answers", empty, latest_median=28),
    ]


def stopped_at(answers: Iterator[tuple[bool, str]]) -> tuple[int, str] | None:
    """Number of questions until a stop, and which stop it was; None for a run to the end."""
    score = ScoreStop(LIMIT, TOTAL, SCORE_ALPHA, GROUPS)
    letters = LetterStop(LETTER_SHARE, LETTER_ALPHA)
    for count, (right, letter) in enumerate(answers, 1):
        letters.add(letter)
        if letters.stopped:
            return count, "letters"
        score.add(right)
        if score.stopped:
            return count, "score"
    return None


def measure(case: Case, runs: int) -> Measured:
    """Simulates one case, with the same seed every time."""
    began = time.perf_counter()
    rng = random.Random(case.name)
    stops = [stop for _ in range(runs) if (stop := stopped_at(case.answers(rng))) is not None]
    by = {name: sum(which == name for _, which in stops) / runs for name in ("score", "letters")}
    counts = sorted(count for count, _ in stops)

    def reached(share: float) -> int | None:
        needed = math.ceil(share * runs)
        return counts[needed - 1] if counts and needed <= len(counts) else None

    median = reached(0.5)
    is_rare_enough = at_least(len(stops), runs, case.most_stopped) > CHANCE
    is_within_bar = is_rare_enough and (median or math.inf) <= case.latest_median
    return Measured(
        case=case.name,
        runs=runs,
        stopped_by_score=by["score"],
        stopped_by_letters=by["letters"],
        median=median,
        ninth_decile=reached(0.9),
        last=counts[-1] if counts else None,
        is_within_bar=is_within_bar,
        seconds=round(time.perf_counter() - began, 1),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(f"limit {LIMIT} of {TOTAL}, alpha {SCORE_ALPHA} (score), {LETTER_ALPHA} (letters), {options.runs} runs")
        print(
            f"{'case':28} {'by score':>9} {'by letters':>10} {'median':>7} {'90 %':>6} {'last':>6} {'bar':>6} {'s':>6}"
        )
    measured = []
    for case in cases():
        one = measure(case, options.runs)
        measured.append(one)
        if not options.json:
            numbers = [one.median or "-", one.ninth_decile or "-", one.last or "-"]
            print(
                f"{one.case:28} {one.stopped_by_score:9.2%} {one.stopped_by_letters:10.2%} "
                f"{numbers[0]:>7} {numbers[1]:>6} {numbers[2]:>6} {'ok' if one.is_within_bar else 'MISSED':>6} "
                f"{one.seconds:6.1f}",
                flush=True,
            )
    if options.json:
        print(json.dumps([asdict(one) for one in measured], indent=2))
    return 0 if all(one.is_within_bar for one in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
