"""`vlm-acceptance reference COMMAND`: runs where torch is, in this interpreter or in the engine's."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.engine.installation import find_engine
from vlm_acceptance.reference import __main__ as commands
from vlm_acceptance.reference.routes import NEEDED

OPTION = "--engine-python"
COMPUTE = ("record", "power")  # the others read files alone
PROBE_S, LACKS = 60.0, "lacks:"
_PROBE = (
    "from importlib.util import find_spec; "
    f"print('{LACKS}' + ', '.join(name for name in {NEEDED!r} if find_spec(name) is None))"
)
# our packages come last, so that none of them hides one of the engine's
_RUN = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module("vlm_acceptance.reference", run_name="__main__", alter_sys=True)
"""


def main(args: list[str]) -> int:
    """Run the command and return its exit code; in another interpreter it takes the place of this process."""
    words, given = _engine_python(args)
    is_computed = _is_computed(words)
    if given is None and (not is_computed or not _absent()):
        with _alone():
            return commands.main(words)
    python = given or _python_of_engine()
    if given is not None and is_computed:
        _require_packages(given)
    env = {**os.environ, commands.PROGRAM: commands.FRONT}
    argv = [str(python), "-c", _RUN, str(Path(__file__).resolve().parents[2]), *words]
    try:
        sys.stdout.flush()
        os.execve(python, argv, env)  # noqa: S606 - an interpreter of the person's choice
    except OSError as broken:
        raise UsageProblem(f"{OPTION}: {str(python)!r} cannot be started: {broken.strerror}") from None


@contextmanager
def _alone() -> Iterator[None]:
    """The variables of a computation beside a serving card, for as long as it takes: callers may go on."""
    before = {name: os.environ.get(name) for name in commands.ALONE}
    os.environ.update(commands.ALONE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _require_packages(python: Path) -> None:
    """UsageProblem when a named file is no interpreter, or one that lacks what the computation needs."""
    try:
        done = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_S, check=False)
    except OSError as broken:
        raise UsageProblem(f"{OPTION}: {str(python)!r} cannot be started: {broken.strerror}") from None
    except (subprocess.TimeoutExpired, UnicodeDecodeError):
        raise UsageProblem(f"{OPTION}: {str(python)!r} is not a Python interpreter") from None
    said = (done.stdout.splitlines() or [""])[-1]
    if not said.startswith(LACKS):
        raise UsageProblem(f"{OPTION}: {str(python)!r} is not a Python interpreter")
    if lacking := said.removeprefix(LACKS):
        raise UsageProblem(
            f"{OPTION}: {str(python)!r} lacks {lacking}: name the interpreter in which vLLM is installed, "
            "such as VENV/bin/python"
        )


def _is_computed(words: Sequence[str]) -> bool:
    """Whether a command needs torch: `compare` only with a model."""
    if not words or {"-h", "--help"} & set(words):
        return False
    return words[0] in COMPUTE or any(word.partition("=")[0] == "--model" for word in words)


def _absent() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def _python_of_engine() -> Path:
    """The interpreter that holds vLLM; EnvironmentProblem without one."""
    remedy = f"name an interpreter that has torch and transformers: {OPTION} VENV/bin/python"
    lacking = f"{', '.join(_absent())} not installed in {sys.executable}, and"
    try:
        found = find_engine(None, None, os.environ).python
    except EnvironmentProblem as problem:
        raise EnvironmentProblem(f"{lacking} {problem}; {remedy}") from None
    if found is None or found.absolute() == Path(sys.executable).absolute():
        raise EnvironmentProblem(f"{lacking} the engine's interpreter is not known; {remedy}")
    return found.absolute()


def _engine_python(args: Sequence[str]) -> tuple[list[str], Path | None]:
    """The words without this command's own option, and its value; UsageProblem for one that is no file."""
    words, given = [], None
    rest = iter(args)
    for word in rest:
        name, equals, value = word.partition("=")
        if name != OPTION:
            words.append(word)
            continue
        text = value if equals else next(rest, "")
        if not is_file(expanded(text)):
            raise UsageProblem(f"{OPTION}: {text!r} is not a Python interpreter")
        given = expanded(text).absolute()
    return words, given
