"""Is a picture that the engine never got still answered? Asked last: some versions do not recover from it."""

import pytest

from vlm_acceptance.cases.pictures import fresh_png_url, png_url
from vlm_acceptance.checks import completion, edge_inputs, refusals
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.workloads import capability, leaving, refused_pictures

pytestmark = pytest.mark.smoke


@pytest.fixture
def sign(category_of):
    """The question whose pictures are asked about."""
    return category_of["ocr"].questions[0]


@pytest.fixture
def answered(client, findings, profile, sign):
    """The pictures of the sign that are answered rightly now, with the reply; a finding if no picture is."""
    deadline_s = profile.deadlines.request_s
    bodies = capability.bodies(client.model_id, sign, [png_url(picture.path) for picture in sign.pictures])
    before = client.all(bodies, profile.capability.concurrency)
    judged = [(p, e, edge_inputs.right(e, p.parts, deadline_s)) for p, e in zip(sign.pictures, before, strict=True)]
    fit = [(picture, exchange.reply) for picture, exchange, found in judged if not found]
    if not fit:
        findings.add(judged[0][2], before[0], "before anything was refused")
    return fit


@pytest.fixture
def require_harmless(known, deployment):
    """`require_harmless(name)`: skips the test where an input would harm an engine that the run did not launch."""

    def require_harmless(name):
        if deployment.process is None and known.would_harm(name):
            pytest.skip("not sent: it would harm an engine of this version, or of an unknown one, for good")

    return require_harmless


@pytest.fixture
def still_answered(client, findings, profile, known, sign, chance):
    """Judges a picture, asked twice, then the other pictures and a text."""

    def still_answered(name, url, pictures):
        deadline_s, (picture, *others) = profile.deadlines.request_s, pictures
        for issue, where in ((name, "the same picture afterwards"), (f"{name}-again", "the same picture once more")):
            exchange = client.chat(sign.prompt, (url,), max_tokens=sign.max_tokens)
            found = [one.at(where) for one in edge_inputs.right(exchange, picture.parts, deadline_s)]
            findings.add(known.filter_known(issue, found, exchange, deadline_s), exchange)
        for other in others:
            exchange = client.chat(sign.prompt, (fresh_png_url(other.path, chance),), max_tokens=sign.max_tokens)
            findings.add(edge_inputs.right(exchange, other.parts, deadline_s), exchange, "another picture afterwards")
        alive = client.chat("Reply with OK.", max_tokens=2)
        findings.add(completion.answered(alive.reply), alive, "a text afterwards")

    return still_answered


@pytest.fixture
def long_text(client, findings, profile, sign):
    """`long_text(reply)`: a text that fits into the context alone, and not with the picture of this reply."""

    def count(text):
        tokens = refused_pictures.text_tokens(client, text)
        if isinstance(tokens, NoReply):
            raise HarnessProblem(f"the tokens of a text cannot be counted: {tokens}")
        return tokens

    def long_text(reply):
        if reply.usage is None:
            raise HarnessProblem("the tokens of a picture cannot be counted: the answer has no usage")
        picture_tokens = reply.usage.prompt - count(sign.prompt)
        findings.note(picture_tokens=picture_tokens)
        return refused_pictures.text_below(profile.model.max_model_len, picture_tokens, count)

    return long_text


@pytest.mark.needs("max_model_len")
def test_refused_picture_is_no_poison(
    client, findings, profile, answered, require_harmless, long_text, still_answered, chance
):
    """A picture of a request that was too long MUST be answered in a short request, and so MUST other pictures."""
    if not answered:
        return
    require_harmless("poison")
    picture, reply = answered[0]
    url = fresh_png_url(picture.path, chance)  # in no cache yet
    # refused after the picture was processed: the text alone would fit
    refusal = client.chat(long_text(reply), (url,), max_tokens=1)
    deadline_s = profile.deadlines.request_s
    findings.add(refusals.refused(refusal, statuses={400}, deadline_s=deadline_s), refusal, "a text too long")
    still_answered("poison", url, [picture for picture, _ in answered])


def test_counted_picture_is_no_poison(client, findings, answered, require_harmless, still_answered, chance):
    """A picture that /tokenize saw first MUST be answered afterwards, and so MUST other pictures."""
    if not answered:
        return
    require_harmless("counted")
    url = fresh_png_url(answered[0][0].path, chance)
    counted = refused_pictures.tokenized(client, "What is it?", url)
    findings.note(tokenize=counted.status)
    still_answered("counted", url, [picture for picture, _ in answered[:2]])


def test_left_picture_is_no_poison(client, findings, sign, answered, require_harmless, still_answered, chance):
    """A picture whose client left before its answer began MUST be answered afterwards, and so MUST other pictures."""
    if not answered:
        return
    require_harmless("left")
    url = fresh_png_url(answered[0][0].path, chance)
    [body] = capability.bodies(client.model_id, sign, [url])
    exchange = leaving.leave_at_once(client, body)
    findings.note(left="answered before" if exchange.error is None else exchange.error.kind)
    still_answered("left", url, [picture for picture, _ in answered[:2]])
