"""The verdict as lines of text, made from the content of summary.json."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from vlm_acceptance.core.language import tr, tr_lines
from vlm_acceptance.report import causes_text

NEXT = {
    "accepted": "",
    "rejected": "open report.html of this run; verdict.txt lists every test by its cause",
    "none": "run without -k, node ids, -x or --lf for a verdict",
}


# of a terminal
NOTES = 5


def terminal_lines(summary: Mapping[str, Any]) -> list[str]:
    """The verdict for a terminal; where there are causes they come first, and at most 40 lines are shown."""
    if not summary.get("causes"):
        return lines(summary)
    shown = [causes_text.headline(headline(summary), summary), *_reason(summary), *causes_text.brief(summary)]
    shown.append(tr("  about: {statement}", statement=tr(summary["statement"])))
    shown.append(tr("  passed: {areas}", areas=", ".join(map(_passed, summary["areas"].items()))))
    shown += _not_run(summary)
    notes = summary["notes"]
    shown += [tr("  note: {note}", note=tr(note)) for note in notes[:NOTES]]
    if notes[NOTES:]:
        shown.append(tr("  and {count} more notes, in verdict.txt", count=len(notes) - NOTES))
    return shown + _ending(summary)


def _reason(summary: Mapping[str, Any]) -> list[str]:
    """Why the verdict is no rejection though there are causes; the reason of a rejection is its first cause."""
    return [] if summary["verdict"] == "rejected" else [f"  {summary['reason']}"]


def _not_run(summary: Mapping[str, Any]) -> list[str]:
    count = sum(counts.get("not run", 0) for counts in summary["areas"].values())
    return [tr("  not run: {count} tests", count=count)] if count else []


def _passed(area: tuple[str, Mapping[str, int]]) -> str:
    name, counts = area
    return f"{name} {counts.get('passed', 0)}/{sum(counts.values())}"


def lines(summary: Mapping[str, Any]) -> list[str]:
    """Verdict with scope, causes, one line per area, figures, notes, and what to do next."""
    shown = [f"{headline(summary)}  {summary['statement']}", f"  {summary['reason']}"]
    if summary.get("causes"):
        shown = [
            causes_text.headline(headline(summary), summary),
            *_reason(summary),
            tr("  about: {statement}", statement=tr(summary["statement"])),
            *causes_text.whole(summary),
        ]
    shown += [_area(name, counts) for name, counts in summary["areas"].items()]
    shown += _right(summary)
    shown += _environment(summary)
    shown += _engine(summary)
    shown += _offline(summary)
    shown += _latency(summary)
    shown += _capacity(summary)
    shown += [f"  {line}" for line in tr_lines(summary.get("accuracy", []))]
    left_out = sorted(set(summary["not_applicable"].values()))
    if left_out:
        shown.append(f"  not applicable: {len(summary['not_applicable'])} ({'; '.join(left_out)})")
    shown += [f"  note: {note}" for note in summary["notes"]]
    return shown + _ending(summary)


def _ending(summary: Mapping[str, Any]) -> list[str]:
    """How to repeat the run, what to do next, and where its files are."""
    shown = _seed(summary)
    shown += [f"  next: {todo}" for todo in next_steps(summary)]
    command = summary["engine"].get("command")
    if command and summary["verdict"] == "rejected":
        shown.append(f"  engine: {shlex.join(command)}  (start it again to repeat a request)")
    shown.append(f"  files: {summary['files']}")
    return shown


def _seed(summary: Mapping[str, Any]) -> list[str]:
    """How many pictures were read that the seed of the run decided, and how to repeat it."""
    right, seed = summary.get("new_pictures"), (summary.get("scope") or {}).get("seed")
    shown = [] if right is None else [f"  new pictures: {right} of 8 right"]
    return shown if seed is None else [*shown, f"  seed: repeat with --vlm-seed={seed}"]


def next_steps(summary: Mapping[str, Any]) -> list[str]:
    """What to do next; until the profile is calibrated, how to record this run."""
    recording = summary.get("calibration") or {}
    is_due = bool(recording.get("due"))
    if recording.get("command") and (is_due or summary["verdict"] == "accepted"):
        command = recording["command"]
        return [f"if this deployment is known to be right, record this run as its calibration: {command}"]
    todo = NEXT.get(summary["verdict"], "fix the problems above and run again")
    if is_due:
        parts, missing = recording["parts"], recording["missing"]
        why = "; ".join(dict.fromkeys(parts[part]["summary"] for part in missing))
        todo = f"this run cannot be recorded as a calibration ({why}); calibrate with a whole run of -m smoke"
    return [todo] if todo else []


def headline(summary: Mapping[str, Any]) -> str:
    """The verdict in capitals; an accepted control is marked as the control."""
    word = "NO VERDICT" if summary["verdict"] == "none" else str(summary["verdict"]).upper()
    if summary["exit_code"] == 10:
        return "INCONCLUSIVE (environment)"
    if (summary.get("calibration") or {}).get("due"):
        return "INCONCLUSIVE (to be calibrated)"
    if summary["control"] and word == "ACCEPTED":
        return "ACCEPTED (control)"
    return word


def _area(name: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rest = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()) if what != "passed")
    return f"  {name:<12} {counts.get('passed', 0)}/{total}{'  ' + rest if rest else ''}"


def _right(summary: Mapping[str, Any]) -> list[str]:
    """The fewest right answers that any test counted, by category."""
    return [
        f"  right {named(summary, category)}: {', '.join(f'{name} {right} of {total}' for name, right, total in rows)}"
        for category, rows in right_of(summary).items()
    ]


# what is counted where a key of `right` names no question
WITHOUT_QUESTION = {"multi_picture": "order"}
_LENGTH = re.compile(r"(?P<name>\w+)-(?P<tokens>\d+)")


def right_of(summary: Mapping[str, Any]) -> dict[str, list[tuple[str, int, int]]]:
    """Category -> question, right answers, of how many."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for key, (right, total) in (summary.get("right") or {}).items():
        category, _, question = key.partition("/")
        if not question and (length := _LENGTH.fullmatch(category)):
            category, question = length["name"], f"{length['tokens']} tokens"
        found.setdefault(category, []).append((question or WITHOUT_QUESTION.get(category, "answers"), right, total))
    return found


def _environment(summary: Mapping[str, Any]) -> list[str]:
    """Versions with their local parts, and the device."""
    shown = []
    if summary["versions"]:
        shown.append("  versions: " + ", ".join(f"{name} {version}" for name, version in summary["versions"].items()))
    device = summary["device"] or {}
    if device.get("kind") == "npu":
        used = f", {device['used_mb']} of {device['total_mb']} MB in use before" if device.get("total_mb") else ""
        shown.append(f"  device: {device['name']}{used} ({device['detail']})")
        shown += [f"  device memory, {name}: {seen}" for name, seen in summary.get("device_memory", {}).items()]
    return shown


def _engine(summary: Mapping[str, Any]) -> list[str]:
    log = summary["engine"].get("log") if summary["engine"] else None
    if not log:
        return []
    figures = (
        ("weights loaded in", "weights_load_s", "s"),
        ("model memory", "model_memory_gib", "GiB"),
        ("KV cache", "kv_cache_tokens", "tokens"),
    )
    parts = []
    for what, key, unit in figures:
        seen = f"{_count(log[key])} {unit}" if log.get(key) is not None else "not reported"
        expected = summary.get("expected", {}).get(key)
        parts.append(f"{what} {seen}{' (expected ' + _count(expected['value']) + ')' if expected else ''}")
    return [f"  engine: {', '.join([log.get('mode') or 'mode not reported', *parts])}"]


def _offline(summary: Mapping[str, Any]) -> list[str]:
    log = summary.get("offline", {}).get("log")
    return [f"  offline engine: {log['mode']}"] if log else []


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _latency(summary: Mapping[str, Any]) -> list[str]:
    guide = {row["category"]: row for row in summary["guide"]}
    shown = []
    for category, row in summary["latency"].items():
        figures = (("TTFT", "ttft_s"), ("TPOT", "tpot_s"), ("E2E", "e2e_s"))
        warm = ", ".join(f"{name} {seconds(row.get(key))}" for name, key in figures)
        rest = f"warm medians, n={row['n']}; cold {seconds(row.get('cold_e2e_s'))}, {row['tokens']} tokens"
        theirs = "; guide: {tokens} tokens {seconds} s {note}".format_map(guide[category]) if category in guide else ""
        shown.append(f"  latency {named(summary, category)}: {warm} ({rest}){theirs}".rstrip())
    return shown


def _capacity(summary: Mapping[str, Any]) -> list[str]:
    """The greatest number of requests at once at which the budgets held, for each kind of prompt."""
    return [f"  capacity {row['prompt']}: {capacity_of(row)} ({row['end']})" for row in summary.get("capacity") or ()]


def capacity_of(row: Mapping[str, Any]) -> str:
    """The capacity of a row, and the figures of its step."""
    capacity = row["capacity"]
    if capacity is None:
        return "not known"
    held = [step for step in row["steps"] if step["concurrency"] == capacity and step["state"] == "held"]
    if not held:
        return "no step within the budgets"
    figures = (("TTFT", "ttft_s"), ("TPOT", "tpot_s"), ("E2E", "e2e_s"))
    times = [f"{name} p99 {seconds(value['p99'])}" for name, key in figures if (value := held[-1][key])]
    rate = f"{held[-1]['output_tokens_per_s']:g} output tokens a second"
    return f"{capacity} at once, {row['prompt_tokens']} prompt tokens: {', '.join([*times, rate])}"


def named(summary: Mapping[str, Any], category: str) -> str:
    """The category, with its name in the deployment guide beside it."""
    theirs = (summary.get("guide_names") or {}).get(category)
    return f"{category} ({theirs})" if theirs else category


def seconds(value: float | None) -> str:
    """A time in ms or s; `no data` for None."""
    if value is None:
        return "no data"
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"
