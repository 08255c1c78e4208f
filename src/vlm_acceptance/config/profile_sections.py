"""Types of a profile's values, and its sections of engine, load and log probabilities."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

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


def at_least(other: str) -> AfterValidator:
    """A number that is not less than that of another key, if both are given."""

    def check(number: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get(other)
        if number is not None and least is not None and number < least:
            raise ValueError(f"it must not be less than {other}, {least}")
        return number

    return AfterValidator(check)


Text = Annotated[str, BeforeValidator(_as_text)]
# 115 days; the clocks of the system take no more than some 290 years
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]
Nats = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Engine(Section):
    """How `vllm serve` is started."""

    serve: Literal["folder", "id"] = Field(
        default="folder",
        description="`folder`: the engine gets the folder that was examined, under the model's name. `id`: the engine "
        "gets the model's id and resolves it; it may then ask the hub, so `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE` "
        "of the profile are left out",
    )
    executable: str | None = Field(default=None, description="the vllm executable", examples=["/opt/vllm/bin/vllm"])
    python: str | None = Field(
        default=None, description="the interpreter that has vLLM", examples=["/opt/vllm/bin/python"]
    )
    source: list[str] = Field(
        default=[],
        description="shell files to source first. CANN's `ascend-toolkit/set_env.sh` and `nnal/atb/set_env.sh` are "
        "left out where `ASCEND_HOME_PATH` or `ATB_HOME_PATH` is set and its parts are on `LD_LIBRARY_PATH` (and "
        "`PYTHONPATH`, for the toolkit)",
        examples=[["/usr/local/Ascend/ascend-toolkit/set_env.sh"]],
    )
    source_required: bool = Field(default=False, description="the shell files must exist")
    env: dict[str, Text] = Field(
        default={}, description="environment variables of the engine", examples=[{"VLLM_NO_USAGE_STATS": "1"}]
    )
    args: list[Text] = Field(
        default=[],
        description="arguments of `vllm serve`",
        examples=[["--dtype", "bfloat16", "--max-model-len", 32768]],
    )
    host: str = Field(default="127.0.0.1", description="address of the engine")
    port: int = Field(default=8000, ge=0, le=65535, description="port of the engine; 0 takes a free one")
    mode: Literal["eager", "graph"] | None = Field(
        default=None,
        description="compared with the log; without it the mode is reported only. An engine runs in graph mode only if "
        "its log shows captured graphs, whatever it was configured for",
        examples=["eager"],
    )
    graph_sizes: int | None = Field(
        default=None, description="number of captured graphs, compared with the log", examples=[35]
    )
    start_timeout_s: Seconds = Field(default=900, description="time limit of the start")
    stop_timeout_s: Seconds = Field(default=30, description="time limit of the stop")
    children_timeout_s: Seconds = Field(
        default=5, description="how long the processes that an engine has started may outlive it"
    )
    harmless_log: list[str] = Field(
        default=[],
        description="parts of log lines, literally, that are no errors",
        examples=[["Triton is not installed"]],
    )

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
    """What no earlier run can have asked, drawn from the seed of the run."""

    pictures: bool = Field(
        default=True, description="`false`: the deployment is not asked about the eight new pictures"
    )
    texts: bool = Field(
        default=True, description="`false`: no new texts, and no requests that are repeated to find a cache of answers"
    )
    conversations: bool = Field(
        default=True,
        description="`false`: no questions about new pictures of earlier turns, and none with system messages that "
        "must show in the answer",
    )
    long_prompts: list[Annotated[int, Field(ge=256)]] = Field(
        default=[1024, 4096, 16384, 32768],
        description="lengths in tokens of texts in which passwords and pictures are hidden. Smoke sends the shortest, "
        "slow the others. What is longer than 7/8 of `model.max_model_len` is sent with that length, unless another "
        "one is nearly as long; `[]`: none",
    )
    min_correct: int = Field(
        default=4,
        ge=1,
        le=8,
        description="right answers about the eight new pictures that are enough; with 0 or 1 the deployment is taken "
        "for blind, or for stored answers, whatever the bar (unless it is 1)",
    )


class LogProbLimits(Section):
    """Limits on log probabilities, in nats: [logprobs.md](logprobs.md)."""

    prompts: str = Field(default="fixtures/baselines/prompts.jsonl", description="the prompts of a recording")
    baseline: str | None = Field(default=None, description="the stored log probabilities", examples=["right.jsonl"])
    sample: int = Field(default=12, ge=1, description="prompts that smoke sends")
    limits: Literal["measured", "stated"] = Field(
        default="measured",
        description="`measured`: a baseline that holds measured changes brings `alarm`, `alarm_prompt` and "
        "`common_top`, unless the profile names that baseline and the key; `stated`: always those of the profile",
    )
    # vLLM-Ascend's own tests allow 0.14 for a token; to find a model's own floor, compare two recordings of it
    alarm: Nats = Field(
        default=0.14,
        description="limit of the mean difference to `baseline` over the tokens that both list among their likeliest",
    )
    alarm_prompt: Nats = Field(default=0.4, description="the same for each prompt")
    common_top: Share = Field(default=0.8, description="least share of such tokens")
    tie: Nats = Field(
        default=0.5,
        description="another token than the stored one, or than that of a second answer to the same request, is "
        "accepted if it was behind by at most this",
    )
    steady: Nats = Field(
        default=0.14,
        description="limit of the mean difference between two answers of one deployment to the same request (again, "
        "in a batch, offline)",
    )
    steady_prompt: Nats = Field(default=0.4, description="the same for each prompt")
    batch_invariant: bool = Field(
        default=False, description="no text may differ between two answers to the same request"
    )


# of an answer without its tokens; of a token with its event in a stream; of each token that could stand in its place
ANSWER_BYTES, TOKEN_BYTES, LISTED_BYTES = 256 << 10, 4 << 10, 1 << 10
# prompt_logprobs lists 20 tokens at each place of a prompt: of 8,192 places these are 16 MB
PROMPT_TIMES = 4


class Sizes(Section):
    """Upper bounds in MiB. An answer beyond them, or beyond what its tokens can need, is a broken one."""

    answer_mib: float = Field(
        default=4,
        ge=0.25,
        le=64,
        description="the largest answer; four times as much where it lists the tokens of a prompt",
    )
    metrics_mib: float = Field(default=16, ge=0.25, le=64, description="the largest page of `/metrics`")
    run_mib: float = Field(
        default=128,
        ge=8,
        le=4096,
        description="the most that a run stores about its requests; beyond it bodies are cut, and the verdict says so",
    )

    def largest(self, request: Request) -> int:
        """The most bytes that an answer to this request may have: fewer where only a few tokens were asked for."""
        if request.path == "/metrics":
            return int(self.metrics_mib * MIB)
        most = int(self.answer_mib * MIB)
        body: dict[str, Any] = request.body if isinstance(request.body, dict) else {}
        if body.get("prompt_logprobs"):
            return most * PROMPT_TIMES
        tokens, choices, listed = body.get("max_tokens"), body.get("n", 1), body.get("top_logprobs", 0)
        if not all(type(count) is int and count >= 0 for count in (tokens, choices, listed)):
            return most
        needed: int = ANSWER_BYTES + tokens * choices * (TOKEN_BYTES + listed * LISTED_BYTES)
        return min(most, needed)


class Limits(Section):
    """Limits in seconds on percentiles; one without a limit is only reported."""

    p50: Seconds | None = Field(default=None, description="limit of the median", examples=[0.5])
    p90: Seconds | None = Field(default=None, description="limit of the 90th percentile", examples=[1])
    p99: Seconds | None = Field(default=None, description="limit of the 99th percentile", examples=[2])


class LoadBudgets(Section):
    """What the soak must reach; a figure without a bound is only reported."""

    ttft_s: Limits = Limits()
    tpot_s: Limits = Limits()
    itl_s: Limits = Limits()
    e2e_s: Limits = Limits()
    errors: Share = Field(default=0, description="the highest share of requests without an answer")
    goodput: Share | None = Field(
        default=None,
        description="the lowest share of requests answered within the limits of `latency`",
        examples=[0.95],
    )
    requests_per_s: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="the lowest rate of requests", examples=[4]
    )
    output_tokens_per_s: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="the lowest rate of output tokens", examples=[400]
    )

    @property
    def bounds_figures(self) -> bool:
        """Whether a percentile, a rate or the goodput has a bound."""
        return self != LoadBudgets(errors=self.errors)


class Load(Section):
    """Many requests at once."""

    burst: int = Field(default=16, ge=4, le=64, description="requests at once in smoke")
    large_burst: int = Field(default=64, ge=4, le=64, description="requests at once in slow")
    slower: float = Field(
        default=10,
        gt=1,
        description="a request starves if it takes this many times the median, and more than `slower_s`",
    )
    slower_s: Seconds = Field(default=10, description="a request starves if it takes more than this time, too")
    hang_s: Seconds = Field(default=60, description="no progress for this time is a hang")
    freed_s: Seconds = Field(default=10, description="a client that disconnects frees its slot within this time")
    soak_s: float = Field(default=600, ge=1, description="length of the soak")
    soak_concurrency: int = Field(default=8, ge=1, le=64, description="requests in flight in the soak")
    bench: bool = Field(
        default=True, description="run `vllm bench serve` after the soak; its figures are reported, never judged"
    )
    preemption: bool = Field(
        default=False,
        description="the cache of the deployment is so small that many long texts at once make the engine preempt "
        "requests: slow shows that these keep their answers, and is an error if fewer than 20 are preempted",
    )
    drift: float = Field(
        default=0.5, ge=0, description="the share by which times may grow from the first third of the soak to its last"
    )
    leak_kb_per_request: float = Field(default=64, ge=0, description="how much the memory of processes may grow, in KB")
    hbm_leak_kb_per_request: float = Field(
        default=64, ge=0, description="how much the memory of the card may grow, in KB"
    )
    budgets: LoadBudgets = LoadBudgets()
