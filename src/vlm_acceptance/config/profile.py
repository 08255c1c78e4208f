"""The keys of a profile. Each has a default except `name` and `model.id`; unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from vlm_acceptance.config.client_sections import Api, Endpoint, Leaving, Template, Uploads
from vlm_acceptance.config.ladder_sections import Ladder
from vlm_acceptance.config.paths import require_text_file, resolve_existing
from vlm_acceptance.config.profile_sections import (
    Challenge,
    Engine,
    Load,
    LogProbLimits,
    Pattern,
    Seconds,
    Share,
    Sizes,
    Text,
)
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.capability import CATEGORY_ORDER
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.tiles import MOST_TILE_PX, MOST_TILE_TOKENS, MOST_TILES

NAME_BYTES = 128


def _at_least(other: str) -> AfterValidator:
    """A number that is not less than that of another key, if both are given."""

    def check(number: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get(other)
        if number is not None and least is not None and number < least:
            raise ValueError(f"it must not be less than {other}, {least}")
        return number

    return AfterValidator(check)


class Pictures(Section):
    """How many prompt tokens a picture costs. `oracle: none` switches the check off, for other model families."""

    oracle: Literal["internvl", "none"] = "none"
    tile_px: int = Field(default=448, gt=0, le=MOST_TILE_PX)
    tokens_per_tile: int = Field(default=256, gt=0, le=MOST_TILE_TOKENS)
    min_tiles: int = Field(default=1, gt=0, le=MOST_TILES)
    max_tiles: Annotated[int, Field(gt=0, le=MOST_TILES), _at_least("min_tiles")] = 12
    thumbnail: bool = True
    wrapper_tokens: int = 2


class Model(Section):
    """The served model: its id in requests, where its folder comes from, and what the folder must hold.

    generation_config.json must stop at `stop_token_ids`; that it lacks one of `more_stop_token_ids` is a note. The
    deployment fetches pictures from `media_domains` only; empty for no restriction. `prompt_start` is the text of every
    prompt before that of its first message, `template` that of a whole conversation.
    """

    id: str
    source: Literal["modelscope", "folder"] = "folder"
    path: str | None = None
    revision: str = "master"
    aliases: list[str] = []
    control: bool = False
    weights_bytes: float | None = None
    stop_token_ids: list[int] = []
    more_stop_token_ids: list[int] = []
    special_tokens: list[str] = []
    video: bool = False
    thinking: bool = False
    prompt_start: str | None = None
    template: Template | None = None
    max_model_len: int | None = None
    media_domains: list[str] = []
    max_pictures: int | None = Field(default=None, gt=0)
    pictures: Pictures = Pictures()

    @property
    def ends_of_answers(self) -> list[int]:
        """Every id that ends an answer, for requests that name them."""
        return [*self.stop_token_ids, *self.more_stop_token_ids]


class Offline(Section):
    """The offline `LLM`: its arguments, its sampling, and the time limit of the whole batch.

    `mode` is compared with its own log; without it the mode is reported only.
    """

    enabled: bool = True
    mode: Literal["eager", "graph"] | None = None
    llm: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    timeout_s: Seconds = 1800
    same_text: bool = False


class Device(Section):
    """The accelerator. `name` is a regular expression, `memory_mb` that of the whole card, `count` in logical cards."""

    kind: Literal["npu", "cpu", "none"] = "none"
    name: Pattern = ".*"
    count: int = Field(default=1, ge=1)
    memory_mb: int | None = None
    idle_floor_mb: int = 4096
    release_tolerance_mb: int = 512
    release_timeout_s: Seconds = 180


class Budget(Section):
    """Latency limits in seconds on medians of warm requests; without a limit nothing is judged."""

    ttft_s: Seconds | None = None
    tpot_s: Seconds | None = None
    e2e_s: Seconds | None = None


# the order of several pictures in one prompt; calibration treats it like a category
MULTI_PICTURE = "multi_picture"
# questions about whole conversations, and in long prompts of each length; calibration treats them like a category
CONVERSATIONS, LONG_PROMPTS = "conversations", "long_prompts"
# the latency of pictures of many tiles; budgets and reports treat it like a category
LARGE_PICTURES = "large_pictures"
# up to 13 tiles must be read before the first token, in place of one
LARGE_TTFT = 3


def _category(*more: str) -> AfterValidator:
    """The name of a capability category, or one of `more`."""
    allowed = (*CATEGORY_ORDER, *more)

    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError(f"{name!r} is not a category; there are: {', '.join(allowed)}.{nearest(name, allowed)}")
        return name

    return AfterValidator(check)


def _question() -> AfterValidator:
    """A `category/question`, MULTI_PICTURE, CONVERSATIONS, or `long_prompts-1024`."""

    def check(name: str) -> str:
        category, slash, question = name.partition("/")
        others = (MULTI_PICTURE, CONVERSATIONS, f"{LONG_PROMPTS}-1024")
        is_long = name.removeprefix(f"{LONG_PROMPTS}-").isdecimal()
        if name in others or is_long or (category in CATEGORY_ORDER and slash and question):
            return name
        close = nearest(category, [*CATEGORY_ORDER, *others])
        raise ValueError(f"{name!r} is not a category/question such as ocr/sign, or {' or '.join(others)}.{close}")

    return AfterValidator(check)


class Latency(Section):
    """`default` has the limits that `categories` does not set; `repeats` warm requests are judged.

    `categories.large_pictures` is for pictures of many tiles; by default its first token may take LARGE_TTFT times as
    long, and the whole answer as much longer.

    `recorded`: the budgets are known to be right for this deployment; until then, exceeding one makes a run
    inconclusive. `stream_tokens` is the length of the answer whose token flow is judged; it should take a second or
    two.
    """

    default: Budget = Budget()
    recorded: bool = False
    categories: dict[Annotated[str, _category(LARGE_PICTURES)], Budget] = {}
    repeats: int = Field(default=3, ge=1)
    stream_tokens: int = Field(default=128, ge=16)

    def budget(self, category: str) -> Budget:
        usual = self._many_tiles if category == LARGE_PICTURES else self.default
        own = self.categories.get(category)
        return usual.model_copy(update=own.model_dump(exclude_none=True)) if own else usual

    @property
    def _many_tiles(self) -> Budget:
        ttft_s, e2e_s = self.default.ttft_s, self.default.e2e_s
        if ttft_s is None:
            return self.default
        later_s = (LARGE_TTFT - 1) * ttft_s
        return self.default.model_copy(
            update={"ttft_s": ttft_s + later_s, "e2e_s": None if e2e_s is None else e2e_s + later_s}
        )


class Deadlines(Section):
    """Upper bounds in seconds; `cold_s` is for the first request of a kind, which may compile."""

    health_s: Seconds = 5
    request_s: Seconds = 60
    cold_s: Seconds = 600


class LongSimilarPictures(Section):
    """How prompts about similar pictures become longer than two blocks of the prefix cache: by a text after the
    picture, by more copies of the picture, or both. `question` is a `category/question`; default: the first one.
    """

    question: str | None = None
    copies: int = Field(default=1, ge=1)
    preamble: bool = True


class Capability(Section):
    """How the five categories are judged. The deployment must give every answer of the file `golden_answers` exactly.

    What `report_only` names (also `multi_picture`, `conversations`, `long_prompts`) fails only by fatal findings.
    `large_pictures`: every category is asked about pictures of many tiles, too.
    `recorded` are the right answers of the calibration by `category/question`: they lower the bar of a question.
    Until the profile is `calibrated`, what is only below a bar makes a run inconclusive.
    """

    min_correct: int = Field(default=6, ge=1, le=8)
    calibrated: bool = False
    recorded: dict[Annotated[str, _question()], Annotated[int, Field(ge=0, le=8)]] = {}
    report_only: list[Annotated[str, _category(MULTI_PICTURE, CONVERSATIONS, LONG_PROMPTS)]] = []
    routes: list[Literal["png", "jpeg", "url"]] = ["png", "jpeg", "url"]
    concurrency: int = Field(default=4, ge=1, le=64)
    blind_max: int | None = None
    golden_answers: str | None = None
    url_picture: str | None = None
    long_similar_pictures: LongSimilarPictures = LongSimilarPictures()
    large_pictures: bool = True


class Guide(Section):
    """One row of the deployment guide's own latency table."""

    category: str
    tokens: int
    seconds: float
    note: str = ""


class Reference(Section):
    """A published score, in percent unless `total` says otherwise, and the prompt protocol that measured it."""

    score: float
    correct: int | None = Field(default=None, ge=0)
    total: Annotated[int | None, Field(gt=0), _at_least("correct")] = None
    source: str = ""
    protocol: str = ""


class Measure(Section):
    """The expected value of a figure in the engine's log; judged if there is a `tolerance` (a share), else reported."""

    value: float
    tolerance: float | None = None


class Shape(Section):
    """Limits on the shape of the answers, as shares: of all answers, of those to choices (unresolved, top_letter), of
    those to open questions (open_a). A server that repeats one letter has 32.6 % of MMMU_val right.
    """

    unresolved: Share = 0.1
    empty: Share = 0.01
    truncated: Share = 0.05
    declined: Share = 0.05
    top_letter: Share = 0.6
    letters: int = Field(default=3, ge=1)
    open_a: Share = 0.1


class PictureAblation(Section):
    """Picture ablation: `sample` questions with blank pictures must have at least `margin` (a share) fewer right."""

    sample: int = Field(default=0, ge=0)
    margin: Share = 0.05


class Paired(Section):
    """Comparison with a stored run: one-sided McNemar rejects below `alpha`. With `require_margin` a loss of `margin`
    (a share) must be ruled out, else this is only reported.
    """

    alpha: Share = 0.01
    margin: Share = 0.02
    require_margin: bool = False


# a selftest compares these with accuracy/mmmu
ProtocolName = Literal["vlmevalkit", "vlmevalkit-20240708", "vlmevalkit-20240718", "internvl", "official"]
ScorerName = Literal["vlmevalkit_2024_07", "vlmevalkit_head", "official_strict", "official_seed42", "internvl"]


class Mmmu(Section):
    """The accuracy run. `llm` adds arguments of the offline engine, for `engine: offline`.

    Without `min_correct` and `max_correct` the limits come from the profile's reference: the exact binomial bounds at
    `alpha` below and `ceiling_alpha` above. The run is inconclusive if more than the share `retried` of the questions
    were sent twice. Without `scorer` and `reference` those of the protocol are used.
    """

    dataset: str = "MMMU_val"
    data: str | None = None
    protocol: ProtocolName = "vlmevalkit"
    scorer: ScorerName | None = None
    engine: Literal["server", "offline"] = "server"
    llm: dict[str, Any] = {}
    offline_timeout_s: Seconds = 14400
    system_message: bool = True
    max_tokens: int | None = Field(default=None, gt=0)
    concurrency: int = Field(default=16, ge=1, le=64)
    deadline_s: Seconds = 600
    reference: str | None = None
    alpha: Share = 0.05
    ceiling_alpha: Share = 0.001
    min_correct: int | None = Field(default=None, ge=0)
    max_correct: Annotated[int | None, Field(ge=0), _at_least("min_correct")] = None
    retried: Share = 0.01
    early_stop: bool = True
    early_stop_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    shape: Shape = Shape()
    sighted: PictureAblation = PictureAblation()
    paired: Paired = Paired()
    known_answers: str | None = None
    known_scores: dict[ScorerName, int] = {}

    @property
    def stops_early(self) -> bool:
        """Whether the run may be rejected early. Not with official_seed42, whose guesses depend on all answers."""
        return self.early_stop and self.scorer != "official_seed42"

    def reference_among(self, references: Mapping[str, Reference]) -> tuple[str, Reference | None]:
        """Name and value of the reference: the given one, else that of the protocol, else MMMU_val."""
        own = f"MMMU_val_{self.protocol}"
        name = self.reference or (own if own in references else "MMMU_val")
        return name, references.get(name)

    def require_limits(self, references: Mapping[str, Reference]) -> None:
        """UsageProblem when neither the section nor a reference with counts sets the limits."""
        name, reference = self.reference_among(references)
        is_counted = reference is not None and reference.correct is not None and reference.total is not None
        if not is_counted and (self.min_correct is None or self.max_correct is None):
            raise UsageProblem(
                f"mmmu.reference: {name!r} names no reference with correct and total, and mmmu.min_correct and "
                f"mmmu.max_correct are not both given.{nearest(name, references)}"
            )


def _as_folder(name: str) -> str:
    """A name that is part of the names of folders, which have at most 255 bytes."""
    if len(name.encode()) > NAME_BYTES:
        raise ValueError(f"it has more than {NAME_BYTES} bytes")
    return name


class Profile(Section):
    """One deployment: the model, how it is started, what it must reach."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$"), AfterValidator(_as_folder)]
    description: str = ""
    model: Model
    engine: Engine = Engine()
    offline: Offline = Offline()
    device: Device = Device()
    versions: dict[str, Text] = {}
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
    metrics: list[str] = []
    model_memory_gib: Measure | None = None
    weight_load_s: Measure | None = None
    references: dict[str, Reference] = {}
    guide: list[Guide] = []
    mmmu: Mmmu | None = None
    logprobs: LogProbLimits = LogProbLimits()

    def check(self, launched: bool) -> None:
        """UsageProblem when a file of the profile does not exist, or its accuracy run has no limits or no engine."""
        self.engine.check(self.model.id, self.model.source, self.model.path)
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
            self.mmmu.require_limits(self.references)
