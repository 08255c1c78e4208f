"""What an accuracy run came to: answers, marks and figures, and what each clause of the verdict reads of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import criteria, metrics, report
from vlm_acceptance.accuracy.baseline import compare, read_baseline
from vlm_acceptance.accuracy.early_stop import Stop
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.plan import LETTER_ALPHA, AccuracyPlan
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun, UsageProblem
from vlm_acceptance.core.finding import Finding, trimmed
from vlm_acceptance.stats.binomial import detectable_drop, paired_detectable_drop, wilson

# The share of questions that a paired comparison is assumed to see answered otherwise, for the statement of its power.
DISCORDANT = 0.05


@dataclass(frozen=True, slots=True)
class PictureAblation:
    """Right answers to the same questions with their pictures and with blank ones."""

    asked: int
    right: int
    blank: int


@dataclass(frozen=True)
class AccuracyResult:
    """A finished or stopped run. `texts` holds prompt tokens of the text alone by the request's hash, `blanks` the
    answers on blank pictures, `span_s` how long the requests took and `asked` how many they were.
    """

    plan: AccuracyPlan
    answers: Mapping[str, Answer]
    texts: Mapping[str, int]
    blanks: Mapping[str, Answer]
    stop: Stop | None
    span_s: float
    asked: int
    by_server: bool
    file: Path
    repeat: str

    @property
    def total(self) -> int:
        """Questions of the data."""
        return len(self.plan.order)

    @cached_property
    def scores(self) -> Mapping[str, metrics.Scores]:
        """Scores by scorer; EnvironmentProblem when the golds are not those that were there at the start."""
        self.plan.prepared.require_unchanged()
        return metrics.score(self.plan.prepared, self.answers, self.plan.dataset.scorers)

    @property
    def deciding_scores(self) -> metrics.Scores:
        """Scores of the scorer that decides."""
        return self.scores[self.plan.deciding_scorer]

    @cached_property
    def right_by_scorer(self) -> dict[str, int]:
        """Right answers by scorer."""
        return {name: sum(score.right for score in scores.values()) for name, scores in self.scores.items()}

    @property
    def right(self) -> int:
        """Right answers by the scorer of record."""
        return self.right_by_scorer[self.plan.deciding_scorer]

    @property
    def answered(self) -> int:
        """Questions that got a text."""
        return sum(answer.text is not None for answer in self.answers.values())

    @cached_property
    def shape(self) -> metrics.ShapeCounts:
        """What the answers look like."""
        return metrics.shape(self.plan.prepared, self.answers, self.deciding_scores)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Everything countable."""
        return metrics.figures(
            self.plan.prepared,
            self.answers,
            self.scores,
            self.plan.deciding_scorer,
            self.plan.dataset.domains,
            self.span_s,
            self.asked,
        )

    def look(self) -> str:
        """What most of a stopped run's answers look like, in words; '' when they look like answers."""
        seen = self.shape
        rows = (
            ("are empty", seen.empty, seen.answered),
            ("name no option", seen.choice_unresolved, seen.choice_answers),
            ("are cut by max_tokens", seen.truncated, seen.answered),
            ("decline", seen.declined, seen.answered),
            (f"are {seen.top_letter}", seen.letters.total() and max(seen.letters.values()), seen.choice_answers),
        )
        return next((f"; {count} of {of} answers {what}" for what, count, of in rows if 2 * count > of), "")

    @property
    def incomplete(self) -> str:
        """Why a run that was not stopped by its own answers decides nothing, or ''."""
        if self.stop is not None and self.stop.cause == "endpoint":
            return f"stopped after {self.stop.asked} of {self.total} questions: {self.stop.reason}"
        return "" if self.stop is not None else criteria.incomplete(self.total, self.answers, self.plan.wanted.retried)

    def require_whole(self) -> None:
        """NotRun unless every question has an answer."""
        if self.stop is not None:
            raise NotRun(f"the accuracy run was stopped after {self.stop.asked} of {self.total} questions")
        if self.answered < self.total:
            raise NotRun(f"{self.total - self.answered} of {self.total} questions have no answer")

    def with_repeat(self, found: Iterable[Finding]) -> list[Finding]:
        """Findings about questions, each with the file that holds the answer and a line that asks again."""
        known = self.answers.keys()
        return [
            replace(one, evidence=f"{self.file} ({one.where})", repeat=f"{self.repeat} {one.where}")
            if one.where in known
            else replace(one, evidence=str(self.file))
            for one in found
        ]

    def token_counts(self) -> Iterator[criteria.TokenCount]:
        """Prompt tokens of every answer beside what they should be."""
        yield from criteria.token_counts(self.plan.requests(), self.answers, self.texts, self.plan.picture_cost)

    def picture_ablation(self) -> PictureAblation:
        """The sighted test's figures; EnvironmentProblem when a blank question got no answer."""
        lost = [ident for ident in self.plan.blank_ids if ident not in self.blanks or self.blanks[ident].text is None]
        if lost:
            raise EnvironmentProblem(
                f"{len(lost)} of {len(self.plan.blank_ids)} questions with blank pictures got no answer"
            )
        items = [self.plan.prepared[ident] for ident in self.plan.blank_ids]
        blank = self.plan.scorer(items, {ident: answer.text or "" for ident, answer in self.blanks.items()})
        right = sum(self.deciding_scores[item.id].right for item in items)
        return PictureAblation(len(items), right, sum(mark.right for mark in blank.values()))

    def paired(self, baseline: Path) -> criteria.PairedResult:
        """This run beside a stored one, marked by the same scorer; questions that it does not hold are left out."""
        stored = read_baseline(baseline, self.plan.prepared)
        seen = compare(self.deciding_scores, self.plan.scorer(self.plan.prepared, stored.texts))
        return criteria.paired_result(seen.compared, seen.lost, seen.gained, self.plan.wanted.paired)

    def known_answers(self, path: Path) -> dict[str, str]:
        """Expected answers by id from a file of JSON lines; UsageProblem names the line that holds none."""
        known: dict[str, str] = {}
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                ident, text = row["id"], row["answer"]
            except (ValueError, KeyError, TypeError, RecursionError):
                ident = text = None
            if not isinstance(ident, str) or not isinstance(text, str):
                raise UsageProblem(f"{path}: line {number} holds no id with an answer: {trimmed(line, 80)}")
            known[ident] = text
        return known

    def score_figures(self) -> dict[str, str]:
        """The score, its limits, every scorer and every subject, as properties of a test."""
        limits = self.plan.limits
        low, high = wilson(self.right, self.answered)
        scorers = {f"scorer.{name}": f"{right}/{self.total}" for name, right in self.right_by_scorer.items()}
        subjects = {f"subject.{name}": text for name, text in report.properties(self.figures).items()}
        return {
            "right": f"{self.right}/{self.total}",
            "interval_95": f"{low:.3f} to {high:.3f}",
            "limits": f"{limits.low} to {limits.high} ({limits.basis})",
            **scorers,
            **subjects,
        }

    def shape_figures(self) -> dict[str, Any]:
        """The shape of the answers, as properties of a test."""
        seen = self.shape
        letters = " ".join(f"{letter}:{count}" for letter, count in sorted(seen.letters.items()))
        return {
            "letters": letters,
            "unresolved": f"{seen.choice_unresolved}/{seen.choice_answers}",
            "empty": seen.empty,
            "truncated": seen.truncated,
            "declined": seen.declined,
            "open_a": f"{seen.open_a}/{seen.open_answers}",
        }

    def run_figures(self) -> dict[str, Any]:
        """How the run went, as properties of a test."""
        time = self.figures["time"]
        return {
            "answered": f"{self.answered}/{self.total}",
            "asked_in_this_run": self.asked,
            "retries": len(self.figures["retries"]),
            "span_s": round(self.span_s, 3),
            "questions_per_s": round(time["questions_per_s"], 2) if time["questions_per_s"] else None,
            "file": self.file.name,
        }

    def statements(self) -> list[str]:
        """What this run could and could not have seen, as sentences, and what it took over."""
        kept = len(self.answers) - self.asked
        taken = [f"{kept} answers were taken over from an earlier run (--vlm-resume)"] if kept else []
        return [*taken, *statements(self.plan)]


def statements(plan: AccuracyPlan) -> list[str]:
    """The limits, and the drop that a run of this size detects."""
    limits, total = plan.limits, len(plan.order)
    said = [f"{limits.low} to {limits.high} of {total} right are accepted: {limits.basis}"]
    reference = plan.wanted.reference_among(plan.profile.references)[1]
    if reference is not None and reference.correct is not None and reference.total is not None:
        drop = detectable_drop(reference.correct, reference.total, total, limits.low)
        paired = paired_detectable_drop(total, DISCORDANT, plan.wanted.paired.alpha)
        said.append(
            f"a true drop of {100 * drop:.1f} points below {reference.correct} of {reference.total} is refused with a "
            f"probability of 80 %; beside a stored run (--vlm-baseline) with which {DISCORDANT:.0%} of the questions "
            f"come out otherwise, one of {100 * paired:.1f}"
        )
    if plan.wanted.stops_early:
        said.append(
            f"a run that would reach {limits.low} right is stopped early with a probability of at most "
            f"{100 * plan.wanted.early_stop_alpha:g} %, one without a letter in more than "
            f"{plan.wanted.shape.top_letter:.0%} of its choices with one of {100 * LETTER_ALPHA:g} %"
        )
    return said


def paired_properties(seen: criteria.PairedResult) -> dict[str, Any]:
    """A paired comparison as properties of a test; the lists are cut."""
    return {
        "compared": seen.compared,
        "lost": len(seen.lost),
        "gained": len(seen.gained),
        "p": f"{seen.p:.4g}",
        "difference_95": f"{seen.interval[0]:+.4f} to {seen.interval[1]:+.4f}",
        "margin_ruled_out": seen.margin_ruled_out,
        "lost_ids": _cut(seen.lost),
        "gained_ids": _cut(seen.gained),
    }


def _cut(ids: Sequence[str]) -> str:
    return " ".join(ids[:40]) + (f" and {len(ids) - 40} more" if len(ids) > 40 else "")
