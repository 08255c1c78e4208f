"""`vlm-acceptance smoke|slow|nightly|plan`: the pytest run of the suite from any folder, in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from vlm_acceptance.cli import overview
from vlm_acceptance.config.options import OPTIONS, Option
from vlm_acceptance.config.paths import ACCEPTANCE, NO_CACHE, ROOT
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import is_file, is_folder

MARKS = {"smoke": "smoke", "slow": "slow", "nightly": "smoke or slow"}
PLAN = "plan"
# import name -> distribution: only these may be absent from an environment that holds vLLM
PARTS = {"pytest": "pytest", "pytest_timeout": "pytest-timeout"}
# options of pytest whose value, in a word of its own, may look like the name of a test
VALUED = ("-k", "-m", "--deselect", "--ignore", "--ignore-glob")
NAMES: Mapping[str, Option] = {
    **{f"--{option.name}": option for option in OPTIONS},
    **{f"--{option.name.removeprefix('vlm-')}": option for option in OPTIONS},
}


def main(args: list[str]) -> int:
    """Run pytest with these arguments, the first of which names the command; returns pytest's exit code."""
    if {"-h", "--help"} & set(args[: args.index("--")] if "--" in args else args):
        return overview.main([])
    given = pytest_args(args[0], args[1:], os.environ, Path.cwd())
    if absent := [name for module, name in PARTS.items() if find_spec(module) is None]:
        raise EnvironmentProblem(
            f"{' and '.join(absent)} must be installed beside the suite: "
            f"{sys.executable} -m pip install --no-deps pytest pluggy iniconfig pytest-timeout"
        )
    import pytest  # it may be absent

    sys.argv[1:] = given  # what the header and the reports of the run name
    return int(pytest.console_main())


def pytest_args(command: str, args: Sequence[str], env: Mapping[str, str], folder: Path) -> list[str]:
    """The arguments of the pytest run that a command with `args` starts in a folder; UsageProblem for a wrong one."""
    words, own = list(args), []
    if "--" in words:
        at = words.index("--")
        words, own = words[:at], words[at + 1 :]
    named = words.pop(0) if command == PLAN and words and words[0] in MARKS else None
    options = _options(words)
    if command == PLAN:
        options.append("--vlm-plan")
    if not env.get("VLM_REPORTS") and not any(word.startswith("--vlm-reports=") for word in options):
        options.append(f"--vlm-reports={folder / 'reports'}")
    mark = MARKS[named or (command if command in MARKS else "smoke")]
    files = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}"]
    tests = [_test_of_suite(word, before, folder) for before, word in zip(["", *own], own, strict=False)]
    if not any(tests):
        files.append(str(ACCEPTANCE))
    own = [test or word for test, word in zip(tests, own, strict=True)]
    return [*files, "-m", mark, *NO_CACHE, *options, *own]


def _test_of_suite(word: str, before: str, folder: Path) -> str:
    """The path or node id of a test of the suite that a word for pytest names, with an absolute path; '' for others."""
    if word.startswith("-") or before in VALUED:
        return ""
    name, colons, rest = word.partition("::")
    for path in (folder / name, ROOT / name):
        if (is_file(path) or is_folder(path)) and path.resolve().is_relative_to(ACCEPTANCE.resolve()):
            return f"{path}{colons}{rest}"
    return ""


def _options(words: list[str]) -> list[str]:
    """The options with their long names, each value in the same word, so that pytest never takes a value for a file."""
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name not in NAMES:
            raise UsageProblem(_unknown(word, name))
        option = NAMES[name]
        if option.flag and equals:
            raise UsageProblem(f"{name}: it takes no value, and {value!r} was given")
        if not option.flag and not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageProblem(f"{name}: its value is missing, give {name} {option.metavar}")
            value = rest.pop(0)
        found.append(f"--{option.name}" if option.flag else f"--{option.name}={value}")
    return found


def _unknown(word: str, name: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is not an option; options of pytest and names of tests come after --"
    # the short names come with the long ones, which are enough to list
    listed = ", ".join(f"--{option.name}" for option in OPTIONS)
    return f"unknown option {name!r}; options of pytest come after --; there are: {listed}.{nearest(name, NAMES)}"
