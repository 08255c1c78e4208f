"""Faults in an accuracy run: answers of no model, answers of another model, lost answers."""

from __future__ import annotations

import base64
import io
from collections import deque
from collections.abc import Callable

from fault_stages import Call, Cut, Dose, Response, Rewriter, Stages, error_response, object_of, rewrites_text
from faults_response import question_of
from PIL import Image

_TAILS = ("Answer with the option's letter", "Answer the question directly")
LETTERS = "ABCD"
TILE_TOKENS = 16  # of the controls
# the first words of the eight signs of the category ocr, in their order
ILLEGIBLE = "ILLEGIBLE"
SIGNS = ("RIVER", "GARDEN", "STATION", "MARKET", "BRIDGE", "CASTLE", "SCHOOL", "FOREST")


def is_question(call: Call) -> bool:
    """Whether a chat request is a question of the accuracy run."""
    return call.is_chat and any(tail in question_of(call) for tail in _TAILS)


def _says(answer: Rewriter, call: Call) -> Rewriter:
    return answer if is_question(call) else lambda text, _done: text


def constant_letter(dose: Dose) -> Stages:
    return rewrites_text(lambda call: _says(lambda _text, _done: "A", call))


def mute(dose: Dose) -> Stages:
    return rewrites_text(lambda call: _says(lambda _text, _done: "", call))


def random_letters(dose: Dose) -> Stages:
    def start(call: Call) -> Rewriter:
        letter = dose.drawn(call.number).choice(LETTERS)
        return _says(lambda _text, _done: letter, call)

    return rewrites_text(start)


def other_model(dose: Dose) -> Stages:
    """This share of the answers is another letter than the right model gave."""

    def start(call: Call) -> Rewriter:
        drawn = dose.drawn(call.number)
        is_other, letter = drawn.random() < dose.magnitude, drawn.choice(LETTERS)

        def rewrite(text: str, done: bool) -> str:
            if not is_other:
                return text
            # the next letter: never the one the right model gave
            return LETTERS[(LETTERS.index(text[0]) + 1) % 4] if text[:1] in LETTERS and text else letter

        return _says(rewrite, call)

    return rewrites_text(start)


def blank_remembered(dose: Dose) -> Stages:
    """Answers to a text are kept, and repeated in their order when the text comes with blank pictures."""
    kept: dict[str, deque[str]] = {}

    def start(call: Call) -> Rewriter:
        answers = kept.setdefault(question_of(call), deque())

        def rewrite(text: str, done: bool) -> str:
            if _is_blank(call):
                return answers.popleft() if answers else text
            if done:
                answers.append(text)
            return text

        return _says(rewrite, call)

    return rewrites_text(start)


def _is_blank(call: Call) -> bool:
    """Whether the first picture of a request is of one colour."""
    content = (call.json() or {})["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    data = base64.b64decode(urls[0].partition(",")[2])
    return Image.open(io.BytesIO(data)).convert("RGB").getcolors(1) is not None


def dropped(dose: Dose) -> Stages:
    """The connection is closed before the first byte of this share of the answers; a second try is another request."""

    def instead(call: Call) -> Response | None:
        if is_question(call) and dose.strikes(call.number):
            raise Cut
        return None

    return Stages(instead=instead)


def refused(dose: Dose) -> Stages:
    def instead(call: Call) -> Response | None:
        is_hit = is_question(call) and dose.strikes(call.number)
        return error_response(500, "EngineCore encountered an issue.") if is_hit else None

    return Stages(instead=instead)


def tile_lost_once(dose: Dose) -> Stages:
    """The prompt of the first question after so many others has the tokens of one tile less."""
    asked: list[int] = []

    def response(call: Call, response: Response) -> Response:
        body = object_of(response.body) if is_question(call) and response.status == 200 else None
        if body is None:
            return response
        asked.append(call.number)
        if len(asked) != int(dose.magnitude) + 1:
            return response
        usage = body["usage"]
        less = {key: usage[key] - TILE_TOKENS for key in ("prompt_tokens", "total_tokens")}
        return response.with_json({**body, "usage": {**usage, **less}})

    return Stages(response=response)


def signs_unread(dose: Dose, is_hit: Callable[[Call], bool] = lambda _: True) -> Stages:
    """The words of the first so many signs are never given, by whatever route a sign arrives; `is_hit`: in which calls.

    Answers with log probabilities are right: their tokens would spell the words. So are those of a demanded form.
    """
    unread = SIGNS[: int(dose.magnitude)]

    def start(call: Call) -> Rewriter:
        asks = any(word in question_of(call) for word in ("the sign", "牌子"))
        is_formed = any((call.json() or {}).get(key) for key in ("logprobs", "response_format", "structured_outputs"))
        if not asks or not is_hit(call) or is_formed:
            return lambda text, _done: text

        def rewrite(text: str, done: bool) -> str:
            for word in unread:
                text = text.replace(word, ILLEGIBLE)
            starts = (word[:length] for word in unread for length in range(1, len(word)))
            held = max((len(start) for start in starts if text.endswith(start) and not done), default=0)
            return text[: len(text) - held]

        return rewrite

    return rewrites_text(start)
