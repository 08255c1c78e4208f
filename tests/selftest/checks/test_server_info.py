"""What a server reports about itself, read and misread."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from vlm_acceptance.checks.server_info import (
    MOST_LINES,
    block_size,
    cache_uses,
    close_to,
    figure_of,
    graphs_are,
    healthy,
    lists_model,
    metrics,
    metrics_moved,
    metrics_present,
    mode_is,
    reports_version,
    shown,
    too_short,
    without_hits,
)
from vlm_acceptance.config.profile import Measure
from vlm_acceptance.core.engine_figures import EngineFigures
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


def page(text: str) -> Exchange:
    return exchange("/metrics", text.encode())


def listed(body: Any, length: int | None = None, status: int = 200) -> list[str]:
    return [finding.check for finding in lists_model(exchange("/v1/models", body, status), "internvl2-2b", length)]


def test_our_model_is_listed_with_its_context_length() -> None:
    assert listed({"object": "list", "data": [{**CARD, "id": "other"}, CARD]}, 8192) == []


def test_a_context_length_is_compared_only_if_both_sides_give_one() -> None:
    assert listed({"object": "list", "data": [CARD]}) == []
    assert listed({"object": "list", "data": [{**CARD, "max_model_len": None}]}, 8192) == []


def test_another_context_length_is_found() -> None:
    assert listed({"object": "list", "data": [CARD]}, 4096) == ["models.max_model_len"]


def test_another_model_is_found_and_named() -> None:
    body = {"object": "list", "data": [{**CARD, "id": "qwen"}]}
    (finding,) = lists_model(exchange("/v1/models", body), "internvl2-2b")

    assert (finding.check, finding.expected, finding.observed) == ("models.id", "'internvl2-2b'", "'qwen'")


def test_a_list_that_does_not_conform_is_found() -> None:
    assert listed({"object": "list", "data": []}) == ["schema.models"]


def test_a_list_that_was_not_answered_is_found() -> None:
    assert listed({}, status=503) == ["models.status"]
    assert listed(b"<html>") == ["models.json"]
    broken = exchange("/v1/models", b"", None, error=ErrorDetail("connect", "refused"))
    assert [finding.check for finding in lists_model(broken, "internvl2-2b")] == ["models.status"]


@pytest.mark.parametrize("version", ["0.18.0", "0.18.0+empty", "0.18.0+cpu"])
def test_a_version_is_reported_and_its_local_part_is_not_compared(version: str) -> None:
    assert reports_version(exchange("/version", {"version": version}), "0.18.0+empty") == []


@pytest.mark.parametrize("body", [{}, {"version": ""}, {"version": " "}, {"version": None}, [], "0.18.0"])
def test_a_version_that_is_not_reported_is_found(body: Any) -> None:
    assert [finding.check for finding in reports_version(exchange("/version", body))] == ["models.version"]


def test_another_version_is_found() -> None:
    (finding,) = reports_version(exchange("/version", {"version": "0.18.1"}), "0.18.0")

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
    assert metrics_present(page(PAGE), ["vllm:num_requests_running", "vllm:prompt_tokens_total"]) == []


def test_metrics_that_are_missing_are_named_together() -> None:
    (finding,) = metrics_present(page(PAGE), ["vllm:mm_cache_hits", "vllm:prompt_tokens", "vllm:num_requests_waiting"])

    assert finding.expected == "vllm:mm_cache_hits, vllm:num_requests_waiting"


def test_a_name_that_only_begins_the_same_is_not_present() -> None:
    assert metrics_present(page(PAGE), ["vllm:num_requests"]) != []


@pytest.mark.parametrize("text", ["<html>", "vllm:a one", 'vllm:a{b="c} 1', "vllm:a"])
def test_a_page_that_cannot_be_read_is_found(text: str) -> None:
    (finding,) = metrics_present(page(text), [])

    assert finding.expected == "a Prometheus text page"


def test_an_empty_page_lacks_what_is_required() -> None:
    assert metrics("") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a 1\n" * 2_000_000, f"more than {MOST_LINES} lines"),
        ("".join(f"a{number} 1\n" for number in range(300_000)), f"more than {MOST_LINES} lines"),
        ("a" * 3_000_000 + " 1", "line 1 has 3000002 characters"),
        ('a{b="' + "x" * 3_000_000, "line 1 has"),
        ('ok 1\na{b="' + '\\"' * 40_000 + '"} 1', "line 2 has"),
    ],
    ids=["lines", "names", "name", "label", "escapes"],
)
def test_a_page_without_end_is_read_in_one_bounded_pass(text: str, says: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=says):
        metrics(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 << 20


def test_a_block_of_many_digits_is_not_read() -> None:
    assert block_size(page('vllm:cache_config_info{block_size="' + "9" * 5000 + '"} 1\n')) is None
    assert metrics_present(page(""), ["vllm:num_requests_running"]) != []


def counters(prompt: float, generation: float) -> Exchange:
    return page(f"vllm:prompt_tokens_total {prompt}\nvllm:generation_tokens_total {generation}\n")


def moved(before: Exchange, after: Exchange) -> list[str]:
    found = metrics_moved(before, after, ("vllm:prompt_tokens", "vllm:generation_tokens"))
    return [finding.expected.partition(" ")[0] for finding in found]


def test_health_is_status_200_in_time() -> None:
    assert healthy(exchange("/health", b"")) == []
    assert [finding.observed for finding in healthy(exchange("/health", b"", 503))] == ["HTTP 503"]
    late = exchange("/health", b"", None, error=ErrorDetail("timeout", "nothing more within 5 s"))
    assert [finding.observed for finding in healthy(late)] == ["timeout: nothing more within 5 s"]


def test_each_counter_must_grow() -> None:
    assert moved(counters(5, 5), counters(6, 6)) == []
    assert moved(counters(5, 5), counters(6, 5)) == ["vllm:generation_tokens"]
    assert moved(counters(5, 5), counters(5, 4)) == ["vllm:prompt_tokens", "vllm:generation_tokens"]


def test_absent_counters_are_not_zero() -> None:
    assert moved(page(""), counters(1, 1)) == ["vllm:prompt_tokens", "vllm:generation_tokens"]
    (found, _) = metrics_moved(counters(1, 1), page(""), ("vllm:prompt_tokens", "vllm:generation_tokens"))
    assert found.observed == "1, then no finite value"


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e999"])
def test_a_counter_of_which_one_part_is_not_finite_is_absent(value: str) -> None:
    text = f'vllm:prompt_tokens_total{{engine="0"}} 5\nvllm:prompt_tokens_total{{engine="1"}} {value}\nvllm:a 1\n'
    assert metrics(text) == {"vllm:a": 1.0}


def test_a_reading_that_cannot_be_read_is_found() -> None:
    assert moved(page("<html>"), counters(1, 1)) == ["Prometheus"]


NAMES = ("prefix_cache_queries", "prefix_cache_hits", "mm_cache_queries", "mm_cache_hits")


def caches(*values: float, suffix: str = "_total") -> Exchange:
    lines = [f'vllm:{name}{suffix}{{engine="0"}} {value}' for name, value in zip(NAMES, values)]
    return page("\n".join([*lines, 'vllm:cache_config_info{block_size="128",engine="0"} 1.0', ""]))


@pytest.mark.parametrize("suffix", ["", "_total"])
def test_hits_of_both_caches_prove_their_use(suffix: str) -> None:
    prefix, pictures = cache_uses(caches(10, 2, 4, 1, suffix=suffix), caches(110, 34, 8, 3, suffix=suffix))
    assert (str(prefix), str(pictures)) == ("32 of 100 hit", "2 of 4 hit")
    assert without_hits([prefix, pictures]) == ""


def test_a_cache_without_a_hit_proves_nothing() -> None:
    used = cache_uses(caches(10, 2, 4, 1), caches(110, 2, 8, 3))
    assert without_hits(used) == "vllm:prefix_cache_hits did not grow (0 of 100 hit)"
    assert "mm_cache" in without_hits(cache_uses(caches(10, 2, 4, 1), caches(20, 3, 8, 1)))


@pytest.mark.parametrize("after", [caches(), exchange("/metrics", b"", 404), page("no figures"), page("x 1\n")])
def test_counters_that_are_not_reported_prove_nothing(after: Exchange) -> None:
    used = cache_uses(caches(1, 1, 1, 1), after)
    assert [use.hits for use in used] == [None, None]
    grew = "did not grow (not reported by /metrics)"
    assert without_hits(used) == f"vllm:prefix_cache_hits {grew}; vllm:mm_cache_hits {grew}"


def test_a_counter_that_fell_proves_nothing() -> None:
    used = cache_uses(caches(10, 9, 4, 3), caches(110, 4, 8, 1))
    assert without_hits(used).count("did not grow") == 2


def test_a_page_that_was_not_received_proves_nothing() -> None:
    lost = Exchange("r1", Request("GET", "/metrics"), "t", 0, 1, error=ErrorDetail("timeout", "late"))
    assert [use.hits for use in cache_uses(lost, caches(1, 1, 1, 1))] == [None, None]
    assert block_size(lost) is None


def test_prompts_must_be_longer_than_two_blocks() -> None:
    assert block_size(caches(1)) == 128
    assert block_size(page("vllm:other 1\n")) is None
    assert too_short(257, 128) == too_short(None, 128) == too_short(5, None) == ""
    assert "256 tokens, no more than two cache blocks of 128" in too_short(256, 128)


def test_a_figure_that_is_not_in_the_log_is_not_zero() -> None:
    assert shown(EngineFigures())["model_memory_gib"] == "not reported"
    assert shown(EngineFigures(model_memory_gib=4.12))["model_memory_gib"] == "4.12"


@pytest.mark.parametrize(("value", "found"), [(4.13, 0), (3.72, 0), (4.54, 0), (3.71, 1), (4.55, 1), (None, 0)])
def test_a_figure_beyond_its_tolerance_is_found(value: float | None, found: int) -> None:
    assert len(close_to(value, Measure(value=4.13, tolerance=0.1), "model memory")) == found


def test_a_figure_without_a_tolerance_is_reported_only() -> None:
    assert close_to(99.0, Measure(value=4.13), "model memory") == []


CAPTURED = EngineFigures(eager=False, cudagraph_mode="PIECEWISE", graph_capture_s=14.0, graphs_captured=35)
EAGER = EngineFigures(eager=True, cudagraph_mode="NONE")
# not eager by its configuration, but nothing was captured
NO_GRAPHS = EngineFigures(eager=False, cudagraph_mode="NONE")
NOT_CAPTURED = EngineFigures(eager=False, cudagraph_mode="PIECEWISE", graph_sizes=(1, 2))
NOTHING = EngineFigures()


@pytest.mark.parametrize(
    ("figures", "mode", "found"),
    [
        *((CAPTURED, "graph", 0), (CAPTURED, "eager", 1)),
        *((EAGER, "eager", 0), (EAGER, "graph", 1)),
        *((NO_GRAPHS, "eager", 0), (NO_GRAPHS, "graph", 1)),
        *((NOT_CAPTURED, "eager", 0), (NOT_CAPTURED, "graph", 1)),
        *((NOTHING, "eager", 0), (NOTHING, "graph", 1)),
    ],
)
def test_another_mode_than_the_profiles_is_found(figures: EngineFigures, mode: str, found: int) -> None:
    assert len(mode_is(figures, mode)) == found


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        (CAPTURED, "graph mode (PIECEWISE), 35 sizes captured in 14 s"),
        (EAGER, "eager mode (no graph captured, enforce_eager=True, cudagraph_mode NONE)"),
        (NO_GRAPHS, "eager mode (no graph captured, enforce_eager=False, cudagraph_mode NONE)"),
        (EngineFigures(graph_capture_s=14.0), "graph mode, unknown number of sizes captured in 14 s"),
        (NOTHING, "mode not reported"),
    ],
)
def test_a_mode_is_shown_with_its_reason(figures: EngineFigures, says: str) -> None:
    assert figures.mode_shown == says


def test_a_mode_is_found_in_the_log_that_shows_it() -> None:
    assert mode_is(EAGER, "graph", "offline.log")[0].where == "offline.log"


@pytest.mark.parametrize(
    ("sizes", "count", "found"),
    [((1, 2, 4), 3, 0), (None, 3, 0), ((1, 2, 4), None, 0), ((1, 2, 4), 4, 1), ((), 3, 1)],
)
def test_another_number_of_graphs_is_found(sizes: tuple[int, ...] | None, count: int | None, found: int) -> None:
    assert len(graphs_are(EngineFigures(graph_sizes=sizes), count)) == found


def test_captured_graphs_count_before_configured_sizes() -> None:
    assert graphs_are(EngineFigures(graph_sizes=(1, 2, 4), graphs_captured=3), 3) == []
    assert len(graphs_are(EngineFigures(graph_sizes=(1, 2, 4), graphs_captured=2), 3)) == 1
