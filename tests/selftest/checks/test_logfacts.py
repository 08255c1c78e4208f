"""Figures from the engine's log: judged only where the profile gives a tolerance and the log tells."""

from __future__ import annotations

import pytest

from vlm_acceptance.checks.logfacts import close_to, graphs_are, mode_is, shown
from vlm_acceptance.config.profile import Measure
from vlm_acceptance.engine.log import figures

EMPTY = figures([])


def with_(**values: object) -> object:
    return type(EMPTY)(**{**shown_values(), **values})


def shown_values() -> dict[str, object]:
    return {name: getattr(EMPTY, name) for name in EMPTY.__dataclass_fields__}


def test_what_the_log_does_not_say_is_not_zero() -> None:
    assert shown(EMPTY)["model_memory_gib"] == "not reported"
    assert shown(with_(model_memory_gib=4.12))["model_memory_gib"] == "4.12"


@pytest.mark.parametrize(("value", "found"), [(4.13, 0), (3.72, 0), (4.54, 0), (3.71, 1), (4.55, 1), (None, 0)])
def test_a_figure_beyond_its_tolerance_is_found(value: float | None, found: int) -> None:
    assert len(close_to(value, Measure(value=4.13, tolerance=0.1), "model memory")) == found


def test_a_figure_without_a_tolerance_is_reported_only() -> None:
    assert close_to(99.0, Measure(value=4.13), "model memory") == []


@pytest.mark.parametrize(
    ("eager", "mode", "found"),
    [(True, "eager", 0), (False, "graph", 0), (None, "graph", 0), (True, "graph", 1), (False, "eager", 1)],
)
def test_another_mode_than_the_profiles_is_found(eager: bool | None, mode: str, found: int) -> None:
    assert len(mode_is(with_(eager=eager), mode)) == found


@pytest.mark.parametrize(
    ("sizes", "count", "found"),
    [((1, 2, 4), 3, 0), (None, 3, 0), ((1, 2, 4), None, 0), ((1, 2, 4), 4, 1), ((), 3, 1)],
)
def test_another_number_of_graphs_is_found(sizes: tuple[int, ...] | None, count: int | None, found: int) -> None:
    assert len(graphs_are(with_(graph_sizes=sizes), count)) == found
