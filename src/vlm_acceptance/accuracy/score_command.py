"""`score`: the scores of stored answers to a data set, by every scorer, without a server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.command_line import Command
from vlm_acceptance.accuracy.item import Item, Scorer
from vlm_acceptance.accuracy.prepare_command import Preparation
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.result import golden_answers
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.stats.binomial import wilson
from vlm_acceptance.stats.means import Sample, sample_of, t_limit

_TWO_SIDED = 0.025


@dataclass(frozen=True, slots=True)
class Row:
    """The mean score of the answered questions of a group ('' for all), from 0 to 1, and its 95 % interval.

    `questions` have a right answer in the data. Questions about one picture count as one draw. There is no interval
    for fewer than two pictures, nor where all pictures have one score between 0 and 1.
    """

    scorer: str
    group: str
    answered: int
    questions: int
    mean: float | None
    low: float | None
    high: float | None


def score_command(
    splits: Mapping[str, Preparation], scorers: Mapping[str, Scorer], check: Callable[[Prepared], None]
) -> Command:
    """`score` for a data set with these splits; the first one is the default. `check` refuses data that changed."""

    def options(parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("answers", type=expanded, help="JSON lines, each with the id of a question and its answer")
        add("--data", type=expanded, metavar="DIR", help="the prepared data (default: those of `prepare`)")
        if len(splits) > 1:
            add("--split", choices=list(splits), default=next(iter(splits)), help="the split (default: %(default)s)")
        add("--json", type=expanded, metavar="FILE", help="write the scores as JSON to this file")

    def run(given: argparse.Namespace) -> int:
        split = splits[getattr(given, "split", next(iter(splits)))]
        prepared = Prepared.open(given.data or split.default_folder(), split.command)
        if prepared.prepared_as != split.dataset:
            raise UsageProblem(f"--data: {prepared.folder} holds {prepared.prepared_as}, not {split.dataset}")
        check(prepared)
        rows = scored(prepared, _answers(given.answers, prepared), scorers)
        if given.json is not None:
            _write(given.json, prepared, rows)
        sys.stdout.write("".join(f"{printable(line)}\n" for line in lines(prepared, rows)))
        return 0

    return Command("Score stored answers by every scorer, without a server.", options, run)


def _answers(file: Path, prepared: Prepared) -> dict[str, str]:
    if not is_file(file):
        raise UsageProblem(f"the file of answers {str(file)!r} does not exist")
    answers = golden_answers(file)
    if not answers:
        raise UsageProblem(f"{file} holds no answer")
    known = [ident for ident, _ in prepared.groups]
    unknown = next((ident for ident in answers if ident not in prepared), None)
    if unknown is not None:
        raise UsageProblem(f"{file}: {unknown!r} is no question of {prepared.dataset}.{nearest(unknown, known)}")
    return answers


def scored(prepared: Prepared, answers: Mapping[str, str], scorers: Mapping[str, Scorer]) -> list[Row]:
    """The rows of all questions and of each group, by scorer; UsageProblem if no right answer is public."""
    about = {item.id: (item.group, _picture(item)) for item in prepared if item.gold}
    found = {name: scorer(prepared, answers) for name, scorer in scorers.items()}
    if not any(found.values()):
        raise UsageProblem(f"{prepared.dataset}: the right answers to these questions are not in the data")
    groups = sorted({group for group, _ in about.values() if group})
    rows = []
    for name, scores in found.items():
        for group in ("", *(groups if len(groups) > 1 else ())):
            ids = [ident for ident, (of, _) in about.items() if group in ("", of)]
            pairs = [(about[ident][1], scores[ident].value) for ident in ids if ident in scores]
            rows.append(_row(name, group, pairs, len(ids)))
    return rows


def _picture(item: Item) -> str:
    return item.pictures[0].plain.sha256 if item.pictures else item.id


def _row(scorer: str, group: str, pairs: Sequence[tuple[str, float]], questions: int) -> Row:
    if not pairs:
        return Row(scorer, group, 0, questions, None, None, None)
    sample = sample_of(pairs)
    return Row(scorer, group, len(pairs), questions, sample.mean, *_interval(sample, pairs))


def _interval(sample: Sample, pairs: Sequence[tuple[str, float]]) -> tuple[float | None, float | None]:
    if sample.groups < 2:
        return None, None
    if sample.error == 0:  # such as all right: t would say that nothing else is possible
        is_end = sample.mean in (0, 1)
        return wilson(round(sample.mean) * sample.groups, sample.groups) if is_end else (None, None)
    mirrored = sample_of((picture, 1 - score) for picture, score in pairs)
    return max(0.0, t_limit(sample, _TWO_SIDED)), min(1.0, 1 - t_limit(mirrored, _TWO_SIDED))


def lines(prepared: Prepared, rows: Sequence[Row]) -> Iterator[str]:
    """The table: a line for each scorer, and below it one for each group."""
    whole = rows[0]
    yield tr(f"{prepared.dataset}: {whole.answered} of {whole.questions} questions with a public answer are answered")
    if whole.answered < whole.questions:
        yield tr("incomplete: questions without an answer are not counted, so this is not the score of the data set")
    width = max(len(row.group or row.scorer) for row in rows)
    for row in rows:
        name = f"  {row.group}" if row.group else row.scorer
        shown = "-" if row.mean is None else f"{100 * row.mean:6.2f} %"
        interval = "" if row.low is None or row.high is None else f"  ({100 * row.low:.2f} - {100 * row.high:.2f})"
        yield f"{name:<{width + 2}}  {shown}{interval}  {row.answered}/{row.questions}"


def _write(file: Path, prepared: Prepared, rows: Sequence[Row]) -> None:
    content: dict[str, Any] = {"dataset": prepared.dataset, "data_sha256": prepared.sha256}
    content["scores"] = [asdict(row) for row in rows]
    try:
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    except OSError as broken:
        raise UsageProblem(f"--json: {str(file)!r} cannot be written: {broken.strerror}") from None
