"""A synthetic MMMU_val: 900 questions with tiny pictures that match every published count, in each published format."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from vlm_acceptance.accuracy.mmmu.subjects import SUBJECTS

Values = dict[str, Any]
CAPITALS = {
    "validation_Basic_Medical_Science_10": "C",
    "validation_Pharmacy_19": "B",
    "validation_Pharmacy_26": "A",
    "validation_Physics_21": "A",
}
LISTS = {
    "validation_Chemistry_30": "['$MgS$','MgS']",
    "validation_Geography_4": "['Tampa','Florida']",
    "validation_Math_15": "['24/7','3.429']",
}
TEXTS = {f"validation_{subject}_27": "60" for subject in SUBJECTS} | {
    f"validation_{subject}_26": "a made text" for subject in SUBJECTS[:16]
}
OPEN = CAPITALS | LISTS | TEXTS
GOLDS = {"A": 242, "B": 230, "C": 198, "D": 149, "E": 25, "F": 2, "I": 1}
OPTIONS = {2: 28, 3: 111, 4: 606, 5: 91, 6: 5, 7: 2, 9: 4}
PICTURES_IN_OPTIONS, TWO_PICTURES = 17, 29
TEXT_COLUMNS = (
    "id",
    "question",
    "options",
    "explanation",
    "img_type",
    "answer",
    "topic_difficulty",
    "question_type",
    "subfield",
)


def png(name: str, size: tuple[int, int] = (7, 5), mode: str = "RGB") -> bytes:
    """A picture of one colour that depends on the name."""
    digest = hashlib.sha256(name.encode()).digest()
    buffer = io.BytesIO()
    Image.new(mode, size, tuple(digest[: len(Image.new(mode, (1, 1)).getbands())])).save(buffer, "PNG")
    return buffer.getvalue()


def values_of(id: str, question: str, options: list[str], answer: str, pictures: int) -> Values:
    """One question as published, with this many pictures."""
    held = {
        f"image_{slot}": {"bytes": png(f"{id} {slot}"), "path": f"{id}_{slot}.png"} if slot <= pictures else None
        for slot in range(1, 8)
    }
    return {
        "id": id,
        "question": question,
        "options": str(options),
        "explanation": "",
        "img_type": "['Diagrams']",
        "answer": answer,
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice" if options else "open",
        "subfield": "made",
        **held,
    }


def made_mmmu() -> list[Values]:
    """The 900 questions, by subject and number."""
    ids = [f"validation_{subject}_{number}" for subject in SUBJECTS for number in range(1, 31)]
    golds = sorted((letter for letter, count in GOLDS.items() for _ in range(count)), reverse=True)
    sizes = sorted((size for size, count in OPTIONS.items() for _ in range(count)), reverse=True)
    pairs = list(zip(golds, sizes, strict=True))
    random.Random(5).shuffle(pairs)
    shown = two = 0
    made = []
    for id in ids:
        if id in OPEN:
            made.append(values_of(id, "How many are in <image 1>?", [], OPEN[id], 1))
            continue
        gold, size = pairs.pop()
        if size == 4 and shown < PICTURES_IN_OPTIONS:
            shown += 1
            made.append(values_of(id, "Which is it?", [f"<image {slot}>" for slot in range(1, 5)], gold, 4))
        elif two < TWO_PICTURES:
            two += 1
            made.append(values_of(id, "Is <image 1> or <image 2>", [f"it's {n}" for n in range(size)], gold, 2))
        else:
            made.append(values_of(id, "What does <image 1> show?", [f'a "{n}"' for n in range(size)], gold, 1))
    return made


def small(*subjects: str, each: int = 2) -> list[Values]:
    """A few choices of each subject: too few for MMMU_val, enough to be read."""
    return [
        values_of(f"validation_{subject}_{number}", "See <image 1>", ["one", "two"], "B", 1)
        for subject in subjects
        for number in range(1, each + 1)
    ]


def subject_of(values: Values) -> str:
    """The subject of a question."""
    return str(values["id"]).partition("_")[2].rpartition("_")[0]


def write_parquet(rows: list[Values], path: Path, group: int | None = None) -> Path:
    """One parquet file with the published columns and types; `group` is the number of rows in a row group."""
    import pyarrow
    from pyarrow import parquet

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    fields = [(name, pyarrow.string()) for name in TEXT_COLUMNS]
    schema = pyarrow.schema([*fields, *((f"image_{slot}", picture) for slot in range(1, 8))])
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path, row_group_size=group)
    return path


def write_folder(rows: Iterable[Values], folder: Path) -> Path:
    """One file per subject, as on both hubs."""
    by_subject: dict[str, list[Values]] = {}
    for values in rows:
        by_subject.setdefault(subject_of(values), []).append(values)
    for subject, questions in by_subject.items():
        write_parquet(questions, folder / subject / "validation-00000-of-00001.parquet")
    return folder


def write_tsv(rows: Iterable[Values], path: Path, ids: bool = False) -> Path:
    """VLMEvalKit's table, with rows of the split dev among those of validation."""
    letters = "ABCDEFGHI"
    names = ["index", *(["id"] if ids else []), "question", *letters, "answer", "category", "l2-category", "split"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*names, "image"], delimiter="\t", extrasaction="ignore")
        writer.writeheader()
        for index, values in enumerate(rows):
            subject = subject_of(values)
            options = dict(zip(letters, eval(values["options"]), strict=False))
            held = [values[f"image_{slot}"] for slot in range(1, 8) if values[f"image_{slot}"]]
            coded = [base64.b64encode(picture["bytes"]).decode() for picture in held]
            row = {
                **values,
                **options,
                "index": index,
                "category": subject,
                "l2-category": "made",
                "image": coded[0] if len(coded) == 1 else str(coded),
            }
            writer.writerow({**row, "split": "validation"})
            if index % 6 == 0:
                writer.writerow({**row, "split": "dev", "id": f"dev_{subject}_1"})
    return path
