"""Records a reference: greedy answers to prompts, with the likeliest tokens at each place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.logprobs import DIGITS, LogProbPrompt, LogProbs, StoredLogProbs, line_of
from vlm_acceptance.core.reference import Origin, PromptDistance
from vlm_acceptance.reference.checkpoint import file_hash
from vlm_acceptance.reference.distance import distance
from vlm_acceptance.reference.growing_file import GrowingFile
from vlm_acceptance.reference.progress import Progress
from vlm_acceptance.reference.prompt_form import PromptForm
from vlm_acceptance.reference.route import Answered, Asked, Tops
from vlm_acceptance.reference.routes import Opened, other_form

SHORTEST_RUN = 4
FLOAT16 = "float16"


@dataclass(frozen=True, slots=True)
class Job:
    """What is recorded, and where."""

    out: Path
    origin: Origin
    prompts: Sequence[LogProbPrompt]
    images: Path


def record(job: Job, opened: Callable[[], Opened], progress: Callable[[int], Progress]) -> bool:
    """Compute what the file lacks; False when it was whole already. `opened` loads the model, only if it is needed."""
    with GrowingFile(job.out, job.origin, job.prompts) as file:
        if file.is_whole:
            return False
        model, shown = opened(), progress(file.rows)
        while not file.is_whole:
            group = job.prompts[file.rows : file.rows + job.origin.group]
            file.append(rows_of(job, group, model))
            shown(file.rows)
        shown.end()
    return True


def rows_of(job: Job, group: Sequence[LogProbPrompt], model: Opened) -> list[str]:
    """The lines of prompts that are computed together."""
    form, other = PromptForm(job.origin.form), PromptForm(other_form(job.origin.form))
    asked = [model.asks.asked(prompt, job.images, form) for prompt in group]
    answers = model.route.answer(asked, job.origin.top)
    _require_numbers(job.origin.arithmetic, {one.id: answer.top for one, answer in zip(asked, answers, strict=True)})
    others = [model.asks.asked(prompt, job.images, other) for prompt in group]
    far = _in_other_form(job, model, asked, others, answers)
    return [
        _line(job, prompt, one, answer, model.asks.text(answer.tokens), far.get(prompt.id))
        for prompt, one, answer in zip(group, asked, answers, strict=True)
    ]


def _require_numbers(arithmetic: str, found: Mapping[str, Tops]) -> None:
    """UsageProblem for a log probability that is no number: sums beyond 65,504 are infinite in float16."""
    for name, tops in found.items():
        if all(math.isfinite(nats) for listed in tops for nats in listed.values()):
            continue
        if arithmetic == FLOAT16:
            raise UsageProblem(
                f"prompt {shown(name, 60)}: float16 overflows in this model; take --arithmetic bfloat16 or float32"
            )
        raise UsageProblem(
            f"prompt {shown(name, 60)}: the log probabilities are no numbers in {arithmetic}; "
            "the checkpoint may be damaged"
        )


def _in_other_form(
    job: Job, model: Opened, asked: Sequence[Asked], others: Sequence[Asked], answers: Sequence[Answered]
) -> dict[str, PromptDistance]:
    """The distance of each answer when the prompt has the other form; prompts that do not differ are left out."""
    route = model.other_route or model.route
    rows = [
        (other, answer)
        for one, other, answer in zip(asked, others, answers, strict=True)
        if model.other_route is not None or one.tokens != other.tokens
    ]
    if not rows:
        return {}
    given = [answer.tokens for _, answer in rows]
    scored: list[Tops] = route.score([other for other, _ in rows], given, job.origin.top)
    _require_numbers(job.origin.arithmetic, {other.id: tops for (other, _), tops in zip(rows, scored, strict=True)})
    return {
        other.id: distance(answer.tokens, answer.top, tops) for (other, answer), tops in zip(rows, scored, strict=True)
    }


def _line(
    job: Job, prompt: LogProbPrompt, asked: Asked, answer: Answered, text: str, far: PromptDistance | None
) -> str:
    more: dict[str, Any] = {
        "prompt_tokens": run_lengths(asked.tokens),
        "picture_sha256": [file_hash(job.images / name) for name in prompt.pictures],
    }
    if far is not None:
        more["other_form"] = {"form": other_form(job.origin.form), **_means(far)}
    return line_of(StoredLogProbs(prompt, LogProbs(text, answer.tokens, answer.top)), more)


def _means(far: PromptDistance) -> dict[str, float]:
    """Means of a distance, in nats; `common` is the share of tokens in both lists."""
    return {
        "shift": round(far.shift / max(1, far.listed), DIGITS),
        "largest": round(far.largest, DIGITS),
        "common": round(far.listed / max(1, far.possible), DIGITS),
        "chosen": round(far.chosen / max(1, far.tokens), DIGITS),
    }


def run_lengths(tokens: Sequence[int]) -> list[int | list[int]]:
    """Token ids, a run of the same id as [id, length]."""
    found: list[int | list[int]] = []
    place = 0
    while place < len(tokens):
        end = place
        while end < len(tokens) and tokens[end] == tokens[place]:
            end += 1
        run = end - place
        found += [[tokens[place], run]] if run >= SHORTEST_RUN else list(tokens[place:end])
        place = end
    return found
