"""Writes docs/checks.md, every acceptance test with its MUST sentence and the faults it detects, and docs/causes.md.

Reads the sources, and imports nothing of the suite but data: owners of faults, causes. Standard library only.
"""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "docs" / "checks.md"
ACCEPTANCE = ROOT / "tests" / "acceptance"
OWNERS = ROOT / "tests" / "proof" / "owners.py"
CAUSES = ROOT / "docs" / "causes.md"
PROOF = ROOT / "tests" / "proof"
PLAN = ROOT / "src" / "vlm_acceptance" / "run" / "requirements.py"
HEAD = """# The checks

Written by `make catalogue` from `tests/acceptance/` and `tests/proof/owners.py`. A check is named `area::test`, its
sentence is what a deployment MUST do. Each of its faults was planted in a right deployment, and the check failed;
`(error)` marks a fault of the environment, for which the check ends as an error, not as a failure. Smoke runs after
every installation, slow every night. A check that needs something that the profile or the mode does not have is not
applicable, and the verdict lists it with the reason.
"""

CAUSES_HEAD = """# The causes

Written by `make catalogue` from `src/vlm_acceptance/core/causes.py` and `core/cause_rules.py`. A verdict that is no
acceptance names what is wrong, not the first test that failed: each failure and each error is counted for one cause.
The causes that prevent all others come first (the engine does not start, ends, or hangs), then the one that explains
most failed tests. A test that shows a cause only weakly is counted for a stronger one that the same run shows: of a
deployment that sees no picture, the wrong answers of every area are counted as "the picture was not seen".

`summary.json` has them in `causes`, in the same order, with the tests and the finding that shows each best. Examples
are faults of the proof ([faults.md](faults.md)), which also says of each fault which cause its run named first.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One test function: its area, its mark, and what the profile or mode must have for it."""

    area: str
    name: str
    mark: str
    needs: tuple[str, ...]
    must: str

    @property
    def id(self) -> str:
        """Its name in the table of owners, without parameters."""
        return f"{self.area}::{self.name}"


def checks(folder: Path = ACCEPTANCE) -> list[Check]:
    """Every acceptance test: areas in the order of a run, tests in the order of their files."""
    found = [check for path in sorted(folder.glob("test_*.py")) for check in _of_module(path)]
    order = _areas()
    return sorted(found, key=lambda check: order.index(check.area) if check.area in order else len(order) - 2)


def _of_module(path: Path) -> Iterator[Check]:
    tree = ast.parse(path.read_text("utf-8"))
    shared = [mark for node in tree.body if _assigns(node, "pytestmark") for mark in _marks(node)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = shared + [mark for decorator in node.decorator_list for mark in _marks(decorator)]
            names = [name for name, _ in marks]
            needs = tuple(dict.fromkeys(arg for name, args in marks if name == "needs" for arg in args))
            must = (ast.get_docstring(node) or "").partition("\n")[0]
            mark = next((name for name in names if name in ("smoke", "slow")), "")
            yield Check(path.stem.removeprefix("test_"), node.name, mark, needs, must)


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)


def _marks(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Marks of a decorator or of `pytestmark`, each with its text arguments."""
    called = {call.func: call for call in ast.walk(node) if isinstance(call, ast.Call)}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Attribute) and part.value.attr == "mark":
            args = called[part].args if part in called else []
            words = (arg.value for arg in args if isinstance(arg, ast.Constant))
            yield part.attr, tuple(word for word in words if isinstance(word, str))


def _areas() -> tuple[str, ...]:
    tree = ast.parse(PLAN.read_text("utf-8"))
    value = next(node.value for node in tree.body if isinstance(node, ast.Assign) and _assigns(node, "AREAS"))
    areas: tuple[str, ...] = ast.literal_eval(value)
    return areas


def faults(path: Path = OWNERS) -> dict[str, list[str]]:
    """Faults by the id of the test function that owns them, those of the environment marked `(error)`."""
    sys.path.insert(0, str(OWNERS.parent))  # for the names it imports
    owners = runpy.run_path(str(path))
    found: dict[str, list[str]] = {}
    for kind, families in (("", owners["REFUSED"]), (" (error)", owners["ERRORS"])):
        for rows in families.values():
            for fault, tests in rows.items():
                for test in dict.fromkeys(owner.partition("[")[0] for owner in tests):
                    found.setdefault(test, []).append(fault + kind)
    return found


def table(listed: list[Check], owned: Mapping[str, list[str]]) -> str:
    """The catalogue as Markdown."""
    smoke = sum(check.mark == "smoke" for check in listed)
    lines = [HEAD, f"{len(listed)} checks: {smoke} smoke, {len(listed) - smoke} slow."]
    for area in dict.fromkeys(check.area for check in listed):
        lines += ["", f"## {area}", "", "| check | runs | needs | MUST | faults |", "|---|---|---|---|---|"]
        for check in listed:
            if check.area == area:
                proved = ", ".join(owned.get(check.id, ())) or "none yet"
                must = check.must.replace("|", r"\|")
                lines.append(f"| `{check.id}` | {check.mark} | {', '.join(check.needs)} | {must} | {proved} |")
    return "\n".join([*lines, ""])


def causes_page() -> str:
    """The causes as Markdown: id, sentence, advice, and a fault that is an example."""
    sys.path.insert(0, str(OWNERS.parent))
    expected = runpy.run_path(str(PROOF / "owners_causes.py"))["EXPECTED"]
    known = runpy.run_path(str(ROOT / "src" / "vlm_acceptance" / "core" / "causes.py"))["CAUSES"]
    described = dict(_descriptions())
    lines = [CAUSES_HEAD, "| cause | what is wrong | what to look at, what to do | an example |", "|---|---|---|---|"]
    for cause in known.values():
        alone = [fault for fault, causes in expected.items() if causes[0] == cause.id]
        # a fault of this cause alone, and one that is described, is the best example
        examples = sorted(alone, key=lambda fault: (len(expected[fault]), fault not in described))
        example = f"`{examples[0]}`: {described[examples[0]]}" if examples and examples[0] in described else ""
        named = example or (f"`{examples[0]}`" if examples else "")
        row = (f"`{cause.id}`", cause.title, cause.advice, named)
        lines.append(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |")
    return "\n".join([*lines, ""])


def _descriptions() -> Iterator[tuple[str, str]]:
    """Faults on the wire and in the model with their descriptions, from the rows and functions that make them."""
    for path in sorted(PROOF.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Tuple) and len(node.elts) == 4 and path.stem.startswith("faults"):
                texts = [part.value for part in node.elts[:2] if isinstance(part, ast.Constant)]
                if len(texts) == 2 and all(isinstance(text, str) for text in texts):
                    yield str(texts[0]), str(texts[1])
            elif isinstance(node, ast.FunctionDef) and path.stem.startswith("mutant"):
                yield node.name.replace("_", "-"), (ast.get_docstring(node) or "").partition("\n")[0]


def main() -> None:
    """Write the catalogue and the table of causes."""
    CATALOGUE.parent.mkdir(exist_ok=True)
    CATALOGUE.write_text(table(checks(), faults()), "utf-8")
    CAUSES.write_text(causes_page(), "utf-8")


if __name__ == "__main__":
    main()
