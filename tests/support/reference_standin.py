"""A made-up model for tests of recording: fixed answers, and as a program a slow recorder that can be killed.

python -m tests.support.reference_standin OUT SECONDS_A_GROUP
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.runs import ROOT
from vlm_acceptance.core.logprobs import LogProbPrompt, read_prompts
from vlm_acceptance.core.reference import Origin
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.progress import Progress
from vlm_acceptance.reference.prompt_form import PUBLISHED, PromptForm
from vlm_acceptance.reference.record import Job, record
from vlm_acceptance.reference.route import Answered, Asked, Tops
from vlm_acceptance.reference.routes import Opened

IMAGES = ROOT / "fixtures" / "images"
PROMPTS = read_prompts(ROOT / "fixtures" / "baselines" / "prompts.jsonl")
GROUP = 4


class Model:
    """Answers that depend on the prompt's tokens alone, and their prompts: the bytes of the text."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.groups: list[list[str]] = []

    def asked(
        self,
        prompt: LogProbPrompt,
        images: Path,
        form: PromptForm | None = None,
        pictures: PictureForm | None = None,
    ) -> Asked:
        start = [1] if form and form.form == PUBLISHED and prompt.pictures else [1, 1]
        return Asked(prompt.id, (*start, *prompt.prompt.encode()), (), prompt.max_tokens)

    def text(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))

    def answer(self, asked: Sequence[Asked], top: int) -> list[Answered]:
        time.sleep(self.seconds)
        self.groups.append([each.id for each in asked])
        answers = [tuple(hashlib.sha256(bytes(each.tokens)).digest()[:6]) for each in asked]
        return [Answered(tokens, tops) for tokens, tops in zip(answers, self.score(asked, answers, top), strict=True)]

    def score(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]], top: int) -> list[Tops]:
        """The chosen token first; all nats move with the length of the prompt."""
        return [
            tuple({token + 300 * n: -0.01 * len(each.tokens) - n for n in range(top)} for token in tokens)
            for each, tokens in zip(asked, answers, strict=True)
        ]


def origin(**changed: object) -> Origin:
    """The origin of a made-up reference."""
    values: dict[str, object] = {
        "model": "made-up",
        "files": {"config.json": "a" * 64},
        "code": "c" * 64,
        "route": "own",
        "arithmetic": "float32",
        "form": "served",
        "top": 5,
        "versions": {"torch": "2.13.0"},
        "group": GROUP,
    }
    return Origin(**{**values, **changed})  # type: ignore[arg-type]


def recorded(
    out: Path, count: int = 10, model: Model | None = None, images: Path = IMAGES, **changed: object
) -> tuple[bool, Model]:
    """Record the first prompts; whether anything was computed, and the model that did."""
    model = model or Model()
    job = Job(out, origin(**changed), PROMPTS[:count], images)
    return record(job, lambda: Opened(model, model), Progress("reference", count).start), model


if __name__ == "__main__":
    recorded(Path(sys.argv[1]), len(PROMPTS), Model(float(sys.argv[2])))
