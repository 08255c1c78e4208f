"""Scales and ticks of charts: round ticks around the data, on linear, logarithmic, time and named axes."""

from __future__ import annotations

import itertools
import math

import pytest

from vlm_acceptance.report.plots.scale import Axis, Kind, clock, duration, is_shown, number, percent, scale_of


def ticks(axis: Axis, *values: float) -> list[str]:
    return [text for _, text in scale_of(axis, values, 0, 400).ticks]


@pytest.mark.parametrize(
    ("axis", "values", "texts"),
    [
        (Axis(""), (0.0, 10.0), ["0", "2", "4", "6", "8", "10"]),
        (Axis("", zero=True), (3.0, 9.4), ["0", "2", "4", "6", "8", "10"]),
        (Axis(""), (1000.0, 3000.0), ["1,000", "1,500", "2,000", "2,500", "3,000"]),
        (Axis("", Kind.SECONDS), (0.0, 0.25), ["0", "50 ms", "100 ms", "150 ms", "200 ms", "250 ms"]),
        (Axis("", Kind.SHARE, low=0.0, high=1.0), (0.5,), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (Axis("", Kind.SECONDS, log=True), (0.01, 1.0), ["10 ms", "100 ms", "1 s"]),
        (Axis("", log=True), (1.0, 64.0), ["1", "2", "5", "10", "20", "50", "100"]),
        (Axis("", Kind.TIME), (0.0, 30.0), ["0", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s"]),
        (Axis("", Kind.TIME), (0.0, 7200.0), ["0", "30:00", "1:00:00", "1:30:00", "2:00:00"]),
        (Axis("", Kind.DATE), (1764547200.0, 1764547200.0 + 6 * 86400), [f"12-0{n}" for n in range(1, 8)]),
        (Axis("", names=["a", "b"]), (), ["a", "b"]),
    ],
)
def test_ticks_are_round_and_have_units(axis: Axis, values: tuple[float, ...], texts: list[str]) -> None:
    assert ticks(axis, *values) == texts


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        (),
        (1.0,),
        (0.5, 0.5),
        (1e-9, 1e15),
        (1.0, 1.0000001),
        (1e15,),
        (2e-9,),
        (1e-9, 1e-8),
        (999.0, 1001.0),
        (7.0, 1e9),
    ],
)
def test_every_scale_is_finite_and_holds_its_values(kind: Kind, log: bool, values: tuple[float, ...]) -> None:
    scale = scale_of(Axis("", kind, log=log), values, 0, 400)
    assert scale.low < scale.high and 1 <= len(scale.ticks) <= 40
    for value in values:
        assert -0.01 <= scale.at(value) <= 400.01
        assert scale.low * (1 - 1e-6) <= value <= scale.high * (1 + 1e-6)
    assert all(math.isfinite(scale.at(value)) for value, _ in scale.ticks)
    assert [a < b for (a, _), (b, _) in itertools.pairwise(scale.ticks)] == [True] * (len(scale.ticks) - 1)


@pytest.mark.parametrize("axis", [Axis(""), Axis("", zero=True)])
@pytest.mark.parametrize("values", [(-5.0, -5.0), (0.0, 0.0), (-1e15, 1e15), (-3.0, 2.0)])
def test_a_linear_scale_takes_zero_and_negative_values(axis: Axis, values: tuple[float, ...]) -> None:
    scale = scale_of(axis, values, 0, 400)
    assert scale.low <= min(values) <= max(values) <= scale.high and scale.low < scale.high


def test_a_value_beyond_the_scale_is_placed_at_its_end() -> None:
    scale = scale_of(Axis(""), (0.0, 10.0), 100, 200)
    assert scale.at(-5) == 100 and scale.at(99) == 200 and scale.at(5) == 150


def test_a_logarithmic_scale_has_equal_steps_for_equal_factors() -> None:
    scale = scale_of(Axis("", log=True), (0.1, 10.0), 0, 400)
    assert scale.at(1.0) == pytest.approx(200)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e16, True, "1", None, [1], 10**400])
def test_what_is_no_number_of_an_axis_is_not_shown(value: object) -> None:
    assert not is_shown(value)


def test_zero_is_shown_on_a_linear_axis_only() -> None:
    assert is_shown(0) and not is_shown(0, log=True) and is_shown(1e-9, log=True)


def test_values_are_written_with_fitting_units() -> None:
    assert [duration(value) for value in (0, 2e-5, 0.0123, 1.5, 599, 900)] == [
        "0", "20 µs", "12.3 ms", "1.5 s", "599 s", "15 min",
    ]  # fmt: skip
    assert [clock(value) for value in (0, 5, 65, 3600 + 62, -70)] == ["0", "5 s", "1:05", "1:01:02", "-1:10"]
    assert [number(value) for value in (0, 0.12345, 12345.6, -2, 1e12)] == ["0", "0.1235", "12,346", "-2", "1e+12"]
    assert percent(0.256) == "25.6 %"
