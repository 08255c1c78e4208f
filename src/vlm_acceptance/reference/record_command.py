"""`reference record`: what is recorded, from its options."""

from __future__ import annotations

import argparse
from pathlib import Path

from vlm_acceptance.config.paths import ROOT, resolve_existing
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import expanded, is_folder, shown
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.logprobs import LogProbPrompt, read_prompts, require_pictures
from vlm_acceptance.reference.arguments import counted
from vlm_acceptance.reference.checkpoint import origin_of, require_checkpoint
from vlm_acceptance.reference.machine import processors
from vlm_acceptance.reference.open_route import opened
from vlm_acceptance.reference.progress import Progress
from vlm_acceptance.reference.prompt_form import FORMS, SERVED
from vlm_acceptance.reference.record import Job, record
from vlm_acceptance.reference.routes import ARITHMETIC, OWN, ROUTES, Choice, Opened, require_packages
from vlm_acceptance.reference.told import tell
from vlm_acceptance.reference.vllm_version import TARGET, installed, release
from vlm_acceptance.stats.spread import spread

PROMPTS = ROOT / "fixtures" / "baselines" / "prompts.jsonl"
IMAGES = ROOT / "fixtures" / "images"
GROUP = 12
MOST_TOP = 20  # vLLM gives no more unless it is told so at its start


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every command that computes."""
    add = parser.add_argument
    add("--model", metavar="FOLDER", required=True, help="the checkpoint: the folder that is served")
    add("--images", metavar="DIR", default=str(IMAGES), help="the folder of the prompts' pictures")
    add("--threads", metavar="N", type=counted, help="threads of the computation (default: all cores)")
    add(
        "--stream-layers",
        action="store_true",
        help="hold one layer at a time in fp32: less memory, and more time",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    add = parser.add_argument
    add_model_arguments(parser)
    add("--out", metavar="FILE", required=True, help="the reference to write; a part of one goes on")
    add("--prompts", metavar="N|FILE", help="so many of the prompts, evenly spread, or a file of prompts")
    add("--route", choices=ROUTES, default=OWN, help="own (InternVL's family), or transformers (what it can load)")
    add("--arithmetic", choices=ARITHMETIC, default=ARITHMETIC[0], help="in which it is computed (default: float32)")
    add("--form", choices=FORMS, default=SERVED, help="prompt and rotary embedding as vLLM's (default) or the authors'")
    add("--vllm", metavar="VERSION", help=f"whose served form (default: the installed one, else {TARGET})")
    add("--top", metavar="N", type=counted, default=MOST_TOP, help="likeliest tokens at each place (default: 20)")
    add(
        "--group",
        metavar="N",
        type=counted,
        default=GROUP,
        help=f"prompts that are computed together (default: {GROUP})",
    )
    add("--power", dest="then_power", action="store_true", help="measure what it can see, too: see `power`")


def main(given: argparse.Namespace) -> int:
    """Record, or go on with it; 0 when the file is whole."""
    folder, out = expanded(given.model), expanded(given.out)
    require_checkpoint(folder)
    if given.top > MOST_TOP:
        raise UsageProblem(f"--top: {given.top} is more than {MOST_TOP}, the most that vLLM gives by default")
    if not is_folder(out.parent):
        raise UsageProblem(f"--out: the folder of {shown(out)!r} does not exist")
    if given.then_power and given.route != OWN:
        raise UsageProblem("--power: only the own route can change a model on purpose; leave --route out")
    images = expanded(given.images)
    prompts = prompts_of(given.prompts, images)
    require_packages()
    choice = Choice(
        given.route,
        given.arithmetic,
        given.form,
        release(given.vllm or installed() or TARGET),
        given.group,
        given.stream_layers,
    )
    said = Progress("reference", len(prompts))
    job = Job(out, origin_of(folder, choice, given.top, said.say), prompts, images)
    try:
        computed = record(job, lambda: _opened(folder, choice, given.threads, said), said.start)
    finally:
        said.end()
    end = "written" if computed else "whole already"
    as_served = f", as vLLM {choice.vllm} serves them" if choice.form == SERVED else ""
    tell(tr(f"{end}: {out} ({len(prompts)} prompts{as_served})") + "\n")
    return 0


def _opened(folder: Path, choice: Choice, threads: int | None, said: Progress) -> Opened:
    said.say(f"loading {folder.name}")
    return opened(folder, choice, threads or processors())


def prompts_of(text: str | None, images: Path) -> list[LogProbPrompt]:
    """The prompts that an option asks for: all, N of them, or those of a file; UsageProblem without their pictures."""
    number = text.isdecimal() if text else False
    try:
        path = PROMPTS if text is None or number else resolve_existing(text, "--prompts")
    except UsageProblem as absent:
        raise UsageProblem(f"{absent}; a number from 1 to {len(read_prompts(PROMPTS))}, or a file") from None
    if not is_folder(images):
        raise UsageProblem(f"--images: the folder {shown(images)!r} does not exist")
    rows = read_prompts(path)
    if text is not None and number:
        if not 1 <= int(text[:9]) <= len(rows):
            raise UsageProblem(
                f"--prompts: {shown(text, 40)} is not from 1 to {len(rows)}, the prompts of {shown(path)}"
            )
        rows = tuple(spread(rows, int(text)))
    require_pictures(path, rows, images)
    return list(rows)
