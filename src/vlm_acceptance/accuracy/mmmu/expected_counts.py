"""Checks that MMMU data are complete and unchanged: published counts, and one hash of the content."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vlm_acceptance.accuracy.content_check import content_problems, content_sha256, first_of, not_whole, stated_counts
from vlm_acceptance.accuracy.item import CHOICE
from vlm_acceptance.accuracy.mmmu.source import Row
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS, parts_of
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published import QUESTIONS
from vlm_acceptance.core.errors import EnvironmentProblem

MMMU_VAL = "MMMU_val"
SEVERAL = "a list of several answers"
# content_sha256 by data set. MMMU_val has no published hash: its counts decide, and preparation records the hash.
PINNED = {"mmmu_mini": "10094325aaaee4dc11fccfba28319888f0b6bb869b2770246b2871eb91d8ebc3"}


class Expected(BaseModel):
    """What complete data hold, as in `counts.json`; None or empty: not checked.

    `golds` and `options` count multiple-choice questions by right answer and by number of options, `open_answers`
    are answers of open questions by id.
    """

    dataset: str = MMMU_VAL
    licence: str = ""
    per_subject: int | None = None
    items: int | None = None
    multiple_choice: int | None = None
    open: int | None = None
    placeholders: int | None = None
    golds: dict[str, int] = {}
    options: dict[int, int] = {}
    open_answers: dict[str, str] = {}


PUBLISHED = Expected(
    licence="MMMU: Apache-2.0 as published by its authors; the pictures have rights of their own",
    per_subject=30,
    items=900,
    multiple_choice=847,
    open=53,
    placeholders=980,
    golds={"A": 242, "B": 230, "C": 198, "D": 149, "E": 25, "F": 2, "I": 1},
    options={2: 28, 3: 111, 4: 606, 5: 91, 6: 5, 7: 2, 9: 4},
    open_answers={
        "validation_Basic_Medical_Science_10": "C",
        "validation_Pharmacy_19": "B",
        "validation_Pharmacy_26": "A",
        "validation_Physics_21": "A",
        "validation_Chemistry_30": SEVERAL,
        "validation_Geography_4": SEVERAL,
        "validation_Math_15": SEVERAL,
    },
)


def expected_counts(dataset: str | None, folder: Path) -> Expected:
    """Those published for MMMU_val, else of `counts.json` in the folder if it is for this data set (None: for any)."""
    stated = stated_counts(folder, Expected)
    dataset = dataset or stated.dataset
    if dataset == MMMU_VAL:
        return PUBLISHED
    return stated if stated.dataset == dataset else Expected(dataset=dataset, licence=stated.licence)


def check_prepared(prepared: Prepared) -> None:
    """EnvironmentProblem when MMMU_val lacks questions, or the content is not the pinned or the recorded one."""
    dataset = prepared.dataset
    problems = _subject_problems(dict(prepared.groups), PUBLISHED.per_subject) if dataset == MMMU_VAL else []
    wanted = PINNED.get(dataset, prepared.manifest.get("content_sha256"))
    if wanted is not None and not problems:
        problems = content_problems(content_sha256(prepared), wanted)
    if problems:
        raise not_whole(dataset, problems)


def check_rows(rows: Iterable[Row], expected: Expected, *, keeps_lists: bool = True) -> tuple[int, str]:
    """Number of questions and content_sha256; EnvironmentProblem names what differs. `keeps_lists` as in Source."""
    found: dict[str, Row] = {}
    problems: list[str] = []
    for row in rows:
        if len(found) + len(problems) > QUESTIONS:
            raise EnvironmentProblem(f"the data have more than {QUESTIONS} questions: this is not MMMU")
        if row.id in found:
            problems.append(f"{row.id} is in {found[row.id].file} and again in {row.file}")
        else:
            problems += _place_problems(row)
            found[row.id] = row
    problems += _subject_problems(found, expected.per_subject)
    problems += _count_problems(list(found.values()), expected)
    for id, wanted in expected.open_answers.items():
        if id in found and _answer(found[id]) != wanted and (keeps_lists or wanted != SEVERAL):
            problems.append(f"the answer of {id} is {_answer(found[id])} instead of {wanted}")
    sha256 = content_sha256(found.values())
    problems += content_problems(sha256, PINNED.get(expected.dataset, sha256))
    if problems:
        raise not_whole(expected.dataset, problems)
    return len(found), sha256


def _place_problems(row: Row) -> list[str]:
    parts = parts_of(row.id)
    if parts is None or parts[1] not in SUBJECTS:
        return [f"{row.id!r} in {row.file} is not a valid id of MMMU"]
    if parts[0] != "validation":
        return [f"{row.id} in {row.file} belongs to the split {parts[0]}"]
    if row.file_subject not in (None, row.group):
        return [f"{row.id} is in {row.file}, which is for {row.file_subject}"]
    return []


def _subject_problems(ids: Iterable[str], per_subject: int | None) -> list[str]:
    if per_subject is None:
        return []
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for id in ids:
        seen[id.partition("_")[2].rpartition("_")[0]].append(id)
    problems = []
    for subject in SUBJECTS:
        wanted = [f"validation_{subject}_{number}" for number in range(1, per_subject + 1)]
        if missing := [id for id in wanted if id not in seen[subject]]:
            have = f"{per_subject - len(missing)} of {per_subject} questions"
            problems.append(f"{subject}: {have}, missing {', '.join(first_of(3, missing))}")
        if extra := [id for id in seen[subject] if id not in wanted]:
            problems.append(f"{subject}: {', '.join(first_of(3, extra))} should not be there")
    return problems


def _count_problems(rows: Sequence[Row], expected: Expected) -> list[str]:
    choices = [row for row in rows if row.kind == CHOICE]
    counted = [
        ("questions", len(rows), expected.items),
        ("multiple-choice questions", len(choices), expected.multiple_choice),
        ("open questions", len(rows) - len(choices), expected.open),
        ("placeholders", sum(len(row.placed) for row in rows), expected.placeholders),
        *_by_value("questions with the answer {}", Counter(row.gold[0] for row in choices), expected.golds),
        *_by_value("questions with {} options", Counter(len(row.options) for row in choices), expected.options),
    ]
    return [f"{seen} {what} instead of {wanted}" for what, seen, wanted in counted if wanted not in (None, seen)]


def _by_value(what: str, seen: Counter[Any], expected: Mapping[Any, int]) -> list[tuple[str, int, int]]:
    values = sorted({*seen, *expected}) if expected else ()
    return [(what.format(value), seen[value], expected.get(value, 0)) for value in values]


def _answer(row: Row) -> str:
    if row.kind == CHOICE:
        return "that of a multiple-choice question"
    return row.gold[0] if len(row.gold) == 1 else SEVERAL
