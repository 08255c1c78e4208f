"""The rules of the design that a reader relies on, read from the source itself."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "src" / "vlm_acceptance"
ENGINE_SIDE = ("engine/cpu_launcher.py", "engine/guard.py", "engine/offline_worker.py", "engine/supervisor.py")

# what a room may import of ours besides itself: rooms of lower floors alone
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "stats": set(),
    "config": {"core"},
    "report": {"core", "stats"},
    "client": {"core", "config"},
    "checks": {"core", "stats", "config"},
    "cases": {"core", "config", "client"},
    "engine": {"core", "config", "client"},
    "workloads": {"core", "stats", "config", "client", "checks", "cases"},
    "accuracy": {"core", "stats", "config", "report", "client", "checks", "engine"},
    "reference": {"core", "stats", "config", "checks", "cases"},
    "run": {"core", "stats", "config", "report", "client", "checks", "cases", "engine", "workloads", "accuracy"},
    "pytest_plugin": {"core", "config", "report", "run"},
    "cli": {
        "core",
        "stats",
        "config",
        "report",
        "client",
        "checks",
        "cases",
        "engine",
        "workloads",
        "accuracy",
        "reference",
        "run",
    },
    "__main__": {"cli"},
}
# the only room of an equal floor that may be used, and the only modules of it
WORKLOADS_MAY_USE = (
    "vlm_acceptance.cases.pictures",
    "vlm_acceptance.cases.picture_kinds",
    "vlm_acceptance.cases.large_pictures",
    "vlm_acceptance.cases.challenge_pictures",
    "vlm_acceptance.cases.dialogues",
)
THIRD_PARTY = {
    "pydantic", "yaml", "requests", "urllib3", "PIL", "psutil", "jsonschema", "referencing", "jinja2", "packaging",
    "markupsafe",
}  # fmt: skip
# of the engine's interpreter: the reference computes there, and nothing else may need them
OF_REFERENCE = {"torch", "transformers", "tokenizers", "safetensors", "numpy"}
PYTEST_SIDE = {
    "pytest_plugin.py", "cli/run.py", "run/outcome_hooks.py", "run/verdict_hooks.py", "run/terminal_hooks.py",
    "run/stash_keys.py",
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
STANDARD = __import__("sys").stdlib_module_names


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The name a module has in the rules: its folder, or itself at the top level."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Units of ours that a module imports; '' is the package itself."""
    names = [name.split(".") for name in imports(path) if name.split(".")[0] == "vlm_acceptance"]
    return {name[1] if len(name) > 1 and not name[1].startswith("__") else "" for name in names} - {""}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def sources() -> list[Path]:
    """Every Python file of the project that is ours to keep readable."""
    folders = ("src", "tests", "benchmarks", "fixtures", "scripts")
    found = [
        ROOT / "conftest.py",
        ROOT / "setup.py",
        *itertools.chain.from_iterable((ROOT / name).rglob("*.py") for name in folders),
    ]
    # the checkpoint's own code is written by others
    return [path for path in found if "model" not in path.relative_to(ROOT).parts]


def acceptance_tests() -> list[tuple[Path, ast.FunctionDef]]:
    return [
        (path, node)
        for path in sorted((ROOT / "tests" / "acceptance").glob("test_*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def marks(nodes: list[ast.expr]) -> set[str]:
    """Names of the pytest marks in decorators or in a pytestmark value."""
    found = (part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Attribute))
    return {part.attr for part in found if isinstance(part.value, ast.Attribute) and part.value.attr == "mark"}


def test_an_import_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    late = tmp_path / "late.py"
    late.write_text("def f():\n    from vlm_acceptance.client import http\n    import numpy.linalg\n", "utf-8")
    assert set(imports(late)) == {"vlm_acceptance.client.http", "numpy.linalg"}
    assert ours(late) - MAY_IMPORT["checks"] == {"client"}


def test_both_marks_of_a_test_are_seen() -> None:
    tree = ast.parse("@pytest.mark.slow\ndef test_x(): ...\npytestmark = [pytest.mark.smoke, pytest.mark.needs('npu')]")
    function, assigned = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(assigned, ast.Assign)
    assert marks([*function.decorator_list, assigned.value]) == {"slow", "smoke", "needs"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way_only(path: Path) -> None:
    unit = unit_of(path)
    if unit == "__init__":
        assert ours(path) == set()
        return
    assert unit in MAY_IMPORT, f"{unit} has no rule yet: say in MAY_IMPORT what it may import"
    assert ours(path) - MAY_IMPORT[unit] - {unit} == set()


def test_rules_allow_no_arrow_upwards() -> None:
    seen: set[str] = set()
    for room, below in MAY_IMPORT.items():
        assert below <= seen, room
        seen.add(room)


def test_every_room_has_a_rule() -> None:
    assert {unit_of(path) for path in modules()} - {"__init__"} == set(MAY_IMPORT)


def test_workloads_take_only_pictures_from_the_cases() -> None:
    taken = {
        name
        for path in (PACKAGE / "workloads").glob("*.py")
        for name in imports(path)
        if name.startswith("vlm_acceptance.cases") and not name.startswith(WORKLOADS_MAY_USE)
    }
    assert taken == set()


def test_imports_are_at_most_eight_levels_deep() -> None:
    depth: dict[str, int] = {}
    for room in MAY_IMPORT:
        depth[room] = 1 + max((depth[below] for below in MAY_IMPORT[room]), default=0)
    assert max(depth.values()) <= 8


def test_modules_import_each_other_in_no_circle() -> None:
    names = {".".join(("vlm_acceptance", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    edges = {
        name: {target for full in imports(path) for target in (full, full.rpartition(".")[0]) if target in names}
        for name, path in names.items()
    }
    finished: set[str] = set()
    while ready := {name for name, targets in edges.items() if name not in finished and targets - {name} <= finished}:
        finished |= ready
    assert set(edges) - finished == set()


@pytest.mark.parametrize("name", ENGINE_SIDE)
def test_files_that_run_beside_the_engine_import_nothing_of_ours(name: str) -> None:
    assert [full for full in imports(PACKAGE / name) if full.startswith("vlm_acceptance")] == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_needs_nothing_but_its_declared_packages(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in ENGINE_SIDE:
        return
    roots = {name.partition(".")[0] for name in imports(path)} - {"vlm_acceptance"}
    foreign = {root for root in roots if root not in STANDARD}
    more = {"pytest"} if str(path.relative_to(PACKAGE)) in PYTEST_SIDE else set()
    assert foreign <= THIRD_PARTY | more | (OF_REFERENCE if unit_of(path) == "reference" else set())


def test_declared_packages_are_those_of_pyproject() -> None:
    named = {"PIL": "pillow", "yaml": "pyyaml"}
    text = (ROOT / "pyproject.toml").read_text("utf-8").lower()
    for package in THIRD_PARTY - {"urllib3", "markupsafe"}:  # they come with requests and jinja2
        assert f'"{named.get(package, package)}>=' in text


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_can_be_read_at_once(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < 400
    for node in functions(path):
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno + 1 < 50, f"{node.name} is too long"


def test_no_module_is_a_drawer_for_anything() -> None:
    assert [path for path in sources() if path.stem.strip("_") in FORBIDDEN_NAMES] == []


def test_nothing_prints_but_what_runs_by_itself() -> None:
    for path in modules():
        if str(path.relative_to(PACKAGE)) in ENGINE_SIDE:
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        assert [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"] == [], (
            path
        )


def test_public_functions_and_modules_say_what_they_do() -> None:
    for path in modules():
        if path.stat().st_size == 0:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_each_acceptance_test_is_smoke_or_slow_and_never_both() -> None:
    for path, node in acceptance_tests():
        tree = ast.parse(path.read_text("utf-8"))
        assigned = [
            part.value
            for part in tree.body
            if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)
            if part.targets[0].id == "pytestmark"
        ]
        found = (marks(assigned) | marks(node.decorator_list)) & {"smoke", "slow"}
        assert len(found) == 1, f"{path.name}: {node.name}: {found}"


def test_each_acceptance_test_says_what_must_hold() -> None:
    for path, node in acceptance_tests():
        assert "MUST" in (ast.get_docstring(node) or "").partition("\n")[0], f"{path.name}: {node.name}"


def test_no_test_name_hides_another() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        names = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
        assert sorted(set(names)) == sorted(names), path


def test_tracked_files_name_no_path_of_a_machine() -> None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("this is no git checkout")
    places = (str(ROOT).encode() + b"/", b"/opt/" + b"wheels", b"/opt/" + b"pypi")
    foreign = re.compile(rb"(?<![\w./-])(" + rb"|".join(map(re.escape, places)) + rb")")
    named = [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert [name for name in named if foreign.search((ROOT / name).read_bytes())] == []
