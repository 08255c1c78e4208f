"""Collects the texts for people from the sources into the gettext catalogue, and compiles it.

`make messages` runs it with the tools: new texts come into the .po without a translation, texts that are gone leave
it, and what has no translation is listed. `collected()` needs no more than the suite does.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "vlm_acceptance"
CATALOGUE = PACKAGE / "locale" / "zh_CN" / "LC_MESSAGES" / "vlm_acceptance.po"
# their texts go to a model, to an engine or into docs/, or are commands and names of files
LEFT_OUT = (
    "accuracy/*/protocols.py", "accuracy/*/splits.py", "accuracy/mmmu/subjects.py", "accuracy/mmmu/scorer_*.py",
    "accuracy/protocol.py", "accuracy/short_answer_prompts.py", "config/*_sections.py", "config/profile.py",
    "core/cause_rules.py", "core/chance.py", "core/spelling.py", "engine/cpu_launcher.py", "engine/guard.py",
    "engine/offline_worker.py", "engine/supervisor.py", "reference/changes.py", "run/former_names/*",
    "workloads/conversation.py", "workloads/ladder_prompts.py", "workloads/tools.py",
)  # fmt: skip
# calls whose texts are patterns, names of files or commands
NO_TEXT = frozenset(
    {"compile", "match", "search", "fullmatch", "sub", "findall", "finditer", "split", "replace", "run"}
)
# texts of runs that an earlier release stored
FORMER = (
    "Compare weights (hashes), --dtype, --quantization, config.json"
    " (rope_theta, rms_norm_eps, layers) and the operators of this version with the recorded run.",
    "Greedy tokens and top-5 log probabilities of a sample of prompts MUST be those stored, within the alarm.",
    "The model computes other numbers than the recorded deployment",
    "at least {0} of the top-5 tokens in common with the baseline",
    "log probabilities of common top-5 tokens within {0} of the baseline in the mean",
    "top-5 tokens differ from the baseline",
    "which is not among the five likeliest",
)
# single words that are shown alone: outcomes, verdicts, severities and their like
WORDS = (
    "ACCEPTED", "REJECTED", "INCONCLUSIVE", "mode", "deployment", "seed", "url",
    "accepted", "rejected", "inconclusive", "passed", "failed", "error", "skipped", "fatal", "failure", "ability",
    "warning", "launched", "attached", "server", "nothing", "unknown", "unobserved", "area", "tests", "requests",
    "time", "total", "enough", "suite", "reports", "threads", "proxies", "environment", "engine", "versions",
    "device", "driver", "image", "port", "weights", "tiles", "expected", "observed", "evidence", "repeat",
)  # fmt: skip
# texts of data files that reports show, by their keys
DATA = ("fixtures/edge_inputs.yaml", "fixtures/known_issues.yaml", "fixtures/profiles/*.yaml")
DATA_KEYS = frozenset({"must", "issue", "source", "note", "description"})
# what report/templates/accuracy.txt.j2 makes of its values: these lines are stored in the summary
ACCURACY = (
    "{0} of the answered; of {1} questions {2}, scorer {3}, protocol {4}", "{0}, scorer {1}, protocol {2}",
    "stopped early: {0}", "most frequent letter {0} {1} %", "no letter read", "every answer could be read",
    "choices without a letter {0}", "open unresolved {0}", "cut by max_tokens {0}", "bare A on open questions {0}",
    "declined {0}", "refused {0}", "{0} not asked", "{0} tests failed, first {1}: {2}", "{0}, then {1}",
    "all {0} required tests of -m {1} passed", "all {0} required tests passed", "all {0} required tests{1} passed, {2}",
    "{0} of {1} required tests of -m {2} passed{3}", "weights loaded in {0}", "model memory not reported",
    "model memory {0}", "KV cache {0}", "{0} no data",
    "time to first token {0}, budget {1} s", "time per output token {0}, budget {1} s", "end to end {0}, budget {1} s",
    "own threads {0}", "engine's threads {0}", "stolen {0}",
    "letters: {0}", "answers {0}", "golds {0}", "multiple-choice {0}", "open {0}",
    "usage: ", "positional arguments", "options", "show this help message and exit",
    "the following arguments are required: {0}", "unrecognized arguments: {0}", "argument {0}: expected one argument",
    "argument {0}: invalid choice: {1} (choose from {2})",
    "expected {0}", "shape", "letters",
    "Art and Design", "Business", "Science", "Health and Medicine", "Humanities and Social Science",
    "Tech and Engineering", "Art and Design {0}", "Business {0}", "Science {0}", "Health and Medicine {0}",
    "Humanities and Social Science {0}", "Tech and Engineering {0}", "scorers", "nothing answered",
    "time: median {0} s, p95 {1} s, {2} questions/s, tokens {3} prompt, {4} completion, retries {5}",
)  # fmt: skip
MOST_VARIANTS = 16
_CODE = re.compile(r"\\[wSsd()]|\(\?|\.\*[\w ]|\[\^|\nimport |^import |::=|<image>")
_WORD = re.compile(r"[A-Za-z]{2,}")
_LONG_WORD = re.compile(r"[A-Za-z]{3,}")


def collected(root: Path = ROOT) -> dict[str, str]:
    """Every text for people, as a msgid -> where it comes from first."""
    package, found = root / "src" / "vlm_acceptance", {}
    sources = [path for path in sorted(package.rglob("*.py")) if not _is_left_out(path.relative_to(package))]
    for path in [*sources, root / "conftest.py", *sorted((root / "tests" / "acceptance").glob("*.py"))]:
        tree = ast.parse(path.read_text("utf-8"))
        texts = [*_Texts(tree).found, *(_musts(tree) if path.name.startswith("test_") else ())]
        found.update({text: str(path.relative_to(root)) for text in texts if text not in found})
    for path in sorted((package / "report").rglob("*.j2")):
        found.update({text: str(path.relative_to(root)) for text in _of_template(path) if text not in found})
    for path in (path for pattern in DATA for path in sorted(root.glob(pattern))):
        values = _values(yaml.safe_load(path.read_text("utf-8")))
        found.update({text: str(path.relative_to(root)) for text in values if text not in found})
    return {**dict.fromkeys((*WORDS, *FORMER, *ACCURACY), "scripts/messages.py"), **found}


def _values(data: object) -> Iterator[str]:
    """The sentences of a data file."""
    for key, value in data.items() if isinstance(data, dict) else ():
        if key in DATA_KEYS and isinstance(value, str) and " " in value and "://" not in value:
            yield value
    for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _values(part)


def _is_left_out(path: Path) -> bool:
    return any(path.match(pattern) for pattern in LEFT_OUT)


def _musts(tree: ast.Module) -> Iterator[str]:
    """First lines of the docstrings of tests: what a deployment MUST do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if first:
                yield first


def _of_template(path: Path) -> Iterator[str]:
    """Literals given to tr() in a template."""
    tree = jinja2.Environment(autoescape=True).parse(path.read_text("utf-8"))
    for call in tree.find_all(jinja2.nodes.Call):
        is_tr = isinstance(call.node, jinja2.nodes.Name) and call.node.name == "tr"
        if is_tr and call.args and isinstance(call.args[0], jinja2.nodes.Const):
            yield str(call.args[0].value)


class _Texts:
    """The texts of a module: literals and f-strings that hold words, but for docstrings and patterns."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[str] = []
        self._done: set[int] = set()
        if any(isinstance(node, ast.Name) and node.id == "__doc__" for node in ast.walk(tree)):  # the help of a command
            self.found.append(ast.get_docstring(tree, clean=False) or "")
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                self._done.add(id(node.body[0].value))  # type: ignore[attr-defined]
        for node in ast.walk(tree):  # outer nodes come first
            self._visit(node)

    def _visit(self, node: ast.AST) -> None:
        if id(node) in self._done:
            return
        if isinstance(node, ast.Call):
            self._call(node)
        if isinstance(node, (ast.BinOp, ast.JoinedStr, ast.Constant)) and _is_text(node):
            self._take(node)

    def _call(self, call: ast.Call) -> None:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "tr" and call.args and isinstance(call.args[0], ast.Constant):
            self._done.add(id(call.args[0]))
            self.found.append(str(call.args[0].value))
        elif name in NO_TEXT:
            self._done.update(id(part) for part in ast.walk(call) if isinstance(part, ast.Constant))

    def _take(self, node: ast.expr) -> None:
        has_hole = isinstance(node, (ast.JoinedStr, ast.BinOp))
        for variant in itertools.islice(self._variants(node), MOST_VARIANTS):
            text = _numbered(variant) if has_hole else _literal(variant)
            if is_text(text):
                self.found.append(text)

    def _variants(self, node: ast.expr) -> Iterator[tuple[str | None, ...]]:
        """The pieces of a text, None for a hole; one variant for each choice that it holds."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._done.add(id(node))
            yield (node.value,)
        elif isinstance(node, ast.JoinedStr):
            self._done.add(id(node))
            yield from self._product(node.values)
        elif isinstance(node, ast.FormattedValue) and node.conversion == -1 and node.format_spec is None:
            yield from self._variants(node.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_text(node):
            self._done.add(id(node))
            yield from self._product([node.left, node.right])
        elif isinstance(node, ast.IfExp) and (_is_text(node.body) or _is_text(node.orelse)):
            yield from self._variants(node.body)
            yield from self._variants(node.orelse)
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) and _is_text(node.values[-1]):
            yield (None,)
            yield from self._variants(node.values[-1])
        else:
            yield (None,)

    def _product(self, parts: Iterable[ast.expr]) -> Iterator[tuple[str | None, ...]]:
        choices = [list(itertools.islice(self._variants(part), MOST_VARIANTS)) for part in parts]
        for chosen in itertools.product(*choices):
            yield tuple(itertools.chain(*chosen))


def _is_text(node: ast.expr) -> bool:
    """Whether an expression is a text by its form."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _numbered(pieces: tuple[str | None, ...]) -> str:
    """A msgid with {0}, {1}, … for the holes; holes side by side are one."""
    text, count, was_hole = "", 0, False
    for piece in pieces:
        if piece is None:
            text += "" if was_hole else f"{{{count}}}"
            count += not was_hole
        else:
            text += piece.replace("{", "{{").replace("}", "}}")
        was_hole = piece is None or (was_hole and not piece)
    return text


def _literal(pieces: tuple[str | None, ...]) -> str:
    return "".join(piece or "" for piece in pieces)


def is_text(msgid: str) -> bool:
    """Whether it holds two words, or one beside a hole, and is no pattern and no code."""
    bare = re.sub(r"\{\w*\}|--[\w-]+", " ", msgid)
    if not re.search(r"\S\s", msgid.strip()) or _CODE.search(msgid):
        return False
    return len(_WORD.findall(bare)) >= 2 or (bare != msgid and _LONG_WORD.search(bare) is not None)


def updated(texts: Mapping[str, str], translations: Mapping[str, str]) -> Any:
    """The catalogue of these texts, sorted, with the translations that are known."""
    from babel.messages.catalog import Catalog  # a tool

    made = datetime(2026, 1, 1, tzinfo=timezone.utc)  # a date of its own would change the file each time
    catalogue = Catalog("zh_CN", header_comment="", creation_date=made, revision_date=made, fuzzy=False)
    catalogue.project, catalogue.version, catalogue.msgid_bugs_address = "vlm-acceptance", "", ""
    catalogue.last_translator = catalogue.language_team = ""
    for text, place in texts.items():
        catalogue.add(text, translations.get(text, ""), locations=[(place, 0)])
    return catalogue


def main() -> int:
    """Update and compile the catalogue; 1 with a list when translations are missing."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po, write_po

    known = {}
    if CATALOGUE.is_file():
        with CATALOGUE.open("rb") as file:
            known = {message.id: message.string for message in read_po(file, locale="zh_CN") if message.id}
    catalogue = updated(collected(), known)
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, width=0, sort_output=True, include_lineno=False)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)
    missing = [message for message in catalogue if message.id and not message.string]
    for message in missing:
        sys.stdout.write(f"{message.locations[0][0]}: {message.id!r}\n")
    sys.stderr.write(f"{len(catalogue)} messages, {len(missing)} without a translation\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
