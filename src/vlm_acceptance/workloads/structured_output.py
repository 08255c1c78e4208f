"""Requests with constrained answers, and requests whose constraint is not valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vlm_acceptance.checks.structured_output import Constraint
from vlm_acceptance.client.chat import chat_body

# blanks between JSON tokens have no limit, and small models write many
JSON_TOKENS = 192
MAX_TOKENS = 48
# no prompt names keys or values: only an obeyed constraint gives them
JSON_PROMPT = "Describe a road sign as a JSON object."
TEXT_PROMPT = "Tell a short story about a lighthouse."
COLOUR_PROMPT = "What colour is this picture? Answer with one word."
COLOURS = ("Red", "Green", "Blue", "Yellow")
BURST = 32
FIELD = "structured_outputs"


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object with exactly these keys."""
    keys = {"properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "object", **keys}


# bounded: no string or list of any length
SCHEMA = object_of(
    zone={"type": "string", "enum": ["k7", "m3"]},
    post=object_of(row={"type": "integer", "enum": [12, 34]}, lit={"type": "boolean"}),
    marks={"type": "array", "items": {"type": "integer", "enum": [5, 6]}, "minItems": 2, "maxItems": 3},
)
CHOICES = ["zebra crossing 71", "quiet harbour 38"]
REGEX = "[0-9]{3}-[A-Z]{2}"
GRAMMAR = 'root ::= "level " digit " " side\ndigit ::= "4" | "7"\nside ::= "left" | "right"\n'


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The `response_format` for a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}


def structured(kind: str, value: Any, wants: str, schema: Any = None, pattern: str = "") -> Constraint:
    """A constraint by the field `structured_outputs`."""
    return Constraint(f"structured_outputs.{kind}", {FIELD: {kind: value}}, wants, schema, pattern)


CONSTRAINTS = {
    "json_object": Constraint(
        "response_format json_object",
        {"response_format": {"type": "json_object"}},
        "a JSON object",
        {"type": "object"},
    ),
    "json_schema": Constraint(
        "response_format json_schema",
        {"response_format": json_schema(SCHEMA)},
        "JSON that conforms to the schema that was sent",
        SCHEMA,
    ),
    "json": structured("json", SCHEMA, "JSON that conforms to the schema that was sent", SCHEMA),
    "regex": structured("regex", REGEX, f"a text that matches {REGEX}", pattern=REGEX),
    "choice": structured("choice", CHOICES, f"one of {CHOICES}", pattern="|".join(map(re.escape, CHOICES))),
    "grammar": structured(
        "grammar", GRAMMAR, "a text of the grammar that was sent", pattern="level (4|7) (left|right)"
    ),
}


# the forms of older versions, by the name of their field
GUIDED = {
    f"guided_{kind}": replace(one, name=f"guided_{kind}", fields={f"guided_{kind}": one.fields[FIELD][kind]})
    for kind, one in CONSTRAINTS.items()
    if FIELD in one.fields
}


def body(model: str, constraint: Constraint, **params: Any) -> dict[str, Any]:
    """A chat request with this constraint."""
    prompt = JSON_PROMPT if constraint.is_json else TEXT_PROMPT
    return chat_body(model, prompt, max_tokens=tokens_for(constraint), **{**constraint.fields, **params})


def tokens_for(constraint: Constraint) -> int:
    """The `max_tokens` of a request with this constraint."""
    return JSON_TOKENS if constraint.is_json else MAX_TOKENS


COLOUR = structured("choice", list(COLOURS), f"one of {list(COLOURS)}", pattern="|".join(COLOURS))


def colour_body(model: str, url: str) -> dict[str, Any]:
    """A request about a picture of one colour, given as a URL, that must choose a colour."""
    return chat_body(model, COLOUR_PROMPT, (url,), max_tokens=MAX_TOKENS, **COLOUR.fields)


SIGN_SCHEMA = object_of(text={"type": "string", "maxLength": 40})
SIGN = Constraint(
    "response_format json_schema", {"response_format": json_schema(SIGN_SCHEMA)},
    "JSON that conforms to the schema that was sent", SIGN_SCHEMA,
)  # fmt: skip


def bad_constraints() -> dict[str, dict[str, Any]]:
    """By name: fields of requests that must be refused."""
    wrong_type = object_of(zone={"type": "nosuchtype"})
    return {
        "type-of-no-schema": {"response_format": json_schema(wrong_type)},
        "schema-is-a-text": {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}}},
        "json-is-no-schema": {"structured_outputs": {"json": "not a schema"}},
        "regex-not-closed": {"structured_outputs": {"regex": "[0-9"}},
        "grammar-without-a-rule": {"structured_outputs": {"grammar": "root ::= nosuchrule"}},
        "choice-of-nothing": {"structured_outputs": {"choice": []}},
        "two-constraints": {"structured_outputs": {"regex": "[0-9]", "choice": ["a"]}},
    }


def rare_constraints() -> dict[str, dict[str, Any]]:
    """By name: fields of requests that one backend of structured output takes and another one does not."""
    return {
        "regex-with-an-empty-branch": {"structured_outputs": {"regex": "(|.*)"}},
        "grammar-with-a-root-twice": {"structured_outputs": {"grammar": 'root ::= "a"\nroot ::= "b"\n'}},
    }


def burst() -> list[Constraint]:
    """Different schemas; each has a key and values of its own, so that a mix-up shows."""
    found = []
    for number in range(BURST):
        schema = object_of(
            **{f"part_{number}": {"type": "string", "enum": [f"v{number}a", f"v{number}b"]}},
            rank={"type": "integer", "enum": [number, number + 100]},
        )
        fields, wants = {"response_format": json_schema(schema)}, f"JSON with the key part_{number} of its own schema"
        found.append(Constraint(f"response_format json_schema {number}", fields, wants, schema))
    return found
