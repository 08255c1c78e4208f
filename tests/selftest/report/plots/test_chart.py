"""Charts as SVG: readable without colours and scripts, safe with any text, and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.charts import ChartRead

from vlm_acceptance.report.html import TEMPLATES
from vlm_acceptance.report.plots.chart import Chart
from vlm_acceptance.report.plots.marks import TITLED, Band, Bars, Intervals, Line, Points, Series, width_of
from vlm_acceptance.report.plots.references import Reference, Spans
from vlm_acceptance.report.plots.scale import Axis, Kind

ODD = [float("nan"), float("inf"), 1e300, -1e300, 0.0, -1.0, 5e-324]
HOSTILE = "<script>alert(1)</script>\" onload='x' &amp; \x00\x1b[2J\u202e ]]> 中文"


def chart(*series: Series, x: Axis | None = None, y: Axis | None = None) -> ChartRead:
    return ChartRead(Chart("Title", "What it shows.", x or Axis("x"), y or Axis("y"), series).svg)


def every(name: str, xs: list[float]) -> list[Series]:
    return [
        Points(name, xs, xs, [name] * len(xs), joined=True),
        Line(name, xs, xs, text=name),
        Line(name, xs, xs, steps=True),
        Band(name, xs, xs, xs),
        Bars(name, xs, xs, [name] * len(xs)),
        Bars(name, xs, xs, across=True),
        Intervals(name, xs, xs, xs, xs, [name] * len(xs)),
        Intervals(name, xs, xs, xs, xs, across=True),
        Spans(name, xs, xs, xs, [name] * len(xs)),
        *(Reference(name, value) for value in xs),
        *(Reference(name, value, upright=True) for value in xs),
    ]


@pytest.mark.parametrize("log", [False, True])
def test_what_no_axis_can_show_is_not_drawn(log: bool) -> None:
    for one in every("s", [*ODD, 2.0]):
        ChartRead(Chart("t", "d", Axis("", log=log), Axis("", log=log), [one, Points("", [1.0], [1.0])]).svg)


def test_a_chart_without_any_value_is_sound() -> None:
    for one in [*every("s", []), Reference("r", float("nan"))]:
        assert chart(one).x.low < chart(one).x.high


@pytest.mark.parametrize("x", [Axis(HOSTILE), Axis("x", names=[HOSTILE, "b"])])
def test_any_text_is_escaped(x: Axis) -> None:
    for one in every(HOSTILE, [0.0, 1.0]):
        svg = Chart(HOSTILE, HOSTILE, x, Axis(HOSTILE, names=[HOSTILE] * 2), [one]).svg
        ChartRead(svg)
        assert "<script" not in svg and "onload='" not in svg
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", str(svg))


def test_a_long_text_is_cut() -> None:
    svg = Chart(
        "t" * 9999, "d" * 9999, Axis("x" * 9999), Axis("y" * 9999), [Points("n" * 9999, [1.0], [1.0], ["m" * 9999])]
    ).svg
    assert len(svg) < 6000


def test_series_differ_by_more_than_colour() -> None:
    read = chart(*(Points(f"s{number}", [1.0], [2.0]) for number in range(6)))
    assert len({group.marks[0].attrib["d"].partition("m")[2] for group in read.groups}) == 6
    assert [group.tone for group in read.groups] == [f"s{number}" for number in range(6)]


def test_a_tone_takes_no_colour_from_the_others() -> None:
    read = chart(Points("a", [1.0], [2.0]), Points("b", [1.0], [2.0], tone="bad"), Points("c", [1.0], [2.0]))
    assert [group.tone for group in read.groups] == ["s0", "bad", "s1"]


def test_the_legend_names_each_series_and_stays_inside() -> None:
    names = [f"a longer name of series {number}" for number in range(7)]
    svg = Chart("t", "d", Axis("x"), Axis("y"), [Points(name, [1.0], [2.0]) for name in names]).svg
    read = ChartRead(svg)
    assert set(names) <= set(read.texts)
    for x, name in re.findall(r'<text x="([\d.]+)" y="[\d.]+">(a longer[^<]*)</text>', svg):
        assert float(x) + width_of(name) <= 480


def test_rows_of_names_make_the_chart_as_high_as_they_need() -> None:
    names = [f"subject {number}" for number in range(30)]
    rows = [float(number) for number in range(30)]
    read = chart(Intervals("i", rows, rows, rows, rows, across=True), y=Axis("", names=names))
    assert set(names) <= set(read.texts) and 30 * 15 < read.height < 30 * 22
    assert read.y.value(read.y.start) == -0.5  # the first name stands on top


def test_many_points_are_one_path_and_few_have_a_text_each() -> None:
    few = chart(Points("p", [1.0] * TITLED, [2.0] * TITLED, ["text"] * TITLED)).groups[0]
    assert len(few.marks) == TITLED == len(few.titles)
    count = 1000
    xs = [number / 7 for number in range(count)]
    svg = Chart("t", "d", Axis("x", Kind.TIME), Axis("y"), [Points("p", xs, xs)]).svg
    read = ChartRead(svg)
    assert len(read.groups[0].marks) == 1 and read.groups[0].figures["x"] == xs
    read.require_places(read.groups[0])
    assert len(svg) < 60_000


def test_bars_begin_at_zero_and_stand_side_by_side() -> None:
    read = chart(
        Bars("a", [0.0, 1.0], [3.0, -2.0], number=0, of=2), Bars("b", [0.0, 1.0], [1.0, 2.0], number=1, of=2),
        x=Axis("", names=["one", "two"]), y=Axis("y", zero=True),
    )  # fmt: skip
    boxes = [{key: float(mark.attrib[key]) for key in ("x", "y", "width", "height")} for mark in read.groups[0].marks]
    zero = boxes[0]["y"] + boxes[0]["height"]
    assert read.y.near(zero, 0) and read.y.near(boxes[0]["y"], 3)
    assert boxes[1]["y"] == pytest.approx(zero) and read.y.near(boxes[1]["y"] + boxes[1]["height"], -2)
    first_of_b = float(read.groups[1].marks[0].attrib["x"])
    assert first_of_b == pytest.approx(boxes[0]["x"] + boxes[0]["width"], abs=0.2)


def test_every_class_of_a_chart_has_its_rule() -> None:
    rules = set(re.findall(r"\.([a-z][a-z0-9-]*)", Path(TEMPLATES / "plots.css").read_text("utf-8")))
    tones = ["good", "bad", "open", "idle", ""]
    series = [Points("p", [1.0], [2.0], joined=True, tone=tone) for tone in tones] + every("s", [1.0, 2.0])
    svg = Chart("t", "d", Axis("x"), Axis("y"), [*series, Points("many", [1.0] * 200, [2.0] * 200)]).svg
    used = {name for text in re.findall(r'class="([^"]*)"', svg) for name in text.split()}
    # groups that only name what they hold
    assert used - rules <= {"legend", "lines", "bands", "bars", "intervals", "references", "spans"}


def test_colours_are_only_in_the_style_sheet() -> None:
    svg = Chart("t", "d", Axis("x"), Axis("y"), every("s", [1.0, 2.0])).svg
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb|(fill|stroke|style)=", str(svg))
