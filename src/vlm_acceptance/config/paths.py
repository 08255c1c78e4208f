"""Files and folders that options and profiles name: found, or UsageProblem with the option or key that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

from vlm_acceptance.core.errors import UsageProblem

ROOT = Path(__file__).resolve().parents[3]


def writable_folder(path: Path, source: str) -> Path:
    """The folder, made if needed; UsageProblem when it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-{os.getpid()}"
        probe.write_text("", "utf-8")
        probe.unlink()
    except OSError as broken:
        raise UsageProblem(f"{source}: reports cannot be written to {str(path)!r}: {broken.strerror}") from None
    return path


def output_file(value: str | None, source: str) -> Path | None:
    """A file to write; UsageProblem when its folder does not exist, or when the file does."""
    if value is None:
        return None
    path = Path(value).expanduser()
    if not path.parent.is_dir():
        raise UsageProblem(f"{source}: the folder of {value!r} does not exist")
    if path.exists():
        raise UsageProblem(f"{source}: {value!r} exists already; it is not overwritten")
    return path


def input_file(value: str | None, source: str) -> Path | None:
    """A file to read; UsageProblem when it does not exist."""
    if value is None:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise UsageProblem(f"{source}: the file {value!r} does not exist")
    return path.resolve()


def resolve_existing(path: str, key: str) -> Path:
    """A path of a profile, absolute or relative to the current folder or the suite; UsageProblem when it is absent."""
    given = Path(path).expanduser()
    for candidate in (given, ROOT / given):
        if candidate.exists():
            return candidate.resolve()
    raise UsageProblem(f"{key}: {path!r} does not exist")


def require_text_file(path: str, key: str) -> None:
    """UsageProblem when a path of a profile is not a file of UTF-8 text."""
    found = resolve_existing(path, key)
    if not found.is_file():
        raise UsageProblem(f"{key}: {path!r} is not a file")
    try:
        found.read_bytes().decode("utf-8")
    except OSError as broken:
        raise UsageProblem(f"{key}: {path!r} cannot be read: {broken.strerror}") from None
    except UnicodeDecodeError as broken:
        raise UsageProblem(f"{key}: {path!r} is not UTF-8 text (byte {broken.start})") from None
