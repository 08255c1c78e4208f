"""How many requests at once the deployment holds, for each length of prompts, and what happens beyond its cache."""

import pytest

from vlm_acceptance.checks import capacity as checks
from vlm_acceptance.checks import hang
from vlm_acceptance.checks import preemption as preemption_checks
from vlm_acceptance.checks.load_steps import Climb
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.run.lazy import OnceResource
from vlm_acceptance.workloads import capacity, ladder_prompts, load, preemption

pytestmark = [pytest.mark.slow]

LEAST_PREEMPTED = 20
# each is asked once at least while the cache is full
QUESTIONS = 40


@pytest.fixture(scope="module")
def ladder_once():
    """Holds the one ladder of the run."""
    return {}


@pytest.fixture
def ladder(client, context, profile, chance, ladder_once):
    """Every climb of the ladder, made when the first test needs it."""
    wanted, hang_s, rule = profile.ladder, profile.load.hang_s, context.tile_rule

    def climb(kind):
        if kind.why_not:
            return Climb(kind.name, why_not=kind.why_not)
        prompt = ladder_prompts.prompt_of(client, kind, rule)
        if isinstance(prompt, NoReply):
            return Climb(kind.name, left_out=tuple(wanted.concurrency), broken=prompt)
        return capacity.climb(client, prompt, wanted, hang_s, chance, context.log)

    def run():
        climbs = []
        for kind in ladder_prompts.kinds_of(wanted, rule, profile.model.max_model_len):
            climbs.append(climb(kind))
            context.record.capacity.append(checks.row_of(climbs[-1], wanted.budgets))
            if climbs[-1].hang is not None:
                break
        context.store.observation("capacity", context.record.capacity)
        return climbs

    return ladder_once.setdefault("ladder", OnceResource(run)).get()


@pytest.fixture
def climbs(ladder):
    """The climbs by the names of their prompts, without those that have no room; EnvironmentProblem without any."""
    made = {climb.name: climb for climb in ladder if not climb.why_not}
    if not made:
        raise EnvironmentProblem(f"no prompt of the ladder can be sent: {ladder[0].why_not}")
    return made


@pytest.fixture
def report(findings, profile):
    """Notes how each climb ended, and excuses those that say nothing about `least` because the machine was busy."""

    def report(climb, least):
        findings.note(**{climb.name: checks.ended(climb, profile.ladder.budgets)})
        findings.excuse(checks.busy(climb, least))

    return report


@pytest.mark.needs("ladder")
def test_rising_load_is_answered(climbs, findings):
    """Under rising load every request MUST be answered in full, or refused with HTTP 429, 503 or 504; nothing hangs."""
    for climb in climbs.values():
        findings.add(hang.not_hung(climb.hang, climb.name))
        findings.add(checks.failed(climb))


@pytest.mark.needs("ladder")
def test_budgets_hold_at_low_load(climbs, findings, profile, report):
    """For each length of prompts the budgets MUST hold at the lowest load, at least; the verdict names the highest."""
    for climb in climbs.values():
        report(climb, 1)
        findings.add(checks.none_held(climb, profile.ladder.budgets))


@pytest.mark.needs("ladder", "capacity_baseline")
def test_capacity_did_not_shrink(climbs, findings, profile, report, stand):
    """Capacity, and the end to end time at that load, MUST NOT be worse than recorded."""
    wanted = profile.ladder
    if lost := sorted(wanted.baseline.keys() - climbs.keys()):
        raise EnvironmentProblem(f"ladder.baseline names {', '.join(lost)}, which the ladder did not run")
    for name, recorded in wanted.baseline.items():
        climb, waits = climbs[name], checks.waits_at(climbs[name], recorded.concurrency)
        report(climb, recorded.concurrency)
        findings.excuse(checks.too_few(climb, recorded))
        findings.add(checks.shrunk(climb, recorded, wanted.budgets))
        rest = checks.slower(climb, recorded, wanted.slower, without=True)
        stand(checks.slower(climb, recorded, wanted.slower), rest, waits)


@pytest.mark.needs("preemption", "server_paths")
def test_preempted_requests_keep_their_answers(client, jobs, findings, profile, least_right, chance, context):
    """Where the cache is too small for all requests, each MUST keep its own whole answer, also if it is preempted."""
    tokens, wanted = preemption.text_tokens(profile.model.max_model_len), profile.load
    context.log(f"capacity: long texts until {LEAST_PREEMPTED} requests are preempted, at most {wanted.soak_s:g} s")
    questions = load.mixed(jobs, QUESTIONS)
    pressed = preemption.press(client, questions, tokens, LEAST_PREEMPTED, wanted.soak_s, wanted.hang_s, chance)
    findings.add(hang.not_hung(pressed.hang, "preemption"))
    asked, replies = [job.asked for job, _ in pressed.answers], [reply for _, reply in pressed.answers]
    findings.add(preemption_checks.answers_kept(asked, replies, least_right, profile.model.special_tokens))
    findings.add(preemption_checks.texts_whole(pressed.texts, tokens))
    findings.note(preempted=pressed.preempted, answers=len(asked), long_texts=len(pressed.texts))
    texts, seconds = len(pressed.texts), pressed.seconds
    if not findings.all and (why := preemption_checks.too_few(pressed.preempted, LEAST_PREEMPTED, texts, seconds)):
        raise EnvironmentProblem(why)
