"""Files from elsewhere: only regular ones, within their limits, and only below their own folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import input_file, output_file, require_text_file, resolve_existing
from vlm_acceptance.config.profile_file import load_profile
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import (
    BadFile,
    expanded,
    inside,
    is_file,
    is_folder,
    opened,
    parse_json,
    read_bytes,
    read_lines,
    read_text,
    shown,
)
from vlm_acceptance.core.logprobs import is_baseline, read_baseline

LONG = "x" * 5000


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Paths that are no regular file; opening some of them would block, others have no end."""
    os.mkfifo(tmp_path / "pipe.yaml")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.yaml"))
    server.close()
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "circle.yaml").symlink_to(tmp_path / "circle.yaml")
    names = {name: tmp_path / f"{name}.yaml" for name in ("pipe", "socket", "folder", "circle", "absent")}
    return {**names, "zero": Path("/dev/zero"), "long": tmp_path / LONG, "NUL": tmp_path / "a\0b"}


def test_what_is_no_regular_file_is_refused_at_once(odd: dict[str, Path]) -> None:
    for name, path in odd.items():
        assert not is_file(path), name
        for read in (read_bytes, opened, read_text):
            with pytest.raises(BadFile):
                read(path, 100)
        with pytest.raises(BadFile):
            next(read_lines(path))


def test_profiles_and_files_of_options_are_regular_files(odd: dict[str, Path]) -> None:
    for name, path in odd.items():
        assert not is_baseline(path), name
        for read in (
            lambda path: load_profile(str(path), PROFILES),
            lambda path: input_file(str(path), "--vlm-baseline"),
            lambda path: require_text_file(str(path), "key"),
            read_baseline,
        ):
            with pytest.raises(UsageProblem) as caught:
                read(path)
            assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "mine.yaml").write_text("name: x", "utf-8")
    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(UsageProblem, match=r"mine\.yaml cannot be read: Permission denied$"):
        load_profile(str(tmp_path / "mine.yaml"), PROFILES)


def test_names_that_are_not_valid_are_no_traceback(tmp_path: Path) -> None:
    for name in (LONG, "a\0b", "~nobody-here/x"):
        assert not is_folder(expanded(name))
        with pytest.raises(UsageProblem):
            resolve_existing(name, "key")
        with pytest.raises(UsageProblem):
            output_file(name, "FILE")


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfab\ncdef\n")
    assert read_text(path, 11) == "ab\ncdef\n"
    with pytest.raises(BadFile, match="has 11 bytes; at most 10 are read"):
        read_bytes(path, 10)
    assert [len(line) for _, line in read_lines(path, 6)] == [6, 5]
    with pytest.raises(BadFile, match="a line of more than 5 bytes, line 1"):
        list(read_lines(path, 5))
    assert [line for _, line in read_lines(path, 5, skip=True)] == [b"\n", b"cdef\n"]
    path.write_bytes(b"\xff\xfea\0")
    with pytest.raises(BadFile, match=r"is not UTF-8 text \(byte 0\)"):
        read_text(path, 10)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_a_file_that_says_it_is_empty_is_read_to_the_limit() -> None:
    assert b"stack" in read_bytes(Path("/proc/self/maps"), 1 << 24)
    with pytest.raises(BadFile, match="more than 100 bytes"):
        read_bytes(Path("/proc/self/maps"), 100)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "not valid JSON|levels deep"),
        ("[" * 300 + "]" * 300, "more than 100 levels deep"),
        ('{"a":' * 150 + "1" + "}" * 150, "more than 100 levels deep"),
        ("9" * 5000, "not a number of JSON"),
        ("NaN", "not a number of JSON"),
        ("[" + "[]," * 1_200_000 + "[]]", "brackets"),
        (b"\xff\xfe[\0]\0", "UTF-8"),
        ("{", "not valid JSON"),
    ],
)
def test_json_has_limits(text: str | bytes, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        parse_json(text)


def test_valid_json_is_read() -> None:
    assert parse_json('\ufeff{"a": [1, 2.5, "\\ud800"]}'.encode()) == {"a": [1, 2.5, "\ud800"]}
    assert parse_json("[" * 100 + "]" * 100)


def test_a_name_leads_nowhere_but_below_its_folder(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("x", "utf-8")
    (tmp_path / "own" / "file").write_text("x", "utf-8")
    (tmp_path / "own" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "own" / "folder").symlink_to(tmp_path)
    (tmp_path / "own" / "within").symlink_to("file")
    own = tmp_path / "own"
    assert inside(own, "file") == own / "file"
    assert inside(own, "within") == own / "within"
    assert inside(own, "out", links=True) == own / "out"
    for name in (
        "",
        ".",
        "/etc/passwd",
        "../secret",
        "a/../../secret",
        "out",
        "folder/secret",
        "a\0",
        None,
        1,
        ["file"],
    ):
        with pytest.raises(BadFile):
            read_bytes(inside(own, name), 100)


def test_foreign_text_is_a_part_of_one_line() -> None:
    assert shown("a\n\t\x1b[2J\ud800") == "a\\n\\t\\x1b[2J\\ud800"
    assert shown("x" * 30, 10) == "xxxxxxxxxx… (30 characters)"
    assert "\n" not in str(UsageProblem("a\nb\x1b"))
    assert len(str(UsageProblem("x" * 100_000))) < 2100
