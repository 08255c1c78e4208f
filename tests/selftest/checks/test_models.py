"""What a server says about itself, read and misread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vlm_acceptance.checks.models import figure_of, lists_model, metrics, metrics_present, version_is_told
from vlm_acceptance.core.exchange import ErrorDetail, Exchange, Request

CARD = {"id": "internvl2-2b", "object": "model", "created": 1764000000, "owned_by": "vllm", "max_model_len": 8192}
PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="internvl2-2b"} 2.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a \\"b\\" {c} \\\\"} 5.0
vllm:prompt_tokens_total{engine="1",model_name="m 2"} 7.0 1764000000000
vllm:generation_tokens 1.5e+03
vllm:kv_cache_usage_perc NaN
vllm:time_to_first_token_seconds_bucket{le="0.005"} 3.0
vllm:time_to_first_token_seconds_bucket{model_name="m",le="+Inf"} 4.0
vllm:time_to_first_token_seconds_count 4.0
vllm:time_to_first_token_seconds_sum 0.8
"""


def exchange(path: str, body: Any, status: int | None = 200, **more: Any) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("e1", Request("GET", path), "2026-01-01T00:00:00Z", 0, 1, status, body=raw, **more)


def listed(body: Any, length: int | None = None, status: int = 200) -> list[str]:
    return [finding.check for finding in lists_model(exchange("/v1/models", body, status), "internvl2-2b", length)]


def test_our_model_is_listed_with_its_context_length() -> None:
    assert listed({"object": "list", "data": [{**CARD, "id": "other"}, CARD]}, 8192) == []


def test_a_context_length_is_compared_only_where_both_sides_give_one() -> None:
    assert listed({"object": "list", "data": [CARD]}) == []
    assert listed({"object": "list", "data": [{**CARD, "max_model_len": None}]}, 8192) == []


def test_another_context_length_is_found() -> None:
    assert listed({"object": "list", "data": [CARD]}, 4096) == ["models.max_model_len"]


def test_another_model_is_found_and_named() -> None:
    body = {"object": "list", "data": [{**CARD, "id": "qwen"}]}
    (finding,) = lists_model(exchange("/v1/models", body), "internvl2-2b")

    assert (finding.check, finding.expected, finding.observed) == ("models.id", "'internvl2-2b'", "'qwen'")


def test_a_list_out_of_shape_is_found() -> None:
    assert listed({"object": "list", "data": []}) == ["schema.models"]


def test_a_list_that_was_not_answered_is_found() -> None:
    assert listed({}, status=503) == ["models.status"]
    assert listed(b"<html>") == ["models.json"]
    broken = exchange("/v1/models", b"", None, error=ErrorDetail("connect", "refused"))
    assert [finding.check for finding in lists_model(broken, "internvl2-2b")] == ["models.status"]


@pytest.mark.parametrize("version", ["0.18.0", "0.18.0+empty", "0.18.0+cpu"])
def test_a_version_is_told_and_its_local_part_is_free(version: str) -> None:
    assert version_is_told(exchange("/version", {"version": version}), "0.18.0+empty") == []


@pytest.mark.parametrize("body", [{}, {"version": ""}, {"version": " "}, {"version": None}, [], "0.18.0"])
def test_a_version_that_is_not_told_is_found(body: Any) -> None:
    assert [finding.check for finding in version_is_told(exchange("/version", body))] == ["models.version"]


def test_another_version_is_found() -> None:
    (finding,) = version_is_told(exchange("/version", {"version": "0.18.1"}), "0.18.0")

    assert (finding.expected, finding.observed) == ("0.18.0", "0.18.1")


def test_metrics_are_summed_over_labels_without_buckets() -> None:
    assert metrics(PAGE) == {
        "vllm:num_requests_running": 2.0,
        "vllm:prompt_tokens_total": 12.0,
        "vllm:generation_tokens": 1500.0,
        "vllm:time_to_first_token_seconds_count": 4.0,
        "vllm:time_to_first_token_seconds_sum": 0.8,
    }


def test_a_figure_that_is_not_a_number_is_absent_not_zero() -> None:
    assert figure_of(metrics(PAGE), "vllm:kv_cache_usage_perc") is None


@pytest.mark.parametrize("name", ["vllm:prompt_tokens", "vllm:prompt_tokens_total"])
def test_a_counter_is_found_with_and_without_its_suffix(name: str) -> None:
    assert figure_of(metrics(PAGE), name) == 12.0


@pytest.mark.parametrize("name", ["vllm:generation_tokens", "vllm:generation_tokens_total"])
def test_a_counter_written_without_its_suffix_is_found_as_well(name: str) -> None:
    assert figure_of(metrics(PAGE), name) == 1500.0


def test_metrics_that_are_present_have_no_finding() -> None:
    assert metrics_present(PAGE, ["vllm:num_requests_running", "vllm:prompt_tokens_total"]) == []


def test_metrics_that_are_missing_are_named_together() -> None:
    (finding,) = metrics_present(PAGE, ["vllm:mm_cache_hits", "vllm:prompt_tokens", "vllm:num_requests_waiting"])

    assert finding.expected == "vllm:mm_cache_hits, vllm:num_requests_waiting"


def test_a_name_that_only_begins_alike_is_not_present() -> None:
    assert metrics_present(PAGE, ["vllm:num_requests"]) != []


@pytest.mark.parametrize("page", ["<html>", "vllm:a one", 'vllm:a{b="c} 1', "vllm:a"])
def test_a_page_that_cannot_be_read_is_found(page: str) -> None:
    (finding,) = metrics_present(page, [])

    assert finding.expected == "a Prometheus text page"


def test_an_empty_page_lacks_what_is_required() -> None:
    assert metrics("") == {}
    assert metrics_present("", ["vllm:num_requests_running"]) != []
