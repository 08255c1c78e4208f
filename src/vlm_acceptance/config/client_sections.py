"""A profile's sections about what its clients send, beside pictures with one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.errors import nearest
from vlm_acceptance.core.pictures import PICTURE_KINDS


def _is_picture_kind(name: str) -> str:
    if name not in PICTURE_KINDS:
        raise ValueError(f"{name!r} is not a kind of picture file.{nearest(name, PICTURE_KINDS)}")
    return name


Route = Literal["completions", "responses", "tokenize", "models"]


def _is_turn(text: str) -> str:
    for field in ("{role}", "{content}"):
        if field not in text:
            raise ValueError(f"it has no {field}: a turn is text around {{role}} and {{content}}")
    return text


def _is_call(text: str) -> str:
    for field in ("{name}", "{arguments}"):
        if field not in text:
            raise ValueError(f"it has no {field}: a call is text around {{name}} and {{arguments}}")
    return text


class Template(Section):
    """How a conversation becomes a prompt: `start`, each message as a `turn` around {role} and {content}, `answer`."""

    start: str = ""
    turn: Annotated[str, AfterValidator(_is_turn)]
    answer: str = ""

    def rendered(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt of messages whose contents are texts."""
        turns = []
        for message in messages:
            before, _, after = self.turn.partition("{content}")
            turns.append(before.replace("{role}", message["role"]) + message["content"] + after)
        return f"{self.start}{''.join(turns)}{self.answer}"


class Api(Section):
    """What the endpoint offers. `without` names parameters of requests that it does not take: they are not tested.

    `routes` beside chat are wanted: one that is missing is a failure. `structured_content`: the model can write what
    it reads in a picture into a given JSON schema. `tools`, `reasoning`: a parser reads calls of tools, or the
    reasoning, out of the model's text; `call_text` is how the model writes a call. `defaults` are the values of
    parameters that a request does not name. None: those of the served folder's generation_config.json, where the run
    starts the engine, else neutral ones.
    """

    without: list[str] = []
    defaults: dict[str, float] | None = None
    structured_output: bool = True
    structured_content: bool = False
    tools: bool = False
    call_text: Annotated[str, AfterValidator(_is_call)] | None = None
    reasoning: bool = False
    routes: list[Route] = ["completions", "responses", "tokenize"]


class Uploads(Section):
    """Picture files that clients send. `without` names kinds that the endpoint does not read: they must still be
    answered or refused readably. `body_mb` is the largest request in megabytes that it takes.
    """

    without: list[Annotated[str, AfterValidator(_is_picture_kind)]] = []
    body_mb: float = Field(default=8, gt=0)


class Endpoint(Section):
    """How an attached endpoint is reached. `only_v1`: a gateway passes no other paths. `headers`: name -> environment
    variable with its value. `ca_bundle`: a PEM file of certificates to trust. `requests_per_s`: no more are begun, and
    a 429 with Retry-After is waited for.
    """

    only_v1: bool = False
    ca_bundle: str | None = None
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")], str] = {}
    requests_per_s: Annotated[float, Field(gt=0, le=10_000)] | None = None


class Leaving(Section):
    """Clients that leave, and a deployment that nobody asks for `idle_s` seconds before the next request."""

    idle_s: Annotated[float, Field(gt=0, le=3600)] = 60
