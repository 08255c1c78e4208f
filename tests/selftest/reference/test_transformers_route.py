"""The second route agrees with the first, and what neither of them computes is said in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.runs import ROOT

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.logprobs import LogProbPrompt, read_prompts
from vlm_acceptance.stats.spread import spread

pytest.importorskip("torch")

import torch
from tests.support.native_folder import native_folder
from tests.support.transformers_folder import transformers_folder

from vlm_acceptance.reference.distance import added, distance
from vlm_acceptance.reference.native_route import IDS, NativeRoute, ProcessorPrompts
from vlm_acceptance.reference.open_route import opened
from vlm_acceptance.reference.own import OwnRoute
from vlm_acceptance.reference.picture_form import PictureForm
from vlm_acceptance.reference.prompt_form import PUBLISHED, PromptForm
from vlm_acceptance.reference.prompts import Prompter
from vlm_acceptance.reference.route import Answered, Asked, Route, Tops
from vlm_acceptance.reference.routes import Choice
from vlm_acceptance.reference.transformers_route import TransformersRoute

IMAGES = ROOT / "fixtures" / "images"
PROMPTS = read_prompts(ROOT / "fixtures" / "baselines" / "prompts.jsonl")
TOP = 20
AGREE = 1e-4  # nats in the mean
SERVED = Choice("transformers", vllm="0.18.0")


@pytest.fixture(scope="module", params=["control", "control_spm"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control with Hugging Face code beside its weights."""
    return transformers_folder(tmp_path_factory.mktemp("hf") / request.param, request.param)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up model that transformers itself has a class for."""
    return native_folder(tmp_path_factory.mktemp("native"), ROOT / "fixtures" / "control" / "model")


def mean_distance(answers: Sequence[Answered], tops: Sequence[Tops]) -> float:
    rows = [distance(one.tokens, one.top, top) for one, top in zip(answers, tops, strict=True)]
    together = added(rows)
    assert together.listed > together.possible * 0.99
    return together.shift / together.listed


def asked_of(route: Any, folder: Path, count: int) -> list[Asked]:
    prompter = Prompter(folder, route if hasattr(route, "rule") else route.shape)
    return [prompter.asked(prompt, IMAGES) for prompt in spread(PROMPTS, count)]


def test_both_routes_give_the_same_answers(folder: Path) -> None:
    second = TransformersRoute(folder)
    first = OwnRoute(folder)
    assert second.rule == first.shape.rule
    asked = asked_of(second, folder, 5)
    answers, others = first.answer(asked, TOP), second.answer(asked, TOP)
    assert [one.tokens for one in others] == [one.tokens for one in answers]
    assert mean_distance(answers, [one.top for one in others]) <= AGREE


def test_given_answers_are_scored_as_they_were_given(folder: Path) -> None:
    route: Route = TransformersRoute(folder)
    asked = asked_of(route, folder, 3)
    answers = route.answer(asked, TOP)
    assert mean_distance(answers, route.score(asked, [one.tokens for one in answers], TOP)) <= AGREE


def test_an_unlikely_answer_is_scored_too() -> None:
    folder = ROOT / "fixtures" / "control" / "model"
    route = OwnRoute(folder)
    asked = asked_of(route, folder, 1)
    given = tuple(range(40, 46))
    (tops,) = route.score(asked, [given], 5)
    assert all(token in listed for token, listed in zip(given, tops))
    assert {len(listed) for listed in tops} <= {5, 6}
    assert any(len(listed) == 6 for listed in tops)


def test_the_folders_code_is_opened_by_its_route(folder: Path) -> None:
    model = opened(folder, SERVED, threads=1)
    assert isinstance(model.route, TransformersRoute)
    assert model.other_route is None
    assert model.asks.text((4,)) == ""


def test_a_folder_without_code_is_one_line() -> None:
    with pytest.raises(UsageProblem, match="names no code for AutoModel"):
        opened(ROOT / "fixtures" / "control" / "model", SERVED, threads=1)


def test_a_folder_whose_code_is_broken_is_one_line(tmp_path: Path) -> None:
    folder = transformers_folder(tmp_path / "broken_code")
    (folder / "modeling_internvl_chat.py").write_text("raise RuntimeError('first\\nsecond')\n", "utf-8")
    with pytest.raises(UsageProblem, match="cannot load .* as AutoModel: first second"):
        opened(folder, SERVED, threads=1)


def test_layers_are_not_streamed_by_transformers(folder: Path) -> None:
    with pytest.raises(UsageProblem, match="--stream-layers: only --route own"):
        opened(folder, Choice("transformers", vllm="0.18.0", stream_layers=True), threads=1)


def test_an_engine_with_another_rotary_embedding_is_not_claimed(tmp_path: Path) -> None:
    folder = dynamic(tmp_path / "dynamic")
    with pytest.raises(UsageProblem, match="take --form published, or --route own"):
        opened(folder, SERVED, threads=1)
    for choice in (Choice("transformers", vllm="0.32.0"), Choice("transformers", form=PUBLISHED, vllm="0.18.0")):
        assert isinstance(opened(folder, choice, threads=1).route, TransformersRoute)


def test_both_routes_scale_the_published_rotary_embedding_alike(tmp_path: Path) -> None:
    """Beyond the trained positions; as vLLM 0.18 scales it, the answers' figures are others."""
    folder = dynamic(tmp_path / "beyond", positions=64)
    second = TransformersRoute(folder)
    asked = [each for each in asked_of(second, folder, 12) if len(each.tokens) > 64][:2]
    assert len(asked) == 2
    answers = second.answer(asked, TOP)
    tokens = [one.tokens for one in answers]
    own = OwnRoute(folder, served=False)
    # one prefill each: a growing sequence would be scaled anew at each of its tokens
    assert mean_of(own.score(asked, tokens, TOP), second.score(asked, tokens, TOP), tokens) <= AGREE
    assert mean_of(OwnRoute(folder).score(asked, tokens, TOP), second.score(asked, tokens, TOP), tokens) > 0.01


def mean_of(known: Sequence[Tops], seen: Sequence[Tops], tokens: Sequence[Sequence[int]]) -> float:
    together = added(distance(given, one, two) for given, one, two in zip(tokens, known, seen, strict=True))
    return together.shift / together.listed


def dynamic(folder: Path, positions: int = 4096) -> Path:
    transformers_folder(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["llm_config"] |= {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": positions}
    path.write_text(json.dumps(config), "utf-8")
    return folder


def test_a_native_model_is_served_with_its_processors_prompts(native: Path) -> None:
    model = opened(native, SERVED, threads=1)
    prompts = [PROMPTS[0], LogProbPrompt("text", "Hi", system="Be brief.", max_tokens=7)]
    asked = [model.asks.asked(prompt, IMAGES) for prompt in prompts]
    assert model.asks.text(asked[1].tokens) == "system\nBe brief.\nuser\nHi\nassistant\n"
    answers = model.route.answer(asked, TOP)
    assert len(answers[1].tokens) == 7
    assert mean_distance(answers, model.route.score(asked, [one.tokens for one in answers], TOP)) <= AGREE


def test_a_native_answer_is_the_models_own_forward_pass(native: Path) -> None:
    route, prompts = NativeRoute(native), ProcessorPrompts(native)
    asked = prompts.asked(LogProbPrompt("sign", "What?", ("ocr/sign-1.png",), max_tokens=5), IMAGES)
    (answer,) = route.answer([asked], TOP)
    inputs = {**asked.extra, IDS: torch.tensor([[*asked.tokens, *answer.tokens]])}
    inputs["attention_mask"] = torch.ones_like(inputs[IDS])
    with torch.inference_mode():
        logits = route._model(**inputs).logits[0, len(asked.tokens) - 1 : -1]
    assert tuple(logits.argmax(-1).tolist()) == answer.tokens
    nats = logits.log_softmax(-1)
    for place, listed in enumerate(answer.top):
        assert all(abs(float(nats[place, token]) - value) < 1e-4 for token, value in listed.items())


@pytest.mark.parametrize(
    ("form", "pictures"),
    [(PromptForm(start=False), None), (PromptForm(system="x"), None), (None, PictureForm(thumbnail="none"))],
)
def test_faults_are_not_planted_in_a_processors_prompts(
    native: Path, form: PromptForm | None, pictures: PictureForm | None
) -> None:
    with pytest.raises(UsageProblem, match="cannot be changed on purpose"):
        ProcessorPrompts(native).asked(PROMPTS[0], IMAGES, form, pictures)
