"""MMMU as VLMEvalKit publishes it: MMMU_DEV_VAL.tsv, pictures in base64, splits dev and validation in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from vlm_acceptance.accuracy.item import CHOICE, LETTERS, OPEN
from vlm_acceptance.accuracy.mmmu.source import MmmuSource, Row, check_pictures, gold_of
from vlm_acceptance.accuracy.mmmu.subjects import parts_of
from vlm_acceptance.accuracy.published import literal, refuse
from vlm_acceptance.accuracy.tsv_rows import LARGEST_FIELD, TsvTable, decoded
from vlm_acceptance.core.files import BadFile

TABLE = "MMMU_DEV_VAL.tsv"
_NEEDED = ("question", "A", "B", "answer", "category", "split", "image")
_MOST_PICTURES = 100


class TsvSource(MmmuSource):
    """One table. Missing ids are made from category and order."""

    def rows(self, *, pictures: bool) -> Iterator[Row]:
        """All questions of the split validation, with or without their pictures."""
        numbers: Counter[str] = Counter()
        for line, values in TsvTable(self.files[0], TABLE, _NEEDED).rows():
            if values["split"] != "validation":
                continue
            subject = values["category"].strip().replace("&", "and").replace(" ", "_")
            numbers[subject] += 1
            id = values.get("id", "").strip()
            if not id.startswith("validation_"):
                id = f"validation_{subject}_{numbers[subject]}"
            row = _row(values, id, f"{self.files[0].name}, row {line}", pictures)
            yield check_pictures(row) if pictures else row


def tsv_file(path: Path) -> TsvSource:
    """The table of that path."""
    return TsvSource(f"table {path.name}", path.parent, (path,), keeps_lists=False)


def _row(values: Mapping[str, str], id: str, file: str, pictures: bool) -> Row:
    parts = parts_of(id)
    group = parts[1] if parts else ""
    options = tuple(_options(values, file, id))
    kind = CHOICE if options else OPEN
    gold = gold_of(kind, values["answer"], options, file, id)
    row = Row(id, group, "multiple-choice" if options else "open", values["question"], options, gold, (), file)
    if not pictures:
        return row
    found = [decoded(text, file, id) for text in _encoded(values["image"], file, id)]
    # the table has no picture numbers: take those of the placeholders if there are as many
    placed = sorted(set(row.placed))
    slots = placed if len(placed) == len(found) else range(1, len(found) + 1)
    return Row(id, group, row.kind, row.question, options, gold, tuple(zip(slots, found, strict=True)), file)


def _options(values: Mapping[str, str], file: str, id: str) -> Iterator[str]:
    """The options up to the first empty one; an empty option before a filled one is refused."""
    given = [values[letter] for letter in LETTERS if letter in values]
    filled = [option != "" for option in given]
    count = filled.index(False) if False in filled else len(filled)
    if any(filled[count:]):
        refuse(file, id, f"option {LETTERS[count]} is empty, though later ones are not")
    yield from given[:count]


def _encoded(text: str, file: str, id: str) -> list[str]:
    if not text.startswith("["):
        return [text] if text else []
    try:
        # base64 has no commas; a list of millions of numbers would take gigabytes
        found = literal(text, LARGEST_FIELD) if text.count(",") <= _MOST_PICTURES else None
    except BadFile:
        found = None
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        refuse(file, id, "its pictures are not a list of texts")
    return found
