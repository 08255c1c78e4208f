"""`prepare`: turns published MMMU into prepared data, checked and with converted pictures."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vlm_acceptance.accuracy.mmmu.expected_counts import PINNED, check_rows, expected_counts
from vlm_acceptance.accuracy.mmmu.protocols import DOUBLED, ONE_TILE, OPAQUE
from vlm_acceptance.accuracy.mmmu.source import Row, Source, digests, refuse
from vlm_acceptance.accuracy.mmmu.source_parquet import parquet_file, parquet_folder
from vlm_acceptance.accuracy.mmmu.source_tsv import tsv_file
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, check_place, write_prepared
from vlm_acceptance.accuracy.prepared import MANIFEST, Prepared
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import BadFile, is_file, is_folder
from vlm_acceptance.core.pictures import rgb_of
from vlm_acceptance.engine.hub import HUGGING_FACE, MODELSCOPE, Hub, download_dataset

_FILES = ("*validation-*.parquet", "*counts.json")
_TSV = "MMMU_DEV_VAL.tsv"


@dataclass(frozen=True, slots=True)
class Publisher:
    """A hub that publishes MMMU, and the id of the data set there."""

    hub: Hub
    id: str

    def __str__(self) -> str:
        return f"{self.hub.name} {self.id}"


PUBLISHERS = {
    "modelscope": Publisher(MODELSCOPE, "AI-ModelScope/MMMU"),
    "huggingface": Publisher(HUGGING_FACE, "MMMU/MMMU"),
}


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The usual folder of prepared MMMU_val: below $XDG_CACHE_HOME, or ~/.cache."""
    cache = env.get("XDG_CACHE_HOME") or ""
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "vlm-acceptance" / "mmmu_val"


@dataclass(frozen=True, slots=True)
class Request:
    """What to prepare. `source` is a key of PUBLISHERS, a folder or a file; `id` and `revision` belong to a hub."""

    source: str
    to: Path
    id: str | None = None
    revision: str | None = None
    dataset: str | None = None
    jobs: int = os.cpu_count() or 1
    force: bool = False


def prepare(request: Request, log: Callable[[str], None]) -> Prepared:
    """Download, check and convert what the folder lacks; UsageProblem: source or folder; EnvironmentProblem: data."""
    publisher = _publisher(request)
    is_kept = not request.force and is_file(request.to / MANIFEST)
    existing = Prepared.open(request.to) if is_kept else None
    if existing and publisher and _is_same_download(existing, publisher, request):
        log(f"{request.to} holds {existing.dataset} from {existing.source} already: --force prepares it again")
        return existing
    if not existing:
        check_place(request.to.resolve(), request.force)
    source, revision = _downloaded(publisher, request, log) if publisher else (_local(Path(request.source)), None)
    files = digests(source)
    if existing and files == existing.manifest.get("files") and request.dataset in (None, existing.dataset):
        log(f"{request.to} holds {existing.dataset} from the same files already: --force prepares it again")
        return existing
    check_place(request.to.resolve(), request.force)
    about = {"asked": request.revision, "files": files}
    return _written(request, source, revision, about, log)


def _publisher(request: Request) -> Publisher | None:
    if request.source in PUBLISHERS:
        usual = PUBLISHERS[request.source]
        return replace(usual, id=request.id or usual.id)
    if not is_file(Path(request.source)) and not is_folder(Path(request.source)):
        what = f"no such file or folder, and not a hub ({', '.join(PUBLISHERS)})"
        raise UsageProblem(f"--from {request.source}: {what}.{nearest(request.source, PUBLISHERS)}")
    if request.id or request.revision:
        raise UsageProblem("--id and --revision choose what a hub sends; a folder or file is taken as it is")
    return None


def _is_same_download(existing: Prepared, publisher: Publisher, request: Request) -> bool:
    revisions = (None, existing.revision, existing.manifest.get("asked"))
    same_data = request.dataset in (None, existing.dataset)
    return existing.source == str(publisher) and request.revision in revisions and same_data


def _downloaded(publisher: Publisher, request: Request, log: Callable[[str], None]) -> tuple[Source, str]:
    """The data of a hub, under the hub's name, and their revision."""
    log(f"downloading {publisher}")
    folder = download_dataset(publisher.hub, publisher.id, request.revision, _FILES)
    source = parquet_folder(folder)
    if source is None:
        raise EnvironmentProblem(f"{publisher} has no validation-*.parquet: is this MMMU? Choose another with --id")
    # Hugging Face's client names the folder for the commit
    commit = folder.name if folder.parent.name == "snapshots" else None
    return replace(source, name=str(publisher)), commit or request.revision or "master"


def _local(given: Path) -> Source:
    if is_folder(given):
        table = given / _TSV
        source = parquet_folder(given) or (tsv_file(table) if is_file(table) else None)
        if source is None:
            raise EnvironmentProblem(f"{given} holds neither validation-*.parquet nor {_TSV}")
        return source
    if given.suffix == ".tsv":
        return tsv_file(given)
    if given.suffix == ".parquet":
        return parquet_file(given)
    expected = f"a folder, a .parquet or a .tsv file, or one of {', '.join(PUBLISHERS)}"
    raise UsageProblem(f"--from {given}: expected {expected}")


def _written(
    request: Request, source: Source, revision: str | None, about: Mapping[str, Any], log: Callable[[str], None]
) -> Prepared:
    expected = expected_counts(request.dataset, source.folder)
    total, content = check_rows(source.rows(pictures=False), expected, keeps_lists=source.keeps_lists)
    hash_is = "pinned" if expected.dataset in PINNED else "not pinned: no published hash"
    log(f"{total} questions of {expected.dataset}, content sha256 {content[:16]} ({hash_is})")
    log(f"converting the pictures with {request.jobs} jobs")

    def progress(done: int) -> None:
        if done % 100 == 0 or done == total:
            log(f"{done}/{total}")

    return write_prepared(
        request.to,
        _items(source.rows(pictures=True), request.jobs),
        dataset=expected.dataset,
        source=source.name,
        revision=revision,
        about={**about, "licence": expected.licence, "content_sha256": content},
        replace=request.force,
        progress=progress,
    )


def _items(rows: Iterator[Row], jobs: int) -> Iterator[NewItem]:
    """Converted questions in the order of the rows, converted a few ahead."""
    waiting: deque[Future[NewItem]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for row in rows:
                waiting.append(pool.submit(_converted, row))
                if len(waiting) > 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _converted(row: Row) -> NewItem:
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
