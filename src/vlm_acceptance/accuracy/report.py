"""The report of an accuracy run: one JSON description, and the text, verdict lines and JUnit properties made of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from vlm_acceptance.accuracy.baseline import Comparison, changed, compare, read_baseline
from vlm_acceptance.accuracy.early_stop import FIRST_STOP, LAST_STOP
from vlm_acceptance.accuracy.item import Answer, Item, Score, Scorer
from vlm_acceptance.accuracy.plan import LETTER_ALPHA, AccuracyPlan
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.config.profile import Paired
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.text import printable
from vlm_acceptance.report.html import TEMPLATES
from vlm_acceptance.report.store import RunStore
from vlm_acceptance.stats.binomial import detectable_drop, paired_detectable_drop, standard_error, wilson

SCHEMA = "vlm-acceptance/accuracy/1"
VERDICT_LINES = 12
WIDTH = 160  # characters of a line
# Assumed share of questions scored differently in two runs, for the drop that their comparison can detect.
DISCORDANT = 0.05
MAX_LISTED_IDS = 40
# keys whose texts are names and sentences of the suite and its profile
OWN_TEXTS = frozenset({
    "schema", "dataset", "revision", "protocol", "deviations", "engine", "device", "profile", "verdict", "run",
    "scorer", "id", "name", "group",
})  # fmt: skip


def about(
    plan: AccuracyPlan, device: str, versions: Mapping[str, str | None], model: str, run: Mapping[str, Any]
) -> dict[str, Any]:
    """What was asked, by which protocol, and who answered; `run` adds what is known of the whole run."""
    first = plan.request(plan.order[0])
    return {
        "dataset": plan.prepared.dataset,
        "revision": plan.prepared.revision,
        "data_sha256": plan.prepared.sha256,
        "protocol": plan.prompts.name,
        "deviations": [*plan.prompts.deviations, *([] if first.max_tiles else _tile_deviation(plan))],
        "prompts_sha256": plan.prompts_sha256,
        "sampling": first.params,
        "model": model,
        "engine": plan.wanted.engine,
        "device": device,
        "versions": versions,
        "started_utc": run.get("started_utc"),
        "profile": plan.profile.name,
        "control": plan.profile.model.control,
        "system_message": first.system,
        **{name: run.get(name) for name in ("verdict", "reason", "run")},
    }


def _tile_deviation(plan: AccuracyPlan) -> list[str]:
    served, intended = plan.profile.model.pictures, plan.prompts.tiles
    if served.oracle == "none" or intended in (None, served.max_tiles):
        return []
    return [f"The served model cuts a picture into at most {served.max_tiles} tiles; the protocol means {intended}."]


def describe(run: AccuracyResult, about: Mapping[str, Any], baseline: Path | None = None) -> dict[str, Any]:
    """The whole report of a run as JSON; `baseline` is a stored run to compare with."""
    plan, stop, scores, comparison = run.plan, run.stop, run.deciding_scores, None
    if baseline is not None and stop is None:
        # an unreadable baseline is reported by the test that compares
        with contextlib.suppress(UsageProblem):
            comparison = compare_with(baseline, plan.prepared, run.answers, scores, plan.scorer, plan.wanted.paired)
    stopped = f"after {stop.after} questions: {stop.reason}" if stop else None
    report = content(about, run.metrics, statistics(run), statements(run), comparison, stopped)
    # for comparisons of stored runs: whether each answered question is right
    return {**report, "by_question": {ident: score.right for ident, score in scores.items()}}


def content(
    about: Mapping[str, Any],
    metrics: Mapping[str, Any],
    statistics: Mapping[str, Any],
    statements: Sequence[str] = (),
    comparison: Mapping[str, Any] | None = None,
    stopped: str | None = None,
) -> dict[str, Any]:
    """The report as JSON. `statements` are the statistics in sentences; `stopped` is the reason of an early stop."""
    whole = {"schema": SCHEMA, **about, "stopped": stopped, **metrics, "statistics": statistics}
    whole.update(statements=statements, comparison=comparison)
    written = json.dumps(whole, default=lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    # JSON has no infinity and no NaN
    read: dict[str, Any] = json.loads(written, parse_constant=lambda _: None)
    return read


def statistics(run: AccuracyResult) -> dict[str, Any]:
    """Limits, intervals and the drop that this run can detect; shares are 0 to 1."""
    plan, right, answered = run.plan, run.right, run.answered
    ablation = None
    if run.stop is None and plan.blank_ids:
        # unanswered questions are reported by the test of the picture ablation
        with contextlib.suppress(EnvironmentProblem):
            seen = run.picture_ablation()
            ablation = {"asked": seen.questions, "right": seen.right, "blank": seen.blank}
    return {
        "limits": dataclasses.asdict(plan.limits),
        "reference": plan.reference.model_dump() if plan.reference else None,
        "standard_error": standard_error(right, answered),
        "wilson_95": list(wilson(right, answered)),
        "detectable_drop_80": _detectable_drop(plan),
        "early_stop": {"enabled": plan.wanted.stops_early, "alpha": plan.wanted.early_stop_alpha},
        "stop": run.stop and {"clause": run.stop.cause, "reason": run.stop.reason, "asked": run.stop.after},
        "sighted": ablation,
    }


def early_stop_path(run: AccuracyResult) -> dict[str, Any]:
    """What the early stop saw after each question, as columns, with the bounds that stop a run; empty without one."""
    if not run.path:
        return {}
    plan = run.plan
    columns = {name: [getattr(point, name) for point in run.path] for name in ("asked", "right", "score", "letters")}
    return {
        **columns,
        "stops_at": {"score": 1 / plan.wanted.early_stop_alpha, "letters": 1 / LETTER_ALPHA},
        "limit": plan.limits.low,
        "total": len(plan.order),
        "not_before": FIRST_STOP,
        "not_after": LAST_STOP * len(plan.order),
        "stopped": run.stop and run.stop.cause,
    }


def _detectable_drop(plan: AccuracyPlan) -> float | None:
    """The true drop below the reference that a run of this size refuses with a probability of 80 %."""
    published = plan.reference
    if published is None or published.correct is None or published.total is None:
        return None
    return detectable_drop(published.correct, published.total, len(plan.order), plan.limits.low)


def statements(run: AccuracyResult) -> list[str]:
    """The limits and what this run can detect, as sentences."""
    plan, wanted, limits = run.plan, run.plan.wanted, run.plan.limits
    resumed, drop = len(run.answers) - run.new_answers, _detectable_drop(plan)
    sentences = [f"{resumed} answers were taken over from an earlier run (--vlm-resume)"] if resumed else []
    sentences.append(f"{limits.low} to {limits.high} of {run.total} right are accepted: {limits.basis}")
    if drop is not None and plan.reference is not None:
        paired = paired_detectable_drop(run.total, DISCORDANT, wanted.paired.alpha)
        sentences.append(
            f"a true drop of {100 * drop:.1f} points below {plan.reference.correct} of {plan.reference.total} is "
            f"refused with a probability of 80 %, and one of {100 * paired:.1f} points by a comparison with a stored "
            f"run (--vlm-baseline) if {DISCORDANT:.0%} of the questions are scored differently"
        )
    if wanted.stops_early:
        sentences.append(
            f"an early stop rejects a run that would reach {limits.low} right with a probability of at most "
            f"{100 * wanted.early_stop_alpha:g} %, and a run without a letter in more than "
            f"{wanted.shape.top_letter:.0%} of its choices with at most {100 * LETTER_ALPHA:g} %"
        )
    return sentences


def compare_with(
    baseline: Path,
    items: Iterable[Item],
    answers: Mapping[str, Answer],
    scores: Mapping[str, Score],
    scorer: Scorer,
    wanted: Paired,
) -> dict[str, Any]:
    """The report's comparison with a stored run: lost and gained questions with both answers, p, the 95 % interval of
    the difference, and how many the stored run's own scorer counted right. UsageProblem when it cannot be read.
    """
    stored = read_baseline(baseline, items)
    compared = compare(scores, scorer(items, stored.texts))
    texts = {ident: answer.text for ident, answer in answers.items() if answer.text is not None}
    return {
        "name": stored.name,
        "compared": compared.compared,
        "both": compared.both,
        "neither": compared.neither,
        **changed(compared, items, texts, stored.texts),
        "p": compared.p,
        "interval_95": list(compared.interval),
        "margin": wanted.margin,
        "margin_ruled_out": compared.rules_out(wanted.margin),
        "own_judge_right": None if stored.hits is None else sum(stored.hits.values()),
        "unmatched": [*stored.missing, *stored.extra],
    }


def text(report: Mapping[str, Any]) -> str:
    """The readable report: plain ASCII, at most 160 characters a line, ends in one line feed."""
    return "\n".join(_rendered(report, brief=False)) + "\n"


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """At most twelve lines for the terminal, the most important first."""
    return _rendered(report, brief=True)[:VERDICT_LINES]


def _rendered(report: Mapping[str, Any], brief: bool) -> list[str]:
    rendered = _template().render(report, report=report, brief=brief)
    return [_line(line.rstrip(" "), WIDTH) for line in rendered.rstrip("\n").split("\n")]


@lru_cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701  (plain text)
        undefined=StrictUndefined,
        finalize=_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=_line, counts=_counts, flat=_flat, wrapped=_wrapped)
    return environment.get_template("accuracy.txt.j2")


def _line(text: object, limit: int = WIDTH) -> str:
    """Any text as ASCII on one line. It is cut before it is escaped, so that its size does not matter."""
    whole = str(text)
    plain = printable(whole[:limit].replace("\t", " ")).replace("\n", "\\n")
    plain = plain.encode("ascii", "backslashreplace").decode()
    return plain if max(len(whole), len(plain)) <= limit else plain[: limit - 3] + "..."


def _wrapped(sentences: Iterable[str], width: int, lead: str = "") -> list[str]:
    wrapper = textwrap.TextWrapper(width, initial_indent=lead, subsequent_indent=" " * (len(lead) or 2))
    return [line for sentence in sentences for line in wrapper.wrap(_line(sentence, 1000))]


def _counts(row: Mapping[str, Any]) -> str:
    of = f" of {row['questions']}" if row["answered"] < row["questions"] else ""
    return f"{row['right']}/{row['answered']}{of}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values with dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def score_properties(run: AccuracyResult) -> dict[str, str]:
    """JUnit properties of the score: limits, every scorer, every subject."""
    limits, (low, high) = run.plan.limits, wilson(run.right, run.answered)
    return {
        "right": f"{run.right}/{run.total}",
        "interval_95": f"{low:.3f} to {high:.3f}",
        "limits": f"{limits.low} to {limits.high} ({limits.basis})",
        **{f"scorer.{name}": f"{right}/{run.total}" for name, right in run.right_by_scorer.items()},
        **{f"subject.{name}": counts for name, counts in subject_counts(run.metrics).items()},
    }


def subject_counts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Subject to `11/30`; with unanswered questions `10/28 of 30`."""
    return {_line(name, 80): _counts(row) for name, row in metrics["subjects"].items()}


def shape_properties(run: AccuracyResult) -> dict[str, Any]:
    """JUnit properties of the shape of the answers."""
    shape = run.shape
    return {
        "letters": " ".join(f"{letter}:{count}" for letter, count in sorted(shape.letters.items())),
        "unresolved": f"{shape.choice_unresolved}/{shape.choice_answers}",
        "empty": shape.empty,
        "truncated": shape.truncated,
        "declined": shape.declined,
        "open_a": f"{shape.open_a}/{shape.open_answers}",
    }


def run_properties(run: AccuracyResult) -> dict[str, Any]:
    """JUnit properties of the requests."""
    rate = run.metrics["time"]["questions_per_s"]
    return {
        "answered": f"{run.answered}/{run.total}",
        "asked_in_this_run": run.new_answers,
        "retries": len(run.metrics["retries"]),
        "span_s": round(run.span_s, 3),
        "questions_per_s": round(rate, 2) if rate else None,
        "file": run.file.name,
    }


def paired_properties(seen: Comparison, wanted: Paired) -> dict[str, Any]:
    """JUnit properties of a comparison with a stored run; long lists of ids are cut."""
    low, high = seen.interval
    return {
        "compared": seen.compared,
        "lost": len(seen.lost),
        "gained": len(seen.gained),
        "p": f"{seen.p:.4g}",
        "difference_95": f"{low:+.4f} to {high:+.4f}",
        "margin_ruled_out": seen.rules_out(wanted.margin),
        "lost_ids": _first_ids(seen.lost),
        "gained_ids": _first_ids(seen.gained),
    }


def _first_ids(ids: Sequence[str]) -> str:
    more = len(ids) - MAX_LISTED_IDS
    return " ".join(ids[:MAX_LISTED_IDS]) + (f" and {more} more" if more > 0 else "")


def file_name(device: str, stem: str) -> str:
    """`npu_accuracy_mmmu_val.json` for device npu and stem mmmu_val."""
    slugs = [re.sub(r"[^a-z0-9_.-]+", "_", text.lower()).strip("_.") or "unknown" for text in (device, stem)]
    return f"{slugs[0]}_accuracy_{slugs[1]}.json"


def write(store: RunStore, stem: str, report: Mapping[str, Any]) -> list[str]:
    """Write the JSON and the text into the run's folder, the JSON also beside all runs; returns the verdict's lines."""
    name = file_name(str(report["device"]), stem)
    report = store.masked(report, OWN_TEXTS)
    path = store.write(name, json.dumps(report, indent=1, ensure_ascii=True, default=str) + "\n")
    store.write(f"{stem}.txt", text(report))
    partial = store.reports / f".{name}.part"
    partial.write_bytes(path.read_bytes())
    partial.replace(store.reports / name)
    return verdict_lines(report)
