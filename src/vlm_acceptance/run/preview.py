"""`--vlm-plan`: the tests of a run, with requests and times of the newest stored run of the same profile, as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.accuracy import run
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import MB, parse_json, read_bytes, read_lines
from vlm_acceptance.core.language import tr
from vlm_acceptance.core.numbers import figure
from vlm_acceptance.core.text import filled_up, printable
from vlm_acceptance.report.stored_run import LINE_BYTES, RUN_BYTES
from vlm_acceptance.run import summary
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.last_run import stored_runs
from vlm_acceptance.run.requirements import area_of

SHOWN = 3
JUNIT_BYTES = 32 * MB


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and seconds, fixtures included, of one test in a stored run."""

    requests: int
    seconds: float


def lines(context: RunContext, ids: Sequence[str], mark: str, *, serves: bool, soaks: bool, names: bool) -> list[str]:
    """The plan of a run of the tests `ids` (node ids, in order); with `names` every test is listed.

    `serves` and `soaks`: the tests need the server, the soak.
    """
    run_name, costs = _last_costs(context, frozenset(map(_short, ids)))
    found = [f"{summary.statement(context)}; {f'-m {mark}' if mark else 'smoke and slow'}; nothing was started or sent"]
    head = (("area", -17), ("tests", 5), ("requests", 9), ("time", 10))
    found.append("  " + " ".join(filled_up(tr(name), width) for name, width in head))
    areas: dict[str, list[str]] = {}
    for ident in ids:
        areas.setdefault(area_of(ident), []).append(_short(ident))
    for area, tests in areas.items():
        found.append(_row(area, tests, costs))
        found += [f"    {test}" for test in tests] if names else []
    found.append(_row(tr("total"), [test for tests in areas.values() for test in tests], costs))
    if run_name:
        found.append(f"  requests and times, starts of engines included: from {run_name} (+ or -: it lacks tests)")
    else:
        found.append(f"  requests and times are unknown: no stored run of this profile in {context.settings.reports}")
    found += [f"  {line}" for line in (*_engines(context, serves), *_long_parts(context, soaks))]
    found += [f"  {note}" for note in summary.unstated(context.profile, context.settings.launched)]
    found += _left_out({test: row.reason for test, row in context.record.not_applicable.items()}, names)
    if context.record.narrowed:
        found.append(f"  partial run ({context.record.narrowed}): it can reject or be inconclusive, it cannot accept")
    return [tr(printable(line)) for line in found]


def _row(name: str, tests: Sequence[str], costs: Mapping[str, Cost]) -> str:
    seen = [costs[test] for test in tests if test in costs]
    more = "+" if len(seen) < len(tests) else ""
    requests = f"{sum(cost.requests for cost in seen)}{more}" if seen else "-"
    takes = f"{_time(sum(cost.seconds for cost in seen))}{more}" if seen else "-"
    return f"  {filled_up(name, -17)} {len(tests):>5} {requests:>9} {takes:>10}"


def _last_costs(context: RunContext, tests: Collection[str]) -> tuple[str, dict[str, Cost]]:
    """Name of the newest stored run of this profile with one of the tests (or ''), and the costs of its tests."""
    for folder, _ in stored_runs(context.settings.reports, context.profile.name):
        try:
            costs = _costs(folder)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ET.ParseError):
            continue  # files of another release
        if costs.keys() & tests:
            return folder.name, costs
    return "", {}


def _costs(folder: Path) -> dict[str, Cost]:
    """Costs of the tests of a stored run; only the JUnit file has times with fixtures, such as the soak."""
    requests: Counter[str] = Counter()
    exchanges = read_lines(folder / "exchanges.jsonl", LINE_BYTES, RUN_BYTES)
    requests.update(_short(parse_json(line)["test"]) for _, line in exchanges)
    cases = ET.fromstring(read_bytes(folder / "junit.xml", JUNIT_BYTES)).iter("testcase")  # noqa: S314  (our own file)
    found = {}
    for case in cases:
        test = f"{area_of(case.attrib['classname'].replace('.', '/'))}::{case.attrib['name']}"
        found[test] = Cost(requests[test], figure(float(case.attrib["time"])))
    return found


def _engines(context: RunContext, serves: bool) -> Iterator[str]:
    profile = context.profile
    starts = (
        (context.wants_offline, f"offline engine, at most {_time(profile.offline.timeout_s)}"),
        (serves, f"server, at most {_time(profile.engine.start_timeout_s)} to start"),
    )
    engines = [text for is_wanted, text in starts if is_wanted and context.settings.launched]
    if engines:
        yield f"starts: {'; '.join(engines)}"


def _long_parts(context: RunContext, soaks: bool) -> Iterator[str]:
    """The soak and the accuracy run: the profile sets their length, the table lacks their requests."""
    wanted = context.profile.mmmu
    if soaks:
        yield f"soak: {_time(context.profile.load.soak_s)}, not counted in the requests above"
    if context.wants_accuracy and wanted is not None:
        try:
            questions, note = len(run.plan(context.profile).prepared), ""
        except EnvironmentProblem:
            reference = wanted.reference_among(context.profile.references)[1]
            questions, note = (reference.total if reference else None) or 0, "; the data are not prepared here"
        blank = min(wanted.sighted.sample, questions)
        again = f", {blank} again with blank pictures" if blank else ""
        yield f"accuracy run: {questions or 'unknown number of'} questions{again} (mmmu.engine: {wanted.engine}){note}"


def _left_out(not_applicable: Mapping[str, str], names: bool) -> list[str]:
    """Tests that are not applicable, by reason."""
    found = []
    for reason, count in Counter(not_applicable.values()).items():
        tests = [_short(test) for test, why in not_applicable.items() if why == reason]
        tests = tests if names else list(dict.fromkeys(test.partition("[")[0] for test in tests))
        shown = tests if names else tests[:SHOWN]
        more = f" and {len(tests) - len(shown)} more" if len(tests) > len(shown) else ""
        found.append(f"  left out, {count}: {reason}: {', '.join(shown)}{more}")
    return found


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _short(ident: str) -> str:
    """A node id as `area::test`."""
    return f"{area_of(ident)}::{ident.partition('::')[2]}"
