"""Watches an accuracy run as answers come in: its score so far, and whether it need not go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlm_acceptance.accuracy.item import ANSWERED, CHOICE, REFUSED, Answer, Item, Score
from vlm_acceptance.accuracy.runner import InOrder
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

# So many questions in a row without a completion: the rest would cost hours of deadlines, and decide nothing.
SILENT_IN_A_ROW = 32
# A repeated letter shows within these; a score that shows it earlier would only say that answers are wrong, not how.
FIRST_LOOK = 30
# So near its end a run is worth its whole figures.
LAST_LOOK = 0.8


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended before its last question. `cause` is score, letters, refused or endpoint; only the last
    one is no rejection.
    """

    cause: str
    reason: str
    asked: int


class EarlyStop:
    """Takes every answer as it comes; the sequential tests see them in the planned order only.

    `mark` is the scorer of record on one answer. What got no answer counts as right there: it must never help to
    reject. `score` and `letters` are None where early stopping is switched off.
    """

    def __init__(
        self,
        order: Sequence[str],
        item: Callable[[str], Item],
        mark: Callable[[Item, str], Score],
        score: ScoreStop | None,
        letters: LetterStop | None,
    ) -> None:
        self.total = len(order)
        self.done = self.right = self.errors = self._looked = 0
        self.stop: Stop | None = None
        self._item = item
        self._mark = mark
        self._score = score
        self._letters = letters
        self._last: deque[str] = deque(maxlen=SILENT_IN_A_ROW)
        self._marks: dict[str, tuple[bool, str | None]] = {}
        self._ordered = InOrder(order, self._in_order)

    def add(self, answer: Answer) -> None:
        """One more answer, in whatever order they come."""
        self.done += 1
        right, letter = True, None
        if answer.status == ANSWERED and answer.text is not None:
            item = self._item(answer.id)
            mark = self._mark(item, answer.text)
            right = mark.right
            letter = mark.read if item.kind == CHOICE else None
            self.right += right
        else:
            self.errors += 1
        self._marks[answer.id] = (right, letter)
        self._note_silence(answer)
        self._ordered.add(answer)

    def _note_silence(self, answer: Answer) -> None:
        self._last.append(answer.status)
        if len(self._last) == SILENT_IN_A_ROW and ANSWERED not in self._last:
            cause = "refused" if set(self._last) == {REFUSED} else "endpoint"
            self._halt(cause, f"{SILENT_IN_A_ROW} requests in a row got no completion, the last: {answer.error}")

    def _in_order(self, answer: Answer) -> None:
        self._looked += 1
        right, letter = self._marks.pop(answer.id)
        if self._score is not None:
            self._score.add(right)
        if self._letters is not None and letter is not None:
            self._letters.add(letter)
            if self._letters.stopped:
                self._halt("letters", self._letters.reason())
        is_time = FIRST_LOOK <= self._looked <= LAST_LOOK * self.total
        if self._score is not None and self._score.stopped and is_time:
            self._halt("score", self._score.reason())

    def _halt(self, cause: str, reason: str) -> None:
        if self.stop is None:
            self.stop = Stop(cause, reason, self.done)
