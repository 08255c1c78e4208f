"""Which tests a run requires, and what counts as narrowing it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.run.requirements import AREAS, area_of, missing_features, narrowing, rank

ACCEPTANCE = Path(__file__).resolve().parents[2] / "acceptance"
RUNNING, CACHES = ["vllm:num_requests_running"], ["vllm:prefix_cache_hits", "vllm:mm_cache_hits"]
REQUESTS = ["vllm:request_success"]
ROUTES = ["completions", "responses", "tokenize", "models"]
API = {"routes": ROUTES, "tools": True, "reasoning": True, "call_text": "{name} {arguments}"}
FULL = {
    "name": "full",
    "engine": {"args": ["--scheduling-policy", "priority", "--max-num-seqs", "4"]},
    "model": {
        "id": "m",
        "max_model_len": 4096,
        "max_pictures": 4,
        "media_domains": ["media.example"],
        "video": False,
        "pictures": {"oracle": "internvl"},
    },
    "references": {"MMMU_val": {"score": 30, "correct": 3, "total": 10}},
    "device": {"kind": "npu"},
    "versions": {"vllm": "0.18.0"},
    "metrics": [*RUNNING, *CACHES, *REQUESTS],
    "capability": {"golden_answers": "x.jsonl", "url_picture": "http://h/p.png"},
    "load": {"budgets": {"itl_s": {"p99": 1}}, "preemption": True},
    "ladder": {"baseline": {"text-512": {"concurrency": 4, "e2e_s": 1, "e2e_high_s": 1.1}}},
    "api": API,
    "mmmu": {"sighted": {"sample": 1}, "known_answers": "y.jsonl"},
}

# what a full profile does not have either
NEVER = {"openai", "video", "no_structured_output", "no_tools", "no_priority"}


OPTIONS = ("has_baseline", "has_logprobs", "has_reference", "records_logprobs", "has_key")


def missing(launched: bool = True, **changes: Any) -> set[str]:
    given = {name: changes.pop(name, True) for name in OPTIONS}
    profile = Profile.model_validate({**FULL, **changes})
    return set(missing_features(profile, launched=launched, **given)) - NEVER


def test_a_full_profile_launched_misses_nothing() -> None:
    assert missing() == set()


def test_an_attached_endpoint_has_no_engine_of_ours() -> None:
    assert missing(launched=False) == {"launched", "offline", "npu"}


@pytest.mark.parametrize(
    ("changes", "feature"),
    [
        ({"device": {"kind": "cpu"}}, "npu"),
        ({"offline": {"enabled": False}}, "offline"),
        ({"engine": {"args": ["--scheduling-policy=priority"]}}, "priority"),
        ({"engine": {"args": ["--max-num-seqs=4"]}}, "priority"),
        ({"engine": {"args": ["--scheduling-policy=priority", "--max-num-seqs=510"]}}, "priority"),
        ({"engine": {"args": ["--scheduling-policy=priority", "--max-num-seqs=4", "-dp", "2"]}}, "priority"),
        ({"versions": {}}, "versions"),
        ({"metrics": [*CACHES, *REQUESTS]}, "running_metric"),
        ({"metrics": [*RUNNING, *CACHES]}, "request_metric"),
        ({"challenge": {"pictures": False}}, "new_pictures"),
        ({"challenge": {"texts": False}}, "new_texts"),
        ({"capability": {**FULL["capability"], "large_pictures": False}}, "large_pictures"),  # type: ignore[dict-item]
        ({"model": {**FULL["model"], "pictures": {"oracle": "internvl", "max_tiles": 4}}}, "large_pictures"),  # type: ignore[dict-item]
        ({"model": {**FULL["model"], "max_model_len": 3500}}, "large_pictures"),  # type: ignore[dict-item]
        ({"load": {"preemption": True}}, "load_budgets"),
        ({"load": {"budgets": {"errors": 0.01}, "preemption": True}}, "load_budgets"),
        ({"load": {**FULL["load"], "preemption": False}}, "preemption"),  # type: ignore[dict-item]
        ({"ladder": {**FULL["ladder"], "lengths": []}}, "ladder"),  # type: ignore[dict-item]
        ({"endpoint": {"requests_per_s": 5}}, "ladder"),
        ({"ladder": {}}, "capacity_baseline"),
        ({"metrics": [*RUNNING, CACHES[0], *REQUESTS]}, "cache_metrics"),
        ({"model": {**FULL["model"], "pictures": {"oracle": "none"}}}, "oracle"),  # type: ignore[dict-item]
        ({"model": {**FULL["model"], "max_model_len": None}}, "max_model_len"),  # type: ignore[dict-item]
        ({"model": {**FULL["model"], "max_pictures": None}}, "max_pictures"),  # type: ignore[dict-item]
        ({"capability": {"url_picture": "http://h/p.png"}}, "golden_answers"),
        ({"capability": {"golden_answers": "x.jsonl"}}, "url_picture"),
        ({"model": {**FULL["model"], "media_domains": []}}, "media_domains"),  # type: ignore[dict-item]
        ({"model": {**FULL["model"], "video": True}}, "no_video"),  # type: ignore[dict-item]
        ({"mmmu": {"known_answers": "y.jsonl"}}, "mmmu_sighted"),
        ({"mmmu": {"sighted": {"sample": 1}}}, "mmmu_known"),
        ({"has_baseline": False}, "mmmu_baseline"),
        ({"has_logprobs": False}, "logprobs_baseline"),
        ({"records_logprobs": False}, "logprobs_recording"),
        ({"has_key": False}, "api_key"),
        ({"api": {**API, "structured_output": False}}, "structured_output"),
        ({"api": {**API, "tools": False}}, "tools"),
        ({"api": {**API, "reasoning": False}}, "reasoning"),
        ({"api": {**API, "call_text": None}}, "call_text"),
        *(({"api": {**API, "routes": [one for one in ROUTES if one != name]}}, f"route_{name}") for name in ROUTES),
    ],
)
def test_what_a_profile_does_not_have_is_not_required(changes: dict[str, Any], feature: str) -> None:
    assert missing(**changes) == {feature}


@pytest.mark.parametrize("budgets", [{"goodput": 0.9}, {"requests_per_s": 1}, {"e2e_s": {"p50": 1}}])
def test_one_bound_is_a_budget(budgets: dict[str, Any]) -> None:
    assert missing(load={"budgets": budgets, "preemption": True}) == set()


@pytest.mark.parametrize(("takes", "feature"), [(True, "no_video"), (False, "video")])
def test_a_model_takes_videos_or_must_refuse_them(takes: bool, feature: str) -> None:
    profile = Profile.model_validate({**FULL, "model": {**FULL["model"], "video": takes}})  # type: ignore[dict-item]
    assert {"no_video", "video"} & missing_features(profile, launched=True).keys() == {feature}


def test_a_model_of_which_nobody_says_whether_it_takes_videos_is_sent_none() -> None:
    profile = Profile.model_validate({**FULL, "model": {"id": "m"}})
    seen = missing_features(profile, launched=True)
    assert "does not say whether the model takes videos" in seen["video"]
    assert seen["video"] == seen["no_video"]


def test_mmmu_without_limits_is_not_run_and_never_stops_another_test() -> None:
    profile = Profile.model_validate({"name": "x", "model": {"id": "m"}, "mmmu": {}})
    profile.check(launched=True)
    assert "MMMU has no limits" in missing_features(profile, launched=True)["mmmu"]
    own = Profile.model_validate({"name": "x", "model": {"id": "m"}, "mmmu": {"min_correct": 1, "max_correct": 9}})
    assert "mmmu" not in missing_features(own, launched=True)


def test_prompts_that_limit_internvls_tiles_are_for_internvl() -> None:
    changed: dict[str, Any] = {**FULL, "mmmu": {"protocol": "internvl"}}
    assert "mmmu" not in missing_features(Profile.model_validate(changed), launched=True)
    changed["model"] = {"id": "m", "pictures": {"oracle": "none"}}
    assert "limits the tiles of InternVL" in missing_features(Profile.model_validate(changed), launched=True)["mmmu"]


def test_a_profile_without_the_section_asks_for_nothing_of_mmmu() -> None:
    assert missing(mmmu=None) == {"mmmu", "mmmu_early_stop", "mmmu_sighted", "mmmu_known"}


def test_a_run_that_does_not_stop_early_is_not_judged_for_it() -> None:
    sound = {"sighted": {"sample": 1}, "known_answers": "y.jsonl"}
    assert missing(mmmu={**sound, "early_stop": False}) == {"mmmu_early_stop"}
    assert missing(mmmu={**sound, "scorer": "official_seed42"}) == {"mmmu_early_stop"}
    assert missing(mmmu=sound) == set()


def test_the_reason_of_the_mode_comes_before_that_of_the_profile() -> None:
    profile = Profile.model_validate({**FULL, "offline": {"enabled": False}})
    assert "attached" in missing_features(profile, launched=False)["offline"]


def test_every_need_an_acceptance_test_names_is_known() -> None:
    texts = [path.read_text("utf-8") for path in ACCEPTANCE.glob("*.py")]
    named = {word for text in texts for call in re.findall(r"mark\.needs\(([^)]*)\)", text) for word in call.split(",")}
    off: dict[str, Any] = {"offline": {"enabled": False}, "capability": {"large_pictures": False}}
    off["ladder"] = {"lengths": []}
    off["challenge"] = {"pictures": False, "texts": False, "conversations": False, "long_prompts": []}
    off["api"] = {
        "structured_output": False,
        "routes": [],
        "without": ["logprobs", "top_logprobs", "prompt_logprobs", "cache_salt", "priority"],
    }
    off["endpoint"] = {"only_v1": True}
    bare = Profile.model_validate({"name": "x", "model": {"id": "m"}, **off})
    never = {"openai", "no_video", "no_structured_output", "no_tools", "no_priority"}
    known = set(missing_features(bare, launched=False)) | never
    # names that are made from those of parameters are known where the profile is without these
    assert {word.strip(" \"'") for word in named if not word.startswith("*")} <= known


def test_behind_a_gateway_that_passes_v1_alone_the_other_paths_are_not_asked() -> None:
    hidden = Profile.model_validate({"name": "x", "model": {"id": "m"}, "endpoint": {"only_v1": True}})
    assert missing_features(hidden, launched=False)["server_paths"].startswith("the endpoint offers only /v1")
    assert "server_paths" not in missing_features(hidden, launched=True)


def test_areas_run_in_order_and_the_release_is_last() -> None:
    ranks = [rank(area) for area in AREAS]
    assert ranks == sorted(ranks)
    assert rank("load") < rank("release")
    assert area_of(Path("tests/acceptance/test_release.py")) == AREAS[-1]
    assert rank("environment") < rank("accuracy_data") < rank("health")
    assert rank("latency") < rank("mmmu") < rank("release")


def test_every_acceptance_module_is_an_area_or_runs_before_the_release() -> None:
    for path in ACCEPTANCE.glob("test_*.py"):
        assert area_of(path) == "release" or rank(area_of(path)) < rank("release")


@pytest.mark.parametrize("marks", ["", "smoke", "slow", "smoke or slow"])
def test_a_plain_run_is_not_narrowed(marks: str) -> None:
    assert narrowing(marks, "", True, 0, {"--lf": False}) == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("smoke and not slow", "", True, 3, {}), "-m 'smoke and not slow'"),
        (("smoke", "health", True, 3, {}), "-k 'health'"),
        (("smoke", "", False, 0, {}), "only some tests were named"),
        (("smoke", "", True, 0, {"--lf": True}), "--lf"),
        (("smoke", "", True, 2, {}), "2 required tests were deselected"),
    ],
)
def test_each_way_to_narrow_a_run_is_named(given: tuple[str, str, bool, int, dict[str, bool]], words: str) -> None:
    assert narrowing(*given) == words


def test_a_keyword_that_leaves_nothing_out_does_not_narrow() -> None:
    assert narrowing("smoke", "test", True, 0, {}) == ""


def test_a_parameter_that_the_endpoint_does_not_take_is_not_required() -> None:
    assert missing(api={**API, "without": ["top_k"]}) == {"parameter top_k"}
