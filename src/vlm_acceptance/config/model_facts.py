"""Which keys of a profile are facts of one model: a profile of another model does not inherit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# key -> what is left out where the profile does not state it; '' where a default takes its place. A key stands for all
# below it. Bars, budgets and limits are facts, too: they were measured with this model.
FACTS: Mapping[str, str] = MappingProxyType(
    {
        "description": "",
        "model.path": "",
        "model.revision": "",
        "model.aliases": "",
        "model.control": "",
        "model.weights_bytes": "the size of the weights",
        "model.stop_token_ids": "the ends of answers in generation_config.json",
        "model.more_stop_token_ids": "",
        "model.special_tokens": "this model's own special tokens in texts",
        "model.video": "requests with a video",
        "model.thinking": "",
        "model.prompt_start": "the beginning of prompts with pictures",
        "model.template": "",
        "model.max_model_len": "requests at the context length",
        "model.max_pictures": "requests at the limit of pictures",
        "model.pictures": "the prompt tokens of pictures",
        "model_memory_gib": "the model's memory",
        "weight_load_s": "",
        "api.defaults": "",
        "api.structured_content": "what is read into a JSON schema",
        "api.tools": "calls of tools",
        "api.call_text": "",
        "api.reasoning": "reasoning apart from the answer",
        "offline.same_text": "",
        "latency.default": "latency budgets",
        "latency.categories": "",
        "latency.recorded": "",
        "load.budgets": "limits of the soak",
        "ladder.budgets": "",
        "ladder.baseline": "the recorded capacity",
        "capability.min_correct": "",
        "capability.calibrated": "",
        "capability.recorded": "",
        "capability.report_only": "",
        "capability.blind_max": "",
        "capability.golden_answers": "golden answers",
        "capability.long_similar_pictures": "",
        "capability.large_pictures": "",
        "challenge": "",
        "logprobs.baseline": "stored log probabilities",
        "logprobs.alarm": "",
        "logprobs.alarm_prompt": "",
        "logprobs.common_top": "",
        "logprobs.tie": "",
        "logprobs.steady": "",
        "logprobs.steady_prompt": "",
        "logprobs.batch_invariant": "",
        "mmmu.protocol": "",
        "mmmu.scorer": "",
        "mmmu.system_message": "",
        "mmmu.max_tokens": "",
        "mmmu.reference": "",
        "mmmu.min_correct": "",
        "mmmu.max_correct": "",
        "mmmu.sighted": "",
        "mmmu.known_answers": "",
        "mmmu.known_scores": "",
        "references": "published scores, so the MMMU run",
        "guide": "",
    }
)


def model_id(data: Any) -> str | None:
    """The id of the model in the data of a profile file; None without one."""
    model = data.get("model") if isinstance(data, dict) else None
    given = model.get("id") if isinstance(model, dict) else None
    return given if isinstance(given, str) else None


def is_fact(key: str) -> bool:
    """Whether a dotted key is a fact of the model, or stands below one."""
    return any(f"{key}.".startswith(f"{fact}.") for fact in FACTS)


def without_facts(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The data of a profile without its facts of a model, and the keys of FACTS that were left out."""
    kept: dict[str, Any] = dict(data)
    gone = [fact for fact in FACTS if _remove(kept, fact)]
    return kept, gone


def _remove(data: dict[str, Any], key: str) -> bool:
    name, _, rest = key.partition(".")
    if name not in data:
        return False
    if not rest:
        del data[name]
        return True
    if not isinstance(data[name], dict):
        return False
    below = dict(data[name])
    is_gone = _remove(below, rest)
    data[name] = below
    return is_gone


def left_out(missing: Iterable[str]) -> str:
    """What a run leaves out without these keys of FACTS, in words; '' if nothing."""
    return ", ".join(filter(None, (FACTS[key] for key in missing)))
