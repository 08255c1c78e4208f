"""Data files of ours in YAML, read against a shape."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from vlm_acceptance.core.errors import UsageProblem

Shape = TypeVar("Shape")


def read_yaml(path: Path, shape: type[Shape]) -> Shape:
    """The file as `shape`, a pydantic model or a list of one; UsageProblem with one line that names what is wrong."""
    try:
        return TypeAdapter(shape).validate_python(yaml.safe_load(path.read_text("utf-8")))
    except ValidationError as broken:
        first = broken.errors()[0]
        raise UsageProblem(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as broken:
        raise UsageProblem(f"{path}: {' '.join(str(broken).split())}") from None
