"""Figures of a page have the units that their names say."""

from __future__ import annotations

from typing import Any

import pytest

from vlm_acceptance.report.units import duration, figure, percentiles, plain, size


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("requests_per_s", "33.75", "33.75 per second"),
        ("output_tokens_per_s", "112.0", "112.0 per second"),
        ("rss_kb_per_request", "0.2 (99 % interval -1 to 2)", "0.2 (99 % interval -1 to 2) KB per request"),
        ("ttft_s", "0.021251229", "21.3 ms"),
        ("seconds", "30.5", "30.50 s"),
        ("weights_bytes", "4144896", "4,144,896 bytes"),
        ("hbm_mb", "3161.0 to 3162.5", "3161.0 to 3162.5 MB"),
        ("kv_cache_gib", "0.25", "0.25 GiB"),
        ("model_memory_gib", "not reported", "not reported"),
        ("graph_capture_s", "not reported", "not reported"),
        ("ttft_s", "nan", "nan"),
        ("ttft_s", "1e999", "1e999"),
        ("tokens", "16", "16"),
        ("tile_px", "112", "112 px"),
    ],
)
def test_a_figure_has_the_unit_of_its_name(name: str, value: str, shown: str) -> None:
    assert figure(value, name) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.0 ms"), (0.04, "40.0 ms"), (3.2, "3.20 s"), (59.0, "59.00 s"), (320, "5 min 20 s"), (7260, "2 h 1 min")],
)
def test_a_duration_is_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (8_614_791, "8.6 MB")])
def test_a_size_is_short(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ([], "–"),
        (True, "yes"),
        (1576320, "1,576,320"),
        (0.5, "0.5"),
        ({"a": [1, 2]}, "a 1, 2"),
        ("text", "text"),
    ],
)
def test_a_value_is_plain_text(value: Any, shown: str) -> None:
    assert plain(value) == shown


def test_percentiles_are_times() -> None:
    assert percentiles({"p50": 0.01, "p90": 0.2, "p99": 3.0}) == "10.0 ms / 0.20 s / 3.00 s"
    assert percentiles(None) == "no data"
