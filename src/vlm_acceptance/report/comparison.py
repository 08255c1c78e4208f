"""Two stored runs beside each other: what changed in versions, files, outcomes, findings, answers, times and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_acceptance.core.files import MB, BadFile, inside, parse_json, read_json, read_lines
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.comparison_answers import Answers, compare_answers
from vlm_acceptance.report.comparison_scores import Row, score_rows
from vlm_acceptance.report.history_night import Night, read_night, text
from vlm_acceptance.report.history_series import figure_name, size_name, size_text
from vlm_acceptance.report.history_words import changes, short
from vlm_acceptance.report.store import OBSERVATIONS
from vlm_acceptance.report.verdict_text import seconds

RESULT_BYTES, RESULTS_BYTES, MOST_RESULTS = 16 * MB, 512 * MB, 20_000
PROFILE_FILE = f"{OBSERVATIONS}/profile.json"  # rows of key, value and source
MOST_ROWS, MOST_VALUES = 200, 2000
# a ratio of times that is marked
NOTABLE = 1.2


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the comparison; `rows` are what differs or is measured, `rest` how many more rows there are."""

    id: str
    title: str
    rows: Sequence[Row]
    same: str = ""
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole comparison. `unlike` says why the runs are not of one deployment."""

    first: Night
    second: Night
    unlike: Sequence[str]
    sections: Sequence[Section]
    answers: Answers
    gaps: Sequence[str] = field(default_factory=list)

    def section(self, ident: str) -> Section:
        """The section of this id."""
        return next(one for one in self.sections if one.id == ident)


def compare(first: Path, second: Path, pictures: Sequence[Path] = ()) -> Comparison:
    """Two run folders; BadFile with the folder's name when one has no readable summary.json."""
    nights = []
    for folder in (first, second):
        try:
            nights.append(read_night(folder, with_summary=True))
        except BadFile as broken:
            raise BadFile(f"{folder.name}: summary.json {broken}") from None
    one, two = nights
    gaps: list[str] = []
    findings = [_findings(folder, gaps) for folder in (first, second)]
    answers = compare_answers(first, second, pictures)
    sections = [
        _section("changes", tr("Versions, files and settings"), list(_changes(one, two)), tr("nothing changed")),
        _section("profile", tr("Values of the profile"), list(_profile(one, two)), _profile_note(one, two)),
        _section("causes", tr("Causes"), list(_causes(one, two)), tr("the same causes, or none")),
        _section("outcomes", tr("Outcomes of tests"), list(_outcomes(one, two)), tr("every test has the same outcome")),
        _section("findings", tr("Findings"), list(_counts(*findings)), tr("the same findings, or none")),
        _section("scores", tr("Scores"), list(score_rows(one, two)), tr("no score in both runs")),
        _section("latency", tr("Latency"), list(_latency(one, two)), tr("no latency in both runs")),
        _section("capacity", tr("Capacity"), list(_capacity(one, two)), tr("no capacity in both runs")),
        _section("sizes", tr("Memory and start"), list(_sizes(one, two)), tr("no figure in both runs")),
    ]
    return Comparison(one, two, list(_unlike(one, two)), sections, answers, [*gaps, *answers.gaps])


def _section(ident: str, title: str, rows: list[Row], same: str) -> Section:
    return Section(ident, title, rows[:MOST_ROWS], "" if rows else same, max(0, len(rows) - MOST_ROWS))


def _unlike(one: Night, two: Night) -> Iterator[str]:
    if one.model != two.model:
        yield tr("The runs are of different models: {first} and {second}.", first=one.model, second=two.model)
    if one.profile != two.profile:
        yield tr("The runs have different profiles: {first} and {second}.", first=one.profile, second=two.profile)
    if one.deployment != two.deployment:
        yield tr(
            "One run started its engine and the other was attached: {first} and {second}.",
            first=one.deployment,
            second=two.deployment,
        )


def _changes(one: Night, two: Night) -> Iterator[Row]:
    for (group, name), before, now in changes(one, two):
        yield Row(tr(name) if group == name else f"{tr(group)}: {name}", short(before) or "–", short(now) or "–")


def _profile(one: Night, two: Night) -> Iterator[Row]:
    before, now = (_values(night) for night in (one, two))
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name) and before and now:
            yield Row(name, before.get(name, "–"), now.get(name, "–"))


def _profile_note(one: Night, two: Night) -> str:
    hashes = [night.facts.get(("profile", "profile")) for night in (one, two)]
    if hashes[0] == hashes[1]:
        return tr("the same values")
    return tr("the values differ, by their hash; a run that stored no values cannot say which")


def _values(night: Night) -> dict[str, str]:
    """The values of a run's profile by dotted key, where the run stored them."""
    try:
        found = read_json(inside(night.folder, PROFILE_FILE))
    except BadFile:
        return {}
    rows = found[:MOST_VALUES] if isinstance(found, list) else []
    return {text(row.get("key")): text(row.get("value")) for row in rows if isinstance(row, dict)}


def _causes(one: Night, two: Night) -> Iterator[Row]:
    for cause in dict.fromkeys([*one.causes, *two.causes]):
        before, now = cause in one.causes, cause in two.causes
        if before != now:
            yield Row(tr(cause), _yes(before), _yes(now), mark="worse" if now else "better")


def _yes(value: bool) -> str:
    return tr("yes") if value else tr("no")


def _outcomes(one: Night, two: Night) -> Iterator[Row]:
    before, now = (_by_test(night.summary) for night in (one, two))
    for test in dict.fromkeys([*now, *before]):
        old, new = before.get(test), now.get(test)
        if old is not None and new is not None and old != new:
            mark = "better" if new == "passed" else "worse" if old == "passed" else ""
            yield Row(test.rpartition("/")[2], tr(old), tr(new), mark=mark)
    for tests, other, note in ((before, now, tr("only in the first run")), (now, before, tr("only in the second run"))):
        alone = [test for test in tests if test not in other]
        if alone:
            count = tr("{count} test(s)", count=len(alone))
            yield Row(count, "", "", note)


def _by_test(summary: Mapping[str, Any]) -> dict[str, str]:
    rows = summary.get("tests")
    known = rows if isinstance(rows, list) else []
    return {
        text(row["id"]): text(row["outcome"])
        for row in known
        if isinstance(row, dict) and isinstance(row.get("id"), str) and isinstance(row.get("outcome"), str)
    }


def _findings(folder: Path, gaps: list[str]) -> Counter[tuple[str, str]]:
    """How often each class of findings is in results.jsonl, with its title."""
    found: Counter[tuple[str, str]] = Counter()
    try:
        for number, line in read_lines(inside(folder, "results.jsonl"), RESULT_BYTES, RESULTS_BYTES, skip=True):
            if number > MOST_RESULTS:
                break
            try:
                row = parse_json(line.decode("utf-8", "replace"))
            except BadFile:
                continue
            kept = row.get("findings") if isinstance(row, dict) else None
            for one in kept if isinstance(kept, list) else []:
                if isinstance(one, dict) and isinstance(one.get("check"), str):
                    found[text(one["check"]), text(one.get("title"))] += 1
    except BadFile as broken:
        gaps.append(f"{folder.name}: results.jsonl {broken}")
    return found


def _counts(before: Counter[tuple[str, str]], now: Counter[tuple[str, str]]) -> Iterator[Row]:
    for name in sorted({*before, *now}, key=lambda name: -abs(now[name] - before[name])):
        old, new = before[name], now[name]
        if old != new:
            yield Row(name[0], str(old), str(new), tr(name[1]), "worse" if new > old else "better")


def _latency(one: Night, two: Night) -> Iterator[Row]:
    for key, before in one.latency.items():
        now = two.latency.get(key)
        if now is not None:
            mark = "worse" if now >= before * NOTABLE else "better" if now * NOTABLE <= before else ""
            name, ratio = f"{key[1]}: {figure_name(key[0])}", f"× {now / before:.2f}"
            yield Row(name, seconds(before), seconds(now), ratio, mark, is_figure=True)


def _capacity(one: Night, two: Night) -> Iterator[Row]:
    for name, before in one.capacity.items():
        now = two.capacity.get(name)
        if now is not None:
            mark = "worse" if now < before else "better" if now > before else ""
            old, new = (tr("{count} at once", count=f"{value:g}") for value in (before, now))
            yield Row(name, old, new, "", mark, is_figure=True)


def _sizes(one: Night, two: Night) -> Iterator[Row]:
    for name, before in one.sizes.items():
        now = two.sizes.get(name)
        if now is not None:
            old, new = (size_text(name, value) for value in (before, now))
            yield Row(size_name(name), old, new, f"× {now / before:.2f}", is_figure=True)
