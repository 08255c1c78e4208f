"""Data: owners of the faults of what clients send, by family. See owners.py."""

from __future__ import annotations

from check_ids import PARTS, TEMPLATE, TURN_TILES, TURNS

# the engine gets another conversation than the client sent
CONVERSATION: dict[str, tuple[str, ...]] = {
    "history-lost": (*PARTS, *TURNS),
    "history-lost-streamed": (PARTS[1], TURNS[1]),
    "history-cut": PARTS,
    "answers-lost": PARTS,
    "question-repeated": PARTS,
    "system-lost": PARTS,
    "turns-swapped": TEMPLATE,
    "roles-swapped": TEMPLATE,
    "second-text-lost": PARTS,
    "earlier-picture-lost": (*TURNS, *TURN_TILES),
    "earlier-picture-squared": TURN_TILES,
    "pictures-moved": TURN_TILES,
}

# one parameter of requests is not obeyed
PARAMETERS: dict[str, tuple[str, ...]] = {}

# structured output is broken
_OBEYED = {
    name: f"structured_output::test_constraint_is_obeyed[{name}]"
    for name in ("json_object", "json_schema", "json", "regex", "choice", "grammar")
}
_JSON = (_OBEYED["json_object"], _OBEYED["json_schema"], _OBEYED["json"])
_CHOICE, _IN_A_SCHEMA, _BESIDE = (
    f"structured_output::test_{name}"
    for name in (
        "picture_decides_the_choice",
        "picture_is_described_in_a_schema",
        "free_answers_beside_a_burst_of_schemas",
    )
)
_BAD = tuple(
    f"structured_output::test_bad_constraint_is_refused[{name}]"
    for name in (
        "type-of-no-schema",
        "schema-is-a-text",
        "json-is-no-schema",
        "regex-not-closed",
        "grammar-without-a-rule",
        "choice-of-nothing",
        "two-constraints",
    )
)
STRUCTURED: dict[str, tuple[str, ...]] = {
    "json-object-ignored": (_OBEYED["json_object"],),
    "json-schema-ignored": (_OBEYED["json_schema"], _IN_A_SCHEMA, _BESIDE),
    "structured-json-ignored": (_OBEYED["json"],),
    "structured-choice-ignored": (_OBEYED["choice"],),
    "structured-regex-ignored": (_OBEYED["regex"],),
    "structured-grammar-ignored": (_OBEYED["grammar"],),
    "structured-ignored-streamed": tuple(_OBEYED.values()),
    "structured-ignored-picture": (_IN_A_SCHEMA,),
    "structured-enum-ignored": (_OBEYED["json_schema"], _OBEYED["json"]),
    "structured-bounds-ignored": (_OBEYED["json_schema"], _OBEYED["json"]),
    "structured-first-choice": (_CHOICE,),
    "structured-brace-lost": _JSON,
    "structured-fenced": _JSON,
    "structured-never-ends": tuple(_OBEYED.values()),
    "bad-constraint-accepted": _BAD,
    "bad-constraint-error": _BAD,
    "bad-constraint-ends-engine": _BAD,
    "schemas-mixed-up": (_BESIDE,),
    "free-beside-schemas": (_BESIDE,),
}

# a route beside chat is broken
ROUTES: dict[str, tuple[str, ...]] = {}

# a kind or size of picture files is broken
UPLOADS: dict[str, tuple[str, ...]] = {}

# clients that leave, or come late, are treated wrongly
LEAVING: dict[str, tuple[str, ...]] = {}

# the deployment holds less load, or mixes up preempted requests
CAPACITY: dict[str, tuple[str, ...]] = {}

WIRE_OF_CLIENTS = {
    **CONVERSATION,
    **PARAMETERS,
    **STRUCTURED,
    **ROUTES,
    **UPLOADS,
    **LEAVING,
    **CAPACITY,
}
