"""The data of the accuracy run are complete before an engine is started for it."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs("mmmu")]


def test_mmmu_is_prepared(context, findings):
    """The prepared questions and pictures MUST be complete, unchanged and those of the profile."""
    plan = context.accuracy_plan.get()
    findings.note(
        dataset=plan.prepared.dataset,
        questions=len(plan.prepared),
        source=plan.prepared.source,
        revision=plan.prepared.revision,
        index_sha256=plan.prepared.sha256,
        protocol=plan.prompts.name,
        limits=f"{plan.limits.low} to {plan.limits.high} ({plan.limits.basis})",
    )
