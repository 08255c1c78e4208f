"""A made data set that can be run: prepared data with pictures, a plan, an endpoint that answers by question."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support import wire
from tests.support.made_run import DOMAINS, answered, exact, generous
from vlm_acceptance.accuracy.dataset import Dataset, Prompts
from vlm_acceptance.accuracy.early_stop import Stop
from vlm_acceptance.accuracy.item import Answer, Item, PreparedRequest
from vlm_acceptance.accuracy.plan import AccuracyPlan, planned
from vlm_acceptance.accuracy.preparation import NewItem, NewPicture, write_prepared
from vlm_acceptance.accuracy.prepared import Prepared
from vlm_acceptance.accuracy.prompt_tokens import counting_requests
from vlm_acceptance.accuracy.result import AccuracyResult
from vlm_acceptance.config.profile import Mmmu, Profile

RECORD, OTHER = "vlmevalkit_2024_07", "vlmevalkit_head"
GROUPS = ("Art", "Music", "Math")
TILE_TOKENS = 16
TEXT_TOKENS = 7


@dataclass(frozen=True)
class Plain:
    """A protocol with one line per question."""

    name: str
    system: str
    max_tokens: int
    deviations: Sequence[str] = ("None is an original.",)
    scorer: str = "vlmevalkit_2024_07"
    tiles: int | None = None

    def request(self, item: Item) -> PreparedRequest:
        pictures = tuple(picture.plain for picture in item.pictures)
        text = "<image>\n" * len(pictures) + " ".join([item.question, *item.options])
        return PreparedRequest(item.id, self.system, text, pictures, {"temperature": 0, "max_tokens": self.max_tokens})


def prompts(wanted: Mmmu, _: Sequence[int]) -> Prompts:
    return Plain(wanted.protocol, "Be brief." if wanted.system_message else "", wanted.max_tokens or 8)


MADE = Dataset(
    name="made",
    stem="made_val",
    domains=DOMAINS,
    scorers={RECORD: exact, OTHER: generous},
    prompts=prompts,
    text_only_prompt=lambda request: request.text.replace("<image>", "<img></img>"),
    check_prepared=lambda prepared: None,
    prepare="make made",
)


def png(number: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A different picture for every number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def new_items(count: int) -> list[NewItem]:
    """Questions of three groups; of four in a row three are choices with golds A, B and C, the fourth is open."""
    made = []
    for number in range(count):
        group = GROUPS[number % len(GROUPS)]
        place = number % 4
        options = ("one", "two", "three", "four") if place < 3 else ()
        gold = "ABC"[place] if options else "60"
        ident = f"validation_{group}_{number + 1}"
        shown = (NewPicture(1, png(number)),)
        kind: Any = "multiple-choice" if options else "open"
        made.append(NewItem(ident, group, kind, f"{ident}: which?", options, (gold,), shown))
    return made


def prepared(folder: Path, count: int = 12) -> Prepared:
    """Data of so many questions, made once for each folder."""
    if folder.exists():
        return Prepared.open(folder)
    return write_prepared(folder, new_items(count), dataset="made", source="made", revision="r1")


def profile(mmmu: Mapping[str, Any], **more: Any) -> Profile:
    model = {"id": "m", "pictures": {"oracle": "internvl", "tile_px": 8, "tokens_per_tile": TILE_TOKENS}}
    limits = {"min_correct": 0, "max_correct": 12, "reference": None, "early_stop": False}
    sections = {"dataset": "made", "system_message": True, **limits, **mmmu}
    return Profile.model_validate({"name": "made", "model": model, **more, "mmmu": sections})


def plan(tmp_path: Path, more: Mapping[str, Any] | None = None, count: int = 12, **mmmu: Any) -> AccuracyPlan:
    """A plan over made data; `mmmu` are keys of the profile's section, `more` its other sections."""
    return planned(MADE, profile(mmmu, **(more or {})), prepared(tmp_path / "data", count))


def right_texts(made: AccuracyPlan) -> dict[str, str]:
    """The right answer of every question."""
    return {item.id: item.gold[0] for item in made.prepared}


def answers_with(made: AccuracyPlan, texts: Mapping[str, str]) -> dict[str, Answer]:
    """Whole answers with these texts, as they would be in the file."""
    return {
        ident: answered(ident, text, prompt_tokens=TEXT_TOKENS + TILE_TOKENS, prompt_sha256=made.request(ident).sha256)
        for ident, text in texts.items()
    }


def accuracy(
    made: AccuracyPlan, answers: Mapping[str, Answer], blanks: Mapping[str, str] | None = None, stop: Stop | None = None
) -> AccuracyResult:
    """The result of a run with these answers."""
    counting = counting_requests(made, made.prepared).items()
    counted = {digest: TEXT_TOKENS + TILE_TOKENS * len(one.pictures) for digest, one in counting}
    shown = {ident: answered(ident, text) for ident, text in (blanks or {}).items()}
    return AccuracyResult(
        plan=made,
        answers=answers,
        counted=counted,
        blank_answers=shown,
        stop=stop,
        span_s=2.0,
        new_answers=len(answers),
        by_server=True,
        file=Path("run/made_val.jsonl"),
        repeat="ask",
    )


@dataclass
class Endpoint:
    """Answers a chat by the question in it and counts in /tokenize; `asked`, `blank` and `tokenized` list questions.

    As a slow tokenizer does, it counts one token more with pictures than without; not in each third question.
    """

    say: Callable[[str, bool], str | bytes]
    asked: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    tokenized: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: wire.WireRequest) -> list[object]:
        if request.path not in ("/tokenize", "/v1/chat/completions"):
            return [wire.response(b"{}", "404 Not Found")]
        body = json.loads(request.body)
        self.bodies.append(body)
        parts = body["messages"][-1]["content"]
        ident = re.findall(r"validation_\w+_\d+", parts[-1]["text"])[0]
        if request.path == "/tokenize":
            self.tokenized.append(ident)
            return [wire.response(json.dumps({"count": _prompt_tokens(ident, parts)}).encode())]
        is_blank = any(_is_white(part["image_url"]["url"]) for part in parts[:-1])
        (self.blank if is_blank else self.asked).append(ident)
        text = self.say(ident, is_blank)
        if isinstance(text, bytes):
            return [text]
        completion = wire.completion(text, body["model"])
        tokens = _prompt_tokens(ident, parts)
        completion["usage"] = {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1}
        return [wire.response(json.dumps(completion).encode())]


def _prompt_tokens(ident: str, parts: Sequence[Mapping[str, Any]]) -> int:
    pictures = len(parts) - 1
    surplus = 1 if pictures and int(ident.rpartition("_")[2]) % 3 else 0
    return TEXT_TOKENS + surplus + TILE_TOKENS * pictures


def _is_white(url: str) -> bool:
    with Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))) as shown:
        return shown.convert("RGB").getextrema() == ((255, 255),) * 3
