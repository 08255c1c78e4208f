"""Measures how far a reference moves under one change after the other; each result is a line of its file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.checks.reference_limits import distance as mean_distance
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, parse_json, shown
from vlm_acceptance.core.logprobs import StoredLogProbs, read_baseline
from vlm_acceptance.core.reference import CHANGE_KEY, Change, Origin, PromptDistance
from vlm_acceptance.core.reference_file import change_line, is_about, read_about
from vlm_acceptance.reference.changes import AGAIN, FLOAT32, Variant
from vlm_acceptance.reference.distance import distance
from vlm_acceptance.reference.held_file import HeldFile
from vlm_acceptance.reference.prompt_form import PromptForm
from vlm_acceptance.reference.route import Route, Tops
from vlm_acceptance.reference.routes import Asks
from vlm_acceptance.stats.spread import spread

# prompts that are computed together when the file does not say
GROUP = 8
# what is no number, as of an overflow, is as unlikely as this (nats)
NO_NUMBER = -1e4
# the same model, computed again, is at most this far (nats): other models are ten times as far at least
SAME_FLOAT32, SAME_16_BITS = 1e-3, 0.2


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference file that was read: where it comes from, its rows, and the changes that were measured."""

    path: Path
    origin: Origin
    rows: tuple[StoredLogProbs, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A model with one thing changed, ready to compute."""

    route: Route
    asks: Asks


Opener = Callable[[Variant], Ready]


def read_reference(path: Path) -> Reference:
    """A reference file; UsageProblem for a file that is none."""
    about = read_about(path)
    if about.origin is None:
        raise UsageProblem(f"{shown(path)} is no reference: `reference record` writes one")
    return Reference(path, about.origin, read_baseline(path), about.changes)


def chosen_rows(reference: Reference, prompts: int | None) -> list[StoredLogProbs]:
    """So many of the rows, evenly spread, or all; UsageProblem if there are not so many."""
    if prompts is None:
        return list(reference.rows)
    if prompts > len(reference.rows):
        raise UsageProblem(
            f"--prompts: {prompts} is more than {len(reference.rows)}, the rows of {shown(reference.path)}"
        )
    return spread(reference.rows, prompts)


def to_measure(reference: Reference, wanted: Iterable[Variant], rows: Sequence[StoredLogProbs]) -> list[Variant]:
    """The changes that the file does not hold for each of these rows."""
    ids = {row.prompt.id for row in rows}
    known = {change.name for change in reference.changes if ids <= change.prompts.keys()}
    return [variant for variant in wanted if variant.name not in known]


def measured(
    reference: Reference,
    variant: Variant,
    rows: Sequence[StoredLogProbs],
    ready: Ready,
    images: Path,
    progress: Callable[[int], None],
) -> Change:
    """The distance of each row under one change, teacher-forced; `progress` gets how many rows are done."""
    size = reference.origin.group or GROUP
    form = variant.prompt(PromptForm(reference.origin.form))
    found: dict[str, PromptDistance] = {}
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        asked = [ready.asks.asked(row.prompt, images, form, variant.pictures) for row in group]
        scored = ready.route.score(asked, [row.logprobs.tokens for row in group], reference.origin.top)
        for row, tops in zip(group, scored, strict=True):
            found[row.prompt.id] = distance(row.logprobs.tokens, row.logprobs.top, numbers(tops))
        progress(len(found))
    return Change(variant.name, variant.floor, found)


def numbers(tops: Tops) -> Tops:
    """The lists with NO_NUMBER in place of what is no number, which no file can hold."""
    return tuple({token: p if math.isfinite(p) else NO_NUMBER for token, p in listed.items()} for listed in tops)


def require_same_model(reference: Reference, files: Mapping[str, str], folder: Path) -> None:
    """UsageProblem when a file of the folder is not the one that the reference was computed from."""
    for name, digest in reference.origin.files.items():
        if files.get(name) != digest:
            how = "is another file than" if name in files else "is absent, unlike"
            raise UsageProblem(f"--model: {name} of {shown(folder)} {how} that of {shown(reference.path)}")


def require_same_numbers(reference: Reference, change: Change) -> None:
    """UsageProblem when the unchanged model gives other log probabilities than the file holds."""
    if change.name != AGAIN.name:
        return
    most = SAME_FLOAT32 if reference.origin.arithmetic == FLOAT32 else SAME_16_BITS
    if not (far := mean_distance(change)) <= most:
        raise UsageProblem(
            f"{shown(reference.path)}: its log probabilities lie {far:.4f} nats from what this model gives, "
            f"more than {most:g}: record it again"
        )


def store(held: HeldFile, change: Change) -> None:
    """Put a line at the end of the file, in the place of one of the same name; the file is replaced at once."""
    try:
        lines = held.path.read_bytes().splitlines(keepends=True)
    except OSError as broken:
        raise UsageProblem(f"{shown(held.path)} cannot be read: {broken.strerror}") from None
    kept = [line for line in lines if line.endswith(b"\n") and not _is_of(line, change)]
    held.replace([*kept, f"{change_line(change)}\n".encode()])


def _is_of(line: bytes, change: Change) -> bool:
    """Whether a line is that of this change, in whatever order its keys are."""
    try:
        value = parse_json(line)
    except BadFile:
        return False
    return is_about(value) and value.get(CHANGE_KEY) == change.name
