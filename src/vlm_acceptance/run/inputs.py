"""Questions and prompts of a run, read from files before anything is started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.baseline import read_baseline, require_same_data
from vlm_acceptance.cases import golden_answers
from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.config.options import Settings
from vlm_acceptance.config.paths import ROOT, resolve_existing
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, UsageProblem
from vlm_acceptance.core.files import expanded, is_file, shown
from vlm_acceptance.core.logprobs import LogProbPrompt, StoredLogProbs
from vlm_acceptance.core.reference_file import About, read_about
from vlm_acceptance.core.scored_answers import places_in
from vlm_acceptance.core.spelling import TOP
from vlm_acceptance.run.baseline_limits import InForce, Sample, limits_for
from vlm_acceptance.stats.spread import spread
from vlm_acceptance.workloads import capability
from vlm_acceptance.workloads import logprobs as workload

IMAGES = ROOT / "fixtures" / "images"
CASES = ROOT / "fixtures" / "cases"


class RunInputs:
    """Capability questions and log-probability prompts of a run; each file is read when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._profile = settings.loaded.profile
        self._limits: dict[Sample, InForce] = {}

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """The five capability categories."""
        return load_categories(CASES, IMAGES)

    @property
    def guide_names(self) -> dict[str, str]:
        """Category -> its name in the deployment guide."""
        return {category.id: category.guide_name for category in self.categories}

    @cached_property
    def golden_answers(self) -> list[dict[str, Any]]:
        """The rows of the profile's golden answers; none without such a file."""
        file = self._profile.capability.golden_answers
        return golden_answers.read_rows(existing(file), IMAGES) if file else []

    @cached_property
    def stored_logprobs(self) -> tuple[StoredLogProbs, ...]:
        """The stored log probabilities; UsageProblem when the file is not a valid baseline."""
        path = self._settings.logprobs_baseline
        if path is None:
            raise HarnessProblem("no stored log probabilities were given")
        return logprobs.read_baseline(path)

    @cached_property
    def about_baseline(self) -> About:
        """What the file of stored log probabilities says about itself; nothing without such a file."""
        path = self._settings.logprobs_baseline
        return About(None) if path is None else read_about(path)

    @cached_property
    def stored_places(self) -> dict[str, int]:
        """How many tokens the stored prompts have, by id, where their file says so."""
        path = self._settings.logprobs_baseline
        return {} if path is None else places_in(path)

    @property
    def has_reference(self) -> bool:
        """Whether the stored log probabilities say from which files they were computed; False for an invalid file."""
        with contextlib.suppress(UsageProblem):
            return self.about_baseline.origin is not None
        return False

    @cached_property
    def top(self) -> int:
        """How many likeliest tokens are compared at each place: as many as the baseline has, or a recording keeps."""
        if self._settings.logprobs_baseline is not None:
            return logprobs.listed(self.stored_logprobs)
        return logprobs.MOST_TOP if self._settings.record_logprobs is not None else TOP

    def logprob_limits(self, names: Iterable[str], listed: int | None = None) -> InForce:
        """The limits of a comparison of these stored prompts, with `listed` tokens at each place, None for all."""
        fewer = listed if listed is not None and listed < self.top else None
        sample = Sample(frozenset(names), frozenset(row.prompt.id for row in self.stored_logprobs), fewer)
        if sample not in self._limits:
            settings, own = self._settings, self._profile.logprobs.baseline
            is_profiles = own is not None and resolve_existing(own, "logprobs.baseline") == settings.logprobs_baseline
            stated, sources = self._profile.logprobs, settings.loaded.sources
            made = limits_for(stated, sources, self.about_baseline, sample, is_profiles=is_profiles)
            self._limits[sample] = made
        return self._limits[sample]

    def _require_limits(self, stored: Path) -> None:
        rows = [row.prompt.id for row in self.stored_logprobs]
        try:
            for count in (self._profile.logprobs.sample, len(rows)):
                self.logprob_limits(spread(rows, count))
        except UsageProblem as broken:
            raise UsageProblem(f"{shown(stored)}: {broken}") from None

    @cached_property
    def offline_logprob_prompts(self) -> Sequence[LogProbPrompt]:
        """The prompts of the offline engine: the sample of the stored ones, or without a baseline TOGETHER of all."""
        if self._settings.logprobs_baseline is None:
            return spread(self.logprob_prompts, workload.TOGETHER)
        return [row.prompt for row in spread(self.stored_logprobs, self._profile.logprobs.sample)]

    @cached_property
    def logprob_prompts(self) -> tuple[LogProbPrompt, ...]:
        """The prompts for tests that need no stored log probabilities."""
        return logprobs.read_prompts(existing(self._profile.logprobs.prompts))

    def check(self, mask: Callable[[str], str]) -> None:
        """UsageProblem when a file or question of the profile, --vlm-resume or --vlm-baseline cannot be used.

        Missing data are reported later, by their test.
        """
        settings, profile = self._settings, self._profile
        require_given(settings)
        _ = self.golden_answers
        logprobs.require_prompts(existing(profile.logprobs.prompts), self.logprob_prompts, IMAGES)
        capability.require_question(self.categories, profile.capability.long_similar_pictures.question)
        if (stored := settings.logprobs_baseline) is not None:
            logprobs.require_pictures(stored, [row.prompt for row in self.stored_logprobs], IMAGES)
            self._require_limits(stored)
        if (recorded := settings.record_logprobs) is not None:
            require_same_prompts(recorded, self.logprob_prompts)
        resume, baseline = settings.resume, settings.baseline
        if resume is None and baseline is None:
            return
        if profile.mmmu is None:
            raise UsageProblem(f"--vlm-{'resume' if resume else 'baseline'}: the profile asks for no MMMU run (mmmu)")
        with contextlib.suppress(EnvironmentProblem):
            plan = accuracy.plan(profile)
            if resume is not None:
                accuracy.check_resume(plan, resume, settings.reports, mask)
            if baseline is not None:
                require_same_data(read_baseline(baseline, plan.prepared), plan.prepared)


def require_same_prompts(path: Path, prompts: Sequence[LogProbPrompt]) -> None:
    """UsageProblem when the file exists and this run cannot be added to it as one more start of the deployment."""
    if not is_file(path):
        return
    other = "name a file that does not exist"
    if read_about(path).origin is not None:
        raise UsageProblem(f"--vlm-record-baseline: {path} is a reference, computed without a deployment; {other}")
    if [row.prompt for row in logprobs.read_baseline(path)] != list(prompts):
        raise UsageProblem(f"--vlm-record-baseline: {path} holds other prompts than logprobs.prompts; {other}")


def require_given(settings: Settings) -> None:
    """UsageProblem when the interpreter or the data of an option cannot be used; a profile is judged by tests."""
    profile, sources = settings.loaded.profile, settings.loaded.sources
    python, data = profile.engine.python, profile.mmmu and profile.mmmu.data
    if python is not None and settings.launched and _is_option(sources["engine.python"]):
        path = expanded(python)
        if path.is_dir():
            found = next((one for one in (path / "bin" / "python", path / "python") if one.is_file()), None)
            remedy = f"name its interpreter: {found}" if found else "name an interpreter that holds vLLM"
            raise UsageProblem(f"{sources['engine.python']}: {python!r} is a folder; {remedy}")
        if not path.exists():
            remedy = "name the interpreter that holds vLLM, such as VENV/bin/python"
            raise UsageProblem(f"{sources['engine.python']}: {python!r} does not exist; {remedy}")
        if not os.access(path, os.X_OK):
            raise UsageProblem(f"{sources['engine.python']}: {python!r} cannot be executed; name an interpreter")
    if data and _is_option(sources["mmmu.data"]) and not (expanded(data).is_dir() or (ROOT / data).is_dir()):
        remedy = "prepare it with `python -m vlm_acceptance.accuracy.mmmu prepare`, or leave the option out"
        raise UsageProblem(f"{sources['mmmu.data']}: the folder {data!r} does not exist; {remedy}")


def _is_option(source: str) -> bool:
    return source.startswith(("--vlm-", "VLM_"))


def existing(path: str) -> Path:
    """A file of the suite or of the user; HarnessProblem when it vanished since the options were read."""
    for candidate in (Path(path), ROOT / path):
        if candidate.exists():
            return candidate
    raise HarnessProblem(f"{path} does not exist any more")
