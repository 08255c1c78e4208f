"""Reads profile files: inheritance, overrides, former names of keys. Every problem is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vlm_acceptance.config.profile import Profile
from vlm_acceptance.config.yaml_file import fields_at, first_error, parse_yaml, read_data
from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import expanded, is_file
from vlm_acceptance.core.text import trimmed

CHAIN = 16
ONE_RELEASE = "the former name is accepted in this release only"
FORMER_KEYS = {
    "numbers": "logprobs",
    "capability.demoted": "capability.report_only",
    "capability.known_answers": "capability.golden_answers",
    "capability.long_twins": "capability.long_similar_pictures",
}
FORMER_VALUES = {"capability.report_only": {"several": "multi_picture"}}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile, its file, the source of each dotted key that is set, and a note for each former name that is used."""

    profile: Profile
    path: Path
    sources: Mapping[str, str]
    notes: tuple[str, ...] = ()


def profile_names(folder: Path) -> list[str]:
    """Names of the profiles in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find_profile(name: str, folder: Path) -> Path:
    """The file of a profile given by name or by path; UsageProblem names the nearest."""
    names = profile_names(folder)
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = expanded(name)
        problem = f"profile file {name!r} does not exist; by name there are: {', '.join(names)}"
    else:
        path = folder / f"{name}.yaml"
        problem = f"there is no profile {name!r}; there are: {', '.join(names)}.{nearest(name, names)}"
    if not is_file(path):
        raise UsageProblem(problem)
    return path


def load_profile(name: str, folder: Path, overrides: Sequence[tuple[str, str, str]] = ()) -> Loaded:
    """Read a profile and those it extends; `overrides` are (dotted key, YAML value, source), the last one counts.

    A key that is set to null gets its default again; a name in a free mapping, such as engine.env, is removed.
    """
    path = find_profile(name, folder)
    sources: dict[str, str] = {}
    notes: list[str] = []
    data = _read_chain(path, folder, sources, notes)
    for key, text, source in overrides:
        sources[_override(data, key, text, source, notes)] = source
    _require_whole_characters(data, sources, path.name)
    try:
        profile = Profile.model_validate(data)
    except ValidationError as broken:
        key, message = first_error(broken, Profile)
        # an override may have set a key below one that holds a single value
        below = [sources[name] for name in sources if name.startswith(f"{key}.")]
        raise UsageProblem(f"{below[-1] if below else _source(key, sources, path.name)}: {message}") from None
    return Loaded(profile, path, sources, tuple(dict.fromkeys(notes)))


def _require_whole_characters(data: dict[str, Any], sources: dict[str, str], file: str) -> None:
    """UsageProblem for a text with half a character (an escape of YAML), which nothing can print or send."""
    for key, value in _flat(data).items():
        text = json.dumps({key: value}, ensure_ascii=False, default=str)
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UsageProblem(f"{_source(key, sources, file)}: {trimmed(key, 80)}: it holds half a character")


def _read_chain(
    path: Path, folder: Path, sources: dict[str, str], notes: list[str], seen: tuple[Path, ...] = ()
) -> dict[str, Any]:
    if path.resolve() in seen:
        raise UsageProblem(f"{path}: extends: the profiles extend each other in a circle")
    if len(seen) >= CHAIN:
        raise UsageProblem(f"{path}: extends: more than {CHAIN} profiles extend each other")
    data = read_data(path)
    if not isinstance(data, dict):
        raise UsageProblem(f"{path}: a profile is a mapping of keys, this file holds {type(data).__name__}")
    notes += _rename_former(data, path.name)
    parent, merged = data.pop("extends", None), data
    if parent is not None:
        if not isinstance(parent, str):
            raise UsageProblem(f"{path}: extends: {parent!r} is not the name or path of a profile")
        nearby = path.parent / parent
        origin = nearby if is_file(nearby) else find_profile(parent, folder)
        merged = _merged(_read_chain(origin, folder, sources, notes, (*seen, path.resolve())), data)
    sources.update(dict.fromkeys(_flat(data), path.name))
    return merged


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
    for key, value in _flat(loaded.profile.model_dump(mode="json")).items():
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).splitlines()[0]
        lines.append(f"{key}: {text}  # {_source(key, loaded.sources)}")
    return "\n".join(lines)


def _source(key: str, sources: Mapping[str, str], default: str = "default") -> str:
    """The source of the value of a key: its own, else that of the nearest key above it."""
    parts = key.split(".")
    named = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((sources[name] for name in named if name in sources), default)
