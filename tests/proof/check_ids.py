"""Names of the checks that own faults, `area::test`: ids of tests/acceptance."""

from __future__ import annotations

TEXT, MODEL, HEALTH, PICTURE = (f"health::test_readiness[{stage}]" for stage in ("text", "model", "health", "picture"))
PORT, PROCESS_STAGE = (f"health::test_readiness[{stage}]" for stage in ("port", "process"))
RELEASED, DATA = "release::test_engine_is_released", "accuracy_data::test_mmmu_is_prepared"
VERSIONS, WEIGHTS = (f"environment::test_{name}" for name in ("versions_are_the_expected_ones", "weights_are_whole"))
BODY = "schema::test_completion_body"
STREAMS = ("schema::test_stream[usage-asked]", "schema::test_stream[usage-not-asked]")
STOP = "schema::test_stop_string_stops"
SAME = "schema::test_stream_says_the_same"
GOLDEN = "capability::test_golden_answers"
PARTS, TEMPLATE, TURNS, TURN_TILES = (
    tuple(f"conversation::test_{name}[{way}]" for way in ("plain", "streamed"))
    for name in (
        "every_part_reaches_the_model",
        "conversation_follows_its_template",
        "picture_of_every_turn_reaches_the_model",
        "tiles_of_every_turn_reach_the_model",
    )
)
WHOLE_CONVERSATION = "conversation::test_whole_conversation_is_answered"
LONG_PROMPTS = ("long_prompts::test_hidden_in_a_long_prompt", "long_prompts::test_hidden_in_longer_prompts[1024]")
# asked of control-long alone
LONGEST_PROMPT = "long_prompts::test_hidden_in_longer_prompts[3584]"
PROMPT = "schema::test_prompt_begins_as_it_must"
TILES = "capability::test_picture_costs_its_tiles"
OCR, CHART, CARD, CHINESE = (
    f"capability::test_category[{name}-png]" for name in ("ocr", "understanding", "reasoning", "chinese")
)
IN_CHINESE = tuple(
    f"capability::test_translated_question[{name}]" for name in ("ocr", "description", "understanding", "reasoning")
)
IN_ENGLISH = "capability::test_translated_question[chinese]"
REFUSED_MODEL = "schema::test_wrong_request_is_refused[wrong-model]"
KEYS = ("schema::test_wrong_key_is_refused[none]", "schema::test_wrong_key_is_refused[wrong]")
REFUSED_TYPE = "schema::test_wrong_request_is_refused[messages-wrong-type]"
NOT_JSON = "schema::test_malformed_json_is_refused"
SERVED_TILES = "environment::test_tiles_are_the_served_models"
VIDEO, VIDEO_TAKEN = "schema::test_video_is_refused", "schema::test_video_is_answered"
TRUNCATED, NOT_BASE64, WRONG_MIME = (
    f"edge_inputs::test_edge_input[{name}]" for name in ("png-truncated", "not-base64", "wrong-mime")
)
POISON, COUNTED = (f"refused_pictures::test_{name}_picture_is_no_poison" for name in ("refused", "counted"))
STOPS = "edge_inputs::test_short_answer_stops"
COMPLETE, EARLY, SHAPE, SCORE, BLANK_PICTURES, ANSWERS, TOKENS = (
    f"mmmu::test_{name}"
    for name in (
        "every_question_is_answered",
        "no_early_rejection",
        "answers_have_the_shape_of_a_models",
        "score_is_within_its_limits",
        "blank_pictures_score_lower",
        "answers_match_the_golden_ones",
        "pictures_arrive_tiled_as_intended",
    )
)
SIMILAR, LONG_SIMILAR, OTHER_PROMPT, ORDER, EDGE_SIZES, LIMIT, LADDER, LARGE, UUID, HUNT = (
    f"pictures::test_{name}"
    for name in (
        "similar_pictures",
        "long_similar_pictures_hit_the_caches",
        "other_prompt_right_after",
        "several_pictures_keep_their_order",
        "extreme_sizes",
        "limit_of_pictures",
        "many_sizes",
        "picture_near_the_pixel_limit",
        "uuid_with_other_bytes",
        "no_answer_is_swapped",
    )
)

KINDS_TRANSPARENT = "uploads::test_picture_kinds[transparent]"

MANY_TILES = tuple(
    f"large_pictures::test_category[{name}]" for name in ("ocr", "description", "understanding", "reasoning", "chinese")
)
MANY_LATENCY = "latency::test_large_pictures_are_within_budget"
MANY_SIMILAR, MANY_OFFLINE = (f"large_pictures::test_{name}" for name in ("similar_pictures", "offline_category"))

NEW_PICTURES, NEW_OFFLINE, NEW_TOKENS, SAME_BODY, SAME_TEXT, REPEATED = (
    f"challenge::test_{name}"
    for name in (
        "new_pictures",
        "offline_new_pictures",
        "tokens_follow_new_texts",
        "same_body_is_answered_anew",
        "same_text_about_other_pictures_is_answered_anew",
        "repeated_request_is_computed_again",
    )
)

BURST, LARGE_BURST, ALONE, DISCONNECTS, SOAK, BUDGETS, SLOWS = (
    f"load::test_{name}"
    for name in (
        "burst",
        "large_burst",
        "bad_request_stays_alone",
        "disconnected_client_frees_its_slot",
        "soak_is_answered",
        "soak_is_within_budgets",
        "soak_does_not_slow_down",
    )
)

RISING, LOW_LOAD, SHRANK, PREEMPTED = (
    f"capacity::test_{name}"
    for name in (
        "rising_load_is_answered",
        "budgets_hold_at_low_load",
        "capacity_did_not_shrink",
        "preempted_requests_keep_their_answers",
    )
)

LEAK, PAIRED = "load::test_soak_does_not_leak", "mmmu::test_not_worse_than_the_baseline"
GUIDE, FIGURES = "capability::test_guide_request", "health::test_engine_log_figures"
OFFLINE = (
    "offline::test_category[ocr]",
    MANY_OFFLINE,
    "offline::test_answers_like_the_server[ocr]",
    "logprobs::test_server_gives_the_logprobs_of_the_offline_engine",
)
OFFLINE_FIGURES = "offline::test_offline_engine_log_figures"
PORT_FREE = "environment::test_port_is_free"
INSTALLED, TORCH_NPU, DEVICE, IMAGE, LIMITS = (
    f"environment::test_{name}"
    for name in (
        "engine_is_installed",
        "torch_npu_imports",
        "device_is_present_and_free",
        "image_fits_the_chip",
        "limits_are_sufficient",
    )
)
BLIND, MIXED = "capability::test_questions_without_their_picture_do_not_score", "repeatability::test_mixed_round"
EDGE_BROKEN, EDGE_N = (f"edge_inputs::test_rare_edge_input[{name}]" for name in ("jpeg-truncated", "n-negative"))
FAST = "latency::test_category_is_within_budget[ocr]"
MODELS, NO_ROUTE, TOO_LONG, OPENAI = (
    f"schema::test_{name}"
    for name in (
        "models_body",
        "unknown_route_is_refused",
        "too_long_prompt_is_refused",
        "openai_client_round_trip",
    )
)
SAME_LOGPROBS = "logprobs::test_same_request_gives_the_same_logprobs"
LOGPROBS = "logprobs::test_logprobs_match_the_baseline"
ALL_LOGPROBS = tuple(f"logprobs::test_all_logprobs_match_the_baseline[{n}]" for n in (1, 16))
SCORED = tuple(
    f"logprobs::test_{name}"
    for name in ("stored_answers_are_scored_as_stored", "all_stored_answers_are_scored_as_stored")
)
OFFLINE_LOGPROBS, TOGETHER, SERVED_FILES = (
    f"logprobs::test_{name}"
    for name in (
        "offline_logprobs_match_the_baseline",
        "alone_and_in_a_batch",
        "reference_is_of_the_served_files",
    )
)
# what the first one recorded is asked again by the others
CAN_BE_RECORDED = "logprobs::test_logprobs_can_be_recorded"
RECORDED = tuple(f"logprobs::test_recording_is_repeated[{way}]" for way in ("one-at-a-time", "together", "no-cache"))


EDGE_REFUSED = (
    NOT_BASE64,
    *(
        f"edge_inputs::test_rare_edge_input[{name}]"
        for name in (
            "no-picture",
            "empty-data",
            "empty-url",
            "unknown-scheme",
            "local-file",
            "decompression-bomb",
            "deep-json",
            "n-negative",
            "max-tokens-negative",
            "top-k-negative",
            "penalty-out-of-range",
            "top-logprobs-negative",
        )
    ),
)
EDGE_ANSWERED = (
    WRONG_MIME,
    *(
        f"edge_inputs::test_rare_edge_input[{name}]"
        for name in (
            "text-mime",
            "large-picture",
            "nul-in-text",
            "surrogate-in-text",
            "empty-text",
            "n-of-a-thousand",
            "max-tokens-huge",
            "seed-negative",
            "unknown-field",
            "unknown-role",
        )
    ),
)
# only for engines that the suite starts: pictures on a loopback server, and requests that may end an engine
EDGE_ADDRESSES = tuple(
    f"edge_inputs::test_rare_edge_input[{name}]"
    for name in ("url-missing", "url-closed", "url-redirected", "url-circle", "url-endless", "n-of-a-million")
)


def node(owner: str) -> str:
    """The pytest node id of an owner."""
    area, _, test = owner.partition("::")
    return f"tests/acceptance/test_{area}.py::{test}"


def short(ident: str) -> str:
    """A node id, with or without its folder, in the form of owners."""
    return ident.rpartition("/")[2].removeprefix("test_").replace(".py::", "::")
