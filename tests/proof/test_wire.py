"""Faults on the wire: a proxy in front of the real control engine changes one thing, and its owner refuses it."""

from __future__ import annotations

import csv
import json

import pytest
from faults import FAULTS
from standins.fault_proxy import FaultProxy

from vlm_acceptance.settings import ROOT

MINI = ROOT / "fixtures" / "mmmu_mini"

TEXT, MODEL, HEALTH = (f"health::test_readiness[{rung}]" for rung in ("text", "model", "health"))
BODY = "schema::test_completion_body"
STREAMS = ("schema::test_stream[usage-asked]", "schema::test_stream[usage-not-asked]")
SAME = "schema::test_stream_says_the_same"
KNOWN = "capability::test_known_answers"
TILES = "capability::test_picture_costs_its_tiles"
OCR, CHART, CARD, CHINESE = (
    f"capability::test_category[{name}-png]" for name in ("ocr", "understanding", "reasoning", "chinese")
)
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

# fault -> the tests meant for it; each of them must refuse it
OWNERS: dict[str, tuple[str, ...]] = {
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
ERRORS = {"questions-dropped": COMPLETE, "caches-idle": LONG_TWINS}
ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu", "--vlm-set=deadlines.health_s=3", "--vlm-soak-s=20")


def node(owner: str) -> str:
    """An owner as pytest's node id."""
    area, _, test = owner.partition("::")
    return f"tests/acceptance/test_{area}.py::{test}"


def short(ident: str) -> str:
    """A node id as an owner is written."""
    return ident.removeprefix("test_").replace(".py::", "::")


def test_every_fault_has_an_owner():
    assert set(OWNERS) | set(ERRORS) == set(FAULTS)


def test_owners_accept_the_control_through_the_proxy(accept, control):
    owners = sorted({owner for owners in OWNERS.values() for owner in owners})
    with FaultProxy(control.base_url) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, owners))
    assert run.code == 11, run.out  # narrowed: nothing refused, nothing accepted
    assert run.refused_by == set()
    assert len(run.ids("passed")) == len(owners)


@pytest.mark.parametrize("fault", OWNERS)
def test_fault_is_refused_by_its_owners(accept, control, fault):
    with FaultProxy(control.base_url, fault) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, OWNERS[fault]))
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == set(OWNERS[fault]), run.out


@pytest.mark.parametrize("fault", ERRORS)
def test_fault_leaves_the_run_undecided(accept, control, fault):
    with FaultProxy(control.base_url, fault) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", node(ERRORS[fault]))
    assert run.code == 11, run.out
    assert run.refused_by == set()
    assert {short(ident) for ident in run.ids("error")} == {ERRORS[fault]}


def test_worse_deployment_is_refused_beside_a_stored_run(accept, control, tmp_path):
    rows = [json.loads(line) for line in (MINI / "expected.jsonl").read_text("utf-8").splitlines()]
    stored = tmp_path / "stored.csv"
    with stored.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "prediction"), *((row["id"], row["answer"]) for row in rows)])
    paired = "mmmu::test_not_worse_than_the_baseline"
    args = (*ATTACHED, "--vlm-set=mmmu.early_stop=false", f"--vlm-baseline={stored}", node(paired))
    with FaultProxy(control.base_url) as proxy:
        assert accept(*args, f"--vlm-base-url={proxy.url}").refused_by == set()
    with FaultProxy(control.base_url, "answers-of-another") as proxy:
        run = accept(*args, f"--vlm-base-url={proxy.url}")
    assert run.code == 1, run.out
    assert {short(ident) for ident in run.refused_by} == {paired}
