"""A finished accuracy run as values: answers, scores and metrics, and what the criteria of the verdict need of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from vlm_acceptance.accuracy import criteria
from vlm_acceptance.accuracy.baseline import Comparison, compare, read_baseline
from vlm_acceptance.accuracy.early_stop import PathPoint, Stop
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.metrics import Scores, ShapeCounts, measure, score, shape_of
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, UsageProblem
from vlm_acceptance.core.files import BadFile, parse_json, read_lines, shown
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed


class PictureAblation(NamedTuple):
    """Right answers to the same questions with their pictures and with blank ones."""

    questions: int
    right: int
    blank: int


@dataclass(frozen=True, kw_only=True)
class AccuracyResult:
    """A finished or stopped run.

    `counted` are prompt tokens of the plan's counting requests by their hash, `blank_answers` the answers on blank
    pictures. `new_answers` are the answers of this run, without resumed ones, made in `span_s` seconds. `repeat` is
    the command that sends a question again, but for its id. `path` is what the early stop saw after each question.
    """

    plan: AccuracyPlan
    answers: Mapping[str, Answer]
    counted: Mapping[str, int]
    blank_answers: Mapping[str, Answer]
    stop: Stop | None
    span_s: float
    new_answers: int
    by_server: bool
    file: Path
    repeat: str
    path: Sequence[PathPoint] = ()

    @property
    def total(self) -> int:
        return len(self.plan.order)

    @property
    def answered(self) -> int:
        return sum(answer.text is not None for answer in self.answers.values())

    @cached_property
    def scores(self) -> Mapping[str, Scores]:
        """Scores by scorer; EnvironmentProblem if the prepared data changed during the run."""
        self.plan.prepared.require_unchanged()
        return score(self.plan.prepared, self.answers, self.plan.dataset.scorers)

    @property
    def deciding_scores(self) -> Scores:
        return self.scores[self.plan.deciding_scorer]

    @cached_property
    def right_by_scorer(self) -> dict[str, int]:
        return {name: sum(one.right for one in scores.values()) for name, scores in self.scores.items()}

    @property
    def right(self) -> int:
        """Right answers by the deciding scorer."""
        return self.right_by_scorer[self.plan.deciding_scorer]

    @cached_property
    def shape(self) -> ShapeCounts:
        return shape_of(self.plan.prepared, self.answers, self.deciding_scores)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Everything that is counted, ready for JSON."""
        plan, scores, times = self.plan, self.scores, (self.span_s, self.new_answers)
        return measure(plan.prepared, self.answers, scores, plan.deciding_scorer, plan.dataset.domains, *times)

    @property
    def incomplete(self) -> str:
        """Why the score cannot be judged, or ''; a run that its own answers stopped is judged."""
        if self.stop is None:
            return criteria.incomplete(self.total, self.answers, self.plan.wanted.retried)
        if self.stop.cause == "endpoint":
            return f"stopped after {self.stop.after} of {self.total} questions: {self.stop.reason}"
        return ""

    def require_whole(self) -> None:
        """NotRun unless every question has an answer."""
        if self.stop is not None:
            raise NotRun(f"the accuracy run was stopped after {self.stop.after} of {self.total} questions")
        if self.answered < self.total:
            raise NotRun(f"{self.total - self.answered} of {self.total} questions have no answer")

    def with_repeat(self, found: Iterable[Finding]) -> list[Finding]:
        """The findings with the file of the answers; one about a question also with the command that repeats it."""
        return [
            replace(one, evidence=f"{self.file} ({one.where})", repeat=f"{self.repeat} {one.where}")
            if one.where in self.answers
            else replace(one, evidence=str(self.file))
            for one in found
        ]

    def token_counts(self) -> Iterator[criteria.TokenCount]:
        """Prompt tokens of every answer, observed and expected."""
        for request in self.plan.requests():
            answer = self.answers.get(request.id)
            if answer is not None and answer.text is not None:
                small, text = self.plan.counting_requests(request)
                yield criteria.TokenCount(
                    request.id,
                    seen=answer.prompt_tokens,
                    pictures=self.plan.picture_cost(request),
                    small_seen=self.counted.get(small.sha256),
                    small_pictures=self.plan.picture_cost(small),
                    text=self.counted.get(text.sha256),
                )

    def picture_ablation(self) -> PictureAblation:
        """Scores with and without pictures; EnvironmentProblem if a question got no answer with or without them."""
        ids = self.plan.blank_ids
        texts = {ident: answer.text for ident, answer in self.blank_answers.items() if answer.text is not None}
        lost = set(ids) - (texts.keys() & self.deciding_scores.keys())
        if lost:
            raise EnvironmentProblem(f"{len(lost)} of {len(ids)} questions of the picture ablation got no answer")
        blank = self.plan.scorer([self.plan.prepared[ident] for ident in ids], texts)
        right = sum(self.deciding_scores[ident].right for ident in ids)
        return PictureAblation(len(ids), right, sum(one.right for one in blank.values()))

    def compared_with(self, baseline: Path) -> Comparison:
        """This run beside a stored one, scored by the same scorer, over the questions that both answered."""
        stored = read_baseline(baseline, self.plan.prepared)
        return compare(self.deciding_scores, self.plan.scorer(self.plan.prepared, stored.texts))


class _GoldenRow(BaseModel):
    id: str
    answer: str


def golden_answers(path: Path) -> dict[str, str]:
    """Expected answers by question id, from JSON lines; UsageProblem names a line that is not valid."""
    golden: dict[str, str] = {}
    try:
        for number, line in read_lines(path):
            if line.strip():
                try:
                    row = _GoldenRow.model_validate(parse_json(line))  # pydantic's own reader takes no lone surrogate
                except ValueError:
                    text = trimmed(line.decode("utf-8", "replace"), 80)
                    raise UsageProblem(f"{path}: line {number} has no id with an answer: {text}") from None
                if row.id in golden:
                    raise UsageProblem(f"{path}: line {number} answers {shown(row.id, 80)} a second time")
                golden[row.id] = row.answer
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None
    return golden
