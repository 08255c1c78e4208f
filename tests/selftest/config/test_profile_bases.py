"""Bases hold facts of a platform, and none of a model: they are extended, and cannot be run as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.runs import pytest_run

from vlm_acceptance.config.model_facts import is_fact, model_id
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import BASES, base_names, find_profile, load_profile, profile_names
from vlm_acceptance.config.yaml_file import read_data
from vlm_acceptance.core.errors import UsageProblem

NAMES = ["vllm-ascend", "vllm-cpu", "vllm-cuda"]


def test_there_is_a_base_for_each_platform_and_none_is_a_profile() -> None:
    assert base_names(PROFILES) == NAMES
    assert not set(NAMES) & set(profile_names(PROFILES))


@pytest.mark.parametrize("name", NAMES)
def test_a_base_has_no_fact_of_a_model(name: str) -> None:
    data = read_data(PROFILES / BASES / f"{name}.yaml")
    assert model_id(data) is None
    keys = [f"{section}.{key}" for section, rows in data.items() if isinstance(rows, dict) for key in rows]
    assert [key for key in (*data, *keys) if is_fact(key)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_of_three_lines_extends_a_base(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {name}\nname: mine\nmodel: {{id: org/m}}\n", "utf-8")
    loaded = load_profile(str(path), PROFILES)
    assert loaded.notes == ()
    assert loaded.profile.metrics
    loaded.profile.check(launched=True)


def test_a_base_as_a_profile_is_one_line_with_the_way_to_one() -> None:
    with pytest.raises(UsageProblem, match=r"'vllm-ascend' is a base for profiles and names no model: .*profile new"):
        find_profile("vllm-ascend", PROFILES)
    ran = pytest_run("--vlm-plan", "--vlm-profile=vllm-cpu")
    assert (ran.code, len(ran.problems)) == (4, 1), ran.output


def test_the_nearest_base_is_named_for_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: vllm-asend\nname: mine\nmodel: {id: org/m}\n", "utf-8")
    with pytest.raises(UsageProblem, match="mean 'vllm-ascend'"):
        load_profile(str(path), PROFILES)
