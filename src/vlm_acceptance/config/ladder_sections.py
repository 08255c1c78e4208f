"""A profile's sections about the ladder of load."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vlm_acceptance.config.profile_sections import Limits, Seconds, Share
from vlm_acceptance.config.yaml_file import Section


def _rising(numbers: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise ValueError("each number must be greater than the one before it")
    return numbers


Clients = Annotated[int, Field(ge=1, le=64)]


class StepBudgets(Section):
    """What a step of the ladder must keep: limits in seconds on percentiles, and the highest share of requests without
    an answer.
    """

    ttft_s: Limits = Limits()
    tpot_s: Limits = Limits()
    itl_s: Limits = Limits()
    e2e_s: Limits = Limits()
    errors: Share = 0


class RecordedCapacity(Section):
    """What a right deployment reached with one kind of prompt: the greatest number of requests at once at which the
    budgets held, and in this step the median end to end time in seconds with the upper limit of its interval.
    """

    concurrency: Clients
    e2e_s: Seconds
    e2e_high_s: Seconds


class Ladder(Section):
    """Load in rising steps, for each kind of prompt and each length in tokens: so many requests at once for `step_s`
    seconds, and until `requests` are measured. A step that loses its budgets is repeated once; if it loses them again,
    the higher steps of this prompt are not run. `output_tokens` is the length of each answer.

    `baseline` has what was recorded, by prompt, such as `text-512`; the median end to end time may be longer by the
    share `slower`.
    """

    prompts: list[Literal["text", "one_tile", "many_tiles"]] = ["text", "one_tile", "many_tiles"]
    lengths: Annotated[list[Annotated[int, Field(ge=64)]], AfterValidator(_rising)] = [512, 2048, 8192]
    concurrency: Annotated[list[Clients], Field(min_length=1), AfterValidator(_rising)] = [1, 4, 16, 64]
    output_tokens: int = Field(default=64, ge=2)
    step_s: Seconds = 20
    requests: int = Field(default=16, ge=12)
    budgets: StepBudgets = StepBudgets()
    slower: Share = 0.1
    baseline: dict[str, RecordedCapacity] = {}
