"""`prepare` for MMMU: which published files are read, and which copies of their pictures are made."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from vlm_acceptance.accuracy.mmmu.expected_counts import MMMU_VAL, PINNED, check_rows, expected_counts
from vlm_acceptance.accuracy.mmmu.protocols import DOUBLED, ONE_TILE
from vlm_acceptance.accuracy.mmmu.source import MmmuSource
from vlm_acceptance.accuracy.mmmu.source_parquet import parquet_file, parquet_folder
from vlm_acceptance.accuracy.mmmu.source_tsv import TABLE, tsv_file
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture
from vlm_acceptance.accuracy.prepare_command import Checked, Preparation, Request
from vlm_acceptance.accuracy.prepare_command import prepare as prepare_by
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.protocol import OPAQUE
from vlm_acceptance.accuracy.published import PublishedRow, Source, refuse
from vlm_acceptance.core.files import BadFile, is_file
from vlm_acceptance.core.pictures import rgb_of


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The usual folder of prepared MMMU_val: below $XDG_CACHE_HOME, or ~/.cache."""
    return PREPARATION.default_folder(env)


def prepare(request: Request, log: Callable[[str], None]) -> Prepared:
    """Download, check and convert what the folder lacks; UsageProblem: source or folder; EnvironmentProblem: data."""
    return prepare_by(PREPARATION, request, log)


def _in_folder(folder: Path) -> Source | None:
    table = folder / TABLE
    return parquet_folder(folder) or (tsv_file(table) if is_file(table) else None)


def _of_file(path: Path) -> Source | None:
    if path.suffix == ".tsv":
        return tsv_file(path)
    return parquet_file(path) if path.suffix == ".parquet" else None


def _check(source: Source, dataset: str | None) -> Checked:
    assert isinstance(source, MmmuSource)
    expected = expected_counts(dataset, source.folder)
    total, content = check_rows(source.rows(pictures=False), expected, keeps_lists=source.keeps_lists)
    hash_is = "pinned" if expected.dataset in PINNED else "not pinned: no published hash"
    return Checked(expected.dataset, expected.licence, total, content, hash_is)


def _converted(row: PublishedRow) -> NewItem:
    pictures: list[NewPicture] = []
    for slot, plain in sorted(row.pictures):
        try:
            variants = picture_variants(plain, first=not pictures)
        except BadFile as broken:
            refuse(row.file, row.id, f"picture {slot} cannot be decoded: it {broken}")
        pictures.append(NewPicture(slot, plain, variants))
    return NewItem(row.id, row.group, row.kind, row.question, row.options, row.gold, tuple(pictures))


def picture_variants(encoded: bytes, *, first: bool) -> dict[str, bytes]:
    """Converted copies of a picture, as PNG: doubled if it is a question's first, else one tile of 448 x 448.

    A picture with transparency has an opaque copy too: servers lay such a picture on white, the protocols drop its
    transparency and show the colours below.
    """
    opaque, transparent = rgb_of(encoded)
    opaque.info = {}  # a colour that was transparent would be saved as such
    width, height = opaque.size
    if first:
        made = {DOUBLED: opaque.resize((2 * width, 2 * height), Image.Resampling.BILINEAR)}
    else:
        made = {ONE_TILE: opaque.resize((448, 448), Image.Resampling.BICUBIC)}
    if transparent:
        made[OPAQUE] = opaque
    return {name: _png(copy) for name, copy in made.items()}


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


PREPARATION = Preparation(
    title="MMMU",
    dataset=MMMU_VAL,
    package="mmmu",
    ids={"modelscope": "AI-ModelScope/MMMU", "huggingface": "MMMU/MMMU"},
    files=("*validation-*.parquet", "*counts.json"),
    layouts=("validation-*.parquet", TABLE),
    expected="a folder, a .parquet or a .tsv file",
    in_folder=_in_folder,
    of_file=_of_file,
    check=_check,
    converter=lambda: _converted,
)
