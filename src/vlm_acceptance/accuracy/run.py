"""One accuracy run: opens or resumes its answers file, asks what is left, and writes the report."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import answers_file as answer_files
from vlm_acceptance.accuracy import runner
from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.blank_pictures import BlankPictures
from vlm_acceptance.accuracy.dataset import Dataset
from vlm_acceptance.accuracy.early_stop import EarlyStop, Stop
from vlm_acceptance.accuracy.item import Answer, Item, PreparedRequest, Score
from vlm_acceptance.accuracy.mmmu.cli_prepare import default_folder
from vlm_acceptance.accuracy.mmmu.dataset import MMMU
from vlm_acceptance.accuracy.plan import LETTER_ALPHA, AccuracyPlan, planned
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.server_run import ServerAsker
from vlm_acceptance.accuracy.text_tokens import TextCounts
from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

TEXT_S = 60.0  # a text without pictures is counted, not answered
Say = Callable[[str], None]


def plan(profile: Profile, dataset: Dataset = MMMU) -> AccuracyPlan:
    """What a profile's accuracy run will ask; EnvironmentProblem when its data are not prepared."""
    assert profile.mmmu is not None
    given = profile.mmmu.data
    folder = default_folder() if given is None else _folder(Path(given).expanduser())
    return planned(dataset, profile, Prepared.open(folder))


def _folder(given: Path) -> Path:
    """A folder of a profile: as it is, or relative to the suite."""
    return given if given.is_absolute() or given.exists() else ROOT / given


class AnswerLog:
    """The answers of one run: on disk as they come, beside those taken over from an earlier run."""

    def __init__(
        self, plan: AccuracyPlan, folder: Path, mask: Callable[[str], str], progress: Say, print_line: Say
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.progress = progress
        self.print_line = print_line
        self._mask = mask
        self._identity: dict[str, Any] = {}
        self._old: Path | None = None

    def open(self, target: Mapping[str, Any], resume: str | None, reports: Path) -> None:
        """Say who answers, and which unfinished run is gone on with; UsageProblem when it cannot be."""
        self._identity = self.plan.identity(target)
        name = self.file("").name
        if resume is not None:
            self._old = _old_run(resume, reports, name, self.folder)
            self.print_line(f"{self.plan.prepared.dataset}: going on with {self._old}")

    def file(self, part: str) -> Path:
        """A file of this run: `mmmu_val.jsonl`, or `mmmu_val.PART.jsonl`."""
        return self.folder / f"{self.plan.dataset.stem}{'.' + part if part else ''}.jsonl"

    def old_file(self, part: str) -> Path | None:
        """The same file of the run that is gone on with, if it has one."""
        if self._old is None:
            return None
        path = self._old / self.file(part).name
        return path if path.is_file() else None

    def answers(self, part: str) -> AnswerFile:
        """The answers file of this run, beginning with what an earlier one has."""
        identity, old = {**self._identity, "part": part or "all"}, self.old_file(part)
        if old is None:
            return AnswerFile.create(self.file(part), identity, self._mask)
        make = self.plan.blank_request if part == "blank" else self.plan.request
        ids = self.plan.blank_ids if part == "blank" else self.plan.order
        hashes = {ident: make(ident).sha256 for ident in ids}
        return AnswerFile.resume(old, self.file(part), identity, self._mask, hashes)


def _old_run(resume: str, reports: Path, name: str, own: Path) -> Path:
    if resume == "latest":
        runs = [path.parent for path in (reports / "runs").glob(f"*/{name}") if path.parent != own]
        if not runs:
            raise UsageProblem(f"--vlm-resume: no run below {reports / 'runs'} holds a {name}")
        return max(runs, key=lambda run: (run / name).stat().st_mtime_ns)
    for folder in (Path(resume).expanduser(), reports / "runs" / resume):
        if (folder / name).is_file():
            return folder
    raise UsageProblem(f"--vlm-resume: {resume!r} holds no {name}; give the folder of a run, or latest")


def check_resume(plan: AccuracyPlan, resume: str, reports: Path, mask: Callable[[str], str] = str) -> None:
    """UsageProblem when the run that is to be gone on with is not there, was asked otherwise, or is complete.

    Who answers is compared later, when that is known.
    """
    name = f"{plan.dataset.stem}.jsonl"
    identity = json.loads(json.dumps(plan.identity({}), default=str))
    file = _old_run(resume, reports, name, reports) / name
    answer_files.require_same(file, identity, ignore=("target", "part"), mask=mask)
    if _is_whole(plan, file):
        raise UsageProblem(
            f"--vlm-resume: {file.parent} has all {len(plan.order)} answers; run without --vlm-resume to ask again, or "
            f"`python -m vlm_acceptance.accuracy.mmmu re-score {shlex.quote(str(file.parent))}` to mark them again"
        )


def _is_whole(plan: AccuracyPlan, file: Path) -> bool:
    """Whether nothing of a run is left to be asked: questions, their text without pictures, blank pictures."""
    blank, texts = (file.with_name(f"{plan.dataset.stem}.{part}.jsonl") for part in ("blank", "texts"))
    if _unanswered(plan.order, file) or (plan.blank_ids and _unanswered(plan.blank_ids, blank)):
        return False
    if plan.wanted.engine == "offline" or plan.profile.model.pictures.oracle == "none":
        return True
    return texts.is_file() and texts.read_bytes().count(b"\n") >= len(plan.order)


def _unanswered(ids: Sequence[str], file: Path) -> set[str]:
    found = answer_files.answers(file) if file.is_file() else iter(())
    return set(ids) - {answer.id for answer in found if answer.text is not None}


def by_server(log: AnswerLog, client: Client, model_id: str, key_env: str | None = None) -> AccuracyResult:
    """Ask a served model; on return every answer is on disk."""
    plan = log.plan
    asker = _asker(plan, client, model_id, plan.prepared)
    with QuestionPass(log, "", plan.order, early_stop_of(plan)) as main:
        began = time.monotonic()
        main.ask(plan.request, asker)
        span = time.monotonic() - began
    texts: Mapping[str, int] = {}
    blanks: Mapping[str, Answer] = {}
    if main.stop is None or main.stop.cause in ("score", "letters"):
        texts = _texts(log, main, _asker(plan, client, model_id, plan.prepared, TEXT_S))
    if main.stop is None and plan.blank_ids:
        with QuestionPass(log, "blank", plan.blank_ids, silence_stop_of(plan)) as blind:
            blind.ask(plan.blank_request, _asker(plan, client, model_id, BlankPictures()))
        blanks = blind.answers
    repeat = repeat_line(plan, client.base_url, model_id, key_env)
    return AccuracyResult(
        plan, main.answers, texts, blanks, main.stop, span, main.new_answers, True, log.file(""), repeat
    )


def _texts(log: AnswerLog, main: QuestionPass, asker: ServerAsker) -> Mapping[str, int]:
    plan = log.plan
    if plan.profile.model.pictures.oracle == "none":
        return {}

    def show(done: int) -> None:
        log.progress(f"{plan.prepared.dataset}: counting the tokens of the texts alone, {done}/{len(main.answers)}")

    counts = TextCounts(log.file("texts"), log.old_file("texts"))
    return counts.of(texts_of(plan, main.answers), asker.ask_text, plan.wanted.concurrency, show)


def texts_of(plan: AccuracyPlan, wanted: Container[str]) -> Iterator[tuple[str, str, str]]:
    """Hash of the request, system message and text twin of the questions wanted."""
    asked = (plan.request(ident) for ident in plan.order if ident in wanted)
    return ((one.sha256, one.system, plan.dataset.text_only_prompt(one)) for one in asked)


def _asker(
    plan: AccuracyPlan,
    client: Client,
    model_id: str,
    pictures: Prepared | BlankPictures,
    longest_s: float = math.inf,
) -> ServerAsker:
    deadline_s = min(plan.wanted.deadline_s, longest_s)
    return ServerAsker(client, model_id, pictures, deadline_s, chat_defaults(plan.profile.model.thinking))


def repeat_line(plan: AccuracyPlan, base_url: str, model_id: str, key_env: str | None = None) -> str:
    """The command that asks a question again, but for its id."""
    words = ["python", "-m", "vlm_acceptance.accuracy.mmmu", "ask", "--data", str(plan.prepared.folder.resolve())]
    words += ["--base-url", base_url, "--model", model_id, "--protocol", plan.prompts.name]
    for ident in plan.profile.model.stop_token_ids:
        words += ["--stop-token-id", str(ident)]
    if plan.wanted.max_tokens is not None:
        words += ["--max-tokens", str(plan.wanted.max_tokens)]
    words += [] if plan.wanted.system_message else ["--no-system-message"]
    words += ["--no-thinking"] if plan.profile.model.thinking else []
    words += ["--api-key-env", key_env] if key_env else []
    return shlex.join(words)


def silence_stop_of(plan: AccuracyPlan) -> EarlyStop:
    """What looks on while blank pictures are asked: only silence stops them."""
    return EarlyStop(plan.blank_ids, plan.prepared.__getitem__, lambda _item, _text: Score(False, ""), None, None)


def early_stop_of(plan: AccuracyPlan) -> EarlyStop:
    """What looks on while a plan's questions are answered, with the stops that its profile wants."""
    wanted, scorer = plan.wanted, plan.scorer

    def mark(item: Item, text: str) -> Score:
        return scorer([item], {item.id: text})[item.id]

    groups = len({group for _, group in plan.prepared.groups})
    score = None
    if wanted.stops_early:
        score = ScoreStop(plan.limits.low, len(plan.order), wanted.early_stop_alpha, round_size=groups)
    letters = LetterStop(wanted.shape.top_letter, LETTER_ALPHA) if wanted.stops_early else None
    return EarlyStop(plan.order, plan.prepared.__getitem__, mark, score, letters)


class QuestionPass:
    """The answers to some questions of a run: those of an earlier run, and those that come now, each on disk at once.

    `watch` is None where nothing is stopped early.
    """

    def __init__(self, log: AnswerLog, part: str, ids: Sequence[str], watch: EarlyStop | None) -> None:
        self.file = log.answers(part)
        self.answers = {answer.id: answer for answer in answer_files.answers(self.file.path)} if self.file.kept else {}
        self.remaining = [ident for ident in ids if ident not in self.answers]
        self.new_answers = 0
        self._log = log
        self._name = f"{log.plan.prepared.dataset}{' with blank pictures' if part else ''}"
        self._is_blank = bool(part)
        self._total = len(ids)
        self._watch = watch
        self._began = time.monotonic()
        if watch is not None:
            for answer in self.answers.values():
                watch.add(answer)

    @property
    def stop(self) -> Stop | None:
        """Why no more is asked, if so."""
        return self._watch.stop if self._watch is not None else None

    @property
    def is_stopped(self) -> bool:
        """Whether no more is to be asked."""
        return self.stop is not None

    def ask(self, make: Callable[[str], PreparedRequest], asker: ServerAsker) -> None:
        """Ask a server what is left."""
        if self.is_stopped:
            return
        runner.run(
            self.remaining,
            make,
            asker,
            concurrency=self._log.plan.wanted.concurrency,
            on_answer=self.add,
            should_stop=lambda: self.is_stopped,
            on_wait=self.show,
        )

    def add(self, answer: Answer) -> None:
        """One more answer."""
        self.new_answers += 1
        self.file.add(answer)
        self.answers[answer.id] = answer
        if self._watch is not None:
            self._watch.add(answer)
        self.show()

    def show(self) -> None:
        """Progress."""
        watch = self._watch
        if watch is None or self._is_blank:
            self._log.progress(f"{self._name} {len(self.answers)}/{self._total}")
            return
        counts = (watch.done, self._total, watch.right, watch.errors)
        passed = time.monotonic() - self._began
        self._log.progress(runner.progress_line(self._name, *counts, fresh=self.new_answers, elapsed_s=passed))

    def __enter__(self) -> QuestionPass:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()
