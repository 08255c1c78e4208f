"""The keys of a profile. Each has a default except `name` and `model.id`; unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from vlm_acceptance.config.accuracy_sections import (
    Mmmu,
    Paired,
    PictureAblation,
    ProtocolName,
    Reference,
    ScorerName,
    Shape,
)
from vlm_acceptance.config.client_sections import Api, Endpoint, Leaving, Uploads
from vlm_acceptance.config.engine_args import require_agreement, require_none_of_ours
from vlm_acceptance.config.judged_sections import (
    CONVERSATIONS,
    LARGE_PICTURES,
    LONG_PROMPTS,
    MULTI_PICTURE,
    Budget,
    Capability,
    Deadlines,
    Latency,
    LongSimilarPictures,
)
from vlm_acceptance.config.ladder_sections import Ladder
from vlm_acceptance.config.model_sections import Model, Pictures
from vlm_acceptance.config.paths import require_text_file, resolve_existing
from vlm_acceptance.config.profile_sections import Challenge, Engine, Load, LogProbLimits, Pattern, Seconds, Sizes, Text
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.errors import UsageProblem

__all__ = [
    "CONVERSATIONS", "LARGE_PICTURES", "LONG_PROMPTS", "MULTI_PICTURE", "Budget", "Capability", "Deadlines", "Device",
    "Guide", "Latency", "LongSimilarPictures", "Measure", "Mmmu", "Model", "Offline", "Paired", "PictureAblation",
    "Pictures", "Profile", "ProtocolName", "Reference", "ScorerName", "Shape",
]  # fmt: skip
NAME, NAME_BYTES = r"^[A-Za-z0-9][\w.-]*$", 128


class Offline(Section):
    """The offline `LLM`."""

    enabled: bool = Field(default=True, description="`false`: the offline engine is not examined")
    mode: Literal["eager", "graph"] | None = Field(
        default=None, description="compared with its own log; without it the mode is reported only", examples=["graph"]
    )
    llm: dict[str, Any] = Field(default={}, description="arguments of the `LLM`", examples=[{"max_model_len": 4096}])
    sampling: dict[str, Any] = Field(default={}, description="its sampling parameters", examples=[{"max_tokens": 512}])
    timeout_s: Seconds = Field(default=1800, description="time limit of the whole batch")
    same_text: bool = Field(default=False, description="offline and served texts must be equal")


class Device(Section):
    """The accelerator."""

    kind: Literal["npu", "cpu", "none"] = Field(default="none", description="`none`: the device is not examined")
    name: Pattern = Field(default=".*", description="its name, as a regular expression", examples=["(Ascend)?910.*"])
    count: int = Field(
        default=1,
        ge=1,
        description="logical cards; where it is given, or the device is an NPU, parallel sizes must need them",
    )
    memory_mb: int | None = Field(default=None, description="memory of the whole card in MB", examples=[65536])
    idle_floor_mb: int = Field(default=4096, description="memory in MB that an idle card may show")
    release_tolerance_mb: int = Field(
        default=512, description="memory in MB that may be missing after the engine's end"
    )
    release_timeout_s: Seconds = Field(default=180, description="time limit of the release")


class Guide(Section):
    """One row of the deployment guide's own latency table."""

    category: str = Field(description="the category of questions", examples=["ocr"])
    tokens: int = Field(description="tokens of the answer", examples=[14])
    seconds: float = Field(description="time of the whole answer", examples=[1.66])
    note: str = Field(default="", description="what is shown beside it", examples=["cold"])


class Measure(Section):
    """The expected value of a figure in the engine's log."""

    value: float = Field(description="the expected value", examples=[4.13])
    tolerance: float | None = Field(
        default=None, description="judged within this share; without it only reported", examples=[0.1]
    )


def _as_folder(name: str) -> str:
    """A name that is part of the names of folders, which have at most 255 bytes."""
    if len(name.encode()) > NAME_BYTES:
        raise ValueError(f"it has more than {NAME_BYTES} bytes")
    return name


class Profile(Section):
    """One deployment: the model, how it is started, what it must reach."""

    name: Annotated[str, AfterValidator(_as_folder)] = Field(
        pattern=NAME,
        description="the name of the profile, also part of folder names",
        examples=["qwen2.5-vl-7b"],
    )
    description: str = Field(default="", description="one line about it", examples=["Qwen2.5-VL-7B on one card"])
    model: Model
    engine: Engine = Engine()
    offline: Offline = Offline()
    device: Device = Device()
    versions: dict[str, Text] = Field(
        default={},
        description="expected packages of the engine; only their public parts are compared",
        examples=[{"vllm": "0.18.0"}],
    )
    latency: Latency = Latency()
    load: Load = Load()
    deadlines: Deadlines = Deadlines()
    sizes: Sizes = Sizes()
    capability: Capability = Capability()
    challenge: Challenge = Challenge()
    api: Api = Api()
    uploads: Uploads = Uploads()
    endpoint: Endpoint = Endpoint()
    ladder: Ladder = Ladder()
    leaving: Leaving = Leaving()
    metrics: list[str] = Field(
        default=[], description="counters that `/metrics` must offer", examples=[["vllm:num_requests_running"]]
    )
    model_memory_gib: Measure | None = Field(default=None, description="the model's memory in the engine's log")
    weight_load_s: Measure | None = Field(default=None, description="the load time of the weights in the engine's log")
    references: dict[str, Reference] = Field(default={}, description="published scores by name")
    guide: list[Guide] = Field(
        default=[], description="latencies of the deployment guide, shown beside the measured ones"
    )
    mmmu: Mmmu | None = Field(
        default=None, description="the accuracy run: [accuracy.md](accuracy.md); without it there is none"
    )
    logprobs: LogProbLimits = LogProbLimits()

    def check(self, launched: bool) -> None:
        """UsageProblem when keys contradict each other, or a file of the profile does not exist."""
        self.engine.check(self.model.id, self.model.source, self.model.path)
        require_none_of_ours(self.engine.args)
        self._check_parallel()
        if self.capability.golden_answers:
            resolve_existing(self.capability.golden_answers, "capability.golden_answers")
        resolve_existing(self.logprobs.prompts, "logprobs.prompts")
        if self.endpoint.ca_bundle:
            resolve_existing(self.endpoint.ca_bundle, "endpoint.ca_bundle")
        if self.mmmu is not None:
            if self.mmmu.engine == "offline" and not launched:
                raise UsageProblem("mmmu.engine: an attached endpoint has no 'offline' engine; use 'server'")
            if self.mmmu.known_answers:
                require_text_file(self.mmmu.known_answers, "mmmu.known_answers")
            if self.mmmu.names_limits:
                self.mmmu.require_limits(self.references)

    def _check_parallel(self) -> None:
        counts_cards = self.device.kind == "npu" or "count" in self.device.model_fields_set
        llms = {"offline.llm": self.offline.llm} if self.offline.enabled else {}
        if self.mmmu is not None and self.mmmu.engine == "offline":
            llms["mmmu.llm"] = {**self.offline.llm, **self.mmmu.llm}
        require_agreement(self.engine.args, self.device.count if counts_cards else None, llms)
