"""The same questions in several rounds, mixed: a deployment that is right once must be right every time."""

import pytest

from vlm_acceptance.workloads import similar_pictures

pytestmark = pytest.mark.slow

ROUNDS = 5
CONCURRENCY = 8


@pytest.mark.parametrize("round_number", range(1, ROUNDS + 1))
def test_mixed_round(client, findings, context, judge_pictures, round_number):
    """Every category MUST reach its bar when all questions are sent mixed and at once."""
    sent = similar_pictures.shuffled(similar_pictures.all_pictures(context.inputs.categories), round_number)
    exchanges = client.all([similar_pictures.short_body(client.model_id, one) for one in sent], CONCURRENCY)
    findings.below_bar(judge_pictures(dict(zip([one.name for one in sent], exchanges, strict=True))))
