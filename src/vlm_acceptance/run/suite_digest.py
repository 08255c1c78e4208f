"""One digest of the suite's own files: the same for a checkout and for the wheel that is built from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from vlm_acceptance.config.paths import ROOT

PACKAGE = Path(__file__).resolve().parents[1]
# what a run uses beside the package, by its name below the folder of the suite
PARTS = ("conftest.py", "tests/acceptance", "fixtures")
UNWANTED = ("__pycache__",)


@lru_cache
def suite_digest() -> str | None:
    """SHA-256 over the names and SHA-256 of all files (`dirHash` of in-toto's digest sets); None if one is unreadable.

    `package/` stands for the files of vlm_acceptance, `suite/` for acceptance tests and fixtures.
    """
    try:
        rows = sorted((name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in _files(PACKAGE, ROOT))
    except OSError:
        return None
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in rows).encode()).hexdigest()


def _files(package: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of each file, those of the package first; a wheel holds the suite inside of its package."""
    for path in package.rglob("*"):
        if path.is_file() and _is_wanted(path) and not path.is_relative_to(package / "suite"):
            yield f"package/{path.relative_to(package).as_posix()}", path
    for part in PARTS:
        for path in (root / part).rglob("*") if (root / part).is_dir() else (root / part,):
            if path.is_file() and _is_wanted(path):
                yield f"suite/{path.relative_to(root).as_posix()}", path


def _is_wanted(path: Path) -> bool:
    return path.suffix not in (".pyc", ".pyo") and not set(path.parts) & set(UNWANTED)
