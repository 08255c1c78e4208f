"""A new profile before it is written: values with their sources, what is not known, and the text of the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vlm_acceptance.core.files import shown

HEAD = "# Written by `vlm-acceptance profile new`: each value with its source. Change what this deployment does not do."


@dataclass(slots=True)
class Draft:
    """Values by dotted key with their sources; arguments of the engine by the names that its offline `LLM` has."""

    name: str = ""
    base: str = ""
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    arguments: dict[str, tuple[Any, str]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: Any, source: str) -> None:
        """A value that was read."""
        self.values[key] = value, source

    def argue(self, name: str, value: Any, source: str) -> None:
        """An argument of the engine that was read: `max_model_len` is `--max-model-len` on its command line."""
        self.arguments[name] = value, source

    def lacks(self, key: str, why: str) -> None:
        """A key whose value could not be read."""
        self.unknown[key] = why

    def text(self, base_args: list[Any]) -> str:
        """The file; `base_args` are arguments of the base, which this file's own would replace."""
        values = {**self.values, **self._engine(base_args)}
        lines = [HEAD, *([f"extends: {self.base}"] if self.base else []), f"name: {_flow(self.name)}"]
        sections: dict[str, list[str]] = {}
        for key, (value, source) in values.items():
            section, _, rest = key.partition(".")
            comments = [f"  # {shown(line)}" for line in source.splitlines()]
            sections.setdefault(section, []).extend([*comments, f"  {rest}: {_flow(value)}"])
        for section, rows in sections.items():
            lines += ["", f"{section}:", *rows]
        lines += ["", "# not known:", *(f"#   {key}: {shown(why)}" for key, why in self.unknown.items())]
        return "\n".join([*lines, ""])

    def _engine(self, base_args: list[Any]) -> Mapping[str, tuple[Any, str]]:
        if not self.arguments:
            return {}
        sources = [f"{_option(name)}: {source}" for name, (_, source) in self.arguments.items()]
        sources += [f"{' '.join(map(str, base_args))}: {self.base}"] if base_args else []
        own = [word for name, (value, _) in self.arguments.items() for word in _words(name, value)]
        llm = {name: value for name, (value, _) in self.arguments.items()}
        return {"engine.args": ([*own, *base_args], "\n".join(sources)), "offline.llm": (llm, "as engine.args")}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(name: str, value: Any) -> Iterator[Any]:
    yield _option(name)
    if value is not True:
        yield value


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False)
    line = text.removesuffix("\n").removesuffix("\n...")
    # JSON is YAML, and has escapes for line ends
    return json.dumps(value, ensure_ascii=False) if "\n" in line else line
