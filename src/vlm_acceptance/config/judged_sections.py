"""A profile's sections about what the deployment must reach: latencies, deadlines, right answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vlm_acceptance.config.profile_sections import Seconds
from vlm_acceptance.config.yaml_file import Section
from vlm_acceptance.core.capability import CATEGORY_ORDER
from vlm_acceptance.core.errors import nearest

# the order of several pictures in one prompt; calibration treats it like a category
MULTI_PICTURE = "multi_picture"
# questions about whole conversations, and in long prompts of each length; calibration treats them like a category
CONVERSATIONS, LONG_PROMPTS = "conversations", "long_prompts"
# the latency of pictures of many tiles; budgets and reports treat it like a category
LARGE_PICTURES = "large_pictures"
# up to 13 tiles must be read before the first token, in place of one
LARGE_TTFT = 3


class Budget(Section):
    """Latency limits in seconds on medians of warm requests; without a limit nothing is judged."""

    ttft_s: Seconds | None = Field(default=None, description="limit of the time to the first token", examples=[2.0])
    tpot_s: Seconds | None = Field(default=None, description="limit of the time of each further token", examples=[0.08])
    e2e_s: Seconds | None = Field(default=None, description="limit of the whole answer", examples=[22.5])


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
    """Latency budgets, and how they are measured."""

    default: Budget = Budget()
    recorded: bool = Field(
        default=False,
        description="the budgets are known to be right for this deployment; until then, a median above its budget "
        "makes a run inconclusive",
    )
    categories: dict[Annotated[str, _category(LARGE_PICTURES)], Budget] = Field(
        default={},
        description="budgets that replace the default ones. Of `large_pictures` (pictures of many tiles) the first "
        "token may by default take three times as long, and the whole answer as much longer",
        examples=[{"ocr": {"ttft_s": 0.3}}],
    )
    repeats: int = Field(default=3, ge=1, description="number of warm requests that are judged")
    stream_tokens: int = Field(
        default=128,
        ge=16,
        description="length of the answer whose token flow is judged; it should take a second or two",
    )

    def budget(self, category: str) -> Budget:
        usual = self._many_tiles if category == LARGE_PICTURES else self.default
        own = self.categories.get(category)
        return usual.model_copy(update=own.model_dump(exclude_none=True)) if own else usual

    @property
    def has_budgets(self) -> bool:
        """Whether any latency has a limit."""
        return any(budget != Budget() for budget in (self.default, *self.categories.values()))

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
    """Upper bounds of requests."""

    health_s: Seconds = Field(default=5, description="time limit of a request to `/health`")
    request_s: Seconds = Field(default=60, description="time limit of a request")
    cold_s: Seconds = Field(default=600, description="time limit of the first request of a kind, which may compile")


class LongSimilarPictures(Section):
    """How prompts about similar pictures become longer than two blocks of the prefix cache."""

    question: str | None = Field(
        default=None, description="the `category/question`; without it the first one", examples=["understanding/plum"]
    )
    copies: int = Field(default=1, ge=1, description="copies of the picture")
    preamble: bool = Field(default=True, description="a text follows the picture")


class Capability(Section):
    """How the five categories are judged: [Calibration](#calibration)."""

    min_correct: int = Field(default=6, ge=1, le=8, description="right answers of eight that a category needs")
    calibrated: bool = Field(
        default=False,
        description="a run of a deployment known to be right was recorded; until then, too few right answers make a "
        "run inconclusive",
    )
    recorded: dict[Annotated[str, _question()], Annotated[int, Field(ge=0, le=8)]] = Field(
        default={},
        description="the right answers of that run by `category/question` (`-large`: with pictures of many tiles; "
        "`-offline`: offline answers like the served ones; and `multi_picture`, `conversations`, `long_prompts-1024` "
        "for each length); fewer than the bar needs lower the bar",
        examples=[{"ocr/sign": 7}],
    )
    report_only: list[Annotated[str, _category(MULTI_PICTURE, CONVERSATIONS, LONG_PROMPTS)]] = Field(
        default=[],
        description="categories, `multi_picture` (the order of several pictures), `conversations` or `long_prompts`, "
        "that fail only by fatal findings",
        examples=[["multi_picture"]],
    )
    routes: list[Literal["png", "jpeg", "url"]] = Field(
        default=["png", "jpeg", "url"], description="how pictures are sent"
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="requests in flight")
    blind_max: int | None = Field(
        default=None, description="planted answers that are allowed without the picture", examples=[0]
    )
    golden_answers: str | None = Field(
        default=None,
        description="file of exact answers that the deployment must give",
        examples=["fixtures/control/expected.jsonl"],
    )
    url_picture: str | None = Field(
        default=None,
        description="a public picture for the request of the deployment guide",
        examples=["https://example.com/picture.png"],
    )
    long_similar_pictures: LongSimilarPictures = LongSimilarPictures()
    large_pictures: bool = Field(
        default=True, description="`false`: the deployment is not asked about pictures of 6 to 12 tiles"
    )
