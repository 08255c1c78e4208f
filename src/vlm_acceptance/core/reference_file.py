"""The lines of a reference file that are no rows: its first line, and those of measured power at its end."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, parse_json, read_lines, shown
from vlm_acceptance.core.reference import CHANGE_KEY, KEY, VERSION, Change, Origin, PromptDistance

DIGITS = 6
# keys of rows alone, which may have any others; the first line has `top`, too
ROW_KEYS = ("prompt", "tokens")
# a file of power has about thirty
MOST_CHANGES = 100
LONGEST_NAME, LONGEST_TEXT = 255, 200
# far more than any sum of nats or count of tokens, and small enough to be added
MOST_NATS, MOST_COUNT = 1e12, 10**12
# a sum and its largest part are each rounded to DIGITS
ROUNDING = 2 * 10**-DIGITS


@dataclass(frozen=True, slots=True)
class About:
    """What a file says about its rows: None and nothing for a plain baseline."""

    origin: Origin | None
    changes: tuple[Change, ...] = ()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


def _file_name(name: str) -> str:
    if name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError("a name of a file without a folder is allowed")
    return _printable(name)


_Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_printable)]
_FileName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_file_name)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# the name that a checkpoint gives itself is anything
_Shown = Annotated[str, AfterValidator(lambda text: shown(text, LONGEST_TEXT))]


class _OriginRow(BaseModel):
    """The first line; keys that are not known are not read."""

    model_config = ConfigDict(strict=True)

    reference: int = Field(ge=VERSION, le=VERSION)
    model: _Shown
    files: dict[_FileName, _Sha256] = Field(min_length=1)
    code: _Text
    route: Literal["own", "transformers"]
    arithmetic: Literal["float32", "bfloat16", "float16"]
    form: Literal["served", "published"]
    top: int = Field(ge=1, le=MOST_COUNT)
    versions: dict[_Text, _Text] = Field(default_factory=dict)
    group: int = Field(0, ge=0, le=MOST_COUNT)


# pydantic takes "1" and true for numbers if it is not told otherwise
_Nats = Annotated[float, Field(strict=True, ge=0, le=MOST_NATS)]
_Count = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNT)]


def _consistent(row: tuple[float, float, int, int, float, int]) -> tuple[float, float, int, int, float, int]:
    shift, largest, listed, possible, _, _ = row
    if possible == 0 or listed > possible:
        raise ValueError(f"{listed} of {possible} tokens in both lists; 0 to all of at least 1 are allowed")
    if largest > shift + ROUNDING + shift * 1e-9:
        raise ValueError(f"the largest of the distances is {largest:g}; at most their sum, {shift:g}, is allowed")
    if listed == 0 and shift > ROUNDING:
        raise ValueError(f"the sum of no distances is {shift:g}; 0 is allowed")
    return row


# an answer that has another token at once shares no chosen token: the last may be 0
_Figure = Annotated[tuple[_Nats, _Nats, _Count, _Count, _Nats, _Count], AfterValidator(_consistent)]


class _ChangeRow(BaseModel):
    """A line of power: for each prompt the values of a PromptDistance in their order."""

    model_config = ConfigDict(allow_inf_nan=False)

    change: str = Field(pattern=r"^[\w .:%+-]{1,60}$")
    floor: bool = Field(strict=True)
    prompts: dict[str, _Figure] = Field(min_length=1)

    @property
    def value(self) -> Change:
        return Change(self.change, self.floor, {name: PromptDistance(*row) for name, row in self.prompts.items()})


def origin_line(origin: Origin) -> str:
    """The first line of a reference file, without its end."""
    return json.dumps({KEY: VERSION, **asdict(origin)}, ensure_ascii=False, allow_nan=False)


def change_line(change: Change) -> str:
    """A line of power, without its end; sums are rounded to a millionth of a nat."""
    rows = {name: [_rounded(value) for value in astuple(one)] for name, one in change.prompts.items()}
    row = {CHANGE_KEY: change.name, "floor": change.floor, "prompts": rows}
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _rounded(value: float | int) -> float | int:
    return round(value, DIGITS) if isinstance(value, float) else value


def is_about(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether the value of a line is a first line or one of power, and no row: the one rule for all readers."""
    return isinstance(value, dict) and (KEY in value or CHANGE_KEY in value) and value.keys().isdisjoint(ROW_KEYS)


def about_line(value: object, place: str) -> Origin | Change | None:
    """What a first line or a line of power says, None for a row; UsageProblem with `place` for a broken one."""
    if not is_about(value):
        return None
    if KEY not in value:
        return change_of(value, place)
    if CHANGE_KEY in value:
        raise UsageProblem(f"{place} is not a valid line of a reference: it has both keys, {KEY} and {CHANGE_KEY}")
    return origin_of(value, place)


def origin_of(row: Mapping[str, Any], place: str) -> Origin:
    """The Origin of a first line; UsageProblem with `place` for another version or a value that is none."""
    if type(row.get(KEY)) is int and row[KEY] > VERSION:
        raise UsageProblem(f"{place}: version {row[KEY]} of a reference; this suite reads {VERSION}")
    values = _valid(_OriginRow, row, place).model_dump()
    del values[KEY]
    return Origin(**values)


def change_of(row: Mapping[str, Any], place: str) -> Change:
    """The Change of a line of power; UsageProblem with `place` for a value that is none."""
    found: _ChangeRow = _valid(_ChangeRow, row, place)
    return found.value


def _valid(model: Any, row: Mapping[str, Any], place: str) -> Any:
    try:
        return model.model_validate(row)
    except ValidationError as broken:
        first = broken.errors()[0]
        why = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise UsageProblem(f"{place} is not a valid line of a reference: {shown(why)}") from None


def read_about(path: Path) -> About:
    """What a file says about its rows. UsageProblem of one line for a bad line, or a change of a prompt without row."""
    origin: Origin | None = None
    changes: dict[str, Change] = {}
    places: dict[str, str] = {}
    rows: set[str] = set()
    for place, value in _values(path):
        found = about_line(value, place)
        if isinstance(found, Origin):
            if origin is not None:
                raise UsageProblem(f"{place}: the second first line of a reference")
            origin = found
        elif isinstance(found, Change):
            if found.name in changes:
                raise UsageProblem(f"{place}: the change {shown(found.name)!r} occurs twice")
            if len(changes) == MOST_CHANGES:
                raise UsageProblem(f"{place}: more than {MOST_CHANGES} changes in one file")
            changes[found.name], places[found.name] = found, place
        elif isinstance(value, dict):
            rows.add(str(value.get("id")))
    for name, change in changes.items():
        _require_rows(change, rows, places[name])
    return About(origin, tuple(changes.values()))


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """The place and the value of each line that is not blank."""
    try:
        for number, line in read_lines(path):
            if line.strip():
                place = f"{shown(path)}, line {number}"
                yield place, _parsed(line, place)
    except BadFile as broken:
        raise UsageProblem(f"{shown(path)} {broken}") from None


def _parsed(line: bytes, place: str) -> Any:
    try:
        return parse_json(line)
    except BadFile as broken:
        raise UsageProblem(f"{place} {broken}") from None


def _require_rows(change: Change, rows: Collection[str], place: str) -> None:
    """UsageProblem when a change was measured with a prompt that the file does not hold: it is of other rows."""
    other = next((name for name in change.prompts if name not in rows), None)
    if other is not None:
        raise UsageProblem(
            f"{place}: the change {change.name!r} names the prompt {shown(other, 60)!r}, which the file does not hold"
        )
