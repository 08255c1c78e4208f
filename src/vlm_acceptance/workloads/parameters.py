"""Which requests show that each parameter of the chat API has its effect."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vlm_acceptance.client.chat import chat_body, user_message
from vlm_acceptance.core.spelling import PARAMS

STORY = "Tell a short story about a lighthouse."
SHORT = "Reply with OK."
WAYS = ("plain", "streamed")
# an assistant's message that goes on
STARTED = "The colour is"
PIECES: Sequence[Mapping[str, Any]] = (
    user_message("What colour is the sky?"),
    {"role": "assistant", "content": STARTED},
)
STREAM: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
# what a request that names nothing gets, if the served folder declares no defaults
NEUTRAL: Mapping[str, Any] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
TOKENS: Mapping[str, Any] = {"logprobs": True, "top_logprobs": 5, "return_tokens_as_token_ids": True}
# more than a block of the caches of prompts has
REPEATED = "A lighthouse stands on a rock and shines over the sea. " * 16 + STORY
# each parameter left out
UNNAMED: Mapping[str, Any] = dict.fromkeys(NEUTRAL)
# by the texts of tokens, which stop strings cut
WHOLE: Mapping[str, Any] = {"max_tokens": 24, "return_tokens_as_token_ids": None, **PARAMS}
HOT = 1.5
# long enough that chance does not give the same text again
SAMPLED: Mapping[str, Any] = {"temperature": HOT, "max_tokens": 24, "ignore_eos": True}
# of the alternatives to a token, as many as the API documents
MOST_LISTED = 20
LONG: Mapping[str, Any] = {"max_tokens": 48, "ignore_eos": True}
LEAST, MOST = 40, 44
OUTSIDE = 999_999_999


def body(model: str, prompt: str, without: Collection[str], way: str, **fields: Any) -> dict[str, Any]:
    """A chat request with neutral values for what it does not name; a field that is None is not sent.

    What the endpoint does not take is left out.
    """
    streamed = STREAM if way == "streamed" else {}
    all_fields = {**chat_body(model, prompt), **NEUTRAL, **TOKENS, **streamed, **fields}
    return {key: value for key, value in all_fields.items() if value is not None and key not in without}


def sent(fields: Mapping[str, Any]) -> str:
    """The fields that are sent, for a reader."""
    return ", ".join(f"{name} {value!r}" for name, value in fields.items() if value is not None)


# name -> fields, the fewest and the most tokens of the answer, finish_reason
LENGTHS: Mapping[str, tuple[Mapping[str, Any], int, int, str | None]] = {
    "max_tokens": ({"max_tokens": 3}, 3, 3, "length"),
    "max_completion_tokens": ({"max_tokens": None, "max_completion_tokens": 3}, 3, 3, "length"),
    "min_tokens": ({"min_tokens": LEAST, "max_tokens": MOST}, LEAST, MOST, None),
    "ignore_eos": ({"ignore_eos": True, "max_tokens": LEAST}, LEAST, LEAST, "length"),
}
# at a high temperature, each makes every token the likeliest one
NARROW: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"temperature": 0.0},
    "top_k": {"top_k": 1},
    "top_p": {"top_p": 0.0001},
    "min_p": {"min_p": 1.0},
}
PENALTIES: Mapping[str, Mapping[str, Any]] = {
    "presence_penalty": {"presence_penalty": 2.0},
    "frequency_penalty": {"frequency_penalty": 2.0},
    "repetition_penalty": {"repetition_penalty": 100.0},
}
# fields, and how many alternatives each token has then; None: no log probabilities
LISTED: Mapping[str, tuple[Mapping[str, Any], int | None]] = {
    "logprobs": ({"top_logprobs": None}, 0),
    "top_logprobs": ({"top_logprobs": 3}, 3),
    "logprobs-off": ({"logprobs": None, "top_logprobs": None, "return_tokens_as_token_ids": None}, None),
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    "add_generation_prompt": {"add_generation_prompt": False},
    "continue_final_message": {"add_generation_prompt": False, "continue_final_message": True},
    "add_special_tokens": {"add_special_tokens": True},
}
STOPS = ("stop", "stop-list", "stop-inside-token", "include_stop_str_in_output")
WRONG: Mapping[str, Mapping[str, Any]] = {
    "logit_bias-outside": {"logit_bias": {str(OUTSIDE): 1.0}},
    "logit_bias-no-id": {"logit_bias": {"word": 1.0}},
    "logit_bias-wrong-type": {"logit_bias": [1, 2]},
    "allowed_token_ids-outside": {"allowed_token_ids": [OUTSIDE]},
    "allowed_token_ids-empty": {"allowed_token_ids": []},
    "stop_token_ids-outside": {"stop_token_ids": [OUTSIDE], "min_tokens": 1},
    "stop_token_ids-wrong-type": {"stop_token_ids": "end"},
    "bad_words-wrong-type": {"bad_words": 7},
    "stop-wrong-type": {"stop": 7},
    "stop-empty": {"stop": [""]},
    "min_tokens-above-max": {"min_tokens": 9, "max_tokens": 3},
    "min_tokens-negative": {"min_tokens": -1},
    "max_tokens-zero": {"max_tokens": 0},
    "max_completion_tokens-wrong-type": {"max_completion_tokens": "few"},
    "n-zero": {"n": 0},
    "seed-wrong-type": {"seed": "today"},
    "top_k-wrong-type": {"top_k": "few"},
    "top_k-negative": {"top_k": -5},
    "top_p-negative": {"top_p": -0.5},
    "min_p-above-one": {"min_p": 2.0},
    "presence_penalty-too-large": {"presence_penalty": 3.0},
    "frequency_penalty-too-large": {"frequency_penalty": 3.0},
    "repetition_penalty-negative": {"repetition_penalty": -1.0},
    "top_logprobs-too-many": {"logprobs": True, "top_logprobs": 1000},
    "top_logprobs-without-logprobs": {"logprobs": False, "top_logprobs": 5},
    "prompt_logprobs-negative": {"prompt_logprobs": -5},
    "truncate_prompt_tokens-wrong-type": {"truncate_prompt_tokens": "few"},
}
