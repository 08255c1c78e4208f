"""The plots of a stored run: each is there, and what it draws is what the run stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import stored_figures as made
from tests.support.charts import ChartRead, Group

from vlm_acceptance.report.plots.scale import duration
from vlm_acceptance.report.plots.sections import plots_of
from vlm_acceptance.report.plots.soak import rates, stretch_of
from vlm_acceptance.report.plots.stored import Section

PARTS = ("latency", "soak", "capacity", "accuracy", "logprobs", "timeline")


@pytest.fixture
def plots(tmp_path: Path) -> dict[str, Section]:
    folder = made.whole(tmp_path)
    return {one.id: one for one in plots_of(folder, json.loads((folder / "summary.json").read_text("utf-8")))}


def read(plots: dict[str, Section], ident: str) -> ChartRead:
    return ChartRead(plots[ident].svg)


def value(group: Group) -> float:
    (found,) = group.figures["value"]
    return found


def test_a_run_with_all_figures_has_every_plot(plots: dict[str, Section]) -> None:
    times = [f"capacity-{row}-{name}" for row in (0, 1) for name in ("ttft", "tpot", "ee")]
    assert list(plots) == [
        "latency-ttft", "latency-tpot", "latency-e2e",
        "soak-ttft", "soak-tpot", "soak-e2e", "soak-requests", "soak-output-tokens", "soak-in-flight",
        "soak-memory-rss",
        "capacity-rate", *times,
        "accuracy-subjects", "accuracy-scorers", "accuracy-letters", "accuracy-difference", "accuracy-changed",
        "accuracy-path", "accuracy-early-stop", "logprobs-0", "timeline", "timeline-waits",
    ]  # fmt: skip
    assert list(dict.fromkeys(one.part for one in plots.values())) == list(PARTS)
    assert all(one.title and one.caption for one in plots.values() if not one.id.startswith("capacity-"))


def test_a_run_without_figures_has_no_plot(tmp_path: Path) -> None:
    assert plots_of(tmp_path, {}) == []


@pytest.mark.parametrize("key", made.TIMES)
def test_latency_has_every_answer_cold_and_warm_apart(plots: dict[str, Section], key: str) -> None:
    chart, stored = read(plots, f"latency-{key.removesuffix('_s')}"), made.latency()["categories"]
    warm, cold = chart.group("warm"), None
    expected = [
        (place, sample[key])
        for place, name in enumerate(stored)
        for sample in stored[name]["samples"]
        if not sample["cold"]
    ]
    assert list(zip(warm.figures["y"], warm.figures["x"], strict=True)) == expected
    assert warm.titles == [duration(seconds) for _, seconds in expected]
    chart.require_places(warm)
    if key != "tpot_s":
        cold = chart.group("cold")
        assert cold.figures["x"] == [row["samples"][0][key] for row in stored.values()]
        chart.require_places(cold)
    assert ("cold" in " ".join(one.series for one in chart.groups)) == (cold is not None)


def test_latency_has_median_budget_and_the_figure_of_the_guide(plots: dict[str, Section]) -> None:
    chart, stored = read(plots, "latency-e2e"), made.latency()["categories"]
    medians = [sorted(one["e2e_s"] for one in row["samples"][1:])[1] for row in stored.values()]
    assert chart.group("median").figures == {"row": [0, 1], "begin": medians, "end": medians}
    assert chart.group("budget").figures["begin"] == [1.5, 1.5]
    assert chart.group("figure of the deployment guide").figures == {"row": [0], "begin": [1.66], "end": [1.66]}
    assert chart.group("budget").tone == "bad"
    assert read(plots, "latency-ttft").group("budget").figures == {"row": [0], "begin": [0.3], "end": [0.3]}


@pytest.mark.parametrize("key", made.TIMES)
def test_soak_has_every_answer_the_fit_and_its_limit(plots: dict[str, Section], key: str) -> None:
    chart, stored = read(plots, f"soak-{key.removesuffix('_s')}"), made.soak()
    answers, seen = stored["answers"], chart.group("answer")
    expected = [row for row in zip(answers["began_s"], answers[key], strict=True) if row[1] is not None]
    assert list(zip(seen.figures["x"], seen.figures["y"], strict=True)) == expected
    chart.require_places(seen)
    assert chart.group("fit").figures == {"x": stored["fits"][key]["x"], "y": stored["fits"][key]["y"]}
    assert chart.group("steepest").figures["y"] == stored["fits"][key]["limit_y"]
    assert "change by 5 % (99 % interval -2 % to 12 %, 80 answers); the limit is 50 %" in plots[chart_id(key)].caption


def chart_id(key: str) -> str:
    return f"soak-{key.removesuffix('_s')}"


def test_soak_has_the_budgets_of_percentiles(plots: dict[str, Section]) -> None:
    budget = read(plots, "soak-ttft").group("budget of the p99: 2 s")
    assert value(budget) == 2.0


def test_soak_counts_answers_and_tokens_when_they_were_complete(plots: dict[str, Section]) -> None:
    answers = made.soak()["answers"]
    for ident, total in (("soak-requests", 80), ("soak-output-tokens", sum(answers["tokens"]))):
        chart = read(plots, ident)
        (seen,) = [one for one in chart.groups if one.kind == "points"]
        chart.require_places(seen)
        # 30.5 s in stretches of 1 s, the last of 0.5 s: every answer is counted once
        assert len(seen.figures["x"]) == 31
        assert sum(seen.figures["y"][:-1]) + seen.figures["y"][-1] / 2 == pytest.approx(total)
    assert value(read(plots, "soak-requests").group("least")) == 2.0


def test_rates_are_sums_by_time() -> None:
    middles, found = rates([0.5, 0.6, 1.5, 2.2], [1.0, 1.0, 1.0, 1.0], 2.5, 1.0)
    assert middles == [0.5, 1.5, 2.25] and found == [2.0, 1.0, 2.0]


@pytest.mark.parametrize(("whole", "width"), [(0.1, 1), (40, 1), (41, 2), (600, 15), (86_400, 3600), (1e7, 250_000)])
def test_stretches_of_time_are_round_and_few(whole: float, width: float) -> None:
    assert stretch_of(whole) == width and whole / width <= 40


def test_soak_has_requests_in_flight_ours_and_the_servers(plots: dict[str, Section]) -> None:
    chart, readings = read(plots, "soak-in-flight"), made.soak()["readings"]
    for name, key in (("sent", "in_flight"), ("running", "running"), ("waiting", "waiting")):
        assert chart.group(name).figures == {"x": readings["at_s"], "y": readings[key]}
    assert "8 requests at once" in plots["soak-in-flight"].caption


def test_memory_has_the_fit_by_requests_drawn_over_time(plots: dict[str, Section]) -> None:
    chart, readings = read(plots, "soak-memory-rss"), made.soak()["readings"]
    assert chart.group("reading").figures == {"x": readings["at_s"], "y": readings["rss_mb"]}
    fitted = chart.group("fit").figures
    # 30 requests are done at 10 s, 90 at 30 s
    assert fitted["x"] == [float(at) for at in range(10, 31)]
    assert (fitted["y"][0], fitted["y"][-1]) == (901, 903) and fitted["y"][10] == pytest.approx(902)
    assert chart.group("steepest").figures["y"][-1] == pytest.approx(930)
    assert "0.05 KB a request (99 % interval -0.02 to 0.12, 80 readings); the limit is 0.5 KB" in (
        plots["soak-memory-rss"].caption
    )


def test_capacity_has_percentiles_budgets_and_the_capacity(plots: dict[str, Section]) -> None:
    chart = read(plots, "capacity-0-ttft")
    for name, factor in (("P50", 1), ("P90", 2), ("P99", 3)):
        seen = chart.group(name)
        assert seen.figures["x"] == [1, 4, 16]
        assert seen.figures["y"] == [factor * (at_once / 100) for at_once in (1, 4, 16)]
        chart.require_places(seen)
    assert value(chart.group("budget of the P90")) == 0.2
    assert value(chart.group("capacity: 4 at once")) == 4
    assert chart.group("capacity").tone == "good"
    assert "Capacity 4: lost twice at 16: why" in plots["capacity-1-ee"].caption
    rate = read(plots, "capacity-rate")
    assert rate.group("one_tile-512, 515 prompt tokens").figures["y"] == [64.5, 258, 1032]


def test_accuracy_has_intervals_and_the_reference(plots: dict[str, Section]) -> None:
    chart, report = read(plots, "accuracy-subjects"), made.accuracy()
    rows = [report["total"], *report["subjects"].values()]
    seen = chart.group("right answers").figures
    assert seen["place"] == [0, 1, 2]
    assert all(
        seen[key] == [row[key if key != "value" else "share"] for row in rows] for key in ("value", "low", "high")
    )
    assert value(chart.group("fewest accepted")) == 80 / 120
    assert value(chart.group("most accepted")) == 118 / 120
    assert value(chart.group("published reference")) == 88 / 120
    scorers = read(plots, "accuracy-scorers").group("right answers")
    assert scorers.figures["value"] == [90 / 120, 88 / 120]
    assert scorers.titles[1].startswith("two: 88 of 120")
    assert "The scorer one decides." in plots["accuracy-scorers"].caption


def test_intervals_are_drawn_from_their_low_to_their_high_end(plots: dict[str, Section]) -> None:
    chart = read(plots, "accuracy-subjects")
    seen = chart.group("right answers")
    for mark, low, high in zip(seen.marks, seen.figures["low"], seen.figures["high"], strict=True):
        line = next(one.attrib["d"] for one in mark.iter("path") if one.attrib.get("class") == "line")
        start, end = line.removeprefix("M").split("H")
        assert chart.x.near(float(start.split(",")[0]), low) and chart.x.near(float(end), high)


def test_letters_given_stand_beside_the_right_ones(plots: dict[str, Section]) -> None:
    chart = read(plots, "accuracy-letters")
    assert chart.group("given").figures == {"place": [0, 1, 2], "value": [40, 30, 0]}
    assert chart.group("right").figures == {"place": [0, 1, 2], "value": [35, 30, 5]}
    heights = [float(mark.attrib["height"]) for mark in chart.group("given").marks]
    assert heights[0] / heights[1] == pytest.approx(40 / 30, rel=0.01) and heights[2] == 0


def test_what_changed_against_the_stored_run(plots: dict[str, Section]) -> None:
    chart = read(plots, "accuracy-difference")
    assert chart.group("gained less lost").figures == {
        "place": [0], "value": [1 / 120], "low": [-0.03], "high": [0.05],
    }  # fmt: skip
    assert value(chart.group("margin")) == -0.03 and value(chart.group("no difference")) == 0
    changed = read(plots, "accuracy-changed")
    assert changed.group("lost").figures == {"place": [0], "value": [3]}
    assert changed.group("gained").figures == {"place": [0], "value": [4]}


def test_the_early_stop_has_its_path_and_its_bounds(plots: dict[str, Section]) -> None:
    stored = made.early_stop()
    path = read(plots, "accuracy-path")
    assert path.group("right answers so far").figures == {"x": stored["asked"], "y": stored["right"]}
    assert path.group("below this line 80 of 120").figures == {"x": [40, 120], "y": [0, 80]}
    chart = read(plots, "accuracy-early-stop")
    assert chart.group("evidence for too low").figures["y"] == [max(one, 1e-3) for one in stored["score"]]
    assert value(chart.group("too low a score: stop at 1,000")) == 1000
    assert "drawn at 0.001" in plots["accuracy-early-stop"].caption
    assert "not stopped early" in plots["accuracy-path"].caption


def test_log_probabilities_have_a_point_a_prompt_and_the_limits(plots: dict[str, Section]) -> None:
    chart, stored = read(plots, "logprobs-0"), made.logprobs()
    seen = chart.group("prompt")
    assert seen.figures["y"] == [row["mean"] for row in stored["prompts"][:-1]]
    assert seen.titles[3] == "p3: 0.003"
    chart.require_places(seen)
    assert value(chart.group("limit of a prompt")) == 0.1 and value(chart.group("limit of the mean")) == 0.04
    assert value(chart.group("mean of all")) == 0.0055
    assert (
        "1 prompts cannot be compared" in plots["logprobs-0"].caption and "control.jsonl" in plots["logprobs-0"].caption
    )


def test_the_timeline_has_stages_and_tests_by_outcome(plots: dict[str, Section]) -> None:
    chart, stored = read(plots, "timeline"), made.timeline()
    assert chart.group("stage").figures == {"row": [0, 1], "begin": [1, 21], "end": [20, 40]}
    assert chart.group("step of the start").figures == {"row": [2], "begin": [22], "end": [30]}
    tones = {"passed": "good", "failed": "bad", "error": "open", "not run": "idle"}
    for number, (outcome, tone) in enumerate(tones.items()):
        group = chart.group(outcome)
        assert group.figures == {"row": [3], "begin": [40 + number], "end": [41 + number]} and group.tone == tone
        assert group.titles == [f"test_{number}: 1 s"]
        (mark,) = group.marks
        assert chart.x.near(float(mark.attrib["x"]), 40 + number)
    waits = read(plots, "timeline-waits")
    assert waits.groups[0].figures == {"x": [40.5, 41.5, 42.5], "y": stored["waits"]["waited_s"]}
    assert "Together 750 ms of 3 s" in plots["timeline-waits"].caption
    assert "2026-11-01 08:00:00 (UTC)" in plots["timeline"].caption
