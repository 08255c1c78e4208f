"""Early stop of an accuracy run: decides after every answer whether the rest can be left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlm_acceptance.accuracy.item import ANSWERED, CHOICE, REFUSED, Answer, Item, Scorer
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

# Questions in a row without a completion: the rest would cost hours of deadlines and decide nothing.
SILENT_IN_A_ROW = 32
# Answers before the score may stop the run: a repeated letter, which explains a low score, shows within these.
FIRST_STOP = 30
# Share of the questions after which a run is not stopped any more, for the sake of whole metrics.
LAST_STOP = 0.8


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended early, `after` so many questions; every cause but endpoint rejects the deployment."""

    cause: str  # score, letters, refused or endpoint
    reason: str
    after: int


@dataclass(frozen=True, slots=True)
class PathPoint:
    """After so many questions in the planned order: right ones, and the statistics of both tests.

    A question without an answer counts as right.
    """

    asked: int
    right: int
    score: float
    letters: float


class EarlyStop:
    """Takes answers in any order; the sequential tests `score` and `letters` get them in the planned order.

    `scorer` is the deciding one. Unanswered questions count as correct in the tests, so that they cannot cause a
    rejection. Without tests, only an endpoint that no longer answers stops the run.
    """

    def __init__(
        self,
        order: Sequence[str],
        item: Callable[[str], Item],
        scorer: Scorer,
        score: ScoreStop | None,
        letters: LetterStop | None,
    ) -> None:
        self._order = order
        self.done = self.right = self.errors = self._tested = 0
        self.stop: Stop | None = None
        self._item, self._scorer = item, scorer
        self._score, self._letters = score, letters
        self._last: deque[str] = deque(maxlen=SILENT_IN_A_ROW)
        self._waiting: dict[str, tuple[bool, str | None]] = {}  # until all earlier answers in the order have arrived
        self.path: list[PathPoint] = []

    def add(self, answer: Answer) -> None:
        self.done += 1
        right, letter = True, None
        if answer.status == ANSWERED and answer.text is not None:
            item = self._item(answer.id)
            score = self._scorer([item], {item.id: answer.text})[item.id]
            right, letter = score.right, score.read if item.kind == CHOICE else None
            self.right += right
        else:
            self.errors += 1
        self._check_silence(answer)
        self._waiting[answer.id] = (right, letter)
        while self._tested < len(self._order) and self._order[self._tested] in self._waiting:
            self._test(*self._waiting.pop(self._order[self._tested]))

    def _check_silence(self, answer: Answer) -> None:
        self._last.append(answer.status)
        if len(self._last) == SILENT_IN_A_ROW and ANSWERED not in self._last:
            cause = "refused" if set(self._last) == {REFUSED} else "endpoint"
            self._stop(cause, f"{SILENT_IN_A_ROW} requests in a row got no completion, the last: {answer.error}")

    def _test(self, right: bool, letter: str | None) -> None:
        self._tested += 1
        if self._score is not None:
            self._score.add(right)
        if self._letters is not None and letter is not None:
            self._letters.add(letter)
            if self._letters.stopped:
                self._stop("letters", self._letters.reason())
        if self._score is not None and self._letters is not None:
            self.path.append(PathPoint(self._tested, self._score.right, self._score.statistic, self._letters.statistic))
        may_stop = FIRST_STOP <= self._tested <= LAST_STOP * len(self._order)
        if self._score is not None and self._score.stopped and may_stop:
            self._stop("score", self._score.reason())

    def _stop(self, cause: str, reason: str) -> None:
        if self.stop is None:
            self.stop = Stop(cause, reason, self.done)
