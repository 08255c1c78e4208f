"""Which tests a run requires, by marker, profile and mode; tests that it cannot run are listed as not applicable."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from vlm_acceptance.cases.large_pictures import most_tokens
from vlm_acceptance.config.client_sections import Route
from vlm_acceptance.config.engine_args import has_copies, schedules_by_priority, stated_slots
from vlm_acceptance.config.profile import Mmmu, Pictures, Profile
from vlm_acceptance.core.tiles import TileRule
from vlm_acceptance.workloads.dialogues import lengths
from vlm_acceptance.workloads.scheduling import MOST_SLOTS

AREAS = (
    "environment", "accuracy_data", "health", "schema", "conversation", "parameters", "structured_output", "scheduling",
    "tools", "reasoning", "routes", "long_prompts", "capability", "pictures", "large_pictures", "uploads", "challenge",
    "edge_inputs", "latency", "offline", "load", "leaving", "capacity", "repeatability", "logprobs", "mmmu",
    "refused_pictures", "release",
)  # fmt: skip
RUNNING, REQUESTS = "vllm:num_requests_running", "vllm:request_success"
CACHES = {"vllm:prefix_cache_hits", "vllm:mm_cache_hits"}
BEYOND_V1 = ("server_paths", "running_metric", "cache_metrics", "request_metric", "route_tokenize")
NO_KEY = "the run has no API key (--vlm-api-key-env)"
NO_OPENAI = "the openai package is not installed"
ONLY_V1 = "the endpoint offers only /v1 (endpoint.only_v1)"
NO_LIMITS = (
    "MMMU has no limits: the profile has no reference with correct and total (references), and not both "
    "mmmu.min_correct and mmmu.max_correct"
)
# tokens of a question and its answer, with room to spare
BESIDE_A_PICTURE = 512
PLAIN_MARKS = ("", "smoke", "slow", "smoke or slow", "slow or smoke")


def area_of(test: Path | str) -> str:
    """The area of an acceptance module, or of a test given by its node id: the module's name without `test_`."""
    return Path(str(test).partition("::")[0]).stem.removeprefix("test_")


def rank(area: str) -> int:
    """Areas run in the order of AREAS; others before the release, which is last."""
    return AREAS.index(area) if area in AREAS else len(AREAS) - 2


def missing_features(
    profile: Profile,
    *,
    launched: bool,
    has_baseline: bool = False,
    has_logprobs: bool = False,
    has_reference: bool = False,
    records_logprobs: bool = False,
    has_key: bool = False,
) -> Mapping[str, str]:
    """Feature -> why this run does not have it. A test that needs a missing feature is not applicable."""
    model, wanted, mmmu = profile.model, profile.capability, profile.mmmu or Mmmu()
    asks_mmmu, device = profile.mmmu is not None, profile.device.kind
    rows = (
        ("launched", launched, "the endpoint is attached: the suite does not start, read or stop its engine"),
        ("offline", launched, "the endpoint is attached: no offline engine"),
        ("npu", launched, "the endpoint is attached: its device cannot be read from here"),
        ("npu", device == "npu", f"the profile's device is {device}"),
        ("offline", profile.offline.enabled, "the profile switches the offline engine off (offline.enabled)"),
        ("oracle", model.pictures.oracle != "none", "the profile has no tile oracle (model.pictures.oracle)"),
        ("large_pictures", not (why := no_large_pictures(profile, _stated_rule(model.pictures))), why),
        *_challenge(profile),
        *_offered(profile, launched),
        ("golden_answers", wanted.golden_answers, "the profile has no golden answers (capability.golden_answers)"),
        ("url_picture", wanted.url_picture, "the profile names no public picture (capability.url_picture)"),
        ("max_model_len", model.max_model_len is not None, "the profile has no context length (model.max_model_len)"),
        ("max_pictures", model.max_pictures is not None, "the profile has no limit of pictures (model.max_pictures)"),
        ("media_domains", model.media_domains, "the profile restricts no addresses (model.media_domains)"),
        *_videos(model.video),
        ("api_key", has_key, NO_KEY),
        *_load(profile),
        ("versions", profile.versions, "the profile expects no versions (versions)"),
        ("openai", importlib.util.find_spec("openai") is not None, NO_OPENAI),
        ("running_metric", RUNNING in profile.metrics, f"the profile expects no {RUNNING} (metrics)"),
        ("cache_metrics", set(profile.metrics) >= CACHES, "the profile expects no counters of both caches (metrics)"),
        ("mmmu", asks_mmmu, "the profile asks for no MMMU run (mmmu)"),
        ("mmmu", not mmmu.no_limits(profile.references), NO_LIMITS),
        ("mmmu", not (why := _no_prompts(mmmu, model.pictures)), why),
        ("mmmu_early_stop", asks_mmmu and mmmu.stops_early, "MMMU does not stop early (mmmu.early_stop, mmmu.scorer)"),
        ("mmmu_sighted", mmmu.sighted.sample, "the profile asks for no picture ablation (mmmu.sighted.sample)"),
        ("mmmu_baseline", has_baseline, "no stored run to compare with was given (--vlm-baseline)"),
        ("mmmu_known", mmmu.known_answers, "the profile has no known answers to MMMU (mmmu.known_answers)"),
        ("logprobs_baseline", has_logprobs, "no stored log probabilities (logprobs.baseline, --vlm-baseline)"),
        ("reference", has_reference, "no reference that was computed from the model's files (--vlm-baseline)"),
        ("logprobs_recording", records_logprobs, "nothing is recorded (--vlm-record-baseline=FILE.jsonl)"),
    )
    # reversed: of several reasons the first one is given
    return {feature: reason for feature, is_there, reason in reversed(rows) if not is_there}


def _videos(takes: bool | None) -> tuple[tuple[str, object, str], ...]:
    """What the tests of videos need; with a model of which nobody says it, neither an answer nor a refusal is wrong."""
    unsaid = "the profile does not say whether the model takes videos (model.video)"
    return (
        ("no_video", takes is not None, unsaid),
        ("no_video", not takes, "the model takes videos (model.video)"),
        ("video", takes is not None, unsaid),
        ("video", takes, "the model takes no videos (model.video)"),
    )


def _no_prompts(mmmu: Mmmu, pictures: Pictures) -> str:
    """Why the prompts of the protocol are not those of this model; '' when they are."""
    if mmmu.protocol != "internvl" or pictures.oracle == "internvl":
        return ""
    return "mmmu.protocol: 'internvl' limits the tiles of InternVL, which the profile does not declare (model.pictures)"


def _load(profile: Profile) -> tuple[tuple[str, object, str], ...]:
    """What the tests of many requests need."""
    wanted, budgets, paced = profile.ladder, profile.load.budgets, profile.endpoint.requests_per_s
    return (
        ("load_budgets", budgets.bounds_figures, "the profile bounds no figure of the soak (load.budgets)"),
        ("ladder", not paced, "the endpoint takes only so many requests a second (endpoint.requests_per_s)"),
        ("ladder", wanted.lengths and wanted.prompts, "the profile asks for no ladder of load (ladder)"),
        ("capacity_baseline", wanted.baseline, "no capacity is recorded (ladder.baseline)"),
        ("preemption", profile.load.preemption, "the profile has no cache that is too small (load.preemption)"),
    )


def _challenge(profile: Profile) -> tuple[tuple[str, object, str], ...]:
    """What the requests need that no earlier run can have sent."""
    wanted = profile.challenge
    longer = lengths(wanted.long_prompts, profile.model.max_model_len)[1:]
    return (
        ("new_pictures", wanted.pictures, "the profile asks for no new pictures (challenge.pictures)"),
        (
            "conversations",
            wanted.conversations,
            "the profile asks for no answers from whole conversations (challenge.conversations)",
        ),
        ("long_prompts", wanted.long_prompts, "the profile asks for no long prompts (challenge.long_prompts)"),
        ("longer_prompts", longer, "no second length of long prompts (challenge.long_prompts, model.max_model_len)"),
        ("new_texts", wanted.texts, "the profile asks for no new texts (challenge.texts)"),
        ("request_metric", REQUESTS in profile.metrics, f"the profile expects no {REQUESTS} (metrics)"),
    )


def _offered(profile: Profile, launched: bool) -> list[tuple[str, bool, str]]:
    """What the endpoint offers beside plain chat."""
    api, is_whole = profile.api, launched or not profile.endpoint.only_v1
    beyond_v1 = [(name, is_whole, ONLY_V1) for name in BEYOND_V1]
    offered = "the profile offers no structured output (api.structured_output)"
    unwanted = "the profile does not want this route (api.routes: {})"
    routes = [(f"route_{name}", name in api.routes, unwanted.format(name)) for name in get_args(Route)]
    taken = [(f"parameter {name}", False, f"the endpoint does not take {name} (api.without)") for name in api.without]
    not_offered = "the profile offers structured output (api.structured_output)"
    structured = [("structured_output", api.structured_output, offered)]
    structured.append(("no_structured_output", not api.structured_output, not_offered))
    tools = [("tools", api.tools, "the profile declares no parser of tool calls (api.tools)")]
    tools.append(("no_tools", not api.tools, "the profile declares a parser of tool calls (api.tools)"))
    tools.append(
        ("call_text", bool(api.call_text), "the profile does not say how the model writes a call (api.call_text)")
    )
    reasoning = [("reasoning", api.reasoning, "the profile declares no parser of reasoning (api.reasoning)")]
    return [*structured, *tools, *reasoning, *_priority(profile), *beyond_v1, *routes, *taken]


def _priority(profile: Profile) -> list[tuple[str, bool, str]]:
    """Whether the engine schedules by priority, with so many slots that a test knows of."""
    is_so, args = schedules_by_priority(profile.engine.args), profile.engine.args
    slots, copies = stated_slots(args), "several copies of the model share the requests (--data-parallel-size)"
    unstated = "the profile does not state how many requests run at once (engine.args: --max-num-seqs)"
    return [
        ("priority", slots is not None, unstated),
        ("priority", slots is None or slots <= MOST_SLOTS, f"the suite fills at most {MOST_SLOTS} slots"),
        ("priority", not has_copies(args), copies),
        ("priority", is_so, "the engine does not schedule by priority (engine.args: --scheduling-policy)"),
        ("no_priority", not is_so, "the engine schedules by priority (engine.args: --scheduling-policy)"),
    ]


def no_large_pictures(profile: Profile, rule: TileRule | None) -> str:
    """Why pictures of many tiles, cut by this rule, cannot be sent; '' when they can."""
    largest, room = most_tokens(rule), profile.model.max_model_len
    if not profile.capability.large_pictures:
        return "the profile switches pictures of many tiles off (capability.large_pictures)"
    if not largest:
        return "the model cuts no picture into 6 tiles (model.pictures)"
    if room is not None and largest + BESIDE_A_PICTURE > room:
        return f"a picture of many tiles is {largest} tokens, too many for model.max_model_len: {room}"
    return ""


def _stated_rule(stated: Pictures) -> TileRule | None:
    """The tile rule by the profile alone; None without an oracle."""
    return None if stated.oracle == "none" else TileRule(**stated.model_dump(exclude={"oracle"}))


def narrowing(markexpr: str, keyword: str, args_are_whole: bool, lost: int, options: Mapping[str, bool]) -> str:
    """How a run was narrowed, in words; '' when it was not. `lost` is the number of required tests left out."""
    ways = []
    if markexpr not in PLAIN_MARKS:
        ways.append(f"-m {markexpr!r}")
    if keyword and lost:
        ways.append(f"-k {keyword!r}")
    if not args_are_whole:
        ways.append("only some tests were named")
    ways.extend(name for name, used in options.items() if used)
    if lost and not ways:
        ways.append(f"{lost} required tests were deselected")
    return ", ".join(ways)
