"""The section of a profile that a reference's power chooses: its baseline, its sample and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vlm_acceptance.checks.reference_limits import Limits
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.change_names import phrase
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import shown
from vlm_acceptance.core.logprobs import read_baseline
from vlm_acceptance.core.reference import Change, Origin
from vlm_acceptance.core.reference_file import read_about

# limits are rounded down to so many digits: the floor keeps its margin to a hundredth
DIGITS = 3
# a change below this (nats) did nothing: a thumbnail, where every picture is one tile
UNSEEN = 1e-5
FLOAT32 = "float32"
# what the floor of a reference must hold: without it a right engine that rounds so would be refused
NEEDED = {FLOAT32: ("bf16", "fp16")}
NEEDED_16_BITS = ("other-rounding",)


def changes_of(path: Path, power: Path | None, names: str | None = None) -> list[Change]:
    """The floor of a file, or the part of these names, and the faults measured in it, or in the reference `power`.

    UsageProblem for a file without log probabilities, if either is missing, or for an unknown name.
    """
    read_baseline(path)
    about = read_about(path)
    own = list(about.changes)
    floor = {change.name: change for change in own if change.floor}
    if not floor:
        raise UsageProblem(f"{shown(path)} holds no floor: `reference power` measures that of a reference")
    if names is None and about.origin is not None:
        _require_floor(path, about.origin, floor)
    faults = own if power is None else list(read_about(power).changes)
    found = _floor(floor, names) + [change for change in faults if not change.floor]
    if not any(not change.floor for change in found):
        cure = "--power names a reference that does" if power is None else "`reference power` measures them"
        raise UsageProblem(f"{shown(power or path)} holds no measured fault: {cure}")
    return found


def _require_floor(path: Path, origin: Origin, floor: Mapping[str, Change]) -> None:
    """UsageProblem when a part of the floor is missing: the limits would be too narrow."""
    needed = NEEDED.get(origin.arithmetic, NEEDED_16_BITS)
    if missing := [name for name in needed if name not in floor]:
        raise UsageProblem(
            f"{shown(path)}: its floor lacks {', '.join(missing)}, so a right engine would be refused: "
            "`reference power` measures it; or name the floor of an engine that is known to round so: "
            f"--floor {','.join(floor)}"
        )


def _floor(known: Mapping[str, Change], names: str | None) -> list[Change]:
    if names is None:
        return list(known.values())
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageProblem(f"--floor: {shown(name, 40)!r} is none of {', '.join(known)}.{nearest(name, known)}")
    return [known[name] for name in dict.fromkeys(wanted)]


def section(baseline: Path, limits: Limits) -> dict[str, Any]:
    """The keys of `logprobs` for runs of so many prompts."""
    common = "common_top" if "common_top" in LogProbLimits.model_fields else "common_top5"
    return {
        "baseline": str(baseline.resolve()),
        "sample": limits.sample,
        "alarm": rounded(limits.alarm),
        "alarm_prompt": rounded(limits.alarm_prompt),
        common: rounded(limits.common_top),
    }


def rounded(value: float) -> float:
    """The value with DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def profile_text(name: str, extends: str, baseline: Path, limits: Limits) -> str:
    """A profile that extends another, with what its limits would refuse in comments."""
    content = {"extends": extends, "name": name, "logprobs": section(baseline, limits)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in said(limits)) + text


def said(limits: Limits) -> list[str]:
    """What runs by these limits would refuse, what they would not, and how far both sides are."""
    missed = [f"{phrase(name)} ({_far(far)}{_more(limits.needed.get(name))})" for name, far in limits.not_refused]
    above = "" if limits.margin_above is None else f", and {limits.margin_above:.2f} times below the nearest fault"
    return [
        f"the alarm is {limits.margin_below:.2f} times what right arithmetic reaches in one run of 1,000{above}",
        f"{limits.sample} prompts refuse: {_listed([phrase(name) for name in limits.refused])}",
        f"they do not refuse: {_listed(missed)}",
    ]


def _far(mean: float) -> str:
    return f"{mean:.2g} nats" if mean >= UNSEEN else "no prompt shows it"


def _more(prompts: int | None) -> str:
    return "" if prompts is None else f"; {prompts} prompts can"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "nothing"
