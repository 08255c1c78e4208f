"""Every judged figure of every check, with each value that is no number in its place: none is accepted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from tests.support import judged_capacity, judged_parameters, judged_routes, judged_values, judged_wire
from tests.support.judged_wire import Row

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core.errors import EnvironmentProblem

PACKAGE = ROOT / "src" / "vlm_acceptance"
# it makes limits of the figures in a file, which its reader has read as numbers; logprobs.py judges by them
LIMITS = PACKAGE / "checks" / "reference_limits.py"
JUDGES = (*sorted({*(PACKAGE / "checks").glob("*.py")} - {LIMITS}), PACKAGE / "accuracy" / "criteria.py")
COMPARE = ("is_at_most", "is_at_least")
ROWS = [
    *judged_wire.rows(),
    *judged_values.rows(),
    *judged_parameters.rows(),
    *judged_routes.rows(),
    *judged_capacity.rows(),
]
PAIRS = [(row, bad) for row in ROWS for bad in row.bad]

TEXTS = "measures texts, which always have a length"
COUNTS = "compares counts that the suite itself made of answers"
READ = "compares log probabilities that the reader of the answer has read as numbers"
STATUS = "compares the status of a response, which the HTTP client read as a number"
OWN_CLOCK = "compares moments of the suite's own clock"
ENDING = ("draining.in_flight", "draining.cut_too_early", "draining.left_open", "draining._ending")
# functions that compare by size, but no figure that a deployment or a clock reports
NO_FIGURE = {
    **dict.fromkeys(("agreement._candidates", "answer._nearly", "answer._similarity"), TEXTS),
    **dict.fromkeys(("answer._wrong", "answer._foreign", "answer._language", "completion.stop_word"), TEXTS),
    **dict.fromkeys((f"degeneracy._{name}" for name in ("unprintable", "run", "loop", "unseparated_loop")), TEXTS),
    **dict.fromkeys((f"degeneracy._{name}" for name in ("repeated", "repeats_of_a_loop", "monotony", "salad")), TEXTS),
    **dict.fromkeys(("served_prompt.start", "json_start._closing", "reasoning._content"), TEXTS),
    "structured_output.picture_decides": COUNTS,
    **dict.fromkeys(("scheduling.first_served", *ENDING), OWN_CLOCK),
    "challenge.answers_vary": TEXTS,
    **dict.fromkeys(("challenge.read_new_pictures", "challenge._by_text"), COUNTS),
    **dict.fromkeys(("answer.judge_question", "answer.judge_blind", "answer._unseen", "answer.common_cause"), COUNTS),
    **dict.fromkeys(("bars.read_in_large_form", "bars.unlike", "load.counted", "release.hardly_alike"), COUNTS),
    **dict.fromkeys(("pictures.in_order", "pictures.reversed_order", "completion.unique_ids"), COUNTS),
    **dict.fromkeys((f"criteria.{name}" for name in ("incomplete", "wrong_shape", "_one_letter")), COUNTS),
    **dict.fromkeys((f"criteria.{name}" for name in ("ignores_pictures", "most_answers")), COUNTS),
    **dict.fromkeys(("edge_inputs.not_refused", "refusals._wrong_status"), STATUS),
    **dict.fromkeys((f"capacity.{name}" for name in ("_cut", "busy", "shrunk", "too_few")), COUNTS),
    "leaving.answers_afterwards": COUNTS,
    "dialogues.judged": COUNTS,
    **dict.fromkeys(("conversation._difference", "conversation._events", "conversation._named"), COUNTS),
    **dict.fromkeys(("parameters_stop.inside_a_token", "parameters_tokens.token_to_end_at"), TEXTS),
    **dict.fromkeys(("parameters._is_shared", "parameters_defaults._is_tied"), READ),
    "edge_inputs.sane": "compares the temperature of a request, which the suite sent",
    "trend_lines.drift_fit": "draws what `trends` judges",
}


def is_refused(row: Row, value: object) -> bool:
    """Whether the figure is refused: by a finding, or because it cannot be judged, which accepts nothing either."""
    try:
        return bool(row.judge(value))
    except EnvironmentProblem:
        return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_figure_within_its_limit_is_accepted(row: Row) -> None:
    assert not row.judge(row.good)


@pytest.mark.parametrize(("row", "bad"), PAIRS, ids=[f"{row.name}: {str(bad)[:12]}" for row, bad in PAIRS])
def test_what_is_no_number_is_never_accepted_as_a_figure(row: Row, bad: object) -> None:
    assert is_refused(row, bad)


def compares(node: ast.AST) -> bool:
    """Whether a part of the source compares by size."""
    if isinstance(node, ast.Compare):
        return any(isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for op in node.ops)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in COMPARE


def judging(path: Path) -> Iterator[str]:
    """The functions of a module that compare by size, as `module.function`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and any(map(compares, ast.walk(node))):
            yield f"{path.stem}.{node.name}"


def walked() -> set[str]:
    """The functions of JUDGES that run when every row judges its values."""
    files, seen = {str(path): path.stem for path in JUDGES}, set()

    def note(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and frame.f_code.co_filename in files:
            seen.add(f"{files[frame.f_code.co_filename]}.{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for row in ROWS:
            for value in (row.good, *row.bad):
                is_refused(row, value)
    finally:
        sys.setprofile(before)
    return seen


def test_the_walk_knows_every_function_that_compares() -> None:
    found = {name for path in JUDGES for name in judging(path)}
    unknown = found - walked() - NO_FIGURE.keys()
    assert unknown == set(), "give each a row in tests/support/judged_*.py, or a reason in NO_FIGURE"
    assert NO_FIGURE.keys() - found == set(), "these compare nothing any more"


def test_a_new_comparison_is_seen(tmp_path: Path) -> None:
    new = tmp_path / "new.py"
    new.write_text(
        "def f(x):\n    return x > 1\ndef g(x):\n    return is_at_most(x, 1)\ndef h(x):\n    return x == 1\n", "utf-8"
    )
    assert list(judging(new)) == ["new.f", "new.g"]
