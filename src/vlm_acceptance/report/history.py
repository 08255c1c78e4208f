"""The history of stored runs as one page: verdicts, scores, latency, memory, and which steps are no chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, is_folder
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.history_charts import Drawing, charts
from vlm_acceptance.report.history_night import Night, read_night, with_times
from vlm_acceptance.report.history_series import ALPHA, Mark, marks_of, series_of, trends_of
from vlm_acceptance.report.history_words import Sentence, changes_before, sentences
from vlm_acceptance.report.small_pages import link, render, replace_file, tone_of

PAGE = "history.html"
MOST_NIGHTS, MOST_TRACKS = 800, 8
MOST_FOLDERS = 100_000


@dataclass(frozen=True, slots=True)
class Track:
    """The runs of one profile of one model, the oldest first, and what is said of them."""

    nights: Sequence[Night]
    marks: Sequence[Mark]
    sentences: Sequence[Sentence]
    drawings: Sequence[Drawing]

    @property
    def name(self) -> str:
        """Profile, model and how it was reached."""
        profile, model, deployment = self.nights[-1].track
        return ", ".join((profile, model, tr(deployment)))


def run_folders(reports: Path) -> list[Path]:
    """The folders of runs, the newest first; no files are read."""
    runs = reports / "runs"
    if not is_folder(runs):
        return []
    try:
        found = [path for path in islice(runs.iterdir(), MOST_FOLDERS) if is_folder(path) and not path.is_symlink()]
    except OSError:
        return []
    return sorted(found, key=lambda path: path.name, reverse=True)


def read_nights(reports: Path, most: int = MOST_NIGHTS) -> tuple[list[Night], int, int]:
    """The newest runs, the oldest first; how many folders hold no readable summary, and how many runs are older."""
    folders = run_folders(reports)
    nights, broken = [], 0
    for folder in folders[:most]:
        try:
            nights.append(read_night(folder))
        except BadFile:
            broken += 1
    return nights[::-1], broken, max(0, len(folders) - most)


def tracks_of(nights: Sequence[Night], alpha: float = ALPHA) -> list[Track]:
    """The nights by profile and model, those with most runs first; the error rate `alpha` holds for all together."""
    groups: dict[tuple[str, str, str], list[Night]] = {}
    for night in nights:
        groups.setdefault(night.track, []).append(night)
    kept = sorted(groups.values(), key=len, reverse=True)[:MOST_TRACKS]
    return [_track(group, alpha / len(kept)) for group in kept]


def _track(nights: Sequence[Night], alpha: float) -> Track:
    nights = with_times(nights)
    found = series_of(nights)
    marks = marks_of(found, alpha)
    said = sentences(nights, marks, trends_of(found, marks, alpha))
    return Track(nights, marks, said, charts(nights, found, marks))


def write_history(reports: Path, out: Path | None = None) -> tuple[Path, list[Track]]:
    """Write the page of all runs of a folder of reports; its place, and what is on it. UsageProblem without runs."""
    nights, broken, older = read_nights(reports)
    if not nights:
        raise UsageProblem(f"{str(reports)!r} holds no finished run: there is no runs/*/summary.json that can be read")
    page = out or reports / PAGE
    kept = [night for night in nights if not night.judged] or nights
    again, nights = len(nights) - len(kept), kept
    tracks = tracks_of(nights)
    others = len({night.track for night in nights}) - len(tracks)
    replace_file(page, render("history.html.j2", _view(page, reports, tracks, [broken, older, others, again])))
    return page, tracks


def _view(page: Path, reports: Path, tracks: Sequence[Track], absent: Sequence[int]) -> dict[str, Any]:
    broken, older, others, again = absent
    left_out = [
        tr("{count} folder(s) hold no summary that can be read.", count=broken) if broken else "",
        tr("{count} older run(s) are left out.", count=older) if older else "",
        tr("{count} other profile(s) with fewer runs are left out.", count=others) if others else "",
        tr("{count} judgement(s) of stored runs are left out: no engine ran.", count=again) if again else "",
    ]
    return {
        "tracks": [{"track": track, "rows": _rows(page, track.nights), "strip": _strip(track)} for track in tracks],
        "left_out": [text for text in left_out if text],
        "alpha": f"{ALPHA:.0%}",
        "index": link(page, reports / "index.html"),
    }


def _rows(page: Path, nights: Sequence[Night]) -> list[Mapping[str, Any]]:
    """The table, the newest night first."""
    return [
        {
            "night": night,
            "tone": tone_of(night.verdict),
            "href": link(page, night.folder / "report.html"),
            "changes": changes_before(nights, at),
        }
        for at, night in reversed(list(enumerate(nights)))
    ]


def _strip(track: Track) -> list[Mapping[str, str]]:
    """One cell for each night, in its verdict's colour; a night on which something got worse is marked."""
    worse = {one.start for one in track.sentences if one.is_worse and one.marks}
    return [
        {
            "tone": tone_of(night.verdict),
            "title": f"{night.day}: {night.verdict}",
            "mark": "marked" if at in worse else "",
        }
        for at, night in enumerate(track.nights)
    ]
