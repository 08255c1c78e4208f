"""From results to causes: each test is counted once, for the cause that explains it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vlm_acceptance.config.options import OPTIONS
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import cause_rules, causes
from vlm_acceptance.core.finding_classes import BY_ID
from vlm_acceptance.report.causes import causes_of, short


def finding(check: str, observed: str = "that", where: str = "", expected: str = "this") -> dict[str, Any]:
    return {"check": check, "title": "", "where": where, "expected": expected, "observed": observed}


def row(test: str, *findings: dict[str, Any], outcome: str = "failed", message: str = "") -> dict[str, Any]:
    area, _, name = test.partition("::")
    ident = f"tests/acceptance/test_{area}.py::{name}"
    return {"id": ident, "area": area, "outcome": outcome, "message": message, "findings": list(findings)}


SCHEMAS = [path.stem for path in (ROOT / "fixtures" / "schemas").glob("*.json")]
NOT_SEEN = finding("answer.count", "1 of 8 right; the same answer for 8 different pictures: the picture was not seen")
BLIND = [
    row("capability::test_category[ocr-png]", NOT_SEEN),
    row("capability::test_category[chinese-png]", NOT_SEEN),
    row("challenge::test_new_pictures", finding("challenge.unread")),
    row("structured_output::test_picture_is_described_in_a_schema", finding("structured.content")),
    row("load::test_burst", finding("load.mixed_up")),
]


def ids(*rows: dict[str, Any]) -> list[str]:
    return [found.cause.id for found in causes_of(rows)]


def test_a_blind_deployment_has_one_cause() -> None:
    (found,) = causes_of(BLIND)
    assert (found.cause, found.failed, len(found.tests)) == (causes.UNSEEN, 5, 5)
    assert found.sign["observed"] == NOT_SEEN["observed"]


def test_what_follows_from_nothing_else_keeps_its_own_cause() -> None:
    other = row("structured_output::test_constraint_is_obeyed[regex]", finding("structured.pattern"))
    assert ids(*BLIND, other) == ["picture.unseen", "protocol.structured"]
    assert ids(BLIND[3], other) == ["protocol.structured"]


def test_an_engine_that_ended_comes_first_however_few_tests_show_it() -> None:
    died = row("mmmu::test_every_question_is_answered", message="the engine ended (exit code 1) while it was tested")
    assert ids(*BLIND, died)[0] == "engine.died"


def test_causes_are_ordered_by_failed_tests() -> None:
    schema = [row(f"schema::test_{number}", finding("ids.missing")) for number in range(2)]
    tool = row("tools::test_tool_is_called", finding("tools.call"))
    assert ids(tool, *schema) == ["protocol.body", "protocol.tools"]
    assert ids(tool, tool, tool, *schema) == ["protocol.tools", "protocol.body"]


def test_every_test_that_is_not_well_is_counted_once_and_no_other() -> None:
    rows = [*BLIND, row("x::test_new", finding("x.unknown")), row("health::test_a", outcome="passed")]
    rows += [row("health::test_b", outcome="not run", message="not run: the engine is gone")]
    tests = [test for found in causes_of(rows) for test in found.tests]
    assert sorted(tests) == sorted(one["id"] for one in rows if one["outcome"] == "failed")


def test_no_failure_has_no_cause() -> None:
    assert causes_of([row("health::test_a", outcome="passed")]) == []


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("port 8000 is held by pid 7 (python3)", "environment.port"),
        ("nothing answers at http://127.0.0.1:8000", "environment.unreachable"),
        ("machine busy: 2 s of 3 s were spent waiting for a processor", "environment.machine"),
        ("ZeroDivisionError: division by zero\ntests/x.py:7", "suite"),
    ],
)
def test_errors_are_explained_by_their_message(message: str, cause: str) -> None:
    (found,) = causes_of([row("latency::test_text_flows", outcome="error", message=message)])
    assert (found.cause.id, found.failed, found.sign["message"]) == (cause, 0, message)


def test_texts_of_a_server_are_cut_and_wrong_rows_are_read() -> None:
    huge = row("schema::test_stop", finding("stop.text", "x" * 10**6, expected="y" * 10**6), message="m" * 10**6)
    (found,) = causes_of([huge])
    assert max(map(len, found.sign.values())) < 1000
    assert ids({"id": None, "outcome": "failed", "findings": [{"check": None}, 7]}) == ["other"]


def test_short_ids() -> None:
    assert short("tests/acceptance/test_load.py::test_burst[1]") == "load::test_burst[1]"


def test_signs_name_classes_that_exist() -> None:
    names = {pattern for sign in cause_rules.SIGNS for pattern in sign.checks} - {"*"}
    known = {*BY_ID, *(f"schema.{name}" for name in SCHEMAS)}
    assert {one for one in names if not any(cause_rules.fits(check, one) for check in known)} == set()


def test_every_cause_can_be_shown() -> None:
    assert {sign.cause.id for sign in cause_rules.SIGNS} == set(causes.CAUSES)


def test_the_last_sign_is_shown_by_every_test_and_no_other_one_is() -> None:
    asked = ("checks", "tests", "says", "outcome")
    bare = [sign for sign in cause_rules.SIGNS if not any(getattr(sign, name) for name in asked)]
    assert bare == [cause_rules.SIGNS[-1]]


def test_options_that_an_advice_names_exist() -> None:
    known = {option.name for option in OPTIONS}
    flags = (ROOT / "tests" / "selftest" / "data" / "vllm_0_18_flags.txt").read_text("utf-8").split()
    named = {flag for found in causes.CAUSES.values() for flag in re.findall(r"--[a-z][a-z-]*[a-z]", found.advice)}
    assert named
    assert {
        flag for flag in named if flag.replace("--no-", "--") not in flags and flag.removeprefix("--") not in known
    } == set()


SHOWN_BY = [
    ("engine.start", "health::test_readiness[port]", "", "not ready: port: the engine ended (exit code 1)"),
    ("engine.died", "edge_inputs::test_edge_input[png-truncated]", "edge_input.died", ""),
    ("engine.hang", "load::test_soak_is_answered", "hang.flat", ""),
    ("engine.hang", "health::test_readiness[model]", "", "not ready: model: timeout: not complete after 3 s"),
    ("engine.release", "release::test_engine_is_released", "release.memory", ""),
    ("engine.leak", "load::test_soak_does_not_leak", "trend.leak", ""),
    ("engine.abandoned", "leaving::test_waiting_leaver_frees_its_place", "load.slot_kept", ""),
    ("engine.poison", "refused_pictures::test_counted_picture_is_no_poison", "edge_input.answer", "HTTP 500: 'x'"),
    ("engine.poison", "leaving::test_pictures_of_leavers_are_answered", "leaving.poison", "HTTP 500: 'x'"),
    ("engine.mode", "health::test_engine_log_figures", "log.mode", ""),
    ("model.other", "health::test_models_lists_the_served_model", "models.max_model_len", ""),
    ("model.other", "health::test_readiness[model]", "", "not ready: model: /v1/models lists ['a'], not 'b'"),
    ("environment.installation", "environment::test_versions_are_the_expected_ones", "environment.versions", ""),
    ("errors", "capability::test_golden_answers", "golden_answer.missing", "HTTP 503: 'x'"),
    ("errors", "leaving::test_first_request_after_an_idle_spell", "idle.answer", "reset: connection"),
    ("errors", "health::test_readiness[text]", "", "not ready: text: HTTP 500: 'x'"),
    ("picture.mixed_up", "capability::test_category[ocr-png]", "answer.foreign", "'FOREST' in 'a FOREST'"),
    ("picture.mixed_up", "leaving::test_pictures_of_leavers_are_answered", "leaving.mixed_up", ""),
    ("answers.stored", "challenge::test_same_body_is_answered_anew", "challenge.cached_body", ""),
    ("answers.stored", "pictures::test_other_prompt_right_after", "pictures.prompt", ""),
    ("picture.tiles", "capability::test_picture_costs_its_tiles", "tiles.count", ""),
    ("picture.seen_wrongly", "large_pictures::test_category[ocr]", "answer.large", ""),
    (
        "picture.seen_wrongly",
        "capability::test_category[reasoning-png]",
        "answer.count",
        "the picture was not rightly seen",
    ),
    ("picture.several", "pictures::test_several_pictures_keep_their_order", "multi_picture.reversed", ""),
    ("picture.files", "uploads::test_picture_kinds[jpeg]", "picture_format.answer", "HTTP 500: 'x'"),
    ("picture.files", "pictures::test_extreme_sizes", "picture_format.answer", "HTTP 500: 'x'"),
    ("prompt.template", "schema::test_prompt_begins_as_it_must", "prompt.start", ""),
    ("prompt.template", "capability::test_golden_answers", "golden_answer.prompt_tokens", "102"),
    ("prompt.conversation", "conversation::test_every_part_reaches_the_model[plain]", "conversation.lost", ""),
    ("prompt.context", "long_prompts::test_hidden_in_a_long_prompt", "long_prompt.place", ""),
    ("answers.degenerate", "schema::test_completion_body", "degeneracy.loop", ""),
    ("answers.language", "capability::test_category[ocr-png]", "answer.language", ""),
    ("answers.language", "capability::test_category[chinese-png]", "answer.wrong", ""),
    ("answers.cut", "capacity::test_rising_load_is_answered", "capacity.cut", ""),
    ("answers.endless", "edge_inputs::test_short_answer_stops", "stop.never", ""),
    ("answers.wrong", "capability::test_category[ocr-png]", "answer.wrong", ""),
    ("answers.numbers", "logprobs::test_logprobs_match_the_baseline", "logprobs.shift", ""),
    ("answers.numbers", "logprobs::test_stored_answers_are_scored_as_stored", "logprobs.shift", ""),
    ("answers.offline", "logprobs::test_offline_logprobs_match_the_baseline", "logprobs.shift", ""),
    ("environment.weights", "logprobs::test_reference_is_of_the_served_files", "logprobs.files", ""),
    ("answers.offline", "offline::test_category[ocr]", "answer.count", "the picture was not rightly seen"),
    ("accuracy", "mmmu::test_score_is_within_its_limits", "accuracy.score", ""),
    ("protocol.body", "schema::test_completion_body", "schema.completion", ""),
    ("protocol.usage", "schema::test_completion_body", "usage.sum", ""),
    ("protocol.usage", "parameters::test_cached_tokens[plain]", "parameters.usage", ""),
    ("protocol.stream", "schema::test_stream[usage-asked]", "stream.done", ""),
    ("protocol.stream", "schema::test_openai_client_round_trip", "openai.error", ""),
    ("protocol.buffered", "latency::test_text_flows", "latency.no_stream", ""),
    ("protocol.parameters", "schema::test_stop_string_stops", "stop.text", ""),
    ("protocol.parameters", "parameters::test_seed[plain]", "parameters.seed", ""),
    ("protocol.logprobs", "schema::test_logprobs", "logprobs.content", ""),
    ("protocol.structured", "structured_output::test_constraint_is_obeyed[json]", "structured.json", ""),
    ("protocol.tools", "tools::test_tool_is_called[named]", "tools.call", ""),
    ("protocol.reasoning", "reasoning::test_reasoning_is_apart[plain-text]", "reasoning.content", ""),
    ("protocol.routes", "routes::test_completions_echo", "routes.parameter", ""),
    ("protocol.refusals", "schema::test_malformed_json_is_refused", "refusal.server_error", ""),
    ("protocol.refusals", "edge_inputs::test_rare_edge_input[seed-negative]", "protocol.answer", "HTTP 500: 'x'"),
    ("protocol.access", "schema::test_wrong_key_is_refused[none]", "refusal.accepted", ""),
    ("protocol.access", "edge_inputs::test_private_address_is_not_asked", "edge_input.fetched", ""),
    ("protocol.server", "health::test_health_answers", "health.status", ""),
    ("protocol.server", "schema::test_models_body", "schema.models", ""),
    ("protocol.metrics", "health::test_metrics_count", "models.metrics", ""),
    ("slow.first_token", "latency::test_category_is_within_budget[ocr]", "latency.ttft", ""),
    ("slow.per_token", "load::test_soak_is_within_budgets", "load.itl", ""),
    ("slow.answer", "latency::test_category_is_within_budget[ocr]", "latency.e2e", ""),
    ("slow.load", "capacity::test_capacity_did_not_shrink", "capacity.shrunk", ""),
    ("slow.grows", "load::test_soak_does_not_slow_down", "trend.drift", ""),
    ("suite", "schema::test_stream_says_the_same", "test.broken", "KeyError: 'x'"),
    ("other", "schema::test_stream_says_the_same", "x.y", ""),
]


@pytest.mark.parametrize(("cause", "test", "check", "text"), SHOWN_BY)
def test_what_is_found_alone_shows_its_cause(cause: str, test: str, check: str, text: str) -> None:
    seen = row(test, finding(check, text)) if check else row(test, message=text)
    assert ids(seen) == [cause]


ERRORS_SHOW = [
    ("environment.device", "environment::test_device_is_present_and_free", "npu-smi is not installed"),
    ("environment.device", "health::test_readiness[process]", "the engine ended (exit code 1): out of memory"),
    ("environment.installation", "environment::test_image_fits_the_chip", "built for 310P (SOC_VERSION=ascend310p3)"),
    ("environment.installation", "environment::test_torch_npu_imports", "import torch_npu: libhccl.so"),
    ("environment.weights", "environment::test_weights_are_whole", "model.safetensors is cut"),
    ("environment.data", "accuracy_data::test_mmmu_is_prepared", "there is no index.jsonl"),
    ("environment.machine", "environment::test_limits_are_sufficient", "only 200 files may be open"),
    ("environment.other", "load::test_burst", "the numbers count other clients too"),
    ("protocol.metrics", "pictures::test_long_similar_pictures_hit_the_caches", "no cache had a hit"),
]


@pytest.mark.parametrize(("cause", "test", "message"), ERRORS_SHOW)
def test_an_error_alone_shows_its_cause(cause: str, test: str, message: str) -> None:
    assert ids(row(test, outcome="error", message=message)) == [cause]


def test_every_cause_is_shown_by_something_here() -> None:
    shown = {cause for cause, *_ in (*SHOWN_BY, *ERRORS_SHOW)} | {"picture.unseen"}
    assert set(causes.CAUSES) - shown == {"environment.port", "environment.unreachable"}  # by their messages, above
