"""`--vlm-plan`: what a run would do, in lines. Nothing is started, nothing is asked, no engine is needed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vlm_acceptance.accuracy import run
from vlm_acceptance.config.options import ROOT
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.finding import printable
from vlm_acceptance.run import summary
from vlm_acceptance.run.context import RunContext
from vlm_acceptance.run.estimates import Estimate, Recorded, of_mmmu, of_soak, of_test, read_recorded

ESTIMATES = ROOT / "fixtures" / "estimates.yaml"
SOAK, MMMU = "load::test_soak_", "mmmu::"
SHOWN = 3


@dataclass
class Row:
    """One line of the plan: an area, its tests and what they cost, in parts."""

    name: str
    tests: list[str] = field(default_factory=list)
    parts: list[Estimate] = field(default_factory=list)

    def line(self, note: str = "") -> str:
        """The row as text; `+` stands where a part is not known. `note` is said in place of those of the parts."""
        requests, seconds = [part.requests for part in self.parts], [part.seconds for part in self.parts]
        asked = f"{sum(filter(None, requests))}{'+' if None in requests else ''}"
        takes = f"{_time(sum(filter(None, seconds)))}{'+' if None in seconds else ''}"
        notes = [note] if note else [part.note for part in self.parts if part.note]
        unmeasured = 0 if note else sum(part.seconds is None and not part.note for part in self.parts)
        notes += [f"{unmeasured} not measured"] if unmeasured else []
        return f"  {self.name:<12} {len(self.tests) or '':>5} {asked:>9} {takes:>9}  {'; '.join(notes)}".rstrip()


def lines(context: RunContext, ids: Sequence[str], mark: str, *, serves: bool, names: bool) -> list[str]:
    """The plan of a run of these tests (node ids, in their order); `serves` tells whether they need the server.

    With `names` every test is listed. UsageProblem when the recorded costs cannot be read.
    """
    recorded = read_recorded(ESTIMATES)
    rows = _rows(context.profile, recorded, [_short(ident) for ident in ids])
    starts = Row("start", parts=_starts(context, recorded, serves))
    told = [f"{summary.statement(context)}; {f'-m {mark}' if mark else 'smoke and slow'}; nothing was started or asked"]
    told += [f"  {'area':<12} {'tests':>5} {'requests':>9} {'time':>9}"]
    for row in [starts, *rows] if starts.parts else rows:
        told.append(row.line())
        told += [f"    {test}" for test in row.tests] if names else []
    whole = Row("total", list(ids), [part for row in (starts, *rows) for part in row.parts])
    told.append(whole.line("+ where not all of it is known"))
    whose = "" if context.profile.model.control else ", and are only a measure of one test against another"
    told.append(f"  times are those of the control ({recorded.engine}){whose}, unless a note says otherwise")
    told += _left_out(context.not_applicable, names)
    if context.narrowed:
        told.append(f"  narrowed ({context.narrowed}): such a run rejects or is inconclusive, it accepts nothing")
    return [printable(line) for line in told]


def _rows(profile: Profile, recorded: Recorded, tests: Iterable[str]) -> list[Row]:
    rows: dict[str, Row] = {}
    for test in tests:
        area, name = test.partition("::")[0], test.partition("[")[0]
        row = rows.setdefault(area, Row(area))
        # one soak and one accuracy run serve all their tests
        if name.startswith(SOAK):
            row.parts += [] if any(one.startswith(SOAK) for one in row.tests) else [of_soak(profile, recorded)]
        elif name.startswith(MMMU):
            row.parts += [] if row.tests else [_accuracy(profile, recorded)]
        else:
            row.parts.append(of_test(name, profile, recorded))
        row.tests.append(test)
    return list(rows.values())


def _accuracy(profile: Profile, recorded: Recorded) -> Estimate:
    """The accuracy run over the prepared data, or over as many questions as its reference has where there are none."""
    with contextlib.suppress(EnvironmentProblem):
        return of_mmmu(profile, recorded, len(run.plan(profile).prepared))
    reference = profile.mmmu.reference_among(profile.references)[1] if profile.mmmu else None
    found = of_mmmu(profile, recorded, reference.total if reference else None)
    return Estimate(found.requests, found.seconds, f"{found.note or 'questions'}: the data are not prepared here")


def _starts(context: RunContext, recorded: Recorded, serves: bool) -> list[Estimate]:
    """What it takes to start each engine of a launched run."""
    profile = context.profile
    engines = []
    if context.settings.launched and context.wants_offline:
        engines.append(("offline engine", recorded.offline_s, profile.offline.timeout_s))
    if context.settings.launched and serves:
        engines.append(("server", recorded.server_s, profile.engine.start_timeout_s))
    return [Estimate(0, took, f"{name} {_time(took)}, at most {_time(most)}") for name, took, most in engines]


def _left_out(not_applicable: dict[str, str], names: bool) -> list[str]:
    """What is left out, by reason."""
    told = []
    for reason, count in Counter(not_applicable.values()).items():
        tests = [_short(test) for test, why in not_applicable.items() if why == reason]
        shown = tests if names else list(dict.fromkeys(test.partition("[")[0] for test in tests))
        kept = shown if names else shown[:SHOWN]
        more = f" and {len(shown) - len(kept)} more" if len(shown) > len(kept) else ""
        told.append(f"  left out, {count}: {reason}: {', '.join(kept)}{more}")
    return told


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _short(ident: str) -> str:
    """A node id as `area::test`."""
    return ident.rpartition("/")[2].removeprefix("test_").replace(".py::", "::")
