"""Profile files: inheritance, overrides, sources, former names, and one line for every problem."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml

from vlm_acceptance.accuracy.mmmu.protocols import PROTOCOLS
from vlm_acceptance.accuracy.mmmu.scorers import SCORERS
from vlm_acceptance.config.client_sections import Api
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile import Budget, Capability, Latency, Profile, ProtocolName, ScorerName
from vlm_acceptance.config.profile_file import FORMER_KEYS, Loaded, find_profile, load_profile, profile_names, shown
from vlm_acceptance.config.profile_sections import LogProbLimits
from vlm_acceptance.core.errors import UsageProblem

BASE = """
name: base
model: {id: org/m, special_tokens: ["<a>"]}
engine: {port: 8000, env: {A: True, B: 8, C: x}, args: [--max-model-len, 4096]}
latency: {default: {ttft_s: 1}, categories: {ocr: {e2e_s: 2}}}
"""


def load(tmp_path: Path, name: str, *overrides: tuple[str, str, str], **files: str) -> Loaded:
    for stem, text in {"base": BASE, **files}.items():
        (tmp_path / f"{stem}.yaml").write_text(text, "utf-8")
    return load_profile(name, tmp_path, overrides)


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageProblem) as raised:
        load(tmp_path, "top", top=text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_every_profile_of_the_suite_is_valid_and_named_like_its_file() -> None:
    for name in profile_names(PROFILES):
        assert load_profile(name, PROFILES).profile.name == name


def test_yaml_values_become_the_text_that_a_command_line_takes(tmp_path: Path) -> None:
    engine = load(tmp_path, "base").profile.engine
    assert engine.env == {"A": "True", "B": "8", "C": "x"}
    assert engine.args == ["--max-model-len", "4096"]


def test_mappings_are_merged_and_lists_replaced(tmp_path: Path) -> None:
    engine = "engine: {port: 9000, env: {B: 9}, args: [--x]}"
    top = f"extends: base\nname: top\n{engine}\nlatency: {{categories: {{chinese: {{}}}}}}\n"
    loaded = load(tmp_path, "top", top=top)
    engine = loaded.profile.engine
    assert (engine.port, engine.args, engine.env) == (9000, ["--x"], {"A": "True", "B": "9", "C": "x"})
    assert set(loaded.profile.latency.categories) == {"ocr", "chinese"}
    assert loaded.sources["engine.port"] == "top.yaml"
    assert loaded.sources["engine.env.A"] == "base.yaml"


def test_a_profile_may_extend_one_by_path_beside_it_or_by_name(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    beside = "extends: ../base.yaml\nname: deep\n"
    (tmp_path / "more" / "deep.yaml").write_text(beside, "utf-8")
    load(tmp_path, "base")
    assert load_profile(str(tmp_path / "more" / "deep.yaml"), tmp_path).profile.model.id == "org/m"


def test_the_last_override_counts_and_adds_missing_sections(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "base",
        ("engine.port", "1", "VLM_SET"),
        ("engine.port", "2", "--vlm-set"),
        ("engine.env.NEW", "a b", "--vlm-set"),
        ("latency.categories.chinese.ttft_s", "0.5", "--vlm-set"),
        ("engine.args", "[--a, 1]", "--vlm-set"),
        ("model_memory_gib", "{value: 4}", "--vlm-set"),
    )
    profile = loaded.profile
    assert (profile.engine.port, profile.engine.env["NEW"], profile.engine.args) == (2, "a b", ["--a", "1"])
    assert profile.latency.categories["chinese"].ttft_s == 0.5
    assert profile.engine.env["A"] == "True"
    assert loaded.sources["engine.port"] == "--vlm-set"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends: base\nname: top\nengine: {prot: 1}\n", ["top.yaml", "'engine.prot'", "(value 1)", "mean 'port'"]),
        ("extends: base\nname: top\nengine: {port: x}\n", ["top.yaml", "engine.port", "'x'", "integer"]),
        ("extends: base\nname: top\nengine: {mode: gragh}\n", ["engine.mode", "'gragh'", "mean 'graph'"]),
        ("extends: base\nname: top\nengine: {port: -1, host: 3}\n", ["engine.host", "3", "(1 more)"]),
        ("extends: base\nname: top\nguide: [{categry: ocr}]\n", ["guide.0"]),
        ("extends: base\nname: top\nmodel: x\n", ["model", "'x'"]),
        ("extends: [base]\nname: top\n", ["extends", "['base']"]),
        ("extends: top\nname: top\n", ["circle"]),
        ("extends: bsae\nname: top\n", ["'bsae'", "mean 'base'"]),
        ("name: top\n", ["'model'", "missing"]),
        ("name: top\nname: again\n", ["'name'", "given twice"]),
        ("name: top\nmodel: {id: m}\nengine: {env: {A: 1, A: 2}}\n", ["'A'", "given twice"]),
        ("", ["NoneType"]),
        ("a: &a [*a]\n", ["top.yaml"]),
        ("name: !!python/object/apply:os.getcwd []\n", ["cannot be read as YAML"]),
        ("name: [", ["cannot be read as YAML"]),
        ("name: ..\nmodel: {id: m}\n", ["name", "'..'"]),
        ("extends: base\nname: top\nmmmu: {dta: x}\n", ["'mmmu.dta'", "mean 'data'"]),
        ("extends: base\nname: top\nmmmu: {shape: {emtpy: 0.1}}\n", ["'mmmu.shape.emtpy'", "mean 'empty'"]),
        ("extends: base\nname: top\nmmmu: {scorer: official}\n", ["mmmu.scorer", "mean 'official_strict'"]),
        ("extends: base\nname: top\nmmmu: {known_scores: {internvl2: 1}}\n", ["mmmu.known_scores", "'internvl2'"]),
        ("extends: base\nname: top\nmmmu: {concurrency: 65}\n", ["mmmu.concurrency", "65", "64"]),
        ("extends: base\nname: top\nmmmu: {retried: 1.5}\n", ["mmmu.retried", "1.5"]),
        ("extends: base\nname: top\nmmmu: {sighted: {sample: -1}}\n", ["mmmu.sighted.sample", "-1"]),
        ("extends: base\nname: top\nmmmu: {early_stop_alpha: 0}\n", ["mmmu.early_stop_alpha", "greater than 0"]),
        ("extends: base\nname: top\nmmmu: {min_correct: 9, max_correct: 8}\n", ["mmmu.max_correct", "8", "9"]),
        ("extends: base\nname: top\nreferences: {r: {score: 1, correct: 9, total: 8}}\n", ["r.total", "8", "9"]),
    ],
)
def test_what_is_wrong_is_one_line_with_key_and_value(tmp_path: Path, text: str, words: list[str]) -> None:
    message = problem(tmp_path, text)
    for word in words:
        assert word in message, message


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="is a folder"):
        find_profile(f"{tmp_path}/", tmp_path)


def test_the_shown_profile_can_be_read_again(tmp_path: Path) -> None:
    loaded = load(tmp_path, "base", ("model.path", '"/a: b # c"', "--vlm-model"))
    flat = {
        line.partition(": ")[0]: yaml.safe_load(line.partition(": ")[2])
        for line in shown(loaded).splitlines()
        if not line.startswith("#")
    }
    data: dict[str, object] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})  # type: ignore[assignment]
        place[last] = value
    assert Profile.model_validate(data) == loaded.profile


def test_a_category_without_a_budget_of_its_own_has_the_default() -> None:
    latency = Latency(default=Budget(ttft_s=1), categories={"ocr": Budget(e2e_s=2)})
    assert latency.budget("chinese").ttft_s == 1
    assert latency.budget("ocr") == Budget(ttft_s=1, e2e_s=2)


def test_large_pictures_have_three_times_the_default_until_they_have_a_budget_of_their_own() -> None:
    usual = Budget(ttft_s=2, tpot_s=0.1, e2e_s=10)

    assert Latency(default=usual).budget("large_pictures") == Budget(ttft_s=6, tpot_s=0.1, e2e_s=14)
    own = Latency(default=usual, categories={"large_pictures": Budget(ttft_s=3)})
    assert own.budget("large_pictures") == Budget(ttft_s=3, tpot_s=0.1, e2e_s=14)
    assert Latency(default=Budget(e2e_s=10)).budget("large_pictures") == Budget(e2e_s=10)
    assert Latency(default=Budget(ttft_s=1)).budget("large_pictures") == Budget(ttft_s=3)
    assert Latency().budget("large_pictures") == Budget()


@pytest.mark.parametrize("keys", ["latency: {categories: {orc: {}}}", "capability: {report_only: [orc]}"])
def test_an_unknown_category_is_refused_with_the_nearest(tmp_path: Path, keys: str) -> None:
    with pytest.raises(UsageProblem, match="Did you mean 'ocr'"):
        load(tmp_path, "top", top=f"extends: base\nname: top\n{keys}\n")


@pytest.mark.parametrize(
    ("recorded", "why"),
    [
        ("{orc/sign: 5}", "Did you mean 'ocr'"),
        ("{ocr: 5}", "'ocr' is not a category/question such as ocr/sign, or multi_picture"),
        ("{multi_pictures: 5}", "Did you mean 'multi_picture'"),
        ("{ocr/sign: 9}", "9"),
        ("{ocr/sign: -1}", "-1"),
    ],
)
def test_a_recorded_count_of_no_question_is_refused(tmp_path: Path, recorded: str, why: str) -> None:
    with pytest.raises(UsageProblem, match=why):
        load(tmp_path, "top", top=f"extends: base\nname: top\ncapability: {{recorded: {recorded}}}\n")
    right = "{ocr/sign: 5, multi_picture: 3}"
    top = f"extends: base\nname: top\ncapability: {{recorded: {right}}}\n"
    assert load(tmp_path, "top", top=top).profile.capability.recorded == {"ocr/sign": 5, "multi_picture": 3}


@pytest.mark.parametrize(
    "override",
    [("capability.report_only", "[orc]"), ("latency.categories.orc.ttft_s", "1"), ("guide", "[{tokens: x}]")],
)
def test_a_problem_inside_an_overridden_value_names_the_override(tmp_path: Path, override: tuple[str, str]) -> None:
    with pytest.raises(UsageProblem, match="^--vlm-set: "):
        load(tmp_path, "base", (*override, "--vlm-set"))


def test_the_order_of_several_pictures_may_be_only_reported_and_has_no_budget(tmp_path: Path) -> None:
    top = "extends: base\nname: top\n"
    only = load(tmp_path, "top", top=f"{top}capability: {{report_only: [multi_picture, ocr]}}\n").profile.capability
    assert only.report_only == ["multi_picture", "ocr"]
    with pytest.raises(UsageProblem, match="'multi_picture' is not a category"):
        load(tmp_path, "top", top=f"{top}latency: {{categories: {{multi_picture: {{}}}}}}\n")


FORMER = """
extends: base
name: top
numbers: {alarm: 0.04, common_top5: 0.7}
capability: {calibrated: true, demoted: [several, ocr], known_answers: k.jsonl, long_twins: {copies: 3}}
"""


def test_former_names_in_a_file_are_accepted_and_reported_with_the_present_ones(tmp_path: Path) -> None:
    loaded = load(tmp_path, "top", top=FORMER)
    capability = loaded.profile.capability
    assert (loaded.profile.logprobs.alarm, capability.report_only) == (0.04, ["multi_picture", "ocr"])
    assert loaded.profile.logprobs.common_top == 0.7
    assert (capability.golden_answers, capability.long_similar_pictures.copies) == ("k.jsonl", 3)
    assert loaded.sources["logprobs.alarm"] == loaded.sources["capability.report_only"] == "top.yaml"
    assert len(loaded.notes) == len(FORMER_KEYS) + 1
    assert loaded.notes[0].startswith("top.yaml: the key 'numbers' is now 'logprobs'; ")
    assert loaded.notes[-1].startswith("top.yaml: capability.report_only: the value 'several' is now 'multi_picture'; ")
    assert f"# note: {loaded.notes[0]}" in shown(loaded).splitlines()


def test_a_profile_without_former_names_has_no_notes() -> None:
    assert {load_profile(name, PROFILES).notes for name in profile_names(PROFILES)} == {()}


@pytest.mark.parametrize(
    ("key", "text"), [("numbers.alarm", "0.04"), ("numbers", "{alarm: 0.04}"), ("logprobs", "{alarm: 0.04}")]
)
def test_former_names_in_an_override_are_accepted_and_reported(tmp_path: Path, key: str, text: str) -> None:
    loaded = load(tmp_path, "base", (key, text, "--vlm-set"))
    assert loaded.profile.logprobs.alarm == 0.04
    assert loaded.sources[key.replace("numbers", "logprobs")] == "--vlm-set"
    assert [note.partition(":")[0] for note in loaded.notes] == ["--vlm-set"] * ("numbers" in key)


@pytest.mark.parametrize(("key", "text"), [("capability.demoted", "[several]"), ("capability", "{demoted: [several]}")])
def test_a_former_name_and_value_inside_an_override_are_accepted(tmp_path: Path, key: str, text: str) -> None:
    loaded = load(tmp_path, "top", (key, text, "VLM_SET"), top="extends: base\nname: top\nnumbers: {tie: 1}\n")
    assert loaded.profile.capability.report_only == ["multi_picture"]
    assert [note.partition(":")[0] for note in loaded.notes] == ["top.yaml", "VLM_SET", "VLM_SET"]


def test_a_value_of_a_former_key_is_removed_or_replaced_by_a_file_that_extends_it(tmp_path: Path) -> None:
    top = "extends: middle\nname: top\nlogprobs: {alarm: null, tie: 2}\n"
    loaded = load(tmp_path, "top", top=top, middle="extends: base\nname: m\nnumbers: {alarm: 0.04, tie: 1}\n")
    assert (loaded.profile.logprobs.alarm, loaded.profile.logprobs.tie) == (LogProbLimits().alarm, 2)


def test_a_key_given_by_its_former_and_its_present_name_is_refused(tmp_path: Path) -> None:
    message = problem(tmp_path, "extends: base\nname: top\nnumbers: {tie: 1}\nlogprobs: {tie: 1}\n")
    assert "top.yaml: 'numbers' is the former name of 'logprobs'" in message


def test_former_names_are_not_keys_and_present_ones_are() -> None:
    sections = {
        "": Profile.model_fields,
        "capability": Capability.model_fields,
        "logprobs": LogProbLimits.model_fields,
    }
    for former, present in FORMER_KEYS.items():
        section, _, key = former.rpartition(".")
        assert key not in sections[section]
        assert present.rpartition(".")[2] in sections[section]


def test_a_profile_may_name_exactly_the_protocols_and_scorers_of_mmmu() -> None:
    assert set(get_args(ProtocolName)) == set(PROTOCOLS)
    assert set(get_args(ScorerName)) == set(SCORERS)


def test_max_tiles_below_min_tiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"max_tiles: .*less than min_tiles, 3"):
        load(tmp_path, "top", top="extends: base\nname: top\nmodel: {pictures: {min_tiles: 3, max_tiles: 2}}\n")


def test_limits_of_the_accuracy_run_may_be_equal_or_only_one_of_them(tmp_path: Path) -> None:
    for keys in ("min_correct: 9, max_correct: 9", "min_correct: 9", "max_correct: 9", ""):
        wanted = load(tmp_path, "top", top=f"extends: base\nname: top\nmmmu: {{{keys}}}\n").profile.mmmu
        assert wanted is not None
        assert {wanted.min_correct, wanted.max_correct} <= {9, None}


@pytest.mark.parametrize("text", ['{"\\ud800": 1}', '{a: "\\udc00"}', '{a: ["\\ud800\\udc00"]}'])
def test_half_a_character_is_refused(tmp_path: Path, text: str) -> None:
    message = problem(tmp_path, f"name: top\nmodel: {{id: m}}\noffline: {{sampling: {text}}}\n")
    assert "holds half a character" in message
    assert message.isprintable()


@pytest.mark.parametrize("text", ["<call>", "<call>{name}", "{arguments}"])
def test_the_text_of_a_call_has_its_name_and_its_arguments(text: str) -> None:
    with pytest.raises(ValueError, match="a call is text around"):
        Api(call_text=text)
