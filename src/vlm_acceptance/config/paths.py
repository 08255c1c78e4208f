"""Files and folders that options and profiles name: found, or UsageProblem with the option or key that is wrong."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import MB, BadFile, expanded, is_file, read_text

TEXT_BYTES = 16 * MB


def suite_of(package: Path) -> Path:
    """The folder of the acceptance tests and fixtures: the checkout around `src/`, else `suite/` of the package."""
    checkout = package.parent.parent
    is_checkout = package.parent.name == "src" and (checkout / "tests" / "acceptance").is_dir()
    return checkout if is_checkout else package / "suite"


_PACKAGE = Path(__file__).resolve().parents[1]
ROOT = suite_of(_PACKAGE)
ACCEPTANCE = ROOT / "tests" / "acceptance"
IS_INSTALLED = _PACKAGE in ROOT.parents
# pytest keeps its cache beside its settings, where an installed package has no place for it
NO_CACHE = ("-p", "no:cacheprovider") if IS_INSTALLED else ()
# what starts a smoke run from any folder, in lines that say what to do next
SMOKE = ("vlm-acceptance", "smoke")


def default_reports() -> Path:
    """The folder of reports where none is named: of the checkout, else of the current folder."""
    return Path.cwd() / "reports" if IS_INSTALLED else ROOT / "reports"


def writable_folder(path: Path, source: str) -> Path:
    """The folder, made if needed; UsageProblem when it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-{os.getpid()}"
        probe.write_text("", "utf-8")
        probe.unlink()
    except (OSError, ValueError) as broken:
        raise UsageProblem(f"{source}: reports cannot be written to {str(path)!r}: {_why(broken)}") from None
    return path


def require_possible_folder(path: Path, source: str) -> None:
    """UsageProblem when an absolute path is not that of a folder and cannot become one; nothing is made."""
    try:
        found = next(one for one in (path, *path.parents) if one.is_symlink() or one.exists())
        wrong = "" if found.is_dir() else f"{str(found)!r} is not a folder"
    except (OSError, ValueError) as broken:
        wrong = _why(broken)
    if wrong:
        raise UsageProblem(f"{source}: reports cannot be written to {str(path)!r}: {wrong}")


def output_file(value: str | None, source: str) -> Path | None:
    """A file to write; UsageProblem when its folder does not exist, or when the file does."""
    if value is None:
        return None
    path = expanded(value)
    try:
        if "\0" in value:
            raise ValueError("it holds a NUL")
        has_folder, exists = path.parent.is_dir(), path.exists() or path.is_symlink()
    except (OSError, ValueError) as broken:
        raise UsageProblem(f"{source}: {value!r} is not the name of a file: {_why(broken)}") from None
    if not has_folder:
        raise UsageProblem(f"{source}: the folder of {value!r} does not exist")
    if exists:
        raise UsageProblem(f"{source}: {value!r} exists already; it is not overwritten")
    return path


def input_file(value: str | None, source: str) -> Path | None:
    """A file to read; UsageProblem when it does not exist or is not a regular file."""
    if value is None:
        return None
    path = expanded(value)
    if not is_file(path):
        raise UsageProblem(f"{source}: {_missing(value, path)}")
    return path.resolve()


def resolve_existing(path: str, key: str) -> Path:
    """A path of a profile, absolute or relative to the current folder or the suite; UsageProblem when it is absent."""
    given = expanded(path)
    for candidate in (given, ROOT / given):
        with contextlib.suppress(OSError, ValueError):  # a name that is too long or holds a NUL
            if candidate.exists():
                return candidate.resolve()
    raise UsageProblem(f"{key}: {path!r} does not exist")


def require_text_file(path: str, key: str) -> None:
    """UsageProblem when a path of a profile is not a file of UTF-8 text."""
    try:
        read_text(resolve_existing(path, key), TEXT_BYTES)
    except BadFile as broken:
        raise UsageProblem(f"{key}: {path!r} {broken}") from None


def _missing(value: str, path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        if path.exists():
            return f"{value!r} is not a file"
    return f"the file {value!r} does not exist"


def _why(broken: OSError | ValueError) -> str:
    return (isinstance(broken, OSError) and broken.strerror) or "it is not valid"
