"""Does it obey a constraint on the form of an answer: JSON, a schema, a choice, a pattern, a grammar?"""

import pytest

from vlm_acceptance.cases.pictures import png_url
from vlm_acceptance.checks import completion, refusals
from vlm_acceptance.checks import structured_output as checks
from vlm_acceptance.client.chat import chat_body, get
from vlm_acceptance.core.spelling import PARAMS
from vlm_acceptance.run.inputs import IMAGES
from vlm_acceptance.workloads import capability
from vlm_acceptance.workloads import structured_output as requests

FORMS = {"plain": {}, "streamed": {"stream": True, "stream_options": {"include_usage": True}}}
IN_FLIGHT = 48
SIGNS = 4


@pytest.fixture
def require_sent(known):
    """`require_sent(name)`: skips the test of a constraint that ends an engine of this or of an unknown version."""

    def require_sent(name):
        unsent = [issue for issue in known.of(name) if not issue.sent]
        if unsent:
            known.report(unsent[0])
            pytest.skip("not sent: it may end an engine of this version, or of an unknown one")

    return require_sent


@pytest.fixture
def judge_obeyed(findings, profile, known):
    """Judges whether an answer obeys its constraint."""

    def judge_obeyed(exchange, constraint, tokens, where=""):
        found = checks.obeyed(exchange, constraint, tokens)
        if constraint.is_json and checks.ends_in_a_string(exchange):
            found = known.filter_known("constrained-text", found, exchange, profile.deadlines.cold_s)
        findings.add(found, exchange, where)

    return judge_obeyed


@pytest.mark.smoke
@pytest.mark.needs("structured_output")
@pytest.mark.parametrize("name", requests.CONSTRAINTS)
def test_constraint_is_obeyed(client, judge_obeyed, name):
    """An answer MUST obey the constraint of its request, streamed or not."""
    constraint = requests.CONSTRAINTS[name]
    for form, extra in FORMS.items():
        exchange = client.body(requests.body(client.model_id, constraint, **extra))
        judge_obeyed(exchange, constraint, requests.tokens_for(constraint), form)


@pytest.mark.smoke
@pytest.mark.needs("structured_output")
def test_picture_decides_the_choice(client, findings):
    """A choice about a picture MUST be one of those given, and the one that the picture shows."""
    urls = {name: png_url(IMAGES / "probe" / f"{name.lower()}.png") for name in requests.COLOURS}
    seen = [(name, client.body(requests.colour_body(client.model_id, url))) for name, url in urls.items()]
    for name, exchange in seen:
        findings.add(checks.obeyed(exchange, requests.COLOUR, requests.MAX_TOKENS), exchange, name)
    findings.add(checks.picture_decides(seen), seen[0][1])


@pytest.mark.smoke
@pytest.mark.needs("structured_output")
def test_picture_is_described_in_a_schema(client, findings, profile, judge_obeyed, category_of):
    """A request with a picture MUST get JSON of its schema; if the profile says so, with what the picture shows."""
    sign, seen = category_of["ocr"].questions[0], []
    for number, picture in enumerate(sign.pictures[:SIGNS]):
        form = "streamed" if number % 2 else "plain"
        params = {"max_tokens": requests.JSON_TOKENS, **requests.SIGN.fields, **FORMS[form]}
        exchange = client.chat(f"{sign.prompt} Answer as a JSON object.", (png_url(picture.path),), **params)
        place = f"{picture.path.name}, {form}"
        judge_obeyed(exchange, requests.SIGN, requests.JSON_TOKENS, place)
        seen.append((" ".join(part[0] for part in picture.parts), exchange))
    if profile.api.structured_content:
        findings.add(checks.picture_decides(seen), seen[0][1])
    # a model that was trained for it may write the signs as JSON unasked, but nothing of this schema
    other, picture = requests.CONSTRAINTS["json_schema"], sign.pictures[0]
    for form, fields in FORMS.items():
        params = {"max_tokens": requests.JSON_TOKENS, **other.fields, **fields}
        exchange = client.chat(sign.prompt, (png_url(picture.path),), **params)
        judge_obeyed(exchange, other, requests.JSON_TOKENS, f"{picture.path.name}, another schema, {form}")


@pytest.mark.smoke
@pytest.mark.needs("structured_output")
@pytest.mark.parametrize("name", requests.bad_constraints())
def test_bad_constraint_is_refused(client, findings, profile, known, require_sent, name):
    """A constraint that is not valid MUST be refused with a readable 4xx, and the server MUST live on."""
    require_sent(name)
    deadline_s = profile.deadlines.request_s
    bad = requests.bad_constraints()[name]
    exchange = client.chat(requests.TEXT_PROMPT, max_tokens=8, **bad)
    found = refusals.refused(exchange, statuses={400, 422}, deadline_s=deadline_s)
    findings.add(known.filter_known(name, found, exchange, deadline_s), exchange, f"sent: {bad}")
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")


@pytest.mark.smoke
@pytest.mark.needs("structured_output")
@pytest.mark.parametrize("name", requests.rare_constraints())
def test_rare_constraint_is_survived(client, findings, profile, known, require_sent, name):
    """A constraint that not every backend takes MUST be answered or refused readably, and the server MUST live on."""
    require_sent(name)
    deadline_s = profile.deadlines.request_s
    # the first constraint decides about the backend of the engine
    first = requests.CONSTRAINTS["choice"]
    before = client.body(requests.body(client.model_id, first))
    findings.add(checks.obeyed(before, first, requests.MAX_TOKENS), before, "before")
    rare = requests.rare_constraints()[name]
    exchange = client.chat(requests.TEXT_PROMPT, max_tokens=8, **rare)
    found = checks.survived(exchange, deadline_s)
    findings.add(known.filter_known(name, found, exchange, deadline_s), exchange, f"sent: {rare}")
    after = client.body(requests.body(client.model_id, first))
    findings.add(checks.obeyed(after, first, requests.MAX_TOKENS), after, "afterwards")


@pytest.mark.smoke
@pytest.mark.needs("no_structured_output")
@pytest.mark.parametrize("name", requests.CONSTRAINTS)
def test_constraint_that_is_not_offered_is_survived(client, findings, profile, name):
    """Without structured output, a constraint MUST be answered or refused readably, and the server MUST live on."""
    exchange = client.body(requests.body(client.model_id, requests.CONSTRAINTS[name]))
    findings.add(checks.survived(exchange, profile.deadlines.request_s), exchange)
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")


@pytest.fixture(scope="module")
def openapi_once():
    """Holds the one `/openapi.json` of the run."""
    return {}


@pytest.fixture
def is_offered(client, profile, openapi_once):
    """Whether the server documents a field of chat requests that constrains answers."""

    def is_offered(field):
        if "page" not in openapi_once:
            # a server makes this page when it is first asked for it
            openapi_once["page"] = client.send(get("/openapi.json", profile.deadlines.cold_s), "openapi")
        return profile.api.structured_output and checks.offers(openapi_once["page"], field)

    return is_offered


@pytest.mark.smoke
@pytest.mark.parametrize("name", requests.GUIDED)
def test_guided_form(client, findings, profile, judge_obeyed, is_offered, name):
    """A form `guided_*` MUST be obeyed where `/openapi.json` has it, else answered or refused readably."""
    constraint, offered = requests.GUIDED[name], is_offered(name)
    findings.note(offered="yes" if offered else "no")
    for form, extra in FORMS.items():
        exchange = client.body(requests.body(client.model_id, constraint, **extra))
        if offered:
            judge_obeyed(exchange, constraint, requests.tokens_for(constraint), form)
        else:
            findings.disregard(exchange)
            findings.add(checks.survived(exchange, profile.deadlines.request_s), exchange, form)
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")


@pytest.mark.slow
@pytest.mark.needs("structured_output")
def test_free_answers_beside_a_burst_of_schemas(client, findings, judge_obeyed, category_of, tie):
    """32 different schemas at once MUST all be obeyed, and free answers beside them MUST be those they get alone."""
    model = client.model_id
    free = [chat_body(model, requests.TEXT_PROMPT, **PARAMS)]
    for category in category_of.values():
        question = category.questions[0]
        url = capability.picture_url(question.pictures[0], "png", None, None)
        free.append(chat_body(model, question.prompt, (url,), max_tokens=question.max_tokens, **PARAMS))
    alone = client.all(free, 1)
    constraints = requests.burst()
    bodies = [requests.body(model, one) for one in constraints]
    mixed = client.all([*bodies[:16], *free, *bodies[16:], *free], IN_FLIGHT)
    half, between = 16, len(free)
    constrained = mixed[:half] + mixed[half + between : len(bodies) + between]
    for constraint, exchange in zip(constraints, constrained, strict=True):
        judge_obeyed(exchange, constraint, requests.JSON_TOKENS)
    beside = mixed[half : half + between] + mixed[len(bodies) + between :]
    for one, other in zip(alone * 2, beside, strict=True):
        findings.add(checks.unchanged(one, other, tie))
    alive = client.chat("Reply with OK.", max_tokens=2)
    findings.add(completion.answered(alive.reply), alive, "afterwards")
