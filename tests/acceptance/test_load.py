"""Many requests at once: bursts, clients that disconnect, and a soak. No answer is mixed up, late or missing."""

import pytest

from vlm_acceptance.checks import hang, refusals, trends
from vlm_acceptance.checks import load as checks
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import EnvironmentProblem, NotRun
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.waiting import in_words
from vlm_acceptance.engine import command, serve_benchmark
from vlm_acceptance.engine.memory import resident_mb
from vlm_acceptance.report.evidence import slug
from vlm_acceptance.run.lazy import OnceResource
from vlm_acceptance.workloads import load, soak, soak_figures

DISCONNECTING = 4
DISCONNECT_AFTER_EVENTS = 32
MOST_TRIES = 3
LONG_TOKENS = 2000
BENCH_S = 300
SEEN_TO_END_S = 2
BROKEN_URL = "data:image/png;base64,%%%"


@pytest.fixture(scope="module")
def soak_once():
    """Holds the one soak of the run."""
    return {}


@pytest.fixture
def soaked(client, jobs, context, deployment, soak_once):
    """The soak, made when the first test needs it."""
    wanted = context.profile.load
    device = (lambda: context.preflight.device_state().used_mb) if deployment.launched else lambda: None
    rss = (lambda: resident_mb(deployment.process.tree())) if deployment.launched else lambda: None
    dog = load.Watchdog(client.http, wanted.hang_s, rss, device, client.clock)

    def run():
        context.log(f"load: a soak of {wanted.soak_s:g} s, {wanted.soak_concurrency} requests at once")
        tokens = context.profile.model.special_tokens
        made = soak.soak(client, jobs, wanted.soak_s, wanted.soak_concurrency, dog, tokens, seed=context.settings.seed)
        context.store.observation("soak", made)
        context.store.observation("soak-figures", soak_figures.figures_of(made, wanted))
        return made

    return soak_once.setdefault("soak", OnceResource(run)).get()


@pytest.fixture
def steady(soaked):
    """The soak; NotRun when it did not go on to its end."""
    if soaked.hang is not None or soaked.given_up:
        raise NotRun("the soak did not go on to its end")
    if not soaked.samples:
        raise EnvironmentProblem(f"no request of the soak was answered ({len(soaked.served)} were sent): no figures")
    return soaked


@pytest.fixture
def vllm_bench(steady, context, deployment):
    """The figures of `vllm bench serve` after the soak; none for an attached endpoint."""
    if not (deployment.launched and context.profile.load.bench):
        return {}

    def measure():
        ready, concurrency = context.preflight, context.profile.load.soak_concurrency
        wanted = serve_benchmark.Bench(deployment.base_url, deployment.model_id, ready.folder, concurrency, BENCH_S)
        env = command.engine_env(context.profile, ready.env)
        context.log("load: vllm bench serve, for its figures")
        place, key = context.store.folder, context.settings.api_key
        return serve_benchmark.measure(ready.engine.command, wanted, env, place, context.tag, key)

    measured = context.observed("bench", dict[str, str], measure)
    context.record.serve_benchmark = serve_benchmark.beside(
        measured, len(steady.samples) / steady.seconds, steady.tokens / steady.seconds
    )
    return measured


@pytest.fixture
def send_burst(client, findings, context):
    """Sends requests at once; a hang is stored and a finding."""

    def send(bodies):
        seen = load.burst(client, bodies, context.profile.load.hang_s)
        if seen.hang is not None:
            context.store.observation(f"hang-{slug(findings.test)}", seen.hang)
        findings.add(hang.not_hung(seen.hang, "burst"))
        return seen

    return send


def judged_burst(send_burst, findings, profile, jobs, least_right, stand, chance):
    """A burst of these jobs: all answered, no answer of another request, no request starved."""
    names = [job.asked.id for job in jobs]
    seen = send_burst([job.sent(chance) for job in jobs])
    by_name = {names[number]: exchange for number, exchange in seen.exchanges.items()}
    findings.add(own_answers(profile, least_right, jobs, seen.replies(range(len(jobs)))))
    limits = (profile.load.slower, profile.load.slower_s)
    stand(checks.fair(by_name, *limits), checks.fair(by_name, *limits, without_waits=True), seen.waits)
    seconds = [exchange.elapsed_s for exchange in by_name.values()]
    findings.note(requests=len(jobs), e2e=checks.percentiles(seconds))


def own_answers(profile, least_right, jobs, replies):
    """Findings about the answers to these jobs, by the bar of a question."""
    asked = [job.asked for job in jobs]
    return checks.own_answers(asked, replies, least_right, profile.model.special_tokens)


@pytest.mark.smoke
def test_burst(send_burst, findings, profile, jobs, least_right, stand, chance):
    """Mixed requests sent at once MUST all be answered, each with its own answer, none much later than the rest."""
    judged_burst(send_burst, findings, profile, load.mixed(jobs, profile.load.burst), least_right, stand, chance)


@pytest.mark.slow
def test_large_burst(send_burst, findings, profile, jobs, least_right, stand, chance):
    """A large burst of mixed requests MUST all be answered, each with its own answer, none much later than the rest."""
    judged_burst(send_burst, findings, profile, load.mixed(jobs, profile.load.large_burst), least_right, stand, chance)


@pytest.mark.smoke
def test_bad_request_stays_alone(client, send_burst, findings, profile, jobs, least_right):
    """A wrong request among many MUST be refused, and all others MUST be answered as without it."""
    chosen = load.mixed(jobs, profile.load.burst - 2)
    wrong = [
        chat_body(client.model_id, "Reply with OK.", (BROKEN_URL,)),
        {**chat_body(client.model_id, "Reply with OK."), "temperature": -1.0},
    ]
    bodies = [job.body for job in chosen]
    middle = len(bodies) // 2
    seen = send_burst([*bodies[:middle], *wrong, *bodies[middle:]])
    refused, others = [middle, middle + 1], [n for n in range(len(bodies) + 2) if n not in (middle, middle + 1)]
    for number in refused:
        if number in seen.exchanges:
            exchange, deadline_s = seen.exchanges[number], profile.deadlines.request_s
            found = refusals.refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
            findings.add(found, exchange, "the wrong request")
    findings.add(own_answers(profile, least_right, chosen, seen.replies(others)))


@pytest.mark.smoke
@pytest.mark.needs("running_metric")
def test_disconnected_client_frees_its_slot(client, findings, profile, context, deployment):
    """Clients that disconnect in mid-stream MUST free their slots: running requests fall back within seconds."""
    extra = {"stream": True, "ignore_eos": True, "max_tokens": LONG_TOKENS}
    numbers = range(1, DISCONNECTING + 1)
    bodies = [chat_body(client.model_id, f"Count from {number} to 200.", **extra) for number in numbers]
    within_s, is_alone = profile.load.freed_s, deployment.launched
    tries = []
    # requests of other clients disturb the figures of an attached endpoint only for a time
    for _ in range(1 if is_alone else MOST_TRIES):
        tries.append(load.disconnect(client, bodies, DISCONNECT_AFTER_EVENTS, within_s, is_alone))
        if not tries[-1].found(within_s):
            break
    context.store.observation("disconnections", tries)
    for exchange in (exchange for tried in tries for exchange in tried.exchanges):
        if exchange.status != 200 or not exchange.frames:
            seen = f"HTTP {exchange.status}, {len(exchange.frames)} events, {exchange.error}"
            findings.add([Finding(kinds.LOAD_NO_STREAM, "a stream to disconnect from", seen)], exchange)
    judged = judged_of(tries, within_s, is_alone)
    if judged is None and not findings.all:
        seen = "; ".join(f"{tried.before} before, {list(tried.during)} in mid-stream" for tried in tries)
        raise EnvironmentProblem(f"{hang.RUNNING} counts other clients too, in {len(tries)} tries: {seen}")
    if judged is not None:
        findings.add(judged.found(within_s), judged.exchanges[0])
        freed_s = f"{judged.after[-1][0]:.2f}"
        findings.note(running_before=judged.before, running_in_mid_stream=judged.during, freed_after_s=freed_s)


def judged_of(tries, within_s, is_alone):
    """The try to judge by: the last where nothing was found, else one whose figures are ours; None without any."""
    if not tries[-1].found(within_s):
        return tries[-1]
    return next((tried for tried in tries if tried.exchanges and (is_alone or tried.is_ours)), None)


def with_end(context, deployment, seen):
    """`seen`, and how the engine ended where it was launched and has ended."""
    process = deployment.process
    if process is None:
        return seen
    ended = context.observed(
        "ended", str | None, lambda: None if process.wait(SEEN_TO_END_S) is None else process.how_it_ended
    )
    return seen if ended is None else f"the engine ended ({ended}): {seen}"


@pytest.mark.slow
@pytest.mark.soak
def test_soak_is_answered(context, soaked, jobs, findings, profile, deployment, least_right):
    """Under a steady mixed load every request MUST be answered with its own answer, and the engine MUST NOT hang."""
    findings.add(hang.not_hung(soaked.hang, "soak"))
    if soaked.given_up_busy:
        findings.excuse(f"machine busy: {soaked.given_up}")
    elif soaked.given_up:
        findings.add([Finding(kinds.LOAD_GIVEN_UP, "answers", with_end(context, deployment, soaked.given_up))])
    unanswered = [fault for fault in soaked.faults if fault.kind is kinds.LOAD_NO_ANSWER]
    wrong = [fault for fault in soaked.faults if fault.kind is not kinds.LOAD_NO_ANSWER]
    over = checks.errors_within(len(unanswered), len(soaked.served), profile.load.budgets.errors)
    findings.add([*over, *(unanswered[: checks.SHOWN] if over else [])])
    late = soaked.starved
    if late and checks.errors_within(len(unanswered) + late, len(soaked.served), profile.load.budgets.errors):
        findings.excuse(f"machine busy: {late} of {len(soaked.served)} requests were not answered in time")
    # a picture that is sent a hundred times counts once
    different = sum(not job.asked.report_only for job in jobs)
    least = checks.fewest(soaked.answered, least_right, different)
    findings.add(checks.counted(wrong, soaked.answered, least))
    if not soaked.samples and not findings.all:
        raise EnvironmentProblem(f"no request of the soak was answered ({len(soaked.served)} were sent)")
    findings.note(**soak.figures(soaked, profile.latency.default))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.needs("load_budgets")
def test_soak_is_within_budgets(steady, findings, profile, stand):
    """Percentiles, throughput and goodput of the soak MUST be within the profile's budgets."""
    limits = (profile.load.budgets, profile.latency.default)
    stand(soak.beyond(steady, *limits), soak.beyond(steady.without_waits(), *limits), steady.waits)
    findings.note(
        **{name: f"{rate:.2f}" for name, (rate, _) in soak.rates(steady).items()}, waited=in_words(steady.waits)
    )


@pytest.mark.slow
@pytest.mark.soak
def test_soak_does_not_slow_down(steady, findings, profile, vllm_bench, stand):
    """Times MUST NOT grow during a steady load."""
    findings.note(**vllm_bench)
    if not trends.can_drift(points := steady.points("tpot_s")):
        findings.note(tpot_drift=f"not judged: {len(points)} answers were long enough to judge")
    found = soak.drifts(steady, profile.load.drift)
    # times that waiting explains wholly are no times any more, and then there may be too few to judge
    rest = soak.drifts(steady.without_waits(), profile.load.drift, optional=soak.TIMES.values())
    stand(found, rest, steady.waits)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.needs("launched")
def test_soak_does_not_leak(steady, findings, profile, context):
    """The memory of the engine's processes and of its card MUST NOT grow with the requests."""
    wanted = profile.load
    findings.add(trends.leak(*steady.memory("rss_mb"), "the engine's processes", wanted.leak_kb_per_request))
    findings.note(**soak.memory_figures(steady))
    requests, megabytes = steady.memory("hbm_mb")
    if profile.device.kind != "npu":
        return
    if not megabytes:  # as at the release: without an observation there is no judgement
        findings.note(hbm="not observed")
        return
    where = f"the card ({context.allocator})" if context.settings.launched else "the card"
    findings.add(trends.leak(requests, megabytes, where, wanted.hbm_leak_kb_per_request))
