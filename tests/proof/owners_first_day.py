"""Data: the faults that nothing refuses on the first day, each with the reason. See first_day.py."""

from __future__ import annotations

from owners import DISTANT

_NEAR = "as near to the reference as right deployments"
_UNCALIBRATED = "below a bar that nobody has calibrated: held back, not accepted"
_ESTIMATES = "within latency budgets that are estimates until they are recorded"
_CAPACITY = "what the deployment can do was not recorded yet"
_SCORE = "only answers of the accuracy run change, and their score stays within its limits"
NOT_REFUSED: dict[str, str] = {
    **{fault: f"{what}: {_NEAR}" for fault, what in DISTANT.items()},
    "answers-of-another": _SCORE,
    "answers-a-few-wrong": _SCORE,
    "signs-unread": _UNCALIBRATED,
    "large-signs-unread": _UNCALIBRATED,
    "history-unattended": _UNCALIBRATED,
    "system-unattended": _UNCALIBRATED,
    "long-beginning-unattended": _UNCALIBRATED,
    "long-middle-unattended": _UNCALIBRATED,
    "long-picture-unattended": _UNCALIBRATED,
    "preempted-cut": _UNCALIBRATED,
    "tpot-added": f"time per token: {_UNCALIBRATED}",
    "ttft-added": _ESTIMATES,
    "jitter": _ESTIMATES,
    "slow-on-busy-machine": _ESTIMATES,
    "slow-on-idle-machine": _ESTIMATES,
    "one-at-a-time": _CAPACITY,
    "slower-than-recorded": _CAPACITY,
    "too-slow-alone": _CAPACITY,
}
