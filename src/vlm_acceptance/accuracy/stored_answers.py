"""An accuracy run out of the answers that an earlier run has stored; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import answers_file
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.plan import AccuracyPlan
from vlm_acceptance.accuracy.prompt_tokens import stored_counts
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import BLANK, TOKENS, AnswerLog, QuestionPass, repeat_line
from vlm_acceptance.core.errors import NotStored, UsageProblem


def judged(
    plan: AccuracyPlan, stored: Path, folder: Path, mask: Callable[[str], str], base_url: str, model_id: str
) -> AccuracyResult:
    """The result of the answers in the folder `stored`, copied into `folder`.

    NotStored where an answer is absent, or answers another prompt than this profile asks.
    """
    log = AnswerLog(plan, folder, mask, _say_nothing, _say_nothing)
    try:
        log.open(_target(stored / log.file().name), None, folder)
        with QuestionPass(log) as main:
            _add(main, stored / log.file().name)
        blank: Mapping[str, Answer] = {}
        if main.stop is None and plan.blank_ids:
            with QuestionPass(log, BLANK) as second:
                _add(second, stored / log.file(BLANK).name)
            blank = second.answers
        counts = stored / log.file(TOKENS).name
        counted = stored_counts(counts) if counts.is_file() else {}
    except UsageProblem as broken:
        raise NotStored(f"answers to these questions ({broken})") from None
    by_server = plan.wanted.engine == "server"
    repeat = repeat_line(plan, base_url, model_id)
    return main.result(counted=counted, blank_answers=blank, span_s=0.0, by_server=by_server, repeat=repeat)


def _target(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise NotStored(f"{path.name}")
    target = answers_file.read_identity(path).get("target")
    return target if isinstance(target, dict) else {}


def _add(questions: QuestionPass, path: Path) -> None:
    """Add the stored answers in their order, up to the early stop, and those that were in flight then."""
    if not path.is_file():
        raise NotStored(f"{path.name}")
    wanted = set(questions.remaining)
    for answer in answers_file.read(path)[1].values():
        if answer.id not in wanted:  # of a larger sample
            continue
        if answer.prompt_sha256 != questions.request(answer.id).sha256:
            raise NotStored(f"an answer to this prompt of {answer.id!r:.60}; it has one to another prompt")
        questions.add(answer)
    if questions.stop is None and (absent := wanted - questions.answers.keys()):
        raise NotStored(f"answers to {len(absent)} of {len(wanted)} questions")


def _say_nothing(line: str) -> None:
    """Progress of a run that takes no time."""
