"""Data: owners of the faults of what clients send, by family. See owners.py."""

from __future__ import annotations

from check_ids import (
    KINDS_TRANSPARENT,
    LONG_PROMPTS,
    LOW_LOAD,
    PARTS,
    PREEMPTED,
    RISING,
    SHRANK,
    TEMPLATE,
    TURN_TILES,
    TURNS,
    WHOLE_CONVERSATION,
)
from owners_tools import REASONING, TOOLS, UNOFFERED_TOOLS

# the engine gets another conversation than the client sent
CONVERSATION: dict[str, tuple[str, ...]] = {
    "history-lost": (*PARTS, *TURNS),
    "history-lost-streamed": (PARTS[1], TURNS[1]),
    "history-cut": PARTS,
    "answers-lost": PARTS,
    "question-repeated": PARTS,
    "system-lost": PARTS,
    "turns-swapped": TEMPLATE,
    "roles-swapped": TEMPLATE,
    "second-text-lost": PARTS,
    "earlier-picture-lost": (*TURNS, *TURN_TILES),
    "earlier-picture-squared": TURN_TILES,
    "pictures-moved": TURN_TILES,
}

# whole conversations and long prompts are counted, but not attended to
DIALOGUES: dict[str, tuple[str, ...]] = {
    "history-unattended": (WHOLE_CONVERSATION,),
    "system-unattended": (WHOLE_CONVERSATION,),
    "long-beginning-unattended": LONG_PROMPTS,
    "long-middle-unattended": LONG_PROMPTS,
    "long-picture-unattended": LONG_PROMPTS,
    "long-garbage": LONG_PROMPTS,
}


def _both(test: str) -> tuple[str, ...]:
    """A test of the parameters, streamed and not."""
    name, _, parameter = test.partition(" ")
    before = f"{parameter}-" if parameter else ""
    return tuple(f"parameters::test_{name}[{before}{way}]" for way in ("plain", "streamed"))


# one parameter of requests is not obeyed
PARAMETERS: dict[str, tuple[str, ...]] = {
    "max-completion-tokens-ignored": _both("length max_completion_tokens"),
    "min-tokens-ignored": _both("length min_tokens"),
    "ignore-eos-ignored": _both("length ignore_eos"),
    "stop-token-ids-ignored": _both("stop_token"),
    "include-stop-str-in-output-ignored": _both("stop include_stop_str_in_output"),
    "top-k-ignored": _both("only_the_likeliest_tokens top_k"),
    "top-p-ignored": _both("only_the_likeliest_tokens top_p"),
    "min-p-ignored": _both("only_the_likeliest_tokens min_p"),
    "seed-ignored": _both("seed"),
    "presence-penalty-ignored": _both("penalty presence_penalty"),
    "frequency-penalty-ignored": _both("penalty frequency_penalty"),
    "repetition-penalty-ignored": _both("penalty repetition_penalty"),
    "logit-bias-ignored": _both("logit_bias"),
    "bad-words-ignored": _both("bad_words"),
    "allowed-token-ids-ignored": _both("allowed_token_ids"),
    "prompt-logprobs-ignored": (
        "parameters::test_prompt_logprobs[plain]",
        "parameters::test_prompt_logprobs_of_a_stream[streamed]",
    ),
    "return-tokens-as-token-ids-ignored": _both("tokens_by_id"),
    "return-token-ids-ignored": _both("token_ids"),
    "skip-special-tokens-ignored": _both("special_tokens"),
    "continue-final-message-ignored": _both("prompt_form continue_final_message"),
    "echo-ignored": _both("echo"),
    "truncate-prompt-tokens-ignored": _both("truncated_prompt"),
    "max-tokens-ignored-streamed": ("parameters::test_length[max_tokens-streamed]",),
    "stop-ignored-streamed": (
        "parameters::test_stop[stop-streamed]",
        "parameters::test_stop[stop-list-streamed]",
        "parameters::test_stop[stop-inside-token-streamed]",
    ),
    "top-k-ignored-streamed": ("parameters::test_only_the_likeliest_tokens[top_k-streamed]",),
    "seed-ignored-streamed": ("parameters::test_seed[streamed]",),
    "logit-bias-ignored-streamed": ("parameters::test_logit_bias[streamed]",),
    "n-ignored-streamed": ("parameters::test_choices[streamed]",),
    "presence-penalty-ignored-streamed": ("parameters::test_penalty[presence_penalty-streamed]",),
    "stop-as-string-ignored": _both("stop stop"),
    "stop-beyond-first-ignored": _both("stop stop-list"),
    "stop-after-token": _both("stop stop-inside-token"),
    "seed-fixed": _both("seed"),
    "temperature-capped": _both("temperature"),
    "temperature-hidden": _both("default_temperature"),
    "repetition-penalty-hidden": _both("no_hidden_defaults"),
    "top-k-hidden": _both("no_hidden_defaults_of_sampling"),
    "choices-copied": ("parameters::test_choices[plain]",),
    "top-logprobs-fixed": _both("log_probabilities top_logprobs"),
    "logprobs-alone-ignored": _both("log_probabilities logprobs"),
    "logprobs-always": _both("log_probabilities logprobs-off"),
    "chunk-usage-ignored": ("parameters::test_usage_of_each_chunk[streamed]",),
    "generation-prompt-added": _both("prompt_form add_generation_prompt"),
    "cached-beyond-prompt": _both("cached_tokens"),
    "add-special-tokens-ignored": _both("prompt_form add_special_tokens"),
    "logit-bias-outside-accepted": ("parameters::test_wrong_value_is_refused[logit_bias-outside]",),
}

# requests are not kept apart, or not served in their order
URGENT = "scheduling::test_urgent_request_is_served_first"
SCHEDULING: dict[str, tuple[str, ...]] = {
    "cache-salt-ignored": tuple(f"scheduling::test_cache_salt[{way}]" for way in ("plain", "streamed")),
    "priority-ignored": (URGENT,),
    "priority-error": ("scheduling::test_priority_that_is_not_scheduled_is_survived",),
}
# those that need an engine that schedules by priority
PRIORITY = frozenset({"priority-ignored"})

# structured output is broken
_OBEYED = {
    name: f"structured_output::test_constraint_is_obeyed[{name}]"
    for name in ("json_object", "json_schema", "json", "regex", "choice", "grammar")
}
_JSON = (_OBEYED["json_object"], _OBEYED["json_schema"], _OBEYED["json"])
_CHOICE, _IN_A_SCHEMA, _BESIDE = (
    f"structured_output::test_{name}"
    for name in (
        "picture_decides_the_choice",
        "picture_is_described_in_a_schema",
        "free_answers_beside_a_burst_of_schemas",
    )
)
_BAD = tuple(
    f"structured_output::test_bad_constraint_is_refused[{name}]"
    for name in (
        "type-of-no-schema",
        "schema-is-a-text",
        "json-is-no-schema",
        "regex-not-closed",
        "grammar-without-a-rule",
        "choice-of-nothing",
        "two-constraints",
    )
)
UNOFFERED = tuple(f"structured_output::test_constraint_that_is_not_offered_is_survived[{name}]" for name in _OBEYED)
_RARE = tuple(
    f"structured_output::test_rare_constraint_is_survived[{name}]"
    for name in ("regex-with-an-empty-branch", "grammar-with-a-root-twice")
)
_GUIDED = {
    name: f"structured_output::test_guided_form[{name}]"
    for name in ("guided_json", "guided_regex", "guided_choice", "guided_grammar")
}
STRUCTURED: dict[str, tuple[str, ...]] = {
    "json-object-ignored": (_OBEYED["json_object"],),
    "json-schema-ignored": (_OBEYED["json_schema"], _IN_A_SCHEMA, _BESIDE),
    "structured-json-ignored": (_OBEYED["json"],),
    "structured-choice-ignored": (_OBEYED["choice"],),
    "structured-regex-ignored": (_OBEYED["regex"],),
    "structured-grammar-ignored": (_OBEYED["grammar"],),
    "structured-ignored-streamed": tuple(_OBEYED.values()),
    "structured-ignored-picture": (_IN_A_SCHEMA,),
    "structured-picture-unseen": (_IN_A_SCHEMA,),
    "structured-enum-ignored": (_OBEYED["json_schema"], _OBEYED["json"]),
    "structured-bounds-ignored": (_OBEYED["json_schema"], _OBEYED["json"]),
    "structured-first-choice": (_CHOICE,),
    # the control ends no JSON of a free form
    "structured-brace-lost": _JSON[1:],
    "structured-fenced": _JSON,
    "structured-never-ends": tuple(owner for name, owner in _OBEYED.items() if name != "json_object"),
    "bad-constraint-accepted": _BAD,
    "bad-constraint-error": _BAD,
    "bad-constraint-ends-engine": _BAD,
    "rare-constraint-ends-engine": _RARE,
    "schemas-mixed-up": (_BESIDE,),
    **{f"guided-{name.removeprefix('guided_')}-ignored": (test,) for name, test in _GUIDED.items()},
    "guided-error": tuple(_GUIDED.values()),
    "free-beside-schemas": (_BESIDE,),
}

# a route beside chat is broken
_COMPLETIONS, _CUT, _STOP, _RESPONSES, _INCOMPLETE = (
    tuple(f"routes::test_{name}[{form}]" for form in ("plain", "streamed"))
    for name in (
        "completions_answer_like_chat",
        "completions_are_cut",
        "completions_stop",
        "responses_answer_like_chat",
        "responses_are_cut",
    )
)
_ECHO, _CHOICES, _TOKENS, _OPENAI_COMPLETIONS, _OPENAI_RESPONSES = (
    f"routes::test_{name}"
    for name in (
        "completions_echo",
        "completions_give_choices_and_logprobs",
        "tokens_give_the_text_back",
        "openai_client_reads_completions",
        "openai_client_reads_responses",
    )
)
_SEEN = "routes::test_responses_see_a_picture"
_WRONG = tuple(
    f"routes::test_wrong_request_is_refused[{name}]"
    for name in (
        "completions-prompt-missing",
        "completions-wrong-type",
        "completions-wrong-model",
        "responses-input-missing",
        "responses-wrong-type",
        "responses-wrong-model",
        "detokenize-wrong-type",
    )
)
CARD = "routes::test_model_has_a_card"
# checks that read streams by the suite's own client
STREAM_READERS = (_COMPLETIONS[1], _CUT[1], _STOP[1], _RESPONSES[1], _INCOMPLETE[1], *_OBEYED.values(), _IN_A_SCHEMA)
ROUTES: dict[str, tuple[str, ...]] = {
    "completions-missing": (*_COMPLETIONS, *_CUT, _ECHO),
    "completions-error": (*_COMPLETIONS, *_CUT, _ECHO),
    "completions-tokens-lost": _COMPLETIONS,
    "completions-other-text": _COMPLETIONS,
    "completions-piece-lost": (_COMPLETIONS[1], _OPENAI_COMPLETIONS),
    "completions-done-missing": (_COMPLETIONS[1],),
    "completions-limit": _CUT,
    "completions-stop": _STOP,
    "completions-echo": (_ECHO,),
    "completions-n": (_CHOICES,),
    "completions-logprobs": (_CHOICES,),
    "responses-missing": (*_RESPONSES, *_INCOMPLETE),
    "responses-error": (*_RESPONSES, *_INCOMPLETE),
    "responses-other-text": _RESPONSES,
    "responses-piece-lost": (_RESPONSES[1], _OPENAI_RESPONSES),
    "responses-picture-lost": (_SEEN,),
    "responses-limit": _INCOMPLETE,
    "responses-complete": _INCOMPLETE,
    "tokenize-missing": (_TOKENS,),
    "tokenize-other-ids": (_TOKENS,),
    "tokenize-miscounts": (_TOKENS,),
    "detokenize-missing": (_TOKENS,),
    "detokenize-character-lost": (_TOKENS,),
    "routes-accept-wrong": _WRONG,
    "routes-wrong-is-error": _WRONG,
    "chat-ids-in-stream": ("schema::test_openai_client_round_trip",),
    "completions-ids-in-stream": (_OPENAI_COMPLETIONS,),
}

# a kind or size of picture files is broken
KINDS_PNG, KINDS_JPEG, KINDS_OTHER, KINDS_TURNED, KINDS_ANIMATED = (
    f"uploads::test_picture_kinds[{group}]" for group in ("png", "jpeg", "other", "turned", "animated")
)
LARGE_UPLOADS = tuple(f"uploads::test_large_upload[{megabytes}]" for megabytes in (2, 8))
BETWEEN = "uploads::test_pictures_between_texts"
UPLOADS: dict[str, tuple[str, ...]] = {
    "body-limited-1-mb": LARGE_UPLOADS,
    "body-limited-4-mb": LARGE_UPLOADS[1:],
    "large-upload-shrunk": LARGE_UPLOADS,
    "cmyk-500": (KINDS_JPEG, KINDS_OTHER),
    "gif-500": (KINDS_OTHER, KINDS_TRANSPARENT, KINDS_ANIMATED),
    "bmp-500": (KINDS_OTHER,),
    "tiff-500": (KINDS_OTHER,),
    "webp-500": (KINDS_OTHER, KINDS_TRANSPARENT, KINDS_ANIMATED),
    "one-bit-500": (KINDS_PNG,),
    "grey-alpha-500": (KINDS_TRANSPARENT,),
    "transparent-on-black": (KINDS_TRANSPARENT,),
    "turn-ignored": (KINDS_TURNED,),
    "last-frame": (KINDS_ANIMATED,),
    "palette-swapped": (KINDS_PNG,),
    "cmyk-inverted": (KINDS_JPEG, KINDS_OTHER),
    "gif-of-previous": (KINDS_OTHER,),
    "later-pictures-lost": (BETWEEN,),
}

# clients that leave, or come late, are treated wrongly
LEFT_EARLY, LEFT_UNSTREAMED, LEFT_WAITING, LEFT_PICTURES, IDLE = (
    f"leaving::test_{name}"
    for name in (
        "leaver_before_the_first_token_frees_its_slot",
        "leaver_without_a_stream_frees_its_slot",
        "waiting_leaver_frees_its_place",
        "pictures_of_leavers_are_answered",
        "first_request_after_an_idle_spell",
    )
)
LEAVING: dict[str, tuple[str, ...]] = {
    "left-unstreamed-kept": (LEFT_UNSTREAMED,),
    "left-waiting-kept": (LEFT_WAITING,),
    "left-long-prompt-kept": (LEFT_EARLY,),
    "left-picture-poisons": (LEFT_PICTURES, "refused_pictures::test_left_picture_is_no_poison"),
    "left-answer-given": (LEFT_PICTURES,),
    "idle-first-503": (IDLE,),
    "idle-first-reset": (IDLE,),
}

# the deployment holds less load, or mixes up preempted requests
CAPACITY: dict[str, tuple[str, ...]] = {
    "fails-under-load": (RISING,),
    "answers-cut-under-load": (RISING,),
    "prompts-cut-under-load": (RISING,),
    "one-at-a-time": (SHRANK,),
    "slower-than-recorded": (SHRANK,),
    "too-slow-alone": (LOW_LOAD,),
    "preempted-swapped": (PREEMPTED,),
    "preempted-cut": (PREEMPTED,),
}
# what makes a judgement impossible: the owners must be errors, never a pass
UNPROVEN: dict[str, tuple[str, ...]] = {"preemptions-uncounted": (PREEMPTED,)}
# those that need an engine with a small cache
PREEMPTING = frozenset({"preempted-swapped", "preempted-cut", "preemptions-uncounted"})
# those that need a recorded capacity, or narrow budgets
LADDER = frozenset({"one-at-a-time", "slower-than-recorded", "too-slow-alone"})

WIRE_OF_CLIENTS = {
    **CONVERSATION,
    **DIALOGUES,
    **PARAMETERS,
    **SCHEDULING,
    **STRUCTURED,
    **TOOLS,
    **ROUTES,
    **UPLOADS,
    **LEAVING,
    **CAPACITY,
}

# behind stand-ins: what no engine here offers
ENDING = "release::test_ending_engine_gives_no_half_answer"
PROCESS_OF_CLIENTS: dict[str, tuple[str, ...]] = {
    "halves-at-the-end": (ENDING,),
    "model-card-of-another": (CARD,),
    "model-card-missing": (CARD,),
    "unoffered-constraint-error": UNOFFERED,
    **dict.fromkeys(("unoffered-tools-error", "unoffered-tools-marked"), UNOFFERED_TOOLS),
    **REASONING,
}
