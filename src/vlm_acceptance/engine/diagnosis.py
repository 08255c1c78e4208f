"""Probes of a machine or an endpoint, each with a time limit; what they find is one line: ok, warning or failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vlm_acceptance.core.errors import EnvironmentProblem, NoAnswer, UsageProblem

LIMIT_S = 5.0
OK, WARNING, FAILURE = "ok", "warning", "failure"


@dataclass(frozen=True, slots=True)
class Line:
    """What was examined (`check`), its status, and a message that names the remedy unless the status is ok."""

    check: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Examines one thing: `find` gives its lines, or raises the problem."""

    check: str
    find: Callable[[], Iterable[Line]]


def judged(check: str, problems: Iterable[str], fine: str, status: str = FAILURE) -> list[Line]:
    """A line of `status` for each problem; without one the line `fine`."""
    return [Line(check, status, problem) for problem in problems] or [Line(check, OK, fine)]


def examine(probe: Probe, limit_s: float = LIMIT_S) -> list[Line]:
    """The lines of a probe; a warning that says why when it breaks or has no answer in time."""
    found: list[Line] = []
    # a thread, which can be left behind: a disk or a driver that hangs cannot be interrupted
    thread = threading.Thread(target=lambda: found.extend(_lines(probe)), name=f"doctor {probe.check}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        late = f"no answer within {limit_s:g} s: the machine is very busy, or a disk, driver or network hangs"
        return [Line(probe.check, WARNING, late)]
    return found


def _lines(probe: Probe) -> list[Line]:
    try:
        return list(probe.find())
    except NoAnswer as late:
        return [Line(probe.check, WARNING, str(late))]
    except (EnvironmentProblem, UsageProblem) as problem:
        return [Line(probe.check, FAILURE, str(problem))]
    except Exception as broken:  # noqa: BLE001 (one probe that breaks must not end the others)
        why = f"it could not be examined ({type(broken).__name__}: {broken}); the run itself examines it again"
        return [Line(probe.check, WARNING, why)]
