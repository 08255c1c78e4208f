"""What a server reports about itself: /health, /v1/models, /version, /metrics, and the figures of its log."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vlm_acceptance.checks.schema import conforms
from vlm_acceptance.config.profile import Measure
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.engine_figures import EngineFigures
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_most, is_figure
from vlm_acceptance.core.text import trimmed

LOG = "server.log"
# a page has some two thousand lines for each engine behind it
MOST_LINES, LONGEST_LINE = 200_000, 1 << 16
_LABELS = r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\}'
_SAMPLE = re.compile(rf"([A-Za-z_:][\w:]*)(?:{_LABELS})?\s+(\S+)(?:\s+\S+)?", re.ASCII)
_BLOCK = re.compile(r'^vllm:cache_config_info\{[^}\n]*\bblock_size="(\d{1,9})"', re.MULTILINE)


def healthy(exchange: Exchange) -> list[Finding]:
    """`/health` answers 200 within the deadline of the request."""
    return _is_200(exchange, kinds.HEALTH_STATUS)


def lists_model(exchange: Exchange, model: str, max_model_len: int | None = None) -> list[Finding]:
    """`/v1/models` lists `model`; a context length is compared if it is given and the server reports one."""
    body, found = _json(exchange)
    found = found or conforms("models", body, "/v1/models")
    if found:
        return found
    cards = {card["id"]: card for card in body["data"]}
    if model not in cards:
        return [Finding(kinds.MODELS_ID, repr(model), ", ".join(map(repr, cards)), "/v1/models")]
    served = cards[model].get("max_model_len")
    if None not in (served, max_model_len) and served != max_model_len:
        return [Finding(kinds.MODELS_MAX_MODEL_LEN, str(max_model_len), str(served), "/v1/models")]
    return []


def reports_version(exchange: Exchange, expected: str | None = None) -> list[Finding]:
    """`/version` holds a version, `expected` if that is given; a local part after `+` is not compared."""
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
    """Values of a Prometheus text page by name, summed over labels, without buckets.

    A name with a value that is not finite, which Prometheus allows, is left out. ValueError names the first line that
    cannot be read, or the limit that the page exceeds.
    """
    figures: dict[str, float] = {}
    for number, line in enumerate(_lines(text), 1):
        sample = line.strip()
        if not sample or sample.startswith("#"):
            continue
        read = _SAMPLE.fullmatch(sample)
        try:
            value = float(read[3]) if read else 0.0
        except ValueError:
            read = None
        if read is None:
            raise ValueError(f"line {number} is not a sample: {trimmed(sample, 120)}")
        if not (read[1].endswith("_bucket") and "le=" in (read[2] or "")):
            figures[read[1]] = figures.get(read[1], 0.0) + value
    return {name: value for name, value in figures.items() if is_figure(value)}


def _lines(text: str) -> Iterator[str]:
    """The lines of a page, one after the other; ValueError when they are too many or too long."""
    # Not splitlines(): label values may hold characters at which it would split.
    start, number = 0, 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        if number > MOST_LINES:
            raise ValueError(f"the page has more than {MOST_LINES} lines")
        if end - start > LONGEST_LINE:
            raise ValueError(f"line {number} has {end - start} characters, more than {LONGEST_LINE}")
        yield text[start:end]
        start = end + 1


def figures_in(page: Exchange) -> dict[str, float] | None:
    """The values of a `/metrics` page; None if it cannot be read."""
    try:
        return metrics(_text(page)) if page.status == 200 and page.error is None else None
    except ValueError:
        return None


def figure_of(figures: Mapping[str, float] | None, name: str) -> float | None:
    """The value of `name`, with or without the `_total` that counters have in only one of the text formats."""
    bare = name.removesuffix("_total")
    return next((figures[key] for key in (name, f"{bare}_total", bare) if key in figures), None) if figures else None


def metrics_present(page: Exchange, names: Iterable[str]) -> list[Finding]:
    """The page can be read and holds every one of `names`; see `figure_of` for `_total`."""
    if wrong := _is_200(page, kinds.MODELS_METRICS):
        return wrong
    try:
        figures = metrics(_text(page))
    except ValueError as broken:
        return [Finding(kinds.MODELS_METRICS, "a Prometheus text page", str(broken), "/metrics")]
    missing = [name for name in names if figure_of(figures, name) is None]
    observed = f"not among the {len(figures)} metrics of the page with a finite value"
    return [Finding(kinds.MODELS_METRICS, ", ".join(missing), observed, "/metrics")] if missing else []


def metrics_moved(before: Exchange, after: Exchange, names: Iterable[str]) -> list[Finding]:
    """Counters that did not grow between two readings of /metrics, or have no finite value in one of them."""
    try:
        first, second = (metrics(_text(page)) for page in (before, after))
    except ValueError as broken:
        return [Finding(kinds.METRICS_TEXT, "Prometheus text", str(broken), "/metrics")]
    seen = [(name, figure_of(first, name), figure_of(second, name)) for name in names]
    return [
        Finding(
            kinds.METRICS_MOVED, f"{name} to grow with a request", f"{_number(was)}, then {_number(now)}", "/metrics"
        )
        for name, was, now in seen
        if was is None or now is None or not now > was
    ]


def _number(value: float | None) -> str:
    return "no finite value" if value is None else f"{value:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class CacheUse:
    """Growth of one cache's counters between two readings, in the server's units; None if it is not reported."""

    cache: str
    queries: float | None
    hits: float | None

    def __str__(self) -> str:
        return f"{self.hits:g} of {self.queries or 0:g} hit" if self.hits is not None else "not reported by /metrics"


def cache_uses(before: Exchange, after: Exchange) -> list[CacheUse]:
    """Use of the prefix cache and of the picture cache."""
    first, second = figures_in(before), figures_in(after)

    def grown(name: str) -> float | None:
        was, now = figure_of(first, name), figure_of(second, name)
        return None if was is None or now is None else now - was

    caches = ("prefix_cache", "mm_cache")
    return [CacheUse(cache, grown(f"vllm:{cache}_queries"), grown(f"vllm:{cache}_hits")) for cache in caches]


def without_hits(uses: Iterable[CacheUse]) -> str:
    """Which caches had no hit or are not counted, so that the test says nothing about them; '' if all had hits."""
    return "; ".join(
        f"vllm:{use.cache}_hits did not grow ({use})" for use in uses if not is_figure(use.hits) or use.hits <= 0
    )


def too_short(tokens: int | None, block: int | None) -> str:
    """Why prompts of `tokens` tokens say nothing about blocks of `block` tokens; '' if they do or one is unknown."""
    if tokens is None or block is None or (is_figure(tokens) and tokens > 2 * block):
        return ""
    return f"the prompts about similar pictures have {tokens} tokens, no more than two cache blocks of {block}"


def block_size(page: Exchange) -> int | None:
    """Tokens in a block of the prefix cache; None if `/metrics` does not report it."""
    found = _BLOCK.search(_text(page)) if page.status == 200 else None
    return int(found[1]) if found else None


def shown(figures: EngineFigures) -> dict[str, str]:
    """Every figure of an engine's log by name; `not reported` if the log does not hold it."""
    values = {**dataclasses.asdict(figures), "mode": figures.mode_shown}
    return {name: "not reported" if value is None else str(value) for name, value in values.items()}


def mode_is(figures: EngineFigures, mode: str, log: str = LOG) -> list[Finding]:
    """The engine runs in the profile's mode: graph if graphs were captured; a log without the mode counts as eager."""
    if figures.mode == mode or (figures.mode is None and mode == "eager"):
        return []
    return [Finding(kinds.LOG_MODE, f"{mode} mode", figures.mode_shown, log)]


def graphs_are(figures: EngineFigures, count: int | None, log: str = LOG) -> list[Finding]:
    """As many sizes are captured as the profile expects; not judged if profile or log give no number."""
    sizes = None if figures.graph_sizes is None else len(figures.graph_sizes)
    seen = sizes if figures.graphs_captured is None else figures.graphs_captured
    if count is None or seen is None or seen == count:
        return []
    return [Finding(kinds.LOG_GRAPHS, f"{count} captured sizes", str(seen), log)]


def close_to(value: float | None, measure: Measure, what: str) -> list[Finding]:
    """The figure is within the tolerance of `measure`; not judged if it is not reported or has no tolerance."""
    if (
        value is None
        or measure.tolerance is None
        or is_at_most(abs(value - measure.value), measure.tolerance * measure.value)
    ):
        return []
    return [Finding(kinds.LOG_FIGURE, f"{what}: {measure.value:g} ± {measure.tolerance:.0%}", f"{value:g}", LOG)]


def _text(page: Exchange) -> str:
    return page.body.decode("utf-8", "replace")


def _is_200(exchange: Exchange, kind: kinds.FindingClass) -> list[Finding]:
    if exchange.error is None and exchange.status == 200:
        return []
    return [Finding(kind, "HTTP 200", str(exchange.error or f"HTTP {exchange.status}"), exchange.request.path)]


def _json(exchange: Exchange) -> tuple[Any, list[Finding]]:
    """The body of an exchange answered with 200, or why there is none."""
    found = _is_200(exchange, kinds.MODELS_STATUS)
    try:
        return (None, found) if found else (exchange.json(), [])
    except ValueError as broken:
        seen = f"{broken}: {trimmed(_text(exchange))}"
        return None, [Finding(kinds.MODELS_JSON, "a JSON body", seen, exchange.request.path)]
