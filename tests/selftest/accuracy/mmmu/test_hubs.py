"""The hubs' real clients against a loopback stand-in, and what is said when they deliver nothing."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.made_mmmu import made_mmmu, small, write_folder

from vlm_acceptance.accuracy.mmmu import cli_prepare as preparation
from vlm_acceptance.accuracy.mmmu.cli_prepare import Request, prepare
from vlm_acceptance.accuracy.mmmu.hubs import HUBS, fetch
from vlm_acceptance.core.errors import EnvironmentProblem

pytest.importorskip("pyarrow")
STANDIN = Path(__file__).parents[3] / "proof" / "standins" / "hub.py"
MODELSCOPE, HUGGINGFACE = HUBS["modelscope"], HUBS["huggingface"]
ID = "AI-ModelScope/MMMU"
needs_client = pytest.mark.skipif(importlib.util.find_spec("modelscope") is None, reason="no ModelScope client is here")


@contextlib.contextmanager
def hub(folder: Path, fault: str | None = None, log: Path | None = None) -> Iterator[str]:
    """The address of a running hub."""
    argv = [sys.executable, str(STANDIN), "--folder", str(folder), "--dataset-id", ID]
    argv += [*(["--fault", fault] if fault else []), *(["--log", str(log)] if log else [])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        # Leaving closes the standard input, which ends it.


def env_of(home: Path, endpoint: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELSCOPE", "HF_"))}
    return {**kept, "HOME": str(home), "MODELSCOPE_ENDPOINT": endpoint, "HF_ENDPOINT": endpoint}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A hub's folder of two subjects, beside what is not wanted."""
    folder = write_folder(small("Art", "Music"), tmp_path / "published")
    (folder / "Art" / "test-00000-of-00001.parquet").write_bytes(b"large")
    (folder / "README.md").write_text("MMMU")
    return folder


@needs_client
def test_client_fetches_the_validation_files_and_nothing_else(tmp_path: Path, published: Path):
    log = tmp_path / "log"
    with hub(published, log=log) as endpoint:
        folder = fetch(MODELSCOPE, ID, None, env=env_of(tmp_path, endpoint))
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    assert found == ["Art/validation-00000-of-00001.parquet", "Music/validation-00000-of-00001.parquet"]
    for name in found:
        assert (folder / name).read_bytes() == (published / name).read_bytes()
    asked = log.read_text()
    assert f"/api/v1/datasets/{ID}/repo/tree?" in asked
    assert "Revision=master" in asked
    assert "test-00000" not in asked


@needs_client
def test_whole_data_set_is_prepared_from_the_hub_and_then_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published = write_folder(made_mmmu(), tmp_path / "published")
    said: list[str] = []
    with hub(published) as endpoint:
        for name, value in env_of(tmp_path, endpoint).items():
            monkeypatch.setenv(name, value)
        prepared = prepare(Request("modelscope", tmp_path / "out"), said.append)
    assert (prepared.dataset, len(prepared)) == ("MMMU_val", 900)
    assert (prepared.source, prepared.revision) == (f"ModelScope {ID}", "master")
    assert said[0] == f"fetching ModelScope {ID}"
    # the hub is gone now
    prepare(Request("modelscope", tmp_path / "out"), said.append)
    assert said[-1] == f"{tmp_path / 'out'} holds MMMU_val from ModelScope {ID} already: --force prepares it again"


@needs_client
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing", f"http://127.0.0.1:[0-9]+ has no data set {ID} with revision v9: check both names"),
        ("refuse", f"http://127.0.0.1:[0-9]+ could not deliver {ID} with revision v9: check the network"),
        ("corrupt", "arrived damaged"),
    ],
)
def test_hub_that_does_not_deliver_is_an_environment_problem(tmp_path: Path, published: Path, fault: str, said: str):
    with hub(published, fault) as endpoint, pytest.raises(EnvironmentProblem, match=said) as problem:
        fetch(MODELSCOPE, ID, "v9", env=env_of(tmp_path, endpoint))
    assert "\n" not in str(problem.value)


@needs_client
def test_hub_that_is_not_there_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match=r"could not deliver .* or give a folder"):
        fetch(MODELSCOPE, ID, None, env=env_of(tmp_path, "http://127.0.0.1:9"))


def test_hub_without_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preparation, "fetch", lambda hub, id, revision: tmp_path)
    with pytest.raises(EnvironmentProblem, match=f"ModelScope {ID} has no validation-.*: is this MMMU"):
        prepare(Request("modelscope", tmp_path / "out"), print)


def with_client(tmp_path: Path, name: str, text: str) -> dict[str, str]:
    """An environment whose client is this text."""
    (tmp_path / "clients" / name).mkdir(parents=True)
    (tmp_path / "clients" / name / "__init__.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "clients")}


def test_proxy_is_not_asked_for_a_hub_on_loopback(tmp_path: Path):
    client = "import os\ndef dataset_snapshot_download(id, revision, allow_patterns): return os.environ['no_proxy']\n"
    env = {**with_client(tmp_path, "modelscope", client), "no_proxy": "intra", "NO_PROXY": ""}
    assert fetch(MODELSCOPE, ID, None, env=env) == Path("intra,localhost,127.0.0.1,::1")


def test_client_before_1_40_is_told_the_endpoint_in_its_way(tmp_path: Path):
    client = "import os\ndef dataset_snapshot_download(id, **_): return os.environ['MODELSCOPE_DOMAIN']\n"
    env = {**with_client(tmp_path, "modelscope", client), "MODELSCOPE_ENDPOINT": "https://hub.example/"}
    assert fetch(MODELSCOPE, ID, None, env=env) == Path("hub.example")


def test_hub_that_is_not_reached_is_not_taken_for_missing_data(tmp_path: Path):
    client = (
        "class LocalEntryNotFoundError(Exception): pass\n"
        "def snapshot_download(*_, **__): raise LocalEntryNotFoundError('Connection refused, see 404.html')\n"
    )
    env = {**with_client(tmp_path, "huggingface_hub", client), "HF_ENDPOINT": "http://hf.example"}
    with pytest.raises(
        EnvironmentProblem, match="http://hf.example could not deliver MMMU/MMMU with revision the newest"
    ):
        fetch(HUGGINGFACE, "MMMU/MMMU", None, env=env)


def test_hugging_face_client_is_asked_for_a_data_set(tmp_path: Path):
    client = (
        "def snapshot_download(repo, repo_type, revision, allow_patterns):\n"
        "    return f'/got/{repo_type}/{repo}/{revision}/{allow_patterns[0]}'\n"
    )
    env = with_client(tmp_path, "huggingface_hub", client)
    wanted = "*validation-*.parquet"
    assert fetch(HUGGINGFACE, "MMMU/MMMU", "v2", env=env) == Path(f"/got/dataset/MMMU/MMMU/v2/{wanted}")
    assert fetch(HUGGINGFACE, "MMMU/MMMU", None, env=env) == Path(f"/got/dataset/MMMU/MMMU/None/{wanted}")


def test_commit_that_hugging_face_delivered_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_folder(small("Art"), tmp_path / "snapshots" / "0123abc")
    monkeypatch.setattr(preparation, "fetch", lambda hub, id, revision: folder)
    request = Request("huggingface", tmp_path / "out", revision="main", dataset="part")
    prepared = prepare(request, lambda _: None)
    assert (prepared.source, prepared.revision) == ("Hugging Face MMMU/MMMU", "0123abc")
    said: list[str] = []
    prepare(request, said.append)
    assert "holds part from Hugging Face MMMU/MMMU already" in said[-1]


@pytest.mark.parametrize(("name", "module"), [("modelscope", "modelscope"), ("huggingface", "huggingface_hub")])
def test_absent_client_is_named_with_the_remedy(tmp_path: Path, name: str, module: str):
    env = with_client(tmp_path, module, f"raise ModuleNotFoundError('none', name={module!r})")
    with pytest.raises(EnvironmentProblem, match=f"-m pip install {module}`, or give a folder"):
        fetch(HUBS[name], HUBS[name].id, None, env=env)


def test_package_that_the_client_lacks_is_named(tmp_path: Path):
    env = with_client(tmp_path, "modelscope", "import no_such_package")
    with pytest.raises(EnvironmentProblem, match="the ModelScope client lacks the package no_such_package"):
        fetch(MODELSCOPE, ID, None, env=env)


def test_client_that_ends_without_an_answer_is_an_environment_problem(tmp_path: Path):
    env = with_client(tmp_path, "modelscope", "import os; os._exit(3)")
    with pytest.raises(EnvironmentProblem, match="ended with code 3 and without an answer"):
        fetch(MODELSCOPE, ID, None, env=env)
