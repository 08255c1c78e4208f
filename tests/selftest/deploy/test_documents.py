"""README.md and docs/deploy.md say what the files of deploy/ do, in the words of these files."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from tests.support.recipes import DEPLOY
from tests.support.runs import ROOT

from vlm_acceptance.cli.main import COMMANDS as COMMANDS_OF_THE_SUITE
from vlm_acceptance.core.verdict import EXIT

README = (ROOT / "README.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
COMMANDS = re.compile(r"^(?:scripts/wheelhouse\.sh|docker|kubectl|deploy/)\S* .*", re.MULTILINE)


def section(title: str) -> str:
    """A section of the README."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def quotes(text: str) -> list[tuple[Path, str]]:
    """(file, quoted text) of each YAML block; the file is the last one of deploy/ that is named before it."""
    found = []
    for block in re.finditer(r"```yaml\n(.*?)```", text, re.DOTALL):
        name = re.findall(r"\]\(deploy/([\w.-]+)\)", text[: block.start()])[-1]
        found.append((DEPLOY / name, block[1]))
    return found


def is_part(quoted: str, whole: str) -> bool:
    """Whether some lines of `whole`, without their common indentation, are `quoted`."""
    lines, length = whole.splitlines(), len(quoted.splitlines())
    parts = ("\n".join(lines[start : start + length]) for start in range(len(lines) - length + 1))
    return any(textwrap.dedent(part) == quoted.rstrip("\n") for part in parts)


def test_readme_quotes_the_files_word_for_word() -> None:
    found = quotes(section("CI"))
    assert {path.name for path, _ in found} == {"github-control.yml", ".gitlab-ci.yml", "job-smoke.yaml"}
    for path, quoted in found:
        assert is_part(quoted, path.read_text("utf-8")), path.name


def test_a_changed_word_is_no_quotation() -> None:
    assert is_part("b: 1\n  c: 2\n", "a:\n  b: 1\n    c: 2\nd: 3\n")
    assert not is_part("b: 1\n  c: 3\n", "a:\n  b: 1\n    c: 2\nd: 3\n")


@pytest.mark.parametrize("text", [section("On an Ascend NPU"), section("CI"), PAGE], ids=["npu", "ci", "page"])
def test_commands_are_those_that_the_files_name(text: str) -> None:
    headers = "\n".join(
        line.lstrip("# ")
        for path in DEPLOY.iterdir() if path.is_file()
        for line in path.read_text("utf-8").splitlines() if line.startswith("#")
    )  # fmt: skip
    blocks = "\n".join(re.findall(r"```\n(.*?)```", text, re.DOTALL))
    for command in COMMANDS.findall(blocks):
        words = command.partition("  #")[0].split()
        if words[0] == "deploy/docker-run.sh":
            assert (ROOT / words[0]).exists()
        else:
            assert " ".join(words) in headers, command


def test_page_records_the_first_run_of_a_card_in_the_folder_that_docker_run_gives() -> None:
    calibrate, *rest = re.findall(r"^deploy/docker-run\.sh calibrate (.*)", PAGE, re.MULTILINE)
    run, file = calibrate.split()
    assert (rest, run) == ([], "/reports/latest")
    assert file.startswith("/reports/")
    assert f"\ndeploy/docker-run.sh smoke --vlm-profile={file}\n" in PAGE
    assert 'give_folder REPORTS "$reports" /reports\n' in (DEPLOY / "docker-run.sh").read_text("utf-8")
    assert "calibrate" in COMMANDS_OF_THE_SUITE


def test_every_recipe_is_on_the_page_and_every_named_file_exists() -> None:
    files = {path.name for path in DEPLOY.iterdir() if path.is_file()} - {".gitignore", "Dockerfile.dockerignore"}
    assert set(re.findall(r"\]\(\.\./deploy/([\w.-]+)\)", PAGE)) == files
    assert set(re.findall(r"\]\(deploy/([\w.-]+)\)", README)) <= files


def test_tables_of_exit_codes_are_those_of_the_verdict() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", section("CI"), re.MULTILINE)
    codes = [int(code) for row in rows for code in row.split(",")]
    assert sorted(codes) == sorted({*EXIT.values(), int(pytest.ExitCode.USAGE_ERROR)})
