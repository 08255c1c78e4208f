"""Does each parameter of a chat request have its effect, streamed and not? Judged by the answer's own tokens."""

import pytest

from vlm_acceptance.checks import (
    completion,
    parameters,
    parameters_body,
    parameters_defaults,
    parameters_stop,
    parameters_tokens,
    refusals,
)
from vlm_acceptance.checks.parameters_answer import Answered, answer_of
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.core.exchange import NoReply, Request
from vlm_acceptance.workloads import parameters as workload
from vlm_acceptance.workloads import refused_pictures

pytestmark = pytest.mark.smoke


def needs(*names):
    """A mark: the endpoint takes these parameters; what follows a dash in a name is the case."""
    needed = [f"parameter {name.partition('-')[0]}" for name in names]
    return pytest.mark.needs(*needed)


def each(names, *also, ways=workload.WAYS):
    """Parametrizes a test by parameter and way; it needs the parameter of that name, and `also`."""
    rows = [pytest.param(n, way, marks=needs(n, *also), id=f"{n}-{way}") for n in names for way in ways]
    return pytest.mark.parametrize(("name", "way"), rows)


def one(name, *also, ways=workload.WAYS):
    """Parametrizes a test of one parameter by way."""
    return pytest.mark.parametrize("way", [pytest.param(way, marks=needs(name, *also), id=way) for way in ways])


@pytest.fixture
def gap(tie):
    """How far apart two tokens may be, in nats, where two greedy texts first differ."""
    return tie or 0.0


@pytest.fixture
def ask(client, findings, profile):
    """Sends a request with fields; what sampling makes of it need not be a sensible text."""

    def ask(way, prompt=workload.STORY, **fields):
        exchange = client.body(workload.body(client.model_id, prompt, profile.api.without, way, **fields))
        findings.disregard(exchange)
        return exchange

    return ask


@pytest.fixture(scope="module")
def references():
    """Greedy answers without any parameter, by name; each is requested once."""
    return {}


@pytest.fixture
def reference(ask, references, findings):
    """The greedy answer by token ids, which parameters must change; None if it cannot be read, which is a finding."""
    if "ids" not in references:
        references["ids"] = ask("plain", **workload.LONG)
    answer = answer_of(references["ids"])
    if isinstance(answer, Answered) and answer.names:
        return answer
    why = answer if isinstance(answer, NoReply) else NoReply("no log probabilities", references["ids"])
    findings.add([parameters.unanswered(why, "without the parameter")], references["ids"])
    return None


@pytest.fixture
def whole(ask, references):
    """The exchange of the greedy answer by the texts of its tokens, which stop strings must cut."""
    if "texts" not in references:
        references["texts"] = ask("plain", **workload.WHOLE)
    return references["texts"]


@each(workload.LENGTHS)
def test_length(ask, findings, name, way):
    """A parameter of the length MUST give an answer of that length, streamed and not."""
    fields, least, most, reason = workload.LENGTHS[name]
    prompt = workload.SHORT if name in ("min_tokens", "ignore_eos") else workload.STORY
    exchange = ask(way, prompt, **fields)
    findings.add(
        parameters.has_length(workload.sent({name: fields[name]}), exchange, least, most, reason), exchange, way
    )


@each(workload.STOPS)
def test_stop(ask, findings, tie, whole, name, way):
    """A stop string MUST end the answer, alone, in a list, inside a token and kept in the text, streamed and not."""
    word = parameters_stop.inside_a_token(whole) if name == "stop-inside-token" else completion.stop_word(whole.reply)
    fields = {"stop": ["no such words", word] if name == "stop-list" else word}
    if name == "include_stop_str_in_output":
        fields[name] = True
    exchange = ask(way, **workload.WHOLE, **fields)
    findings.note(stop=word)
    if name == "include_stop_str_in_output":
        findings.add(parameters_stop.kept(workload.sent(fields), exchange, whole, word, tie), exchange, way)
    else:
        findings.add(parameters_stop.ended(workload.sent(fields), exchange, whole, word, tie), exchange, way)
        findings.add(completion.own_tokens(exchange, workload.WHOLE["max_tokens"], word), exchange, way)


@one("stop_token_ids", "return_tokens_as_token_ids", "logprobs")
def test_stop_token(ask, findings, gap, reference, way):
    """`stop_token_ids` MUST end the answer at the first token of that id, streamed and not."""
    if reference is None or not reference.ids:
        return
    place = parameters_tokens.token_to_end_at(reference)
    ident, token = reference.ids[place], reference.names[place]
    exchange = ask(way, **workload.LONG, stop_token_ids=[ident])
    findings.note(token=ident, place=place)
    findings.add(parameters_tokens.ends_at(f"stop_token_ids [{ident}]", exchange, token, reference, gap), exchange, way)


@each(workload.NARROW, "logprobs", "top_logprobs")
def test_only_the_likeliest_tokens(ask, findings, name, way):
    """Temperature 0, or at a high one `top_k` 1, a tiny `top_p` or `min_p` 1, MUST give only the likeliest tokens."""
    fields = workload.NARROW[name]
    exchange = ask(way, **{**workload.SAMPLED, **fields})
    findings.note(**parameters.shown({"by_chance": exchange}, workload.HOT))
    findings.add(parameters.is_greedy(workload.sent(fields), exchange), exchange, way)


@one("temperature")
def test_temperature(ask, findings, way):
    """At a high temperature, so many tokens MUST NOT be the likeliest one as chance makes of it, streamed and not."""
    exchanges = [ask(way, **workload.SAMPLED) for _ in range(4)]
    findings.add(parameters.is_sampled("temperature 1.5", exchanges, workload.HOT), exchanges[0], way)


@one("seed")
def test_seed(ask, findings, tie, way):
    """One `seed` MUST give the same sampled answer twice and another seed another answer, streamed and not."""
    same = [ask(way, **workload.SAMPLED, seed=11) for _ in range(2)]
    if tie is not None and parameters.needs_another(same):
        same += [ask(way, **workload.SAMPLED, seed=11) for _ in range(2)]
    other = ask(way, **workload.SAMPLED, seed=12)
    findings.add(parameters.seed_holds(same, other, workload.HOT, exact=tie is None), other, way)


@one("n")
def test_choices(ask, findings, way):
    """`n` MUST give so many choices, each sampled by itself, and the usage MUST count all of them."""
    exchange = ask(way, **workload.SAMPLED, n=3)
    findings.add(parameters.choices_differ(exchange, 3, workload.HOT), exchange, way)


@each(workload.PENALTIES, "logprobs", "top_logprobs")
def test_penalty(ask, findings, profile, known, gap, reference, name, way):
    """A penalty MUST change the first token that it makes less likely than another one, streamed and not."""
    if reference is None:
        return
    fields = workload.PENALTIES[name]
    exchange = ask(way, **{**workload.LONG, **fields})
    if name == "repetition_penalty":
        found = parameters_tokens.repeats_less(workload.sent(fields), exchange, reference)
    else:
        make = parameters_tokens.presence if name == "presence_penalty" else parameters_tokens.frequency
        offset = make(fields[name])
        findings.note(change=parameters_tokens.change_of(reference, offset, max(gap, parameters.ROUNDING)))
        found = parameters_tokens.leaves(workload.sent(fields), exchange, reference, offset, gap)
    findings.add(known.filter_known(name, found, exchange, profile.deadlines.cold_s), exchange, way)


@one("logit_bias", "return_tokens_as_token_ids", "logprobs", "top_logprobs")
def test_logit_bias(ask, findings, gap, reference, way):
    """`logit_bias` of 100 MUST give only that token, and of -100 never the one that was the likeliest."""
    if reference is None or not reference.ids:
        return
    place = min(1, len(reference.ids) - 1)
    ident, token = reference.ids[place], reference.names[place]
    forced = ask(way, max_tokens=4, logit_bias={str(ident): 100})
    findings.add(parameters_tokens.only(f"logit_bias 100 of token {ident}", forced, [ident]), forced, way)
    forbidden = ask(way, **workload.LONG, logit_bias={str(ident): -100})
    offset = parameters_tokens.bias(token, -100.0)
    findings.add(
        parameters_tokens.leaves(f"logit_bias -100 of token {ident}", forbidden, reference, offset, gap), forbidden, way
    )


@pytest.fixture
def forbidden_word(client, findings, reference):
    """A word of the reference with its tokens, which the tokenizer gives for it, too; ("", ()) without one."""

    def encoded(text):
        body = {"model": client.model_id, "prompt": text, "add_special_tokens": False}
        return client.send(Request("POST", refused_pictures.TOKENIZE, body), "tokenize")

    for word, tokens in () if reference is None else parameters_tokens.words_of(reference):
        # vLLM forbids the form after a blank only if it has as many tokens as the word alone
        as_many = parameters_body.tokens_counted(encoded(word)) in (None, len(tokens))
        if as_many and parameters_tokens.is_encoded_so(tokens, encoded(f" {word}")):
            return word, tokens
    return "", ()


@one("bad_words", "logprobs")
def test_bad_words(ask, findings, profile, known, forbidden_word, way):
    """A word of `bad_words` MUST NOT be generated, streamed and not."""
    word, tokens = forbidden_word
    if not tokens:
        if not findings.all:
            pytest.skip("the answer without it has no whole word that can be forbidden")
        return
    exchange = ask(way, **workload.LONG, bad_words=[word])
    findings.note(word=word)
    found = parameters_tokens.never(f"bad_words {[word]}", exchange, tokens, word)
    findings.add(known.filter_known("bad_words", found, exchange, profile.deadlines.cold_s), exchange, way)


@one("allowed_token_ids", "return_tokens_as_token_ids", "logprobs")
def test_allowed_token_ids(ask, findings, reference, way):
    """With `allowed_token_ids`, every token MUST be one of them, streamed and not."""
    if reference is None or not reference.ids:
        return
    allowed = list(dict.fromkeys(reference.ids))[:3][-2:]
    exchange = ask(way, max_tokens=6, allowed_token_ids=allowed)
    findings.add(parameters_tokens.only(f"allowed_token_ids {allowed}", exchange, allowed), exchange, way)


@each(workload.LISTED)
def test_log_probabilities(ask, findings, name, way):
    """`logprobs` MUST give one for each token, with as many others as `top_logprobs` says; without it, none."""
    fields, top = workload.LISTED[name]
    exchange = ask(way, max_tokens=6, **fields)
    findings.add(parameters_body.lists_alternatives(name, exchange, top), exchange, way)


@one("prompt_logprobs", ways=("plain",))
def test_prompt_logprobs(ask, findings, way):
    """`prompt_logprobs` MUST give the log probability of each token of the prompt."""
    exchange = ask(way, max_tokens=1, prompt_logprobs=1)
    findings.add(parameters_body.lists_prompt(exchange), exchange, way)


@one("prompt_logprobs", ways=("streamed",))
def test_prompt_logprobs_of_a_stream(ask, findings, profile, way):
    """`prompt_logprobs` of a stream, which has no place for them, MUST be refused readably, or be given."""
    exchange = ask(way, max_tokens=1, prompt_logprobs=1)
    deadline_s = profile.deadlines.request_s
    refused = refusals.refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
    where = "prompt_logprobs 1 with stream"
    findings.add(refused if parameters_body.lists_prompt(exchange) else [], exchange, where)


@one("return_tokens_as_token_ids", "logprobs")
def test_tokens_by_id(ask, findings, way):
    """`return_tokens_as_token_ids` MUST name each token by its id, streamed and not."""
    exchange = ask(way, max_tokens=4)
    findings.add(parameters_body.names_by_id(exchange), exchange, way)


@one("return_token_ids")
def test_token_ids(ask, findings, way):
    """`return_token_ids` MUST give the ids of prompt and answer, as many as the usage counts, streamed and not."""
    exchange = ask(way, max_tokens=4, return_token_ids=True)
    findings.add(parameters_body.gives_ids(exchange), exchange, way)


@one("skip_special_tokens", "ignore_eos", "logprobs")
def test_special_tokens(ask, findings, profile, way):
    """`skip_special_tokens` false MUST show a special token that was generated, and true MUST leave it out."""
    for are_shown in (True, False):
        fields = {"ignore_eos": True, "max_tokens": 12, "skip_special_tokens": not are_shown}
        exchange = ask(way, workload.SHORT, **fields)
        special = profile.model.special_tokens
        findings.add(parameters_body.special_tokens_shown(exchange, special, are_shown=are_shown), exchange, way)


@one("stream_options", ways=("streamed",))
def test_usage_of_each_chunk(ask, findings, way):
    """`continuous_usage_stats` MUST give a usage with each chunk, which grows up to that of the whole answer."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    exchange = ask(way, max_tokens=6, stream_options=options)
    findings.add(parameters_body.usage_grows(exchange), exchange, way)


@pytest.mark.parametrize("way", workload.WAYS)
def test_cached_tokens(ask, findings, way):
    """Where the usage counts `cached_tokens`, they MUST be a part of the prompt, streamed and not."""
    exchanges = [ask(way, workload.REPEATED, max_tokens=1) for _ in range(2)]
    findings.add(parameters_body.cached_tokens(exchanges), exchanges[-1], way)


@each(workload.FORMS)
def test_prompt_form(ask, client, findings, profile, deployment, name, way):
    """A parameter of the prompt's form MUST give the prompt that `/tokenize` gives with it; without it, a shorter one.

    A template may have nothing to add for an answer, so a shorter prompt is required only where the message goes on.
    """
    exchange = ask(way, messages=workload.PIECES, max_tokens=1, **workload.FORMS[name])
    counted = refused_pictures.tokenized(client, "", messages=workload.PIECES, **workload.FORMS[name])
    tokens = parameters_body.tokens_counted(counted)
    if tokens is not None:
        findings.add(parameters_body.prompt_is(exchange, tokens, name), exchange, way)
    elif name != "continue_final_message" and not findings.all:
        pytest.skip("/tokenize counts no tokens here: the form of the prompt is not seen")
    if name == "continue_final_message":
        other = ask(way, messages=workload.PIECES, max_tokens=1)
        findings.add(parameters_body.prompt_is_shorter(name, exchange, other), exchange, way)


@one("echo", "continue_final_message", "add_generation_prompt")
def test_echo(ask, findings, way):
    """`echo` MUST put the message that goes on before its continuation, streamed and not."""
    fields = {**workload.FORMS["continue_final_message"], "logprobs": None, "top_logprobs": None, "echo": True}
    exchange = ask(way, messages=workload.PIECES, max_tokens=4, return_tokens_as_token_ids=None, **fields)
    findings.add(parameters_body.begins_with("echo", exchange, workload.STARTED), exchange, way)


@one("truncate_prompt_tokens")
def test_truncated_prompt(ask, findings, way):
    """`truncate_prompt_tokens` MUST leave so many tokens of a prompt, streamed and not."""
    exchange = ask(way, max_tokens=1, truncate_prompt_tokens=7)
    findings.add(parameters_body.prompt_is(exchange, 7, "truncate_prompt_tokens"), exchange, way)


@pytest.fixture
def defaults(profile, deployment, context):
    """What a request gets for the parameters that it does not name; the verdict lists what is not neutral."""
    declared = profile.api.defaults
    if declared is None and deployment.launched:
        declared = context.declared_defaults()
    context.record.defaults = dict(declared or {})
    return {**workload.NEUTRAL, **(declared or {})}


@pytest.mark.needs("parameter logprobs")
@pytest.mark.parametrize("way", workload.WAYS)
def test_no_hidden_defaults(ask, findings, profile, defaults, tie, way):
    """A greedy request MUST have the text and log probabilities of one that names the declared or neutral values."""
    values = {name: value for name, value in defaults.items() if name in workload.NEUTRAL}
    unnamed, explicit = (ask(way, **workload.LONG, **fields) for fields in (workload.UNNAMED, values))
    steady = profile.logprobs.steady_prompt
    findings.add(parameters_defaults.same_when_named(unnamed, explicit, values, tie, steady), unnamed, way)
    if values == workload.NEUTRAL:
        findings.add(parameters_defaults.is_unpenalised(unnamed), unnamed, way)


@pytest.mark.needs("parameter logprobs", "parameter top_logprobs")
@pytest.mark.parametrize("way", workload.WAYS)
def test_no_hidden_defaults_of_sampling(ask, findings, defaults, tie, way):
    """A sampled request MUST be sampled as one with the same seed that names the declared or neutral values."""
    values = {name: value for name, value in defaults.items() if name in workload.NEUTRAL}
    sampled = {**workload.SAMPLED, **workload.LONG, "seed": 21}
    if tie is None:
        unnamed, explicit = ask(way, **sampled, **workload.UNNAMED), ask(way, **sampled, **values)
        findings.add(parameters_defaults.same_sample(unnamed, explicit, values), unnamed, way)
    elif values == workload.NEUTRAL:  # rounding may change a sampled token: how far the tokens reach is judged
        unnamed = ask(way, **{**sampled, "top_logprobs": workload.MOST_LISTED}, **workload.UNNAMED)
        if unnamed.status != 200:  # the engine may list fewer
            unnamed = ask(way, **sampled, **workload.UNNAMED)
        findings.add(parameters_defaults.is_not_narrowed(unnamed, workload.HOT), unnamed, way)


@pytest.mark.parametrize("way", workload.WAYS)
def test_default_temperature(ask, findings, defaults, way):
    """Answers to a request that names no temperature MUST be sampled at the declared one, or at 1."""
    temperature = defaults.get("temperature", 1.0)
    exchanges = [ask(way, **{**workload.SAMPLED, **workload.LONG, "temperature": None}) for _ in range(3)]
    if temperature >= 1:  # a lower one shows in too few tokens
        what = f"the default temperature {temperature:g}"
        findings.add(parameters.is_sampled(what, exchanges, temperature), exchanges[0], way)


@pytest.fixture
def send_wrong(client, findings, profile, known):
    """Sends a wrong value, which must be refused, and asks afterwards; not where a known issue ends the engine."""

    def send(name):
        unsent = next((issue for issue in known.of(name) if not issue.sent), None)
        if unsent is not None:
            known.report(unsent)
            pytest.skip(f"not sent: {unsent.sentence}")
        body = {**chat_body(client.model_id, workload.SHORT, max_tokens=4), **workload.WRONG[name]}
        exchange = client.body(body)
        deadline_s = profile.deadlines.request_s
        found = refusals.refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
        findings.add(known.filter_known(name, found, exchange, deadline_s), exchange)
        alive = client.chat(workload.SHORT, max_tokens=2)
        findings.add(completion.answered(alive.reply), alive, "afterwards")

    return send


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name), id=name) for name in workload.WRONG])
def test_wrong_value_is_refused(send_wrong, name):
    """A wrong value of a parameter MUST be refused with a readable 4xx, and the server MUST live on."""
    send_wrong(name)
