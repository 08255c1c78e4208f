"""JSON bodies against the schemas of `fixtures/schemas/`. Only the shape: other checks judge the values."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from vlm_acceptance.config.paths import ROOT
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.errors import HarnessProblem
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

SCHEMAS = ROOT / "fixtures" / "schemas"
MOST_FINDINGS = 8
FORMATS = FormatChecker()
_YEAR_2100 = 4_102_444_800


@FORMATS.checks("unix-seconds")
def _is_unix_seconds(value: object) -> bool:
    # A clock in milliseconds is a valid integer and off by a factor of 1000.
    return not isinstance(value, int) or value < _YEAR_2100


def _is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_checker: object, value: object) -> bool:
    # json.loads reads NaN and Infinity, which are not JSON and pass `maximum`.
    return _is_integer(_checker, value) or (isinstance(value, float) and math.isfinite(value))


# JSON Schema calls 1.0 an integer; typed clients do not.
_Strict = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def conforms(name: str, value: Any, where: str = "", folder: Path = SCHEMAS) -> list[Finding]:
    """Findings `schema.<name>`, at most MOST_FINDINGS, each with `where` and its JSON path.

    HarnessProblem if `folder` holds no such schema.
    """
    errors = islice(_validator(name, folder).iter_errors(value), MOST_FINDINGS)
    return [
        Finding(kinds.schema_class(name), _expected(error), _observed(error), f"{where} {error.json_path}".strip())
        for error in errors
    ]


@lru_cache
def _validator(name: str, folder: Path) -> Any:
    registry = _registry(folder)
    schema_id = f"urn:vlm-acceptance:{name}"
    if schema_id not in registry:
        raise HarnessProblem(f"no schema {name!r} in {folder}")
    return _Strict(registry.contents(schema_id), registry=registry, format_checker=FORMATS)


@lru_cache
def _registry(folder: Path) -> Registry[Any]:
    return Registry().with_resources(_resource(path) for path in sorted(folder.glob("*.json"))).crawl()


def _resource(path: Path) -> tuple[str, Resource[Any]]:
    contents = json.loads(path.read_text("utf-8"))
    # Behind a $ref, a schema that names its dialect would be validated by the stock class, which accepts 1.0.
    del contents["$schema"]
    return contents["$id"], DRAFT202012.create_resource(contents)


def _expected(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    if error.validator == "required":
        return f"the key {error.message.removesuffix(' is a required property')}"
    if error.validator == "type":
        return " or ".join([wanted] if isinstance(wanted, str) else wanted)
    if error.validator == "enum":
        return f"one of {', '.join(map(repr, wanted))}"
    if error.validator == "const":
        return repr(wanted)
    return f"{error.validator} {wanted}"


def _observed(error: ValidationError) -> str:
    if error.validator == "required" and isinstance(error.instance, dict):
        return f"the keys {', '.join(map(repr, error.instance))}" if error.instance else "no key at all"
    return trimmed(error.instance)
