"""The likeliest tokens of logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vlm_acceptance.reference.route import Tops


def likeliest(logits: Tensor, top: int, given: Sequence[int] | None = None) -> Tops:
    """At each row of (length, vocabulary) the `top` likeliest in order with nats, and the given token."""
    nats = logits.float().log_softmax(-1)
    best = nats.topk(min(top, nats.shape[-1]))
    found = []
    for place, (ids, values) in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True)):
        listed = dict(zip(ids, values, strict=True))
        if given is not None:
            listed.setdefault(given[place], float(nats[place, given[place]]))
        found.append(listed)
    return tuple(found)
