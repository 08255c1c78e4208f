"""A profile's sections about what its clients send, beside pictures with one question."""

from __future__ import annotations

from vlm_acceptance.config.yaml_file import Section


class Api(Section):
    """What the endpoint offers. `without` names parameters of requests that it does not take: they are not tested."""

    without: list[str] = []
