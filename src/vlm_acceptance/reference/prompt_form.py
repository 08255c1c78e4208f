"""How a conversation becomes tokens, and how it can become them wrongly."""

from __future__ import annotations

from dataclasses import dataclass

SERVED, PUBLISHED = "served", "published"
FORMS = (SERVED, PUBLISHED)


@dataclass(frozen=True, slots=True)
class PromptForm:
    """The form of a prompt; the defaults are right.

    `form`: served, as vLLM builds it (a slow tokenizer's prompt is decoded and encoded again when it has a picture), or
    published, the template's text encoded once. The others are faults: no `<s>`, no line feed behind roles, a system
    message that nobody asked for.
    """

    form: str = SERVED
    start: bool = True
    role_line_feed: bool = True
    system: str = ""
