"""A profile's sections about the accuracy run and published scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from vlm_acceptance.config.profile_sections import Seconds, Share, at_least
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.errors import UsageProblem, nearest


class Reference(Section):
    """A published score."""

    score: float = Field(description="the score in percent, unless `total` says otherwise", examples=[36.3])
    correct: int | None = Field(default=None, ge=0, description="right answers", examples=[327])
    total: Annotated[int | None, at_least("correct")] = Field(
        default=None, gt=0, description="questions", examples=[900]
    )
    source: str = Field(default="", description="where it was published", examples=["model card (GPU)"])
    protocol: str = Field(default="", description="the prompt protocol that measured it", examples=["vlmevalkit"])


class Shape(Section):
    """Limits on the shape of the answers, as shares: of all answers, of those to choices (unresolved, top_letter), of
    those to open questions (open_a). A server that repeats one letter has 32.6 % of MMMU_val right.
    """

    unresolved: Share = Field(default=0.1, description="answers to choices that name no option")
    empty: Share = Field(default=0.01, description="answers without text")
    truncated: Share = Field(default=0.05, description="answers that were cut")
    declined: Share = Field(default=0.05, description="answers that decline the question")
    top_letter: Share = Field(default=0.6, description="answers to choices that name the same letter")
    letters: int = Field(default=3, ge=1, description="the fewest letters that answers to choices name")
    open_a: Share = Field(default=0.1, description="bare `A` to open questions")


class PictureAblation(Section):
    """Picture ablation: some questions are asked again with blank pictures."""

    sample: int = Field(default=0, ge=0, description="number of these questions; 0: none")
    margin: Share = Field(default=0.05, description="the share by which fewer of them must be right")


class Paired(Section):
    """Comparison with a stored run, by a one-sided McNemar test."""

    alpha: Share = Field(default=0.01, description="a smaller p rejects")
    margin: Share = Field(
        default=0.02, description="the loss, as a share, that must be ruled out with `require_margin`"
    )
    require_margin: bool = Field(default=False, description="`false`: a loss of `margin` is only reported")


# a selftest compares these with accuracy/mmmu
ProtocolName = Literal["vlmevalkit", "vlmevalkit-20240708", "vlmevalkit-20240718", "internvl", "official"]
ScorerName = Literal["vlmevalkit_2024_07", "vlmevalkit_head", "official_strict", "official_seed42", "internvl"]


class Mmmu(Section):
    """The accuracy run: [accuracy.md](accuracy.md). Without this section there is none."""

    dataset: str = Field(default="MMMU_val", description="the data set of the prepared data")
    data: str | None = Field(default=None, description="the folder of the prepared data", examples=["/data/mmmu"])
    protocol: ProtocolName = Field(
        default="vlmevalkit",
        description="the prompts; `internvl` limits the tiles of InternVL, so it needs `model.pictures`",
    )
    scorer: ScorerName | None = Field(
        default=None, description="the deciding scorer; without it that of the protocol", examples=["official_strict"]
    )
    engine: Literal["server", "offline"] = Field(default="server", description="which engine answers")
    llm: dict[str, Any] = Field(
        default={}, description="more arguments of the offline engine", examples=[{"max_model_len": 32768}]
    )
    offline_timeout_s: Seconds = Field(default=14400, description="time limit of the offline engine")
    system_message: bool = Field(
        default=False,
        description="`true`: the protocol's own system message is sent, which names InternVL; for InternVL only",
    )
    max_tokens: int | None = Field(
        default=None, gt=0, description="tokens of an answer; without it those of the protocol", examples=[1024]
    )
    concurrency: int = Field(default=16, ge=1, le=64, description="requests in flight")
    deadline_s: Seconds = Field(default=600, description="time limit of a request")
    reference: str | None = Field(
        default=None,
        description="the name in `references` that sets the limits; without it `MMMU_val_PROTOCOL`, else `MMMU_val`",
        examples=["MMMU_val"],
    )
    alpha: Share = Field(default=0.05, description="error probability of the lower limit (exact binomial)")
    ceiling_alpha: Share = Field(default=0.001, description="error probability of the upper limit")
    min_correct: int | None = Field(
        default=None, ge=0, description="right answers that are enough, in place of the lower limit", examples=[303]
    )
    max_correct: Annotated[int | None, at_least("min_correct")] = Field(
        default=None, ge=0, description="the same for the upper limit", examples=[372]
    )
    retried: Share = Field(default=0.01, description="the run is inconclusive if more questions were sent twice")
    early_stop: bool = Field(default=True, description="the run may be rejected before its last question")
    early_stop_alpha: float = Field(default=0.01, gt=0, lt=0.5, description="error probability of the early stop")
    shape: Shape = Shape()
    sighted: PictureAblation = PictureAblation()
    paired: Paired = Paired()
    known_answers: str | None = Field(
        default=None,
        description="file of exact answers that the deployment must give",
        examples=["fixtures/mmmu_mini/expected.jsonl"],
    )
    known_scores: dict[ScorerName, int] = Field(
        default={}, description="right answers that each scorer must find", examples=[{"official_strict": 78}]
    )

    @property
    def stops_early(self) -> bool:
        """Whether the run may be rejected early. Not with official_seed42, whose guesses depend on all answers."""
        return self.early_stop and self.scorer != "official_seed42"

    @property
    def names_limits(self) -> bool:
        """Whether the section says where a limit comes from; if not, a profile without limits has no accuracy run."""
        return any(value is not None for value in (self.reference, self.min_correct, self.max_correct))

    def reference_among(self, references: Mapping[str, Reference]) -> tuple[str, Reference | None]:
        """Name and value of the reference: the given one, else that of the protocol, else MMMU_val."""
        own = f"MMMU_val_{self.protocol}"
        name = self.reference or (own if own in references else "MMMU_val")
        return name, references.get(name)

    def no_limits(self, references: Mapping[str, Reference]) -> str:
        """Why neither the section nor a reference with counts sets the limits; '' when they are set."""
        name, reference = self.reference_among(references)
        is_counted = reference is not None and reference.correct is not None and reference.total is not None
        if is_counted or (self.min_correct is not None and self.max_correct is not None):
            return ""
        return (
            f"mmmu.reference: {name!r} names no reference with correct and total, and mmmu.min_correct and "
            f"mmmu.max_correct are not both given.{nearest(name, references)}"
        )

    def require_limits(self, references: Mapping[str, Reference]) -> None:
        """UsageProblem when neither the section nor a reference with counts sets the limits."""
        if why := self.no_limits(references):
            raise UsageProblem(why)
