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
    """How a conversation becomes a prompt."""

    start: str = Field(default="", description="the text before the first message", examples=["<s>"])
    turn: Annotated[str, AfterValidator(_is_turn)] = Field(
        description="the text around `{role}` and `{content}` of each message",
        examples=["<|im_start|>{role}\n{content}<|im_end|>\n"],
    )
    answer: str = Field(
        default="",
        description="the text after the last message, where the answer begins",
        examples=["<|im_start|>assistant\n"],
    )

    def rendered(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt of messages whose contents are texts."""
        turns = []
        for message in messages:
            before, _, after = self.turn.partition("{content}")
            turns.append(before.replace("{role}", message["role"]) + message["content"] + after)
        return f"{self.start}{''.join(turns)}{self.answer}"


class Api(Section):
    """What the endpoint offers beside plain chat."""

    without: list[str] = Field(
        default=[],
        description="parameters of requests that the endpoint does not take: their tests are not applicable, and no "
        "other test sends them",
        examples=[["top_k", "logit_bias"]],
    )
    defaults: dict[str, float] | None = Field(
        default=None,
        description="what a request gets for a parameter that it does not name; without it what generation_config.json "
        "of the served folder declares where the run starts the engine, else neutral values",
        examples=[{"repetition_penalty": 1.1}],
    )
    structured_output: bool = Field(
        default=True,
        description="`false`: the endpoint offers no structured output (`response_format`, `structured_outputs`); it "
        "is not tested",
    )
    structured_content: bool = Field(
        default=False,
        description="`true`: the model can write what it reads in a picture into a JSON schema; then not only the "
        "form is judged, but what it read, too",
    )
    tools: bool = Field(
        default=False,
        description="`true`: the deployment has a parser of tool calls (vLLM: `--enable-auto-tool-choice "
        "--tool-call-parser NAME`): tools must be called as requests demand it. A chat template that leaves out tools, "
        "their calls or their answers is named: serve with one that has them (`--chat-template`). `false`: requests "
        "with tools must only be answered soundly or refused readably",
    )
    call_text: Annotated[str, AfterValidator(_is_call)] | None = Field(
        default=None,
        description="how the model writes a call, as text around `{name}` and `{arguments}`: it is made to write one, "
        "and the parser must read it. Without it the parser is judged only if the model calls a tool by itself",
        examples=['<tool_call>{"name": "{name}", "arguments": {arguments}}</tool_call>'],
    )
    reasoning: bool = Field(
        default=False,
        description="`true`: the deployment has a parser of reasoning (vLLM: `--reasoning-parser NAME`): what the "
        "model thinks must be apart from its answer, streamed or not. `model.thinking` switches thinking on for these "
        "requests",
    )
    routes: list[Route] = Field(
        default=["completions", "responses", "tokenize"],
        description="routes beside chat that are wanted, of `completions`, `responses`, `tokenize` (with "
        "`/detokenize`) and `models` (the card `/v1/models/{id}`, which vLLM itself does not have); one that is wanted "
        "and answers 404 or 405 is a failure",
    )


class Uploads(Section):
    """Picture files that clients send."""

    without: list[Annotated[str, AfterValidator(_is_picture_kind)]] = Field(
        default=[],
        description="kinds of picture files that the endpoint does not read: each must still be answered or refused "
        "readably",
        examples=[["tiff", "jpeg-cmyk"]],
    )
    body_mb: float = Field(
        default=8, gt=0, description="the largest request in MB that the endpoint takes; larger pictures are not sent"
    )


class Endpoint(Section):
    """How an attached endpoint is reached."""

    only_v1: bool = Field(
        default=False,
        description="a gateway passes `/v1` alone: `/health`, `/metrics`, `/version` and `/tokenize` are not asked, "
        "and tests that need them are not applicable",
    )
    ca_bundle: str | None = Field(
        default=None,
        description="a PEM file of certificates to trust. `REQUESTS_CA_BUNDLE` works too, also for loopback",
        examples=["/etc/ssl/gateway.pem"],
    )
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")], str] = Field(
        default={},
        description="further headers of every request: name, and the environment variable with the value, which is "
        "masked like a key",
        examples=[{"X-Tenant": "TENANT_KEY"}],
    )
    requests_per_s: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        default=None,
        description="no more requests a second are begun, and a 429 with `Retry-After` (at most 60 s, five times) is "
        "waited for and counted in the verdict",
        examples=[5],
    )


class Leaving(Section):
    """Clients that leave, and a deployment that nobody asks for a while."""

    idle_s: float = Field(
        default=60, gt=0, le=3600, description="how long nothing is sent before the first request after an idle spell"
    )
