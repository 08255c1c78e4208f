"""A comparison of two runs as one page, and as a few lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vlm_acceptance.core.language import tr
from vlm_acceptance.report.comparison import Comparison, Section
from vlm_acceptance.report.comparison_scores import Row
from vlm_acceptance.report.history_night import Night
from vlm_acceptance.report.runs_index import duration, word_of
from vlm_acceptance.report.small_pages import link, render, replace_file, tone_of

PAGE = "compare.html"
MOST_LINES, WIDTH = 4, 150  # lines of a section in the terminal, characters of a line
MOST_TESTS = 10
FEW = 12  # rows of a table that are not folded


def default_page(second: Path) -> Path:
    """Where the page of a comparison is written: in the folder of reports of the second run."""
    folder = second.resolve()
    return (folder.parents[1] if folder.parent.name == "runs" else folder) / PAGE


def write_page(compared: Comparison, page: Path) -> Path:
    """Write the page; returns its place."""
    answers = compared.answers
    view = {
        "compared": compared,
        "runs": [_run(page, night) for night in (compared.first, compared.second)],
        "answers": answers,
        "tests": sorted(answers.by_test.items(), key=lambda pair: -pair[1])[:MOST_TESTS],
        "few": FEW,
        "left": answers.different - sum(1 + one.more for one in answers.shown),
        "tone": tone_of(compared.second.verdict),
    }
    replace_file(page, render("comparison.html.j2", view))
    return page


def _run(page: Path, night: Night) -> dict[str, object]:
    return {
        "night": night,
        "tone": tone_of(night.verdict),
        "headline": word_of(night),
        "started": f"{night.began:%Y-%m-%d %H:%M:%S} UTC" if night.began else "",
        "took": duration(night.seconds),
        "href": link(page, night.folder / "report.html"),
    }


def lines(compared: Comparison) -> list[str]:
    """The comparison for the terminal: what the runs are, then what differs, a few lines of each part."""
    one, two = compared.first, compared.second
    shown = list(compared.unlike)
    shown += [
        tr("first:  {verdict}  {run}  ({passed} of {total} tests passed)", **_named(one)),
        tr("second: {verdict}  {run}  ({passed} of {total} tests passed)", **_named(two)),
    ]
    for section in compared.sections:
        shown += _lines(section)
    shown += _of_answers(compared)
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in shown]


def _named(night: Night) -> dict[str, object]:
    return {"verdict": word_of(night), "run": night.name, "passed": night.passed, "total": night.total}


def _lines(section: Section) -> Iterator[str]:
    rows = _notable(section.rows)
    if not rows:
        if section.rows:
            yield f"{section.title}: " + tr("{count} compared, none differs much", count=len(section.rows))
        elif section.id in ("changes", "outcomes", "findings"):
            yield f"{section.title}: {section.same}"
        return
    yield f"{section.title}:"
    for row in rows[:MOST_LINES]:
        values = f": {row.before} -> {row.now}" if row.before else ""
        line = f"  {row.name}{values}  {row.note}".rstrip()
        yield from [line] if len(line) <= WIDTH else [f"  {row.name}{values}", f"    {row.note}".rstrip()]
    if len(rows) > MOST_LINES:
        yield "  " + tr("and {count} more", count=len(rows) - MOST_LINES + section.rest)


def _notable(rows: Sequence[Row]) -> list[Row]:
    """The rows that got worse, then those that got better, then the others that say what changed."""
    order = {"worse": 0, "better": 1}
    kept = [row for row in rows if row.mark or not row.is_figure]
    return sorted(kept, key=lambda row: order.get(row.mark, 2))


def _of_answers(compared: Comparison) -> Iterator[str]:
    answers = compared.answers
    fields = {"same": answers.same, "different": answers.different, "both": answers.same + answers.different}
    yield tr("Answers: {both} questions in both runs, {same} answered alike, {different} differently", **fields)
    for shown in answers.shown[:2]:
        before, now = ("".join(text for _, text in parts) for parts in (shown.before, shown.now))
        yield f"  {shown.test}: {_cut(before)} -> {_cut(now)}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 50 else f"{line[:50]}…")
