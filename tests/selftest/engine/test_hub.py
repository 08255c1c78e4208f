"""Downloads: ModelScope's real client against a loopback stand-in of its hub, and small stand-ins of clients.

SELFTEST_MODELSCOPE_PYTHON names an interpreter that has the client, if this one does not.
"""

import contextlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlm_acceptance.core.errors import EnvironmentProblem, WeightsProblem
from vlm_acceptance.engine.hub import HUGGING_FACE, MODELSCOPE, Hub, download, download_dataset
from vlm_acceptance.engine.weights import inspect, locate

HUB = Path(__file__).parents[2] / "proof" / "standins" / "hub.py"
ID = "OpenGVLab/InternVL2.5-2B"
DATASET = "AI-ModelScope/MMMU"
FILES = ["*validation-*.parquet", "*counts.json"]
NAMED = os.environ.get("SELFTEST_MODELSCOPE_PYTHON")
CLIENT = Path(NAMED or sys.executable)
needs_client = pytest.mark.skipif(
    not NAMED and importlib.util.find_spec("modelscope") is None,
    reason="no ModelScope client is installed here, and SELFTEST_MODELSCOPE_PYTHON names no other interpreter",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole, tiny model folder."""
    folder = tmp_path / "published"
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "U8", "shape": [5000], "data_offsets": [0, 5000]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(5000))
    (folder / "config.json").write_text('{"architectures": ["InternVLChatModel"]}')
    (folder / "generation_config.json").write_text('{"eos_token_id": [2]}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Validation files of two subjects, beside what is not wanted."""
    for name in ("Art/validation-0.parquet", "Music/validation-0.parquet", "Art/test-0.parquet", "README.md"):
        (tmp_path / "dataset" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dataset" / name).write_bytes(name.encode() * 100)
    return tmp_path / "dataset"


@contextlib.contextmanager
def hub(folder: Path, fault: str | None = None, kind: str = "model", log: Path | None = None) -> Iterator[str]:
    """The address of a running hub."""
    argv = [sys.executable, str(HUB), "--folder", str(folder), f"--{kind}-id", ID if kind == "model" else DATASET]
    argv += [*(["--fault", fault] if fault else []), *(["--log", str(log)] if log else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        # Leaving closes the standard input, which ends it.


def env_of(home: Path, endpoint: str, retries: int = 1) -> dict[str, str]:
    """An environment of the client without caches and settings; by itself it tries five times, for 15 s."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELSCOPE", "HF_"))}
    tries = ("API_MAX_RETRIES", "DOWNLOAD_MAX_RETRIES", "REPO_TREE_PAGE_MAX_ATTEMPTS")
    names = ("API_HTTP_CLIENT_MAX_RETRIES", *(f"MODELSCOPE_{name}" for name in tries))
    return {**kept, **dict.fromkeys(names, str(retries)), "HOME": str(home), "MODELSCOPE_ENDPOINT": endpoint}


def fetch(home: Path, endpoint: str, revision: str | None = None) -> Path:
    return download_dataset(MODELSCOPE, DATASET, revision, FILES, env=env_of(home, endpoint))


@needs_client
def test_download_returns_the_complete_folder_where_locate_finds_it(tmp_path: Path, model: Path):
    lines: list[str] = []
    with hub(model) as endpoint:
        folder = download(ID, python=CLIENT, env=env_of(tmp_path, endpoint), progress=lines.append)
    assert inspect(folder, [2], 5000) == []
    assert (folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert locate(ID, None, {}, tmp_path) == folder
    assert any(line.startswith("model.safetensors: ") for line in lines)


@needs_client
def test_download_goes_to_the_given_cache(tmp_path: Path, model: Path):
    with hub(model) as endpoint:
        env = {**env_of(tmp_path, endpoint), "MODELSCOPE_CACHE": str(tmp_path / "cache")}
        folder = download(ID, "master", python=CLIENT, env=env)
    assert tmp_path / "cache" in folder.parents
    assert locate(ID, None, {"MODELSCOPE_CACHE": str(tmp_path / "cache")}, tmp_path) == folder


@needs_client
def test_proxy_is_not_asked_for_a_hub_on_loopback(tmp_path: Path, model: Path):
    with hub(model) as endpoint:
        env = {**env_of(tmp_path, endpoint), "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        assert download(ID, python=CLIENT, env=env).is_dir()


@needs_client
def test_unknown_model_is_a_weights_problem_that_names_it(tmp_path: Path, model: Path):
    with hub(model, "missing") as endpoint, pytest.raises(WeightsProblem, match=f"has no model {ID} with revision v9"):
        download(ID, "v9", python=CLIENT, env=env_of(tmp_path, endpoint))


@needs_client
@pytest.mark.parametrize("fault", ["short", "corrupt"])
def test_damaged_delivery_is_noticed(tmp_path: Path, model: Path, fault: str):
    with hub(model, fault) as endpoint, pytest.raises(WeightsProblem, match="arrived damaged") as problem:
        download(ID, python=CLIENT, env=env_of(tmp_path, endpoint))
    assert "\n" not in str(problem.value)


@needs_client
def test_hub_that_refuses_is_an_environment_problem(tmp_path: Path, model: Path):
    with hub(model, "refuse") as endpoint, pytest.raises(EnvironmentProblem, match="could not deliver"):
        download(ID, python=CLIENT, env=env_of(tmp_path, endpoint))


@needs_client
def test_hub_that_is_not_there_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=r"could not deliver .* give the model's folder"):
        download(ID, python=CLIENT, env=env_of(tmp_path, "http://127.0.0.1:9"))


@needs_client
def test_the_wanted_files_of_a_data_set_are_downloaded_and_no_others(tmp_path: Path, dataset: Path):
    log = tmp_path / "log"
    with hub(dataset, kind="dataset", log=log) as endpoint:
        folder = fetch(tmp_path, endpoint)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    assert found == ["Art/validation-0.parquet", "Music/validation-0.parquet"]
    for name in found:
        assert (folder / name).read_bytes() == (dataset / name).read_bytes()
    requests = log.read_text()
    assert f"/api/v1/datasets/{DATASET}/repo/tree?" in requests
    assert "Revision=master" in requests
    assert "test-0" not in requests


@needs_client
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", f"http://127.0.0.1:[0-9]+ has no data set {DATASET} with revision v9: check both names"),
        ("refuse", f"http://127.0.0.1:[0-9]+ could not deliver {DATASET} with revision v9: check the network"),
        ("corrupt", "arrived damaged"),
    ],
)
def test_a_data_set_that_is_not_delivered_is_an_environment_problem(
    tmp_path: Path, dataset: Path, fault: str, message: str
):
    with hub(dataset, fault, "dataset") as endpoint, pytest.raises(EnvironmentProblem, match=message) as problem:
        fetch(tmp_path, endpoint, "v9")
    assert "\n" not in str(problem.value)
    assert not isinstance(problem.value, WeightsProblem)


@needs_client
def test_a_hub_that_is_not_there_delivers_no_data_set(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=r"could not deliver .* or give the data set's folder"):
        fetch(tmp_path, "http://127.0.0.1:9")


@needs_client
def test_slow_download_is_stopped_after_the_time_out(tmp_path: Path, model: Path):
    began = time.monotonic()
    # with five tries the client resumes a cut file for half a minute
    with hub(model, "cut") as endpoint, pytest.raises(EnvironmentProblem, match="took more than 3 s"):
        download(ID, python=CLIENT, env=env_of(tmp_path, endpoint, retries=5), timeout_s=3)
    assert time.monotonic() - began < 15


def make_python(folder: Path, client: str) -> Path:
    """An interpreter whose ModelScope client is this text."""
    (folder / "modelscope").mkdir(parents=True)
    (folder / "modelscope" / "__init__.py").write_text(client)
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    return python


def test_missing_client_is_an_environment_problem_with_the_remedy(tmp_path: Path):
    python = make_python(tmp_path, "raise ModuleNotFoundError('no client', name='modelscope')")
    with pytest.raises(EnvironmentProblem, match="python3 -m pip install modelscope"):
        download(ID, python=python)


def test_client_that_ends_without_an_answer_is_an_environment_problem(tmp_path: Path):
    python = make_python(tmp_path, "import os; print('torn', flush=True); os._exit(3)")
    with pytest.raises(EnvironmentProblem, match="ended with code 3 and without an answer: torn"):
        download(ID, python=python)


def test_interpreter_that_cannot_be_started_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="cannot be started"):
        download(ID, python=tmp_path / "none")


def test_client_without_callbacks_or_revision_is_still_understood(tmp_path: Path):
    python = make_python(tmp_path, "def snapshot_download(model_id, cache_dir=None): return '/found/' + model_id\n")
    assert download(ID, python=python) == Path("/found") / ID


def test_client_too_old_for_the_endpoint_is_named_as_such(tmp_path: Path):
    client = "def snapshot_download(model_id): raise ConnectionError('www.modelscope.cn: no route')\n"
    with pytest.raises(EnvironmentProblem, match="too old to know MODELSCOPE_ENDPOINT=http://127.0.0.1:9"):
        download(ID, python=make_python(tmp_path, client), env=env_of(tmp_path, "http://127.0.0.1:9"))


def with_client(tmp_path: Path, name: str, text: str) -> dict[str, str]:
    """An environment whose client is this text."""
    (tmp_path / "clients" / name).mkdir(parents=True)
    (tmp_path / "clients" / name / "__init__.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "clients")}


def test_proxy_is_not_asked_for_a_data_set_on_loopback(tmp_path: Path):
    client = "import os\ndef dataset_snapshot_download(id, revision, allow_patterns): return os.environ['no_proxy']\n"
    env = {**with_client(tmp_path, "modelscope", client), "no_proxy": "intra", "NO_PROXY": ""}
    assert download_dataset(MODELSCOPE, DATASET, None, FILES, env=env) == Path("intra,localhost,127.0.0.1,::1")


def test_client_before_1_40_gets_the_endpoint_in_its_own_variable(tmp_path: Path):
    client = "import os\ndef dataset_snapshot_download(id, **_): return os.environ['MODELSCOPE_DOMAIN']\n"
    env = {**with_client(tmp_path, "modelscope", client), "MODELSCOPE_ENDPOINT": "https://hub.example/"}
    assert download_dataset(MODELSCOPE, DATASET, None, FILES, env=env) == Path("hub.example")


def test_hub_that_is_not_reached_is_not_taken_for_missing_data(tmp_path: Path):
    client = (
        "class LocalEntryNotFoundError(Exception): pass\n"
        "def snapshot_download(*_, **__): raise LocalEntryNotFoundError('Connection refused, see 404.html')\n"
    )
    env = {**with_client(tmp_path, "huggingface_hub", client), "HF_ENDPOINT": "http://hf.example"}
    with pytest.raises(
        EnvironmentProblem, match="http://hf.example could not deliver MMMU/MMMU with revision the newest"
    ):
        download_dataset(HUGGING_FACE, "MMMU/MMMU", None, FILES, env=env)


def test_hugging_face_client_is_asked_for_a_data_set(tmp_path: Path):
    client = (
        "def snapshot_download(repo, repo_type, allow_patterns, revision=None):\n"
        "    return f'/got/{repo_type}/{repo}/{revision}/{allow_patterns[0]}'\n"
    )
    env = with_client(tmp_path, "huggingface_hub", client)
    wanted = "*validation-*.parquet"
    assert download_dataset(HUGGING_FACE, "MMMU/MMMU", "v2", FILES, env=env) == Path(
        f"/got/dataset/MMMU/MMMU/v2/{wanted}"
    )
    assert download_dataset(HUGGING_FACE, "MMMU/MMMU", None, FILES, env=env) == Path(
        f"/got/dataset/MMMU/MMMU/None/{wanted}"
    )


@pytest.mark.parametrize("hub", [MODELSCOPE, HUGGING_FACE], ids=lambda hub: hub.module)
def test_absent_client_is_named_with_the_remedy(tmp_path: Path, hub: Hub):
    env = with_client(tmp_path, hub.module, f"raise ModuleNotFoundError('none', name={hub.module!r})")
    with pytest.raises(EnvironmentProblem, match=f"-m pip install {hub.module}`, or give the data set's folder"):
        download_dataset(hub, "a/b", None, FILES, env=env)


def test_package_that_the_client_lacks_is_named(tmp_path: Path):
    env = with_client(tmp_path, "modelscope", "import no_such_package")
    with pytest.raises(EnvironmentProblem, match="the ModelScope client lacks the package no_such_package"):
        download_dataset(MODELSCOPE, DATASET, None, FILES, env=env)


def test_client_that_ends_without_a_data_set_is_an_environment_problem(tmp_path: Path):
    env = with_client(tmp_path, "modelscope", "import os; os._exit(3)")
    with pytest.raises(EnvironmentProblem, match="ended with code 3 and without an answer"):
        download_dataset(MODELSCOPE, DATASET, None, FILES, env=env)
