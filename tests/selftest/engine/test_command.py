"""Command lines and environments of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.engine.command import engine_env, offline_job, serve_argv, with_absolute_paths


def profile_of(**sections: object) -> Profile:
    return Profile.model_validate({"name": "p", "model": {"id": "org/model"}, **sections})


def test_model_is_served_under_the_profiles_id_at_its_host_with_its_arguments():
    profile = profile_of(engine={"host": "0.0.0.0", "args": ["--max-model-len", 4096, "--enforce-eager"]})
    argv = serve_argv(profile, ("python", "vllm"), Path("/models/x"), 8001)
    assert argv[:4] == ["python", "vllm", "serve", "/models/x"]
    assert argv[4:10] == ["--served-model-name", "org/model", "--host", "0.0.0.0", "--port", "8001"]
    assert argv[10:] == ["--max-model-len", "4096", "--enforce-eager"]


def test_environment_of_the_profile_overrides_the_inherited_one():
    env = engine_env(profile_of(engine={"env": {"A": "profile", "N": 1}}), {"A": "inherited", "B": "inherited"})
    assert (env["A"], env["B"], env["N"]) == ("profile", "inherited", "1")


def test_loopback_uses_no_proxy():
    env = engine_env(profile_of(), {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "intranet"})
    assert env["NO_PROXY"] == env["no_proxy"] == "intranet,localhost,127.0.0.1,::1"


def test_key_is_in_the_environment_and_on_no_command_line():
    profile = profile_of()
    assert engine_env(profile, {}, "secret")["VLLM_API_KEY"] == "secret"
    assert "VLLM_API_KEY" not in engine_env(profile, {})
    assert "secret" not in serve_argv(profile, ("vllm",), Path("/m"), 1)


def test_engine_does_not_see_that_pytest_runs():
    env = engine_env(profile_of(), {"PYTEST_CURRENT_TEST": "x", "PYTEST_ADDOPTS": "-x", "PATH": "/bin"})
    assert [name for name in env if name.startswith("PYTEST")] == []
    assert env["PATH"] == "/bin"


def test_given_environment_is_not_changed():
    base = {"PYTEST_ADDOPTS": "-x"}
    engine_env(profile_of(engine={"env": {"A": "1"}}), base, "key")
    assert base == {"PYTEST_ADDOPTS": "-x"}


def test_offline_job_is_greedy_unless_the_profile_says_otherwise():
    job = offline_job(profile_of(offline={"llm": {"dtype": "bfloat16"}}), Path("/m"), [], "vllm", 64)
    assert job["llm"] == {"model": "/m", "dtype": "bfloat16"}
    assert job["sampling"] == {"temperature": 0.0}
    warm = offline_job(profile_of(offline={"sampling": {"temperature": 0.7}}), Path("/m"), [], "vllm", 64)
    assert warm["sampling"] == {"temperature": 0.7}


def test_only_the_cpu_wheel_is_prepared():
    assert offline_job(profile_of(), Path("/m"), [], "vllm", 64)["prepare"] is None
    assert Path(offline_job(profile_of(), Path("/m"), [], "vllm-cpu", 64)["prepare"]).is_file()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the files of a profile."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "chat.jinja").write_text("")
    (tmp_path / "chat.jinja").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_paths_of_a_profile_work_though_engines_run_elsewhere(here: Path):
    args = [
        "--chat-template",
        "sub/chat.jinja",
        "--chat-template=chat.jinja",
        "--allowed-local-media-path",
        "sub/../sub",
    ]
    kept = ["--dtype", "folder", "org/none", "--max-model-len=8", "--limit", '{"image": 10}', "/sub/chat.jinja"]
    argv = serve_argv(profile_of(engine={"args": [*args, *kept]}), ("vllm",), Path("/m"), 1)
    found = [str(here / "sub/chat.jinja"), f"--chat-template={here}/chat.jinja", f"{here}/sub/../sub"]
    assert [argv[10], argv[11], argv[13]] == found
    assert argv[14:] == kept
    job = offline_job(profile_of(offline={"llm": {"chat_template": "chat.jinja", "n": 1}}), Path("/m"), [], "vllm", 1)
    assert job["llm"] == {"model": "/m", "chat_template": str(here / "chat.jinja"), "n": 1}


def test_relative_paths_of_the_environment_are_made_absolute(here: Path):
    env = {
        "PYTHONPATH": "src:/lib:",
        "PATH": "/bin:sub",
        "CONFIG": "sub/chat.jinja",
        "WORD": "folder",
        "HF_HOME": "cache",
        "URL": "http://x/y",
    }
    assert with_absolute_paths(env) == {
        **env,
        "PYTHONPATH": f"{here}/src:/lib",
        "PATH": f"/bin:{here}/sub",
        "CONFIG": f"{here}/sub/chat.jinja",
        "HF_HOME": f"{here}/cache",
    }


def test_model_is_served_by_its_id_as_the_deployment_guide_does():
    profile = profile_of(engine={"serve": "id", "args": ["--enforce-eager"]})
    argv = serve_argv(profile, ("vllm",), Path("/cache/x"), 8001)
    assert argv == ["vllm", "serve", "org/model", "--host", "127.0.0.1", "--port", "8001", "--enforce-eager"]
    assert offline_job(profile, Path("/cache/x"), [], "vllm", 64)["llm"] == {"model": "org/model"}


def test_other_revision_of_a_model_is_named_to_the_engine():
    profile = profile_of(engine={"serve": "id"}, model={"id": "org/model", "revision": "v2"})
    argv = serve_argv(profile, (), Path("/cache/x"), 1)
    revisions = ["--revision", "v2", "--code-revision", "v2", "--tokenizer-revision", "v2"]
    assert argv[:8] == ["serve", "org/model", *revisions]
    llm = offline_job(profile, Path("/cache/x"), [], "vllm", 64)["llm"]
    assert llm == {"model": "org/model", "revision": "v2", "code_revision": "v2", "tokenizer_revision": "v2"}


def test_engine_that_resolves_an_id_may_ask_its_hub():
    own = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_USE_MODELSCOPE": "True"}
    by_id = engine_env(profile_of(engine={"serve": "id", "env": own}), {})
    assert own.keys() & by_id.keys() == {"VLLM_USE_MODELSCOPE"}
    assert own.keys() <= engine_env(profile_of(engine={"env": own}), {}).keys()
    # a machine without a network says so itself
    assert engine_env(profile_of(engine={"serve": "id", "env": own}), {"HF_HUB_OFFLINE": "1"})["HF_HUB_OFFLINE"] == "1"
