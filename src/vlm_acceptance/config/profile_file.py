"""Reads profile files: inheritance, overrides, former names of keys. Every problem is one line.

A profile of another model does not inherit the facts of the model that it extends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vlm_acceptance.config.model_facts import left_out, model_id, without_facts
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.yaml_file import fields_at, first_error, parse_yaml, read_data
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_file, is_folder
from vlm_acceptance.core.text import trimmed

CHAIN = 16
# the folder of profiles that only others extend, as they name no model
BASES = "bases"
ONE_RELEASE = "the former name is accepted in this release only"
FORMER_KEYS = {
    "numbers": "logprobs",
    "capability.demoted": "capability.report_only",
    "capability.known_answers": "capability.golden_answers",
    "capability.long_twins": "capability.long_similar_pictures",
    "logprobs.common_top5": "logprobs.common_top",
}
FORMER_VALUES = {"capability.report_only": {"several": "multi_picture"}}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile, its file, the source of each dotted key that is set, and notes: former names, facts left out."""

    profile: Profile
    path: Path
    sources: Mapping[str, str]
    notes: tuple[str, ...] = ()


def profile_names(folder: Path) -> list[str]:
    """Names of the profiles in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def base_names(folder: Path) -> list[str]:
    """Names of the profiles that only others extend."""
    return profile_names(folder / BASES)


def find_profile(name: str, folder: Path) -> Path:
    """The file of a profile given by name or by path; UsageProblem names the nearest."""
    if name in base_names(folder):
        makes = f"`vlm-acceptance profile new FOLDER --base {name}` writes a profile that extends it"
        raise UsageProblem(f"{name!r} is a base for profiles and names no model: {makes}")
    return _find(name, folder, profile_names(folder))


def _find(name: str, folder: Path, names: Sequence[str]) -> Path:
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = expanded(name)
        what = "is a folder" if is_folder(path) else "does not exist"
        problem = f"profile file {name!r} {what}; by name there are: {', '.join(names)}"
    else:
        path = folder / f"{name}.yaml"
        problem = f"there is no profile {name!r}; there are: {', '.join(names)}.{nearest(name, names)}"
    if not is_file(path):
        raise UsageProblem(problem)
    return path


@dataclass(slots=True)
class _Chain:
    """What is seen while a profile and those it extends are read.

    `lost` is (file, model, facts) of the last model whose facts another model does not inherit.
    """

    folder: Path
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost: tuple[str, str, list[str]] | None = None

    def drop_facts(self, data: dict[str, Any], file: str) -> dict[str, Any]:
        """The data of `file` without the facts of its model."""
        kept, gone = without_facts(data)
        self.lost = (file, str(model_id(data)), gone)
        below = tuple(f"{fact}." for fact in gone)
        self.sources = {key: file for key, file in self.sources.items() if not f"{key}.".startswith(below)}
        return kept

    def given_again(self, data: dict[str, Any]) -> None:
        """Take note of the lost facts that a file states for its own model; null is a statement, too."""
        if self.lost:
            file, model, facts = self.lost
            self.lost = (file, model, [fact for fact in facts if not _holds(data, fact)])

    def notes_on(self, data: dict[str, Any], file: str) -> tuple[str, ...]:
        """All notes, with one on the facts that the finished profile lacks."""
        notes = list(dict.fromkeys(self.notes))
        self.given_again(data)
        if self.lost and self.lost[2]:
            other, theirs, missing = self.lost
            same = " (another name of the same model belongs in model.aliases)" if other == file else ""
            notes.append(
                f"{file}: model.id is {model_id(data)!r}, so facts of {theirs!r} in {other} are not inherited{same}: "
                f"{', '.join(missing)}; left out until they are given: {left_out(missing) or 'nothing'}"
            )
        return tuple(notes)


def load_profile(name: str, folder: Path, overrides: Sequence[tuple[str, str, str]] = ()) -> Loaded:
    """Read a profile and those it extends; `overrides` are (dotted key, YAML value, source), the last one counts.

    A key that is set to null gets its default again; a name in a free mapping, such as engine.env, is removed.
    """
    path = find_profile(name, folder)
    chain = _Chain(folder)
    data = _read_chain(path, chain)
    if _is_renamed(data, overrides):
        data = chain.drop_facts(data, path.name)
    for key, text, source in overrides:
        present = _override(data, key, text, source, chain.notes)
        chain.sources[present] = source
    sources = chain.sources
    _require_whole_characters(data, sources, path.name)
    try:
        profile = Profile.model_validate(data)
    except ValidationError as broken:
        key, message = first_error(broken, Profile)
        # an override may have set a key below one that holds a single value
        below = [sources[name] for name in sources if name.startswith(f"{key}.")]
        raise UsageProblem(f"{below[-1] if below else _source(key, sources, path.name)}: {message}") from None
    return Loaded(profile, path, sources, chain.notes_on(data, path.name))


def _is_renamed(data: dict[str, Any], overrides: Sequence[tuple[str, str, str]]) -> bool:
    """Whether overrides name another model than the files. The control is served under any name, as our own model."""
    named = [override for override in overrides if override[0] in ("model", "model.id")]
    if not named or (_holds(data, "model.control") and data["model"]["control"] is True):
        return False
    changed = deepcopy(data)
    for key, text, source in named:
        _override(changed, key, text, source, [])
    return _names_another(data, changed)


def _names_another(below: dict[str, Any], top: dict[str, Any]) -> bool:
    theirs, ours = model_id(below), model_id(top)
    return theirs is not None and ours is not None and theirs != ours


def _require_whole_characters(data: dict[str, Any], sources: dict[str, str], file: str) -> None:
    """UsageProblem for a text with half a character (an escape of YAML), which nothing can print or send."""
    for key, value in _flat(data).items():
        text = json.dumps({key: value}, ensure_ascii=False, default=str)
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UsageProblem(f"{_source(key, sources, file)}: {trimmed(key, 80)}: it holds half a character")


def _read_chain(path: Path, chain: _Chain, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise UsageProblem(f"{path}: extends: the profiles extend each other in a circle")
    if len(seen) >= CHAIN:
        raise UsageProblem(f"{path}: extends: more than {CHAIN} profiles extend each other")
    data = read_data(path)
    if not isinstance(data, dict):
        raise UsageProblem(f"{path}: a profile is a mapping of keys, this file holds {type(data).__name__}")
    chain.notes += _rename_former(data, path.name)
    parent, merged = data.pop("extends", None), data
    if parent is not None:
        if not isinstance(parent, str):
            raise UsageProblem(f"{path}: extends: {parent!r} is not the name or path of a profile")
        origin = _origin(parent, path.parent, chain.folder)
        below = _read_chain(origin, chain, (*seen, path.resolve()))
        if _names_another(below, data):
            below = chain.drop_facts(below, origin.name)
        merged = _merged(below, data)
    chain.given_again(data)
    chain.sources.update(dict.fromkeys(_flat(data), path.name))
    return merged


def _origin(parent: str, nearby: Path, folder: Path) -> Path:
    """The file of a profile that another one extends: beside it, or one of the suite."""
    if is_file(nearby / parent):
        return nearby / parent
    bases = base_names(folder)
    return _find(parent, folder / BASES if parent in bases else folder, [*profile_names(folder), *bases])


def _merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict) or not data:
        return {prefix: data}
    found: dict[str, Any] = {}
    for key, value in data.items():
        found.update(_flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return found


def _override(data: dict[str, Any], key: str, text: str, source: str, notes: list[str]) -> str:
    """Set a dotted key of `data` to a YAML value, null removes it; returns the key's present name."""
    present = key
    for former, name in FORMER_KEYS.items():
        if f"{key}.".startswith(f"{former}."):
            present = name + key.removeprefix(former)
    _check_key(present, source)
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise UsageProblem(f"{source}: {key}: the value {text!r} cannot be read as YAML; quote it") from None
    layer: dict[str, Any] = {}
    section, last = _section(layer, key)
    section[last] = value
    notes += _rename_former(layer, source)
    section, last = _section(layer, present)
    value = section[last]
    section, last = _section(data, present)
    if value is None:
        section.pop(last, None)
    else:
        section[last] = value
    return present


def _section(data: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds a dotted key, and its last part; a copy in its place, as YAML aliases share mappings."""
    *sections, last = key.split(".")
    for name in sections:
        below = data.get(name)
        data[name] = dict(below) if isinstance(below, dict) else {}
        data = data[name]
    return data, last


def _rename_former(data: dict[str, Any], source: str) -> list[str]:
    """Give former keys and values their present names, one note for each; UsageProblem for a key under both names."""
    notes = []
    for former, present in FORMER_KEYS.items():
        if not _holds(data, former):
            continue
        if _holds(data, present):
            raise UsageProblem(f"{source}: {former!r} is the former name of {present!r}; give only {present!r}")
        section, last = _section(data, former)
        value = section.pop(last)
        section, last = _section(data, present)
        section[last] = value
        notes.append(f"{source}: the key {former!r} is now {present!r}; {ONE_RELEASE}")
    for key, names in FORMER_VALUES.items():
        section, last = _section(data, key) if _holds(data, key) else ({}, "")
        values = section.get(last)
        if not isinstance(values, list):
            continue
        known = [value for value in values if isinstance(value, str) and value in names]
        section[last] = [names[value] if value in known else value for value in values]
        notes += [f"{source}: {key}: the value {value!r} is now {names[value]!r}; {ONE_RELEASE}" for value in known]
    return notes


def _holds(data: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(data, dict) or name not in data:
            return False
        data = data[name]
    return True


def _check_key(key: str, source: str) -> None:
    """UsageProblem for a key that is not in a profile, before its value is read."""
    parts = key.split(".")
    for depth, part in enumerate(parts):
        fields = fields_at(Profile, parts[:depth])
        if not fields:  # below a free mapping, such as engine.env
            return
        if part not in fields:
            place = ".".join(parts[:depth]) or "a profile"
            near = nearest(part, fields)
            raise UsageProblem(f"{source}: unknown key {key!r}; {place} has: {', '.join(fields)}.{near}")


def shown(loaded: Loaded) -> str:
    """The effective profile: a line `key: value` for each key, with the source of the value."""
    lines = [f"# {loaded.path}", *(f"# note: {note}" for note in loaded.notes)]
    lines += [f"{row['key']}: {row['value']}  # {row['source']}" for row in values(loaded)]
    return "\n".join(lines)


def values(loaded: Loaded) -> list[dict[str, str]]:
    """Each dotted key of the effective profile with its value as YAML and the source of the value."""
    rows = []
    for key, value in _flat(loaded.profile.model_dump(mode="json")).items():
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).splitlines()[0]
        rows.append({"key": key, "value": text, "source": _source(key, loaded.sources)})
    return rows


def _source(key: str, sources: Mapping[str, str], default: str = "default") -> str:
    """The source of the value of a key: its own, else that of the nearest key above it."""
    parts = key.split(".")
    named = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((sources[name] for name in named if name in sources), default)
