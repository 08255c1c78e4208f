"""Log probabilities of a deployment that is right, and how far it is from itself: the file of --vlm-record-baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlm_acceptance.checks.logprobs import alike, repeat
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.files import is_file
from vlm_acceptance.core.logprobs import StoredLogProbs, cut
from vlm_acceptance.core.masking import Mask
from vlm_acceptance.core.reference import Change
from vlm_acceptance.core.reference_file import change_line, read_about
from vlm_acceptance.core.verdict import EXIT, Ruling
from vlm_acceptance.run.baseline_limits import START
from vlm_acceptance.run.context import RunContext


def record(context: RunContext, ruling: Ruling) -> list[str]:
    """Write or extend the file of --vlm-record-baseline if the deployment was accepted; returns a line about it."""
    path, taken = context.settings.record_logprobs, context.record.logprobs
    if path is None:
        return []
    obstacles = (
        (len(taken) < len(context.inputs.logprob_prompts), "log probabilities are missing for some prompts"),
        (bool(context.record.narrowed), "the run was narrowed"),
        (ruling.code != EXIT["accepted"], "the deployment was not found right"),
    )
    if why := next((why for is_so, why in obstacles if is_so), ""):
        return [f"  baseline: not recorded ({why}): {path}"]
    if is_file(path):
        return _extended(context, path, taken)
    rows, repeats = [_masked(row, context.mask) for row in taken], context.record.repeats
    _write(path, rows, repeats)
    return [f"  baseline: {path} ({len(rows)} prompts, {len(repeats)} repeats)"]


def _extended(context: RunContext, path: Path, taken: Sequence[StoredLogProbs]) -> list[str]:
    """Add this run to a file of an earlier one as one more start; not that of another deployment."""
    rows, changes = logprobs.read_baseline(path), read_about(path).changes
    top = logprobs.listed([*rows, *taken])
    known = {row.prompt.id: cut(row.logprobs, top) for row in rows}
    seen = {row.prompt.id: cut(row.logprobs, top) for row in taken}
    # texts are not compared: those of the file are masked, and a slow tokenizer may spell one token in two ways
    found, together = alike(
        known,
        {name: replace(one, text=known[name].text) for name, one in seen.items()},
        context.profile.logprobs,
        exact=False,
    )
    if found or together is None:
        # what differs in all prompts together comes last, and says the most
        one = found[-1]
        why = f"{one.where + ': ' if one.where else ''}{one.observed}; expected {one.expected}"
        return [f"  baseline: not extended, as this run differs from it ({why}): {path}"]
    number = 2 + sum(change.name.startswith(START) for change in changes)
    moved = repeat("", known, seen).prompts
    start = Change(f"{START}{number}", floor=True, prompts=moved)
    _write(path, rows, [*changes, start])
    return [f"  baseline: {path} (start {number} of the same deployment, {together.shift:.4f} away)"]


def _write(path: Path, rows: Sequence[StoredLogProbs], changes: Sequence[Change]) -> None:
    part = path.with_name(f"{path.name}.part")
    lines = [*map(logprobs.line_of, rows), *map(change_line, changes)]
    # a lone surrogate is not valid in UTF-8
    part.write_text("".join(f"{line}\n" for line in lines), "utf-8", errors="replace")
    part.replace(path)  # the baseline is written whole or not at all


def _masked(row: StoredLogProbs, mask: Mask) -> StoredLogProbs:
    return replace(row, logprobs=replace(row.logprobs, text=mask(row.logprobs.text)))
