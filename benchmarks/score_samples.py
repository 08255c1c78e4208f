"""Made-up scores of sound runs over data sets of the real sizes, with questions that share pictures, and made-up
differences between two runs. Needs numpy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from vlm_acceptance.stats.binomial import at_least
from vlm_acceptance.stats.means import Sample, sample_of_sums

VQA = (0.3, 0.6, 0.9)
ANLS = tuple(0.5 + 0.05 * step for step in range(10))
CHANCE = 0.001
TEXT, PAGE, GRAPHIC = "TextVQA", "DocVQA", "InfoVQA"


@dataclass(frozen=True, slots=True)
class Case:
    """Scores of a data set: the share `partial` lies on the values `between`, the rest on 0 and 1 so that `mean` holds.

    `size` is the mean number of questions a picture, `alike` the correlation of scores of one picture.
    """

    name: str
    n: int
    mean: float
    between: tuple[float, ...]
    partial: float
    size: float = 1.0
    alike: float = 0.0

    @property
    def distribution(self) -> tuple[np.ndarray, np.ndarray]:
        inner = sum(self.between) / len(self.between) * self.partial
        one = self.mean - inner
        chances = [1 - one - self.partial, *[self.partial / len(self.between)] * len(self.between), one]
        return np.array([0, *self.between, 1]), np.array(chances)

    @property
    def deviation(self) -> float:
        values, chances = self.distribution
        return math.sqrt(float(((values - self.mean) ** 2 * chances).sum()))


CASES = (
    Case(TEXT, 5000, 0.73356, VQA, 0.18),
    Case(TEXT, 5000, 0.73356, VQA, 0.18, 1.58, 0.1),
    Case(PAGE, 5349, 0.869, ANLS, 0.10),
    Case(PAGE, 5349, 0.869, ANLS, 0.10, 4.2, 0.1),
    Case(GRAPHIC, 2801, 0.589, ANLS, 0.10),
    Case(GRAPHIC, 2801, 0.589, ANLS, 0.10, 5.6, 0.1),
    Case("right less often", 1000, 0.25, ANLS, 0.10, 5.6, 0.1),
    Case("rare hits", 1000, 0.03, (0.5,), 0.01, 5.6, 0.1),
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences between two runs over `pictures` of `size` questions: the share `changed` differs, by one of `steps`.

    Pictures change as a whole if `together`, else each question alone. For the limit of the mean difference the share
    `lost` of the changes are losses, for the tests of no difference half of them.
    """

    name: str
    pictures: int
    size: int
    changed: float
    steps: tuple[float, ...]
    together: bool
    lost: float

    @property
    def margin(self) -> float:
        """The mean loss where the share `lost` of the changes are losses."""
        return self.changed * sum(self.steps) / len(self.steps) * (2 * self.lost - 1)

    def drawn(self, lost: float, rng: random.Random) -> list[list[float]]:
        """The differences of the questions of each picture."""

        def change() -> float:
            if rng.random() >= self.changed:
                return 0.0
            return rng.choice(self.steps) * (-1 if rng.random() < lost else 1)

        if self.together:
            return [[change()] * self.size for _ in range(self.pictures)]
        return [[change() for _ in range(self.size)] for _ in range(self.pictures)]


@dataclass(frozen=True, slots=True)
class Paired:
    """How often paired tests at 5 % refuse an equally good run, and the limit rules out a true loss of `margin`."""

    case: str
    sign_by_question: float
    sign: float
    flip: float
    margin: float
    ruled_out: float
    kept: bool


CHANGES = (
    Changes("questions alone, 0 and 1", 100, 5, 0.08, (1.0,), together=False, lost=0.75),
    Changes("whole pictures, 0 and 1", 100, 5, 0.20, (1.0,), together=True, lost=0.75),
    Changes("whole pictures, VQA", 100, 5, 0.20, (0.3, 0.6, 1.0), together=True, lost=0.75),
    Changes("whole pictures, only lost", 100, 10, 0.028, (1.0,), together=True, lost=1.0),
)


def picture_starts(case: Case, rng: np.random.Generator) -> np.ndarray:
    """The first question of each picture: sizes are 1 + Poisson."""
    sizes = 1 + rng.poisson(case.size - 1, case.n)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return starts[starts < case.n]


def drawn(case: Case, starts: np.ndarray, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of sound runs. A question copies the draw of its picture with the root of `alike`, so means stay."""
    values, chances = case.distribution
    edges = np.cumsum(chances)[:-1].astype(np.float32)

    def scores(count: int) -> np.ndarray:
        return values[np.searchsorted(edges, rng.random((runs, count), dtype=np.float32), side="right")]

    own = scores(case.n)
    if not case.alike:
        return own
    lengths = np.diff([*starts, case.n])
    common = np.repeat(scores(len(starts)), lengths, axis=1)
    return np.where(rng.random((runs, case.n), dtype=np.float32) < math.sqrt(case.alike), common, own)


def samples(scores: np.ndarray, starts: np.ndarray) -> Iterator[Sample]:
    """`sample_of_sums` of each run, by arrays."""
    n, groups = scores.shape[1], len(starts)
    means = scores.mean(axis=1)
    sums = np.add.reduceat(scores, starts, axis=1) if groups < n else scores
    left = sums - np.diff([*starts, n]) * means[:, None]
    squared = left * left
    squares, cubes = squared.sum(axis=1), (squared * left).sum(axis=1)
    errors = np.sqrt(squares * groups / (groups - 1)) / n
    skewness = cubes / groups / (squares / groups) ** 1.5
    for mean, error, skew in zip(means.tolist(), errors.tolist(), skewness.tolist(), strict=True):
        yield Sample(n, groups, mean, error, skew)


def agrees(scores: np.ndarray, starts: np.ndarray) -> None:
    """The arrays give what the product computes."""
    sizes = np.diff([*starts, len(scores)])
    one = sample_of_sums(np.add.reduceat(scores, starts).tolist(), sizes.tolist())
    other = next(samples(scores[None], starts))
    pairs = zip(asdict(one).values(), asdict(other).values(), strict=True)
    if not all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in pairs):
        raise AssertionError(f"{one} is not {other}")


def is_by_chance(count: int, runs: int, share: float) -> bool:
    """Whether so many or more of the runs are not too rare where the true share is `share`."""
    return at_least(count, runs, share) > CHANCE
