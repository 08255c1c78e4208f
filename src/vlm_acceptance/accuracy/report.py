"""The accuracy report: its JSON content, and what a reader, a terminal and JUnit see of that content."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.baseline import changed, compare, read_baseline
from vlm_acceptance.accuracy.criteria import paired_result
from vlm_acceptance.accuracy.item import Answer, Item, Score, Scorer
from vlm_acceptance.config.profile import Paired
from vlm_acceptance.core.finding import printable

SCHEMA = "vlm-acceptance/accuracy/1"
DETAIL_LINES = 12
_WIDTH = 160
_SUBJECT = 38


@dataclass(frozen=True, slots=True)
class About:
    """What an accuracy run was: data, prompts, sampling and what answered. `prompts_sha256` hashes all prompts."""

    dataset: str
    revision: str | None
    data_sha256: str
    protocol: str
    deviations: Sequence[str]
    prompts_sha256: str
    sampling: Mapping[str, Any]
    model: str
    engine: str
    device: str
    versions: Mapping[str, str | None]
    started_utc: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def beside(
    baseline: Path,
    items: Iterable[Item],
    answers: Mapping[str, Answer],
    marks: Mapping[str, Score],
    scorer: Scorer,
    wanted: Paired,
) -> dict[str, Any]:
    """What `content` shows beside a stored run: lost and gained with both answers, counts, p, the 95 % interval of
    the difference, the margin, and how many the record's own judge counted. UsageProblem when it cannot be read.
    """
    stored = read_baseline(baseline, items)
    seen = compare(marks, scorer(items, stored.texts))
    paired = paired_result(seen.compared, seen.lost, seen.gained, wanted)
    now = {ident: answer.text for ident, answer in answers.items() if answer.text is not None}
    return {
        "name": stored.name,
        "compared": seen.compared,
        "both": seen.both,
        "neither": seen.neither,
        **changed(seen, items, now, stored.texts),
        "p": paired.p,
        "interval_95": list(paired.interval),
        "margin": wanted.margin,
        "margin_ruled_out": paired.margin_ruled_out,
        "own_judge_right": None if stored.hits is None else sum(stored.hits.values()),
        "unmatched": list(stored.unmatched),
    }


def file_name(device: str, stem: str) -> str:
    """`npu_accuracy_mmmu_val.json` for device npu and stem mmmu_val."""
    return f"{_slug(device)}_accuracy_{_slug(stem)}.json"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "_", text.lower()).strip("_.") or "unknown"


def content(
    about: About,
    figures: Mapping[str, Any],
    statistics: Mapping[str, Any],
    statements: Sequence[str] = (),
    comparison: Mapping[str, Any] | None = None,
    stopped: str | None = None,
) -> dict[str, Any]:
    """The report as JSON. `statements` are the statistics as sentences for a reader, such as the drop that this run
    could have detected; `stopped` says why the run ended early; `comparison` holds the figures beside a stored run.
    """
    told = {part.name: getattr(about, part.name) for part in fields(about)}
    more = told.pop("more")
    whole = {
        "schema": SCHEMA,
        **told,
        **more,
        "stopped": stopped,
        **figures,
        "statistics": statistics,
        "statements": statements,
        "comparison": comparison,
    }
    return {name: _plain_json(value) for name, value in whole.items()}


def _plain_json(value: Any) -> Any:
    """The same in JSON's own types; JSON knows no infinity and no NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def head(report: Mapping[str, Any]) -> str:
    """One line: `MMMU_val 329/900 = 36.6 % (33.5-39.8), scorer vlmevalkit_2024_07, protocol vlmevalkit`.

    Of a run with questions that have no answer it says how many.
    """
    total = report["total"]
    shown = f"{_line(report['dataset'], 60)} {_score(total)}"
    if not report["complete"]:
        parts = [f"{total[key]} {key.replace('_', ' ')}" for key in ("refused", "lost", "not_asked") if total[key]]
        shown += f" of the answered; of {total['questions']} questions {', '.join(parts)}"
    return f"{shown}, scorer {_line(report['scorer'], 60)}, protocol {_line(report['protocol'], 60)}"


def detail(report: Mapping[str, Any]) -> list[str]:
    """At most twelve lines for a terminal's summary; what is said first matters most."""
    lines = [head(report)]
    if report["stopped"]:
        lines.append(f"stopped early: {report['stopped']}")
    domains = [f"{name} {_score(row, interval=False)}" for name, row in report["domains"].items()]
    lines += [", ".join(domains[start : start + 3]) for start in range(0, min(len(domains), 6), 3)]
    lines.append(_kinds(report))
    lines.append(_scorers_line(report))
    lines.append(_shape_line(report["shape"]))
    lines.append(_letters(report["letters"]))
    lines.append(_speed(report))
    shown = [_line(line, _WIDTH) for line in lines]
    for sentence in report["statements"]:
        shown += _wrapped(sentence, "", _WIDTH)
    return shown[:DETAIL_LINES]


def properties(report: Mapping[str, Any]) -> dict[str, str]:
    """JUnit properties: subject to `11/30`; with unanswered questions `10/28 of 30`."""
    return {_line(name, 80): _counts(row) for name, row in report["subjects"].items()}


def table(report: Mapping[str, Any]) -> str:
    """The readable report in fixed width, plain ASCII, ending in a line feed."""
    lines = [head(report), ""]
    if report["stopped"]:
        lines += [f"stopped early: {report['stopped']}", ""]
    lines += [*_about(report), "", *_breakdown(report), "", *_scorers(report), ""]
    lines += [*_shape(report), "", _letters(report["letters"]), _speed(report), ""]
    lines += [*_failed(report), *_statistics(report), *_comparison(report)]
    while lines[-1] == "":
        lines.pop()
    return "".join(f"{_line(line, _WIDTH)}\n" for line in lines)


def _line(text: object, limit: int) -> str:
    """Text that stays on one line of a table: cut before it is escaped, so that its size does not matter."""
    whole = str(text)
    plain = printable(whole[:limit].replace("\t", " ")).replace("\n", "\\n")
    plain = plain.encode("ascii", "backslashreplace").decode()
    return plain if len(whole) <= limit and len(plain) <= limit else plain[: limit - 3] + "..."


def _wrapped(sentence: str, start: str, width: int = 120) -> list[str]:
    return textwrap.wrap(_line(sentence, 1000), width, initial_indent=start, subsequent_indent=" " * (len(start) or 2))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _counts(row: Mapping[str, Any]) -> str:
    missing = row["questions"] - row["answered"]
    return f"{row['right']}/{row['answered']}" + (f" of {row['questions']}" if missing else "")


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"({_percent(row['low'])}-{_percent(row['high'])})"


def _score(row: Mapping[str, Any], interval: bool = True) -> str:
    if row["share"] is None:
        return f"{row['right']}/{row['answered']}, nothing answered"
    if not interval:
        return f"{row['right']}/{row['answered']} = {_percent(row['share'])} %"
    return f"{row['right']}/{row['answered']} = {_percent(row['share'])} % {_interval(row)}"


def _about(report: Mapping[str, Any]) -> Iterator[str]:
    for name in ("model", "engine", "device", "dataset", "revision", "data_sha256", "protocol", "prompts_sha256"):
        yield f"{name:<15} {'not known' if report[name] is None else _line(report[name], 120)}"
    for name in ("sampling", "versions"):
        shown = ", ".join(f"{key} {'not known' if value is None else value}" for key, value in report[name].items())
        yield f"{name:<15} {_line(shown or 'not known', 140)}"
    for sentence in report["deviations"]:
        yield from _wrapped(sentence, "deviation       ")


def _breakdown(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'':<{_SUBJECT}} {'right/answered':>16} {'percent':>8}  95 % (Wilson)"
    yield _row("all", report["total"])
    for kind, row in report["kinds"].items():
        if row["questions"]:
            yield _row(kind, row)
    shown: set[str] = set()
    for domain, row in report["domains"].items():
        yield ""
        yield _row(domain, row)
        for name in row["subjects"]:
            shown.add(name)
            yield _row(f"  {name}", report["subjects"][name])
    rest = [name for name in report["subjects"] if name not in shown]
    if rest:
        yield ""
        yield from (_row(f"  {name}", report["subjects"][name]) for name in rest)


def _row(name: str, row: Mapping[str, Any]) -> str:
    return (
        f"{_line(name, _SUBJECT):<{_SUBJECT}} {_counts(row):>16} {_percent(row['share']):>8}  {_interval(row)}".rstrip()
    )


def _scorers(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'scorer':<{_SUBJECT}} {'right/answered':>16} {'percent':>8}  unresolved declined"
    answered = report["total"]["answered"]
    for name, row in report["scorers"].items():
        label = _line(name, 24) + (" (of record)" if name == report["scorer"] else "")
        counts = f"{row['right']}/{answered}"
        states = f"{row['unresolved']:>10} {row['declined']:>8}"
        yield f"{label:<{_SUBJECT}} {counts:>16} {_percent(row['share']):>8}  {states}"


def _scorers_line(report: Mapping[str, Any]) -> str:
    return "scorers: " + ", ".join(f"{name} {row['right']}" for name, row in report["scorers"].items())


def _kinds(report: Mapping[str, Any]) -> str:
    kinds = report["kinds"].items()
    return ", ".join(f"{kind} {_score(row)}" for kind, row in kinds if row["questions"])


_SHAPE_NAMES = {
    "choice_unresolved": "choices without a letter",
    "open_unresolved": "open unresolved",
    "declined": "declined",
    "empty": "empty",
    "truncated": "cut by max_tokens",
    "open_a": "bare A on open questions",
    "refused": "refused",
    "lost": "lost",
}


def _shape_line(shape: Mapping[str, Any]) -> str:
    seen = [
        f"{words} {shape[key]['count']}/{shape[key]['of']}"
        for key, words in _SHAPE_NAMES.items()
        if shape[key]["count"]
    ]
    return f"shape: {', '.join([_top(shape), *(seen or ['every answer could be read'])])}"


def _top(shape: Mapping[str, Any]) -> str:
    if shape["top_letter"] is None:
        return "no letter read"
    return f"most frequent letter {shape['top_letter']} {_percent(shape['top_share'])} %"


def _shape(report: Mapping[str, Any]) -> Iterator[str]:
    yield "shape of the answers"
    shape = report["shape"]
    for key, words in _SHAPE_NAMES.items():
        row = shape[key]
        yield f"  {words:<{_SUBJECT - 2}} {row['count']:>10}/{row['of']:<5} {_percent(row['share']):>8}"
    yield f"  {_top(shape)}"


def _letters(letters: Mapping[str, Mapping[str, int]]) -> str:
    sides = []
    for side in ("answers", "golds"):
        counts = " ".join(f"{letter}:{count}" for letter, count in letters[side].items())
        sides.append(f"{side} {counts or 'none'}")
    return f"letters: {', '.join(sides)}"


def _speed(report: Mapping[str, Any]) -> str:
    time, tokens = report["time"], report["tokens"]
    shown = [f"median {_number(time['median_s'], ' s')}", f"p95 {_number(time['p95_s'], ' s')}"]
    shown.append(f"{_number(time['questions_per_s'], '')} questions/s")
    shown.append(f"tokens {_number(tokens['prompt'], '')} prompt, {_number(tokens['completion'], '')} completion")
    return f"time: {', '.join(shown)}, retries {len(report['retries'])}"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "not known"
    return f"{value:,}{unit}" if isinstance(value, int) else f"{value:.3g}{unit}"


def _failed(report: Mapping[str, Any]) -> Iterator[str]:
    rows = [*report["failures"], *({"status": "tried again", **row} for row in report["retries"])]
    if not rows:
        return
    yield "without an answer, or asked more than once"
    for row in rows[:10]:
        said = row.get("error") or "; ".join(row.get("attempts", ()))
        yield f"  {_line(row['id'], 40)} {row['status']}: {said}"
    if len(rows) > 10:
        yield f"  and {len(rows) - 10} more"
    yield ""


def _statistics(report: Mapping[str, Any]) -> Iterator[str]:
    rows = list(_flat(report["statistics"], ""))
    if not rows and not report["statements"]:
        return
    yield "statistics"
    for sentence in report["statements"]:
        yield from _wrapped(sentence, "  ")
    yield from (f"  {name:<{_SUBJECT - 2}} {_value(value)}" for name, value in rows)
    yield ""


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _value(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        shown = " ".join(_value(part) for part in value[:6])
        return f"{shown} and {len(value) - 6} more" if len(value) > 6 else shown
    return _line(value, 100)


def _comparison(report: Mapping[str, Any]) -> Iterator[str]:
    comparison = report["comparison"]
    if comparison is None:
        return
    yield "beside the stored run"
    listed = ("lost", "gained")
    for name, value in _flat({key: value for key, value in comparison.items() if key not in listed}, ""):
        yield f"  {name:<{_SUBJECT - 2}} {_value(value)}"
    for name in listed:
        rows = comparison.get(name) or []
        yield f"  {name} ({len(rows)})"
        yield from (f"    {_changed(row)}" for row in rows)


def _changed(row: Any) -> str:
    if not isinstance(row, Mapping):
        return _line(row, 100)
    gold = " | ".join(map(str, row["gold"]))
    then, now = ("no answer" if row[key] is None else repr(row[key])[:40] for key in ("then", "now"))
    return f"{_line(row['id'], 40):<40} gold {_line(gold, 24)}: then {then}, now {now}"
