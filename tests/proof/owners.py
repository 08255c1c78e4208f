"""Which tests are meant for which fault: data. A test is written as `area::test`, an id of tests/acceptance.

Each owner must refuse its fault; what refuses besides is recorded in the matrix. Faults of ERRORS are the
surroundings': their owners must be errors, and nothing may fail.
"""

from __future__ import annotations

TEXT, MODEL, HEALTH = (f"health::test_readiness[{rung}]" for rung in ("text", "model", "health"))
PORT, PROCESS_RUNG = (f"health::test_readiness[{rung}]" for rung in ("port", "process"))
RELEASED, DATA = "release::test_engine_is_released", "data::test_mmmu_is_prepared"
VERSIONS, WEIGHTS = (f"environment::test_{name}" for name in ("versions_are_the_expected_ones", "weights_are_whole"))
BODY = "schema::test_completion_body"
STREAMS = ("schema::test_stream[usage-asked]", "schema::test_stream[usage-not-asked]")
SAME = "schema::test_stream_says_the_same"
KNOWN = "capability::test_known_answers"
TILES = "capability::test_picture_costs_its_tiles"
OCR, CHART, CARD, CHINESE = (
    f"capability::test_category[{name}-png]" for name in ("ocr", "understanding", "reasoning", "chinese")
)
REFUSED_MODEL = "schema::test_wrong_request_is_refused[wrong-model]"
KEYS = ("schema::test_wrong_key_is_refused[none]", "schema::test_wrong_key_is_refused[wrong]")
REFUSED_TYPE = "schema::test_wrong_request_is_refused[messages-wrong-type]"
NOT_JSON = "schema::test_malformed_json_is_refused"
SERVED_TILES = "environment::test_tiles_are_the_served_models"
VIDEO, VIDEO_TAKEN = "schema::test_video_is_refused", "schema::test_video_is_answered"
TRUNCATED, NOT_BASE64, WRONG_MIME = (
    f"inputs::test_odd_input[{name}]" for name in ("png-truncated", "not-base64", "wrong-mime")
)
POISON, STOPS = "inputs::test_refused_picture_is_no_poison", "inputs::test_short_answer_stops"
COMPLETE, EARLY, SHAPE, SCORE, SIGHTED, ANSWERS, TOKENS = (
    f"mmmu::test_{name}"
    for name in (
        "every_question_is_answered",
        "no_early_rejection",
        "answers_have_the_shape_of_a_models",
        "score_is_within_its_limits",
        "blank_pictures_score_lower",
        "answers_are_as_known",
        "pictures_arrive_tiled_as_intended",
    )
)
TWINS, LONG_TWINS, OTHER_PROMPT, ORDER, FORMS, ODD_SIZES, LIMIT, LADDER, LARGE, UUID, HUNT = (
    f"pictures::test_{name}"
    for name in (
        "twins",
        "long_twins_hit_the_caches",
        "other_prompt_right_after",
        "several_pictures_keep_their_order",
        "forms_of_a_picture",
        "odd_sizes",
        "limit_of_pictures",
        "ladder_of_sizes",
        "picture_near_the_pixel_limit",
        "uuid_with_other_bytes",
        "no_answer_is_swapped",
    )
)

BURST, LARGE_BURST, ALONE, LEAVES, SOAK, BUDGETS, SLOWS = (
    f"load::test_{name}"
    for name in (
        "burst",
        "large_burst",
        "bad_request_stays_alone",
        "client_that_leaves_frees_its_slot",
        "soak_is_answered",
        "soak_is_within_budgets",
        "soak_does_not_slow_down",
    )
)

LEAK, PAIRED = "load::test_soak_does_not_leak", "mmmu::test_not_worse_than_the_baseline"
GUIDE, FIGURES = "capability::test_guide_request", "health::test_engine_log_figures"
OFFLINE = (
    "offline::test_category[ocr]",
    "offline::test_answers_like_the_server[ocr]",
    "numbers::test_server_gives_the_numbers_of_the_offline_engine",
)
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
BLIND, MIXED = "capability::test_blind_twins_do_not_score", "steady::test_mixed_round"
ODDER_BROKEN, ODDER_N = (f"inputs::test_odder_input[{name}]" for name in ("jpeg-truncated", "n-negative"))
MODELS, NO_ROUTE, TOO_LONG, OPENAI = (
    f"schema::test_{name}"
    for name in (
        "models_body",
        "unknown_route_is_refused",
        "too_long_prompt_is_refused",
        "openai_client_round_trip",
    )
)
NUMBERS = "numbers::test_numbers_are_those_of_the_baseline"
ALL_NUMBERS = tuple(f"numbers::test_every_number_is_that_of_the_baseline[{n}]" for n in (1, 16))

WIRE: dict[str, tuple[str, ...]] = {
    "status-500": (TEXT,),
    "status-500-some": (KNOWN, SOAK),
    "missing-id": (BODY, "schema::test_ids_are_unique"),
    "missing-usage": (BODY,),
    "missing-model": (BODY,),
    "wrong-type-created": (BODY, *STREAMS),
    "float-usage": (BODY,),
    "usage-off-by-one": (TILES, KNOWN),
    "usage-sum-wrong": (BODY,),
    "finish-reason-wrong": (BODY, *STREAMS),
    "finish-reason-null": (BODY, *STREAMS),
    "ids-repeated": ("schema::test_ids_are_unique",),
    "content-null": (TEXT,),
    "content-type-wrong": (BODY, *STREAMS),
    "truncated-body": (TEXT,),
    "connection-reset": (TEXT,),
    "other-model-name": (MODEL,),
    "text-cut": (OCR, KNOWN),
    "text-looped": (OCR, KNOWN, BODY),
    "text-exclaimed": (OCR, KNOWN, BODY),
    "text-empty": ("health::test_text_probe", "health::test_picture_probe", OCR),
    "mojibake": (CHINESE, KNOWN),
    "replacement-characters": (OCR, KNOWN, BODY),
    "special-token-leaked": (OCR, KNOWN, BODY, STOPS),
    "language-switched": (OCR, CHINESE),
    "answer-of-previous": (OCR, KNOWN),
    "answers-swapped": (OCR, BURST, f"{MIXED}[1]"),
    "error-as-200": (TEXT,),
    "logprobs-missing": ("schema::test_logprobs", "numbers::test_numbers_can_be_recorded"),
    "logprobs-positive": ("schema::test_logprobs",),
    "logprobs-unsteady": (
        "numbers::test_numbers_are_those_of_the_baseline",
        "numbers::test_same_request_gives_the_same_numbers",
        "numbers::test_every_number_is_that_of_the_baseline[1]",
        "numbers::test_every_number_is_that_of_the_baseline[16]",
        "numbers::test_alone_and_in_a_batch",
    ),
    "role-missing": STREAMS,
    "role-twice": STREAMS,
    "finish-twice": STREAMS,
    "finish-missing": STREAMS,
    "chunk-lost": (SAME, OPENAI),
    "chunk-duplicated": (SAME,),
    "done-missing": STREAMS,
    "usage-chunk-missing": (STREAMS[0],),
    "error-event-in-200": STREAMS,
    "not-streamed": ("latency::test_text_flows",),
    "ttft-added": ("latency::test_category_is_within_budget[ocr]",),
    "jitter": (BUDGETS,),
    "tpot-added": ("latency::test_category_is_within_budget[ocr]",),
    "picture-dropped": (TILES, OCR, CARD, TOKENS),
    "picture-replaced": (OCR, CHART, CARD, EARLY, WRONG_MIME),
    "picture-downscaled": (KNOWN,),
    "picture-recompressed": (CARD, KNOWN, NUMBERS, *ALL_NUMBERS),
    "image-bgr": (CARD, KNOWN),
    "max-tokens-ignored": ("schema::test_max_tokens_cuts",),
    "stop-ignored": ("schema::test_stop_string_stops",),
    "n-ignored": ("schema::test_n_gives_n_choices",),
    "temperature-forced": ("schema::test_temperature_zero_is_greedy",),
    "wrong-model-accepted": (REFUSED_MODEL,),
    "key-not-checked": KEYS,
    "health-only": (MODEL,),
    "health-503": (HEALTH,),
    "health-lost": ("health::test_health_answers",),
    "metrics-gone": ("health::test_metrics_count",),
    "version-gone": ("health::test_version_is_told",),
    "errors-as-html": (REFUSED_MODEL, NOT_JSON),
    "errors-as-500": (REFUSED_TYPE, NOT_JSON, VIDEO, TOO_LONG, TRUNCATED, NOT_BASE64, ODDER_BROKEN, ODDER_N, POISON),
    "malformed-accepted": (REFUSED_TYPE, NOT_JSON, VIDEO, TOO_LONG, TRUNCATED, NOT_BASE64, ODDER_BROKEN, POISON),
    "tokenize-wrong": (TILES,),
    "models-empty": (MODEL,),
    "models-untyped": (MODELS,),
    "any-route-answered": (NO_ROUTE,),
    "answers-constant": (SHAPE,),
    "answers-mute": (EARLY,),
    "answers-random": (EARLY,),
    "answers-of-another": (ANSWERS,),
    "answers-a-few-wrong": (SCORE, ANSWERS),
    "answers-worse-than-stored": (PAIRED,),
    "blank-remembered": (SIGHTED,),
    "questions-refused": (COMPLETE,),
    "prefix-by-text": (OCR, f"{BLIND}[ocr]", TWINS, LONG_TWINS, HUNT),
    "prompt-forgotten": (OTHER_PROMPT,),
    "picture-of-previous": (TWINS, LONG_TWINS),
    "pictures-reversed": (ORDER,),
    "pictures-beyond-first-dropped": (ORDER, LIMIT),
    "limit-ignored": (LIMIT,),
    "uuid-stale": (UUID,),
    "picture-shrunk": (LADDER,),
    "rgba-refused": (FORMS,),
    "thin-refused": (ODD_SIZES,),
    "large-refused": (LARGE,),
    "answers-swapped-rarely": (HUNT,),
    "one-slow": (LARGE_BURST,),
    "starved": (BURST,),
    "failure-spreads": (ALONE,),
    "slot-kept": (LEAVES,),
    "tpot-grows": (SLOWS,),
    "refused-poisons": (POISON,),
    "hangs-on-broken": (TRUNCATED,),
    "resets-on-broken": (TRUNCATED, NOT_BASE64),
    "never-stops": (STOPS,),
    "max-model-len-wrong": ("health::test_models_lists_the_served_model",),
}
# faults beside a stored run of the accuracy test
STORED = frozenset({"answers-worse-than-stored"})
# faults in front of an engine that asks for a key
KEYED = frozenset({"key-not-checked"})
# faults that leave the deployment undecided: the test meant for it is an error, never a pass
WIRE_ERRORS: dict[str, tuple[str, ...]] = {"questions-dropped": (COMPLETE,), "caches-idle": (LONG_TWINS,)}

# the control broken on purpose, on the real engine: tests/proof/mutants.py and mutant_engine.py
MUTANTS: dict[str, tuple[str, ...]] = {
    "blind": (OCR, CHART, CARD, CHINESE, KNOWN),
    "blind-mlp1": (OCR, CHART, CARD, CHINESE, KNOWN),
    "bgr": (CARD, KNOWN),
    "mean-std": (OCR, CARD, KNOWN),
    "tiles-reversed": (OCR, CARD, KNOWN),
    "thumbnail-first": (OCR, CARD, KNOWN, NUMBERS),
    "nearest": (KNOWN, NUMBERS),
    "no-thumbnail": (TILES, OCR, KNOWN),
    "no-tiling": (TILES, OCR, KNOWN),
    "pixel-shuffle-v1": (CARD, KNOWN, NUMBERS),
    "rope-base": (OCR, KNOWN, NUMBERS),
    "layer-dropped": (OCR, CARD, KNOWN, NUMBERS),
    "vision-layer-dropped": (OCR, CARD, KNOWN, NUMBERS),
    "norm-eps": (OCR, KNOWN, NUMBERS),
    "no-role-newline": (KNOWN, NUMBERS),
    "no-newline": (KNOWN, NUMBERS),
    "no-bos": (KNOWN, NUMBERS, *ALL_NUMBERS),
    "no-generation-prompt": (OCR, KNOWN),
    "foreign-system": (KNOWN, NUMBERS),
    "int3": (NUMBERS, *ALL_NUMBERS),
    "int4": (NUMBERS, *ALL_NUMBERS),
    "noise5": (NUMBERS, *ALL_NUMBERS),
    "tokenizer": (OCR, CHINESE, KNOWN),
}

# engines that do not start, behave or go
PROCESS: dict[str, tuple[str, ...]] = {
    "video-refused": (VIDEO_TAKEN,),
    "dies-loading": (PORT,),
    "exits-zero": (PORT,),
    "hangs-loading": (PORT,),
    "health-too-early": (TEXT,),
    "wrong-model-id": (MODEL,),
    "dies-in-request": ("health::test_text_probe",),
    "dies-in-accuracy-run": (COMPLETE, ANSWERS),
    "dies-of-broken-picture": (TRUNCATED,),
    "asks-any-address": (
        "inputs::test_private_address_is_refused[loopback]",
        "inputs::test_private_address_is_not_asked",
    ),
    "ignores-sigterm": (RELEASED,),
    "leaves-children": (RELEASED,),
    "memory-leaked": (LEAK,),
    "log-of-another-model": (FIGURES,),
    "logo-not-read": (GUIDE,),
    "offline-differs": OFFLINE,
    # on the real engine
    "real-config-of-another": (PORT,),
    "real-out-of-memory": (PORT,),
    "real-killed": (SOAK,),
    "real-server-stopped": (SOAK,),
    "real-core-stopped": (SOAK,),
    # on a card that is only said to be there
    "card-memory-kept": ("offline::test_offline_engine_is_gone", RELEASED),
    "container-of-another-version": (VERSIONS,),
    "engine-of-another-kind": (VERSIONS,),
}

# the machine's part: no engine is to blame
PROCESS_ERRORS: dict[str, tuple[str, ...]] = {
    "tiles-said-otherwise": (SERVED_TILES,),
    "out-of-memory-by-others": (PROCESS_RUNG,),
    "port-held": (PROCESS_RUNG,),
    "port-held-by-model": (PROCESS_RUNG,),
    "port-taken-meanwhile": (PROCESS_RUNG,),
    "real-port-taken-meanwhile": (PROCESS_RUNG,),
    "nothing-answers": (HEALTH,),
    "engine-missing": (INSTALLED, PROCESS_RUNG),
    "weights-truncated": (PROCESS_RUNG,),
    "config-missing": (PROCESS_RUNG,),
    "npu-smi-missing": (DEVICE, PROCESS_RUNG),
    "npu-smi-failing": (DEVICE, PROCESS_RUNG),
    "card-910A": (DEVICE, PROCESS_RUNG),
    "card-busy": (DEVICE, PROCESS_RUNG),
    "card-small": (DEVICE, PROCESS_RUNG),
    "torch-npu-broken": (TORCH_NPU,),
    "image-of-another-chip": (IMAGE,),
    "open-files-limited": (LIMITS,),
    "data-absent": (DATA,),
    "data-picture-gone": (DATA,),
    "data-index-changed": (DATA,),
    "data-another-set": (DATA,),
    "weights-damaged-on-the-way": (WEIGHTS,),
}

# what the suite itself must bear: fault -> what must be seen
OURS: dict[str, str] = {
    "log-flooded": "the log is cut, the run judges",
    "reports-full": "inconclusive, exit 10, no torn JUnit file",
    "reports-full-from-the-start": "inconclusive, exit 10",
    "log-on-full-disk": "inconclusive, exit 10",
    "reports-limited": "the same where not the disk but the file size is limited",
    "reports-not-writable": "refused in one sentence, exit 4",
    "clock-jumping": "durations and the verdict are right",
    "two-runs-one-card": "the second is refused in one sentence, exit 10",
    "hostile-answers": "every report can be read and does nothing",
    "key-leaks": "the key is in no file and not on the terminal",
    "key-in-url": "refused in one sentence, without the key",
    "killed": "nothing is left, the results can be read",
    "killed-real": "the same with the real engine, and the next run starts",
}

# a short look at the whole that every fault on the wire gets besides its owners
CROSS_SECTION = (
    "health::test_text_probe",
    "health::test_picture_probe",
    BODY,
    STREAMS[0],
    SAME,
    OCR,
    TILES,
    REFUSED_MODEL,
)

# the faults of `make test`: every family, in five minutes
PART = frozenset(
    {
        # wire: one of each kind
        "missing-usage",
        "usage-off-by-one",
        "truncated-body",
        "special-token-leaked",
        "mojibake",
        "chunk-lost",
        "done-missing",
        "error-event-in-200",
        "not-streamed",
        "ttft-added",
        "picture-dropped",
        "picture-of-previous",
        "pictures-reversed",
        "max-tokens-ignored",
        "health-only",
        "health-lost",
        "any-route-answered",
        "malformed-accepted",
        "logprobs-unsteady",
        "answers-constant",
        "failure-spreads",
        "refused-poisons",
        "caches-idle",
        # mutants: one whose words are wrong, one whose numbers alone are
        "blind",
        "int4",
        # processes and machines
        "dies-loading",
        "wrong-model-id",
        "ignores-sigterm",
        "video-refused",
        "log-of-another-model",
        "port-held",
        "port-taken-meanwhile",
        "out-of-memory-by-others",
        "weights-truncated",
        "card-busy",
        "torch-npu-broken",
        "data-picture-gone",
        # the suite itself
        "reports-full",
        "reports-not-writable",
        "two-runs-one-card",
        "key-in-url",
        "killed",
    }
)

# family -> fault -> tests that must fail
REFUSED: dict[str, dict[str, tuple[str, ...]]] = {"wire": WIRE, "mutant": MUTANTS, "process": PROCESS}
# family -> fault -> tests that must be errors
ERRORS: dict[str, dict[str, tuple[str, ...]]] = {"wire": WIRE_ERRORS, "process": PROCESS_ERRORS}


def family_of(fault: str) -> str:
    """The family of a fault; KeyError for one that nobody owns."""
    for families in (REFUSED, ERRORS):
        for family, faults in families.items():
            if fault in faults:
                return family
    raise KeyError(fault)


def node(owner: str) -> str:
    """An owner as pytest's node id."""
    area, _, test = owner.partition("::")
    return f"tests/acceptance/test_{area}.py::{test}"


def short(ident: str) -> str:
    """A node id, or one without its folder, as an owner is written."""
    return ident.rpartition("/")[2].removeprefix("test_").replace(".py::", "::")
