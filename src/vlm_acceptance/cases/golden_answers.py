"""Golden answers of a deployment: rows of the file `capability.golden_answers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from vlm_acceptance.config.yaml_file import first_error
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.exchange import MOST_TOKENS
from vlm_acceptance.core.files import BadFile, parse_json, read_lines, shown
from vlm_acceptance.core.pictures import require_png


class _Row(BaseModel):
    """A row; other keys are not read. `pictures` are named below the folder of the pictures."""

    id: str
    prompt: str
    answer: str
    pictures: list[str]
    prompt_tokens: Annotated[int, Field(strict=True, ge=1, lt=MOST_TOKENS)] | None = None


def read_rows(path: Path, images: Path) -> list[dict[str, Any]]:
    """The rows of the file, each with the keys of `_Row`; UsageProblem names a line or a picture that is not valid."""
    rows = []
    try:
        for number, line in read_lines(path):
            if line.strip():
                rows.append(_row(line, number, images))
    except BadFile as broken:
        raise UsageProblem(f"capability.golden_answers: {shown(path)} {broken}") from None
    if not rows:
        raise UsageProblem(f"capability.golden_answers: {shown(path)} holds no row")
    return rows


def _row(line: bytes, number: int, images: Path) -> dict[str, Any]:
    try:
        row = _Row.model_validate(parse_json(line))
        for name in row.pictures:
            require_png(images, name)
    except ValidationError as broken:
        raise BadFile(f"has a wrong line {number}: {first_error(broken, _Row)[1]}") from None
    except BadFile as broken:
        raise BadFile(f"has a wrong line {number}: it {broken}") from None
    return row.model_dump()


def by_prompt(rows: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Exact answers by prompt and picture ('' for no picture), of the rows with at most one picture."""
    return {(row["prompt"], "".join(row["pictures"])): row["answer"] for row in rows if len(row["pictures"]) < 2}
