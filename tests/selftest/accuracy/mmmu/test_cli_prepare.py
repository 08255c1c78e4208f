"""`python -m vlm_acceptance.accuracy.mmmu prepare`: whole data in, prepared data out, one line for every problem."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.support.made_mmmu import Values, made_mmmu, png, small, values_of, write_folder, write_parquet, write_tsv

from vlm_acceptance.accuracy import prepare_command
from vlm_acceptance.accuracy.content_check import content_sha256
from vlm_acceptance.accuracy.mmmu.__main__ import COMMANDS, main
from vlm_acceptance.accuracy.mmmu.cli_prepare import default_folder, picture_variants, prepare
from vlm_acceptance.accuracy.prepare_command import Request
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.engine.hub import MODELSCOPE

pytest.importorskip("pyarrow")
SRC = Path(__file__).parents[4] / "src"


def silent(_: str) -> None:
    pass


def shown(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded))


def with_counts(rows: list[Values], folder: Path, dataset: str = "small") -> Path:
    write_folder(rows, folder)
    (folder / "counts.json").write_text(json.dumps({"dataset": dataset, "items": len(rows), "licence": "ours"}))
    return folder


def test_whole_data_set_is_prepared_and_every_format_gives_the_same_index(tmp_path: Path):
    made = made_mmmu()
    lines: list[str] = []
    folder = write_folder(made, tmp_path / "hub")
    prepared = prepare(Request(str(folder), tmp_path / "a"), lines.append)
    assert (prepared.dataset, len(prepared), prepared.revision) == ("MMMU_val", 900, None)
    assert lines[0].startswith("900 questions of MMMU_val, content sha256 ")
    assert lines[0].endswith(" (not pinned: no published hash)")
    assert prepared.manifest["content_sha256"] == content_sha256(prepared)
    assert lines[-1] == "900/900"
    assert prepared.manifest["counts"]["kinds"] == {"multiple-choice": 847, "open": 53}
    merged = write_parquet(made, tmp_path / "merged.parquet", 100)
    table = write_tsv(made, tmp_path / "MMMU_DEV_VAL.tsv")
    assert prepare(Request(str(merged), tmp_path / "b", jobs=1), silent).sha256 == prepared.sha256
    assert prepare(Request(str(table), tmp_path / "c"), silent).sha256 == prepared.sha256
    item = prepared["validation_Math_15"]
    assert item.gold == ("24/7", "3.429")
    assert prepared["validation_Pharmacy_26"].kind == "open"


def test_prepared_bytes_do_not_depend_on_time_or_jobs(tmp_path: Path):
    folder = with_counts(small("Art", "Music"), tmp_path / "hub")
    first = prepare(Request(str(folder), tmp_path / "a", jobs=1), silent)
    second = prepare(Request(str(folder), tmp_path / "b", jobs=4), silent)
    for path in first.folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second.folder / path.relative_to(first.folder)).read_bytes()


def test_manifest_records_where_the_data_are_from_and_no_path_of_the_machine(tmp_path: Path):
    folder = with_counts(small("Art"), tmp_path / "hub")
    prepared = prepare(Request(str(folder), tmp_path / "out"), silent)
    assert (prepared.source, prepared.dataset, prepared.manifest["licence"]) == ("parquet hub", "small", "ours")
    assert list(prepared.manifest["files"]) == ["Art/validation-00000-of-00001.parquet"]
    assert str(tmp_path) not in (prepared.folder / "index.json").read_text()


def test_first_picture_is_doubled_and_others_become_one_tile(tmp_path: Path):
    values = values_of("validation_Art_1", "<image 1> <image 2> <image 3>", ["a", "b"], "A", 3)
    prepared = prepare(Request(str(with_counts([values], tmp_path / "hub")), tmp_path / "out"), silent)
    pictures = prepared["validation_Art_1"].pictures
    assert [sorted(picture.variants) for picture in pictures] == [["x2"], ["square448"], ["square448"]]
    sizes = [(file.width, file.height) for picture in pictures for file in (picture.plain, *picture.variants.values())]
    assert sizes == [(7, 5), (14, 10), (7, 5), (448, 448), (7, 5), (448, 448)]
    assert prepared.picture_bytes(pictures[0].plain) == values["image_1"]["bytes"]


def test_first_picture_need_not_be_the_first_slot(tmp_path: Path):
    held = {"bytes": png("x"), "path": None}
    values = {**values_of("validation_Art_1", "<image 2>", ["a", "b"], "A", 0), "image_2": held}
    prepared = prepare(Request(str(with_counts([values], tmp_path / "hub")), tmp_path / "out"), silent)
    assert [(picture.slot, *picture.variants) for picture in prepared["validation_Art_1"].pictures] == [(2, "x2")]


def test_doubling_is_bilinear_of_the_opaque_picture_and_lossless():
    buffer = io.BytesIO()
    checks = Image.new("RGB", (4, 3))
    checks.putdata([(17 * n, 255 - n, n * n % 256) for n in range(12)])
    checks.save(buffer, "PNG")
    doubled = shown(picture_variants(buffer.getvalue(), first=True)["x2"])
    assert (doubled.format, doubled.mode, doubled.size) == ("PNG", "RGB", (8, 6))
    assert doubled.tobytes() == checks.resize((8, 6), Image.Resampling.BILINEAR).tobytes()
    square = shown(picture_variants(buffer.getvalue(), first=False)["square448"])
    assert square.tobytes() == checks.resize((448, 448), Image.Resampling.BICUBIC).tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_picture_has_an_opaque_copy_with_its_own_colours(mode: str):
    bands = {"RGBA": (10, 200, 30, 0), "LA": (90, 0)}[mode]
    buffer = io.BytesIO()
    Image.new(mode, (4, 3), bands).save(buffer, "PNG")
    made = picture_variants(buffer.getvalue(), first=True)
    assert sorted(made) == ["rgb", "x2"]
    colour = bands[:3] if mode == "RGBA" else (90, 90, 90)
    for name in made:
        assert shown(made[name]).mode == "RGB"
        assert shown(made[name]).getpixel((1, 1)) == colour


def test_transparent_colour_of_a_palette_is_not_carried_over():
    buffer = io.BytesIO()
    picture = Image.new("P", (4, 3), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.save(buffer, "PNG", transparency=1)
    made = picture_variants(buffer.getvalue(), first=False)
    assert sorted(made) == ["rgb", "square448"]
    assert all("transparency" not in shown(encoded).info for encoded in made.values())
    assert shown(made["rgb"]).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_picture_without_transparency_needs_no_opaque_copy(mode: str):
    buffer = io.BytesIO()
    Image.new(mode, (4, 3)).save(buffer, "TIFF")
    assert list(picture_variants(buffer.getvalue(), first=True)) == ["x2"]


@pytest.mark.parametrize("content", [b"no picture at all", png("cut", (40, 40))[:-30]], ids=["text", "cut"])
def test_picture_that_cannot_be_decoded_is_refused_with_file_and_question(tmp_path: Path, content: bytes):
    values = small("Art", "Music")
    values[2]["image_1"] = {"bytes": content, "path": "a.png"}
    folder = with_counts(values, tmp_path / "hub")
    with pytest.raises(
        EnvironmentProblem, match=r"Music/validation-.*: validation_Music_1: picture 1 cannot be decoded"
    ):
        prepare(Request(str(folder), tmp_path / "out"), silent)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub"]


def test_partly_downloaded_data_are_refused_before_any_picture_is_converted(tmp_path: Path):
    folder = write_folder([values for values in made_mmmu() if "Art_" not in values["id"]], tmp_path / "hub")
    lines: list[str] = []
    with pytest.raises(EnvironmentProblem, match=r"Art: 0 of 30 questions, .*; Art_Theory: 0 of 30 questions"):
        prepare(Request(str(folder), tmp_path / "out"), lines.append)
    assert lines == []


def test_data_of_another_name_are_not_taken_for_mmmu_val(tmp_path: Path):
    folder = write_folder(small("Art"), tmp_path / "hub")
    with pytest.raises(EnvironmentProblem, match="this is not the whole MMMU_val: Accounting: 0 of 30"):
        prepare(Request(str(folder), tmp_path / "out"), silent)
    assert prepare(Request(str(folder), tmp_path / "out", dataset="part"), silent).dataset == "part"


def test_file_of_another_subject_is_refused_for_any_name_of_the_data(tmp_path: Path):
    write_parquet(small("Art"), tmp_path / "hub" / "Music" / "validation-00000-of-00001.parquet")
    with pytest.raises(EnvironmentProblem, match=r"validation_Art_1 is in Music/.*, which is for Music"):
        prepare(Request(str(tmp_path / "hub"), tmp_path / "out", dataset="part"), silent)


def test_same_data_are_not_prepared_twice(tmp_path: Path):
    folder = with_counts(small("Art"), tmp_path / "hub")
    prepare(Request(str(folder), tmp_path / "out"), silent)
    before = (tmp_path / "out" / "index.json").stat().st_mtime_ns
    lines: list[str] = []
    prepare(Request(str(folder), tmp_path / "out"), lines.append)
    assert lines == [f"{tmp_path / 'out'} holds small from the same files already: --force prepares it again"]
    assert (tmp_path / "out" / "index.json").stat().st_mtime_ns == before
    prepare(Request(str(folder), tmp_path / "out", force=True), silent)
    assert (tmp_path / "out" / "index.json").stat().st_mtime_ns != before


def test_other_data_replace_those_in_place_only_with_force(tmp_path: Path):
    prepare(Request(str(with_counts(small("Art"), tmp_path / "a")), tmp_path / "out"), silent)
    other = str(with_counts(small("Music"), tmp_path / "b"))
    with pytest.raises(UsageProblem, match="holds prepared data already: give --force"):
        prepare(Request(other, tmp_path / "out"), silent)
    assert prepare(Request(other, tmp_path / "out", force=True), silent).groups[0][1] == "Music"


def test_damaged_data_in_place_are_named_and_force_replaces_them(tmp_path: Path):
    folder = str(with_counts(small("Art"), tmp_path / "hub"))
    prepare(Request(folder, tmp_path / "out"), silent)
    (tmp_path / "out" / "index.jsonl").write_text("{}")
    with pytest.raises(EnvironmentProblem, match="holds damaged data: .* --force"):
        prepare(Request(folder, tmp_path / "out"), silent)
    assert len(prepare(Request(folder, tmp_path / "out", force=True), silent)) == 2


def test_folder_may_hold_the_table(tmp_path: Path):
    write_tsv(small("Art"), tmp_path / "hub" / "MMMU_DEV_VAL.tsv")
    prepared = prepare(Request(str(tmp_path / "hub"), tmp_path / "out", dataset="part"), silent)
    assert prepared.source == "table MMMU_DEV_VAL.tsv"


def test_folder_without_data_is_an_environment_problem(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="holds neither validation-.*parquet nor MMMU_DEV_VAL.tsv"):
        prepare(Request(str(tmp_path), tmp_path / "out"), silent)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "modelscop"], "no such file or folder, and not a hub .* Did you mean 'modelscope'"),
        (["--form", "x"], "unrecognized arguments: --form x. Did you mean '--from'"),
        (["--from"], "expected one argument"),
        (["--jobs", "0"], "'0' is not a number from 1 to 256"),
        (["--from", __file__], "expected a folder, a .parquet or a .tsv file"),
        (["--from", "/", "--revision", "v1"], "--id and --revision choose what a hub sends"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_4(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
):
    assert main(["prepare", *words]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(UsageProblem, match=message):
        raise UsageProblem(error)


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["prepar"]) == 4
    assert "Did you mean 'prepare'" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in COMMANDS)


def test_command_runs_as_a_module_and_reports_what_it_made(tmp_path: Path):
    folder = with_counts(small("Art"), tmp_path / "hub")
    argv = [
        sys.executable,
        "-m",
        "vlm_acceptance.accuracy.mmmu",
        "prepare",
        "--from",
        str(folder),
        "--to",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PYTHONPATH": str(SRC)}, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path / 'out'}: 2 questions of small, index ")
    assert len(Prepared.open(tmp_path / "out")) == 2


def test_data_problem_is_one_line_and_exit_code_10(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prepare", "--from", str(tmp_path), "--to", str(tmp_path / "out")]) == 10
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds neither ")


def test_default_folder_is_that_of_the_cache():
    assert default_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/vlm-acceptance/mmmu_val")
    home = Path.home() / ".cache" / "vlm-acceptance" / "mmmu_val"
    assert default_folder({}) == default_folder({"XDG_CACHE_HOME": "relative"}) == home


def from_a_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[object, ...]]:
    """Downloads that were asked for; each delivers the folder."""
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(prepare_command, "download_dataset", lambda *args: calls.append(args) or folder)
    return calls


def test_whole_data_set_is_prepared_from_the_hub_and_then_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = from_a_hub(monkeypatch, write_folder(made_mmmu(), tmp_path / "hub"))
    lines: list[str] = []
    prepared = prepare(Request("modelscope", tmp_path / "out"), lines.append)
    assert calls == [(MODELSCOPE, "AI-ModelScope/MMMU", None, ("*validation-*.parquet", "*counts.json"))]
    assert (prepared.dataset, len(prepared)) == ("MMMU_val", 900)
    assert (prepared.source, prepared.revision) == ("ModelScope AI-ModelScope/MMMU", "master")
    assert lines[0] == "downloading ModelScope AI-ModelScope/MMMU"
    prepare(Request("modelscope", tmp_path / "out"), lines.append)
    assert len(calls) == 1
    assert lines[-1].endswith("holds MMMU_val from ModelScope AI-ModelScope/MMMU already: --force prepares it again")


def test_hub_without_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from_a_hub(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentProblem, match="ModelScope a/b has no validation-.*: is this MMMU"):
        prepare(Request("modelscope", tmp_path / "out", id="a/b"), print)


def test_commit_that_hugging_face_delivered_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from_a_hub(monkeypatch, write_folder(small("Art"), tmp_path / "snapshots" / "0123abc"))
    request = Request("huggingface", tmp_path / "out", revision="main", dataset="part")
    prepared = prepare(request, lambda _: None)
    assert (prepared.source, prepared.revision) == ("Hugging Face MMMU/MMMU", "0123abc")
    lines: list[str] = []
    prepare(request, lines.append)
    assert "holds part from Hugging Face MMMU/MMMU already" in lines[-1]
