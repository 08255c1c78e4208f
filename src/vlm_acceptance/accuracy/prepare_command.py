"""`prepare`: turns the published files of a data set into prepared data, checked and with converted pictures."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlm_acceptance.accuracy.preparation import NewItem, check_place, write_prepared
from vlm_acceptance.accuracy.prepared import MANIFEST, Prepared
from vlm_acceptance.accuracy.published import PublishedRow, Source, is_unicode
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, VlmAcceptanceError, nearest
from vlm_acceptance.core.files import MB, is_file, is_folder, shown
from vlm_acceptance.core.pictures import PIXELS
from vlm_acceptance.engine.hub import HUGGING_FACE, MODELSCOPE, Hub, download_dataset

HUBS: Mapping[str, Hub] = {"modelscope": MODELSCOPE, "huggingface": HUGGING_FACE}
_HELD_BYTES = 128 * MB  # of pictures that wait to be converted
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of published questions found; `hash_is` says what the hash of the content is compared with.

    `about` are more fields of the manifest.
    """

    dataset: str
    licence: str
    items: int
    content_sha256: str
    hash_is: str
    about: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


Converter = Callable[[PublishedRow], NewItem]


@dataclass(frozen=True, slots=True)
class Preparation:
    """How one data set is prepared.

    `ids` are its ids at the HUBS, `files` the patterns of what is downloaded, `layouts` and `expected` name files and
    arguments in messages. `in_folder` finds the published files in a folder; `of_file` takes one file. `check` raises
    EnvironmentProblem for incomplete data. `converter` makes a function for one preparation. `split` is the value of
    --split, '' for the default one.
    """

    title: str
    dataset: str
    package: str
    ids: Mapping[str, str]
    files: Sequence[str]
    layouts: tuple[str, ...]
    expected: str
    in_folder: Callable[[Path], Source | None]
    of_file: Callable[[Path], Source | None]
    check: Callable[[Source, str | None], Checked]
    converter: Callable[[], Converter]
    most_pixels: int = PIXELS
    split: str = ""

    @property
    def command(self) -> str:
        """The command that prepares these data."""
        split = f" --split {self.split}" if self.split else ""
        return f"python -m vlm_acceptance.accuracy.{self.package} prepare{split}"

    def default_folder(self, env: Mapping[str, str] = os.environ) -> Path:
        """The usual folder of the prepared data: below $XDG_CACHE_HOME, or ~/.cache."""
        cache = env.get("XDG_CACHE_HOME") or ""
        base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
        return base / "vlm-acceptance" / self.dataset.lower()


@dataclass(frozen=True, slots=True)
class Request:
    """What to prepare. `source` is a key of HUBS, a folder or a file; `id` and `revision` belong to a hub."""

    source: str
    to: Path
    id: str | None = None
    revision: str | None = None
    dataset: str | None = None
    jobs: int = os.cpu_count() or 1
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Publisher:
    """A hub, and the id of a data set there."""

    hub: Hub
    id: str

    def __str__(self) -> str:
        return f"{self.hub.name} {self.id}"


def prepare(made: Preparation, request: Request, log: Callable[[str], None]) -> Prepared:
    """Download, check and convert what the folder lacks; UsageProblem: source or folder; EnvironmentProblem: data."""
    if request.dataset is not None:
        _check_name(request.dataset, made, UsageProblem, "--dataset")
    publisher = _publisher(made, request)
    is_kept = not request.force and is_file(request.to / MANIFEST)
    existing = Prepared.open(request.to, made.command) if is_kept else None
    if existing and existing.prepared_as != made.dataset:
        held = f"{existing.dataset}, prepared as {existing.prepared_as}"
        raise UsageProblem(f"{request.to} holds {held}, not {made.dataset}: give another folder, or --force")
    if existing and publisher and _is_same_download(existing, publisher, request):
        log(f"{request.to} holds {existing.dataset} from {existing.source} already: --force prepares it again")
        return existing
    if not existing:
        check_place(request.to.resolve(), request.force)
    source, revision = _downloaded(made, publisher, request, log) if publisher else (_local(made, request), None)
    digests = source.digests()
    if existing and digests == existing.manifest.get("files") and request.dataset in (None, existing.dataset):
        log(f"{request.to} holds {existing.dataset} from the same files already: --force prepares it again")
        return existing
    check_place(request.to.resolve(), request.force)
    about = {"asked": request.revision, "files": digests}
    return _written(made, request, source, revision, about, log)


def _publisher(made: Preparation, request: Request) -> _Publisher | None:
    if request.source in HUBS:
        return _Publisher(HUBS[request.source], request.id or made.ids[request.source])
    if not is_file(Path(request.source)) and not is_folder(Path(request.source)):
        what = f"no such file or folder, and not a hub ({', '.join(HUBS)})"
        raise UsageProblem(f"--from {request.source}: {what}.{nearest(request.source, HUBS)}")
    if request.id or request.revision:
        raise UsageProblem("--id and --revision choose what a hub sends; a folder or file is taken as it is")
    return None


def _check_name(name: str, made: Preparation, problem: type[VlmAcceptanceError], what: str) -> None:
    """Refuse a name that cannot be shown, or that differs from the published one only in case or blanks."""
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise problem(f"{what} is {shown(name, 80)!r}, expected at most {_LONGEST_NAME} printable characters")
    if name != made.dataset and name.strip().casefold() == made.dataset.casefold():
        raise problem(f"{what} is {name!r}, which is not the published one. Did you mean {made.dataset!r}?")


def _is_same_download(existing: Prepared, publisher: _Publisher, request: Request) -> bool:
    revisions = (None, existing.revision, existing.manifest.get("asked"))
    same_data = request.dataset in (None, existing.dataset)
    return existing.source == str(publisher) and request.revision in revisions and same_data


def _downloaded(
    made: Preparation, publisher: _Publisher, request: Request, log: Callable[[str], None]
) -> tuple[Source, str]:
    """The data of a hub, under the hub's name, and their revision."""
    log(f"downloading {publisher}")
    folder = download_dataset(publisher.hub, publisher.id, request.revision, made.files)
    source = made.in_folder(folder)
    if source is None:
        wanted = made.layouts[0]
        raise EnvironmentProblem(f"{publisher} has no {wanted}: is this {made.title}? Choose another with --id")
    # Hugging Face's client names the folder for the commit
    commit = folder.name if folder.parent.name == "snapshots" else None
    return replace(source, name=str(publisher)), commit or request.revision or "master"


def _local(made: Preparation, request: Request) -> Source:
    given = Path(request.source)
    if is_folder(given):
        source = made.in_folder(given)
        if source is None:
            *others, last = made.layouts
            raise EnvironmentProblem(f"{given} holds neither {', '.join(others)} nor {last}")
        return source
    source = made.of_file(given)
    if source is None:
        raise UsageProblem(f"--from {given}: expected {made.expected}, or one of {', '.join(HUBS)}")
    return source


def _written(
    made: Preparation,
    request: Request,
    source: Source,
    revision: str | None,
    about: Mapping[str, Any],
    log: Callable[[str], None],
) -> Prepared:
    checked = made.check(source, request.dataset)
    _check_name(checked.dataset, made, EnvironmentProblem, "the name of the data")
    if not is_unicode(checked.licence):
        raise EnvironmentProblem("the licence of the data holds a character that is not valid Unicode")
    for note in source.notes():
        log(note)
    total = checked.items
    log(f"{total} questions of {checked.dataset}, content sha256 {checked.content_sha256[:16]} ({checked.hash_is})")
    log(f"converting the pictures with {request.jobs} jobs")

    def progress(done: int) -> None:
        if done % 100 == 0 or done == total:
            log(f"{done}/{total}")

    return write_prepared(
        request.to,
        converted(source.rows(pictures=True), made.converter(), request.jobs),
        dataset=checked.dataset,
        source=source.name,
        revision=revision,
        about={
            "prepared_as": made.dataset,
            **about,
            **checked.about,
            "licence": checked.licence,
            "content_sha256": checked.content_sha256,
        },
        replace=request.force,
        progress=progress,
        pixels=made.most_pixels,
        command=made.command,
    )


def converted(rows: Iterator[PublishedRow], convert: Converter, jobs: int) -> Iterator[NewItem]:
    """Converted questions in the order of the rows, converted a few ahead: few questions, and few bytes of pictures."""
    waiting: deque[tuple[int, Future[NewItem]]] = deque()
    held = 0
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for row in rows:
                size = sum(len(encoded) for _, encoded in row.pictures)
                waiting.append((size, pool.submit(convert, row)))
                held += size
                while len(waiting) > 2 * jobs or (held > _HELD_BYTES and waiting):
                    size, first = waiting.popleft()
                    held -= size
                    yield first.result()
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
