"""Does a whole conversation reach the model? System message, history and pictures of every turn, by their tokens."""

import pytest

from vlm_acceptance.checks import conversation as checks
from vlm_acceptance.checks import dialogues as answers
from vlm_acceptance.checks import served_prompt
from vlm_acceptance.checks.bars import bar_of_new
from vlm_acceptance.config.profile import CONVERSATIONS
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Request
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.tiles import picture_tokens
from vlm_acceptance.engine import chat_template
from vlm_acceptance.workloads import conversation, dialogues
from vlm_acceptance.workloads.conversation import ALONE, ALONE_LONGER, ALONE_SEEN, BASE, BASE_SEEN
from vlm_acceptance.workloads.load import STREAMED

pytestmark = pytest.mark.smoke

CONCURRENCY = 4
# two, of more there is no need to know
TURNS_WITH_PICTURES = 2
# a gateway may pass only a part of the server's paths
NO_ROUTE = (404, 405)
WAYS = {"plain": {}, "streamed": STREAMED}
ONE_TILE = (64, 64)
TOLD = {"return_token_ids": True}
UNUSED = "it does not reach the model (then a test of tokens fails, too), or the model does not use it"


@pytest.fixture(params=WAYS)
def way(request):
    """Fields of a request that is answered in one piece, and of one that is streamed."""
    return WAYS[request.param]


@pytest.fixture
def tokenize(client, findings, profile, deployment):
    """The tokens of messages, or of a text, by `/tokenize`; None where the endpoint has no such route."""
    is_hidden = not deployment.launched and profile.endpoint.only_v1
    template = {key: value for key, value in client.defaults.items() if key == "chat_template_kwargs"}

    def tokenize(what, **fields):
        if is_hidden or "tokenize" not in profile.api.routes:
            return None
        given = template if "messages" in what else {}
        body = {"model": client.model_id, **what, **given, "return_token_strs": True, **fields}
        exchange = client.send(Request("POST", "/tokenize", body, deadline_s=client.deadlines.cold_s), "tokenize")
        if not deployment.launched and exchange.status in NO_ROUTE:
            return None
        tokens = served_prompt.read_tokens(exchange)
        findings.add([tokens] if isinstance(tokens, Finding) else [], exchange)
        return None if isinstance(tokens, Finding) else tokens

    return tokenize


def test_every_part_reaches_the_model(client, findings, chance, way):
    """System message, history and last message MUST reach the model, each once: words more in one cost their tokens."""
    talk = conversation.drawn(chance)
    bodies = conversation.growth_bodies(client.model_id, talk, conversation.more_words(chance))
    exchanges = client.all([{**body, **way} for body in bodies.values()], CONCURRENCY)
    replies = {name: exchange.reply for name, exchange in zip(bodies, exchanges, strict=True)}
    names = [part.name for part in talk.parts]
    findings.add(checks.parts_arrive(replies, (ALONE, ALONE_LONGER), BASE, names))
    findings.note(parts=len(names))


def test_conversation_follows_its_template(client, findings, context, profile, deployment, chance, tokenize, way):
    """The served prompt of a conversation MUST be what its chat template gives, token by token, each part in order."""
    talk = conversation.drawn(chance, rounds=2)
    messages = [*talk.messages[:-1], {"role": "user", "content": talk.messages[-1]["content"][0]["text"]}]
    exchange = client.body(conversation.body_of(client.model_id, messages, **TOLD, **way))
    served, counted = checks.prompt_ids(exchange), tokenize({"messages": messages})
    findings.note(prompt_ids="offered" if served else "not offered", tokenize="offered" if counted else "not offered")
    if counted is None:
        if not findings.all:
            pytest.skip("this endpoint has no /tokenize: the prompt of a conversation is not seen")
        return
    findings.add(checks.markers_in_order(counted, talk.markers[:-1]), where="/tokenize")
    stated = profile.model.template
    prompt = stated.rendered(messages) if stated else None
    if prompt is None and deployment.launched and not any("--chat-template" in arg for arg in profile.engine.args):
        folder = context.preflight.folder
        prompt = context.observed("chat_template", str | None, lambda: chat_template.rendered(folder, messages))
    findings.note(template="stated" if stated else "of the served folder" if prompt else "not known")
    wanted = counted if prompt is None else tokenize({"prompt": prompt}, add_special_tokens=False)
    if wanted is None:
        return
    start = stated.start if stated else profile.model.prompt_start or ""
    findings.add(checks.same_prompt(counted, wanted, start, "/tokenize"))
    if served is not None:
        findings.add(
            checks.same_prompt(checks.with_texts(served, counted), wanted, start, "the served prompt"), exchange
        )
    findings.add(checks.same_count(exchange.reply, len(wanted.ids), "the chat template gives", "usage"), exchange)


@pytest.fixture
def talk(profile, chance):
    """A conversation with a picture in each of its first turns, as many as the model takes."""
    most = profile.model.max_pictures or TURNS_WITH_PICTURES
    return conversation.with_pictures(chance, min(TURNS_WITH_PICTURES, most))


@pytest.fixture
def ask(client, way):
    """Sends bodies by name, all with some more fields; the exchanges by name."""

    def ask(bodies, **fields):
        exchanges = client.all([{**body, **fields, **way} for body in bodies.values()], CONCURRENCY)
        return dict(zip(bodies, exchanges, strict=True))

    return ask


def test_picture_of_every_turn_reaches_the_model(client, findings, talk, ask):
    """The picture of any turn MUST reach the model: it costs the prompt tokens that it costs in a question alone."""
    exchanges = ask(talk.cost_bodies(client.model_id, ONE_TILE))
    replies = {name: exchange.reply for name, exchange in exchanges.items()}
    findings.add(checks.pictures_cost_as_alone(replies, (ALONE, ALONE_SEEN), BASE, talk.names))


@pytest.mark.needs("oracle")
def test_tiles_of_every_turn_reach_the_model(client, findings, context, talk, ask, tokenize):
    """Each picture of a conversation MUST reach the model with all its tiles, in the order of the turns."""
    rule = context.tile_rule
    small = (rule.tile_px, rule.tile_px)
    sizes = conversation.sizes_of_tiles(rule, len(talk.colours))
    bodies = talk.tile_bodies(client.model_id, small, sizes)
    exchanges = ask(bodies, **TOLD)
    replies = {name: exchange.reply for name, exchange in exchanges.items()}
    one = picture_tokens(*small, rule)
    more = {name: picture_tokens(*size, rule) - one for name, size in zip(talk.names, sizes, strict=False)}
    findings.add(checks.tiles_arrive(replies, BASE_SEEN, more))
    # only pictures that the chat route saw: vLLM 0.18 has no answer to one that /tokenize saw first
    counted = tokenize({"messages": bodies[BASE_SEEN]["messages"]})
    if counted is not None:
        findings.add(checks.same_count(replies[BASE_SEEN], len(counted.ids), "/tokenize counts", BASE_SEEN))
    served_ids = {name: checks.prompt_ids(exchange) for name, exchange in exchanges.items()}
    findings.note(prompt_ids="offered" if all(served_ids.values()) else "not offered")
    markers = talk.conversation.markers
    for name, ids in served_ids.items():
        if ids is not None:
            runs = [one - rule.wrapper_tokens + (more.get(name, 0) if name == turn else 0) for turn in talk.names]
            served = checks.with_texts(ids, counted) if counted else served_prompt.PromptTokens(ids, ())
            found = checks.pictures_in_place(served, runs, talk.markers, markers, name)
            findings.add(found, exchanges[name])


@pytest.mark.needs("conversations")
def test_whole_conversation_is_answered(client, findings, context, profile):
    """A picture of an earlier turn MUST be read when it is asked for, and a system message MUST be obeyed.

    The pictures are new ones; right answers are counted like those of a category.
    """
    wanted, drawn = profile.capability, context.new_conversations
    replies = [one.reply for one in client.all(dialogues.bodies(client.model_id, drawn), wanted.concurrency)]
    recorded = wanted.recorded.get(CONVERSATIONS)
    least = bar_of_new(wanted.min_correct, recorded)
    seen = answers.judged(dialogues.asked(drawn), replies, least, kinds.DIALOGUE_COUNT, profile.model.special_tokens)
    found, groups = seen.findings, dialogues.groups(drawn)
    if recorded is None:
        found += answers.lost_groups(kinds.DIALOGUE_LOST, groups, seen.right, replies, UNUSED)
    if not seen.late:
        context.record.count(CONVERSATIONS, seen.count, len(drawn))
    findings.judges(CONVERSATIONS)
    if wanted.recorded and recorded is None:
        findings.is_unrecorded()
    findings.note(right=f"{seen.count} of {len(drawn)}")
    is_reported = CONVERSATIONS in wanted.report_only
    findings.add([one for one in found if one.fatal] if is_reported else found)
