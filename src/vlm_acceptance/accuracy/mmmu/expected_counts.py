"""What a whole MMMU_val holds, and what is wrong with data that are something else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlm_acceptance.accuracy.item import CHOICE, OPEN
from vlm_acceptance.accuracy.mmmu.source import Row
from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS, parts_of
from vlm_acceptance.core.errors import EnvironmentProblem

MMMU_VAL = "MMMU_val"
COUNTS_FILE = "counts.json"
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """What data of a name must hold; what is None or empty is not asserted.

    `placed` counts placeholders in questions and options. `capitals` are open questions whose answer is one capital
    letter, `lists` those that accept several answers.
    """

    dataset: str
    items: int | None = None
    per_subject: int | None = None
    choices: int | None = None
    open: int | None = None
    golds: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[int, int] = field(default_factory=dict)
    placed: int | None = None
    capitals: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] = ()


PUBLISHED = Expected(
    MMMU_VAL,
    items=900,
    per_subject=30,
    choices=847,
    open=53,
    golds=MappingProxyType({"A": 242, "B": 230, "C": 198, "D": 149, "E": 25, "F": 2, "I": 1}),
    options=MappingProxyType({2: 28, 3: 111, 4: 606, 5: 91, 6: 5, 7: 2, 9: 4}),
    placed=980,
    capitals=MappingProxyType(
        {
            "validation_Basic_Medical_Science_10": "C",
            "validation_Pharmacy_19": "B",
            "validation_Pharmacy_26": "A",
            "validation_Physics_21": "A",
        }
    ),
    lists=("validation_Chemistry_30", "validation_Geography_4", "validation_Math_15"),
)


def expected_counts(dataset: str, folder: Path) -> Expected:
    """The published counts for MMMU_val, else those of `counts.json` in the folder, where that names the data set.

    EnvironmentProblem when that file cannot be read.
    """
    if dataset == MMMU_VAL:
        return PUBLISHED
    stated = stated_counts(folder)
    if stated is None or stated.get("dataset") != dataset:
        return Expected(dataset)
    try:
        return Expected(
            dataset,
            items=stated.get("items"),
            choices=stated.get("multiple_choice"),
            open=stated.get("open"),
            golds=dict(stated.get("golds", {})),
            options={int(count): questions for count, questions in stated.get("options", {}).items()},
        )
    except (TypeError, ValueError, AttributeError) as broken:
        raise EnvironmentProblem(f"{folder / COUNTS_FILE} cannot be understood: {broken}") from None


def stated_counts(folder: Path) -> dict[str, Any] | None:
    """`counts.json` of a folder of data, None when there is none; EnvironmentProblem when it cannot be read."""
    file = folder / COUNTS_FILE
    if not file.is_file():
        return None
    try:
        stated = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as broken:
        raise EnvironmentProblem(f"{file} cannot be read: {' '.join(str(broken).split())}") from None
    return stated if isinstance(stated, dict) else None


def check_groups(groups: Sequence[tuple[str, str]], dataset: str) -> None:
    """Refuse data named MMMU_val, given as ids and subjects, that are not 30 questions of each of 30 subjects.

    EnvironmentProblem says what is missing. Data of other names pass.
    """
    if dataset == MMMU_VAL and (problems := _subject_problems(groups, PUBLISHED)):
        raise _refused(dataset, problems)


def check_rows(rows: Iterable[Row], expected: Expected) -> int:
    """The number of rows, when they are what is expected; EnvironmentProblem with what is wrong or missing."""
    seen = _Seen()
    for row in rows:
        seen.add(row)
    problems = [
        *seen.misplaced,
        *_subject_problems(seen.groups, expected),
        *_count_problems(seen, expected),
        *_form_problems(seen, expected),
    ]
    if problems:
        raise _refused(expected.dataset, problems)
    return len(seen.groups)


class _Seen:
    """Everything about the rows that is asserted."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, str]] = []
        self.misplaced: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.golds: Counter[str] = Counter()
        self.options: Counter[int] = Counter()
        self.placed = 0
        self.open_golds: dict[str, tuple[str, ...]] = {}
        self._files: dict[str, str] = {}

    def add(self, row: Row) -> None:
        if row.id in self._files:
            self.misplaced.append(f"{row.id} is in {self._files[row.id]} and again in {row.file}")
            return
        self._files[row.id] = row.file
        self.misplaced += _place_problems(row)
        self.groups.append((row.id, row.group))
        self.kinds[row.kind] += 1
        self.placed += len(row.placed)
        if row.kind == OPEN:
            self.open_golds[row.id] = row.gold
        else:
            self.golds[row.gold[0]] += 1
            self.options[len(row.options)] += 1


def _place_problems(row: Row) -> list[str]:
    parts = parts_of(row.id)
    if parts is None or parts[1] not in SUBJECTS:
        return [f"{row.id!r} in {row.file} is no id of MMMU"]
    if parts[0] != "validation":
        return [f"{row.id} in {row.file} belongs to the split {parts[0]}"]
    if row.shelf is not None and row.shelf != row.group:
        return [f"{row.id} is in {row.file}, which is for {row.shelf}"]
    return []


def _subject_problems(groups: Iterable[tuple[str, str]], expected: Expected) -> list[str]:
    if expected.per_subject is None:
        return []
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for id, subject in groups:
        parts = parts_of(id)
        numbers[subject].add(parts[2] if parts else 0)
    wanted = set(range(1, expected.per_subject + 1))
    problems = []
    for subject in SUBJECTS:
        missing, extra = sorted(wanted - numbers[subject]), sorted(numbers[subject] - wanted)
        if missing:
            have = expected.per_subject - len(missing)
            ids = _named(f"validation_{subject}_{number}" for number in missing)
            problems.append(f"{subject}: {have} of {expected.per_subject} questions, missing {ids}")
        if extra:
            ids = _named(f"validation_{subject}_{number}" for number in extra)
            problems.append(f"{subject}: {ids} should not be there")
    return problems


def _count_problems(seen: _Seen, expected: Expected) -> list[str]:
    problems = []
    for what, found, wanted in (
        ("questions", len(seen.groups), expected.items),
        ("multiple-choice questions", seen.kinds[CHOICE], expected.choices),
        ("open questions", seen.kinds[OPEN], expected.open),
        ("placeholders", seen.placed, expected.placed),
    ):
        if wanted is not None and found != wanted:
            problems.append(f"{found} {what} instead of {wanted}")
    for letter in sorted(set(seen.golds) | set(expected.golds)) if expected.golds else ():
        if seen.golds[letter] != expected.golds.get(letter, 0):
            wanted = expected.golds.get(letter, 0)
            problems.append(f"{letter} is right {seen.golds[letter]} times instead of {wanted}")
    for count in sorted(set(seen.options) | set(expected.options)) if expected.options else ():
        if seen.options[count] != expected.options.get(count, 0):
            wanted = expected.options.get(count, 0)
            problems.append(f"{seen.options[count]} questions have {count} options instead of {wanted}")
    return problems


def _form_problems(seen: _Seen, expected: Expected) -> list[str]:
    problems = [
        f"the answer of {id} is {' or '.join(seen.open_golds[id])} instead of {wanted}"
        for id, wanted in expected.capitals.items()
        if id in seen.open_golds and seen.open_golds[id] != (wanted,)
    ]
    problems += [
        f"{id} accepts one answer, {seen.open_golds[id][0]!r}, instead of several"
        for id in expected.lists
        if id in seen.open_golds and len(seen.open_golds[id]) < 2
    ]
    asserted = (*expected.capitals, *expected.lists)
    return problems + [f"{id} is not open" for id in asserted if id in dict(seen.groups) and id not in seen.open_golds]


def _named(ids: Iterable[str]) -> str:
    listed = list(ids)
    rest = len(listed) - _MOST_NAMED
    return ", ".join(listed[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _refused(dataset: str, problems: Sequence[str]) -> EnvironmentProblem:
    rest = len(problems) - 2 * _MOST_NAMED
    more = f"; and {rest} more" if rest > 0 else ""
    return EnvironmentProblem(f"this is not the whole {dataset}: {'; '.join(problems[: 2 * _MOST_NAMED])}{more}")
