"""Answers that belong to another request's picture: the sign of a deployment that mixes up its requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vlm_acceptance.checks.answer import holds
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

Parts = Sequence[tuple[str, ...]]


def contaminated(
    names: Sequence[str], replies: Sequence[Reply | NoReply], pictures: Mapping[str, Picture]
) -> list[Finding]:
    """Fatal for every answer that holds no planted word of its own picture and all those of another one.

    `names` are the names in `pictures`, one for each reply. Other wrong answers are not reported here.
    """
    found = []
    for name, reply in zip(names, replies, strict=True):
        if isinstance(reply, NoReply):
            found.append(Finding(kinds.PICTURE_UNANSWERED, "an answer", str(reply), name, reply.exchange))
            continue
        other = _owner(pictures[name], reply.text, pictures)
        if other is not None:
            expected = " and ".join("/".join(part) for part in pictures[name].parts)
            observed = f"the answer planted in {other}: {trimmed(reply.text)}"
            found.append(Finding(kinds.CONTAMINATED, expected, observed, name, reply.exchange))
    return found


def prompt_ignored(answers: Sequence[tuple[Reply, Reply]]) -> list[Finding]:
    """Fatal if, for every picture, two prompts that ask for different things got the same answer."""
    if not answers or any(first.text != second.text for first, second in answers):
        return []
    observed = f"the same answer to both prompts for each of {len(answers)} pictures: {trimmed(answers[0][0].text)}"
    return [Finding(kinds.PROMPT_IGNORED, "another answer to another prompt", observed)]


def answers_another(text: str, own: Parts, shown: Collection[str], other: Parts) -> bool:
    """Whether a text holds no part of its own answer and all of another one that its own picture does not show.

    `shown` are all planted words of the own picture. A text with a part of its own answer is about the own picture:
    a word of the other one, often a number or a drink, may occur in a sentence about it.
    """
    words = {word for part in own for word in part}.union(shown)
    if any(holds(text, part) for part in own) or all(words.intersection(part) for part in other):
        return False
    return all(holds(text, part, words) for part in other)


def _owner(own: Picture, text: str, pictures: Mapping[str, Picture]) -> str | None:
    """The other picture whose planted answer this is; None if it is partly its own, or that of no picture."""
    others = ((name, other.parts) for name, other in pictures.items() if other is not own)
    return next((name for name, parts in others if answers_another(text, own.parts, own.visible, parts)), None)
