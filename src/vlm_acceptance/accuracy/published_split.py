"""A split of a data set of short answers: what its publishers call its files and columns, and how a row is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vlm_acceptance.accuracy.item import OPEN
from vlm_acceptance.accuracy.published import TEXT, PublishedRow, is_unicode, refuse, texts_of
from vlm_acceptance.core.files import BadFile, shown

_LONGEST_ID = 80


@dataclass(frozen=True, slots=True)
class ParquetLayout:
    """Files `SPLIT-*.parquet`, in folders `config` if a hub has several data sets in one; `id` and `group` columns."""

    split: str
    answers: str
    config: str = ""
    other_configs: tuple[str, ...] = ()
    id: str = ""
    group: str = ""
    group_is_optional: bool = False


@dataclass(frozen=True, slots=True)
class TableLayout:
    """VLMEvalKit's table: its file, the MD5 of the published one, and the column with the group, if any.

    `answers_are_lists`: every cell of answers is the Python literal of a list of texts; else it is one text as it is.
    """

    file: str
    md5: str
    group: str = ""
    answers_are_lists: bool = True


@dataclass(frozen=True, slots=True)
class LinesLayout:
    """JSON lines: files with the group of their questions, '' for none; where a file of annotations may be."""

    files: Mapping[str, str]
    annotations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a data set.

    `groups` are the published numbers of questions, `table_groups` those of the table where it names other groups.
    `golds` is the number of right answers of every question; None: at least one. `blank_golds`: some of several right
    answers may be blank. `group_of` makes a group of what a row holds, '' where it holds none, and None of a value that
    is not valid. `id_of` makes an id of the group, the number within the group and the number within the split, where
    the data have none.
    """

    title: str
    name: str
    licence: str
    items: int
    group_of: Callable[[str], str | None]
    parquet: ParquetLayout
    table: TableLayout
    lines: LinesLayout | None = None
    id_of: Callable[[str, int, int], str] | None = None
    groups: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    table_groups: Mapping[str, int] | None = None
    golds: int | None = None
    blank_golds: bool = True

    @property
    def dataset(self) -> str:
        """The name of the data set with its split, such as DocVQA_val."""
        return f"{self.title}_{self.name}" if self.name else self.title


@dataclass(frozen=True, slots=True)
class Fields:
    """What a layout holds of a question. `is_literal`: the answers are the Python literal of a list."""

    id: object
    group: object
    question: object
    answers: object
    is_literal: bool = False


class RowReader:
    """Makes rows of the fields of one source, in their order."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._numbers: Counter[str] = Counter()
        self._place = 0

    def row(self, fields: Fields, file: str, picture: Callable[[str], bytes] | None) -> PublishedRow:
        """The question; refused if it is incomplete. `picture` gets the id; None: without pictures."""
        group = self._group(fields.group, file)
        self._numbers[group] += 1
        self._place += 1
        id = self._id(fields.id, group, file)
        if not isinstance(fields.question, str) or not fields.question.strip():
            refuse(file, id, f"its question is {fields.question!r:.80}, expected a text")
        gold = self._gold(fields, file, id)
        if not all(map(is_unicode, (fields.question, *gold))):
            refuse(file, id, "its question or a right answer holds a character that is not valid Unicode")
        if sum(map(len, gold)) > TEXT:
            refuse(file, id, f"its right answers have more than {TEXT} characters")
        if too_long := next((text for text in (fields.question, *gold) if len(text) > TEXT), None):
            refuse(file, id, f"it has a text of {len(too_long)} characters; at most {TEXT} are read")
        pictures = ((1, picture(id)),) if picture else ()
        return PublishedRow(id, group, OPEN, fields.question, (), gold, pictures, file)

    def _group(self, value: object, file: str) -> str:
        first = value[0] if isinstance(value, list) and value else value
        text = first if isinstance(first, str) else ""
        group = self._split.group_of(text)
        if group is None or len(group) > _LONGEST_ID or not group.isprintable():
            what = f"its group is {shown(text, 80)!r}, which {self._split.title} does not have"
            refuse(file, f"question {self._place + 1}", what)
        return group

    def _id(self, value: object, group: str, file: str) -> str:
        if self._split.id_of is not None:
            return self._split.id_of(group, self._numbers[group], self._place)
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            refuse(file, f"question {self._place}", f"its id is {value!r:.80}, expected a number or a text")
        id = str(value).strip()
        if not 0 < len(id) <= _LONGEST_ID or not id.isprintable():
            what = f"its id is {shown(id, 80)!r}, expected 1 to {_LONGEST_ID} printable characters"
            refuse(file, f"question {self._place}", what)
        return id

    def _gold(self, fields: Fields, file: str, id: str) -> tuple[str, ...]:
        if self._split.golds == 0:
            return ()  # whatever stands in place of the answers that are not public
        answers: Any = fields.answers
        if fields.is_literal:
            answers = self._listed(answers, file, id)
        gold = (answers,) if isinstance(answers, str) else answers
        if not isinstance(gold, (list, tuple)) or not gold or not all(isinstance(text, str) for text in gold):
            refuse(file, id, f"its right answers are {answers!r:.80}, expected a text or a list of texts")
        if self._split.golds is not None and len(gold) != self._split.golds:
            refuse(file, id, f"it has {len(gold)} right answers, expected {self._split.golds}")
        blank = [not text.strip() for text in gold]
        if all(blank) or (any(blank) and not self._split.blank_golds):
            refuse(file, id, f"a right answer of {list(gold)!r:.80} is blank")
        return tuple(gold)

    @staticmethod
    def _listed(answers: object, file: str, id: str) -> list[str]:
        try:
            return texts_of(answers if isinstance(answers, str) else "")
        except BadFile:
            refuse(file, id, f"its right answers are {answers!r:.80}, expected a list of texts")
