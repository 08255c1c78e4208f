"""Does it survive every input? Edge inputs, and answers that must end."""

import contextlib

import pytest

from vlm_acceptance.cases.edge_inputs import load_inputs
from vlm_acceptance.cases.picture_servers import EdgePictures, serve_edge_pictures
from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import completion, edge_inputs, refusals
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.engine.memory import watched
from vlm_acceptance.workloads import capability

INPUTS = load_inputs(ROOT / "fixtures" / "edge_inputs.yaml")
COLOUR = "What colour is this picture? Answer with one word."
MEMORY_MB = 4096
MUCH, FEW = 1024, 64
GOING_S = 2.0
PRIVATE = {
    "loopback": "http://127.0.0.1:9/p.png",
    "loopback-6": "http://[::1]:9/p.png",
    "private": "http://10.255.255.1/p.png",
    "link-local": "http://169.254.169.254/p.png",
}


def rows(smoke):
    """The edge inputs of one mark; some need a launched engine."""
    marks = {True: [pytest.mark.needs("launched")], False: []}
    return [pytest.param(edge, id=edge.id, marks=marks[edge.launched_only]) for edge in INPUTS if edge.smoke == smoke]


@pytest.fixture(scope="session")
def odd_pictures(context):
    """A server of pictures that are missing, redirected, or never end."""
    question = context.inputs.categories[0].questions[0]
    if context.settings.judged:
        yield EdgePictures("http://127.0.0.1:1")
        return
    with serve_edge_pictures(question.pictures[0].path) as served:
        yield served


@pytest.fixture
def sign(category_of):
    """The question whose pictures must be answered after every edge input."""
    return category_of["ocr"].questions[0]


def grown(deployment):
    """Watches the memory of a launched engine."""
    process = deployment.process
    return contextlib.nullcontext() if process is None else watched(process.tree)


@pytest.fixture(scope="session")
def read_once():
    """Holds the picture that was answered rightly before the first edge input."""
    return {}


@pytest.fixture
def readable(client, profile, sign, read_once):
    """The first picture of the sign that was answered rightly before the first edge input; None without one."""
    if "picture" not in read_once:
        exchanges = client.all(capability.bodies(client.model_id, sign, [png_url(p.path) for p in sign.pictures]), 1)
        judged = zip(sign.pictures, exchanges, strict=True)
        deadline_s = profile.deadlines.cold_s
        read_once["picture"] = next((p for p, e in judged if not edge_inputs.right(e, p.parts, deadline_s)), None)
    return read_once["picture"]


def still_serves(context, client, findings, deployment, sign, picture, deadline_s):
    """Findings when a text and the picture are not answered as before, or when the engine ended."""
    text = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(text.reply), text, "a text afterwards")
    asked, parts = (sign.pictures[0], ()) if picture is None else (picture, picture.parts)
    seen = client.chat(sign.prompt, (png_url(asked.path),), max_tokens=sign.max_tokens)
    findings.add(edge_inputs.right(seen, parts, deadline_s), seen, "a picture afterwards")
    process = deployment.process
    if process is not None and findings.all:

        def ended():
            process.wait(GOING_S)  # an engine that is ending does not answer, and takes a moment to exit
            return process.how_it_ended if process.has_exited else None

        how = context.observed("ended", str | None, ended)
        if how is not None:
            findings.add([Finding(kinds.EDGE_DIED, "a living engine", how)])


@pytest.fixture
def send_edge_input(context, client, findings, profile, deployment, known, sign, readable):
    """Sends an edge input, watches the memory, and judges the answer and the server afterwards."""

    def send(edge, served_at=None):
        issues = known.of(edge.id)
        unsent = next((issue for issue in issues if not issue.sent), None)
        findings.note(must=edge.must)
        if unsent is not None:
            known.report(unsent)
            pytest.skip(f"not sent: {unsent.sentence}")
        deadline_s = profile.deadlines.request_s
        patience_s = max([deadline_s, *(issue.within_s or 0 for issue in issues)])
        picture = readable or sign.pictures[0]
        request = edge.request(client.model_id, sign.prompt, picture.path, served_at, patience_s, client.defaults)
        with grown(deployment) as peak:
            exchange = client.send(request, f"edge {edge.id}")
        how = {"expect": edge.expect, "parts": picture.parts, "choices": edge.choices, "schema": edge.body}
        found = edge_inputs.became(exchange, deadline_s=deadline_s, **how)
        findings.add(known.filter_known(edge.id, found, exchange, deadline_s), exchange)
        findings.note(status=exchange.status, seconds=f"{exchange.elapsed_s:.2f}")
        if peak is not None:
            growth_mb = context.observed("memory_mb", int, lambda: peak.growth_mb)
            findings.note(memory_mb=growth_mb)
            findings.add(edge_inputs.memory_is_bounded(growth_mb, MEMORY_MB), exchange)
        still_serves(context, client, findings, deployment, sign, readable, deadline_s)

    return send


@pytest.mark.smoke
@pytest.mark.parametrize("edge", rows(smoke=True))
def test_edge_input(send_edge_input, edge):
    """An edge input MUST be handled as its row says, in bounded time and memory, and the server MUST still answer."""
    send_edge_input(edge)


@pytest.mark.slow
@pytest.mark.parametrize("edge", rows(smoke=False))
def test_rare_edge_input(send_edge_input, edge, odd_pictures):
    """An edge input MUST be handled as its row says, in bounded time and memory, and the server MUST still answer."""
    send_edge_input(edge, odd_pictures.url)


@pytest.mark.smoke
def test_short_answer_stops(client, findings, category_of):
    """A question with a short answer MUST get a short one that stops by itself, though a long one is allowed."""
    asked = [("colour", COLOUR, plain_url(64, 64, (255, 0, 0))), ("text", "Reply with OK.", None)]
    for name in ("understanding", "reasoning", "chinese"):
        question = category_of[name].questions[0]
        asked.append((name, question.prompt, png_url(question.pictures[0].path)))
    for name, prompt, picture in asked:
        exchange = client.body(chat_body(client.model_id, prompt, (picture,) if picture else (), max_tokens=MUCH))
        reply = exchange.reply
        findings.add(edge_inputs.stops(reply, FEW), exchange, name)
        findings.note(**{name: getattr(getattr(reply, "usage", None), "completion", None)})


@pytest.mark.slow
@pytest.mark.needs("media_domains")
@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_refused(client, findings, profile, address):
    """A picture at a private address MUST be refused with a readable 4xx where only some domains are allowed."""
    exchange = client.chat(COLOUR, (PRIVATE[address],), max_tokens=8)
    statuses, deadline_s = edge_inputs.REFUSALS, profile.deadlines.request_s
    findings.add(refusals.refused(exchange, statuses=statuses, deadline_s=deadline_s), exchange)


@pytest.mark.slow
@pytest.mark.needs("media_domains", "launched")
def test_private_address_is_not_asked(context, client, findings, profile, odd_pictures):
    """A picture server outside the allowed domains MUST NOT get any request."""
    already = len(odd_pictures.asked)
    exchange = client.chat(COLOUR, (f"{odd_pictures.url}/picture",), max_tokens=8)
    statuses, deadline_s = edge_inputs.REFUSALS, profile.deadlines.request_s
    findings.add(refusals.refused(exchange, statuses=statuses, deadline_s=deadline_s), exchange)
    asked = context.observed("asked", list[str], lambda: list(odd_pictures.asked[already:]))
    if asked:
        findings.add([Finding(kinds.EDGE_FETCHED, "no request to it", ", ".join(asked))], exchange)
