"""A stored run as it is judged again: its summary, its exchanges and observations, and the options that it had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.client.replayed import Row, exchange_of
from vlm_acceptance.config.model_sections import Model
from vlm_acceptance.config.options import OPTIONS, given
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import (
    MB,
    BadFile,
    expanded,
    is_file,
    is_folder,
    parse_json,
    read_json,
    read_lines,
    shown,
)
from vlm_acceptance.report import attestation
from vlm_acceptance.report.store import OBSERVED

OPTION = "--vlm-judge"
SUMMARY, EXCHANGES, PROFILE = "summary.json", "exchanges.jsonl", "profile.yaml"
SUMMARY_BYTES, LINE_BYTES, RUN_BYTES = 64 * MB, 64 * MB, 4096 * MB
MARKS = {"smoke": "smoke", "slow": "slow"}
# of a run: another value would be about another run, or would reach for a server
ITS_OWN = ("vlm_base_url", "vlm_seed", "vlm_profile", "vlm_api_key_env", "vlm_baseline")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The folder of a finished run and its summary."""

    folder: Path
    summary: Mapping[str, Any]

    @property
    def scope(self) -> Mapping[str, Any]:
        """What its verdict covers."""
        return _mapping(self.summary, "scope")

    @property
    def launched(self) -> bool:
        """Whether it started its engine."""
        return self.scope.get("deployment") == "launched"

    @property
    def words(self) -> list[str]:
        """The arguments of its pytest."""
        command = self.summary.get("command")
        return [str(word) for word in command[1:]] if isinstance(command, list) else []

    def option(self, name: str) -> list[str]:
        """The values of an option in its command."""
        found, words = [], self.words
        for number, word in enumerate(words):
            if word.startswith(f"{name}="):
                found.append(word.partition("=")[2])
            elif word == name and number + 1 < len(words):
                found.append(words[number + 1])
        return found

    @property
    def mark(self) -> str:
        """smoke, slow, or nightly for both: which tests it was to run."""
        joined = next((word[2:] for word in self.words if word.startswith("-m") and len(word) > 2), "")
        wanted = (self.option("-m") or [joined])[-1]
        named = [mark for mark in MARKS if mark in wanted]
        return named[0] if len(named) == 1 else "nightly"

    @property
    def profile(self) -> str:
        """Its profile: as it was in effect, else the file that it was read from, else its name."""
        if is_file(self.folder / PROFILE):
            return str(self.folder / PROFILE)
        base = _mapping(self.summary, "calibration").get("base")
        if isinstance(base, str) and is_file(Path(base)):
            return base
        return str(self.scope.get("profile"))

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        """The lines of a file with their numbers, without a last one that was not finished; none without the file."""
        path = self.folder / name
        if not is_file(path):
            return
        try:
            for number, line in read_lines(path, LINE_BYTES, RUN_BYTES):
                if line.endswith(b"\n"):
                    yield number, _row(number, line)
        except BadFile as broken:
            raise UsageProblem(f"{shown(path)} {broken}") from None

    def exchanges(self) -> list[Row]:
        """The lines of exchanges.jsonl; UsageProblem names one that is not valid."""
        found: list[Row] = []
        for number, row in self.rows(EXCHANGES):
            try:
                exchange_of(row)
                found.append({**row, "test": str(row["test"]), "id": str(row["id"])})
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as broken:
                problem = f"{type(broken).__name__}: {shown(broken, 120)}"
                place = shown(self.folder / EXCHANGES)
                raise UsageProblem(f"{place}: line {number} is not an exchange: {problem}") from None
        return found

    def observations(self) -> list[Row]:
        """The lines of observations.jsonl; runs of earlier versions have none."""
        return [row for _, row in self.rows(OBSERVED) if all(isinstance(row.get(key), str) for key in ("test", "name"))]


def opened(name: str, source: str = OPTION) -> StoredRun:
    """The stored run in a folder; UsageProblem when it is not that of a finished run, or was changed since."""
    folder = expanded(name)
    if not is_folder(folder):
        raise UsageProblem(f"{source}: the folder {name!r} does not exist; give the folder of a run: reports/latest")
    folder = folder.resolve()
    try:
        summary = read_json(folder / SUMMARY, SUMMARY_BYTES)
    except BadFile as broken:
        raise UsageProblem(f"{source}: {name!r} is not the folder of a finished run: {SUMMARY} {broken}") from None
    if not isinstance(summary, dict) or not str(summary.get("schema")).startswith("vlm-acceptance/summary/"):
        raise UsageProblem(f"{source}: {name!r} is not the folder of a finished run: {SUMMARY} is of another kind")
    run = StoredRun(folder, summary)
    if isinstance(summary.get("judged"), dict):
        of = shown(summary["judged"].get("folder"))
        raise UsageProblem(f"{source}: {name!r} was judged from {of}, which holds what the server sent: give that")
    seed = run.scope.get("seed")
    if type(seed) is not int or seed < 0:
        raise UsageProblem(f"{source}: {name!r} holds no seed: its requests cannot be made again")
    if changed := changes(folder):
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise UsageProblem(f"{source}: {name!r} was changed after its run: {changed[0]}{more}")
    return run


def changes(folder: Path) -> list[str]:
    """What was changed in a run since it was attested, one sentence each; none where it was not attested."""
    return attestation.verify(folder) if attestation.is_attested(folder) else []


def require_same_model(run: StoredRun, model: Model) -> None:
    """UsageProblem when a stored run is to be judged as that of another model: its answers say nothing about it."""
    name, is_control = run.scope.get("model"), bool(run.summary.get("control"))
    if name != model.id:
        raise UsageProblem(f"{OPTION}: that run is one of the model {name!r:.200}, and the profile is for {model.id!r}")
    if is_control != model.control:
        raise UsageProblem(f"{OPTION}: that run and the profile do not agree on whether the model is the control")


def completed(
    values: Mapping[str, object], env: Mapping[str, str]
) -> tuple[dict[str, object], dict[str, str], StoredRun | None]:
    """Options and environment of a run that judges a stored one, completed by what that had; others as they are.

    The profile of the command line counts, else that of the stored run with its overrides; none of the environment.
    """
    option = next(one for one in OPTIONS if f"--{one.name}" == OPTION)
    name, source = given(option, values.get(option.dest), env)
    if name is None:
        return dict(values), dict(env), None
    run, made = opened(name, source), dict(values)
    if made.get("vlm_base_url"):
        raise UsageProblem(f"{source}: no server is asked; leave --vlm-base-url out")
    seed = str(run.scope["seed"])
    if made.get("vlm_seed") not in (None, seed):
        raise UsageProblem(f"{source}: the seed of that run is {seed}; leave --vlm-seed out")
    kept = {key: value for key, value in env.items() if key.lower() not in ITS_OWN}
    if not made.get("vlm_profile"):
        made["vlm_profile"] = run.profile
        if run.profile != str(run.folder / PROFILE):
            _add_overrides(made, run)
    made |= {"vlm_seed": seed, "vlm_base_url": None if run.launched else run.scope.get("url")}
    stored = run.option("--vlm-baseline")
    if not made.get("vlm_baseline") and stored and is_file(Path(stored[-1])):
        made["vlm_baseline"] = stored[-1]
    return made, kept, run


def _add_overrides(values: dict[str, object], run: StoredRun) -> None:
    """The overrides in the command of a run that did not store its profile."""
    for option in OPTIONS:
        if option.key and not values.get(option.dest) and (stored := run.option(f"--{option.name}")):
            values[option.dest] = stored[-1]
    own: Any = values.get("vlm_set") or []
    values["vlm_set"] = [*run.option("--vlm-set"), *own]


def _row(number: int, line: bytes) -> Row:
    try:
        row = parse_json(line)
    except BadFile as broken:
        raise BadFile(f"has a line that {broken}, line {number}") from None
    if not isinstance(row, dict):
        raise BadFile(f"has a line that is not an object, line {number}")
    return row


def _mapping(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return found if isinstance(found, dict) else {}
