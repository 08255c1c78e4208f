"""Questions and prompts of a run, read from files before anything is started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from vlm_acceptance.accuracy import run as accuracy
from vlm_acceptance.accuracy.baseline import read_baseline, require_same_data
from vlm_acceptance.cases import golden_answers
from vlm_acceptance.cases.capability import load_categories
from vlm_acceptance.config.options import Settings
from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import logprobs
from vlm_acceptance.core.capability import Category
from vlm_acceptance.core.errors import EnvironmentProblem, HarnessProblem, UsageProblem
from vlm_acceptance.core.logprobs import LogProbPrompt, StoredLogProbs
from vlm_acceptance.workloads import capability

IMAGES = ROOT / "fixtures" / "images"
CASES = ROOT / "fixtures" / "cases"


class RunInputs:
    """Capability questions and log-probability prompts of a run; each file is read when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._profile = settings.loaded.profile

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
    def logprob_prompts(self) -> tuple[LogProbPrompt, ...]:
        """The prompts for tests that need no stored log probabilities."""
        return logprobs.read_prompts(existing(self._profile.logprobs.prompts))

    def check(self, mask: Callable[[str], str]) -> None:
        """UsageProblem when a file or question of the profile, --vlm-resume or --vlm-baseline cannot be used.

        Missing data are reported later, by their test.
        """
        settings, profile = self._settings, self._profile
        _ = self.golden_answers
        logprobs.require_prompts(existing(profile.logprobs.prompts), self.logprob_prompts, IMAGES)
        capability.require_question(self.categories, profile.capability.long_similar_pictures.question)
        if (stored := settings.logprobs_baseline) is not None:
            logprobs.require_pictures(stored, [row.prompt for row in self.stored_logprobs], IMAGES)
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


def existing(path: str) -> Path:
    """A file of the suite or of the user; HarnessProblem when it vanished since the options were read."""
    for candidate in (Path(path), ROOT / path):
        if candidate.exists():
            return candidate
    raise HarnessProblem(f"{path} does not exist any more")
