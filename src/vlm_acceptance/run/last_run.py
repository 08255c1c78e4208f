"""The stored runs of a profile, and how long the stages of the last one took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import read_json
from vlm_acceptance.core.numbers import figure

# a run may have ended early, and its files may be large
LOOKED_AT = 5


def stored_runs(reports: Path, profile: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Folder and summary of each finished run of the profile, the newest first; none that judged another one."""
    for folder in sorted((reports / "runs").glob("*/"), reverse=True):
        try:
            summary = read_json(folder / "summary.json")
            is_ours = summary["scope"]["profile"] == profile and "judged" not in summary
        except (OSError, ValueError, LookupError, TypeError):
            continue  # an unfinished run, or files of another release
        if is_ours:
            yield folder, summary


def stage_seconds(reports: Path, profile: str) -> dict[str, float]:
    """Seconds of each stage in the newest run that has it; a run that left a stage out does not hide an older one."""
    found: dict[str, float] = {}
    for _, (_, summary) in zip(range(LOOKED_AT), stored_runs(reports, profile), strict=False):
        try:
            stages = {str(name): figure(seconds) for name, seconds in summary["stage_seconds"].items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        found = {**stages, **found}
    return found
