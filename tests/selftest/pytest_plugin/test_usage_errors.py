"""A user's mistake is reported in one line with exit code 4, never with a traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.support.runs import Ran, pytest_run, warm_run

FILES = {
    "unknown-key.yaml": "extends: control-cpu\nname: x\nengine: {prot: 8001}\n",
    "unknown-section.yaml": "extends: control-cpu\nname: x\nlatncy: {repeats: 2}\n",
    "nested-key.yaml": "extends: control-cpu\nname: x\nlatency: {categories: {ocr: {tttf_s: 1}}}\n",
    "no-model.yaml": "name: x\n",
    "bad-name.yaml": "extends: control-cpu\nname: a/b\n",
    "twice.yaml": "name: x\nmodel: {id: a, id: b}\n",
    "no-yaml.yaml": "name: [x\n",
    "binary.yaml": "\x00\x01",
    "list.yaml": "- name\n",
    "circle-a.yaml": "extends: circle-b.yaml\nname: a\nmodel: {id: m}\n",
    "circle-b.yaml": "extends: circle-a.yaml\nname: b\n",
    "orphan.yaml": "extends: contrl-cpu\nname: x\n",
    "answers.yaml": "extends: control-cpu\nname: x\ncapability: {golden_answers: no/such.jsonl}\n",
    "mmmu.yaml": "extends: control-cpu\nname: x\nmmmu: {known_answers: no/such.jsonl}\n",
    "plain.yaml": "name: x\nmodel: {id: m}\n",
    "stored.txt": "no record\n",
    "foreign.csv": "id,prediction\nvalidation_Art_1,A\n",
}

# name -> arguments ({tmp} is a folder, {port} a closed port, {url} an endpoint), and words of the line
WRONG: dict[str, tuple[list[str], list[str]]] = {
    "unknown profile": (["--vlm-profile=contrl-cpu"], ["'contrl-cpu'", "internvl2-2b-ascend", "mean 'control-cpu'"]),
    "missing profile file": (["--vlm-profile={tmp}/none.yaml"], ["none.yaml", "does not exist", "control-cpu"]),
    "unknown key in file": (["--vlm-profile={tmp}/unknown-key.yaml"], ["engine.prot", "8001", "mean 'port'"]),
    "unknown section": (["--vlm-profile={tmp}/unknown-section.yaml"], ["latncy", "mean 'latency'"]),
    "unknown nested key": (["--vlm-profile={tmp}/nested-key.yaml"], ["ocr.tttf_s", "e2e_s", "mean 'ttft_s'"]),
    "missing key": (["--vlm-profile={tmp}/no-model.yaml"], ["no-model.yaml", "'model'", "missing"]),
    "name that is no folder": (["--vlm-profile={tmp}/bad-name.yaml"], ["name", "'a/b'"]),
    "key given twice": (["--vlm-profile={tmp}/twice.yaml"], ["twice.yaml", "'id'", "given twice"]),
    "no YAML": (["--vlm-profile={tmp}/no-yaml.yaml"], ["no-yaml.yaml", "cannot be read as YAML"]),
    "binary file": (["--vlm-profile={tmp}/binary.yaml"], ["binary.yaml", "cannot be read as YAML"]),
    "not a mapping": (["--vlm-profile={tmp}/list.yaml"], ["list.yaml", "holds list"]),
    "extends circle": (["--vlm-profile={tmp}/circle-a.yaml"], ["circle-a.yaml", "circle"]),
    "extends unknown": (["--vlm-profile={tmp}/orphan.yaml"], ["'contrl-cpu'", "mean 'control-cpu'"]),
    "known answers missing": (["--vlm-profile={tmp}/answers.yaml"], ["capability.golden_answers", "no/such.jsonl"]),
    "set of unknown key": (["--vlm-set=engine.prot=1"], ["--vlm-set", "engine.prot", "mean 'port'"]),
    "set below a value": (["--vlm-set=engine.port.x=1"], ["--vlm-set", "engine.port"]),
    "set without =": (["--vlm-set=engine.port"], ["--vlm-set", "'engine.port'", "KEY=VALUE"]),
    "set of wrong type": (["--vlm-set=engine.port=eighty"], ["--vlm-set", "engine.port", "'eighty'", "integer"]),
    "set of wrong literal": (["--vlm-set=engine.mode=egaer"], ["engine.mode", "'egaer'", "graph", "mean 'eager'"]),
    "set of no YAML": (["--vlm-set=engine.args=[a"], ["--vlm-set", "engine.args", "quote it"]),
    "port out of range": (["--vlm-port=70000"], ["--vlm-port", "engine.port", "70000", "65535"]),
    "negative time": (["--vlm-set=deadlines.cold_s=-1"], ["deadlines.cold_s", "-1", "greater than 0"]),
    "unknown option": (["--vlm-profil=control-cpu"], ["'--vlm-profil'", "--vlm-base-url", "mean '--vlm-profile'"]),
    "unknown evidence": (["--vlm-evidence=fialed"], ["--vlm-evidence", "'fialed'", "all, none", "mean 'failed'"]),
    "URL without scheme": (["--vlm-base-url=127.0.0.1:{port}"], ["--vlm-base-url", "127.0.0.1", "http"]),
    "URL with credentials": (["--vlm-base-url=http://me:secret@h:1"], ["--vlm-base-url", "--vlm-api-key-env"]),
    "URL with bad port": (["--vlm-base-url=http://h:99999"], ["--vlm-base-url", "'http://h:99999'", "port"]),
    "URL of another scheme": (["--vlm-base-url=ftp://h/"], ["--vlm-base-url", "'ftp://h/'", "http"]),
    "URL with a query": (["--vlm-base-url=http://h/?a=b"], ["--vlm-base-url", "query", "only: http://h/"]),
    "empty URL": (["--vlm-base-url="], ["--vlm-base-url", "empty"]),
    "unset key variable": (["--vlm-api-key-env=NO_SUCH_KEY"], ["--vlm-api-key-env", "'NO_SUCH_KEY'"]),
    "existing baseline": (["--vlm-record-baseline={tmp}/twice.yaml"], ["--vlm-record-baseline", "exists already"]),
    "no folder to calibrate": (["--vlm-calibrate={tmp}/none/c.yaml"], ["--vlm-calibrate", "does not exist"]),
    "unknown MMMU engine": (["--vlm-mmmu-engine=sever"], ["--vlm-mmmu-engine", "'sever'", "mean 'server'"]),
    "unknown MMMU prompts": (["--vlm-mmmu-protocol=oficial"], ["--vlm-mmmu-protocol", "mean 'official'"]),
    "empty MMMU data": (["--vlm-mmmu-data="], ["--vlm-mmmu-data", "empty"]),
    "MMMU answers missing": (["--vlm-profile={tmp}/mmmu.yaml"], ["mmmu.known_answers", "no/such.jsonl"]),
    "MMMU without limits": (["--vlm-set=mmmu.min_correct=null"], ["mmmu.reference", "mmmu.max_correct"]),
    "MMMU limits crossed": (["--vlm-set=mmmu.max_correct=1"], ["--vlm-set", "mmmu.max_correct", "min_correct"]),
    "numbers missing": (["--vlm-set=logprobs.baseline=no/such.jsonl"], ["logprobs.baseline", "no/such.jsonl"]),
    "prompts missing": (["--vlm-set=logprobs.prompts=no/such.jsonl"], ["logprobs.prompts", "no/such.jsonl"]),
    "missing stored run": (["--vlm-baseline={tmp}/none.xlsx"], ["--vlm-baseline", "none.xlsx", "does not exist"]),
    "model not in the profile": (["--vlm-base-url={url}"], ["'somebody-elses-model'", "--vlm-profile", "control-cpu"]),
}


def argv(name: str, tmp: Path, url: str) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = [arg.format(tmp=tmp, port=port, url=url) for arg in WRONG[name][0]]
    chosen = any("--vlm-profile=" in arg for arg in given) or name.startswith("model not")
    return ["--co", *([] if chosen else ["--vlm-profile=control-cpu"]), *given]


@pytest.fixture(scope="module")
def wrong_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ran]]:
    """Runs of all wrong command lines of the table."""
    tmp = tmp_path_factory.mktemp("wrong")
    for name, text in FILES.items():
        (tmp / name).write_text(text, "utf-8")
    with QuickServer(Behaviour(model="somebody-elses-model")) as server:
        yield {name: warm_run(*argv(name, tmp, server.url)) for name in WRONG}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line_and_exit_code_4(name: str, wrong_runs: dict[str, Ran]) -> None:
    ran = wrong_runs[name]
    assert ran.code == 4, ran.output
    assert len(ran.problems) == 1, ran.output
    assert "Traceback" not in ran.output
    for words in WRONG[name][1]:
        assert words in ran.problems[0]


def test_a_forked_run_answers_as_a_started_one(wrong_runs: dict[str, Ran]) -> None:
    """All others are forked from a process that has imported pytest and the suite."""
    assert pytest_run(*argv("unknown profile", Path(), "")) == wrong_runs["unknown profile"]


def test_credentials_of_a_url_are_not_repeated(wrong_runs: dict[str, Ran]) -> None:
    assert "secret" not in wrong_runs["URL with credentials"].output


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VLM_PROFILE", "nosuch", "'nosuch'"),
        ("VLM_SET", "engine.prot=1", "VLM_SET"),
        ("VLM_EVIDENCE", "some", "VLM_EVIDENCE"),
    ],
)
def test_variable_is_named_as_the_source_of_a_wrong_value(variable: str, value: str, words: str) -> None:
    ran = warm_run("--co", env={"VLM_PROFILE": "control-cpu", variable: value})
    assert ran.code == 4
    assert [words in line for line in ran.problems] == [True]


@pytest.mark.parametrize("more", [[], ["--vlm-plan"]], ids=["run", "plan"])
def test_reports_folder_that_cannot_be_written_is_reported_before_anything_starts(
    more: list[str], tmp_path: Path
) -> None:
    in_its_place = tmp_path / "reports"
    in_its_place.write_text("", "utf-8")
    ran = warm_run("-m", "smoke", "--vlm-profile=control-cpu", f"--vlm-reports={in_its_place}", *more)
    assert ran.code == 4
    assert "Traceback" not in ran.output
    assert ["--vlm-reports" in line and str(in_its_place) in line for line in ran.problems] == [True]


def test_workers_are_refused_where_they_exist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    ran = warm_run("-m", "smoke", "-n2", "--vlm-profile=control-cpu", f"--vlm-reports={tmp_path}")
    assert ran.code == 4
    assert ["-n" in line for line in ran.problems] == [True]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--vlm-resume=latest"], ["--vlm-resume", "no run below", "mmmu_val.jsonl"]),
        (["--vlm-resume={tmp}/nowhere"], ["--vlm-resume", "nowhere", "mmmu_val.jsonl", "latest"]),
        (["--vlm-resume={tmp}"], ["mmmu_val.jsonl", "is not an answers file"]),
        (["--vlm-baseline={tmp}/stored.txt"], ["stored.txt", ".xlsx"]),
        (["--vlm-baseline={tmp}/foreign.csv"], ["foreign.csv", "119 of 120 questions"]),
        (["--vlm-profile={tmp}/plain.yaml", "--vlm-resume=latest"], ["--vlm-resume", "asks for no MMMU run"]),
        (
            ["--vlm-profile={tmp}/plain.yaml", "--vlm-baseline={tmp}/foreign.csv"],
            ["--vlm-baseline", "asks for no MMMU run"],
        ),
    ],
)
def test_an_unusable_stored_run_is_reported_before_anything_starts(
    tmp_path: Path, args: list[str], words: list[str]
) -> None:
    for name in ("plain.yaml", "stored.txt", "foreign.csv"):
        (tmp_path / name).write_text(FILES[name], "utf-8")
    (tmp_path / "mmmu_val.jsonl").write_text("[]\n", "utf-8")
    given = [arg.format(tmp=tmp_path) for arg in args]
    chosen = [] if "plain" in given[0] else ["--vlm-profile=control-cpu"]
    ran = warm_run("-m", "smoke", *chosen, *given, f"--vlm-reports={tmp_path / 'reports'}")
    assert ran.code == 4, ran.output
    assert "Traceback" not in ran.output
    assert len(ran.problems) == 1, ran.output
    for word in words:
        assert word in ran.problems[0]
