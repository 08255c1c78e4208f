"""`vlm-acceptance profile new`: what a folder or an endpoint tells, with its source, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.new_profiles import INTERNVL3, MINICPM, MODELS, NAMES, QWEN, loaded, written
from tests.support.runs import pytest_run
from tests.support.tls import banner_server, certificate, tls_endpoint
from tests.support.wire import Answer, WireServer, response

from vlm_acceptance.cli.profile import main
from vlm_acceptance.config.model_facts import FACTS
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import BASES, load_profile
from vlm_acceptance.config.yaml_file import read_data
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.engine.weights import fingerprint
from vlm_acceptance.run import new_profile

CONTROL = PROFILES.parent / "control" / "model"
ASCEND = ("--base", "vllm-ascend")
# of InternVL2-2B: none of them may be in a profile of another model
FOREIGN = ("92542", "92543", "4.41", "4.13", "1.46", "InternVL2-2B", "correct: 327", "OCRBench")


def copied(model: str, folder: Path, **files: Any) -> Path:
    """A folder of a model with these files changed, or removed by None: `config__json={...}`."""
    target = folder / model
    shutil.copytree(MODELS / model, target)
    for name, content in files.items():
        path = target / name.replace("__", ".")
        if content is None:
            path.unlink()
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return target


def test_qwen_has_what_its_files_tell(tmp_path: Path) -> None:
    profile = loaded(MODELS / QWEN, tmp_path, *ASCEND).profile
    model = profile.model
    assert (profile.name, model.id, model.path) == ("qwen2.5-vl-7b-instruct", QWEN, str((MODELS / QWEN).resolve()))
    assert (model.weights_bytes, model.stop_token_ids, model.video) == (16584333312, [151645, 151643], True)
    assert model.special_tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert "<tool_call>" not in model.special_tokens  # an ordinary word of its answers
    assert model.max_model_len == 128000
    assert model.pictures.oracle == "none"
    assert profile.engine.args == ["--dtype", "bfloat16", "--max-model-len", "128000"]
    assert profile.offline.llm == {"dtype": "bfloat16", "max_model_len": 128000}


def test_internvl3_has_the_tiles_of_its_config(tmp_path: Path) -> None:
    profile = loaded(MODELS / INTERNVL3, tmp_path, *ASCEND).profile
    pictures = {"oracle": "internvl", "tile_px": 448, "tokens_per_tile": 256, "max_tiles": 12, "thumbnail": True}
    assert pictures.items() <= profile.model.pictures.model_dump().items()
    assert (profile.model.max_model_len, profile.model.video, profile.model.stop_token_ids) == (32768, None, [])
    assert profile.engine.args[0] == "--trust-remote-code"
    assert "<IMG_CONTEXT>" in profile.model.special_tokens


def test_minicpm_is_written_without_what_its_files_do_not_tell(tmp_path: Path) -> None:
    text = written(MODELS / MINICPM, tmp_path, *ASCEND).read_text("utf-8")
    assert "#   model.pictures: there is no formula for the prompt tokens of pictures of 'minicpmv'" in text
    assert "#   model.stop_token_ids: generation_config.json names no eos_token_id" in text
    assert "# --trust-remote-code: config.json, preprocessor_config.json: auto_map" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_new_profile_holds_only_what_was_read_and_no_fact_of_another_model(name: str, tmp_path: Path) -> None:
    path = written(MODELS / name, tmp_path, *ASCEND)
    loaded_profile = load_profile(str(path), PROFILES)
    base = read_data(PROFILES / BASES / "vllm-ascend.yaml")
    # every value is of the file, of the base, or a default
    assert set(loaded_profile.sources.values()) == {"mine.yaml", "vllm-ascend.yaml"}
    assert loaded_profile.notes == ()
    assert [word for word in FOREIGN if word in path.read_text("utf-8") + yaml.safe_dump(base)] == []
    facts = {key for key in loaded_profile.sources if any(f"{key}.".startswith(f"{fact}.") for fact in FACTS)}
    assert {loaded_profile.sources[key] for key in facts} == {"mine.yaml"}
    loaded_profile.profile.check(launched=True)


def test_each_value_has_its_source_above_it(tmp_path: Path) -> None:
    lines = written(MODELS / QWEN, tmp_path, *ASCEND).read_text("utf-8").splitlines()
    above = {line.partition(":")[0].strip(): lines[place - 1].strip() for place, line in enumerate(lines)}
    assert above["stop_token_ids"] == "# generation_config.json: eos_token_id"
    assert above["weights_bytes"] == "# model.safetensors.index.json: metadata.total_size"
    assert above["video"] == "# config.json: video_token_id"
    assert above["special_tokens"] == "# tokenizer_config.json: added_tokens_decoder"


def test_the_control_gets_its_own_facts_from_its_folder(tmp_path: Path) -> None:
    profile = loaded(CONTROL, tmp_path, "--base", "vllm-cpu", "--id", "my/control").profile
    ours = load_profile("control-cpu", PROFILES).profile
    assert (profile.model.id, profile.name) == ("my/control", "control")
    for key in ("prompt_start", "template", "max_model_len"):
        assert getattr(profile.model, key) == getattr(ours.model, key), key
    assert profile.model.pictures.model_dump() == ours.model.pictures.model_dump()
    assert profile.model.weights_bytes == fingerprint(CONTROL).weights_bytes
    assert set(ours.model.special_tokens) <= set(profile.model.special_tokens)
    # arguments of the base are kept
    assert profile.engine.args == [
        "--trust-remote-code", "--dtype", "bfloat16", "--max-model-len", "4096", "--enforce-eager",
        "--kv-cache-memory-bytes", "4294967296",
    ]  # fmt: skip
    assert profile.offline.llm["enforce_eager"] is True


@pytest.mark.parametrize(
    ("place", "ident"),
    [
        ("models--Qwen--Qwen2.5-VL-7B-Instruct/snapshots/0123", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("Qwen/Qwen2___5-VL-7B-Instruct", "Qwen2.5-VL-7B-Instruct"),
    ],
)
def test_a_folder_in_a_hubs_cache_has_the_name_of_the_model(place: str, ident: str, tmp_path: Path) -> None:
    folder = tmp_path / place
    folder.parent.mkdir(parents=True)
    shutil.copytree(MODELS / QWEN, folder)
    assert loaded(folder, tmp_path, *ASCEND).profile.model.id == ident


def test_damaged_or_missing_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    torn = copied(QWEN, tmp_path, generation_config__json="{")
    listed = copied(MINICPM, tmp_path, config__json=[])
    for source, words in (
        (tmp_path / "nowhere", "the folder does not exist"),
        (tmp_path / "empty", "it holds no config.json"),
        (torn, "generation_config.json is not valid JSON"),
        (listed, "config.json is no JSON object"),
    ):
        with pytest.raises(UsageProblem, match=words):
            main(["new", str(source), "--out", str(tmp_path / "x.yaml")])
    assert not (tmp_path / "x.yaml").exists()


def test_values_of_a_wrong_kind_are_not_taken(tmp_path: Path) -> None:
    odd = copied(
        QWEN,
        tmp_path,
        config__json={"model_type": "x", "max_position_embeddings": "many", "torch_dtype": 16, "video_token_id": None},
        generation_config__json={"eos_token_id": "end"},
        tokenizer_config__json={"added_tokens_decoder": {"1": {"content": 7, "special": True}, "2": "x"}},
        model__safetensors__index__json=[],
    )
    model = loaded(odd, tmp_path, "--base", "vllm-cuda").profile.model
    assert (model.stop_token_ids, model.special_tokens, model.video) == ([], [], None)
    assert (model.max_model_len, model.weights_bytes) == (None, None)


def test_a_vocabulary_of_thousands_of_reserved_tokens_still_gives_a_profile(tmp_path: Path) -> None:
    rows = {str(n): {"content": f"<unused{n}>", "special": True} for n in range(6000)}
    many = copied(QWEN, tmp_path, tokenizer_config__json={"added_tokens_decoder": rows})
    path = written(many, tmp_path, *ASCEND)
    assert len(load_profile(str(path), PROFILES).profile.model.special_tokens) == 200
    assert "the first 200 of 6000" in path.read_text("utf-8")


def test_tokens_beyond_the_bytes_of_a_profile_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    texts = ["<a>", "<\ud800>", *(f"<{n}{'x' * 1000}>" for n in range(100))]
    rows = {str(n): {"content": text, "special": True} for n, text in enumerate(texts)}
    many = copied(
        QWEN,
        tmp_path,
        tokenizer_config__json={"added_tokens_decoder": rows},
        generation_config__json={"eos_token_id": [7, -1]},
    )
    path = written(many, tmp_path, *ASCEND)
    model = load_profile(str(path), PROFILES).profile.model
    assert model.special_tokens == [texts[0], *texts[2:10]]
    assert "the first 9 of 101" in path.read_text("utf-8")
    assert model.stop_token_ids == [7]


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = written(MODELS / QWEN, tmp_path)
    before = path.read_bytes()
    with pytest.raises(UsageProblem, match="--out: .*exists already"):
        main(["new", str(MODELS / MINICPM), "--out", str(path)])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "required: command, FOLDER"),
        (["nwe", "x"], "there is no 'nwe'; there is: new. Did you mean 'new'"),
        (["new"], r"required: FOLDER\|URL"),
        (["new", "x", "--bsae", "y"], "unrecognized arguments: --bsae"),
        (["new", "x", "--base", "vllm-asend"], "mean 'vllm-ascend'"),
        (["new", "x", "--api-key-env", "NO_SUCH_KEY"], "'NO_SUCH_KEY' is not set"),
        (["new", "http://u:p@h"], "URL: the URL carries credentials"),
        (["new", "x", "--name", ""], "--name: the value is empty"),
        (["new", "x", "--name", "n" * 129], "--name: 'nn.* is no name of a profile; .* 128 bytes at most"),
        (["new", "x", "--vlm-set", "endpoint.only_v1=true"], "--vlm-set: .* a folder is given"),
        (["new", "http://h:1", "--set", "api.tools=true"], "--vlm-set: 'api.tools' is not taken here"),
        (["new", "http://h:1", "--set", "endpoint.ca_bundel=x"], "mean 'ca_bundle'"),
        (["new", "http://h:1", "--set", "endpoint.ca_bundle=/no/ca.pem"], "endpoint.ca_bundle: .*/no/ca.pem"),
        (["new", "http://h:1", "--set", "endpoint.headers={x-a: NO_SUCH_KEY}"], "'NO_SUCH_KEY' is not set"),
    ],
)
def test_a_wrong_argument_is_one_line(args: list[str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words) as raised:
        main(args)
    assert "\n" not in str(raised.value)


def test_a_name_that_no_profile_can_have_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="^--name: 'a/b' is no name of a profile"):
        main(["new", str(MODELS / QWEN), "--name", "a/b", "--out", str(tmp_path / "x.yaml")])
    assert not (tmp_path / "x.yaml").exists()


def serving(*cards: dict[str, Any]) -> Answer:
    """An endpoint that lists these models."""
    return lambda request: [response(json.dumps({"data": list(cards)}).encode())]


def test_an_endpoint_gives_the_models_name_and_its_context_length(
    wire: Callable[[Answer], WireServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = wire(serving({"id": "org/Some Model", "max_model_len": 8192, "root": "/secret"}))
    monkeypatch.setenv("MY_KEY", "sk-1")
    path = written(server.url + "/v1", tmp_path, "--api-key-env", "MY_KEY")
    assert [line.endswith(" --vlm-api-key-env=MY_KEY") for line in capsys.readouterr().out.splitlines()[2:]] == [
        True, True,
    ]  # fmt: skip
    found = load_profile(str(path), PROFILES)
    assert (found.profile.name, found.profile.model.id) == ("some-model", "org/Some Model")
    assert found.profile.model.max_model_len == 8192
    assert set(found.sources) == {"name", "model.id", "model.max_model_len"}
    assert (server.requests[0].path, server.requests[0].headers["authorization"]) == ("/v1/models", "Bearer sk-1")
    text = path.read_text("utf-8")
    assert "sk-1" not in text
    assert "/secret" not in text


def test_of_several_models_one_must_be_named(wire: Callable[[Answer], WireServer], tmp_path: Path) -> None:
    server = wire(serving({"id": "a"}, {"id": "b"}))
    with pytest.raises(UsageProblem, match="serves 2 models; name one with --id: 'a', 'b'"):
        main(["new", server.url, "--out", str(tmp_path / "x.yaml")])
    with pytest.raises(UsageProblem, match="does not serve 'c'"):
        main(["new", server.url, "--id", "c", "--out", str(tmp_path / "x.yaml")])
    assert loaded(server.url, tmp_path, "--id", "b").profile.model.id == "b"


def test_an_endpoint_that_tells_nothing_is_one_line(wire: Callable[[Answer], WireServer], tmp_path: Path) -> None:
    server = wire(lambda request: [response(b"<html>", "401 Unauthorized")])
    with pytest.raises(UsageProblem, match=r"URL: .* demands a key \(HTTP 401.*--vlm-api-key-env=NAME"):
        main(["new", server.url, "--out", str(tmp_path / "x.yaml")])
    with pytest.raises(EnvironmentProblem, match="lists no model; see the log"):
        main(["new", wire(serving()).url, "--out", str(tmp_path / "x.yaml")])
    with pytest.raises(EnvironmentProblem, match=r"nothing answers at http://127\.0\.0\.1:9"):
        main(["new", "http://127.0.0.1:9", "--out", str(tmp_path / "x.yaml")])


def test_the_wrong_protocol_or_certificate_has_its_remedy_which_is_taken(
    wire: Callable[[Answer], WireServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, file = wire(serving({"id": "a"})).url, certificate(tmp_path)
    with pytest.raises(UsageProblem, match=f"URL: .*give the URL {plain}$"):
        main(["new", plain.replace("http:", "https:")])
    with tls_endpoint(file) as port:
        with pytest.raises(UsageProblem, match=f"URL: .*give the URL https://localhost:{port}$"):
            main(["new", f"http://localhost:{port}"])
        url, trusted = f"https://localhost:{port}", f"--vlm-set=endpoint.ca_bundle={file}"
        with pytest.raises(UsageProblem, match="URL: .*--vlm-set=endpoint.ca_bundle=FILE"):
            main(["new", url])
        path = written(url, tmp_path, trusted)
    for command, line in zip(("plan", "smoke"), capsys.readouterr().out.splitlines()[2:], strict=True):
        assert line.endswith(f"vlm-acceptance {command} --vlm-profile={path} --vlm-base-url={url} {trusted}")


def test_an_endpoint_that_hangs_is_a_matter_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_profile, "DEADLINE_S", 0.3)
    with banner_server(b"") as port, pytest.raises(EnvironmentProblem, match="does not answer /v1/models in time"):
        main(["new", f"http://127.0.0.1:{port}"])


def test_the_next_commands_are_said_and_the_profile_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(MODELS / QWEN, tmp_path, *ASCEND)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"written: {path} (9 values, extends vllm-ascend)"
    assert told[1].startswith("not known: model.prompt_start, ")
    assert told[2:] == [
        f"next: vlm-acceptance plan --vlm-profile={path}", f"then: vlm-acceptance smoke --vlm-profile={path}",
    ]  # fmt: skip
    ran = pytest_run("--vlm-show-profile", f"--vlm-profile={path}")
    assert ran.code == 0, ran.output
    assert "model.stop_token_ids: [151645, 151643]  # mine.yaml" in ran.out.splitlines()
    assert "device.kind: npu  # vllm-ascend.yaml" in ran.out.splitlines()
