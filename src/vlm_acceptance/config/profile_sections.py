"""Types of a profile's values, and its sections of engine, load and log probabilities."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import MIB, Request


def _as_text(value: object) -> object:
    # `True` and `8` are not text in YAML, but on a command line they are
    return str(value) if isinstance(value, (bool, int, float)) else value


def _is_pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as broken:
        raise ValueError(f"it is not a regular expression: {broken}") from None
    return text


Text = Annotated[str, BeforeValidator(_as_text)]
# 115 days; the clocks of the system take no more than some 290 years
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]
Nats = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Engine(Section):
    """How `vllm serve` is started. `port: 0` takes a free port; `python` or `executable` name another installation.

    `serve: id` starts it with the model's id, which it must resolve itself, not with the folder. Processes that
    an engine has started may outlive it by `children_timeout_s`.
    """

    serve: Literal["folder", "id"] = "folder"
    executable: str | None = None
    python: str | None = None
    source: list[str] = []
    source_required: bool = False
    env: dict[str, Text] = {}
    args: list[Text] = []
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    mode: Literal["eager", "graph"] = "eager"
    graph_sizes: int | None = None
    start_timeout_s: Seconds = 900
    stop_timeout_s: Seconds = 30
    children_timeout_s: Seconds = 5
    harmless_log: list[str] = []

    def check(self, model: str, source: str, path: str | None) -> None:
        """UsageProblem when the model is to be served by its id, and something else says otherwise."""
        if self.serve != "id":
            return
        if path is not None:
            says = f"engine.serve: 'id' lets the engine resolve {model!r}, and model.path names the folder {path!r}"
            raise UsageProblem(f"{says}: set only one of them (--vlm-set=model.path=null)")
        if source == "modelscope" and self.env.get("VLLM_USE_MODELSCOPE", "").lower() not in ("true", "1"):
            needs = "engine.serve: 'id' with model.source 'modelscope' needs engine.env.VLLM_USE_MODELSCOPE 'True'"
            raise UsageProblem(f"{needs}: without it the engine looks for the model on Hugging Face")


class Challenge(Section):
    """What no earlier run can have asked, drawn from the seed of the run: eight new `pictures`, and new `texts`.

    At least `min_correct` of the eight answers must be right; 0 or 1 is a failure whatever the bar. Eight
    `conversations` and eight `long_prompts` of each length in tokens are counted like a category.
    """

    pictures: bool = True
    texts: bool = True
    conversations: bool = True
    long_prompts: list[Annotated[int, Field(ge=256)]] = [1024, 4096, 16384, 32768]
    min_correct: int = Field(default=4, ge=1, le=8)


class LogProbLimits(Section):
    """Limits on log probabilities, in nats. `alarm` limits the mean |Δ| to `baseline` over the tokens that both list
    among their five likeliest, `alarm_prompt` that of each prompt; `common_top5` is the least share of such tokens.

    Another token than the stored one, or than that of a second answer, is accepted if it is at most `tie` behind.
    `steady` limits the mean |Δ| between two answers of one deployment to the same request (again, in a batch, offline),
    `steady_prompt` that of each prompt. With `batch_invariant` no text may differ. Smoke sends `sample` prompts; a
    recording sends all of `prompts`.
    """

    prompts: str = "fixtures/baselines/prompts.jsonl"
    baseline: str | None = None
    sample: int = Field(default=12, ge=1)
    # vLLM-Ascend's own tests allow 0.14 for a token; to find a model's own floor, compare two recordings of it
    alarm: Nats = 0.14
    alarm_prompt: Nats = 0.4
    common_top5: Share = 0.8
    tie: Nats = 0.5
    steady: Nats = 0.14
    steady_prompt: Nats = 0.4
    batch_invariant: bool = False


# of an answer without its tokens; of a token with its event in a stream; of each token that could stand in its place
ANSWER_BYTES, TOKEN_BYTES, LISTED_BYTES = 256 << 10, 4 << 10, 1 << 10


class Sizes(Section):
    """Upper bounds in MiB: of one answer, of a page of `/metrics`, and of what a run stores about its requests.

    An answer beyond them, or beyond what its tokens can need, is a broken one. Beyond what a run may store, bodies are
    cut, and the verdict says so.
    """

    answer_mib: float = Field(default=4, ge=0.25, le=64)
    metrics_mib: float = Field(default=16, ge=0.25, le=64)
    run_mib: float = Field(default=128, ge=8, le=4096)

    def largest(self, request: Request) -> int:
        """The most bytes that an answer to this request may have: fewer where only a few tokens were asked for."""
        if request.path == "/metrics":
            return int(self.metrics_mib * MIB)
        most = int(self.answer_mib * MIB)
        body: dict[str, Any] = request.body if isinstance(request.body, dict) else {}
        tokens, choices, listed = body.get("max_tokens"), body.get("n", 1), body.get("top_logprobs", 0)
        if not all(type(count) is int and count >= 0 for count in (tokens, choices, listed)):
            return most
        needed: int = ANSWER_BYTES + tokens * choices * (TOKEN_BYTES + listed * LISTED_BYTES)
        return min(most, needed)


class Limits(Section):
    """Limits in seconds on percentiles; one without a limit is only reported."""

    p50: Seconds | None = None
    p90: Seconds | None = None
    p99: Seconds | None = None


class LoadBudgets(Section):
    """What the soak must reach; a figure without a bound is only reported. `errors` is the highest share of requests
    without an answer, `goodput` the lowest share of requests answered within the limits of `latency`.
    """

    ttft_s: Limits = Limits()
    tpot_s: Limits = Limits()
    itl_s: Limits = Limits()
    e2e_s: Limits = Limits()
    errors: Share = 0
    goodput: Share | None = None
    requests_per_s: Annotated[float, Field(gt=0)] | None = None
    output_tokens_per_s: Annotated[float, Field(gt=0)] | None = None

    @property
    def bounds_figures(self) -> bool:
        """Whether a percentile, a rate or the goodput has a bound."""
        return self != LoadBudgets(errors=self.errors)


class Load(Section):
    """Many requests at once. A request starves if it takes `slower` times the median and more than `slower_s`. The
    deployment hangs if nothing progresses for `hang_s`. A client that disconnects frees its slot within `freed_s`.

    Times may grow by the share `drift` from the soak's first third to its last, memory by so many kilobytes a request.
    With `bench`, `vllm bench serve` runs after the soak of a launched engine; its figures are reported, not judged.
    `preemption`: the cache is so small that many long texts at once must make the engine preempt requests.
    """

    burst: int = Field(default=16, ge=4, le=64)
    large_burst: int = Field(default=64, ge=4, le=64)
    slower: Annotated[float, Field(gt=1)] = 10
    slower_s: Seconds = 10
    hang_s: Seconds = 60
    freed_s: Seconds = 10
    soak_s: Annotated[float, Field(ge=1)] = 600
    soak_concurrency: int = Field(default=8, ge=1, le=64)
    bench: bool = True
    preemption: bool = False
    drift: Annotated[float, Field(ge=0)] = 0.5
    leak_kb_per_request: Annotated[float, Field(ge=0)] = 64
    hbm_leak_kb_per_request: Annotated[float, Field(ge=0)] = 64
    budgets: LoadBudgets = LoadBudgets()
