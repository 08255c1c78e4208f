#!/usr/bin/env python3
"""Write the schemas of this folder again: cut.py KUBERNETES_VALIDATE.whl CHECK_JSONSCHEMA.whl VERSION

Descriptions are left out, and of Kubernetes everything that deploy/ does not use. VERSION is that of Kubernetes, such
as 1.37.0.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KINDS = {"Job": "job-batch-v1", "CronJob": "cronjob-batch-v1", "PersistentVolumeClaim": "persistentvolumeclaim-v1"}
DESCRIPTIONS = {"description", "markdownDescription", "$comment"}


def bare(node: Any) -> Any:
    """A schema without its descriptions."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if key not in DESCRIPTIONS or not isinstance(value, str)}
        return {key: bare(value) for key, value in kept.items()}
    return [bare(value) for value in node] if isinstance(node, list) else node


def referenced(node: Any) -> Iterator[str]:
    """The names of all definitions that a schema refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from referenced(value)
    elif isinstance(node, list):
        for value in node:
            yield from referenced(value)


def kubernetes(wheel: zipfile.ZipFile, version: str) -> dict[str, Any]:
    """One schema: a definition for each of KINDS, and the definitions that these need."""
    folder = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
    every = json.loads(wheel.read(f"{folder}/_definitions.json"))["$defs"]
    kept = {kind: json.loads(wheel.read(f"{folder}/{name}.json")) for kind, name in KINDS.items()}
    todo = list(referenced(kept))
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = every[name]
            todo += referenced(every[name])
    text = json.dumps(bare(kept)).replace("/api/_definitions.json#/$defs/", "#/$defs/")
    definitions = json.loads(text)
    for kind in KINDS:
        del definitions[kind]["$id"]  # with it, its references would be resolved against another document
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": definitions}


def write(name: str, schema: dict[str, Any]) -> None:
    """The file of one schema; those of Kubernetes with one definition on each line."""
    text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
    for definition in schema.get("$defs", {}):
        key = json.dumps(definition) + ":{"
        text = text.replace(key, "\n" + key)
    (HERE / name).write_text(text + "\n", "utf-8")


def main() -> None:
    """Write the three files."""
    of_kubernetes, of_ci, version = sys.argv[1:]
    with zipfile.ZipFile(of_kubernetes) as wheel:
        write("kubernetes.json", kubernetes(wheel, version))
    with zipfile.ZipFile(of_ci) as wheel:
        for name, vendored in {"gitlab-ci": "gitlab-ci", "github-workflow": "github-workflows"}.items():
            text = wheel.read(f"check_jsonschema/builtin_schemas/vendor/{vendored}.json")
            write(f"{name}.json", bare(json.loads(text)))


if __name__ == "__main__":
    main()
