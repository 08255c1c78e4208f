"""Faults of clients' requests: one parameter of requests is not obeyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fault_stages import CHAT, Call, Dose, Response, Stages, edits_answers, error_response, object_of, said

TOKENIZE = "/tokenize"
Apply = Callable[[Dose], Stages]
Body = dict[str, Any]


def _edits(edit: Callable[[Body], None], *, only_streamed: bool = False) -> Apply:
    """The engine gets each chat request as `edit` leaves it; with `only_streamed` only those with a stream."""

    def request(call: Call) -> Call:
        body = call.json() if call.route == CHAT else None
        if body is None or (only_streamed and not body.get("stream")):
            return call
        edit(body)
        return call.with_json(body)

    return lambda dose: Stages(request=request)


def ignored(name: str, *, only_streamed: bool = False) -> Apply:
    """The engine does not see one parameter."""
    return _edits(lambda body: body.pop(name, None), only_streamed=only_streamed)


def special_tokens_not_added(dose: Dose) -> Stages:
    """`/tokenize` adds a token by `add_special_tokens`, as a tokenizer with a start token does; the engine does not."""

    def response(call: Call, response: Response) -> Response:
        asked, counted = call.json() or {}, object_of(response.body)
        if call.route != TOKENIZE or not asked.get("add_special_tokens") or counted is None or "count" not in counted:
            return response
        ids = [int(dose.magnitude), *(counted.get("tokens") or ())]
        return response.with_json({**counted, "count": counted["count"] + 1, "tokens": ids})

    return replace(ignored("add_special_tokens")(dose), response=response)


def priority_fails(dose: Dose) -> Stages:
    """A priority that is not 0 is answered with an error of the server."""

    def instead(call: Call) -> Response | None:
        body = call.json() if call.is_chat else None
        fails = body is not None and bool(body.get("priority"))
        return error_response(int(dose.magnitude), "priority scheduling is not enabled") if fails else None

    return Stages(instead=instead)


def _first_stop_only(body: Body) -> None:
    if isinstance(body.get("stop"), list):
        body["stop"] = body["stop"][:1]


def _string_is_no_stop(body: Body) -> None:
    if isinstance(body.get("stop"), str) and not body.get("include_stop_str_in_output"):
        del body["stop"]


def stops_after_token(dose: Dose) -> Stages:
    """A stop string inside a token comes with the text that ends the token."""

    def edit(call: Call, body: Body) -> None:
        for choice in body["choices"]:
            word, entries = choice.get("stop_reason"), (choice.get("logprobs") or {}).get("content") or []
            last = str(entries[-1]["token"]).strip() if entries else ""
            if isinstance(word, str) and word in last[1:-1] and isinstance(said(choice).get("content"), str):
                said(choice)["content"] += word

    return edits_answers(edit)


def _named(name: str, value: Callable[[float, Body], Any], *, only_unnamed: bool = False) -> Apply:
    """One parameter has a value that the client did not choose; with `only_unnamed` where it named none."""

    def apply(dose: Dose) -> Stages:
        def edit(body: Body) -> None:
            if (body.get(name) is None) if only_unnamed else (name in body):
                body[name] = value(dose.magnitude, body)

        return _edits(edit)(dose)

    return apply


def _hidden(name: str) -> Apply:
    return _named(name, lambda value, body: value, only_unnamed=True)


def _capped(dose: Dose) -> Stages:
    def edit(body: Body) -> None:
        if isinstance(body.get("temperature"), (int, float)) and body["temperature"] > 1:
            body["temperature"] = dose.magnitude

    return _edits(edit)(dose)


def _logprobs_alone_ignored(body: Body) -> None:
    if not body.get("top_logprobs"):
        body.pop("logprobs", None)
        body.pop("top_logprobs", None)


def _logprobs_always(body: Body) -> None:
    body["logprobs"] = True


def _no_usage_of_chunks(body: Body) -> None:
    if isinstance(body.get("stream_options"), dict):
        body["stream_options"].pop("continuous_usage_stats", None)


def _prompt_is_added(body: Body) -> None:
    if not body.get("continue_final_message"):
        body.pop("add_generation_prompt", None)


def _known_ids_only(body: Body) -> None:
    bias = body.get("logit_bias")
    if isinstance(bias, dict):
        body["logit_bias"] = {key: value for key, value in bias.items() if len(key) < len("1000000")}


def cached_beyond_prompt(dose: Dose) -> Stages:
    """The usage counts more cached tokens than the prompt has."""

    def edit(call: Call, body: Body) -> None:
        usage = body.get("usage")
        if isinstance(usage, dict):
            usage["prompt_tokens_details"] = {"cached_tokens": usage.get("prompt_tokens", 0) + int(dose.magnitude)}

    return edits_answers(edit)


def choices_copied(dose: Dose) -> Stages:
    """Every choice of an answer in one piece has the text and the tokens of the first."""

    def edit(call: Call, body: Body) -> None:
        first = body["choices"][0] if body["choices"] else {}
        for choice in body["choices"][1:]:
            if "message" in choice:
                choice.update({key: first.get(key) for key in ("message", "logprobs", "finish_reason")})

    return edits_answers(edit)


def _ignored_rows() -> tuple[tuple[str, str, float, Apply], ...]:
    names = (
        "max_completion_tokens", "min_tokens", "ignore_eos", "stop_token_ids", "include_stop_str_in_output",
        "top_k", "top_p", "min_p", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias",
        "bad_words", "allowed_token_ids", "prompt_logprobs", "return_tokens_as_token_ids", "return_token_ids",
        "skip_special_tokens", "continue_final_message", "echo", "truncate_prompt_tokens",
        "cache_salt", "priority",
    )  # fmt: skip
    streamed = ("max_tokens", "stop", "top_k", "seed", "logit_bias", "n", "presence_penalty")
    rows = [(f"{_dashed(name)}-ignored", f"the engine does not see {name}", 1, ignored(name)) for name in names]
    rows += [
        (
            f"{_dashed(name)}-ignored-streamed",
            f"the engine does not see {name} of a request with a stream",
            1,
            ignored(name, only_streamed=True),
        )
        for name in streamed
    ]
    return tuple(rows)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


# name, description, magnitude, stages
ROWS: tuple[tuple[str, str, float, Apply], ...] = (
    *_ignored_rows(),
    ("add-special-tokens-ignored", "/tokenize adds this token by add_special_tokens, and the engine does not", 1,
     special_tokens_not_added),
    ("priority-error", "a priority that is not 0 is answered with this status", 500, priority_fails),
    ("stop-as-string-ignored", "the engine does not see a stop that is one string", 1, _edits(_string_is_no_stop)),
    ("stop-beyond-first-ignored", "the engine sees one stop string of a list", 1, _edits(_first_stop_only)),
    ("stop-after-token", "a stop string inside a token is part of the text", 1, stops_after_token),
    ("seed-fixed", "every seed is this one", 5, _named("seed", lambda value, body: int(value))),
    ("temperature-capped", "a temperature above 1 is this one", 0.7, _capped),
    ("temperature-hidden", "a request that names no temperature gets this one", 0.001, _hidden("temperature")),
    ("repetition-penalty-hidden", "a request that names none gets this repetition_penalty", 1.3,
     _hidden("repetition_penalty")),
    ("top-k-hidden", "a request that names none gets this top_k", 3, _named(
        "top_k", lambda value, body: int(value), only_unnamed=True)),
    ("choices-copied", "all choices have the text and tokens of the first one", 1, choices_copied),
    ("top-logprobs-fixed", "the engine gets this top_logprobs", 5, _named(
        "top_logprobs", lambda value, body: int(value) if body.get("logprobs") else body["top_logprobs"])),
    ("logprobs-alone-ignored", "the engine does not see logprobs without top_logprobs", 1,
     _edits(_logprobs_alone_ignored)),
    ("logprobs-always", "every answer has log probabilities", 1, _edits(_logprobs_always)),
    ("chunk-usage-ignored", "the engine does not see continuous_usage_stats", 1, _edits(_no_usage_of_chunks)),
    ("generation-prompt-added", "the engine does not see add_generation_prompt, unless a message goes on", 1,
     _edits(_prompt_is_added)),
    ("cached-beyond-prompt", "so many cached tokens more than the prompt has", 1, cached_beyond_prompt),
    ("logit-bias-outside-accepted", "the engine does not see ids of seven digits in logit_bias", 1,
     _edits(_known_ids_only)),
)  # fmt: skip
