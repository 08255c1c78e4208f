"""Options: the command line replaces the environment, which replaces the profile; errors name the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_acceptance.config.options import OPTIONS, Settings, api_key, checked_url, given, load, unknown_option
from vlm_acceptance.config.paths import ROOT, writable_folder
from vlm_acceptance.core.errors import UsageProblem


def loaded(env: dict[str, str] | None = None, **values: object) -> Settings:
    return load(values, env or {}, "control-cpu", "a test")


def test_the_command_line_replaces_the_environment_and_that_the_profile() -> None:
    assert loaded().loaded.profile.engine.port == 0
    env = {"VLM_PORT": "8001"}
    assert loaded(env).loaded.profile.engine.port == 8001
    both = loaded(env, vlm_port="8002").loaded
    assert (both.profile.engine.port, both.sources["engine.port"]) == (8002, "--vlm-port")
    listed = loaded({"VLM_SET": "engine.port=1;engine.host=h"}, vlm_set=["engine.port=2", "engine.port=3"]).loaded
    assert (listed.profile.engine.port, listed.profile.engine.host) == (3, "h")
    assert (listed.sources["engine.port"], listed.sources["engine.host"]) == ("--vlm-set", "VLM_SET")


def test_without_options_the_defaults_are_used() -> None:
    settings = loaded()
    assert (settings.base_url, settings.api_key, settings.evidence) == (None, None, "failed")
    assert settings.reports == ROOT / "reports"
    assert settings.launched


def test_options_of_the_accuracy_run_change_the_profile() -> None:
    env = {"VLM_MMMU_DATA": "/data", "VLM_MMMU_PROTOCOL": "official"}
    wanted = loaded(env, vlm_mmmu_engine="offline", vlm_mmmu_protocol="internvl").loaded
    assert wanted.profile.mmmu is not None
    assert (wanted.profile.mmmu.data, wanted.profile.mmmu.engine) == ("/data", "offline")
    assert (wanted.profile.mmmu.protocol, wanted.sources["mmmu.protocol"]) == ("internvl", "--vlm-mmmu-protocol")


@pytest.mark.parametrize("values", [{"vlm_mmmu_engine": "sever"}, {"vlm_mmmu_protocol": "vlmevalkti"}])
def test_a_wrong_value_for_the_accuracy_run_is_refused_with_the_nearest(values: dict[str, str]) -> None:
    with pytest.raises(UsageProblem, match=r"^--vlm-mmmu-\w+: mmmu\.\w+: .* Did you mean '(server|vlmevalkit)'"):
        loaded(**values)


def test_a_stored_run_is_a_file_and_a_resumed_run_any_text(tmp_path: Path) -> None:
    stored = tmp_path / "stored.jsonl"
    stored.write_text("", "utf-8")
    settings = loaded({"VLM_RESUME": "latest"}, vlm_baseline=str(stored))
    assert (settings.resume, settings.baseline, settings.record_baseline) == ("latest", stored, None)
    assert loaded(vlm_resume="one", vlm_record_baseline=str(tmp_path / "b")).resume == "one"
    assert (loaded().resume, loaded().baseline) == (None, None)
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageProblem, match="^VLM_BASELINE: .* (does not exist|is not a file)"):
            loaded({"VLM_BASELINE": str(missing)})


def test_stored_log_probabilities_are_recognized_by_their_content(tmp_path: Path) -> None:
    logprobs = ROOT / "fixtures" / "baselines" / "control.jsonl"
    own = tmp_path / "own.jsonl"
    own.write_bytes(logprobs.read_bytes())
    given = loaded(vlm_baseline=str(own))
    assert (given.baseline, given.logprobs_baseline) == (None, own)
    stored = tmp_path / "stored.jsonl"
    stored.write_text("{}\n", "utf-8")
    given = loaded(vlm_baseline=str(stored))
    assert (given.baseline, given.logprobs_baseline) == (stored, logprobs)
    assert loaded(vlm_set=["logprobs.baseline=null"]).logprobs_baseline is None
    with pytest.raises(UsageProblem, match="^logprobs.baseline: 'nowhere' does not exist"):
        loaded(vlm_set=["logprobs.baseline=nowhere"])


def test_a_recording_to_json_lines_is_one_of_log_probabilities(tmp_path: Path) -> None:
    wanted = loaded(vlm_record_baseline=str(tmp_path / "b.jsonl"))
    assert (wanted.record_baseline, wanted.record_logprobs) == (None, tmp_path / "b.jsonl")
    wanted = loaded(vlm_record_baseline=str(tmp_path / "b.yaml"))
    assert (wanted.record_baseline, wanted.record_logprobs) == (tmp_path / "b.yaml", None)


def test_missing_limits_of_the_accuracy_run_are_an_error_before_the_start() -> None:
    for text in ("mmmu.min_correct=null", "mmmu.max_correct=null"):
        with pytest.raises(UsageProblem, match="^mmmu.reference: 'MMMU_val' names no reference with correct and total"):
            loaded(vlm_set=[text])
    half = "references={MMMU_val: {score: 1}}"
    named = ["mmmu.min_correct=null", "mmmu.reference=MMMU_vla"]
    with pytest.raises(UsageProblem, match="'MMMU_vla' names no reference .* Did you mean 'MMMU_val'"):
        loaded(vlm_set=[half, *named])
    with pytest.raises(UsageProblem, match="'MMMU_val' names no reference"):
        loaded(vlm_set=[half, "mmmu.min_correct=null", "mmmu.reference=MMMU_val"])
    counted = "references={MMMU_val: {score: 1, correct: 1, total: 100}}"
    assert loaded(vlm_set=[counted, "mmmu.min_correct=null", "mmmu.reference=MMMU_val"]).launched


def test_known_answers_of_the_accuracy_run_must_exist() -> None:
    with pytest.raises(UsageProblem, match=r"^mmmu\.known_answers: 'no/such.jsonl' does not exist"):
        loaded(vlm_set=["mmmu.known_answers=no/such.jsonl"])


def test_known_answers_of_the_accuracy_run_are_a_file_of_text(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"^mmmu\.known_answers: '.*' is not a file$"):
        loaded(vlm_set=[f"mmmu.known_answers={tmp_path}"])
    known = tmp_path / "known.jsonl"
    known.write_bytes(b'{"id": "\xff"}')
    with pytest.raises(UsageProblem, match=r"^mmmu\.known_answers: '.*known.jsonl' is not UTF-8 text \(byte 8\)$"):
        loaded(vlm_set=[f"mmmu.known_answers={known}"])
    known.write_text("", "utf-8")
    assert loaded(vlm_set=[f"mmmu.known_answers={known}"]).launched


def test_an_empty_variable_is_not_given_but_an_empty_option_is_wrong() -> None:
    option = next(option for option in OPTIONS if option.name == "vlm-base-url")
    assert given(option, None, {"VLM_BASE_URL": ""}) == (None, "")
    with pytest.raises(UsageProblem, match="--vlm-base-url: the value is empty"):
        given(option, "", {})


def test_reports_go_to_an_absolute_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert loaded(vlm_reports="out").reports == tmp_path / "out"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://h:1/", "http://h:1"),
        ("https://h/api/v1/", "https://h/api"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
    ],
)
def test_a_url_is_the_address_before_v1(url: str, expected: str) -> None:
    assert checked_url(url, "x") == expected


@pytest.mark.parametrize(
    "url", ["h:1", "//h", "http://", "http:///x", "http://u@h", "http://h:0x1", "http://h#x", "http://[::1"]
)
def test_an_invalid_address_is_refused_with_its_source(url: str) -> None:
    with pytest.raises(UsageProblem, match="^--vlm-base-url: "):
        checked_url(url, "--vlm-base-url")


@pytest.mark.parametrize("url", ["http://u:secret@h", "ftp://u:secret@h", "http://secret@h:99999", "x://secret@"])
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageProblem, match="--vlm-api-key-env") as raised:
        checked_url(url, "--vlm-base-url")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://h/?api_key=sk-1", "h/?k=sk-1", "http://h:99999/?k=sk-1", "http://h#sk-1", "http://h/health?sk-1#x"]
)
def test_a_query_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageProblem, match="^--vlm-base-url: the URL has a query or fragment") as raised:
        checked_url(url, "--vlm-base-url")
    assert "sk-1" not in str(raised.value)
    assert str(raised.value).endswith(f": {url.partition('?')[0].partition('#')[0]}")


def test_every_option_has_a_variable_of_the_same_name_and_a_help() -> None:
    for option in OPTIONS:
        assert option.variable == option.name.upper().replace("-", "_")
        assert option.help
        assert option.name.startswith("vlm-")


@pytest.mark.parametrize(
    ("arg", "nearest"), [("--vlm-basurl=x", "--vlm-base-url"), ("--vlm-evidense", "--vlm-evidence")]
)
def test_a_mistyped_option_is_refused_with_the_nearest(arg: str, nearest: str) -> None:
    assert f"Did you mean '{nearest}'?" in (unknown_option(["-q", arg]) or "")


def test_valid_options_and_those_of_pytest_are_accepted() -> None:
    assert unknown_option(["-q", "--vlm-set=a=b", "--vlm-show-profile", "--verbose", "vlm"]) is None


def test_the_key_is_read_from_the_named_variable() -> None:
    settings = loaded({"MY_KEY": "sk-1", "VLM_API_KEY_ENV": "MY_KEY"})
    assert (settings.api_key_env, settings.api_key) == ("MY_KEY", "sk-1")


def test_a_reports_folder_is_made_and_stays_empty(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b", "x")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UsageProblem, match="^x: reports cannot be written to"):
        writable_folder(tmp_path / "file", "x")


def test_an_attached_endpoint_has_no_offline_engine() -> None:
    with pytest.raises(UsageProblem, match="^mmmu.engine: an attached endpoint has no 'offline' engine"):
        loaded(vlm_base_url="http://127.0.0.1:1", vlm_mmmu_engine="offline")
    assert loaded(vlm_mmmu_engine="offline").launched
    assert not loaded(vlm_base_url="http://127.0.0.1:1").launched


def test_a_seed_is_taken_from_the_command_line_or_the_environment_and_else_drawn() -> None:
    assert loaded(vlm_seed="0").seed == 0
    assert loaded({"VLM_SEED": "17"}).seed == 17
    assert loaded({"VLM_SEED": "17"}, vlm_seed=str(2**63)).seed == 2**63
    drawn = {loaded().seed for _ in range(8)}
    assert len(drawn) == 8
    assert max(drawn) < 2**53


@pytest.mark.parametrize("wrong", ["-1", "1.5", "0x10", "one", "1e3", " 7", "٣", "+4", str(2**63 + 1), "9" * 5000, "²"])
def test_a_seed_that_is_no_whole_number_in_range_is_refused_in_one_line(wrong: str) -> None:
    for given_by, source in (({"vlm_seed": wrong}, "--vlm-seed"), ({}, "VLM_SEED")):
        with pytest.raises(UsageProblem) as refused:
            loaded({} if given_by else {"VLM_SEED": wrong}, **given_by)
        line = str(refused.value)
        assert line.startswith(f"{source}: ")
        assert line.endswith("is not a seed; it is a whole number from 0 to 9223372036854775808")
        assert "\n" not in line
        assert len(line) < 200


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("sk-1\n", "character 5 is a line feed"),
        ("sk\r\n-1", "character 3 is a carriage return"),
        ("a\tb", "character 2 is a tab"),
        ("sk-\x00", "character 4 is U+0000"),
        ("sk-\x7f", "character 4 is U+007F"),
        ("sk-图", "character 4 is outside Latin-1"),
        ("sk-\udcff", "character 4 is U+DCFF"),
        (" sk-1", "a space stands at its beginning or end"),
        ("sk-1 ", "a space stands at its beginning or end"),
        (" ", "a space stands at its beginning or end"),
    ],
)
def test_a_key_that_no_header_can_carry_is_a_usage_error_that_does_not_show_it(key: str, why: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        api_key("MY_KEY", "--vlm-api-key-env", {"MY_KEY": key})
    message = str(raised.value)
    assert message.startswith(f"--vlm-api-key-env: the key in 'MY_KEY' cannot be sent in a header: {why}")
    assert "\n" not in message
    assert "sk-" not in message


@pytest.mark.parametrize("key", ["1", "é", "a b", 'sk-"<&>\\', "\xa0x", "x" * 64])
def test_any_other_key_is_taken(key: str) -> None:
    assert api_key("MY_KEY", "--vlm-api-key-env", {"MY_KEY": key}) == key


def test_keys_in_the_profile_are_secrets_too() -> None:
    changes = [
        "engine.args=[--api-key, sk-argument, --api-key=sk-joined]",
        "engine.env={HF_TOKEN: hf_0123456789, A: b}",
    ]
    settings = load({"vlm_set": changes}, {}, "control-cpu", "a test")
    assert settings.secrets == ("hf_0123456789", "sk-argument", "sk-joined")


@pytest.mark.parametrize("name", ["sk-4f9a2c", "a" * 41, "4f9a2c", "a b"])
def test_what_may_be_a_key_in_place_of_the_name_of_its_variable_is_not_shown(name: str) -> None:
    with pytest.raises(UsageProblem, match="put the key into a variable and give its name") as raised:
        api_key(name, "--vlm-api-key-env", {})
    assert name not in str(raised.value)


def test_any_name_of_a_variable_that_is_set_is_taken() -> None:
    assert api_key("my.key-1", "--vlm-api-key-env", {"my.key-1": "k"}) == "k"


def test_a_url_with_a_route_is_answered_with_its_address() -> None:
    with pytest.raises(UsageProblem, match=r"route '/v1/models'; give the address only: https://h/gateway$"):
        checked_url("https://h/gateway/v1/models/", "--vlm-base-url")


@pytest.mark.parametrize(
    ("option", "value"), [("vlm_port", "1"), ("vlm_model", "/m"), ("vlm_engine", "/e"), ("vlm_engine_python", "/p")]
)
def test_an_option_of_a_launched_engine_is_refused_beside_a_url_and_its_variable_is_not(
    option: str, value: str
) -> None:
    url = {"vlm_base_url": "http://h"}
    with pytest.raises(
        UsageProblem, match="for an engine that this run starts, but --vlm-base-url names one that runs"
    ):
        loaded(**{**url, option: value})
    assert not loaded({option.upper(): value}, **url).launched
