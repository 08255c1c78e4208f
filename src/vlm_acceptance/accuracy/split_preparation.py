"""The preparation of a split of short answers: its layouts, its counts, and opaque copies of transparent pictures."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from vlm_acceptance.accuracy.preparation import NewItem, NewPicture
from vlm_acceptance.accuracy.prepare_command import Checked, Preparation
from vlm_acceptance.accuracy.protocol import OPAQUE
from vlm_acceptance.accuracy.published import PublishedRow, Source, refuse
from vlm_acceptance.accuracy.published_split import Split
from vlm_acceptance.accuracy.split_counts import check_rows, expected_of
from vlm_acceptance.accuracy.split_sources import SplitParquet, SplitSource, lines_in, parquet_in, table_at, table_in
from vlm_acceptance.core.files import BadFile
from vlm_acceptance.core.pictures import open_picture, require_decodable, rgb_of

# the largest infographic has 6250 x 9375
MOST_PIXELS = 64_000_000
_WITH_LINES = "a folder, a .parquet, a .tsv or a .jsonl file"
_WITHOUT_LINES = "a folder, a .parquet or a .tsv file"
_LARGE_PIXELS = 8_000_000  # 32 MB decoded


def split_preparation(split: Split, package: str, ids: Mapping[str, str], *, is_default: bool = True) -> Preparation:
    """The preparation of a split that is published under these `ids` at the hubs; `is_default`: without `--split`."""
    parquet = f"{split.parquet.split}-*.parquet"
    pattern = f"*{split.parquet.config}/{parquet}" if split.parquet.config else f"*{parquet}"
    lines = list(split.lines.files) if split.lines else []
    return Preparation(
        title=split.title,
        dataset=split.dataset,
        package=package,
        ids=ids,
        files=(pattern, "*counts.json"),
        layouts=(parquet, split.table.file, *lines),
        expected=_WITH_LINES if len(lines) == 1 else _WITHOUT_LINES,
        in_folder=partial(_in_folder, split),
        of_file=partial(_of_file, split),
        check=_check,
        converter=partial(OpaqueCopies, MOST_PIXELS),
        most_pixels=MOST_PIXELS,
        split="" if is_default else split.name,
    )


def _in_folder(split: Split, folder: Path) -> Source | None:
    return parquet_in(split, folder) or table_in(split, folder) or lines_in(split, folder)


def _of_file(split: Split, path: Path) -> Source | None:
    if path.suffix == ".parquet":
        return SplitParquet(f"parquet {path.parent.name}", path.parent, (path,), split)
    if path.suffix == ".tsv":
        return table_at(split, path)
    # several files are given as their folder
    is_lines = split.lines is not None and [*split.lines.files] == [path.name]
    return lines_in(split, path.parent) if is_lines else None


def _check(source: Source, dataset: str | None) -> Checked:
    assert isinstance(source, SplitSource)
    expected = expected_of(source.split, dataset, source.folder, source.groups)
    items, content = check_rows(source.rows(pictures=False), expected)
    hash_is = "not pinned: no published hash"
    return Checked(expected.dataset, expected.licence, items, content, hash_is, {"ids": source.ids})


class OpaqueCopies:
    """Makes the questions to be stored: pictures as they are, and an opaque copy of those with transparency.

    Servers lay such a picture on white, the protocols drop its transparency and show the colours below. Every picture
    is decoded once, so that a damaged one is found; large ones one at a time, as one may take over 200 MB.
    """

    def __init__(self, most_pixels: int) -> None:
        self._most = most_pixels
        self._large = threading.Lock()
        self._opaque: set[bytes] = set()

    def __call__(self, row: PublishedRow) -> NewItem:
        """The question with its converted pictures; EnvironmentProblem for a picture that cannot be decoded."""
        pictures = []
        for slot, plain in row.pictures:
            try:
                pictures.append(NewPicture(slot, plain, self.variants(plain)))
            except BadFile as broken:
                refuse(row.file, row.id, f"its picture cannot be decoded: it {broken}")
        return NewItem(row.id, row.group, row.kind, row.question, row.options, row.gold, tuple(pictures))

    def variants(self, encoded: bytes) -> dict[str, bytes]:
        """The opaque copy of a picture as PNG, if it needs one; BadFile for a picture that cannot be decoded."""
        digest = hashlib.sha256(encoded).digest()
        if digest in self._opaque:  # questions share pictures
            return {}
        with open_picture(encoded, self._most) as picture:
            is_large = picture.width * picture.height > _LARGE_PIXELS
        if is_large:
            with self._large:
                return self._decoded(encoded, digest)
        return self._decoded(encoded, digest)

    def _decoded(self, encoded: bytes, digest: bytes) -> dict[str, bytes]:
        if not require_decodable(encoded, self._most):
            self._opaque.add(digest)
            return {}
        picture, _ = rgb_of(encoded, self._most)
        picture.info = {}  # a colour that was transparent would be saved as such
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return {OPAQUE: buffer.getvalue()}
