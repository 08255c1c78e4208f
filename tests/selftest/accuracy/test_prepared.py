"""Prepared data: written whole or not at all, opened only when whole, read without being held."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.made_mmmu import png

from vlm_acceptance.accuracy.item import Item, PictureFile
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, write_prepared
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem

SRC = Path(__file__).parents[3] / "src"


def new(number: int, size: tuple[int, int] = (7, 5)) -> NewItem:
    first = NewPicture(1, png(f"{number} 1", size), {"x2": png(f"{number} x2", (2 * size[0], 2 * size[1]))})
    second = NewPicture(3, png("shared"))
    if number % 2:
        return NewItem(f"q_{number}", "odd", "multiple-choice", "Which? 中", ("one", "two"), ("B",), (first, second))
    return NewItem(f"q_{number}", "even", "open", "How many?", (), ("24/7", "3.429"), (first,))


def write(folder: Path, items: Iterator[NewItem] | list[NewItem] | None = None, replace: bool = False) -> Prepared:
    made = [new(number) for number in range(4)] if items is None else items
    about = {"licence": "made"}
    return write_prepared(folder, made, dataset="made", source="here", revision="r1", about=about, replace=replace)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_written_is_read_in_its_order(tmp_path: Path):
    write(tmp_path / "data")
    prepared = Prepared.open(tmp_path / "data")
    assert (prepared.dataset, prepared.source, prepared.revision, len(prepared)) == ("made", "here", "r1", 4)
    assert prepared.groups == [("q_0", "even"), ("q_1", "odd"), ("q_2", "even"), ("q_3", "odd")]
    assert [item.id for item in prepared] == ["q_0", "q_1", "q_2", "q_3"]
    assert "q_3" in prepared
    assert "q_4" not in prepared
    item = prepared["q_1"]
    assert item == list(prepared)[1]
    assert (item.question, item.options, item.gold, item.letters) == ("Which? 中", ("one", "two"), ("B",), "AB")
    assert [picture.slot for picture in item.pictures] == [1, 3]
    doubled = item.pictures[0].variants["x2"]
    assert (doubled.width, doubled.height) == (14, 10)
    assert prepared.picture_bytes(doubled) == png("1 x2", (14, 10))
    assert prepared["q_0"].gold == ("24/7", "3.429")


def test_an_unknown_question_is_a_key_error(tmp_path: Path):
    with pytest.raises(KeyError):
        write(tmp_path / "data")["q_9"]


def test_manifest_says_what_the_data_are(tmp_path: Path):
    manifest = write(tmp_path / "data").manifest
    assert manifest["counts"] == {
        "kinds": {"multiple-choice": 2, "open": 2},
        "pictures": 6,
        "groups": {"even": 2, "odd": 2},
    }
    assert (manifest["items"], manifest["licence"]) == (4, "made")


def test_equal_pictures_are_stored_once_under_their_hash(tmp_path: Path):
    prepared = write(tmp_path / "data")
    stored = [name for name in files_of(prepared.folder) if name.startswith("pictures/")]
    assert len(stored) == 5  # four first ones and the shared one
    shared = prepared["q_1"].pictures[1].plain
    assert shared == prepared["q_3"].pictures[1].plain
    assert shared.file == f"pictures/{shared.sha256}.png"


def test_jpeg_keeps_its_bytes_and_its_name(tmp_path: Path):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "JPEG")
    item = NewItem("q", "g", "open", "?", (), ("1",), (NewPicture(1, buffer.getvalue()),))
    prepared = write(tmp_path / "data", [item])
    assert prepared["q"].pictures[0].plain.file.endswith(".jpg")
    assert prepared.picture_bytes(prepared["q"].pictures[0].plain) == buffer.getvalue()


def test_same_questions_give_the_same_bytes(tmp_path: Path):
    assert files_of(write(tmp_path / "a").folder) == files_of(write(tmp_path / "b").folder)


def test_folder_is_not_there_before_everything_is_in_it(tmp_path: Path):
    def items() -> Iterator[NewItem]:
        for number in range(4):
            assert not (tmp_path / "data").exists()
            yield new(number)

    write(tmp_path / "data", items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("broken", [EnvironmentProblem("torn"), KeyboardInterrupt(), ValueError("ours")])
def test_preparation_that_ends_early_leaves_nothing(tmp_path: Path, broken: BaseException):
    def items() -> Iterator[NewItem]:
        yield new(0)
        raise broken

    with pytest.raises(type(broken)):
        write(tmp_path / "data", items())
    assert list(tmp_path.iterdir()) == []


def test_failed_replacement_leaves_the_old_data(tmp_path: Path):
    before = files_of(write(tmp_path / "data").folder)

    def items() -> Iterator[NewItem]:
        yield new(9)
        raise EnvironmentProblem("torn")

    with pytest.raises(EnvironmentProblem, match="torn"):
        write(tmp_path / "data", items(), replace=True)
    assert files_of(tmp_path / "data") == before


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths}
from test_prepared import new, write
def items():
    yield new(0)
    yield new(1)
    print("writing", flush=True)
    signal.pause()
write(Path(sys.argv[1]), items())
"""


def start_and_kill(folder: Path) -> None:
    script = KILLED.format(paths=[str(SRC), str(Path(__file__).parent)])
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)


def test_a_killed_preparation_leaves_nothing_usable_and_does_not_block_the_next(tmp_path: Path):
    start_and_kill(tmp_path / "data")
    left = list(tmp_path.iterdir())
    assert [path.name for path in left] == [".data.partial"]
    for folder in (tmp_path / "data", left[0]):
        with pytest.raises(EnvironmentProblem, match="no prepared data"):
            Prepared.open(folder)
    assert len(write(tmp_path / "data")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_two_preparations_of_one_folder_do_not_mix(tmp_path: Path):
    work = tmp_path / ".data.partial"
    work.mkdir()
    held = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentProblem, match=r"another preparation is writing .*data: wait"):
            write(tmp_path / "data")
    finally:
        os.close(held)
    assert len(write(tmp_path / "data")) == 4


def test_existing_data_are_replaced_only_with_replace(tmp_path: Path):
    write(tmp_path / "data")
    with pytest.raises(UsageProblem, match="holds prepared data already: give --force"):
        write(tmp_path / "data", [new(7)])
    assert [item.id for item in write(tmp_path / "data", [new(7)], replace=True)] == ["q_7"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert len(files_of(tmp_path / "data")) == 5


@pytest.mark.parametrize("name", ["notes.txt", "pictures"])
def test_folder_with_other_things_is_never_replaced(tmp_path: Path, name: str):
    (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(UsageProblem, match=f"holds other things .{name}.: give a folder of its own"):
        write(tmp_path / "data", replace=True)
    assert (tmp_path / "data" / name).is_dir()


def test_own_data_beside_a_foreign_file_are_not_replaced_either(tmp_path: Path):
    write(tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text("mine")
    with pytest.raises(UsageProblem, match=r"holds other things .notes\.txt."):
        write(tmp_path / "data", replace=True)


def test_empty_folder_is_used_and_a_file_is_not(tmp_path: Path):
    (tmp_path / "data").mkdir()
    assert len(write(tmp_path / "data")) == 4
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem, match="is a file"):
        write(tmp_path / "file")


def test_place_that_cannot_be_written_is_an_environment_problem(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write(tmp_path / "file" / "data")


def test_two_questions_with_one_id_are_refused(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="two questions with the id q_1"):
        write(tmp_path / "data", [new(1), new(1)])


def test_choice_without_one_letter_is_refused(tmp_path: Path):
    item = NewItem("q", "g", "multiple-choice", "?", ("a", "b"), ("A", "B"), ())
    with pytest.raises(EnvironmentProblem, match="q: the right answer of a choice must be one letter"):
        write(tmp_path / "data", [item])


@pytest.mark.parametrize(
    ("gold", "message"),
    [("x" * (1 << 20), r"q: it takes [0-9]+ bytes of the index; at most 1048576"), ("\ud800", "q: its texts hold a ")],
)
def test_a_question_that_could_not_be_read_again_replaces_nothing(tmp_path: Path, gold: str, message: str):
    before = files_of(write(tmp_path / "data").folder)
    item = NewItem("q", "g", "open", "?", (), (gold,), (NewPicture(1, png("one")),))
    with pytest.raises(EnvironmentProblem, match=message):
        write(tmp_path / "data", [item], replace=True)
    assert files_of(tmp_path / "data") == before


def test_picture_that_is_none_is_refused_with_its_question(tmp_path: Path):
    item = NewItem("q", "g", "open", "?", (), ("1",), (NewPicture(1, b"no picture"),))
    with pytest.raises(EnvironmentProblem, match="q: a picture cannot be read"):
        write(tmp_path / "data", [item])


def damage_missing(folder: Path) -> str:
    next((folder / "variants").iterdir()).unlink()
    return r"variants/[0-9a-f]{64}\.png is missing"


def damage_short(folder: Path) -> str:
    first = sorted((folder / "pictures").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-1])
    return rf"pictures/{first.name} has [0-9]+ bytes instead of [0-9]+"


def damage_index(folder: Path) -> str:
    text = (folder / "index.jsonl").read_text("utf-8")
    (folder / "index.jsonl").write_text(text.replace("How many", "How much"), "utf-8")
    return r"the sha256 of index\.jsonl is not the one in index\.json"


def damage_cut_index(folder: Path) -> str:
    with (folder / "index.jsonl").open("r+b") as index:
        index.truncate(700)
    return r"line [0-9] of index\.jsonl is not valid JSON"


def damage_no_index(folder: Path) -> str:
    (folder / "index.jsonl").unlink()
    return r"holds incomplete data: index\.jsonl is missing"


def damage_manifest(folder: Path) -> str:
    (folder / "index.json").write_text("{")
    return r"index\.json is not valid JSON"


def damage_version(folder: Path) -> str:
    (folder / "index.json").write_text('{"schema": "vlm-acceptance/prepared/0"}')
    return "was prepared by another version"


def damage_field(folder: Path) -> str:
    manifest = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**manifest, "items": "4"}))
    return r"index\.json: items: '4' is not valid"


def damage_count(folder: Path) -> str:
    manifest = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**manifest, "items": 5}))
    return r"has 4 questions, index\.json says 5"


DAMAGES = [
    damage_missing,
    damage_short,
    damage_index,
    damage_cut_index,
    damage_no_index,
    damage_manifest,
    damage_version,
    damage_field,
    damage_count,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_data_are_refused_with_the_part_and_the_command(tmp_path: Path, damage):
    folder = tmp_path / "my data"
    write(folder)
    message = damage(folder)
    with pytest.raises(EnvironmentProblem, match=message) as problem:
        Prepared.open(folder)
    assert str(problem.value).startswith(str(folder))
    assert f"run `python -m vlm_acceptance.accuracy.mmmu prepare --to '{folder}' --force`" in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("there", [True, False])
def test_folder_without_data_names_the_command_given(tmp_path: Path, there: bool):
    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    with pytest.raises(EnvironmentProblem, match=f"no prepared data.*: run `make data --to {folder}`$"):
        Prepared.open(folder, "make data")


def test_many_missing_files_are_named_in_one_line(tmp_path: Path):
    folder = write(tmp_path / "data").folder
    for path in (folder / "variants").iterdir():
        path.unlink()
    with pytest.raises(EnvironmentProblem, match="is missing and 1 more: run"):
        Prepared.open(folder)


def test_picture_that_changed_is_refused_when_it_is_read(tmp_path: Path):
    prepared = write(tmp_path / "data")
    plain = prepared["q_0"].pictures[0].plain
    path = prepared.folder / plain.file
    stored = path.read_bytes()
    path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))
    assert len(Prepared.open(prepared.folder)) == 4  # its size is right
    with pytest.raises(EnvironmentProblem, match="differs from what was prepared"):
        prepared.picture_bytes(plain)
    path.unlink()
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        prepared.picture_bytes(plain)


def test_index_that_changes_during_a_run_is_an_environment_problem(tmp_path: Path):
    prepared = write(tmp_path / "data")
    write(tmp_path / "data", [new(9), new(8)], replace=True)
    with pytest.raises(EnvironmentProblem, match="was changed while it was in use"):
        prepared["q_2"]


def test_memory_does_not_grow_with_the_questions_that_were_read(tmp_path: Path):
    # big texts, so that a held item would show
    made = (NewItem(f"q_{n}", "g", "open", "x" * 20_000, (), ("1",), (NewPicture(1, png("same")),)) for n in range(400))
    tracemalloc.start()
    try:
        prepared = write(tmp_path / "data", made)
        for item in prepared:
            assert isinstance(item, Item)
            assert isinstance(prepared[item.id].pictures[0].plain, PictureFile)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # of 8,000,000 characters
