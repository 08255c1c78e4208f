"""What clients upload: every kind of picture file is read as the same picture in a PNG, and large bodies are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlm_acceptance.checks.answer import judge_picture
from vlm_acceptance.checks.edge_inputs import answered_or_refused, not_refused, prompt_tokens_are
from vlm_acceptance.checks.pictures import prompt_tokens_of
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import Exchange, NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.core.tiles import TileRule, picture_tokens

TOO_LARGE = 413
Size = tuple[int, int]


def none_read(lost: Sequence[NoReply], sent: int) -> list[Finding]:
    """No picture is read in a PNG: nothing can be compared. `lost`: why some of the `sent` requests have no answer."""
    expected = f"one of {sent} pictures read rightly in a PNG, to compare other files with"
    if not lost:
        return [Finding(kinds.FORMAT_UNREAD, expected, "none: all were answered, and no answer is right")]
    seen = f"none: {len(lost)} of {sent} requests got no answer, the first: {lost[0]}"
    return [Finding(kinds.FORMAT_UNREAD, expected, seen, exchange=lost[0].exchange)]


def taken(exchange: Exchange, deadline_s: float, tokens: int | None, *, may_be_refused: bool) -> list[Finding]:
    """A picture file is answered, with the prompt tokens of the same picture in a PNG, or refused readably.

    Only a kind that `may_be_refused` may be. Whether the answer is right is not judged here.
    """
    reply, found = exchange.reply, answered_or_refused(exchange, deadline_s)
    if isinstance(reply, NoReply) and not may_be_refused:
        kind = kinds.FORMAT_REFUSED if not_refused(exchange) else kinds.FORMAT_ANSWER
        found = [Finding(kind, "an answer, as about the PNG of the same picture", str(reply))]
    return found if tokens is None else found + prompt_tokens_are(reply, tokens)


def misread(question: Question, picture: Picture, exchange: Exchange, special_tokens: Sequence[str]) -> list[Finding]:
    """What is wrong with an answer about a picture that was read rightly in a PNG; a refusal is not judged."""
    reply = exchange.reply
    found = [] if isinstance(reply, NoReply) else judge_picture(question, picture, reply, special_tokens)
    if not found or isinstance(reply, NoReply):
        return []
    if any(one.kind is kinds.ANSWER_FOREIGN for one in found):
        expected = f"only what this file shows, {_words(picture)}"
        return [Finding(kinds.UPLOAD_MIXED_UP, expected, f"what another picture shows: {trimmed(reply.text)}")]
    wrong = any(one.kind in (kinds.ANSWER_WRONG, kinds.ANSWER_EMPTY) for one in found)
    seen = trimmed(reply.text) if wrong else f"{trimmed(reply.text)}; {found[0].observed}"
    return [Finding(kinds.FORMAT_UNREAD, f"{_words(picture)}, as the PNG of the same picture is read", seen)]


def _words(picture: Picture) -> str:
    return " and ".join(repr(part[0]) for part in picture.parts)


def large_body_is_taken(exchange: Exchange, size: Size, body_bytes: int) -> list[Finding]:
    """A request with a large picture is answered; a finding names the size of its body."""
    reply = exchange.reply
    if not isinstance(reply, NoReply):
        return []
    sent = f"a request of {body_bytes / 1e6:.1f} MB with a PNG of {size[0]} x {size[1]} pixels"
    limit = "the server or a gateway before it limits requests: " if exchange.status == TOO_LARGE else ""
    if exchange.error is not None and exchange.error.kind == "reset":
        limit = "the connection was closed, as by a gateway that limits requests: "
    return [Finding(kinds.UPLOAD_SIZE, f"an answer to {sent}", f"{limit}{reply}", exchange=exchange)]


def tokens_of_parts(
    sizes: Mapping[str, Sequence[Size]], replies: Mapping[str, Reply | NoReply], rule: TileRule, base: str
) -> list[Finding]:
    """Prompt tokens of pictures between texts, by name of the request: each is `base` and the tiles of its sizes.

    Every request has as many pictures and the same texts as `base`.
    """
    counts = {name: prompt_tokens_of(reply, kinds.UPLOAD_PARTS, name) for name, reply in replies.items()}
    unread = [count for count in counts.values() if isinstance(count, Finding)]
    if unread:
        return unread
    least = sum(picture_tokens(*size, rule) for size in sizes[base])
    found = []
    for name, given in sizes.items():
        more = sum(picture_tokens(*size, rule) for size in given) - least
        seen = counts[name] - counts[base]  # type: ignore[operator]  # no Finding is left
        if seen != more:
            expected = f"{more} prompt tokens more than with pictures of one tile in the same places"
            found.append(Finding(kinds.UPLOAD_PARTS, expected, f"{seen} more", name, replies[name].exchange))
    return found
