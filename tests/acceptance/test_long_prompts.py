"""Is what stands in a long prompt attended to? A password and a picture, near its beginning, middle and end."""

import pytest

from vlm_acceptance.cases.large_pictures import USUAL
from vlm_acceptance.checks import dialogues as checks
from vlm_acceptance.checks.bars import bar_of_new
from vlm_acceptance.config.profile import LONG_PROMPTS
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.workloads import dialogues

WHY = "that part of the prompt does not reach the model, or it does not attend to it"


@pytest.fixture
def ask_long(client, context, findings, profile):
    """Asks about long prompts of one length, so many times, and judges and counts each time."""
    wanted, rule = profile.capability, context.tile_rule
    side = (rule or USUAL).tile_px

    def judge(length, drawn, exchanges):
        name, replies = f"{LONG_PROMPTS}-{length}", [exchange.reply for exchange in exchanges]
        recorded = wanted.recorded.get(name)
        if wanted.recorded and recorded is None:
            findings.is_unrecorded()
        least, questions = bar_of_new(wanted.min_correct, recorded), dialogues.asked(drawn, dialogues.HIDDEN_GROUPS)
        seen = checks.judged(questions, replies, least, kinds.LONG_COUNT, profile.model.special_tokens)
        found = seen.findings
        if recorded is None:
            found += checks.lost_groups(kinds.LONG_PLACE, dialogues.HIDDEN_GROUPS, seen.right, replies, WHY)
        if not seen.late:
            context.record.count(name, seen.count, len(drawn))
        findings.add([one for one in found if one.fatal] if LONG_PROMPTS in wanted.report_only else found)
        tokens = [reply.usage.prompt for reply in replies if getattr(reply, "usage", None)]
        findings.note(prompt_tokens=f"{min(tokens, default=0)} to {max(tokens, default=0)}")
        return f"{seen.count} of {len(drawn)}"

    def ask_long(length, *turns):
        findings.judges(LONG_PROMPTS)
        drawn = dialogues.long_texts(client, length, context.settings.seed, side, rule)
        if isinstance(drawn, NoReply):
            found = Finding(kinds.ANSWER_MISSING, "the number of tokens of a text", str(drawn))
            findings.add([found], drawn.exchange)
            return
        for turn in turns:
            exchanges = client.all(dialogues.bodies(client.model_id, drawn), wanted.concurrency)
            findings.note(**{turn: judge(length, drawn, exchanges)})

    return ask_long


@pytest.mark.smoke
@pytest.mark.needs("long_prompts")
def test_hidden_in_a_long_prompt(profile, ask_long):
    """What is hidden in a long prompt MUST be found: near its beginning, in its middle, near its end.

    It is counted like a category. The length is the first one that the profile names.
    """
    ask_long(dialogues.lengths(profile.challenge.long_prompts, profile.model.max_model_len)[0], "right")


@pytest.mark.slow
@pytest.mark.needs("longer_prompts", "max_model_len")
def test_hidden_in_longer_prompts(ask_long, long_length):
    """What is hidden in each longer prompt that has room MUST be found, also when the prefix cache has the prompt."""
    ask_long(long_length, "right", "right_again")
