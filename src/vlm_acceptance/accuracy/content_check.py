"""Whether questions are those that were published or prepared: a hash of the content, a sentence on what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from vlm_acceptance.accuracy.item import ItemText
from vlm_acceptance.config.yaml_file import first_error
from vlm_acceptance.core.errors import EnvironmentProblem
from vlm_acceptance.core.files import BadFile, is_file, read_json, shown

MOST_PROBLEMS = 6
Counts = TypeVar("Counts", bound=BaseModel)


def stated_counts(folder: Path, model: type[Counts]) -> Counts:
    """What `counts.json` in the folder says, or the model's defaults without it; EnvironmentProblem: not valid."""
    file = folder / "counts.json"
    try:
        return model.model_validate(read_json(file)) if is_file(file) else model()
    except BadFile as broken:
        raise EnvironmentProblem(f"{shown(file)} {broken}") from None
    except ValidationError as broken:
        raise EnvironmentProblem(f"{shown(file)}: {first_error(broken, model)[1]}") from None


def content_sha256(questions: Iterable[ItemText]) -> str:
    """One hash of all ids, questions, options and accepted answers; their order does not matter."""
    lines = sorted(json.dumps([each.id, each.question, each.options, each.gold]) for each in questions)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def content_problems(sha256: str, wanted: str) -> list[str]:
    """What is wrong with a hash of the content, if anything."""
    message = f"the hash of ids, questions, options and answers is {sha256[:16]} instead of {wanted[:16]}"
    return [] if sha256 == wanted else [message]


def first_of(most: int, found: Sequence[str]) -> list[str]:
    """The first texts, and how many more there are."""
    return [*found[:most], f"and {len(found) - most} more"] if len(found) > most else list(found)


def not_whole(dataset: str, problems: Sequence[str]) -> EnvironmentProblem:
    """The error for data that are not a whole data set, in one line."""
    return EnvironmentProblem(f"this is not the whole {dataset}: {'; '.join(first_of(MOST_PROBLEMS, problems))}")
