"""Do the routes beside chat answer like chat? Completions, responses, tokens, model cards."""

from dataclasses import replace

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import completion, refusals
from vlm_acceptance.checks import routes as checks
from vlm_acceptance.client import official
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.route_answers import COMPLETIONS, RESPONSES
from vlm_acceptance.core.spelling import PARAMS, spelled_of
from vlm_acceptance.workloads import routes as requests
from vlm_acceptance.workloads.refused_pictures import tokenized

pytestmark = pytest.mark.smoke

FORMS = {"plain": {}, "streamed": {"stream": True}}
USAGE = {"stream_options": {"include_usage": True}}
CUT = 3
# of the official client, plain and streamed
TEXTS = tuple[str, str] | NoReply
NEEDS = {
    "completions": pytest.mark.needs("route_completions"),
    "responses": pytest.mark.needs("route_responses"),
    "tokenize": pytest.mark.needs("route_tokenize"),
}
WRONG = [pytest.param(name, marks=NEEDS[row[0]]) for name, row in requests.WRONG.items()]


def completions_form(form):
    """The fields that make a request to completions plain or streamed; usage of a stream must be asked for."""
    return {**FORMS[form], **(USAGE if form == "streamed" else {})}


@pytest.fixture
def read(findings):
    """`read(exchange, route, where)`: the answer of a route; None and a finding if there is none."""

    def read(exchange, route, where=""):
        answer = checks.read(exchange, route)
        findings.add([answer] if isinstance(answer, Finding) else [], exchange, where)
        return None if isinstance(answer, Finding) else answer

    return read


@pytest.fixture
def chat(client, findings):
    """The answer of chat that the routes are compared with."""
    exchange = requests.chat_to_compare(client)
    findings.add(completion.answered(exchange.reply), exchange, "chat")
    return exchange


@pytest.fixture
def prompt(client, findings, chat):
    """The prompt of that answer as token ids; its bare text where the endpoint shows no ids."""
    ids = requests.rendered(client, chat)
    findings.note(compared_with_chat=ids is not None)
    return requests.PROMPT if ids is None else ids


@pytest.fixture
def whole(client, prompt, read):
    """A whole answer of completions, with log probabilities."""
    return read(requests.complete(client, prompt, logprobs=requests.TOP), "completions", "the whole answer")


@pytest.mark.needs("route_completions")
@pytest.mark.parametrize("form", FORMS)
def test_completions_answer_like_chat(client, findings, read, chat, prompt, tie, form):
    """`/v1/completions` MUST give the greedy text and the token counts of chat for the same tokens."""
    exchange = requests.complete(client, prompt, **completions_form(form))
    answer = read(exchange, "completions")
    if answer is not None and prompt != requests.PROMPT:
        findings.add(checks.like_chat(answer, chat, tie), exchange)


@pytest.mark.needs("route_completions")
@pytest.mark.parametrize("form", FORMS)
def test_completions_are_cut(client, findings, read, prompt, form):
    """`max_tokens` of `/v1/completions` MUST cut the answer there."""
    exchange = requests.complete(client, prompt, max_tokens=CUT, ignore_eos=True, **completions_form(form))
    answer = read(exchange, "completions")
    findings.add(checks.cut_at(answer, CUT) if answer else [], exchange)


@pytest.mark.needs("route_completions")
@pytest.mark.parametrize("form", FORMS)
def test_completions_stop(client, findings, read, prompt, whole, tie, form):
    """`stop` of `/v1/completions` MUST end the answer before the string."""
    if whole is None:
        return
    word = next((word for word in whole.text.split()[1:] if len(word) >= 4), ",")
    findings.note(stop=word)
    exchange = requests.complete(client, prompt, stop=[word], **completions_form(form))
    answer = read(exchange, "completions")
    findings.add(checks.stopped_before(answer, whole, word, tie) if answer else [], exchange)


@pytest.mark.needs("route_completions")
def test_completions_echo(client, findings, read, tie):
    """`echo` of `/v1/completions` MUST put the prompt before the answer."""
    plain = read(requests.complete(client, requests.PROMPT, logprobs=requests.TOP), "completions", "without echo")
    exchange = requests.complete(client, requests.PROMPT, echo=True)
    answer = read(exchange, "completions")
    if plain is not None and answer is not None:
        findings.add(checks.echoed(answer, plain, requests.PROMPT, tie), exchange)


@pytest.mark.needs("route_completions")
def test_completions_give_choices_and_logprobs(client, findings, read, prompt, whole):
    """`n` of `/v1/completions` MUST give that many choices, `logprobs` one log probability for each token."""
    findings.add(checks.lists_logprobs(whole, requests.TOP) if whole else [], whole.exchange if whole else None)
    exchange = requests.complete(client, prompt, n=2, temperature=0.7, seed=7, max_tokens=8)
    answer = read(exchange, "completions")
    findings.add(checks.has_choices(answer, 2) if answer else [], exchange)


@pytest.fixture
def judge_response(findings, profile, known, read, tie):
    """Judges an answer of `/v1/responses` beside that of chat to the same messages."""

    def judge_response(exchange, chat, where=""):
        answer = read(exchange, "responses", where)
        found = checks.like_chat(answer, chat, tie) if answer else []
        if answer and checks.starts_twice(answer, chat):
            found = known.filter_known("responses-start", found, exchange, profile.deadlines.cold_s)
        findings.add(found, exchange, where)

    return judge_response


@pytest.mark.needs("route_responses")
@pytest.mark.parametrize("form", FORMS)
def test_responses_answer_like_chat(client, chat, judge_response, form):
    """`/v1/responses` MUST give the greedy text and the token counts of chat for the same text."""
    judge_response(requests.respond(client, **FORMS[form]), chat)


@pytest.mark.needs("route_responses")
def test_responses_see_a_picture(client, category_of, judge_response):
    """`/v1/responses` MUST give the greedy text and the token counts of chat for the same picture, streamed or not."""
    question = category_of["ocr"].questions[0]
    url = png_url(question.pictures[0].path)
    chat = client.chat(question.prompt, (url,), max_tokens=requests.MAX_TOKENS, **PARAMS)
    for form, fields in FORMS.items():
        exchange = requests.respond_about(client, question.prompt, url, **fields)
        judge_response(exchange, chat, form)


@pytest.mark.needs("route_responses")
@pytest.mark.parametrize("form", FORMS)
def test_responses_are_cut(client, findings, read, form):
    """`max_output_tokens` of `/v1/responses` MUST cut the answer there, which is then incomplete."""
    exchange = requests.respond(client, max_output_tokens=CUT, ignore_eos=True, **FORMS[form])
    answer = read(exchange, "responses")
    findings.add(checks.cut_at(answer, CUT) if answer else [], exchange)


@pytest.mark.needs("route_tokenize")
def test_tokens_give_the_text_back(client, findings, chat):
    """`/tokenize` and `/detokenize` MUST give a text back, and MUST count a conversation as chat does."""
    listed = requests.tokens_of(client, requests.ROUND_TRIP)
    ids, found = checks.token_ids(listed), checks.offered(listed, "tokenize")
    detokenized = None if ids is None else requests.text_of(client, ids)
    found += [] if detokenized is None else checks.offered(detokenized, "tokenize")
    findings.add(found or checks.round_trip(listed, detokenized, requests.ROUND_TRIP), detokenized or listed)
    counted = tokenized(client, requests.PROMPT)
    findings.add(checks.counts_as_chat(counted, chat), counted)


@pytest.mark.needs("route_models")
def test_model_has_a_card(client, findings):
    """`/v1/models/{id}` MUST be the card of the served model."""
    exchange = requests.card(client)
    findings.add(checks.offered(exchange, "models") or checks.names_the_model(exchange, client.model_id), exchange)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_request_is_refused(client, findings, profile, name):
    """A wrong request to a route MUST be refused with a readable 4xx, and the server MUST live on."""
    route, _, _, statuses = requests.WRONG[name]
    exchange = requests.wrong(client, name)
    deadline_s = profile.deadlines.request_s
    found = refusals.refused(exchange, statuses=statuses, deadline_s=deadline_s)
    # a wrong model is a 404, too, but with a readable error
    findings.add(found and (checks.offered(exchange, route) or found), exchange)
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")


@pytest.mark.needs("openai", "route_completions")
def test_openai_client_reads_completions(deployment, client, context, findings, prompt, whole, tie):
    """The official openai client MUST read `/v1/completions`, streamed or not."""
    if whole is None:
        return
    body = {"model": client.model_id, "prompt": prompt, "max_tokens": requests.MAX_TOKENS, "temperature": 0.0}
    deadline_s = context.profile.deadlines.cold_s
    texts = context.observed(
        "official", TEXTS, lambda: official.ask_route(deployment.client, COMPLETIONS, body, deadline_s)
    )
    findings.add(checks.client_reads(texts, whole, tie), whole.exchange)


@pytest.mark.needs("openai", "route_responses")
def test_openai_client_reads_responses(deployment, client, context, findings, chat, read, tie):
    """The official openai client MUST read `/v1/responses`, streamed or not."""
    own = read(requests.respond(client), "responses")
    if own is None:
        return
    body = {
        "model": client.model_id,
        "input": requests.PROMPT,
        "max_output_tokens": requests.MAX_TOKENS,
        "temperature": 0.0,
    }
    deadline_s = context.profile.deadlines.cold_s
    texts = context.observed(
        "official", TEXTS, lambda: official.ask_route(deployment.client, RESPONSES, body, deadline_s)
    )
    # a response has no log probabilities here, which show a near-tie: chat's answer has
    known = spelled_of(chat)
    if tie is not None and checks.starts_twice(own, chat):
        # of another prompt nothing shows a near-tie
        findings.add(checks.client_reads_a_text(texts, RESPONSES), own.exchange)
        return
    own = own if isinstance(known, NoReply) else replace(own, spelled=known)
    findings.add(checks.client_reads(texts, own, tie), own.exchange)
