"""A reference by a class of transformers itself: prompts and pictures are those of the folder's processor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.logprobs import LogProbPrompt
from vlm_acceptance.reference.arithmetic import TYPES
from vlm_acceptance.reference.likeliest import likeliest
from vlm_acceptance.reference.loading import generation, loaded
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import FORMS, PromptForm
from vlm_acceptance.reference.prompts import opened_picture
from vlm_acceptance.reference.route import Answered, Asked, Tops

IDS = "input_ids"
MASK = "attention_mask"
TYPES_OF_TOKENS = "token_type_ids"


class ProcessorPrompts:
    """Prompts of a folder by its processor: chat template, placeholders and pictures are its own."""

    def __init__(self, folder: Path) -> None:
        self._processor = loaded("AutoProcessor", folder)
        if not hasattr(self._processor, "tokenizer"):
            raise UsageProblem(f"--model: {folder} has no processor of texts and pictures")

    def asked(
        self,
        prompt: LogProbPrompt,
        images: Path,
        form: PromptForm | None = None,
        pictures: PictureForm | None = None,
    ) -> Asked:
        """The prompt; UsageProblem for a fault, which only the own route can plant."""
        if any(form != PromptForm(name) for name in FORMS if form and form.form == name) or pictures not in (
            None,
            PictureForm(),
        ):
            raise UsageProblem("this model's prompts are its processor's: they cannot be changed on purpose")
        opened = tuple(opened_picture(images / name).convert("RGB") for name in prompt.pictures)
        user = [*({"type": "image", "image": one} for one in opened), {"type": "text", "text": prompt.prompt}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": user}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": prompt.system}]})
        made = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        values = dict(made)
        return Asked(prompt.id, tuple(values[IDS][0].tolist()), opened, prompt.max_tokens, values)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer, without special tokens."""
        return str(self._processor.tokenizer.decode(list(tokens), skip_special_tokens=True))


class NativeRoute:
    """A Route over a folder that AutoModelForImageTextToText loads; prompts are computed one after another."""

    def __init__(self, folder: Path, *, arithmetic: str = "float32") -> None:
        self._type = TYPES[arithmetic]
        self._model = loaded("AutoModelForImageTextToText", folder, self._type)
        ends = self._model.generation_config.eos_token_id
        if ends is None:
            ends = self._model.config.get_text_config().eos_token_id
        self._ends = [ends] if isinstance(ends, int) else list(ends or ())

    def answer(self, asked: Sequence[Asked], top: int) -> list[Answered]:
        """Greedy answers, each to the token that ends it or to its limit."""
        return [self._answered(each, top) for each in asked]

    def score(self, asked: Sequence[Asked], answers: Sequence[Sequence[int]], top: int) -> list[Tops]:
        """The `top` likeliest at each place of given answers, and the given token itself, teacher-forced."""
        found: list[Tops] = []
        with torch.inference_mode():
            for each, tokens in zip(asked, answers, strict=True):
                logits = self._model(**self._inputs(each, tokens[:-1]), use_cache=False).logits[0]
                found.append(likeliest(logits[-len(tokens) :], top, tokens))
        return found

    def _answered(self, asked: Asked, top: int) -> Answered:
        greedy = generation(
            do_sample=False,
            max_new_tokens=asked.max_tokens,
            eos_token_id=self._ends or None,
            pad_token_id=self._ends[0] if self._ends else 0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        with torch.inference_mode():
            made = self._model.generate(**self._inputs(asked, ()), generation_config=greedy)
        tokens = made.sequences[0, -len(made.logits) :].tolist()
        return Answered(tuple(tokens), likeliest(torch.cat(list(made.logits)), top))

    def _inputs(self, asked: Asked, more: Sequence[int]) -> dict[str, Any]:
        """What the processor made, with further tokens behind the prompt, and pictures in the model's arithmetic."""
        found = {name: self._typed(value) for name, value in asked.extra.items() if self._takes(name)}
        if more:
            size = asked.extra[IDS].shape
            tail = torch.tensor([list(more)])
            found = {name: _longer(name, value, tail, size) for name, value in found.items()}
        return found

    def _takes(self, name: str) -> bool:
        """Tokenizers make token types for models that know none."""
        return name != TYPES_OF_TOKENS or name in inspect.signature(self._model.forward).parameters

    def _typed(self, value: Any) -> Any:
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(self._type) if is_float else value


def _longer(name: str, value: Any, tail: Tensor, size: torch.Size) -> Any:
    """A value with as many places more as `tail` has tokens, if it has one for each token of the prompt."""
    if not isinstance(value, Tensor) or value.shape != size:
        return value
    ends: Mapping[str, Tensor] = {IDS: tail, MASK: torch.ones_like(tail)}
    return torch.cat([value, ends.get(name, torch.zeros_like(tail)).to(value.dtype)], 1)
