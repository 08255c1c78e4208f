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
    errors: Share = Field(default=0, description="the highest share of requests without an answer")


class RecordedCapacity(Section):
    """What a right deployment reached with one kind of prompt."""

    concurrency: Clients = Field(
        description="the greatest number of requests at once at which the budgets held", examples=[16]
    )
    e2e_s: Seconds = Field(description="the median end to end time in this step", examples=[0.8])
    e2e_high_s: Seconds = Field(description="the upper limit of the interval of this median", examples=[0.9])


class Ladder(Section):
    """Load in rising steps, for each kind of prompt and each length: [Capacity](#capacity). A step that loses its
    budgets is repeated once; if it loses them again, the higher steps of this prompt are not run.
    """

    prompts: list[Literal["text", "one_tile", "many_tiles"]] = Field(
        default=["text", "one_tile", "many_tiles"],
        description="kinds of prompts: `text`, or a text with a picture of `one_tile` or of `many_tiles`",
    )
    lengths: Annotated[list[Annotated[int, Field(ge=64)]], AfterValidator(_rising)] = Field(
        default=[512, 2048, 8192],
        description="lengths of the prompts in tokens, the picture included; what does not fit into "
        "`model.max_model_len` is not sent, and the verdict says so. `[]`: no ladder",
    )
    concurrency: Annotated[list[Clients], AfterValidator(_rising)] = Field(
        default=[1, 4, 16, 64], min_length=1, description="requests at once, from few to many"
    )
    output_tokens: int = Field(default=64, ge=2, description="tokens of each answer")
    step_s: Seconds = Field(default=20, description="how long a step takes")
    requests: int = Field(
        default=16,
        ge=12,
        description="answers that a step measures at least, beside the first ones, which all begin at once",
    )
    budgets: StepBudgets = StepBudgets()
    slower: Share = Field(default=0.1, description="by which share the median may be longer than the recorded one")
    baseline: dict[str, RecordedCapacity] = Field(
        default={},
        description="the recorded capacity, by prompt",
        examples=[{"text-512": {"concurrency": 16, "e2e_s": 0.8, "e2e_high_s": 0.9}}],
    )
