"""Folders of stored runs that a command names: found, or UsageProblem that says what is wrong and what there is."""

from __future__ import annotations

from pathlib import Path

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_file, is_folder, shown

MOST_NAMES, LONGEST = 5000, 300


def run_folder(given: str) -> Path:
    """The folder of a finished run, by itself, a link or its summary.json; UsageProblem when there is none."""
    folder, name = expanded(given), repr(shown(given, LONGEST))
    if is_file(folder / "summary.json"):
        return folder.resolve()
    if is_file(folder) and folder.name == "summary.json":
        return folder.resolve().parent
    if is_folder(folder / "runs"):
        raise UsageProblem(
            f"{name} is a folder of reports; name one run of it, for example {shown(folder / 'latest', LONGEST)}"
        )
    if is_folder(folder):
        raise UsageProblem(f"{name} is not the folder of a finished run: it holds no summary.json")
    raise UsageProblem(f"{name} does not exist.{nearest(folder.name, _names(folder.parent))}")


def _names(parent: Path) -> list[str]:
    try:
        return [path.name for _, path in zip(range(MOST_NAMES), parent.iterdir(), strict=False)]
    except (OSError, ValueError):
        return []
