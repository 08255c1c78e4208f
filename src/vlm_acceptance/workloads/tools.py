"""Requests with tools: calls that are asked for, conversations with calls in them, and tools that are not valid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlm_acceptance.cases.challenge_pictures import WORDS
from vlm_acceptance.client.chat import chat_body, plain_url, user_message
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.workloads.conversation import GREEDY, WORDS_A_PART
from vlm_acceptance.workloads.load import STREAMED
from vlm_acceptance.workloads.structured_output import object_of

Message = dict[str, Any]
# small models write many blanks between JSON tokens
MAX_TOKENS = 256
PROMPT = "Open the north gate."
PICTURE_PROMPT = "Open a gate for this picture."
# some templates want nine letters and digits
CALL_ID = "call8f3a1"
ONE_TILE = (64, 64)
# no free texts: they may have any length, and some versions end a turn within them
PARAMETERS: Mapping[str, dict[str, Any]] = {
    "set_lamp": object_of(colour={"type": "string", "enum": ["amber", "violet"]}),
    "open_gate": object_of(gate={"type": "string", "enum": ["north", "south"]}),
    "send_note": object_of(text={"type": "string", "enum": ["dusk", "dawn"]}, urgent={"type": "boolean"}),
}
NAMED, NOTE = "open_gate", "send_note"


def tool(name: str, parameters: Any, **more: Any) -> dict[str, Any]:
    """A tool as a request lists it. `strict`: its arguments must conform to its parameters."""
    function = {"name": name, "description": name.replace("_", " "), "parameters": parameters, "strict": True}
    return {"type": "function", "function": {**function, **more}}


def tools() -> list[dict[str, Any]]:
    """All tools."""
    return [tool(name, parameters) for name, parameters in PARAMETERS.items()]


def choice(name: str) -> dict[str, Any]:
    """The `tool_choice` of one tool by name."""
    return {"type": "function", "function": {"name": name}}


# by name: the tool_choice, which tools may be called then, how the answer ends, and whether a picture is sent
CHOICES: Mapping[str, tuple[Any, tuple[str, ...], tuple[str, ...], bool]] = {
    "required": ("required", tuple(PARAMETERS), ("tool_calls",), False),
    # OpenAI ends the answer of a named tool with `stop`, and so does vLLM; some servers say `tool_calls`
    "named": (choice(NAMED), (NAMED,), ("stop", "tool_calls"), False),
    "named-picture": (choice(NAMED), (NAMED,), ("stop", "tool_calls"), True),
}


def call_body(model: str, name: str, **params: Any) -> dict[str, Any]:
    """A request with all tools and a choice of CHOICES."""
    wanted, _, _, has_picture = CHOICES[name]
    return body(model, wanted, (plain_url(*ONE_TILE),) if has_picture else (), **params)


def body(model: str, wanted: Any, pictures: Sequence[str] = (), **params: Any) -> dict[str, Any]:
    """A request with all tools and this `tool_choice`, which asks for one call."""
    prompt = PICTURE_PROMPT if pictures else PROMPT
    given = {"tools": tools(), "tool_choice": wanted, "parallel_tool_calls": False}
    return chat_body(model, prompt, pictures, max_tokens=MAX_TOKENS, **given, **params)


WRITTEN = {"gate": "north"}


def written_body(model: str, call_text: str, **params: Any) -> dict[str, Any]:
    """A request that lets the model choose, but makes it write a call of NAMED with the arguments WRITTEN."""
    text = call_text.replace("{name}", NAMED).replace("{arguments}", json.dumps(WRITTEN))
    # not a `choice`: with a line break it ends the whole engine of vLLM 0.18
    asked = body(model, "auto", structured_outputs={"grammar": f"root ::= {json.dumps(text)}"}, **params)
    # a strict tool is a constraint of its own in some versions
    listed = [tool(name, parameters, strict=False) for name, parameters in PARAMETERS.items()]
    return {**asked, "tools": listed}


# what a question without tools is about
ABOUT = {"text": ("Tell me about a lighthouse in one sentence.", False), "picture": ("What is in the picture?", True)}


def plain_body(model: str, about: str, **params: Any) -> dict[str, Any]:
    """A request without tools."""
    prompt, has_picture = ABOUT[about]
    return chat_body(model, prompt, (plain_url(*ONE_TILE),) if has_picture else (), **params)


# parts of a conversation with a call, in words
RESULT, ARGUMENTS, AFTER = "the tool's answer", "the arguments of the call", "the question after the tool's answer"
DESCRIPTION = "the description of the tool"
_SERVE = "or the chat template leaves out {} of tools: serve with one that has them (--chat-template)"
# what to do about a part that does not reach the model
HINTS = {
    part: _SERVE.format(what) for part, what in ((RESULT, "answers"), (ARGUMENTS, "calls"), (DESCRIPTION, "lists"))
}
ALONE, ALONE_LONGER, BASE = "a question alone", "a question alone, longer", "the conversation with a call"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the tool's answer is sent, whether a question follows, with a picture, and whether all is streamed."""

    is_list: bool = False
    has_question: bool = False
    has_picture: bool = False
    is_streamed: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the conversation that are made longer."""
        return (DESCRIPTION, ARGUMENTS, RESULT, *([AFTER] if self.has_question else []))


SHAPES = {
    "text": Shape(),
    "text-streamed": Shape(is_streamed=True),
    "list": Shape(is_list=True, has_question=True),
    "picture": Shape(has_question=True, has_picture=True, is_streamed=True),
}


def growth_bodies(model: str, chance: Chance, more: str, shape: str) -> dict[str, dict[str, Any]]:
    """Requests by name: a question and a conversation with a call, each once as it is and with a part longer."""
    wanted = SHAPES[shape]
    pictures = [plain_url(*ONE_TILE)] if wanted.has_picture else []
    texts = {
        part: " ".join(map(str.lower, chance.some(WORDS, WORDS_A_PART)))
        for part in (DESCRIPTION, ARGUMENTS, RESULT, AFTER, ALONE)
    }

    def alone(added: str) -> list[Message]:
        return [user_message(_longer(texts[ALONE], added), pictures)]

    def talk(longer: str) -> list[Message]:
        said = {part: _longer(text, more if part == longer else "") for part, text in texts.items()}
        called = _with_call({"text": said[ARGUMENTS], "urgent": True})
        messages = [user_message(PROMPT), called, _result(said[RESULT], wanted.is_list)]
        # some templates want an answer between a tool's and the next question
        answered = {"role": "assistant", "content": "It is sent."}
        return [*messages, *([answered, user_message(said[AFTER], pictures)] if wanted.has_question else [])]

    sent = {ALONE: alone(""), ALONE_LONGER: alone(more), BASE: talk(""), **{part: talk(part) for part in wanted.parts}}
    fields = {**GREEDY, **(STREAMED if wanted.is_streamed else {})}

    def body(name: str, messages: list[Message]) -> dict[str, Any]:
        described = _longer(texts[DESCRIPTION], more if name == DESCRIPTION else "")
        listed = [tool(NOTE, PARAMETERS[NOTE], description=described)]
        return {"model": model, "messages": messages, "tools": listed, **fields}

    return {name: body(name, messages) for name, messages in sent.items()}


ALONE_SEEN, BASE_SEEN = "a question alone, with a picture", "the picture of the tool"


def picture_bodies(model: str) -> dict[str, dict[str, Any]]:
    """Requests by name: a question, and a conversation with a call, each without and with a picture.

    The picture of the conversation is in the tool's answer.
    """
    url = plain_url(*ONE_TILE)
    before = [user_message(PROMPT), _with_call({"text": "north", "urgent": True})]
    result, seen = _result("The gate is seen.", is_list=True), _result("The gate is seen.", is_list=True)
    seen["content"].insert(0, {"type": "image_url", "image_url": {"url": url}})
    sent = {
        ALONE: [user_message(PROMPT)],
        ALONE_SEEN: [user_message(PROMPT, [url])],
        BASE: [*before, result],
        BASE_SEEN: [*before, seen],
    }
    fields = {"tools": [tool(NOTE, PARAMETERS[NOTE])], **GREEDY}
    return {name: {"model": model, "messages": messages, **fields} for name, messages in sent.items()}


def _longer(text: str, added: str) -> str:
    """The text with more words before its last one: what follows the text is the same for all."""
    first, _, last = text.rpartition(" ")
    return f"{first} {added} {last}" if added else text


def _with_call(arguments: dict[str, Any]) -> Message:
    function = {"name": NOTE, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": CALL_ID, "type": "function", "function": function}],
    }


def _result(text: str, is_list: bool) -> Message:
    content = [{"type": "text", "text": text}] if is_list else text
    return {"role": "tool", "tool_call_id": CALL_ID, "content": content}


def bad_tools() -> dict[str, dict[str, Any]]:
    """By name: fields of requests that must be refused."""
    nameless = {"type": "function", "function": {"parameters": PARAMETERS[NAMED]}}
    wrong_type = object_of(gate={"type": "nosuchtype"})
    return {
        "tool-without-a-name": {"tools": [nameless], "tool_choice": "required"},
        "nameless-tool-beside-a-named-choice": {"tools": [nameless], "tool_choice": choice(NAMED)},
        "parameters-are-a-text": {"tools": [tool(NAMED, "gate")], "tool_choice": choice(NAMED)},
        "parameters-of-no-schema": {"tools": [tool(NAMED, wrong_type)], "tool_choice": choice(NAMED)},
        "choice-of-no-tool": {"tools": tools(), "tool_choice": choice("no_such_tool")},
        "choice-without-a-name": {"tools": tools(), "tool_choice": {"type": "function", "function": {}}},
        "choice-of-another-word": {"tools": tools(), "tool_choice": "sometimes"},
        "choice-without-tools": {"tool_choice": "required"},
    }


# what clients send to an endpoint without a parser of calls: by name, the tool_choice
UNOFFERED = {"auto": "auto", "required": "required", "named": choice(NAMED)}
