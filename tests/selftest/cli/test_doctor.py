"""The command `doctor`: lines and a count, or one JSON document; its exit codes; no secret is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.support.runs import ROOT, clean_env

from vlm_acceptance.cli import doctor
from vlm_acceptance.cli.run import pytest_args
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING
from vlm_acceptance.run import doctor_endpoint
from vlm_acceptance.run.doctor import LaunchDoctor, of_suite

CONTROL = Behaviour(model="vlm-acceptance/control")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of a busy machine."""
    monkeypatch.setattr(doctor, "LIMIT_S", 120)
    monkeypatch.setattr(doctor_endpoint, "PROBE_S", 60)


def test_lines_end_with_their_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with QuickServer(CONTROL) as server:
        assert doctor.main([server.url, "--vlm-reports", str(tmp_path)]) == 0
    *lines, count = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {OK, WARNING}
    assert any(line.startswith("ok       models ") for line in lines)
    assert count.startswith(f"{sum(line.startswith('ok') for line in lines)} ok, ")


def test_json_is_one_document_with_these_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with QuickServer(Behaviour(model="somebody/else")) as server:
        assert doctor.main(["--json", "--vlm-base-url", server.url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "schema", "examined", "url", "profile", "lines", "counts", "proposed_profile", "exit_code",
    ]  # fmt: skip
    assert (found["schema"], found["examined"], found["url"], found["profile"]) == (1, "endpoint", server.url, None)
    assert {tuple(line) for line in found["lines"]} == {("check", "status", "message")}
    assert list(found["counts"]) == [OK, WARNING, FAILURE]
    assert sum(found["counts"].values()) == len(found["lines"])
    assert found["proposed_profile"] == "name: else\nmodel: {id: somebody/else}"
    assert found["exit_code"] == 0


def test_a_failure_is_exit_code_10(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--json", "http://127.0.0.1:9"]) == 10
    found = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["counts"][FAILURE]) == (10, 1)


def test_a_machine_is_examined_with_the_options_of_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ["--profile", "control-cpu", "--vlm-model", str(tmp_path), "--vlm-engine-python", sys.executable]
    assert doctor.main(["--json", *given, "--vlm-set", "engine.source=[/no/set_env.sh]"]) == 10
    found = json.loads(capsys.readouterr().out)
    assert (found["examined"], found["profile"], found["url"]) == ("machine", "control-cpu", None)
    said = {line["check"]: (line["status"], line["message"]) for line in found["lines"]}
    assert said["weights"][0] == FAILURE
    assert "config.json is missing" in said["weights"][1]
    assert "/no/set_env.sh" in said["environment"][1]


def test_reports_are_those_of_a_run_in_the_current_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VLM_REPORTS", raising=False)
    assert doctor.main(["--json", "http://127.0.0.1:9"]) == 10
    said = {line["check"]: line["message"] for line in json.loads(capsys.readouterr().out)["lines"]}
    assert said["reports"].startswith(f"{tmp_path}/reports, ")
    assert f"--vlm-reports={tmp_path}/reports" in pytest_args("smoke", [], {}, Path.cwd())


def test_every_check_is_in_its_page() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8")
    loaded = load_profile("internvl2-2b-ascend", PROFILES)
    probes = of_suite(ROOT, {}, 1) + LaunchDoctor(loaded, "", None, {}).probes()
    probes += doctor_endpoint.EndpointDoctor(Client("http://h"), None, lambda _: [], False).probes()
    named = {probe.check for probe in probes} | {"versions", "protocol", "key"}
    assert [check for check in sorted(named) if f"`{check}`" not in page] == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--profile", "contrl-cpu"], ["'contrl-cpu'", "'control-cpu'"]),
        (["--vlm-profil", "x"], ["'--vlm-profil'", "'--vlm-profile'"]),
        (["--vlm-set", "engine.prot=1"], ["engine.prot", "'port'"]),
        (["--vlm-profile"], ["--vlm-profile", "expected one argument"]),
        (["127.0.0.1:8000"], ["error: URL: ", "127.0.0.1:8000", "http://"]),
        (["http://h:1", "--vlm-base-url", "http://h:2"], ["both given"]),
        (["http://h:1", "--vlm-api-key-env", "NO_SUCH_KEY"], ["'NO_SUCH_KEY'"]),
        (["https://h:1", "--set", "endpoint.ca_bundle=/no/ca.pem"], ["endpoint.ca_bundle", "/no/ca.pem"]),
        ([""], ["URL: the value is empty"]),
        (["http://h:1", "--set", "api.routs=1"], ["'api.routs'", "'routes'"]),
        (["http://h:1", "--port", "3"], ["--vlm-port", "but URL names one that runs already"]),
        (["--base-url", "http://h:1", "--port", "3"], ["but --vlm-base-url names one"]),
        (["--profile", "internvl2-2b-ascend", "--set", "device.count=2"], ["device.count: 2", "must agree"]),
        (["http://h:1", "--profile", "control-cpu", "--set", "logprobs.prompts=no/such.jsonl"], ["no/such.jsonl"]),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_4(
    capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]
) -> None:
    assert doctor.main(args) == 4
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith("error: ")
    for word in words:
        assert word in shown.err


def test_no_secret_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    monkeypatch.setenv("http_proxy", "http://me:pass-of-proxy@proxy:1")
    with QuickServer(Behaviour(model="model-sk-very-secret")) as server:
        doctor.main([server.url, "--vlm-api-key-env", "MY_KEY"])
        shown = capsys.readouterr().out
        doctor.main(["--json", server.url, "--vlm-api-key-env", "MY_KEY"])
    shown += capsys.readouterr().out
    assert "serves [" in shown
    assert "proposed_profile" in shown
    assert "sk-very-secret" not in shown
    assert "pass-of-proxy" not in shown


def test_it_runs_as_a_module_without_vllm_torch_and_card() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('vllm', 'torch', 'torch_npu', 'transformers')));"
    code = f"{blocked} from vlm_acceptance.cli.doctor import main; sys.exit(main(['http://127.0.0.1:9']))"
    env = clean_env({"PYTHONPATH": str(ROOT / "src")})
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (10, "")
    assert "nothing answers at http://127.0.0.1:9" in done.stdout
