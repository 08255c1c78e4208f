"""`reference power`: measure changes of a reference, from its options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vlm_acceptance.checks.reference_limits import limits_of
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_folder, shown
from vlm_acceptance.core.logprobs import require_pictures
from vlm_acceptance.reference import power_table
from vlm_acceptance.reference.arguments import counted
from vlm_acceptance.reference.changes import Variant, variants
from vlm_acceptance.reference.checkpoint import hashes, require_checkpoint
from vlm_acceptance.reference.held_file import HeldFile
from vlm_acceptance.reference.machine import processors
from vlm_acceptance.reference.power import (
    Reference,
    chosen_rows,
    measured,
    read_reference,
    require_same_model,
    require_same_numbers,
    store,
    to_measure,
)
from vlm_acceptance.reference.progress import Progress
from vlm_acceptance.reference.record_command import add_model_arguments
from vlm_acceptance.reference.routes import require_packages
from vlm_acceptance.reference.told import tell

SAMPLE = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add = parser.add_argument
    add("file", metavar="FILE", help="the reference; what is measured is added to it")
    add_model_arguments(parser)
    add("--changes", metavar="NAMES", help="the floor and only these, with commas between them (default: all)")
    add("--prompts", metavar="N", type=counted, help="only so many of its rows, evenly spread (default: all)")
    add("--sample", metavar="N", type=counted, default=SAMPLE, help="prompts of a run, for the table (default: 12)")
    add("--markdown", action="store_true", help="print the table as Markdown")


def main(given: argparse.Namespace) -> int:
    """Measure what the file lacks and print the table; 0 when all is measured."""
    folder, images = expanded(given.model), expanded(given.images)
    require_checkpoint(folder)
    if not is_folder(images):
        raise UsageProblem(f"--images: the folder {shown(images)!r} does not exist")
    reference = read_reference(expanded(given.file))
    wanted = wanted_changes(reference, given.changes)
    rows = chosen_rows(reference, given.prompts)
    require_pictures(reference.path, [row.prompt for row in rows], images)
    if to_measure(reference, wanted, rows):
        require_packages()
        with HeldFile(reference.path) as held:
            # what another process wrote before it let go of the file counts
            reference = read_reference(reference.path)
            missing = to_measure(reference, wanted, chosen_rows(reference, given.prompts))
            _measure(held, reference, missing, given, images)
    tell(shown_table(read_reference(reference.path), given.sample, markdown=given.markdown))
    return 0


def after_record(given: argparse.Namespace) -> int:
    """All changes of a reference that was recorded just now, from the options of `record`."""
    own = {"file": given.out, "changes": None, "prompts": None, "sample": SAMPLE, "markdown": False}
    return main(argparse.Namespace(**{**vars(given), **own}))


def wanted_changes(reference: Reference, names: str | None) -> list[Variant]:
    """The whole floor and the changes of these names; UsageProblem names an unknown one.

    Limits of a part of the floor would be too narrow: a right engine of another type would be refused.
    """
    known = variants(reference.origin.arithmetic)
    if names is None:
        return list(known.values())
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise UsageProblem(f"--changes: {shown(name, 40)!r} is none of {', '.join(known)}.{nearest(name, known)}")
    if not chosen:
        raise UsageProblem(f"--changes: no name is given; there are: {', '.join(known)}")
    return [variant for name, variant in known.items() if variant.floor or name in chosen]


def _measure(
    held: HeldFile, reference: Reference, missing: Sequence[Variant], given: argparse.Namespace, images: Path
) -> None:
    from vlm_acceptance.reference.open_changed import opener

    folder, rows = expanded(given.model), chosen_rows(reference, given.prompts)
    said = Progress("power", len(missing) * len(rows))
    try:
        require_same_model(reference, hashes(folder, said.say), folder)
        said.say(f"loading {folder.name}")
        threads = given.threads or processors()
        opened = opener(folder, reference.origin, threads, stream_layers=given.stream_layers)
        said.start(0)
        for place, variant in enumerate(missing):
            done = partial(_count, said, place * len(rows))
            found = measured(reference, variant, rows, opened(variant), images, done)
            require_same_numbers(reference, found)
            store(held, found)
    finally:
        said.end()


def _count(said: Progress, before: int, done: int) -> None:
    said(before + done)


def shown_table(reference: Reference, sample: int, *, markdown: bool = False) -> str:
    """The table and the limits for runs of so many prompts."""
    rows = power_table.table(reference.changes, sample)
    whole = power_table.as_markdown(rows) if markdown else power_table.as_text(rows)
    return "\n".join([whole, *power_table.summary(limits_of(reference.changes, sample, count_needed=False))]) + "\n"
