"""Every plot of a stored run, in the order of a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import BadFile, is_file, read_json
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.plots import accuracy, capacity, early_stop, latency, logprobs, soak, timeline
from vlm_acceptance.report.plots.stored import FILE_BYTES, Section
from vlm_acceptance.report.store import OBSERVATIONS


def unreadable(folder: Path) -> list[str]:
    """A sentence for each file with figures of plots that is there and cannot be read: its plots are missing."""
    single = (latency.OBSERVATION, soak.OBSERVATION, early_stop.OBSERVATION, timeline.OBSERVATION)
    observations = folder / OBSERVATIONS
    files = [observations / f"{name}.json" for name in single] + sorted(observations.glob(f"{logprobs.PREFIX}*.json"))
    found = []
    for path in [*(path for path in files if is_file(path)), *sorted(folder.glob(accuracy.FILES))]:
        try:
            read_json(path, FILE_BYTES)
        except BadFile as broken:
            found.append(tr("{name} {why}: its plots are missing", name=printable(path.name), why=broken))
    return found


def plots_of(folder: Path, summary: Mapping[str, Any]) -> list[Section]:
    """The plots of a run's folder; `part` of each is latency, soak, capacity, accuracy, logprobs or timeline.

    A run has those whose figures it stored. A figure that cannot be shown is left out, and the caption says so.
    """
    return [
        *latency.plots(folder, summary),
        *soak.plots(folder),
        *capacity.plots(summary),
        *accuracy.plots(folder),
        *early_stop.plots(folder),
        *logprobs.plots(folder),
        *timeline.plots(folder),
    ]
