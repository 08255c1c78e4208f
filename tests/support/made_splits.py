"""Small data sets of short answers in every published layout: parquet, VLMEvalKit's table, JSON lines with pictures."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlm_acceptance.accuracy.published_split import Split

Values = dict[str, Any]


def noise_png(name: str, size: tuple[int, int] = (9, 7), mode: str = "RGB") -> bytes:
    """A picture of noise that depends on the name, so that even a small one has more than 64 characters in base64."""
    picture = Image.new(mode, size)
    bands = len(picture.getbands())
    picture.frombytes(random.Random(name).randbytes(size[0] * size[1] * bands))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def question(number: int, group: str = "", golds: Sequence[str] = ("14", "Fourteen "), page: str = "") -> Values:
    """One question; questions of one `page` share its picture."""
    return {
        "id": 60000 + number,
        "group": group,
        "question": f" How many in {number}? ",
        "golds": list(golds),
        "page": page or f"page {number}",
    }


def picture_of(values: Values) -> bytes:
    """The picture of a question."""
    held = values.get("picture")
    return held if isinstance(held, bytes) else noise_png(values["page"])


def write_parquet_rows(columns: Mapping[str, list[Any]], path: Path, group: int | None = None) -> Path:
    """A parquet file; the column `image` has encoded bytes. `group` is the number of rows in a row group."""
    import pyarrow
    from pyarrow import parquet

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    made = {
        name: pyarrow.array([{"bytes": held, "path": None} for held in held_list], picture)
        if name == "image"
        else pyarrow.array(held_list)
        for name, held_list in columns.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(made), path, row_group_size=group)
    return path


def write_parquet_split(split: Split, rows: Sequence[Values], folder: Path, files: int = 1) -> Path:
    """The files of a hub, in the folder of the split's config if it has one."""
    layout = split.parquet
    size = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * size : (number + 1) * size]
        columns: dict[str, list[Any]] = {"question": [row["question"] for row in part]}
        if layout.id:
            # DocVQA has texts, TextVQA numbers
            columns[layout.id] = [str(row["id"]) if layout.id == "questionId" else row["id"] for row in part]
        if layout.group and not (layout.group_is_optional and not part[0]["group"]):
            columns[layout.group] = [[row["group"], "x"] if layout.config else row["group"] for row in part]
        single = split.title == "ChartQA"
        columns[layout.answers] = [row["golds"][0] if single else row["golds"] or None for row in part]
        columns["image"] = [picture_of(row) for row in part]
        name = f"{layout.split}-{number:05}-of-{files:05}.parquet"
        write_parquet_rows(columns, folder / (layout.config or "data") / name)
    return folder


def write_table(
    split: Split, rows: Iterable[Values], folder: Path, *, share: bool = True, ids: str = "", first: int = 0
) -> Path:
    """VLMEvalKit's table; with `share` a later question on a page names the row of the first. `ids` is a column."""
    holders: dict[str, int] = {}
    path = folder / split.table.file
    folder.mkdir(parents=True, exist_ok=True)
    names = ["index", *filter(None, [ids]), "image", "question", "answer", *filter(None, [split.table.group])]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for index, row in enumerate(rows, start=first):
            holder = holders.setdefault(row["page"], index) if share else index
            image = base64.b64encode(picture_of(row)).decode() if holder == index else str(holder)
            golds = row["golds"]
            answer = golds[0] if split.title == "ChartQA" else str(golds) if golds else ""
            writer.writerow(
                {
                    **row,
                    "index": index,
                    **({ids: row["id"]} if ids else {}),
                    "image": row.get("image", image),
                    "answer": row.get("answer", answer),
                    split.table.group: row["group"],
                }
            )
    return path


def write_lines(split: Split, rows: Sequence[Values], folder: Path, prefix: str = "data/made/") -> Path:
    """JSON lines, pictures in the folder `pages`, and the file of annotations if the split has one."""
    assert split.lines is not None
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    for name, group in split.lines.files.items():
        with (folder / name).open("w", encoding="utf-8") as file:
            for row in rows:
                if group and row["group"] != group:
                    continue
                picture = f"{row['page']}.png"
                (folder / "pages" / picture).write_bytes(picture_of(row))
                image = row.get("image", f"{prefix}pages/{picture}")
                line = {"image": image, "question": row["question"], "question_id": row["id"]}
                file.write(json.dumps({**line, "answer": row["golds"][0]} if row["golds"] else line) + "\n")
    if split.lines.annotations:
        path = folder / split.lines.annotations[0]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(annotations_of(split, rows)))
    return folder


def annotations_of(split: Split, rows: Sequence[Values]) -> dict[str, Any]:
    """The right answers as TextVQA or DocVQA publish them."""
    if split.title == "TextVQA":
        answers = [
            {"question_id": row["id"], "answers": [{"answer": text, "answer_id": 1} for text in row["golds"]]}
            for row in rows
        ]
        return {"annotations": answers}
    answers = [{"questionId": row["id"], "question": row["question"], "answers": row["golds"]} for row in rows]
    return {"dataset_name": split.title, "data": answers}


def write_counts(folder: Path, rows: Sequence[Values], dataset: str = "mini") -> Path:
    """A counts.json for these questions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "counts.json").write_text(json.dumps({"dataset": dataset, "items": len(rows), "licence": "ours"}))
    return folder
