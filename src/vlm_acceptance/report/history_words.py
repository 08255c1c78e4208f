"""The steps of a history in sentences: which figure changed, since when, by how much, and what else changed then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vlm_acceptance.core.finding import Verdict
from vlm_acceptance.core.language import tr
from vlm_acceptance.report.history_night import LATENCIES, Night
from vlm_acceptance.report.history_series import (
    Mark,
    Trend,
    figure_name,
    is_worse,
    size_text,
    subject_name,
)
from vlm_acceptance.report.verdict_text import seconds

MOST_CHANGES, MOST_NAMES, MOST_SENTENCES = 8, 6, 60
FIGURES = [*LATENCIES, "ttft_p90_s", "tpot_p90_s", "e2e_p90_s"]
SHOWN = 40  # characters of a value
# of a difference, so that a busy machine is named as its reason
EXPLAINED = 0.5


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence about the night `start`, and the marks that it names; `is_worse` for what needs attention."""

    text: str
    start: int
    is_worse: bool
    marks: tuple[Mark, ...] = ()


def sentences(nights: Sequence[Night], marks: Sequence[Mark], trends: Sequence[Trend] = ()) -> list[Sentence]:
    """What a reader of the nights must know, the newest first; the times of one night are one sentence."""
    groups: dict[tuple[str, int, int, bool], list[Mark]] = {}
    for mark in marks:
        # two sizes have nothing in common, and neither do two scores
        name = mark.series.subject if mark.series.kind in ("score", "size") else ""
        groups.setdefault((name, mark.start, mark.end, mark.is_worse), []).append(mark)
    made = [_sentence(nights, group) for group in groups.values()]
    made += [Sentence(text, at, worse) for at, text, worse in _verdicts(nights)]
    made += [_trend(nights, trend) for trend in trends]
    return sorted(made, key=lambda one: one.start, reverse=True)[:MOST_SENTENCES]


def _sentence(nights: Sequence[Night], group: Sequence[Mark]) -> Sentence:
    first = group[0]
    when = _when(nights, first)
    if first.series.is_score:
        text = _of_score(when, first)
    elif first.series.kind == "size":
        name = first.series.subject
        text = tr(
            "{when}: {what} is {now}, before {before}.",
            when=when,
            what=subject_name(first.series),
            now=size_text(name, first.now),
            before=size_text(name, first.before),
        )
    else:
        text = _of_latency(when, group)
    parts = [text, _changed(nights, first.start), _busy(nights, group)]
    return Sentence(" ".join(filter(None, parts)), first.start, first.is_worse, tuple(group))


def _trend(nights: Sequence[Night], trend: Trend) -> Sentence:
    series, levels = trend.series, (trend.before, trend.now)
    if series.is_score:
        before, now = (f"{level:.1%}" for level in levels)
        what = tr("the score of {what}", what=subject_name(series))
    elif series.kind == "size":
        before, now = (size_text(series.subject, level) for level in levels)
        what = subject_name(series)
    else:
        before, now = (seconds(level) for level in levels)
        what = tr("{figure} of {what}", figure=figure_name(series.kind), what=subject_name(series))
    text = tr(
        "From {day} to {last} {what} changed little by little, from {before} to {now}.",
        day=nights[trend.first].day,
        last=nights[trend.last].day,
        what=what,
        before=before,
        now=now,
    )
    return Sentence(text, trend.last, is_worse(series, *levels))


def _when(nights: Sequence[Night], mark: Mark) -> str:
    first, last = nights[mark.start].day, nights[mark.end - 1].day
    if mark.end - mark.start == 1:
        return tr("On {day}", day=first)
    if mark.end == len(nights):
        return tr("Since {day}", day=first)
    return tr("From {day} to {last}", day=first, last=last)


def _of_score(when: str, mark: Mark) -> str:
    counts = mark.series.scores[mark.start]
    exact = counts is not None and mark.end - mark.start == 1
    now = (
        f"{counts.right / counts.total:.1%} ({counts.right}/{counts.total})" if exact and counts else f"{mark.now:.1%}"
    )
    fields = {"when": when, "what": subject_name(mark.series), "now": now, "before": f"{mark.before:.1%}"}
    if mark.is_worse:
        return tr("{when}: the score is lower, {now} right, before {before} ({what}).", **fields)
    return tr("{when}: the score is higher, {now} right, before {before} ({what}).", **fields)


def _of_latency(when: str, group: Sequence[Mark]) -> str:
    group = sorted(group, key=lambda mark: FIGURES.index(mark.series.kind))
    most = max(group, key=lambda mark: abs(mark.ratio - 1))
    fields = {
        "when": when,
        "figure": _listed(figure_name(mark.series.kind) for mark in group),
        "what": _listed(subject_name(mark.series) for mark in group),
        "ratio": f"{most.ratio:.3g}",
        "now": seconds(most.now),
        "before": seconds(most.before),
        "most": f"{subject_name(most.series)}, {figure_name(most.series.kind)}",
    }
    if len(group) == 1:
        return tr("{when}: {figure} of {what} is {ratio} times as long ({now}, before {before}).", **fields)
    if most.is_worse:
        return tr(
            "{when}: {figure} of {what} are longer, up to {ratio} times ({most}: {now}, before {before}).", **fields
        )
    return tr(
        "{when}: {figure} of {what} are shorter, down to {ratio} times ({most}: {now}, before {before}).", **fields
    )


def _listed(names: Iterable[str]) -> str:
    kept = list(dict.fromkeys(names))
    rest = len(kept) - MOST_NAMES
    return ", ".join(kept[:MOST_NAMES] + ([tr("{count} more", count=rest)] if rest > 0 else []))


def changes(before: Night, night: Night) -> list[tuple[tuple[str, str], str, str]]:
    """Versions, files and settings that differ between two runs: name, value before, value now; '' where absent."""
    names = dict.fromkeys([*before.facts, *night.facts])
    pairs = [(name, before.facts.get(name, ""), night.facts.get(name, "")) for name in names]
    return [(name, old, new) for name, old, new in pairs if old != new]


def change_text(name: tuple[str, str], old: str, new: str) -> str:
    """A change in words; of a hash its first characters."""
    fields = {"name": name[1], "before": short(old), "now": short(new)}
    if not old:
        return tr("{name} is new ({now})", **fields)
    if not new:
        return tr("{name} is no longer reported ({before})", **fields)
    return tr("{name} changed from {before} to {now}", **fields)


def short(value: str) -> str:
    """A value of a change, cut; of a hash its first characters."""
    is_hash = len(value) == 64 and set(value) <= set("0123456789abcdef")
    return value[:12] if is_hash else value if len(value) <= SHOWN else f"{value[:SHOWN]}…"


def changes_before(nights: Sequence[Night], at: int) -> list[str]:
    """What changed between the night before and this one, in words."""
    if not at:
        return []
    found = [change_text(*one) for one in changes(nights[at - 1], nights[at])]
    rest = len(found) - MOST_CHANGES
    return found[:MOST_CHANGES] + ([tr("{count} more", count=rest)] if rest > 0 else [])


def _changed(nights: Sequence[Night], at: int) -> str:
    found = changes_before(nights, at)
    if found:
        return tr("On this night changed: {changes}.", changes="; ".join(found))
    return tr("No version, file or setting that the runs report changed on this night.")


def _busy(nights: Sequence[Night], group: Sequence[Mark]) -> str:
    """That the machine was busy, where waiting for a processor explains much of a longer time."""
    for mark in group:
        waited = nights[mark.start].waited_s.get(mark.series.subject)
        if mark.series.kind == "e2e_s" and mark.is_worse and waited:
            usual = [night.waited_s.get(mark.series.subject, 0.0) for night in nights[: mark.start]]
            more = waited - sorted(usual)[len(usual) // 2]
            if more >= EXPLAINED * (mark.now - mark.before):
                return tr("The machine was busy: {time} of it can be waiting for a processor.", time=seconds(more))
    return ""


def _verdicts(nights: Sequence[Night]) -> Iterator[tuple[int, str, bool]]:
    """The nights on which the verdict became another one."""
    last = ""
    for at, night in enumerate(nights):
        if night.narrowed or night.verdict == Verdict.NONE.value:
            continue
        if night.verdict != last and (last or night.verdict != Verdict.ACCEPTED.value):
            yield at, _verdict(night, nights, at), night.verdict != Verdict.ACCEPTED.value
        last = night.verdict


def _verdict(night: Night, nights: Sequence[Night], at: int) -> str:
    why = tr(night.causes[0] if night.causes else night.reason)
    if night.verdict == Verdict.ACCEPTED.value:
        text = tr("On {day}: accepted again.", day=night.day)
    elif night.verdict == Verdict.REJECTED.value:
        text = tr("On {day}: rejected ({why}).", day=night.day, why=why)
    else:
        text = tr("On {day}: inconclusive ({why}).", day=night.day, why=why)
    found = changes_before(nights, at)
    return f"{text} {_changed(nights, at)}" if found else text
