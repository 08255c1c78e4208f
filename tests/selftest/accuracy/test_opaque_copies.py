"""Pictures of the data sets of short answers: kept as published, with an opaque copy of transparent ones."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from tests.support.made_splits import (
    Values,
    noise_png,
    question,
    write_counts,
    write_parquet_split,
)

from vlm_acceptance.accuracy import prepare_command, split_preparation
from vlm_acceptance.accuracy.docvqa.splits import PREPARATIONS, VAL
from vlm_acceptance.accuracy.prepare_command import Request, converted, prepare
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.published import PublishedRow
from vlm_acceptance.accuracy.split_preparation import MOST_PIXELS, OpaqueCopies
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import BadFile

pytest.importorskip("pyarrow")
DOCS = [question(1, "form", page="p"), question(2, "layout", ["x"], page="q")]


def prepared_of(tmp_path: Path, rows: list[Values]) -> Prepared:
    write_parquet_split(VAL, rows, write_counts(tmp_path / "hub", rows))
    return prepare(PREPARATIONS["val"], Request(str(tmp_path / "hub"), tmp_path / "out"), lambda _: None)


def test_a_transparent_picture_has_an_opaque_copy_and_others_stay_as_they_are(tmp_path: Path) -> None:
    clear = noise_png("clear", mode="RGBA")
    rows = [{**DOCS[0], "picture": clear}, DOCS[1]]
    prepared = prepared_of(tmp_path, rows)
    first, second = prepared["60001"].pictures[0], prepared["60002"].pictures[0]
    assert (list(first.variants), list(second.variants)) == (["rgb"], [])
    assert prepared.picture_bytes(first.plain) == clear
    copy = Image.open(io.BytesIO(prepared.picture_bytes(first.variants["rgb"])))
    assert (copy.mode, copy.size) == ("RGB", (9, 7))
    assert copy.tobytes() == Image.open(io.BytesIO(clear)).convert("RGB").tobytes()


def test_a_picture_that_many_questions_share_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    real = split_preparation.require_decodable
    monkeypatch.setattr(
        split_preparation, "require_decodable", lambda encoded, most: decoded.append(encoded) or real(encoded, most)
    )
    copies = OpaqueCopies(1000)
    for name in ("a", "b", "a", "a"):
        assert copies.variants(noise_png(name)) == {}
    assert decoded == [noise_png("a"), noise_png("b")]


def jpeg(size: tuple[int, int] = (400, 300), **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(noise_png("jpeg", size))).save(buffer, "JPEG", **how)
    return buffer.getvalue()


@pytest.mark.parametrize("how", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.98])
def test_a_truncated_jpeg_is_found_though_it_is_decoded_at_an_eighth(how: dict[str, object], keep: float) -> None:
    whole = jpeg(**how)
    assert OpaqueCopies(200_000).variants(whole) == {}
    with pytest.raises(BadFile, match="cannot be decoded|is not a readable"):
        OpaqueCopies(200_000).variants(whole[: int(len(whole) * keep)])


def test_a_jpeg_of_several_pictures_is_stored_as_a_jpeg(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    frames = [Image.open(io.BytesIO(noise_png(name, (60, 40)))) for name in "ab"]
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    rows = [{**DOCS[0], "picture": buffer.getvalue()}]
    prepared = prepared_of(tmp_path, rows)
    assert prepared["60001"].pictures[0].plain.file.endswith(".jpg")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"no picture at all", "it is not a picture"),
        (noise_png("cut", (40, 40))[:-30], "it cannot be decoded|it is not a readable"),
        (noise_png("bomb", (8001, 8001), "1"), "it has 8001 x 8001 pixels; at most 64000000 are decoded"),
    ],
    ids=["text", "cut", "bomb"],
)
def test_a_picture_that_cannot_be_decoded_is_refused_with_file_and_question(
    tmp_path: Path, picture: bytes, message: str
) -> None:
    rows = [DOCS[0], {**DOCS[1], "picture": picture}]
    with pytest.raises(EnvironmentProblem, match=rf"DocVQA/validation-.*: 60002: its picture cannot be .*{message}"):
        prepared_of(tmp_path, rows)
    assert not (tmp_path / "out").exists()


def test_the_largest_published_pictures_are_within_the_limit() -> None:
    assert 6250 * 9375 < MOST_PIXELS < 89_478_485  # where Pillow begins to warn


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, guard = 0, 0, threading.Lock()

    def slow(_encoded: bytes, _most: int) -> bool:
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with guard:
            now -= 1
        return False

    monkeypatch.setattr(split_preparation, "require_decodable", slow)
    monkeypatch.setattr(split_preparation, "_LARGE_PIXELS", 50)
    pages = [PublishedRow(str(n), "val", "open", "?", (), ("x",), ((1, noise_png(str(n))),), "f") for n in range(8)]
    assert len(list(converted(iter(pages), OpaqueCopies(1000), 4))) == 8
    assert most == 1


def test_few_bytes_of_pictures_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_command, "_HELD_BYTES", 10_000)
    taken = 0

    def rows():  # type: ignore[no-untyped-def]
        nonlocal taken
        for number in range(50):
            taken += 1
            yield PublishedRow(str(number), "val", "open", "?", (), ("x",), ((1, bytes(4_000)),), "f")

    ahead = []
    for given, _ in enumerate(converted(rows(), lambda row: row, 32), start=1):  # type: ignore[arg-type,return-value]
        ahead.append(taken - given)
    assert len(ahead) == 50
    assert max(ahead) <= 2
