"""Which tests a run requires: by marker, profile and mode. What a mode cannot run is not applicable, and listed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from vlm_acceptance.config.profile import Mmmu, Profile

AREAS = (
    "environment", "accuracy_data", "health", "schema", "capability", "pictures", "edge_inputs", "latency", "offline",
    "load", "repeatability", "logprobs", "mmmu", "release",
)  # fmt: skip
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
    has_numbers: bool = False,
    records_numbers: bool = False,
    has_key: bool = False,
) -> Mapping[str, str]:
    """Feature -> why this run does not have it. A test that needs one of these is not applicable."""
    missing: dict[str, str] = {}
    if not launched:
        missing["launched"] = "the endpoint is attached: its engine is not ours to start, read or stop"
        missing["offline"] = "the endpoint is attached: no offline engine"
        missing["npu"] = "the endpoint is attached: its device is not seen from here"
    elif profile.device.kind != "npu":
        missing["npu"] = f"the profile's device is {profile.device.kind}"
    absent = {
        "offline": (not profile.offline.enabled, "the profile switches the offline engine off (offline.enabled)"),
        "oracle": (profile.model.pictures.oracle == "none", "the profile has no tile oracle (model.pictures.oracle)"),
        "known_answers": (not profile.capability.golden_answers, "the profile has no known answers"),
        "url_picture": (not profile.capability.url_picture, "the profile names no public picture"),
        "max_model_len": (profile.model.max_model_len is None, "the profile tells no context length"),
        "max_pictures": (
            profile.model.max_pictures is None,
            "the profile tells no limit of pictures (model.max_pictures)",
        ),
        "media_domains": (not profile.model.media_domains, "the profile restricts no addresses (model.media_domains)"),
        "no_video": (profile.model.video, "the model takes videos (model.video)"),
        "video": (not profile.model.video, "the model takes no videos (model.video)"),
        "api_key": (not has_key, "the run has no API key (--vlm-api-key-env)"),
        "load_budgets": (
            not profile.load.budgets.bounds_figures,
            "the profile bounds no figure of the soak (load.budgets)",
        ),
        "versions": (not profile.versions, "the profile expects no versions"),
        "openai": (importlib.util.find_spec("openai") is None, "the openai package is not installed"),
    }
    absent |= _metrics(profile) | _mmmu(profile, has_baseline)
    absent |= {
        "numbers_baseline": (not has_numbers, "no stored numbers to compare with (logprobs.baseline, --vlm-baseline)"),
        "numbers_recording": (not records_numbers, "no numbers are to be recorded (--vlm-record-baseline=FILE.jsonl)"),
    }
    for feature, (is_absent, reason) in absent.items():
        if is_absent:
            missing.setdefault(feature, reason)
    return missing


def _metrics(profile: Profile) -> dict[str, tuple[bool, str]]:
    return {
        "running_metric": (
            "vllm:num_requests_running" not in profile.metrics,
            "the profile expects no vllm:num_requests_running (metrics)",
        ),
        "cache_metrics": (
            not {"vllm:prefix_cache_hits", "vllm:mm_cache_hits"} <= set(profile.metrics),
            "the profile expects no counters of both caches (metrics)",
        ),
    }


def _mmmu(profile: Profile, has_baseline: bool) -> dict[str, tuple[bool, str]]:
    wanted = profile.mmmu or Mmmu()
    return {
        "mmmu": (profile.mmmu is None, "the profile asks for no MMMU run (mmmu)"),
        "mmmu_early_stop": (
            profile.mmmu is None or not wanted.stops_early,
            "the accuracy run does not stop early (mmmu.early_stop, mmmu.scorer)",
        ),
        "mmmu_sighted": (wanted.sighted.sample == 0, "the profile asks for no sighted test (mmmu.sighted.sample)"),
        "mmmu_baseline": (not has_baseline, "no stored run to compare with was given (--vlm-baseline)"),
        "mmmu_known": (wanted.known_answers is None, "the profile has no known answers to MMMU"),
    }


def narrowing(markexpr: str, keyword: str, args_are_whole: bool, lost: int, options: Mapping[str, bool]) -> str:
    """How a run was narrowed below its plan, in words; '' when it was not. `lost` counts required tests left out."""
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
