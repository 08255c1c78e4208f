"""`prepare` of the data sets of short answers: whole data in, prepared data out, one line for every problem."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest
from tests.support.made_splits import (
    Values,
    noise_png,
    picture_of,
    question,
    write_counts,
    write_lines,
    write_parquet_split,
    write_table,
)

from vlm_acceptance.accuracy import prepare_command
from vlm_acceptance.accuracy.chartqa.splits import AUGMENTED, HUMAN
from vlm_acceptance.accuracy.chartqa.splits import TEST as CHARTQA
from vlm_acceptance.accuracy.content_check import content_sha256
from vlm_acceptance.accuracy.docvqa.splits import PREPARATIONS as DOCVQA_PREPARATIONS
from vlm_acceptance.accuracy.docvqa.splits import VAL as DOCVQA
from vlm_acceptance.accuracy.ocrbench.splits import CATEGORIES
from vlm_acceptance.accuracy.ocrbench.splits import PREPARATIONS as OCRBENCH_PREPARATIONS
from vlm_acceptance.accuracy.ocrbench.splits import TEST as OCRBENCH
from vlm_acceptance.accuracy.ocrbench.splits import check_prepared as check_ocrbench
from vlm_acceptance.accuracy.prepare_command import Preparation, Request, prepare
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.split_counts import check_rows, expected_of
from vlm_acceptance.accuracy.textvqa.splits import VAL as TEXTVQA
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.engine.hub import HUGGING_FACE, MODELSCOPE

pytest.importorskip("pyarrow")
SRC = Path(__file__).parents[3] / "src"
PACKAGES = ("ocrbench", "chartqa", "textvqa", "docvqa", "infovqa")
DOCS = [question(1, "form", page="p"), question(2, "layout", ["x"], page="q"), question(3, "form", page="p")]
VAL = DOCVQA_PREPARATIONS["val"]


def silent(_: str) -> None:
    pass


def preparations(package: str) -> Mapping[str, Preparation]:
    return import_module(f"vlm_acceptance.accuracy.{package}.splits").PREPARATIONS


def hub(folder: Path, rows: list[Values] = DOCS) -> Path:
    """DocVQA's parquet with a counts.json for these questions."""
    write_counts(folder, rows)
    return write_parquet_split(DOCVQA, rows, folder)


def made_ocrbench() -> list[Values]:
    """The 1,000 questions with one small picture for all, in a fixed order."""
    names = [name for sets in CATEGORIES.values() for name, count in sets.items() for _ in range(count)]
    return [question(number, name, page="shared") for number, name in enumerate(names)]


def test_whole_ocrbench_is_prepared_from_parquet_and_from_the_table(tmp_path: Path) -> None:
    rows, lines = made_ocrbench(), []
    write_parquet_split(OCRBENCH, rows, tmp_path / "hub")
    preparation = OCRBENCH_PREPARATIONS["test"]
    prepared = prepare(preparation, Request(str(tmp_path / "hub"), tmp_path / "out"), lines.append)
    assert (prepared.dataset, len(prepared), prepared.source) == ("OCRBench", 1000, "parquet hub")
    content = content_sha256(prepared)
    assert lines[0] == f"1000 questions of OCRBench, content sha256 {content[:16]} (not pinned: no published hash)"
    assert lines[-1] == "1000/1000"
    assert prepared.manifest["content_sha256"] == content
    assert prepared.manifest["ids"] == "number"
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 1
    check_ocrbench(prepared)
    of_set = {name: category for category, sets in CATEGORIES.items() for name in sets}
    write_table(OCRBENCH, [{**row, "group": of_set[row["group"]]} for row in rows], tmp_path / "tsv")
    by_table = prepare(preparation, Request(str(tmp_path / "tsv"), tmp_path / "out2"), lines.append)
    assert any("OCRBench.tsv is not the published table: its md5 is" in line for line in lines)
    assert content_sha256(by_table) == content
    assert [item.group for item in by_table].count("HME100k") == 100
    check_ocrbench(by_table)


def test_part_of_ocrbench_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    rows = [row for row in made_ocrbench() if row["group"] not in ("svt", "POIE")]
    write_parquet_split(OCRBENCH, rows, tmp_path / "hub")
    with pytest.raises(EnvironmentProblem) as refused:
        prepare(OCRBENCH_PREPARATIONS["test"], Request(str(tmp_path / "hub"), tmp_path / "out"), silent)
    assert str(refused.value) == (
        "this is not the whole OCRBench: 916 of 1000 questions; svt: 0 of 17 questions; POIE: 0 of 67 questions"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("package", "split", "dataset", "items"),
    [
        ("ocrbench", "test", "OCRBench", 1000),
        ("chartqa", "test", "ChartQA_test", 2500),
        ("textvqa", "val", "TextVQA_val", 5000),
        ("docvqa", "val", "DocVQA_val", 5349),
        ("docvqa", "test", "DocVQA_test", 5188),
        ("infovqa", "val", "InfoVQA_val", 2801),
        ("infovqa", "test", "InfoVQA_test", 3288),
    ],
)
def test_published_counts_pass_and_one_question_less_is_refused(
    tmp_path: Path, package: str, split: str, dataset: str, items: int
) -> None:
    module = import_module(f"vlm_acceptance.accuracy.{package}.splits")
    made = getattr(module, split.upper())
    groups = made.groups or {"form": items}
    rows = [
        question(number, group, [] if made.golds == 0 else ["x"] * (made.golds or 1), page="shared")
        for number, group in enumerate(name for name, count in groups.items() for _ in range(count))
    ]
    write_parquet_split(made, rows, tmp_path)
    preparation = preparations(package)[split]
    source = preparation.in_folder(tmp_path)
    assert source is not None
    checked = preparation.check(source, None)
    assert (checked.dataset, checked.items, preparation.dataset) == (dataset, items, dataset)
    assert checked.licence.startswith(made.title)
    found = list(source.rows(pictures=False))
    with pytest.raises(EnvironmentProblem, match=f"not the whole {dataset}: {items - 1} of {items} questions"):
        check_rows(found[:-1], expected_of(made, None, tmp_path, made.groups))


def test_all_layouts_of_a_mini_set_give_prepared_data_of_the_same_content(tmp_path: Path) -> None:
    sources = [
        hub(tmp_path / "hub"),
        write_table(DOCVQA, DOCS, write_counts(tmp_path / "tsv", DOCS), ids="questionId").parent,
        write_lines(DOCVQA, DOCS, write_counts(tmp_path / "lines", DOCS)),
    ]
    made = [
        prepare(VAL, Request(str(source), tmp_path / f"out{number}"), silent) for number, source in enumerate(sources)
    ]
    assert len({content_sha256(one) for one in made}) == 1
    assert {one.dataset for one in made} == {"mini"}
    assert [one.manifest["ids"] for one in made] == ["questionId", "questionId", "question_id"]
    for one in made:
        item = one["60001"]
        assert (item.question, item.gold, item.kind) == (" How many in 1? ", ("14", "Fourteen "), "open")
        assert one.picture_bytes(item.pictures[0].plain) == picture_of(DOCS[0])
        assert item.pictures[0].variants == {}
        assert len(list((one.folder / "pictures").iterdir())) == 2
        assert str(tmp_path) not in (one.folder / "index.json").read_text()


def test_data_without_a_name_are_measured_by_the_published_counts(tmp_path: Path) -> None:
    write_parquet_split(DOCVQA, DOCS, tmp_path / "hub")
    with pytest.raises(EnvironmentProblem, match="this is not the whole DocVQA_val: 3 of 5349 questions"):
        prepare(VAL, Request(str(tmp_path / "hub"), tmp_path / "out"), silent)
    assert prepare(VAL, Request(str(tmp_path / "hub"), tmp_path / "out", dataset="part"), silent).dataset == "part"


def test_counts_beside_a_mini_set_are_checked(tmp_path: Path) -> None:
    folder = hub(tmp_path / "hub")
    (folder / "counts.json").write_text(json.dumps({"dataset": "mini", "items": 4, "groups": {"form": 2, "layout": 2}}))
    with pytest.raises(EnvironmentProblem, match="whole mini: 3 of 4 questions; layout: 1 of 2 questions"):
        prepare(VAL, Request(str(folder), tmp_path / "out"), silent)
    (folder / "counts.json").write_text('{"items": "many"}')
    with pytest.raises(EnvironmentProblem, match=r"counts\.json: items"):
        prepare(VAL, Request(str(folder), tmp_path / "out"), silent)


def test_two_questions_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="question 60001 is in DocVQA/.* and again in DocVQA/"):
        prepare(VAL, Request(str(hub(tmp_path / "hub", [*DOCS, DOCS[0]])), tmp_path / "out"), silent)


def test_a_run_refuses_other_content_than_was_prepared(tmp_path: Path) -> None:
    module = import_module("vlm_acceptance.accuracy.docvqa.splits")
    prepared = prepare(VAL, Request(str(hub(tmp_path / "hub")), tmp_path / "out"), silent)
    module.check_prepared(prepared)
    changed = Prepared(prepared.folder, {**prepared.manifest, "content_sha256": "0" * 64}, prepared._lines)
    with pytest.raises(
        EnvironmentProblem, match="the hash of ids, questions, options and answers is .* instead of 0000"
    ):
        module.check_prepared(changed)
    whole = Prepared(prepared.folder, {**prepared.manifest, "dataset": "DocVQA_val"}, prepared._lines)
    with pytest.raises(EnvironmentProblem, match="this is not the whole DocVQA_val: 3 of 5349 questions"):
        module.check_prepared(whole)
    hidden = Prepared(
        prepared.folder, {**prepared.manifest, "dataset": "DocVQA_test", "prepared_as": "DocVQA_test"}, prepared._lines
    )
    with pytest.raises(EnvironmentProblem, match="3 questions have not 0 right answers, first 60001"):
        module.check_prepared(hidden)


def test_a_folder_of_another_split_or_data_set_is_not_taken_for_the_wanted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = hub(tmp_path / "hub"), tmp_path / "out"
    monkeypatch.setattr(prepare_command, "download_dataset", lambda *_: folder)
    prepared = prepare(VAL, Request("modelscope", out), silent)
    assert prepared.manifest["prepared_as"] == prepared.prepared_as == "DocVQA_val"
    assert prepare(VAL, Request("modelscope", out), silent).sha256 == prepared.sha256
    others = [DOCVQA_PREPARATIONS["test"], *preparations("infovqa").values()]
    for other in others:
        message = f"out holds mini, prepared as DocVQA_val, not {other.dataset}: give another folder, or --force"
        for source in ("modelscope", str(folder)):
            with pytest.raises(UsageProblem, match=message):
                prepare(other, Request(source, out), silent)
    with pytest.raises(EnvironmentProblem, match="holds mini, prepared as DocVQA_val, not InfoVQA_val: give another"):
        import_module("vlm_acceptance.accuracy.infovqa.splits").check_prepared(prepared)
    older = {name: value for name, value in prepared.manifest.items() if name != "prepared_as"}
    assert Prepared(out, {**older, "dataset": "DocVQA_test"}, prepared._lines).prepared_as == "DocVQA_test"


def test_same_data_are_not_prepared_twice_and_changed_pictures_are_seen(tmp_path: Path) -> None:
    folder, lines = write_lines(DOCVQA, DOCS, write_counts(tmp_path / "lines", DOCS)), []
    first = prepare(VAL, Request(str(folder), tmp_path / "out"), lines.append)
    prepare(VAL, Request(str(folder), tmp_path / "out"), lines.append)
    assert lines[-1] == f"{tmp_path / 'out'} holds mini from the same files already: --force prepares it again"
    (folder / "pages" / "q.png").write_bytes(noise_png("other"))
    with pytest.raises(UsageProblem, match="holds prepared data already: give --force"):
        prepare(VAL, Request(str(folder), tmp_path / "out"), silent)
    assert prepare(VAL, Request(str(folder), tmp_path / "out", force=True), silent).sha256 != first.sha256


@pytest.mark.parametrize(
    ("package", "split", "source", "id", "patterns"),
    [
        ("ocrbench", "test", "modelscope", "evalscope/OCRBench", "*test-*.parquet"),
        ("ocrbench", "test", "huggingface", "echo840/OCRBench", "*test-*.parquet"),
        ("chartqa", "test", "modelscope", "lmms-lab/ChartQA", "*test-*.parquet"),
        ("textvqa", "val", "modelscope", "lmms-lab/textvqa", "*validation-*.parquet"),
        ("docvqa", "val", "huggingface", "lmms-lab/DocVQA", "*DocVQA/validation-*.parquet"),
        ("docvqa", "test", "modelscope", "lmms-lab/DocVQA", "*DocVQA/test-*.parquet"),
        ("infovqa", "val", "modelscope", "lmms-lab/DocVQA", "*InfographicVQA/validation-*.parquet"),
        ("infovqa", "test", "huggingface", "lmms-lab/DocVQA", "*InfographicVQA/test-*.parquet"),
    ],
)
def test_only_the_wanted_files_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, split: str, source: str, id: str, patterns: str
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(prepare_command, "download_dataset", lambda *args: calls.append(args) or tmp_path / "none")
    (tmp_path / "none").mkdir()
    with pytest.raises(EnvironmentProblem, match=rf"{id} has no .*parquet: is this .*\? Choose another with --id"):
        prepare(preparations(package)[split], Request(source, tmp_path / "out"), silent)
    where = MODELSCOPE if source == "modelscope" else HUGGING_FACE
    assert calls == [(where, id, None, (patterns, "*counts.json"))]


def test_commit_that_hugging_face_delivered_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_parquet_split(DOCVQA, DOCS, tmp_path / "snapshots" / "0123abc")
    monkeypatch.setattr(prepare_command, "download_dataset", lambda *_: folder)
    prepared = prepare(VAL, Request("huggingface", tmp_path / "out", dataset="part"), silent)
    assert (prepared.source, prepared.revision) == ("Hugging Face lmms-lab/DocVQA", "0123abc")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_data_set_has_the_command(package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = import_module(f"vlm_acceptance.accuracy.{package}.__main__").main
    assert main([]) == 0
    assert f"usage: vlm-acceptance {package} COMMAND" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for split in preparations(package).values():
        assert f"/vlm-acceptance/{split.dataset.lower()}" in shown.replace(" ", "")
    assert ("--split" in shown) == (len(preparations(package)) == 2)
    assert main(["prepare", "--from", str(tmp_path), "--to", str(tmp_path / "out")]) == 10
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds neither ")
    assert main(["prepare", "--from", __file__]) == 4
    assert "expected a folder, a .parquet" in capsys.readouterr().err


def test_wrong_split_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    main = import_module("vlm_acceptance.accuracy.docvqa.__main__").main
    assert main(["prepare", "--split", "vall"]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Did you mean 'val'" in error


def test_default_folders_differ() -> None:
    env = {"XDG_CACHE_HOME": "/c"}
    folders = {str(split.default_folder(env)) for package in PACKAGES for split in preparations(package).values()}
    assert folders == {
        f"/c/vlm-acceptance/{name}"
        for name in (
            "ocrbench", "chartqa_test", "textvqa_val", "docvqa_val", "docvqa_test", "infovqa_val", "infovqa_test",
        )
    }  # fmt: skip


def test_front_command_prepares_a_mini_set_with_split(tmp_path: Path) -> None:
    rows = [{**row, "golds": []} for row in DOCS]
    test = import_module("vlm_acceptance.accuracy.docvqa.splits").TEST
    write_parquet_split(test, rows, write_counts(tmp_path / "hub", rows))
    argv = [sys.executable, "-m", "vlm_acceptance", "docvqa", "prepare", "--split", "test"]
    argv += ["--from", str(tmp_path / "hub"), "--to", str(tmp_path / "out"), "--jobs", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PYTHONPATH": str(SRC)}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path / 'out'}: 3 questions of mini, index ")
    assert [item.gold for item in Prepared.open(tmp_path / "out")] == [()] * 3


def test_a_damaged_folder_is_named_with_its_own_command(tmp_path: Path) -> None:
    prepare(VAL, Request(str(hub(tmp_path / "hub")), tmp_path / "out"), silent)
    (tmp_path / "out" / "index.jsonl").write_text("{}")
    with pytest.raises(EnvironmentProblem, match=r"vlm_acceptance.accuracy.docvqa prepare --to .* --force"):
        prepare(VAL, Request(str(tmp_path / "hub"), tmp_path / "out"), silent)


def test_what_was_written_is_opened_with_the_command_of_the_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []
    real = Prepared.open
    monkeypatch.setattr(Prepared, "open", lambda folder, *command: commands.extend(command) or real(folder, *command))
    prepare(VAL, Request(str(hub(tmp_path / "hub")), tmp_path / "out"), silent)
    assert commands == ["python -m vlm_acceptance.accuracy.docvqa prepare"]


def test_the_command_of_a_later_split_names_it() -> None:
    for package, made in (("docvqa", DOCVQA_PREPARATIONS), ("infovqa", preparations("infovqa"))):
        start = f"python -m vlm_acceptance.accuracy.{package} prepare"
        assert [made[name].command for name in ("val", "test")] == [start, f"{start} --split test"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ('{"dataset": "m\\ud800", "items": 3}', r"the name of the data is '.*', expected at most 200 printable"),
        ('{"dataset": "m", "licence": "\\ud800", "items": 3}', "the licence of the data holds a character that is not"),
        ('{"dataset": " docvqa_VAL", "items": 3}', "which is not the published one. Did you mean 'DocVQA_val'"),
    ],
)
def test_a_name_or_licence_that_cannot_be_taken_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: str, message: str
) -> None:
    folder = hub(tmp_path / "hub")
    (folder / "counts.json").write_text(counts)
    main = import_module("vlm_acceptance.accuracy.docvqa.__main__").main
    assert main(["prepare", "--from", str(folder), "--to", str(tmp_path / "out")]) == 10
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["DocVQA_VAL.tsv", "val.jsonl", "pages/q.png", "DocVQA/validation-00000-of-00001.parquet"]
)
def test_a_pointer_of_git_lfs_is_called_one(tmp_path: Path, name: str) -> None:
    if name.endswith((".jsonl", ".png")):
        write_lines(DOCVQA, DOCS, tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n")
    with pytest.raises(EnvironmentProblem, match=rf"{name} is a pointer of Git LFS .*: run `git lfs pull`"):
        prepare(VAL, Request(str(tmp_path), tmp_path / "out"), silent)


@pytest.mark.parametrize("name", ["m\ud800", "x" * 201, "docvqa_val"])
def test_a_name_that_cannot_be_given_is_a_wrong_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    main = import_module("vlm_acceptance.accuracy.docvqa.__main__").main
    folder = str(hub(tmp_path / "hub"))
    assert main(["prepare", "--from", folder, "--to", str(tmp_path / "out"), "--dataset", name]) == 4
    assert capsys.readouterr().err.startswith("error: --dataset is '")


def test_help_is_shown_for_a_cache_with_a_percent_sign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/c/100%x")
    with pytest.raises(SystemExit) as ended:
        import_module("vlm_acceptance.accuracy.ocrbench.__main__").main(["prepare", "--help"])
    assert ended.value.code == 0
    assert "/c/100%x/vlm-acceptance/ocrbench" in "".join(capsys.readouterr().out.split())


def test_textvqa_and_chartqa_come_from_the_layout_of_internvl(tmp_path: Path) -> None:
    texts = [question(1, golds=["a"] * 10), question(2, golds=["b"] * 10)]
    folder = write_lines(TEXTVQA, texts, write_counts(tmp_path / "textvqa", texts), "data/textvqa/")
    made = prepare(preparations("textvqa")["val"], Request(str(folder / "textvqa_val.jsonl"), tmp_path / "a"), silent)
    assert [(item.id, item.group, len(item.gold)) for item in made] == [("60001", "val", 10), ("60002", "val", 10)]
    charts = [question(1, HUMAN, ["1"]), question(2, AUGMENTED, ["2"])]
    folder = write_lines(CHARTQA, charts, write_counts(tmp_path / "chartqa", charts))
    made = prepare(preparations("chartqa")["test"], Request(str(folder), tmp_path / "b"), silent)
    assert made.groups == [("human-0001", HUMAN), ("augmented-0001", AUGMENTED)]
    with pytest.raises(UsageProblem, match=r"expected a folder, a .parquet or a .tsv file, or one of"):
        prepare(preparations("chartqa")["test"], Request(str(folder / "test_human.jsonl"), tmp_path / "c"), silent)
