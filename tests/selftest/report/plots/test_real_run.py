"""The plots of a real slow run of the control: all are there, and each is read back against the stored figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.charts import ChartRead

from vlm_acceptance.report.plots.sections import plots_of
from vlm_acceptance.report.plots.soak import rates, stretch_of
from vlm_acceptance.report.plots.stored import Section, thinned

# an accepted run of -m "smoke or slow": its latency, soak, ladder, log probabilities and accuracy
RUN = Path(__file__).resolve().parents[2] / "data" / "slow_run"
SUMMARY = json.loads((RUN / "summary.json").read_text("utf-8"))
TIMES = {"ttft_s": "ttft", "tpot_s": "tpot", "e2e_s": "e2e"}
MOST_BYTES = 400_000


def observation(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RUN / "observations" / f"{name}.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def plots() -> dict[str, Section]:
    return {one.id: one for one in plots_of(RUN, SUMMARY)}


def read(plots: dict[str, Section], ident: str) -> ChartRead:
    return ChartRead(plots[ident].svg)


def column(points: list[tuple[Any, Any]], most: int = 1000) -> tuple[list[float], list[float]]:
    """The points with both values, as many as a plot shows."""
    known = [point for point in points if None not in point]
    rows = thinned(range(len(known)), most)
    return [known[row][0] for row in rows], [known[row][1] for row in rows]


def test_every_plot_of_a_slow_run_is_there_and_all_are_small(plots: dict[str, Section]) -> None:
    wanted = {f"latency-{name}" for name in TIMES.values()} | {f"soak-{name}" for name in TIMES.values()}
    wanted |= {"soak-requests", "soak-output-tokens", "soak-in-flight", "soak-memory-rss", "capacity-rate"}
    wanted |= {"accuracy-subjects", "accuracy-scorers", "accuracy-letters", "accuracy-path", "accuracy-early-stop"}
    wanted |= {"timeline", "timeline-waits"}
    assert wanted <= plots.keys()
    assert sum(ident.startswith("logprobs-") for ident in plots) == len(list(RUN.glob("observations/logprobs-*")))
    assert sum(ident.startswith("capacity-") for ident in plots) == 1 + 3 * len(SUMMARY["capacity"])
    assert sum(len(one.svg.encode()) for one in plots.values()) <= MOST_BYTES


@pytest.mark.parametrize("key", TIMES)
def test_latency(plots: dict[str, Section], key: str) -> None:
    chart, stored = read(plots, f"latency-{TIMES[key]}"), observation("latency")["categories"]
    for is_cold, name in ((False, "warm answer"), (True, "cold answer")):
        rows = [
            (place, sample[key])
            for place, category in enumerate(stored.values())
            for sample in category["samples"]
            if sample["cold"] is is_cold and sample[key] is not None
        ]
        if not rows:
            continue
        group = chart.group(name)
        assert list(zip(group.figures["y"], group.figures["x"], strict=True)) == rows
        chart.require_places(group)
    budgets = [category["budget"].get(key) for category in stored.values()]
    assert chart.group("budget").figures["begin"] == [value for value in budgets if value is not None]


@pytest.mark.parametrize("key", TIMES)
def test_times_of_the_soak_and_their_fit(plots: dict[str, Section], key: str) -> None:
    chart, stored = read(plots, f"soak-{TIMES[key]}"), observation("soak-figures")
    group = chart.group("answer")
    answers = stored["answers"]
    assert (group.figures["x"], group.figures["y"]) == column(list(zip(answers["began_s"], answers[key], strict=True)))
    chart.require_places(group)
    fit = stored["fits"].get(key)
    if fit is not None:
        assert chart.group("fit that is judged").figures == {"x": fit["x"], "y": fit["y"]}
        assert chart.group("steepest").figures == {"x": fit["x"], "y": fit["limit_y"]}


def test_the_fits_of_the_soak_lie_among_their_points(plots: dict[str, Section]) -> None:
    for ident in ("soak-ttft", "soak-e2e", "soak-memory-rss"):
        chart = read(plots, ident)
        points = next(group for group in chart.groups if group.kind == "points").figures["y"]
        fitted = chart.group("fit that is judged").figures["y"]
        room = 0.2 * (max(points) - min(points))
        assert min(points) - room <= min(fitted) and max(fitted) <= max(points) + room


def test_rates_of_the_soak(plots: dict[str, Section]) -> None:
    stored = observation("soak-figures")
    answers, seconds = stored["answers"], stored["seconds"]
    rows = zip(answers["began_s"], answers["e2e_s"], answers["tokens"], strict=True)
    done = [(began + took, tokens or 0) for began, took, tokens in rows if took is not None]
    for ident, weights in (("soak-requests", [1.0] * len(done)), ("soak-output-tokens", [one for _, one in done])):
        chart = read(plots, ident)
        group = next(one for one in chart.groups if one.kind == "points")
        expected = rates([end for end, _ in done], weights, seconds, stretch_of(seconds))
        assert (group.figures["x"], group.figures["y"]) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
        chart.require_places(group)


def test_requests_in_flight_and_memory(plots: dict[str, Section]) -> None:
    readings = observation("soak-figures")["readings"]
    chart = read(plots, "soak-in-flight")
    for key, name in (("in_flight", "sent"), ("running", "running"), ("waiting", "waiting")):
        expected = column(list(zip(readings["at_s"], readings[key], strict=True)), 300)
        assert (chart.group(name).figures["x"], chart.group(name).figures["y"]) == expected
    memory = read(plots, "soak-memory-rss").group("reading").figures
    assert (memory["x"], memory["y"]) == column(list(zip(readings["at_s"], readings["rss_mb"], strict=True)))


def test_capacity(plots: dict[str, Section]) -> None:
    for place, row in enumerate(SUMMARY["capacity"]):
        last = {step["concurrency"]: step for step in row["steps"]}
        for key, name in (("ttft_s", "ttft"), ("tpot_s", "tpot"), ("e2e_s", "ee")):
            chart = read(plots, f"capacity-{place}-{name}")
            for quantile in ("p50", "p90", "p99"):
                seen = {at_once: step[key][quantile] for at_once, step in last.items() if step[key]}
                group = chart.group(quantile.upper())
                assert dict(zip(group.figures["x"], group.figures["y"], strict=True)) == seen
                chart.require_places(group)
            if row["capacity"]:
                assert chart.group("capacity").figures["value"] == [row["capacity"]]
        rate = read(plots, "capacity-rate").group(f"{row['prompt']}, ")
        assert rate.figures["y"] == [step["output_tokens_per_s"] for step in last.values()]


def test_accuracy(plots: dict[str, Section]) -> None:
    (path,) = RUN.glob("*_accuracy_*.json")
    report = json.loads(path.read_text("utf-8"))
    rows = [report["total"], *report["subjects"].values()]
    seen = read(plots, "accuracy-subjects").group("right answers").figures
    for key, stored in (("value", "share"), ("low", "low"), ("high", "high")):
        assert seen[key] == [row[stored] for row in rows]
    scorers = read(plots, "accuracy-scorers").group("right answers").figures
    assert scorers["value"] == [row["share"] for row in report["scorers"].values()]
    letters, chart = report["letters"], read(plots, "accuracy-letters")
    names = sorted({*letters["answers"], *letters["golds"]})
    assert chart.group("given").figures["value"] == [letters["answers"].get(name, 0) for name in names]
    assert chart.group("right").figures["value"] == [letters["golds"].get(name, 0) for name in names]


def test_the_early_stop(plots: dict[str, Section]) -> None:
    stored, chart = observation("early-stop"), read(plots, "accuracy-early-stop")
    assert read(plots, "accuracy-path").group("right answers").figures == {"x": stored["asked"], "y": stored["right"]}
    for key, name in (("score", "evidence for too low"), ("letters", "evidence for one letter")):
        assert chart.group(name).figures["y"] == [max(value, 1e-3) for value in stored[key]]
    assert stored["right"][-1] == json.loads(next(RUN.glob("*_accuracy_*.json")).read_text("utf-8"))["total"]["right"]


def test_log_probabilities(plots: dict[str, Section]) -> None:
    for place, path in enumerate(sorted(RUN.glob("observations/logprobs-*.json"))):
        stored = observation(path.stem)
        chart = read(plots, f"logprobs-{place}")
        group = chart.group("prompt")
        assert group.figures["y"] == [row["mean"] for row in stored["prompts"] if row["mean"] is not None]
        chart.require_places(group)
        assert chart.group("limit of a prompt").figures["value"] == [stored["limit_prompt"]]


def test_the_timeline(plots: dict[str, Section]) -> None:
    stored, chart = observation("timeline"), read(plots, "timeline")
    tones = {"passed": "good", "failed": "bad", "error": "open", "to be calibrated": "open"}
    tests = [span for span in stored["spans"] if span["kind"] == "test"]
    for tone in ("good", "bad", "open", "idle"):
        own = [span for span in tests if tones.get(span["outcome"], "idle") == tone]
        drawn = [group for group in chart.groups if group.tone == tone]
        assert [end for group in drawn for end in group.figures["end"]] == [span["end_s"] for span in own]
    stages = [span for span in stored["spans"] if span["kind"] == "stage"]
    assert chart.group("stage").figures["begin"] == [span["begin_s"] for span in stages]
    assert chart.group("step of the start").figures["end"] == [step["end_s"] for step in stored["readiness"]]
    waits = stored["waits"]
    shares = [
        waited / (end - begin)
        for begin, end, waited in zip(waits["begin_s"], waits["end_s"], waits["waited_s"], strict=True)
    ]
    assert read(plots, "timeline-waits").groups[0].figures["y"] == pytest.approx(shares)
