"""`reference compare`: how far two references of one checkpoint lie apart."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

from vlm_acceptance.checks.logprobs import Difference, Totals, difference, totals
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import expanded, is_file, shown
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.logprobs import LogProbs, read_baseline
from vlm_acceptance.core.numbers import is_at_most
from vlm_acceptance.reference.checkpoint import require_checkpoint
from vlm_acceptance.reference.prompt_form import PUBLISHED, PromptForm
from vlm_acceptance.reference.record_command import IMAGES
from vlm_acceptance.reference.routes import require_packages
from vlm_acceptance.reference.told import tell

MOST = 1e-4
SHOWN = 5
FAR = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("first", metavar="FILE", help="a reference, or another baseline")
    parser.add_argument("second", metavar="FILE", help="what is compared with it")
    parser.add_argument(
        "--most",
        metavar="NATS",
        type=_nats,
        default=MOST,
        help="exit code 1 if the mean |Δ| of common top tokens is more than this (default: 0.0001)",
    )
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        help="the checkpoint: if the files differ, which layer of the two routes differs first (needs torch)",
    )
    parser.add_argument("--images", metavar="DIR", default=str(IMAGES), help="the folder of the prompts' pictures")


def main(given: argparse.Namespace) -> int:
    """Print the distance of the prompts that both hold; 1 when it is more than asked for."""
    first, second = (expanded(name) for name in (given.first, given.second))
    known, seen = _read(first), _read(second)
    common = [name for name in known if name in seen]
    if not common:
        raise UsageProblem(f"{shown(first)} and {shown(second)} have no prompt in common")
    rows = {name: difference(known[name], seen[name]) for name in common}
    together = totals(list(rows.values()))
    is_near = is_at_most(together.shift, given.most)
    layers = [] if is_near or given.model is None else _first_layer(given, first, rows)
    lines = [
        *_told(together, len(known), len(seen)),
        *_farthest(rows),
        *layers,
        tr(f"within {given.most:g}" if is_near else f"more than {given.most:g}"),
    ]
    tell("\n".join(lines) + "\n")
    return 0 if is_near else FAR


def _told(together: Totals, known: int, seen: int) -> list[str]:
    return [
        tr(f"prompts in both files: {together.prompts} (of {known} and {seen})"),
        tr(f"mean |Δ| of common top tokens: {together.shift:.2e} nats; in common: {together.common:.2%}"),
        tr(f"chosen token: {together.chosen_mean:.2e} in the mean, {together.chosen_max:.2e} at most"),
        tr(f"answers with another token: {together.diverged}"),
    ]


def _farthest(rows: Mapping[str, Difference]) -> list[str]:
    """The prompts that are farthest apart, each with the place of the first other token, if there is one."""
    order = sorted(rows, key=lambda name: -rows[name].shift)[:SHOWN]
    width = max(map(len, order))
    found = []
    for name in order:
        place = rows[name].diverged
        other = "" if place is None else f", another token at place {place}"
        found.append(f"  {name.ljust(width)}  {rows[name].shift:.2e}{tr(other)}")
    return found


def _first_layer(given: argparse.Namespace, path: Path, rows: Mapping[str, Difference]) -> list[str]:
    """Which layer of both routes differs first, for the prompt that is farthest apart."""
    require_packages()
    from vlm_acceptance.reference.layers import by_layer, first_far
    from vlm_acceptance.reference.open_route import opened_both

    folder = expanded(given.model)
    require_checkpoint(folder)
    name = max(rows, key=lambda one: rows[one].shift)
    known = next(row for row in read_baseline(path) if row.prompt.id == name)
    own, other, prompter = opened_both(folder)
    asked = prompter.asked(known.prompt, expanded(given.images), PromptForm(PUBLISHED))
    found = first_far(by_layer(own, other, asked, known.logprobs.tokens, len(known.logprobs.top[0])), given.most)
    if found is None:
        return [
            tr(f"layers: both routes are alike in {name} behind every layer; the files are of other models or forms")
        ]
    return [tr(f"layers: in {name} the routes first differ behind {found.part} layer {found.layers}: {found.far:.2e}")]


def _read(path: Path) -> Mapping[str, LogProbs]:
    if not is_file(path):
        raise UsageProblem(f"the file {shown(path)!r} does not exist")
    return {row.prompt.id: row.logprobs for row in read_baseline(path)}


def _nats(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{shown(text, 40)!r} is not a number of nats from 0")
    return value
