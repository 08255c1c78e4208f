"""How often the limits of an accuracy run refuse a sound one, and which drop they find, by simulation; the same for a
nightly of two data sets with all its tests, for paired tests, and for answers shared out among replicas.

`python benchmarks/accuracy_coverage.py [--runs N] [--json]`. Needs numpy. Exit code 1 when a limit in use, a nightly or
a paired test by picture refuses more sound runs than its error allows by chance (one in 1,000; an exact limit: more
than its error), or the power of a limit in use is below 0.75 where 0.8 was computed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np
from score_samples import CASES, CHANGES, Case, Changes, Paired, agrees, drawn, is_by_chance, picture_starts, samples

from vlm_acceptance.stats.binomial import at_least, at_most, detectable_drop, lower_limit, upper_limit
from vlm_acceptance.stats.family import Errors, errors_of, parts
from vlm_acceptance.stats.means import (
    Sample,
    Stratum,
    detectable_strata_drop,
    is_reached,
    lower_mean,
    strata_at_most,
    strata_limit,
)
from vlm_acceptance.stats.paired import difference_limit, flip_test, sign_test
from vlm_acceptance.stats.partition import detectable_part_drop, needed_part_size, unlike_counts
from vlm_acceptance.stats.sequential import GUESSER_AND_MUTE, STUCK_SHARE, ScoreStop, alternatives_below

ALPHA, POWER = 0.05, 0.8
STRICT = errors_of(ALPHA / 6).lower  # the lower limit of one data set of six
CHUNK = 200  # runs in memory at once
Z = NormalDist().inv_cdf
MMMU, OCRBENCH = (327, 900), (784, 1000)


@dataclass(frozen=True, slots=True)
class Row:
    """One limit: which share of sound runs it refuses, the drop it finds with a power of 0.8, and the power seen there.

    Shares; `strict` is `error` with the alpha of a nightly of six, where it is simulated; `seen` and `strict` are of
    the limits in use only, which must keep the bar.
    """

    case: str
    limit: str
    error: float
    drop: float
    strict: float | None = None
    seen: float | None = None
    in_use: bool = False
    kept: bool = True


def other_limits(case: Case) -> dict[str, float]:
    """Limits of the mean that need no variance of the run."""
    n = case.n
    count = round(case.mean * 100_000)
    certain = lower_limit(count, 100_000, n, ALPHA / math.e)
    return {
        "exact binomial": (lower_limit(count, 100_000, n, ALPHA) - 1) / n,
        "binomial at alpha/e (Bentkus)": (certain - 1) / n,
        "Hoeffding": case.mean - math.sqrt(math.log(1 / ALPHA) / 2 / n),
    }


def bernstein(case: Case, sample: Sample) -> float:
    """Maurer and Pontil's limit, with the run's own variance."""
    logarithm, variance = math.log(2 / ALPHA), sample.error**2 * sample.n
    return case.mean - math.sqrt(2 * variance * logarithm / case.n) - 7 * logarithm / 3 / (case.n - 1)


def bet_refuses(case: Case, scores: np.ndarray) -> np.ndarray:
    """A bet with the stake that is best for the true variance: the sharpest of its kind."""
    stake = min(0.9 / (1 - case.mean), math.sqrt(2 * math.log(1 / ALPHA) / case.n) / case.deviation)
    return np.log1p(stake * (case.mean - scores)).sum(axis=1) >= math.log(1 / ALPHA)


def measured(case: Case, runs: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    starts, alone = picture_starts(case, rng), np.arange(case.n)
    fixed = other_limits(case)
    refused = dict.fromkeys([*fixed, "empirical Bernstein", "bet", "t by question", "t by picture"], 0)
    limits = dict.fromkeys(("empirical Bernstein", "t by question", "t by picture"), 0.0)
    means: list[float] = []
    strict = 0
    for first in range(0, runs, CHUNK):
        scores = drawn(case, starts, min(CHUNK, runs - first), rng)
        refused["bet"] += int(bet_refuses(case, scores).sum())
        for single, by_picture in zip(samples(scores, alone), samples(scores, starts), strict=True):
            means.append(single.mean)
            for name, limit in fixed.items():
                refused[name] += single.mean <= limit + 1e-12
            own = {
                "empirical Bernstein": bernstein(case, single),
                "t by question": lower_mean(case.mean, single, ALPHA),
                "t by picture": lower_mean(case.mean, by_picture, ALPHA),
            }
            strict += not is_reached(single.mean, lower_mean(case.mean, by_picture, STRICT))
            for name, limit in own.items():
                limits[name] += limit / runs
                refused[name] += not is_reached(single.mean, limit)
        if first == 0:
            agrees(scores[0], starts)
    spread = float(np.std(means)) * Z(POWER)
    drops = {name: case.mean - limit + spread for name, limit in {**fixed, **limits}.items()}
    # of a bet: log(1/alpha) = stake * n * drop - (stake * deviation)^2 * n / 2
    drops["bet"] = math.sqrt(2 * math.log(1 / ALPHA) / case.n) * case.deviation + spread
    chosen = "t by picture"
    seen = power_at(case, starts, drops[chosen], max(200, runs // 10), rng)
    title = f"{case.name}, {case.n}" + (f", {case.size} a picture" if case.alike else "")
    return [
        in_use(title, name, count, strict, runs, drops[name], seen)
        if name == chosen
        else Row(title, name, count / runs, drops[name])
        for name, count in refused.items()
        if case.alike or name != "t by question"
    ]


def power_at(case: Case, starts: np.ndarray, drop: float, runs: int, rng: np.random.Generator) -> float:
    """How often a run is refused whose answers turn wrong at random, so that its mean falls by `drop`."""
    found = 0
    for first in range(0, runs, CHUNK):
        count = min(CHUNK, runs - first)
        scores = drawn(case, starts, count, rng)
        scores = scores * (rng.random((count, case.n), dtype=np.float32) >= drop / case.mean)
        for sample in samples(scores, starts):
            found += not is_reached(sample.mean, lower_mean(case.mean, sample, ALPHA))
    return found / runs


def in_use(case: str, limit: str, refused: int, strict: int, runs: int, drop: float, seen: float) -> Row:
    kept = is_by_chance(refused, runs, ALPHA) and is_by_chance(strict, runs, STRICT) and seen >= 0.75
    return Row(case, limit, refused / runs, drop, strict / runs, seen, in_use=True, kept=kept)


def counted() -> list[Row]:
    """The exact limits of counts: their error and their power are computed."""
    halves = [Stratum(744, 1250, 1250), Stratum(1162, 1250, 1250)]
    limit = strata_limit(halves, ALPHA)
    plain = lower_limit(1906, 2500, 2500, ALPHA)
    drop = detectable_strata_drop(halves, limit)
    million = 1_000_000
    fallen = [Stratum(round((part.right / part.total - drop) * million), million, part.n) for part in halves]
    rows = [
        exact("ChartQA, 2500", f"exact, halves ({limit})", strata_at_most(limit - 1, halves), drop,
              strata_at_most(limit - 1, fallen)),
        Row("ChartQA, 2500", f"exact binomial ({plain})", strata_at_most(plain - 1, halves),
            detectable_drop(1906, 2500, 2500, plain)),
    ]  # fmt: skip
    for name, (right, total) in {"OCRBench": OCRBENCH, "MMMU": MMMU}.items():
        limit = lower_limit(right, total, total, ALPHA)
        error = at_most(limit - 1, total, right / total)
        drop = detectable_drop(right, total, total, limit)
        seen = at_most(limit - 1, total, right / total - drop)
        rows.append(exact(f"{name}, {total}", f"exact binomial ({limit})", error, drop, seen))
    return rows


def exact(case: str, limit: str, error: float, drop: float, seen: float) -> Row:
    return Row(case, limit, error, drop, seen=seen, in_use=True, kept=error <= ALPHA and seen >= 0.75)


def paired(case: Changes, runs: int, seed: int) -> Paired:
    rng = random.Random(seed)
    alone = sign = flip = ruled_out = 0
    sizes = [case.size] * case.pictures
    for _ in range(runs):
        pictures = case.drawn(0.5, rng)
        sums = [sum(picture) for picture in pictures]
        alone += sign_test([one for picture in pictures for one in picture]) <= ALPHA
        sign += sign_test(sums) <= ALPHA
        flip += flip_test(sums) <= ALPHA
        worse = [sum(picture) for picture in case.drawn(case.lost, rng)]
        ruled_out += difference_limit(worse, sizes, ALPHA) > -case.margin
    kept = all(is_by_chance(count, runs, ALPHA) for count in (sign, flip, ruled_out))
    return Paired(case.name, alone / runs, sign / runs, flip / runs, case.margin, ruled_out / runs, kept)


@dataclass(frozen=True, slots=True)
class Member:
    """One data set of a nightly, scored 0 or 1: its limits, and the shares of sound runs that each test refuses.

    `below_exact` and `above_exact` are computed; `stopped` are all early stops by score, also of runs below the limit.
    """

    name: str
    part: float
    low: int
    high: int
    below_exact: float
    above_exact: float
    below: float
    stopped: float
    stuck: float
    above: float
    failed: float


@dataclass(frozen=True, slots=True)
class Nightly:
    """A nightly of several data sets and the share of sound nights in which any test fails."""

    members: tuple[Member, ...]
    failed: float
    kept: bool


def stopped_early(right: np.ndarray, limit: int, alpha: float, bets: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Whether `ScoreStop` stops each run in its first 80 % by a bet, one step of all runs at a time."""
    runs, total = right.shape
    shares = np.array([share for share, _ in bets])
    capital = np.tile([weight for _, weight in bets], (runs, 1))
    reached, stopped = np.zeros(runs), np.zeros(runs, bool)
    for place in range(int(0.8 * total)):
        # once it is out of reach the run is below its limit, which counts anyway
        bound = np.clip((limit - reached) / (total - place), 1e-12, 1 - 1e-12)[:, None]
        factor = np.where(right[:, place, None], shares / bound, (1 - shares) / (1 - bound))
        capital = np.where(shares < bound, capital * factor, capital)
        reached += right[:, place]
        stopped |= capital.sum(axis=1) >= 1 / alpha
    return stopped


def stopped_stuck(runs: int, total: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    """Whether `LetterStop` stops runs that name four letters equally often."""
    hit, miss = math.log(STUCK_SHARE / 0.6), math.log((1 - STUCK_SHARE) / 0.4)
    letters = rng.integers(0, 4, (runs, total), dtype=np.int8)
    asked = np.arange(1, total + 1)
    capital = 22 * np.exp(miss * asked)[None].repeat(runs, axis=0)
    for letter in range(4):
        hits = np.cumsum(letters == letter, axis=1, dtype=np.int16)
        capital += np.exp(hit * hits + miss * (asked - hits))
    return (capital / 26 >= 1 / alpha).any(axis=1)


def nightly(sets: dict[str, tuple[int, int]], runs: int, seed: int) -> Nightly:
    rng = np.random.default_rng(seed)
    members, any_failed = [], np.zeros(runs, bool)
    for name, part in parts(dict.fromkeys(sets, 1.0)).items():
        (right, total), errors = sets[name], errors_of(part)
        low = lower_limit(right, total, total, errors.lower)
        high = upper_limit(right, total, total, errors.upper)
        bets = GUESSER_AND_MUTE if name == "MMMU" else alternatives_below(low / total)
        failed = {test: np.zeros(runs, bool) for test in ("below", "stopped", "stuck", "above")}
        for first in range(0, runs, 1000):
            taken = slice(first, min(runs, first + 1000))
            answers = rng.random((taken.stop - first, total), dtype=np.float32) < right / total
            failed["below"][taken] = answers.sum(axis=1) < low
            failed["above"][taken] = answers.sum(axis=1) > high
            failed["stopped"][taken] = stopped_early(answers, low, errors.early, bets)
            failed["stuck"][taken] = stopped_stuck(taken.stop - first, total, errors.stuck, rng)
            if first == 0:
                stops_agree(answers, failed["stopped"], low, errors, bets)
        any_of_member = np.logical_or.reduce(list(failed.values()))
        any_failed |= any_of_member
        exact = at_most(low - 1, total, right / total), at_least(high + 1, total, right / total)
        shares = {test: float(seen.mean()) for test, seen in failed.items()}
        members.append(Member(name, part, low, high, *exact, **shares, failed=float(any_of_member.mean())))
    share = float(any_failed.mean())
    return Nightly(tuple(members), share, is_by_chance(int(any_failed.sum()), runs, ALPHA))


def stops_agree(
    answers: np.ndarray, stopped: np.ndarray, limit: int, errors: Errors, bets: tuple[tuple[float, float], ...]
) -> None:
    """The arrays decide as the product does: for all stopped runs of the first ones, and for ten others."""
    runs, total = answers.shape
    for number in [*np.flatnonzero(stopped[:runs])[:10].tolist(), *range(10)]:
        stop = ScoreStop(limit, total, errors.early, alternatives=bets)
        for hit in answers[number, : int(0.8 * total)].tolist():
            stop.add(hit)
        if (stop.stopped and not stop.is_out_of_reach) != bool(stopped[number]):
            raise AssertionError(f"run {number}: the product decides otherwise")


@dataclass(frozen=True, slots=True)
class Replicas:
    """Eight replicas share `total` questions with a share of right answers; `named` is the share of sound nights in
    which any is named, `found` that in which the one is that answers 1 in 10 questions blind, and always wrongly."""

    total: int
    share: float
    nights: int
    named: float
    found: float
    drop: float | None  # none can be computed where all answers are right


def replicas(total: int, share: float, nights: int, seed: int, alpha: float = 0.001, count: int = 8) -> Replicas:
    rng = random.Random(seed)
    size, named, found = total // count, 0, 0
    for _ in range(nights):
        sound = [sum(rng.random() < share for _ in range(size)) for _ in range(count)]
        named += min(unlike_counts([(right, size) for right in sound])) <= alpha
        blind = sum(rng.random() < 0.9 for _ in range(sound[0]))
        found += unlike_counts([(right, size) for right in [blind, *sound[1:]]])[0] <= alpha
    drop = detectable_part_drop(math.sqrt(share * (1 - share)), count, size, alpha)
    return Replicas(size * count, share, nights, named / nights, found / nights, drop if drop <= 1 else None)


def of_replicas(nights: int) -> list[Replicas]:
    sets = {1000: 0.784, 2500: 0.7624, 5000: 0.73356, 5349: 0.869, 2801: 0.589}
    rows = [replicas(total, share, nights, 5) for total, share in sets.items()]
    for share in (0.784, 0.869):
        blind = 0.9 * share
        size = needed_part_size(share / 10, math.sqrt(blind * (1 - blind)), 8, 0.001)
        rows.append(replicas(8 * size, share, nights, 6))
    return [*rows, *(replicas(total, 1.0, nights, 7) for total in (320, 480, 560, 640, 800))]


def percent(share: float | None, digits: int = 2) -> str:
    return "" if share is None else f"{100 * share:.{digits}f}"


def table(titles: str, rows: list[list[str]]) -> list[str]:
    names = titles.split(" | ")
    return ["", *(f"| {' | '.join(cells)} |" for cells in [names, ["---"] * len(names), *rows])]


def markdown(
    rows: list[Row], nights: list[Nightly], tests_of_pairs: list[Paired], fleets: list[Replicas], runs: int
) -> str:
    """Tables for the documentation; numbers in %."""
    limits = [
        [one.case, one.limit, percent(one.error), percent(one.strict), percent(one.drop), percent(one.seen, 0),
         ("in use" if one.kept else "FAILS") if one.in_use else ""]
        for one in rows
    ]  # fmt: skip
    tests = []
    for night in nights:
        tests += [
            [one.name, percent(one.part), f"{one.low} to {one.high}",
             f"{percent(one.below)} ({percent(one.below_exact)})",
             percent(one.stopped), percent(one.stuck), f"{percent(one.above)} ({percent(one.above_exact)})",
             percent(one.failed)]
            for one in night.members
        ]  # fmt: skip
        tests.append(["together", percent(ALPHA), "", "", "", "", "", percent(night.failed)])
    found = [
        [str(one.total), percent(one.share, 1), str(one.nights), percent(one.named), percent(one.found, 0),
         percent(one.drop, 1)]
        for one in fleets
    ]  # fmt: skip
    pairs = [
        [one.case, percent(one.sign_by_question, 1), percent(one.sign, 1), percent(one.flip, 1),
         percent(one.ruled_out, 1), percent(one.margin, 1), "in use" if one.kept else "FAILS"]
        for one in tests_of_pairs
    ]  # fmt: skip
    intro = f"Sound runs refused at 5 % and at {100 * STRICT:.2f} %, of {runs}; drop found at 5 % with a power of 80 %."
    return "\n".join(
        [
            intro,
            *table("data set | limit | refused at 5 % | in a nightly of six | drop | power seen | ", limits),
            *table("nightly of | part | limits | below (exact) | early stop | stuck | above (exact) | any", tests),
            *table("pairs | sign test by question | sign test | flip test | limit | of a loss of | ", pairs),
            *table("questions to 8 replicas | right | nights | sound one named | 1 in 10 blind found | drop", found),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=1000, help="runs of each paired test")
    parser.add_argument("--nights", type=int, default=200, help="nights of each fleet of replicas")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    rows = counted()
    for number, case in enumerate(CASES):
        rows += measured(case, wanted.runs, number)
    sets = {"MMMU": MMMU, "OCRBench": OCRBENCH}
    nights = [nightly({"MMMU": MMMU}, wanted.runs, 100), nightly(sets, wanted.runs, 101)]
    pairs = [paired(case, wanted.pairs, number) for number, case in enumerate(CHANGES)]
    fleets = of_replicas(wanted.nights)
    if wanted.json:
        tables = {"limits": rows, "nightly": nights, "paired": pairs, "replicas": fleets}
        print(json.dumps({name: [asdict(one) for one in values] for name, values in tables.items()}))
    else:
        print(markdown(rows, nights, pairs, fleets, wanted.runs))
    return 0 if all(one.kept for one in [*rows, *nights, *pairs]) else 1


if __name__ == "__main__":
    sys.exit(main())
