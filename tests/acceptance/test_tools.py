"""Are tools called as a client asks for it, and do the answers of tools reach the model?"""

import pytest

from vlm_acceptance.checks import completion, conversation, refusals
from vlm_acceptance.checks import tools as checks
from vlm_acceptance.workloads import tools as requests
from vlm_acceptance.workloads.conversation import more_words
from vlm_acceptance.workloads.load import STREAMED

pytestmark = pytest.mark.smoke

FORMS = {"plain": {}, "streamed": STREAMED}
# the parser of calls of vLLM 0.18 fails now and then beside another request: vllm-project/vllm/pull/37169
CONCURRENCY = 1


@pytest.fixture
def ask(client):
    """Sends a body in one piece and as a stream; the exchanges by the name of the form."""

    def ask(make, *args):
        bodies = [make(client.model_id, *args, **extra) for extra in FORMS.values()]
        return dict(zip(FORMS, client.all(bodies, CONCURRENCY), strict=True))

    return ask


@pytest.fixture
def judge_calls(findings, profile, known):
    """Judges calls in each form, but none that `max_tokens` ended. `issue`: what a wrong stream may be known as."""

    def judge_calls(exchanges, tools, ends, issue=None):
        cut = [form for form, exchange in exchanges.items() if checks.was_cut(exchange, requests.MAX_TOKENS)]
        for form, exchange in exchanges.items():
            found = [] if form in cut else checks.called(exchange, tools, ends)
            name = "streamed-call" if checks.lost_its_brace(exchange, tools) else issue
            if name is not None and exchange.request.stream:
                found = known.filter_known(name, found, exchange, profile.deadlines.cold_s)
            findings.add(found, exchange, form)
        findings.note(cut=cut)
        if exchanges and len(cut) == len(exchanges):
            pytest.skip(f"max_tokens {requests.MAX_TOKENS} ended every call: none can be judged")

    return judge_calls


@pytest.mark.parametrize("about", requests.ABOUT)
def test_text_has_no_marks(findings, ask, about):
    """The text of an ordinary answer MUST have no mark of a call or of reasoning, streamed or not."""
    for form, exchange in ask(requests.plain_body, about).items():
        findings.add(checks.unmarked(exchange), exchange, form)


@pytest.mark.needs("tools")
@pytest.mark.parametrize("name", requests.CHOICES)
def test_tool_is_called(ask, judge_calls, name):
    """A tool that a request demands MUST be called, with arguments that conform to its schema, streamed or not."""
    _, names, ends, _ = requests.CHOICES[name]
    tools = {one: requests.PARAMETERS[one] for one in names}
    judge_calls(ask(requests.call_body, name), tools, ends)


@pytest.mark.needs("tools", "call_text", "structured_output")
def test_written_call_is_read(findings, profile, ask, judge_calls):
    """A call that the model writes, of its own choice, MUST be read by the declared parser, streamed or not."""
    exchanges = ask(requests.written_body, profile.api.call_text)
    written = {form: one for form, one in exchanges.items() if checks.was_written(one, requests.NAMED)}
    findings.note(written=list(written))
    if not written:
        pytest.skip("the model could not be made to write a call: the parser of calls was not judged")
    values = {name: {"const": value} for name, value in requests.WRITTEN.items()}
    judge_calls(written, {requests.NAMED: requests.object_of(**values)}, ("tool_calls",), "written-call")


@pytest.mark.needs("tools")
def test_no_tool_is_called(findings, ask):
    """With `tool_choice: none` no tool MUST be called, streamed or not."""
    for form, exchange in ask(requests.body, "none").items():
        findings.add(checks.not_called(exchange, requests.MAX_TOKENS), exchange, form)


@pytest.mark.needs("tools")
def test_free_choice_leaves_no_marks(findings, profile, ask):
    """With `tool_choice: auto` an answer MUST be sound, with or without calls, and no mark of a call in its text."""
    exchanges = ask(requests.body, "auto")
    cut = [form for form, exchange in exchanges.items() if checks.was_cut_in_a_call(exchange, requests.MAX_TOKENS)]
    for form, exchange in exchanges.items():
        names = tuple(requests.PARAMETERS)
        findings.add([] if form in cut else checks.free(exchange, names, requests.MAX_TOKENS), exchange, form)
    calls = {form: checks.calls_in(exchange) for form, exchange in exchanges.items()}
    findings.note(cut=cut, calls=calls)
    if not (any(calls.values()) or profile.api.call_text or findings.all):
        pytest.skip("no call: the parser of calls was not judged (api.call_text says how the model writes one)")
    if len(cut) == len(exchanges):
        pytest.skip(f"max_tokens {requests.MAX_TOKENS} ended every answer within a call: none can be judged")


@pytest.mark.needs("tools")
@pytest.mark.parametrize("shape", requests.SHAPES)
def test_answer_of_a_tool_reaches_the_model(client, findings, chance, shape):
    """A tool, its call and its answer MUST reach the model, each once: words more in them cost their tokens."""
    bodies = requests.growth_bodies(client.model_id, chance, more_words(chance), shape)
    exchanges = client.all(list(bodies.values()), CONCURRENCY)
    replies = {name: checks.counted(exchange) for name, exchange in zip(bodies, exchanges, strict=True)}
    alone = (requests.ALONE, requests.ALONE_LONGER)
    parts = requests.SHAPES[shape].parts
    findings.add(conversation.parts_arrive(replies, alone, requests.BASE, parts, requests.HINTS))


@pytest.mark.needs("tools")
def test_picture_of_a_tool_reaches_the_model(client, findings, profile):
    """A picture in the answer of a tool MUST reach the model, or MUST be refused with a readable 4xx."""
    bodies = requests.picture_bodies(client.model_id)
    exchanges = dict(zip(bodies, client.all(list(bodies.values()), CONCURRENCY), strict=True))
    seen = exchanges[requests.BASE_SEEN]
    findings.note(picture_of_a_tool="answered" if seen.status == 200 else "refused")
    if seen.status != 200:
        found = refusals.refused(seen, statuses={400, 422}, deadline_s=profile.deadlines.cold_s)
        findings.add(found, seen)
        return
    replies = {name: checks.counted(exchange) for name, exchange in exchanges.items()}
    alone = (requests.ALONE, requests.ALONE_SEEN)
    found = conversation.pictures_cost_as_alone(replies, alone, requests.BASE, [requests.BASE_SEEN])
    findings.add(found, seen)


@pytest.mark.needs("tools")
@pytest.mark.parametrize("name", requests.bad_tools())
def test_bad_tools_are_refused(client, findings, profile, known, name):
    """Tools that are not valid MUST be refused with a readable 4xx, and the server MUST live on."""
    deadline_s = profile.deadlines.request_s
    exchange = client.chat(requests.PROMPT, max_tokens=8, **requests.bad_tools()[name])
    found = refusals.refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
    findings.add(known.filter_known(name, found, exchange, deadline_s), exchange)
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")


@pytest.mark.needs("no_tools")
@pytest.mark.parametrize("name", requests.UNOFFERED)
def test_tools_that_are_not_offered_are_survived(client, findings, profile, ask, name):
    """Without a parser of calls, tools MUST be answered soundly or refused readably, and the server MUST live on."""
    for form, exchange in ask(requests.body, requests.UNOFFERED[name]).items():
        found = checks.survived(exchange, tuple(requests.PARAMETERS), requests.MAX_TOKENS, profile.deadlines.request_s)
        findings.add(found, exchange, form)
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")
