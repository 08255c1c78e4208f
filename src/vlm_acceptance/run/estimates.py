"""What acceptance tests cost: requests and seconds as once recorded on the control, and what a profile says instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.yaml_file import read_yaml


class Cost(BaseModel):
    """Requests and seconds of one test; of a parametrized one, the mean over its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: NonNegativeInt
    seconds: NonNegativeFloat


class Recorded(BaseModel):
    """The costs seen on the control: starts of the engines in seconds, rates in requests a second, tests by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    server_s: NonNegativeFloat
    offline_s: NonNegativeFloat
    soak_per_s: PositiveFloat
    mmmu_per_s: PositiveFloat
    tests: dict[str, Cost]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Requests and seconds, each None where nobody can know; `note` says where they come from."""

    requests: int | None
    seconds: float | None
    note: str = ""


def read_recorded(path: Path) -> Recorded:
    """The recorded costs; UsageProblem when the file is none."""
    return read_yaml(path, Recorded)


def said_by(profile: Profile) -> Mapping[str, int]:
    """Tests whose number of requests the profile says."""
    return {
        "latency::test_category_is_within_budget": profile.latency.repeats + 1,
        "load::test_burst": profile.load.burst,
        "load::test_bad_request_stays_alone": profile.load.burst,
        "load::test_large_burst": profile.load.large_burst,
        "logprobs::test_numbers_are_those_of_the_baseline": profile.logprobs.sample,
    }


def of_test(name: str, profile: Profile, recorded: Recorded) -> Estimate:
    """One test, named without parameters; where the profile says the requests, the time goes with them."""
    cost = recorded.tests.get(name)
    requests = said_by(profile).get(name)
    if cost is None:
        return Estimate(requests, None)
    if requests is None or not cost.requests:
        return Estimate(cost.requests, cost.seconds)
    return Estimate(requests, cost.seconds * requests / cost.requests)


def of_soak(profile: Profile, recorded: Recorded) -> Estimate:
    """The one soak of a run; how many requests it makes is known of the control only."""
    seconds = profile.load.soak_s
    requests = round(seconds * recorded.soak_per_s) if profile.model.control else None
    return Estimate(requests, seconds, f"a soak of {seconds:g} s" + ("" if requests else ", as many as are answered"))


def of_mmmu(profile: Profile, recorded: Recorded, questions: int | None) -> Estimate:
    """The one accuracy run: the questions, their texts alone where tokens are counted, and the blank pictures.

    The time is the control's own, elsewhere the most that the end-to-end budget allows; None where there is none.
    """
    wanted = profile.mmmu
    if wanted is None or questions is None:
        return Estimate(None, None)
    sample = min(wanted.sighted.sample, questions)
    told = f"{questions} questions" + (f", {sample} again with blank pictures" if sample else "")
    if wanted.engine == "offline":
        return Estimate(0, None, f"{told}, by the offline engine")
    texts = 0 if profile.model.pictures.oracle == "none" else questions
    requests = questions + sample + texts
    if profile.model.control:
        return Estimate(requests, requests / recorded.mmmu_per_s, told)
    limit = profile.latency.default.e2e_s
    if limit is None:
        return Estimate(requests, None, told)
    seconds = math.ceil((questions + sample) / wanted.concurrency) * limit
    return Estimate(requests, seconds, f"{told}; at most, {wanted.concurrency} at once and {limit:g} s each")
