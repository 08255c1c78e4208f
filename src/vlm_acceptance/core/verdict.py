"""From test outcomes to one verdict and one exit code. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vlm_acceptance.core.finding import Finding, Outcome, Verdict

EXIT = {"accepted": 0, "rejected": 1, "environment": 10, "inconclusive": 11}


@dataclass(frozen=True, slots=True)
class TestResult:
    """What one acceptance test came to. `categories` are those it judges, or of many those it found below their bar."""

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


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict, its exit code and the sentence that explains it."""

    verdict: Verdict
    code: int
    reason: str


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

    `required` are the ids of the plan, `mark` which of the plan's marks were asked for.
    `narrowed` says how the run was narrowed, `blocked` why nothing could be judged.
    """
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if blocked:
        what = "not everything" if any(result.outcome is Outcome.PASSED for result in results) else "nothing"
        return Ruling(Verdict.INCONCLUSIVE, EXIT["environment"], f"{what} could be judged: {blocked}")
    if failed:
        first = f"{failed[0].id.rpartition('::')[2]}: {_first_line(failed[0])}"
        count = f"{len(failed)} tests failed, first " if len(failed) > 1 else ""
        return Ruling(Verdict.REJECTED, EXIT["rejected"], f"{count}{first}")
    if narrowed:
        return Ruling(Verdict.NONE, EXIT["inconclusive"], f"the run was narrowed ({narrowed}): it accepts nothing")
    done = {result.id for result in results if result.outcome in (Outcome.PASSED, Outcome.SKIPPED)}
    missing = [ident for ident in required if ident not in done]
    if interrupted:
        return Ruling(
            Verdict.INCONCLUSIVE, EXIT["inconclusive"], f"interrupted; {len(missing)} required tests did not finish"
        )
    if missing:
        errors = [result for result in results if result.outcome is Outcome.ERROR]
        cause = _first_line(errors[0]) if errors else missing[0]
        return Ruling(
            Verdict.INCONCLUSIVE,
            EXIT["inconclusive"],
            f"{len(missing)} of {len(required)} required tests were not judged: {cause}",
        )
    if not any(result.outcome is Outcome.PASSED for result in results):
        return Ruling(Verdict.INCONCLUSIVE, EXIT["inconclusive"], "nothing was tested")
    skipped = [result for result in results if result.outcome is Outcome.SKIPPED]
    said = f"all {len(required)}" if not skipped else f"{len(required) - len(skipped)} of {len(required)}"
    rest = f", {len(skipped)} skipped: {_first_line(skipped[0])}" if skipped else ""
    scope = f" of -m {mark}" if mark else ""
    return Ruling(Verdict.ACCEPTED, EXIT["accepted"], f"{said} required tests{scope} passed{rest}")


def _first_line(result: TestResult) -> str:
    return result.message.partition("\n")[0] or result.id
