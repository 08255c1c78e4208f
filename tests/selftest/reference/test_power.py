"""Power is measured change by change, goes on after an interruption, and never mixes two models."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from tests.support.runs import ROOT  # noqa: E402

from vlm_acceptance.core.errors import UsageProblem  # noqa: E402
from vlm_acceptance.core.logprobs import LogProbPrompt, LogProbs, StoredLogProbs, line_of, read_baseline  # noqa: E402
from vlm_acceptance.core.reference import Change, Origin, PromptDistance  # noqa: E402
from vlm_acceptance.core.reference_file import origin_line, read_about  # noqa: E402
from vlm_acceptance.reference import power, power_table  # noqa: E402
from vlm_acceptance.reference.__main__ import main  # noqa: E402
from vlm_acceptance.reference.changes import AGAIN, variants  # noqa: E402
from vlm_acceptance.reference.held_file import HeldFile  # noqa: E402
from vlm_acceptance.reference.power import (  # noqa: E402
    NO_NUMBER,
    Ready,
    measured,
    numbers,
    read_reference,
    require_same_numbers,
    to_measure,
)
from vlm_acceptance.reference.power_command import wanted_changes  # noqa: E402
from vlm_acceptance.reference.route import Asked  # noqa: E402

MODEL, IMAGES = ROOT / "fixtures" / "control" / "model", ROOT / "fixtures" / "images"
TOP = ({5: -0.1, 7: -3.0}, {4: -0.2, 9: -2.0})
FAR = {"a": PromptDistance(0.4, 0.2, 4, 4, 0.1, 2)}


def written(path, ids=("a", "b", "c"), arithmetic="float32"):
    origin = Origin("control", {"config.json": "a" * 64}, "", "own", arithmetic, "served", 2, {"vllm": "0.18.0"}, 2)
    rows = [StoredLogProbs(LogProbPrompt(name, "Hi"), LogProbs("x", (5, 4), TOP)) for name in ids]
    path.write_text("".join(f"{line}\n" for line in [origin_line(origin), *map(line_of, rows)]))
    return path


def store(path, change):
    with HeldFile(path) as held:
        power.store(held, change)


class Model:
    """A route that answers as the file does, moved by a number, and counts its calls."""

    def __init__(self, moved=0.0):
        self.moved, self.groups, self.forms = moved, [], []

    def asked(self, prompt, images, form=None, pictures=None):
        self.forms.append((form, pictures))
        return Asked(prompt.id, (1, 2))

    def text(self, tokens):
        return ""

    def answer(self, asked, top):
        raise AssertionError("power scores what is stored")

    def score(self, asked, answers, top):
        self.groups.append([one.id for one in asked])
        assert all(tuple(answer) == (5, 4) for answer in answers)
        return [tuple({token: p + self.moved for token, p in listed.items()} for listed in TOP) for _ in asked]


def measure(reference, model, name="int4"):
    seen = []
    ready, variant = Ready(model, model), variants("float32")[name]
    return measured(reference, variant, reference.rows, ready, IMAGES, seen.append), seen


def test_the_distance_of_each_row_is_that_of_the_model(tmp_path):
    reference = read_reference(written(tmp_path / "r.jsonl"))
    model = Model(0.25)
    change, seen = measure(reference, model)
    assert change == Change("int4", False, dict.fromkeys("abc", PromptDistance(1.0, 0.25, 4, 4, 0.5, 2)))
    assert (model.groups, seen) == ([["a", "b"], ["c"]], [2, 3])


def test_prompts_and_pictures_have_the_form_of_the_change(tmp_path):
    reference = read_reference(written(tmp_path / "r.jsonl"))
    model = Model()
    measure(reference, model, "no-bos")
    assert {form.start for form, _ in model.forms} == {False}
    measure(reference, model, "nearest")
    form, pictures = model.forms[-1]
    assert (form.start, pictures.resample) == (True, "nearest")


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_far_away(tmp_path, broken):
    assert numbers(({5: broken, 7: -1.0},)) == ({5: NO_NUMBER, 7: -1.0},)
    change, _ = measure(read_reference(written(tmp_path / "r.jsonl")), Model(broken))
    store(tmp_path / "r.jsonl", change)
    [known] = read_reference(tmp_path / "r.jsonl").changes
    assert known.prompts["a"].shift > 1000


def test_a_stored_change_comes_back_and_the_rows_stay(tmp_path):
    path = written(tmp_path / "r.jsonl")
    rows, before = read_baseline(path), path.read_bytes()
    change = Change("int4", False, FAR)
    store(path, change)
    assert path.read_bytes().startswith(before)
    assert read_about(path).changes == (change,)
    assert read_baseline(path) == rows
    assert list(tmp_path.iterdir()) == [path]


def test_a_change_that_is_measured_again_takes_the_place_of_the_former(tmp_path):
    path = written(tmp_path / "r.jsonl")
    for far in (1.0, 2.0):
        store(path, Change("int4", False, {"a": replace(FAR["a"], shift=far)}))
        store(path, Change("int4-g128", False, FAR))
    assert {change.name: change.prompts["a"].shift for change in read_about(path).changes} == {
        "int4": 2.0,
        "int4-g128": 0.4,
    }


def test_a_change_whose_keys_are_in_another_order_is_replaced_too(tmp_path):
    path = written(tmp_path / "r.jsonl")
    store(path, Change("int4", False, FAR))
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{json.dumps(dict(reversed(json.loads(line).items())))}\n" for line in lines))
    again = Change("int4", False, {"b": FAR["a"]})
    store(path, again)
    assert read_about(path).changes == (again,)


def test_a_torn_last_line_is_dropped(tmp_path):
    path = written(tmp_path / "r.jsonl")
    with path.open("a") as file:
        file.write('{"change": "int8", "floor": fal')
    store(path, Change("int4", False, FAR))
    assert [change.name for change in read_about(path).changes] == ["int4"]


def test_a_file_stays_held_while_it_is_replaced(tmp_path):
    path = written(tmp_path / "r.jsonl")
    with HeldFile(path) as held:
        for name in ("int4", "int8"):
            power.store(held, Change(name, False, FAR))
            with pytest.raises(UsageProblem, match="another process is writing"):
                HeldFile(path)
    HeldFile(path).close()
    assert [change.name for change in read_about(path).changes] == ["int4", "int8"]


def test_who_waited_for_a_file_that_was_replaced_gets_the_new_one(tmp_path, monkeypatch):
    path = written(tmp_path / "r.jsonl")
    opened = HeldFile._opened

    def late(self, create):
        file = opened(self, create)
        monkeypatch.setattr(HeldFile, "_opened", opened)
        store(path, Change("int4", False, FAR))
        return file

    monkeypatch.setattr(HeldFile, "_opened", late)
    with HeldFile(path) as held:
        assert held.file.read() == path.read_bytes()


def test_only_what_is_not_measured_for_every_row_is_measured(tmp_path):
    path = written(tmp_path / "r.jsonl")
    store(path, Change("bf16", True, dict.fromkeys("abc", FAR["a"])))
    store(path, Change("int4", False, FAR))
    reference, table = read_reference(path), variants("float32")
    wanted = [table[name] for name in ("bf16", "int4", "int8")]
    assert [each.name for each in to_measure(reference, wanted, reference.rows)] == ["int4", "int8"]
    assert [each.name for each in to_measure(reference, wanted, reference.rows[:1])] == ["int8"]


@pytest.mark.parametrize(("arithmetic", "most"), [("float32", 1e-3), ("bfloat16", 0.2)])
def test_another_model_is_refused_by_its_numbers(tmp_path, arithmetic, most):
    reference = read_reference(written(tmp_path / "r.jsonl", arithmetic=arithmetic))
    near, far = (Change(AGAIN.name, True, {"a": replace(FAR["a"], shift=4 * x)}) for x in (most, most * 1.1))
    require_same_numbers(reference, near)
    with pytest.raises(UsageProblem, match="record it again"):
        require_same_numbers(reference, far)


def test_a_plain_baseline_is_no_reference(tmp_path):
    path = written(tmp_path / "r.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UsageProblem, match="is no reference"):
        read_reference(path)


def changes(count=20):
    def change(name, mean, floor=False):
        rows = {str(n): PromptDistance(mean * (1 + n / 100) * 100, mean * 9, 100, 110, 0.1, 5) for n in range(count)}
        return Change(name, floor, rows)

    return [change("bf16", 0.015, floor=True), change("int8", 0.018), change("int4", 0.2)]


def test_the_table_names_floor_refused_and_not_refused():
    head, floor, int8, int4 = power_table.table(changes(), 12)
    assert head[5] == "refused at 12"
    assert floor == ["bf16", "0.0164", "0.018", "90.9%", "0.0200", "floor", ""]
    assert int8[5:] == ["no", "more than 20"]
    assert int4[5:] == ["yes", "1"]


def test_the_table_as_text_and_as_markdown_holds_the_same_cells():
    rows = power_table.table(changes(), 12)
    for line, row in zip(power_table.as_text(rows).splitlines(), rows):
        assert [cell for cell in line.split("  ") if cell.strip()] or not row
    lines = power_table.as_markdown(rows).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in [lines[0], *lines[2:]]] == rows


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_the_whole_floor_is_measured_with_the_changes_that_are_named(tmp_path, arithmetic):
    reference = read_reference(written(tmp_path / "r.jsonl", arithmetic=arithmetic))
    floor = {name for name, each in variants(arithmetic).items() if each.floor}
    assert {each.name for each in wanted_changes(reference, "int4, no-bos")} == {*floor, "int4", "no-bos"}
    assert len(floor) > 2


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A reference of three prompts of the control."""
    path = tmp_path_factory.mktemp("power") / "reference.jsonl"
    assert main(["record", "--model", str(MODEL), "--out", str(path), "--prompts", "3", "--threads", "1"]) == 0
    return path


def run(path, *more, changes="bf16,int4"):
    return main(["power", str(path), "--model", str(MODEL), "--threads", "1", "--changes", changes, *more])


def test_the_command_measures_each_change_once(recorded, tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    path.write_bytes(recorded.read_bytes())
    assert run(path) == 0
    assert [(change.name, change.floor) for change in read_about(path).changes] == [
        ("again", True), ("bf16", True), ("fp16", True), ("int4", False),
    ]  # fmt: skip
    once = path.read_bytes()
    assert run(path) == 0
    assert path.read_bytes() == once
    assert "int4" in capsys.readouterr().out
    assert main(["record", "--model", str(MODEL), "--out", str(path), "--prompts", "3", "--threads", "1"]) == 0
    assert path.read_bytes() == once


def test_power_does_not_touch_a_file_that_is_recorded(recorded, tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    path.write_bytes(recorded.read_bytes())
    with HeldFile(path):
        assert run(path) == 4
    assert "another process is writing" in capsys.readouterr().err
    assert path.read_bytes() == recorded.read_bytes()


def test_record_measures_power_when_it_is_asked_to(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    few = {name: each for name, each in variants("float32").items() if name in ("again", "bf16", "int4")}
    monkeypatch.setattr("vlm_acceptance.reference.power_command.variants", lambda _: few)
    words = ["record", "--model", str(MODEL), "--out", str(path), "--prompts", "3", "--threads", "1", "--power"]
    assert main(words) == 0
    assert [change.name for change in read_about(path).changes] == list(few)


def test_wrong_options_are_one_line_each(recorded, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for file in MODEL.iterdir():
        (other / file.name).write_bytes(file.read_bytes() + b"\n" * (file.name == "config.json"))
    wrong = {
        "int44": ["power", str(recorded), "--model", str(MODEL), "--changes", "int44"],
        "--changes": ["power", str(recorded), "--model", str(MODEL), "--changes", ","],
        "--prompts": ["power", str(recorded), "--model", str(MODEL), "--prompts", "4"],
        "config.json": ["power", str(recorded), "--model", str(other)],
        "nowhere": ["power", str(recorded), "--model", str(tmp_path / "nowhere")],
        "absent.jsonl": ["power", str(tmp_path / "absent.jsonl"), "--model", str(MODEL)],
        "--images": ["power", str(recorded), "--model", str(MODEL), "--images", str(tmp_path / "none")],
    }
    for named, words in wrong.items():
        assert main(words) == 4, words
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert named in said
    assert [json.loads(line).get("change") for line in recorded.read_text().splitlines()] == [None] * 4
