"""An accuracy run by the offline engine: questions, text twins and blank pictures in one job."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy.blank_pictures import BlankPictures
from vlm_acceptance.accuracy.item import Answer
from vlm_acceptance.accuracy.offline_batch import (
    answer_of,
    offline_requests,
    stored_files,
    twin_id,
    twin_requests,
    written_files,
)
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.run import AnswerLog, QuestionPass, early_stop_of, repeat_line, texts_of
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.engine.offline import OfflineRows, run_offline_rows

BLANK = "blank "


def by_offline_engine(
    log: AnswerLog, python: Path, kind: str, folder: Path, env: Mapping[str, str], run_id: str
) -> AccuracyResult:
    """Ask the offline engine; its process tree is gone on return, and every answer is on disk."""
    plan = log.plan
    texts: dict[str, int] = {}
    with contextlib.ExitStack() as open_files:
        main = open_files.enter_context(QuestionPass(log, "", plan.order, early_stop_of(plan)))
        blind = open_files.enter_context(QuestionPass(log, "blank", plan.blank_ids, None)) if plan.blank_ids else None

        def take(row: Mapping[str, Any]) -> None:
            twin = twin_id(row)
            ident = str(row["id"])
            if twin is not None:
                if "error" not in row:  # a text that the engine refuses has no count
                    texts[twin] = int(row["prompt_tokens"])
            elif blind is not None and ident.startswith(BLANK):
                blind.add(answer_of(row, plan.blank_request(ident.removeprefix(BLANK))))
            else:
                main.add(answer_of(row, plan.request(ident)))

        whites = log.folder / "blank-pictures"
        open_files.callback(shutil.rmtree, whites, ignore_errors=True)
        requests = list(_requests(log, main, blind, whites))
        ended: OfflineRows | None = None
        if requests and not main.is_stopped:
            ended = run_offline_rows(
                _with_llm(plan.profile),
                python,
                kind,
                folder,
                requests,
                env,
                log.folder,
                run_id,
                log.progress,
                name="offline-mmmu",
                on_row=take,
                should_stop=lambda: main.is_stopped,
                timeout_s=plan.wanted.offline_timeout_s,
            )
    blanks: Mapping[str, Answer] = blind.answers if blind is not None else {}
    span = sum(answer.elapsed_s for answer in main.answers.values())
    if ended is not None:
        log.print_line(f"offline engine: {ended.rows} answers, engine ready after {ended.ready_s:.1f} s")
    repeat = repeat_line(plan, "URL", "MODEL")
    return AccuracyResult(
        plan, main.answers, texts, blanks, main.stop, span, main.new_answers, False, log.file(""), repeat
    )


def _requests(
    log: AnswerLog, main: QuestionPass, blind: QuestionPass | None, whites: Path
) -> itertools.chain[dict[str, Any]]:
    plan = log.plan
    asked = offline_requests((plan.request(ident) for ident in main.remaining), stored_files(plan.prepared.folder))
    twins = twin_requests(texts_of(plan, plan.prepared)) if plan.profile.model.pictures.oracle != "none" else iter(())
    blanks = (
        replace(plan.blank_request(ident), id=BLANK + ident) for ident in (blind.remaining if blind is not None else ())
    )
    white = written_files(BlankPictures(), whites)
    return itertools.chain(asked, twins, offline_requests(blanks, white))


def _with_llm(profile: Profile) -> Profile:
    """The profile whose offline engine has the accuracy run's own arguments too."""
    assert profile.mmmu is not None
    offline = profile.offline.model_copy(update={"llm": {**profile.offline.llm, **profile.mmmu.llm}})
    return profile.model_copy(update={"offline": offline})
