"""What answers an accuracy run. An unfinished run is only resumed with the same target."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from vlm_acceptance.core.exchange import Request
from vlm_acceptance.engine import weights
from vlm_acceptance.engine.preflight import Preflight
from vlm_acceptance.engine.server import Deployment


def own_engine(preflight: Preflight, kind: str) -> dict[str, Any]:
    """A launched engine, `kind` server or offline: hashes of the model's files, versions."""
    files = dataclasses.asdict(weights.fingerprint(preflight.folder))
    return {"engine": kind, "files": files, "versions": dict(preflight.engine.versions)}


def endpoint(deployment: Deployment, deadline_s: float) -> dict[str, Any]:
    """An attached endpoint: URL, model, and what `/version` and `/v1/models` report."""
    bodies: dict[str, Any] = {}
    for path in ("/version", "/v1/models"):
        exchange = deployment.client.send(Request("GET", path, deadline_s=deadline_s))
        with contextlib.suppress(ValueError):
            bodies[path] = exchange.json()
    listed = bodies.get("/v1/models", {}).get("data", [])
    card: dict[str, Any] = next((card for card in listed if card.get("id") == deployment.model_id), {})
    shown = {key: card.get(key) for key in ("root", "parent", "max_model_len")}
    return {
        "engine": "server",
        "url": deployment.base_url,
        "model": deployment.model_id,
        **shown,
        "version": bodies.get("/version"),
    }
