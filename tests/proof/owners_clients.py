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
STRUCTURED: dict[str, tuple[str, ...]] = {}

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
