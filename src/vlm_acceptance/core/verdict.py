"""From test outcomes to one verdict and one exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vlm_acceptance.core.finding import Finding, Outcome, Verdict

EXIT = {"accepted": 0, "rejected": 1, "environment": 10, "inconclusive": 11}
UNSTABLE = "unstable"
WORST_FIRST = (
    Outcome.FAILED, Outcome.ERROR, Outcome.TO_CALIBRATE, Outcome.NOT_RUN, Outcome.SKIPPED, Outcome.PASSED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TestResult:
    """The outcome of one acceptance test. `categories` are those it judges or, of several, those below their bar.

    `seconds` are those of the test function, `wall_s` those of the whole test with its setup and teardown.
    """

    __test__ = False

    id: str
    area: str
    outcome: Outcome
    seconds: float
    message: str = ""
    must: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    categories: Sequence[str] = ()
    wall_s: float = 0.0

    @property
    def first_line(self) -> str:
        """The first line of the message, or the id."""
        return self.message.partition("\n")[0] or self.id


def worst(runs: Sequence[TestResult]) -> TestResult:
    """The one result of a test that ran once or more: its worst run; a test that failed once has failed.

    The message says "unstable" when other runs passed; the property `runs` holds the outcome of each run.
    """
    found = min(runs, key=lambda run: WORST_FIRST.index(run.outcome))
    if len(runs) == 1:
        return found
    outcomes = [run.outcome for run in runs]
    message = found.message
    if found.outcome is not Outcome.PASSED and Outcome.PASSED in outcomes:
        count = f"{outcomes.count(found.outcome)} of {len(runs)} runs"
        message = f"{UNSTABLE}: {found.outcome.value} in {count}: {message}"
    properties = {**found.properties, "runs": ", ".join(outcome.value for outcome in outcomes)}
    return replace(found, message=message, properties=properties)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict, its exit code and the sentence that explains it.

    `to_calibrate`: nothing but bars that were never calibrated prevents an acceptance.
    """

    verdict: Verdict
    code: int
    reason: str
    to_calibrate: bool = False


def rule(
    results: Sequence[TestResult],
    required: Sequence[str],
    *,
    mark: str = "",
    narrowed: str = "",
    blocked: str = "",
    interrupted: bool = False,
) -> Ruling:
    """Precedence: environment (10) > rejected (1) > inconclusive (11) > accepted (0).

    `required` are the ids of the plan, `mark` the marks that were asked for, `narrowed` how the run is partial,
    `blocked` why nothing could be judged.
    """
    by_outcome = {outcome: [one for one in results if one.outcome is outcome] for outcome in Outcome}
    failed, passed, skipped = (by_outcome[one] for one in (Outcome.FAILED, Outcome.PASSED, Outcome.SKIPPED))
    if blocked:
        reason = f"{'not everything' if passed else 'nothing'} could be judged: {blocked}"
        return Ruling(Verdict.INCONCLUSIVE, EXIT["environment"], reason)
    if failed:
        count = f"{len(failed)} tests failed, first " if len(failed) > 1 else ""
        reason = f"{count}{failed[0].id.rpartition('::')[2]}: {failed[0].first_line}"
        return Ruling(Verdict.REJECTED, EXIT["rejected"], reason)
    if narrowed:
        return Ruling(Verdict.NONE, EXIT["inconclusive"], f"partial run ({narrowed}): it cannot accept")
    waiting = by_outcome[Outcome.TO_CALIBRATE]
    done = {result.id for result in (*passed, *skipped, *waiting)}
    missing = [ident for ident in required if ident not in done]
    reason = ""
    if interrupted:
        reason = f"interrupted; {len(missing)} required tests did not finish"
    elif missing:
        cause = next((error.first_line for error in by_outcome[Outcome.ERROR]), missing[0])
        reason = f"{len(missing)} of {len(required)} required tests were not judged: {cause}"
    elif not passed and not waiting:
        reason = "nothing was tested"
    if waiting:
        also = f"{reason}; also " if reason else ""
        reason = f"{also}{_below_uncalibrated_bars(waiting)}"
        return Ruling(Verdict.INCONCLUSIVE, EXIT["inconclusive"], reason, to_calibrate=not also)
    if reason:
        return Ruling(Verdict.INCONCLUSIVE, EXIT["inconclusive"], reason)
    count = f"{len(required) - len(skipped)} of {len(required)}" if skipped else f"all {len(required)}"
    rest = f", {len(skipped)} skipped: {skipped[0].first_line}" if skipped else ""
    scope = f" of -m {mark}" if mark else ""
    return Ruling(Verdict.ACCEPTED, EXIT["accepted"], f"{count} required tests{scope} passed{rest}")


def _below_uncalibrated_bars(waiting: Sequence[TestResult]) -> str:
    count = f"{len(waiting)} tests are" if len(waiting) > 1 else "one test is"
    return (
        f"{count} below bars that were never calibrated for this deployment, and nothing failed; "
        f"first {waiting[0].id.rpartition('::')[2]}: {waiting[0].first_line}"
    )
