"""Makes prepared data of published MMMU: checked, its pictures converted once."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from vlm_acceptance.accuracy.mmmu.expected_counts import MMMU_VAL, check_rows, expected_counts, stated_counts
from vlm_acceptance.accuracy.mmmu.hubs import HUBS, Hub, fetch
from vlm_acceptance.accuracy.mmmu.protocols import DOUBLED, ONE_TILE, OPAQUE
from vlm_acceptance.accuracy.mmmu.source import Row, Source, digests, refuse
from vlm_acceptance.accuracy.mmmu.source_parquet import parquet_file, parquet_folder
from vlm_acceptance.accuracy.mmmu.source_tsv import TsvSource
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, check_place, write_prepared
from vlm_acceptance.accuracy.prepared import MANIFEST, Prepared
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest

LICENCE = "MMMU: Apache-2.0 as published by its authors; the pictures have rights of their own"
_TSV = "MMMU_DEV_VAL.tsv"
_SAID_EVERY = 100


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Where prepared MMMU_val is looked for and put: below $XDG_CACHE_HOME, or ~/.cache."""
    cache = env.get("XDG_CACHE_HOME") or ""
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "vlm-acceptance" / "mmmu_val"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be prepared. `source` is a hub's name, a folder or a file; `id` and `revision` belong to hubs."""

    source: str
    to: Path
    id: str | None = None
    revision: str | None = None
    dataset: str | None = None
    jobs: int = os.cpu_count() or 1
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Origin:
    """Opened data, and what the manifest says of where they are from."""

    source: Source
    name: str
    revision: str | None


def prepare(request: Request, say: Callable[[str], None]) -> Prepared:
    """Fetch, check and convert the data, or say that this was done before; `say` gets lines of progress.

    UsageProblem: no such source, or the folder is in the way. EnvironmentProblem: the data are not whole.
    """
    hub = _hub(request)
    kept = _kept(request)
    if kept and hub and _is_same_fetch(kept, hub, request):
        say(f"{request.to} holds {kept.dataset} from {kept.source} already: --force prepares it again")
        return kept
    if not kept:
        check_place(request.to.resolve(), request.force)
    origin = _fetched(hub, request, say) if hub else _Origin(_local(Path(request.source)), "", None)
    files = digests(origin.source)
    if kept and files == kept.manifest.get("files") and request.dataset in (None, kept.dataset):
        say(f"{request.to} holds {kept.dataset} from the same files already: --force prepares it again")
        return kept
    check_place(request.to.resolve(), request.force)
    dataset = request.dataset or str((stated_counts(origin.source.folder) or {}).get("dataset", MMMU_VAL))
    return _written(request, origin, dataset, files, say)


def _hub(request: Request) -> Hub | None:
    if request.source in HUBS:
        return HUBS[request.source]
    if not Path(request.source).exists():
        raise UsageProblem(
            f"--from {request.source}: no such file or folder, and no hub ({', '.join(HUBS)})."
            f"{nearest(request.source, HUBS)}"
        )
    if request.id or request.revision:
        raise UsageProblem("--id and --revision choose what a hub sends; a folder or file is taken as it is")
    return None


def _kept(request: Request) -> Prepared | None:
    """What an earlier preparation left in place, unless it is to be replaced anyway."""
    if request.force or not (request.to / MANIFEST).exists():
        return None
    return Prepared.open(request.to)


def _is_same_fetch(kept: Prepared, hub: Hub, request: Request) -> bool:
    asked = (None, kept.revision, kept.manifest.get("asked"))
    same_data = request.dataset in (None, kept.dataset)
    return kept.source == _hub_name(hub, request) and request.revision in asked and same_data


def _hub_name(hub: Hub, request: Request) -> str:
    return f"{hub.name} {request.id or hub.id}"


def _fetched(hub: Hub, request: Request, say: Callable[[str], None]) -> _Origin:
    name = _hub_name(hub, request)
    say(f"fetching {name}")
    folder = fetch(hub, request.id or hub.id, request.revision)
    source = parquet_folder(folder)
    if source is None:
        raise EnvironmentProblem(f"{name} has no validation-*.parquet: is this MMMU? Choose another with --id")
    # Hugging Face's client names the folder for the commit
    commit = folder.name if folder.parent.name == "snapshots" else None
    return _Origin(source, name, commit or request.revision or "master")


def _local(given: Path) -> Source:
    if given.is_dir():
        table = given / _TSV
        source = parquet_folder(given) or (TsvSource(table) if table.is_file() else None)
        if source is None:
            raise EnvironmentProblem(f"{given} holds neither validation-*.parquet nor {_TSV}")
        return source
    if given.suffix == ".tsv":
        return TsvSource(given)
    if given.suffix == ".parquet":
        return parquet_file(given)
    raise UsageProblem(f"--from {given}: expected a folder, a .parquet or a .tsv file, or one of {', '.join(HUBS)}")


def _written(
    request: Request, origin: _Origin, dataset: str, files: Mapping[str, str], say: Callable[[str], None]
) -> Prepared:
    source = origin.source
    expected = expected_counts(dataset, source.folder)
    if not source.keeps_lists:
        expected = replace(expected, lists=())
    total = check_rows(source.rows(pictures=False), expected)
    say(f"{total} questions of {dataset} are there; converting their pictures with {request.jobs} jobs")

    def progress(done: int) -> None:
        if done % _SAID_EVERY == 0 or done == total:
            say(f"{done}/{total}")

    licence = LICENCE if dataset == MMMU_VAL else str((stated_counts(source.folder) or {}).get("licence", ""))
    return write_prepared(
        request.to,
        _items(source.rows(pictures=True), request.jobs),
        dataset=dataset,
        source=origin.name or source.name,
        revision=origin.revision,
        about={"asked": request.revision, "files": dict(files), "licence": licence},
        replace=request.force,
        progress=progress,
    )


def _items(rows: Iterator[Row], jobs: int) -> Iterator[NewItem]:
    """Converted questions in the order of the rows, a few ahead of whoever takes them."""
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
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as broken:
            refuse(row.file, row.id, f"picture {slot} cannot be decoded: {broken}")
        pictures.append(NewPicture(slot, plain, variants))
    return NewItem(row.id, row.group, row.kind, row.question, row.options, row.gold, tuple(pictures))


def picture_variants(encoded: bytes, *, first: bool) -> dict[str, bytes]:
    """Converted copies of a picture, as PNG: doubled if it is a question's first, else one tile of 448 x 448.

    A picture with transparency has an opaque copy too: servers lay such a picture on white, the protocols drop its
    transparency and show the colours below.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        opaque = picture.convert("RGB")
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
