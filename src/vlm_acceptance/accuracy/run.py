"""One accuracy run by a served model: opens or resumes its answers file and sends the remaining questions."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import answers_file as answer_files
from vlm_acceptance.accuracy.answers_file import AnswerFile
from vlm_acceptance.accuracy.blank_pictures import COUNTED_BY_CHAT, TOKENIZED, BlankPictures
from vlm_acceptance.accuracy.dataset import Dataset
from vlm_acceptance.accuracy.early_stop import EarlyStop, Stop
from vlm_acceptance.accuracy.item import Answer, PreparedRequest
from vlm_acceptance.accuracy.mmmu.cli_prepare import default_folder
from vlm_acceptance.accuracy.mmmu.dataset import MMMU
from vlm_acceptance.accuracy.plan import LETTER_ALPHA, AccuracyPlan, planned
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.prompt_tokens import PromptTokenCounts, counting_requests, stored_counts
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.accuracy.server_run import Pictures, QuestionSender
from vlm_acceptance.client.chat import chat_defaults
from vlm_acceptance.client.http import Client
from vlm_acceptance.client.pool import Pool
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import NoReply
from vlm_acceptance.core.files import expanded
from vlm_acceptance.report.store import JUDGED
from vlm_acceptance.stats.binomial import wilson
from vlm_acceptance.stats.sequential import LetterStop, ScoreStop

COUNT_S = 60.0  # deadline of a request that only counts prompt tokens
BLANK = "blank"  # the pass with blank pictures; the pass over all questions has the name ''
TOKENS = "tokens"
PrintLine = Callable[[str], None]


def plan(profile: Profile, dataset: Dataset = MMMU) -> AccuracyPlan:
    """The plan of a profile's accuracy run; EnvironmentProblem when its data are not prepared."""
    assert profile.mmmu is not None
    folder = default_folder() if profile.mmmu.data is None else expanded(profile.mmmu.data)
    # relative to the current folder or the suite; an absolute path stays as it is
    return planned(dataset, profile, Prepared.open(folder if folder.exists() else ROOT / folder))


@dataclass
class AnswerLog:
    """The files of one run's answers, and those of the earlier run that it resumes, if any."""

    plan: AccuracyPlan
    folder: Path
    mask: Callable[[str], str]
    progress: PrintLine
    print_line: PrintLine
    _identity: dict[str, Any] = field(default_factory=dict)
    _resumed: Path | None = None

    def open(self, target: Mapping[str, Any], resume: str | None, reports: Path) -> None:
        """Set who answers (`target`) and which unfinished run is resumed; UsageProblem when that is not possible."""
        self._identity = self.plan.identity(target)
        if resume is not None:
            self._resumed = _resumed_run(resume, reports, self.file().name, self.folder)
            self.print_line(f"{self.plan.prepared.dataset}: resuming {self._resumed}")

    def file(self, name: str = "") -> Path:
        """A file of this run: `mmmu_val.jsonl`, or `mmmu_val.NAME.jsonl`."""
        return self.folder / _file_name(self.plan, name)

    def resumed_file(self, name: str = "") -> Path | None:
        """The same file of the resumed run, if there is one."""
        path = self._resumed and self._resumed / _file_name(self.plan, name)
        return path if path and path.is_file() else None

    def answers(self, name: str, ids: Sequence[str], request: Callable[[str], PreparedRequest]) -> AnswerFile:
        """The answers file of a pass; it begins with the answers of the resumed run."""
        identity, resumed = {**self._identity, "part": name or "all"}, self.resumed_file(name)
        if resumed is None:
            return AnswerFile.create(self.file(name), identity, self.mask)
        hashes = {ident: request(ident).sha256 for ident in ids}
        return AnswerFile.resume(resumed, self.file(name), identity, self.mask, hashes)


def _file_name(plan: AccuracyPlan, name: str) -> str:
    return f"{plan.dataset.stem}{'.' + name if name else ''}.jsonl"


def _resumed_run(resume: str, reports: Path, name: str, own: Path) -> Path:
    if resume == "latest":
        found = [path.parent for path in (reports / "runs").glob(f"*/{name}") if path.parent != own]
        runs = [run for run in found if not run.name.endswith(JUDGED)]
        if not runs:
            raise UsageProblem(f"--vlm-resume: no run below {reports / 'runs'} holds a {name}")
        return max(runs, key=lambda run: (run / name).stat().st_mtime_ns)
    for folder in (expanded(resume), reports / "runs" / resume):
        if (folder / name).is_file():
            return folder
    raise UsageProblem(f"--vlm-resume: {resume!r} holds no {name}; give the folder of a run, or latest")


def check_resume(plan: AccuracyPlan, resume: str, reports: Path, mask: Callable[[str], str] = str) -> None:
    """UsageProblem when the run to resume is absent, complete, or had other requests; who answers is compared later."""
    name = _file_name(plan, "")
    identity = json.loads(json.dumps(plan.identity({}), default=str))
    file = _resumed_run(resume, reports, name, reports) / name
    answer_files.require_same(file, identity, ignore=("target", "part"), mask=mask)
    if _is_complete(plan, file.parent):
        raise UsageProblem(
            f"--vlm-resume: {file.parent} has all {len(plan.order)} answers; run without --vlm-resume to ask again, or "
            f"`python -m vlm_acceptance.accuracy.mmmu re-score {shlex.quote(str(file.parent))}` to score them again"
        )


def _is_complete(plan: AccuracyPlan, run: Path) -> bool:
    """Whether a run has nothing left to send: questions, counts of tokens, questions with blank pictures."""
    main, blank, counts = (run / _file_name(plan, name) for name in ("", BLANK, TOKENS))
    if _unanswered(plan.order, main) or (plan.blank_ids and _unanswered(plan.blank_ids, blank)):
        return False
    if plan.wanted.engine == "offline" or plan.profile.model.pictures.oracle == "none":
        return True
    return counts.is_file() and counting_requests(plan, plan.prepared).keys() <= stored_counts(counts).keys()


def _unanswered(ids: Sequence[str], file: Path) -> set[str]:
    found = answer_files.answers(file) if file.is_file() else iter(())
    return set(ids) - {answer.id for answer in found if answer.text is not None}


def by_server(log: AnswerLog, client: Client, model_id: str, key_env: str | None = None) -> AccuracyResult:
    """Send the run to a served model; on return every answer is on disk."""
    plan = log.plan
    counted: Mapping[str, int] = {}
    blank_answers: Mapping[str, Answer] = {}
    with QuestionPass(log) as main:
        began = time.monotonic()
        main.ask(_sender(plan, client, model_id, plan.prepared))
        span_s = time.monotonic() - began
        log.print_line(main.state())
    if main.stop is None or main.stop.cause in ("score", "letters"):
        senders = (
            _sender(plan, client, model_id, BlankPictures(each), COUNT_S) for each in (TOKENIZED, COUNTED_BY_CHAT)
        )
        counted = _counted(log, main, *senders)
    if main.stop is None and plan.blank_ids:
        with QuestionPass(log, BLANK) as blank:
            blank.ask(_sender(plan, client, model_id, BlankPictures()))
        blank_answers = blank.answers
    return main.result(
        counted=counted,
        blank_answers=blank_answers,
        span_s=span_s,
        by_server=True,
        repeat=repeat_line(plan, client.base_url, model_id, key_env),
    )


def _counted(
    log: AnswerLog, main: QuestionPass, tokenizing: QuestionSender, asking: QuestionSender
) -> Mapping[str, int]:
    """Counts by /tokenize, where that fails by a chat with pictures that /tokenize never saw."""
    plan = log.plan
    if plan.profile.model.pictures.oracle == "none":
        return {}

    wanted = counting_requests(plan, main.answers)

    def count(request: PreparedRequest) -> int | NoReply:
        tokens = tokenizing.tokenized(request)
        return asking.prompt_tokens(request) if tokens is None else tokens

    def show(done: int) -> None:
        log.progress(f"{plan.prepared.dataset}: counting prompt tokens without the tiles, {done}/{len(wanted)}")

    counts = PromptTokenCounts(log.file(TOKENS), log.resumed_file(TOKENS))
    return counts.of(wanted, count, plan.wanted.concurrency, show)


def _sender(
    plan: AccuracyPlan, client: Client, model_id: str, pictures: Pictures, longest_s: float = math.inf
) -> QuestionSender:
    deadline_s = min(plan.wanted.deadline_s, longest_s)
    return QuestionSender(client, model_id, pictures, deadline_s, chat_defaults(plan.profile.model.thinking))


def repeat_line(plan: AccuracyPlan, base_url: str, model_id: str, key_env: str | None = None) -> str:
    """The command that sends a question again, but for its id."""
    words = ["python", "-m", "vlm_acceptance.accuracy.mmmu", "ask", "--data", str(plan.prepared.folder.resolve())]
    words += ["--base-url", base_url, "--model", model_id, "--protocol", plan.prompts.name]
    words += [word for ident in plan.profile.model.ends_of_answers for word in ("--stop-token-id", str(ident))]
    words += [] if plan.wanted.max_tokens is None else ["--max-tokens", str(plan.wanted.max_tokens)]
    words += [] if plan.wanted.system_message else ["--no-system-message"]
    words += ["--no-thinking"] if plan.profile.model.thinking else []
    words += ["--api-key-env", key_env] if key_env else []
    return shlex.join(words)


def _early_stop_of(plan: AccuracyPlan, ids: Sequence[str], name: str) -> EarlyStop:
    """The early stop of a pass. With blank pictures, only an endpoint that no longer answers stops it."""
    wanted, score, letters = plan.wanted, None, None
    if wanted.stops_early and name != BLANK:
        groups = len({group for _, group in plan.prepared.groups})
        score = ScoreStop(plan.limits.low, len(plan.order), wanted.early_stop_alpha, round_size=groups)
        letters = LetterStop(wanted.shape.top_letter, LETTER_ALPHA)
    return EarlyStop(ids, plan.prepared.__getitem__, plan.scorer, score, letters)


class QuestionPass:
    """One pass, over all questions (name '') or with BLANK pictures: takes over resumed answers, stores new ones."""

    def __init__(self, log: AnswerLog, name: str = "") -> None:
        plan = log.plan
        ids, self.request = (plan.blank_ids, plan.blank_request) if name == BLANK else (plan.order, plan.request)
        self.file = log.answers(name, ids, self.request)
        self.answers = {answer.id: answer for answer in answer_files.answers(self.file.path)} if self.file.kept else {}
        self.remaining = [ident for ident in ids if ident not in self.answers]
        self.new_answers = 0
        self._log, self._name, self._total = log, name, len(ids)
        self._early_stop = _early_stop_of(plan, ids, name)
        self._began = time.monotonic()
        for answer in self.answers.values():
            self._early_stop.add(answer)

    @property
    def stop(self) -> Stop | None:
        """Why no more questions are to be sent, if so."""
        return self._early_stop.stop

    def ask(self, sender: QuestionSender) -> None:
        """Send the remaining questions to a server."""
        if self.stop:
            return
        pool = Pool(lambda ident: sender.send(self.request(ident)), self.remaining, self._log.plan.wanted.concurrency)
        for pair in pool:
            if pair is None:
                self.show()
            else:
                self.add(pair[1])
            if self.stop:
                pool.stop()

    def add(self, answer: Answer) -> None:
        self.new_answers += 1
        self.file.add(answer)
        self.answers[answer.id] = answer
        self._early_stop.add(answer)
        self.show()

    def show(self) -> None:
        if self._name == BLANK:
            title = self._log.plan.prepared.dataset
            self._log.progress(f"{title} with blank pictures {len(self.answers)}/{self._total}")
            return
        self._log.progress(self.state())

    def state(self) -> str:
        """How many questions are answered, of how many, and the score so far."""
        title, seen = self._log.plan.prepared.dataset, self._early_stop
        counts = (seen.done, self._total, seen.right, seen.errors)
        elapsed_s = time.monotonic() - self._began
        return progress_line(title, *counts, fresh=self.new_answers, elapsed_s=elapsed_s)

    def result(self, **more: Any) -> AccuracyResult:
        """The finished run of which this is the main pass; `more` are the other fields."""
        more |= {"stop": self.stop, "path": tuple(self._early_stop.path)}
        more |= {"new_answers": self.new_answers, "file": self.file.path}
        return AccuracyResult(plan=self._log.plan, answers=self.answers, **more)

    def __enter__(self) -> QuestionPass:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()


def progress_line(name: str, done: int, total: int, right: int, errors: int, *, fresh: int, elapsed_s: float) -> str:
    """A line of progress: `done` questions have an answer or an error, `fresh` of them in this run; accuracy so far."""
    parts = [f"{name} {done}/{total}"]
    answered = done - errors
    if answered:
        low, high = wilson(right, answered)
        parts.append(f"acc {right / answered:.1%} ({low * 100:.1f}-{high * 100:.1f})".replace("%", " %"))
    parts.append(f"{errors} error{'' if errors == 1 else 's'}")
    if fresh and elapsed_s > 0:
        rate = fresh / elapsed_s
        parts += [f"{rate:.1f} q/s", f"{_clock((total - done) / rate)} left"]
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
