"""What a server says about itself: `/v1/models`, `/version` and `/metrics`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from vlm_acceptance.checks.schema import conforms
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

_LABELS = r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\}'
_SAMPLE = re.compile(rf"([A-Za-z_:][\w:]*)(?:{_LABELS})?\s+(\S+)(?:\s+\S+)?", re.ASCII)


def lists_model(exchange: Exchange, model: str, max_model_len: int | None = None) -> list[Finding]:
    """`/v1/models` names `model`, with this context length where one is given and the server says it."""
    body, found = _json(exchange)
    found += conforms("models", body, "/v1/models") if not found else []
    if found:
        return found
    cards = {card["id"]: card for card in body["data"]}
    if model not in cards:
        return [Finding(kinds.MODELS_ID, repr(model), ", ".join(map(repr, cards)), "/v1/models")]
    served = cards[model].get("max_model_len")
    if None not in (served, max_model_len) and served != max_model_len:
        return [Finding(kinds.MODELS_MAX_MODEL_LEN, str(max_model_len), str(served), "/v1/models")]
    return []


def version_is_told(exchange: Exchange, expected: str | None = None) -> list[Finding]:
    """`/version` holds a version, the `expected` one where given; a local part after `+` is not compared."""
    body, found = _json(exchange)
    if found:
        return found
    version = body.get("version") if isinstance(body, dict) else None
    if not isinstance(version, str) or not version.strip():
        return [Finding(kinds.MODELS_VERSION, "a version", trimmed(body), "/version")]
    if expected is not None and version.partition("+")[0] != expected.partition("+")[0]:
        return [Finding(kinds.MODELS_VERSION, expected, version, "/version")]
    return []


def metrics(text: str) -> dict[str, float]:
    """Figures of a Prometheus text page by name, summed over labels, buckets left out.

    A figure that is NaN is absent. ValueError names a line that is no sample.
    """
    figures: dict[str, float] = {}
    # Not splitlines(): label values may hold characters it would break at.
    for number, line in enumerate(text.split("\n"), 1):
        sample = line.strip()
        if not sample or sample.startswith("#"):
            continue
        read = _SAMPLE.fullmatch(sample)
        if read is None:
            raise ValueError(f"line {number} is no sample: {trimmed(sample, 120)}")
        name, labels, value = read[1], read[2] or "", _number(read[3], number)
        if math.isnan(value) or (name.endswith("_bucket") and "le=" in labels):
            continue
        figures[name] = figures.get(name, 0.0) + value
    return figures


def figures_in(page: Exchange) -> dict[str, float] | None:
    """The figures of a `/metrics` page; None where it has none that can be read."""
    if page.status != 200 or page.error is not None:
        return None
    try:
        return metrics(page.body.decode("utf-8", "replace"))
    except ValueError:
        return None


def figure_of(figures: dict[str, float], name: str) -> float | None:
    """The figure `name`, with or without the `_total` that counters carry in one text format and not in another."""
    bare = name.removesuffix("_total")
    return next((figures[key] for key in (name, f"{bare}_total", bare) if key in figures), None)


def metrics_present(text: str, names: Iterable[str]) -> list[Finding]:
    """The page can be read and holds every one of `names`; see `figure_of` for `_total`."""
    try:
        figures = metrics(text)
    except ValueError as broken:
        return [Finding(kinds.MODELS_METRICS, "a Prometheus text page", str(broken), "/metrics")]
    missing = [name for name in names if figure_of(figures, name) is None]
    if not missing:
        return []
    observed = f"none of them among {len(figures)} figures"
    return [Finding(kinds.MODELS_METRICS, ", ".join(missing), observed, "/metrics")]


def _json(exchange: Exchange) -> tuple[Any, list[Finding]]:
    """The body of an exchange answered with 200, or why there is none."""
    where = exchange.request.path
    if exchange.error is not None:
        return None, [
            Finding(kinds.MODELS_STATUS, "HTTP 200", f"{exchange.error.kind}: {exchange.error.message}", where)
        ]
    if exchange.status != 200:
        return None, [Finding(kinds.MODELS_STATUS, "HTTP 200", f"HTTP {exchange.status}", where)]
    try:
        return exchange.json(), []
    except ValueError:
        shown = trimmed(exchange.body.decode("utf-8", "replace"))
        return None, [Finding(kinds.MODELS_JSON, "a JSON body", shown, where)]


def _number(text: str, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"line {line} has no number: {trimmed(text, 120)}") from None
