"""The exception tree.

VlmAcceptanceError
├── UsageProblem           the person at the keyboard: one line, exit code 4
├── EnvironmentProblem     device, weights, port, tools: nothing could be judged, exit code 10
│   ├── DeviceProblem
│   ├── WeightsProblem
│   ├── PortTaken
│   └── NoAnswer
├── DeploymentFailure      the deployment under test is wrong: a failure, exit code 1
│   └── EngineFailure      its engine died, or never became ready
├── HarnessProblem         our own machinery broke: an error, exit code 11
├── ToBeCalibrated         only below bars that were never calibrated: neither right nor wrong, exit code 11
└── NotRun                 a precondition of the test failed earlier; the test that met it first reported why
    └── NotStored          a stored run that is judged again does not hold what the test looks at
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vlm_acceptance.core.text import printable

LONGEST = 2000  # characters of a message for the person at the keyboard


class VlmAcceptanceError(Exception):
    """Base of everything this suite raises on purpose."""


class UsageProblem(VlmAcceptanceError):
    """A wrong option, profile or file; the message is one line for the person at the keyboard.

    Line ends and control characters of foreign names and values are escaped, and a long message is cut.
    """

    def __init__(self, message: str) -> None:
        cut = message if len(message) <= LONGEST else f"{message[:LONGEST]}… ({len(message)} characters)"
        super().__init__(printable(cut).replace("\n", "\\n").replace("\t", "\\t"))


class EnvironmentProblem(VlmAcceptanceError):
    """A cause outside the deployment: it is reported as an error, never as a failure."""


class DeviceProblem(EnvironmentProblem):
    """No usable accelerator, or somebody else holds it."""


class WeightsProblem(EnvironmentProblem):
    """The model folder is absent, incomplete or damaged."""


class PortTaken(EnvironmentProblem):
    """Something that is not ours already listens where the engine should."""


class NoAnswer(EnvironmentProblem):
    """A tool of the machine did not answer in its time."""


class DeploymentFailure(VlmAcceptanceError, AssertionError):
    """The deployment does not do what its profile requires."""


class EngineFailure(DeploymentFailure):
    """The engine died, or did not get ready with sound weights and a free device."""


class HarnessProblem(VlmAcceptanceError):
    """Our own machinery failed; nothing is said about the deployment."""


class ToBeCalibrated(VlmAcceptanceError):
    """The deployment is below bars that were never calibrated for it, and nothing else is wrong."""


class NotRun(VlmAcceptanceError):
    """A precondition of the test failed earlier; the test that met it first reported why."""


class NotStored(NotRun):
    """A stored run that is judged again does not hold `what` the test looks at."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not in the stored run: {what}")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """' Did you mean X?' for the closest allowed word, or '' when none is close."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
