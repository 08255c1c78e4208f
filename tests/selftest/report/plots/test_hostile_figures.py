"""Figures of a stored run that comes from elsewhere: whatever they are, the plots are sound and of bounded size."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import stored_figures as made
from tests.support.charts import ChartRead

from vlm_acceptance.report.plots.sections import plots_of, unreadable
from vlm_acceptance.report.plots.stored import MOST_POINTS, pairs, thinned

HOSTILE: list[Any] = [
    None, True, "", "<script>alert(1)</script>\x1b[2J\u202e", 1e308, -1e308, 10**30, 0, -1, 5e-324, [], {}, [[]],
    [None], ["x", {}, []], {"x": {"y": []}}, {"p50": "x"}, ["<svg onload=x>"] * 3,
    [1e308] * 40, {"<b>": {"samples": [{}]}},
]  # fmt: skip


def changed(value: Any, turn: Iterator[int]) -> Iterator[Any]:
    """The value with each of its parts replaced in two ways, one at a time; of a list only the first entry."""
    if isinstance(value, dict):
        for key, inner in value.items():
            for part in changed(inner, turn):
                yield {**value, key: part}
    elif isinstance(value, list) and value:
        for part in changed(value[0], turn):
            yield [part, *value[1:]]
    for _ in range(2):
        yield HOSTILE[next(turn) % len(HOSTILE)]


def hostile(value: Any) -> Iterator[Any]:
    """Whatever a stored file may hold: each hostile value, and those in place of a part."""
    return itertools.chain(HOSTILE, changed(value, itertools.count()))


def require_sound(folder: Path, described: Any) -> None:
    for section in plots_of(folder, described):
        ChartRead(section.svg)
        assert "<script" not in section.svg and "<svg onload" not in section.svg


@pytest.mark.parametrize("name", made.observations())
def test_any_observation_makes_sound_plots(tmp_path: Path, name: str) -> None:
    for value in hostile({**made.observations(), "soak-figures": made.soak(20)}[name]):
        require_sound(made.stored(tmp_path, {name: value}, {}, {}), {"guide": made.summary()["guide"]})


def test_any_report_of_an_accuracy_run_makes_sound_plots(tmp_path: Path) -> None:
    for value in hostile(made.accuracy()):
        require_sound(made.stored(tmp_path, {}, {}, value), {})


def test_any_summary_makes_sound_plots(tmp_path: Path) -> None:
    folder = made.stored(tmp_path, {"latency": made.latency()}, {}, {})
    for value in hostile(made.summary()):
        if isinstance(value, dict):
            require_sound(folder, value)


@pytest.mark.parametrize("text", ["", "{", "[NaN]", '{"answers": {"began_s": [NaN]}}', "\x00", "[" * 1000, "null"])
def test_a_file_that_is_no_json_makes_no_plot(tmp_path: Path, text: str) -> None:
    folder = made.whole(tmp_path)
    for path in (folder / "observations").iterdir():
        path.write_text(text, "utf-8")
    (folder / "npu_accuracy_mmmu_val.json").write_text(text, "utf-8")
    assert plots_of(folder, {}) == []
    assert len(unreadable(folder)) == (0 if text == "null" else 6)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = made.whole(tmp_path)
    assert unreadable(folder) == [] == unreadable(tmp_path / "absent")
    (folder / "observations" / "timeline.json").write_text('{"spans": [NaN]}', "utf-8")
    (said,) = unreadable(folder)
    assert said == "timeline.json is not valid JSON: NaN at $.spans[0] is not a number of JSON: its plots are missing"


def test_a_long_soak_is_thinned_and_says_so(tmp_path: Path) -> None:
    folder = made.stored(tmp_path, {"soak-figures": made.soak(9000)}, {}, {})
    sections = {one.id: one for one in plots_of(folder, {})}
    seen = ChartRead(sections["soak-ttft"].svg).group("answer")
    assert len(seen.figures["x"]) == MOST_POINTS and seen.figures["x"][0] == 0
    assert "1000 of 9000 values are shown" in sections["soak-ttft"].caption
    assert sum(len(one.svg) for one in sections.values()) < 200_000


def test_values_that_are_no_numbers_are_counted_in_the_caption(tmp_path: Path) -> None:
    stored = copy.deepcopy(made.soak())
    stored["answers"]["ttft_s"][:3] = ["fast", 1e300, [1]]
    sections = {one.id: one for one in plots_of(made.stored(tmp_path, {"soak-figures": stored}, {}, {}), {})}
    assert "3 values are no finite numbers" in sections["soak-ttft"].caption
    assert len(ChartRead(sections["soak-ttft"].svg).group("answer").figures["x"]) == 77


def test_thousands_of_tests_and_prompts_stay_small(tmp_path: Path) -> None:
    timeline, logprobs = made.timeline(), made.logprobs()
    timeline["spans"] = [{**timeline["spans"][2], "name": "t" * 500, "area": f"area {n}"} for n in range(5000)]
    logprobs["prompts"] = [{**logprobs["prompts"][1], "id": "i" * 500} for _ in range(5000)]
    observed = json.loads(json.dumps({"timeline": timeline, "logprobs-x": logprobs}))
    sections = {one.id: one for one in plots_of(made.stored(tmp_path, observed, {}, {}), {})}
    assert "4000 further tests are not shown" in sections["timeline"].caption
    assert all(len(one.svg) < 300_000 for one in sections.values())


def test_thinned_rows_keep_the_first_and_the_last() -> None:
    rows = thinned(range(10_001), 1000)
    assert len(rows) == 1000 and (rows[0], rows[-1]) == (0, 10_000) and len(set(rows)) == 1000
    assert thinned([4, 5], 1000) == [4, 5] and thinned([1, 2, 3], 1) == [1]


def test_pairs_need_numbers_in_both_columns() -> None:
    found = pairs([0, 1, "2", 3, None], [5.0, None, 6.0, float("nan"), 7.0])
    assert (found.x, found.y, found.of, found.left_out) == ([0.0], [5.0], 4, 3)
