"""Data: the faults that nothing refuses on the first day, each with the reason. See first_day.py."""

from __future__ import annotations

from owners import DISTANT

_NEAR = "as near to the reference as right deployments"
NOT_REFUSED: dict[str, str] = {
    **{fault: f"{what}: {_NEAR}" for fault, what in DISTANT.items()},
    "noise1": f"1 % of each weight: {_NEAR}",
}
