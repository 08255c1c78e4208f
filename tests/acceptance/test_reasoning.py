"""Is what the model thinks apart from what it answers?"""

import pytest

from vlm_acceptance.checks import reasoning as checks
from vlm_acceptance.workloads import reasoning as requests
from vlm_acceptance.workloads.load import STREAMED

pytestmark = [pytest.mark.smoke, pytest.mark.needs("reasoning")]

FORMS = {"plain": {}, "streamed": STREAMED}
ABOUT = {"text": False, "picture": True}


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("form", FORMS)
def test_reasoning_is_apart(client, findings, profile, about, form):
    """The reasoning MUST be in its own field and before the text, which MUST have nothing of it."""
    body = requests.body(client.model_id, profile.model.thinking, ABOUT[about], **FORMS[form])
    exchange = client.body(body)
    findings.add(checks.apart(exchange, requests.MAX_TOKENS), exchange)
