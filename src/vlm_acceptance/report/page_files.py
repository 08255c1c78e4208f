"""Every file of a run's folder as links for its page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.report.stored_run import Link, link_to

MOST_LINKS, MOST_COUNTED = 1500, 50_000
EVIDENCE = "evidence"
PARTIAL = ".part"
OWN = "report.html"  # the page itself


@dataclass(frozen=True, slots=True)
class Listed:
    """A file with its size in bytes, or a folder of evidence with its number of files; None where it comes later."""

    link: Link
    size: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the run, '' for its own, and what is listed of it."""

    name: str
    listed: Sequence[Listed]


def folders_of(folder: Path, later: Sequence[str], gaps: list[str]) -> list[Folder]:
    """Folders with their files but the page, those of `later` included, which are written after it.

    Of evidence each folder is listed with its number of files. At most 1,500 links; the rest is counted in `gaps`.
    """
    found: dict[str, list[Listed]] = {"": []}
    count = 0
    for at, inner, names in os.walk(folder):
        inner.sort()
        here = Path(at)
        place = here.relative_to(folder).as_posix().removeprefix(".")
        files = sorted(name for name in names if not name.endswith(PARTIAL) and (here / name).is_file())
        files = [name for name in files if place or name != OWN]
        top = place.partition("/")[0]
        if top == EVIDENCE:
            link = Link(place.partition("/")[2] or place, link_to(folder, here).href)
            made = [Listed(link, files=len(files))] if files else []
        else:
            made = [Listed(link_to(folder, here / name), size=(here / name).stat().st_size) for name in files]
        room = max(0, MOST_LINKS - count)
        found.setdefault(top, []).extend(made[:room])
        count += len(made)
        if count > MOST_COUNTED:
            break
    if count > MOST_LINKS:
        gaps.append(f"{count - MOST_LINKS} of {count} files are not listed")
    own = {row.link.name for row in found[""]}
    found[""] += [Listed(link_to(folder, folder / name)) for name in later if name not in own]
    found[""].sort(key=lambda row: row.link.name)
    return [Folder(name, rows) for name, rows in found.items() if rows]
