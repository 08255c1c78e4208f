"""Is every upload read? Kinds of picture files, photos of several megabytes, and many pictures between texts."""

import pytest

from vlm_acceptance.cases.challenge_pictures import coloured_numbers
from vlm_acceptance.cases.large_pictures import USUAL
from vlm_acceptance.cases.picture_kinds import GROUPS, noise_png, of_group
from vlm_acceptance.checks import completion, edge_inputs, pictures
from vlm_acceptance.checks import uploads as checks
from vlm_acceptance.client.chat import chat_body, plain_url
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core import tiles
from vlm_acceptance.workloads import uploads
from vlm_acceptance.workloads.load import STREAMED

pytestmark = pytest.mark.smoke

# pictures in one request where the profile states no limit
USUAL_PICTURES = 10
# so many are sent in any case
LEAST_PICTURES = 2
REFUSALS = edge_inputs.FORMAT_REFUSALS


@pytest.fixture(scope="module")
def read_once():
    """Holds what is read as a PNG in this run."""
    return {}


@pytest.fixture
def subjects(client, context, profile, read_once):
    """Pictures that are read rightly as a PNG: numbers of a colour, if new pictures are sent, and signs.

    `lost`: why signs have no answer.
    """
    tokens, at_once = profile.model.special_tokens, profile.capability.concurrency
    if not read_once:
        sign = context.inputs.categories[0].questions[0]
        side = (context.tile_rule or USUAL).tile_px
        drawn = coloured_numbers(f"{context.settings.seed} uploads", uploads.SUBJECTS, side)
        asked = uploads.drawn_subjects(drawn) if profile.challenge.pictures else []
        read_once["colours"], _ = uploads.read_as_png(client, asked, at_once, tokens)
        read_once["signs"], read_once["lost"] = uploads.read_as_png(client, uploads.signs(sign), at_once, tokens)
    return read_once


@pytest.mark.parametrize("group", GROUPS)
def test_picture_kinds(client, findings, profile, subjects, known, group):
    """Every kind of picture file MUST be read as the PNG of the same picture; a rare kind MAY be refused readably."""
    if not subjects["signs"]:
        findings.add(checks.none_read(subjects["lost"], uploads.SUBJECTS))
        return
    tokens, deadline_s = profile.model.special_tokens, profile.deadlines.request_s
    sent = []
    for number, kind in enumerate(of_group(group)):
        shown = subjects["signs"] if kind.is_grey or not subjects["colours"] else subjects["colours"]
        sent.append((kind, shown, number))
    bodies = [uploads.file_body(client.model_id, *one) for one in sent]
    exchanges = client.all(bodies, profile.capability.concurrency)
    for (kind, shown, number), exchange in zip(sent, exchanges, strict=True):
        subject = shown[number % len(shown)]
        is_unread = kind.name in profile.uploads.without
        is_rare = kind.may_be_refused or is_unread
        found = checks.taken(exchange, deadline_s, subject.tokens, may_be_refused=is_rare)
        wrong = [] if is_unread else checks.misread(subject.question, subject.picture, exchange, tokens)
        if wrong and not wrong[0].fatal and len(shown) > 1:
            # a second picture in the same kind of file: a model that reads one of them has got both
            again = client.body(uploads.file_body(client.model_id, kind, shown, number + 1))
            other = shown[(number + 1) % len(shown)]
            findings.add(checks.taken(again, deadline_s, other.tokens, may_be_refused=is_rare), again, kind.what)
            wrong = wrong if checks.misread(other.question, other.picture, again, tokens) else []
        if is_unread or (wrong and known.of(kind.known)):
            # what a model says to a picture that it cannot see right need be no sensible text
            findings.disregard(exchange)
        exact = [one for one in found if one.kind is kinds.FORMAT_TOKENS]
        shown_wrong = [*(one for one in found if one not in exact), *wrong]
        findings.add(exact, exchange, kind.what)
        findings.add(known.filter_known(kind.known, shown_wrong, exchange, deadline_s), exchange, kind.what)
        findings.note(**{kind.name: f"{edge_inputs.in_words(exchange)}{', read wrongly' if wrong else ''}"})


@pytest.mark.parametrize("megabytes", [2, 8])
def test_large_upload(client, findings, profile, context, chance, megabytes):
    """A photo-like picture in a body of 2 MB, and one of 8 MB, MUST be answered, and cost exactly its tiles."""
    if megabytes > profile.uploads.body_mb:
        pytest.skip(f"the endpoint takes no body of {megabytes} MB (uploads.body_mb: {profile.uploads.body_mb:g})")
    url, size = noise_png(chance, megabytes * uploads.MB)
    rule, room = context.tile_rule, profile.model.max_model_len
    if rule is not None and room is not None and tiles.picture_tokens(*size, rule) + uploads.BESIDE_PICTURES > room:
        pytest.skip(f"a picture of {size[0]} x {size[1]} pixels is too large for model.max_model_len: {room}")
    small = client.body(chat_body(client.model_id, uploads.WHAT, (plain_url(*uploads.ONE_TILE),), max_tokens=1))
    body = chat_body(client.model_id, uploads.WHAT, (url,), max_tokens=1)
    exchange = client.body({**body, **STREAMED} if megabytes == 2 else body)
    findings.note(seconds=f"{exchange.elapsed_s:.2f}", pixels=f"{size[0]} x {size[1]}")
    found = checks.large_body_is_taken(exchange, size, len(url))
    findings.add(found, exchange)
    if rule is not None and not found:
        findings.add(pictures.tokens_match_tiles((uploads.ONE_TILE, size), (small.reply, exchange.reply), rule))
    after = client.chat(uploads.WHAT, (plain_url(*uploads.ONE_TILE),), max_tokens=8)
    findings.add(completion.answered(after.reply), after, "afterwards")


def test_pictures_between_texts(client, findings, profile, context):
    """Two to ten pictures with a text before each MUST all arrive: each costs what it costs alone."""
    rule, limit = context.tile_rule, profile.model.max_pictures
    sizes = uploads.sizes_between(rule, min(limit or USUAL_PICTURES, USUAL_PICTURES), profile.model.max_model_len)
    if len(sizes) < 2:
        pytest.skip(f"the deployment takes no two pictures in one request: {limit or profile.model.max_model_len}")
    counts = sorted({1, 2, (len(sizes) + 1) // 2, len(sizes)})
    least = 1 if rule is None else tiles.picture_tokens(*uploads.ONE_TILE, rule)
    bodies = [uploads.between_texts(client.model_id, [uploads.ONE_TILE] * n) for n in counts]
    alike = dict(zip(counts, client.all(bodies, 2), strict=True))
    for n in [n for n in counts if limit is None and n > LEAST_PICTURES and alike[n].status in REFUSALS]:
        # a limit that the profile does not state: it must be said readably
        findings.add(edge_inputs.answered_or_refused(alike[n], profile.deadlines.request_s), alike.pop(n))
    grown = pictures.tokens_grow_evenly({n: one.reply for n, one in alike.items()}, least)
    findings.add(grown)
    sizes = sizes[: max(alike)]
    if rule is None or grown:
        return
    wanted = {"base": [uploads.ONE_TILE] * len(sizes), "in order": sizes, "in reverse": sizes[::-1]}
    bodies = [uploads.between_texts(client.model_id, each) for each in wanted.values()]
    replies = {name: one.reply for name, one in zip(wanted, client.all(bodies, 1), strict=True)}
    findings.add(checks.tokens_of_parts(wanted, replies, rule, "base"))
    findings.note(pictures=len(sizes))
