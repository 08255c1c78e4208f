"""Which tests are meant for which fault: data. A test is written as `area::test`, an id of tests/acceptance.

Each owner must refuse its fault; what refuses besides is recorded in the matrix. Faults of ERRORS are the
surroundings': their owners must be errors, and nothing may fail.
"""

from __future__ import annotations

TEXT, MODEL, HEALTH = (f"health::test_readiness[{rung}]" for rung in ("text", "model", "health"))
BODY = "schema::test_completion_body"
STREAMS = ("schema::test_stream[usage-asked]", "schema::test_stream[usage-not-asked]")
SAME = "schema::test_stream_says_the_same"
KNOWN = "capability::test_known_answers"
TILES = "capability::test_picture_costs_its_tiles"
OCR, CHART, CARD, CHINESE = (
    f"capability::test_category[{name}-png]" for name in ("ocr", "understanding", "reasoning", "chinese")
)
IN_CHINESE = tuple(
    f"capability::test_bilingual_twin[{name}]" for name in ("ocr", "description", "understanding", "reasoning")
)
IN_ENGLISH = "capability::test_bilingual_twin[chinese]"
REFUSED_MODEL = "schema::test_wrong_request_is_refused[wrong-model]"
REFUSED_TYPE = "schema::test_wrong_request_is_refused[messages-wrong-type]"
NOT_JSON = "schema::test_malformed_json_is_refused"
VIDEO = "schema::test_video_is_refused"
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

BURST, LARGE_BURST, ALONE, LEAVES, SOAK, SLOWS = (
    f"load::test_{name}"
    for name in (
        "burst",
        "large_burst",
        "bad_request_stays_alone",
        "client_that_leaves_frees_its_slot",
        "soak_is_answered",
        "soak_does_not_slow_down",
    )
)

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
    "language-switched": (OCR, CHINESE, *IN_CHINESE, IN_ENGLISH),
    "chinese-garbled": (CHINESE, *IN_CHINESE, KNOWN),
    "answer-of-previous": (OCR, KNOWN),
    "answers-swapped": (OCR, BURST),
    "error-as-200": (TEXT,),
    "logprobs-missing": ("schema::test_logprobs",),
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
    "chunk-lost": (SAME,),
    "chunk-duplicated": (SAME,),
    "done-missing": STREAMS,
    "usage-chunk-missing": (STREAMS[0],),
    "error-event-in-200": STREAMS,
    "not-streamed": ("latency::test_text_flows",),
    "ttft-added": ("latency::test_category_is_within_budget[ocr]",),
    "tpot-added": ("latency::test_category_is_within_budget[ocr]",),
    "picture-dropped": (TILES, OCR, CARD, TOKENS),
    "picture-replaced": (OCR, CHART, CARD, EARLY, WRONG_MIME),
    "picture-downscaled": (KNOWN,),
    "image-bgr": (CARD, KNOWN),
    "max-tokens-ignored": ("schema::test_max_tokens_cuts",),
    "stop-ignored": ("schema::test_stop_string_stops",),
    "n-ignored": ("schema::test_n_gives_n_choices",),
    "temperature-forced": (KNOWN,),
    "wrong-model-accepted": (REFUSED_MODEL,),
    "health-only": (MODEL,),
    "health-503": (HEALTH,),
    "metrics-gone": ("health::test_metrics_count",),
    "version-gone": ("health::test_version_is_told",),
    "errors-as-html": (REFUSED_MODEL, NOT_JSON),
    "errors-as-500": (REFUSED_TYPE, NOT_JSON, VIDEO, TRUNCATED, NOT_BASE64, POISON),
    "malformed-accepted": (REFUSED_TYPE, NOT_JSON, VIDEO, TRUNCATED, NOT_BASE64, POISON),
    "tokenize-wrong": (TILES,),
    "models-empty": (MODEL,),
    "answers-constant": (SHAPE,),
    "answers-mute": (EARLY,),
    "answers-random": (EARLY,),
    "answers-of-another": (ANSWERS,),
    "answers-a-few-wrong": (SCORE, ANSWERS),
    "blank-remembered": (SIGHTED,),
    "questions-refused": (COMPLETE,),
    "prefix-by-text": (TWINS, LONG_TWINS, HUNT),
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
# faults that leave the deployment undecided: the test meant for it is an error, never a pass
WIRE_ERRORS: dict[str, tuple[str, ...]] = {"questions-dropped": (COMPLETE,), "caches-idle": (LONG_TWINS,)}

# the control broken on purpose, on the real engine: tests/proof/mutants.py and mutant_engine.py
MUTANTS: dict[str, tuple[str, ...]] = {}

# engines that do not start, behave or go
PROCESS: dict[str, tuple[str, ...]] = {}

# the machine's part: no engine is to blame
PROCESS_ERRORS: dict[str, tuple[str, ...]] = {}

# what the suite itself must bear: fault -> what must be seen
OURS: dict[str, str] = {}

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
PART: frozenset[str] = frozenset()

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
