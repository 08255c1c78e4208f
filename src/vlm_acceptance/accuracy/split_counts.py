"""Checks that the questions of a split are complete and unchanged: published counts, and one hash of the content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, StrictInt

from vlm_acceptance.accuracy.content_check import content_problems, content_sha256, not_whole, stated_counts
from vlm_acceptance.accuracy.item import ItemText
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published import QUESTIONS, PublishedRow
from vlm_acceptance.accuracy.published_split import Split
from vlm_acceptance.core.errors import EnvironmentProblem


class Expected(BaseModel):
    """What complete data hold, as in `counts.json`; None or empty: not checked. `groups` are questions by group."""

    dataset: str = ""
    licence: str = ""
    items: StrictInt | None = None
    groups: dict[str, StrictInt] = {}


def expected_of(split: Split, dataset: str | None, folder: Path, groups: Mapping[str, int]) -> Expected:
    """The published counts with these `groups`, or those of `counts.json` in the folder if it is for this data set.

    `dataset` None: any data set of the file, else the published one.
    """
    stated = stated_counts(folder, Expected)
    dataset = dataset or stated.dataset or split.dataset
    if dataset == split.dataset:
        return Expected(dataset=dataset, licence=split.licence, items=split.items, groups=dict(groups))
    return stated if stated.dataset == dataset else Expected(dataset=dataset, licence=stated.licence)


def check_rows(rows: Iterable[PublishedRow], expected: Expected) -> tuple[int, str]:
    """Number of questions and content_sha256; EnvironmentProblem names what differs from the counts."""
    found: dict[str, PublishedRow] = {}
    problems: list[str] = []
    for row in rows:
        if len(found) + len(problems) > QUESTIONS:
            raise EnvironmentProblem(f"the data have more than {QUESTIONS} questions: this is not {expected.dataset}")
        if row.id in found:
            problems.append(f"question {row.id} is in {found[row.id].file} and again in {row.file}")
        found[row.id] = row
    problems += _count_problems([row.group for row in found.values()], expected)
    if not found:
        problems.append("there is no question")
    if problems:
        raise not_whole(expected.dataset, problems)
    return len(found), content_sha256(found.values())


def check_split_prepared(split: Split, prepared: Prepared) -> None:
    """EnvironmentProblem for other data than the split, missing questions or answers, or changed content."""
    if prepared.prepared_as != split.dataset:
        held = f"{prepared.dataset}, prepared as {prepared.prepared_as}"
        raise EnvironmentProblem(f"{prepared.folder} holds {held}, not {split.dataset}: give another folder")
    problems: list[str] = []
    if prepared.dataset == split.dataset:
        groups = [group for _, group in prepared.groups]
        from_table = split.table_groups is not None and not set(groups) <= set(split.groups)
        wanted = split.table_groups if from_table and split.table_groups is not None else split.groups
        problems += _count_problems(groups, Expected(items=split.items, groups=dict(wanted)))
        problems += _gold_problems(split, prepared)
    recorded = prepared.manifest.get("content_sha256")
    if recorded is not None and not problems:
        problems = content_problems(content_sha256(prepared), str(recorded))
    if problems:
        raise not_whole(prepared.dataset, problems)


def _gold_problems(split: Split, items: Iterable[ItemText]) -> list[str]:
    if split.golds is None:
        wrong = [item.id for item in items if not item.gold]
        return [f"{len(wrong)} questions have no right answer, first {wrong[0]}"] if wrong else []
    wrong = [item.id for item in items if len(item.gold) != split.golds]
    return [f"{len(wrong)} questions have not {split.golds} right answers, first {wrong[0]}"] if wrong else []


def _count_problems(groups: Sequence[str], expected: Expected) -> list[str]:
    problems = []
    if expected.items not in (None, len(groups)):
        problems.append(f"{len(groups)} of {expected.items} questions")
    if expected.groups:
        seen = Counter(groups)
        problems += [
            f"{group}: {seen[group]} of {expected.groups.get(group, 0)} questions"
            for group in {**expected.groups, **seen}
            if seen[group] != expected.groups.get(group, 0)
        ]
    return problems
