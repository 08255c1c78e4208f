"""MMMU_val as a data set of the accuracy run."""

from __future__ import annotations

from collections.abc import Sequence

from vlm_acceptance.accuracy.dataset import Dataset, Prompts
from vlm_acceptance.accuracy.mmmu.expected_counts import check_prepared
from vlm_acceptance.accuracy.mmmu.protocols import protocol
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.accuracy.mmmu.subjects import DOMAINS
from vlm_acceptance.accuracy.protocol import text_only_prompt
from vlm_acceptance.config.profile import Mmmu

PREPARE = "python -m vlm_acceptance.accuracy.mmmu prepare --from modelscope"


def prompts(wanted: Mmmu, stop_token_ids: Sequence[int]) -> Prompts:
    """The protocol of a profile's section `mmmu`."""
    return protocol(wanted.protocol, stop_token_ids, wanted.system_message, wanted.max_tokens)


MMMU = Dataset(
    name="MMMU_val",
    stem="mmmu_val",
    domains=DOMAINS,
    scorers=SCORERS,
    prompts=prompts,
    text_only_prompt=text_only_prompt,
    check_prepared=check_prepared,
    prepare=PREPARE,
)
