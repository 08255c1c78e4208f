"""What a folder's chat template puts around the texts of messages, found by rendering it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_acceptance.config.client_sections import Template
from vlm_acceptance.engine import chat_template

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
# texts that no template has, and that none can cut or join
FIRST, SECOND, THIRD = "Qfirst7", "Qsecond7", "Qthird7"
CONVERSATIONS = (
    ((USER, FIRST),),
    ((USER, FIRST), (ASSISTANT, SECOND), (USER, THIRD)),
    ((SYSTEM, THIRD), (USER, FIRST)),
    ((SYSTEM, THIRD), (USER, FIRST), (ASSISTANT, SECOND), (USER, FIRST)),
)


def start_of(folder: Path) -> str | None:
    """The text of a prompt before that of its first message; None if the template does not give it."""
    prompt = _rendered(folder, CONVERSATIONS[0])
    return prompt.partition(FIRST)[0] if prompt and prompt.count(FIRST) == 1 else None


def turns_of(folder: Path) -> Template | None:
    """The template as `model.template`; None if it does more than put texts around each message."""
    prompts = [_rendered(folder, conversation) for conversation in CONVERSATIONS]
    if any(prompt is None for prompt in prompts):
        return None
    for found in _candidates(str(prompts[0]), str(prompts[1])):
        if [found.rendered(_messages(one)) for one in CONVERSATIONS] == prompts:
            return found
    return None


def _candidates(one: str, three: str) -> Iterator[Template]:
    """Templates that may have made the prompt of one message, and that of three."""
    before, _, after = one.partition(FIRST)
    to_answer = three.partition(FIRST)[2].partition(SECOND)[0]
    to_user = three.partition(SECOND)[2].partition(THIRD)[0]
    for place in range(len(to_user) + 1):
        end, begin = to_user[:place], to_user[place:]
        is_there = before.endswith(begin) and to_answer.startswith(end) and after.startswith(end)
        if is_there and begin.count(USER) == 1:
            turn = f"{begin.replace(USER, '{role}')}{{content}}{end}"
            yield Template(start=before.removesuffix(begin), turn=turn, answer=after.removeprefix(end))


def _rendered(folder: Path, conversation: tuple[tuple[str, str], ...]) -> str | None:
    return chat_template.rendered(folder, _messages(conversation))


def _messages(conversation: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in conversation]
