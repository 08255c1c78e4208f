"""Questions that only a whole conversation or a long text answers, drawn anew for each run.

The right answer is in a picture of an earlier turn, in a system message, or in one sentence of a long text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count

from vlm_acceptance.cases import challenge_pictures as pictures
from vlm_acceptance.cases.challenge_pictures import INKS, INKS_ZH, Drawn, are_apart
from vlm_acceptance.core.chance import Chance

LOOK, AGREED = "Look at this picture. I will ask about it later.", "All right."
TEXT, NOTED = "Here is a text. I will ask about it later.", "All right."
# short exchanges between a picture and the question about it
BETWEEN = (
    ("What is 2 + 3? Answer with a number.", "5"),
    ("What is the capital of France? Answer with one word.", "Paris"),
    ("Reply with OK.", "OK"),
    ("Say hello.", "Hello!"),
)
ORDINALS = ("first", "second")
IN_CHINESE, IN_ENGLISH = "Always answer in Chinese.", "Always answer in English."
PLACES = ("kitchen", "garden", "tower", "library", "cellar", "harbour", "station", "office")
NEEDLE = "The password of the {} is {} {}."
ASK_NEEDLE = "What is the password of the {}? Answer with the password only."
# the words of a long text; none of them is in a password, or a place of one
ADJECTIVES = ("old", "new", "long", "short", "warm", "cold", "quiet", "small", "wide", "narrow", "bright", "heavy")
NOUNS = ("house", "gate", "road", "hill", "boat", "bird", "tree", "letter", "lamp", "coat", "stone", "chair")
VERBS = ("stands", "lies", "waits", "rests", "is", "stays", "remains", "sits")
PLACED = ("near", "behind", "under", "above", "beside", "before")


@dataclass(frozen=True, slots=True)
class Line:
    """One message: its role, its text, and the picture before the text, if any."""

    role: str
    text: str
    picture: Drawn | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation that ends with a question; `parts`: the texts of a right answer, each in any of its spellings.

    `answer` is the shortest right one.
    """

    kind: str
    lines: tuple[Line, ...]
    parts: tuple[tuple[str, ...], ...]
    language: str
    answer: str

    @property
    def prompt(self) -> str:
        """The question at its end."""
        return self.lines[-1].text

    @property
    def shown(self) -> tuple[Drawn, ...]:
        """Its pictures, in order."""
        return tuple(line.picture for line in self.lines if line.picture is not None)

    @property
    def texts(self) -> frozenset[str]:
        """All texts of its pictures and of its answer."""
        seen = (text.text for drawn in self.shown for text in drawn.texts)
        return frozenset(chain(seen, (word for part in self.parts for word in part)))


def _look(drawn: Drawn) -> list[Line]:
    return [Line("user", LOOK, drawn), Line("assistant", AGREED)]


def earlier(chance: Chance, drawn: Drawn) -> Dialogue:
    """Asked in turn 3 about the picture of turn 1."""
    asked, said = chance.one(BETWEEN)
    lines = (*_look(drawn), Line("user", asked), Line("assistant", said), Line("user", drawn.prompt))
    return Dialogue("earlier", lines, drawn.parts, drawn.language, drawn.answer)


def one_of_two(drawn: Sequence[Drawn], number: int) -> Dialogue:
    """Asked in turn 3 about the picture of turn 1 or 2, the `number` 0 or 1; the question fits only this one."""
    asked = drawn[number]
    lines = (*_look(drawn[0]), *_look(drawn[1]), Line("user", asked.prompt))
    return Dialogue(ORDINALS[number], lines, asked.parts, asked.language, asked.answer)


def other_language(drawn: Drawn) -> Dialogue:
    """The system message demands the other language than that of the question about a coloured number."""
    _, (colour, *_) = drawn.parts
    if drawn.language == "en":
        return _demanded(drawn, IN_CHINESE, "zh", pictures.names_zh(colour))
    english = next(name for name, chinese in INKS_ZH.items() if chinese == colour)
    return _demanded(drawn, IN_ENGLISH, "en", (english,))


def _demanded(drawn: Drawn, system: str, language: str, colours: tuple[str, ...]) -> Dialogue:
    """The number, and the colour by one of its names in the demanded language."""
    lines = (Line("system", system), Line("user", drawn.prompt, drawn))
    number = drawn.parts[0]
    return Dialogue("language", lines, (number, colours), language, f"{number[0]} {colours[0]}")


def sentence(chance: Chance) -> str:
    """One sentence of a long text."""
    first, second = chance.some(NOUNS, 2)
    start = f"The {chance.one(ADJECTIVES)} {first} {chance.one(VERBS)} {chance.one(PLACED)}"
    return f"{start} the {chance.one(ADJECTIVES)} {second}."


def text(chance: Chance, sentences: int) -> str:
    """A text of so many sentences."""
    return " ".join(sentence(chance) for _ in range(sentences))


def needle(chance: Chance, sentences: int, share: float) -> Dialogue:
    """A password in one sentence of a long text, after this share of it; asked for at the end."""
    place, secret = chance.one(PLACES), (chance.one(tuple(INKS)), str(chance.below(10)))
    before = round(share * sentences)
    hidden = NEEDLE.format(place, *secret)
    whole = " ".join(part for part in (text(chance, before), hidden, text(chance, sentences - before)) if part)
    lines = (Line("user", f"{whole}\n{ASK_NEEDLE.format(place)}"),)
    return Dialogue("needle", lines, tuple((part,) for part in secret), "en", " ".join(secret))


def picture_needle(chance: Chance, drawn: Drawn, sentences: int, share: float) -> Dialogue:
    """A picture after this share of a long text; asked for at the end."""
    before = round(share * sentences)
    lines = []
    if before:
        lines += [Line("user", f"{TEXT}\n{text(chance, before)}"), Line("assistant", NOTED)]
    lines += _look(drawn)
    after = text(chance, sentences - before)
    lines.append(Line("user", f"{after}\n{drawn.prompt}" if after else drawn.prompt))
    return Dialogue("picture-needle", tuple(lines), drawn.parts, drawn.language, drawn.answer)


def _read(chance: Chance, tile_px: int) -> Drawn:
    return pictures.read(chance, (1, 1), tile_px, "en")


def _coloured(chance: Chance, tile_px: int, language: str) -> Drawn:
    return pictures.coloured(chance, (1, 1), tile_px, language)


def _chart(chance: Chance, tile_px: int) -> Drawn:
    return pictures.chart(chance, (1, 1), tile_px, "en")


# what a run asks, in this order
PLAN: tuple[Callable[[Chance, int], Dialogue], ...] = (
    lambda chance, side: earlier(chance, _read(chance, side)),
    lambda chance, side: earlier(chance, _coloured(chance, side, "zh")),
    lambda chance, side: one_of_two([_read(chance, side), _chart(chance, side)], 0),
    lambda chance, side: one_of_two([_chart(chance, side), _read(chance, side)], 0),
    lambda chance, side: one_of_two([_read(chance, side), _chart(chance, side)], 1),
    lambda chance, side: one_of_two([_chart(chance, side), _read(chance, side)], 1),
    lambda chance, side: other_language(_coloured(chance, side, "en")),
    lambda chance, side: other_language(_coloured(chance, side, "zh")),
)

ONE_PICTURE = (PLAN[0], PLAN[1], PLAN[6], PLAN[7]) * 2


def draw(seed: int | str, tile_px: int, most_pictures: int | None = None) -> list[Dialogue]:
    """The eight conversations of a seed, whose pictures share no word, and whose numbers differ in two digits.

    Where a prompt may have one picture only (`most_pictures`), all questions but those of two are asked twice.
    """
    plan = ONE_PICTURE if most_pictures == 1 else PLAN
    for turn in count():
        chance = Chance(f"{seed} dialogues {turn}")
        drawn = [make(chance, tile_px) for make in plan]
        if are_apart([picture for one in drawn for picture in one.shown]):
            return drawn
    raise AssertionError  # count() has no end


# of each length: where in the text something is hidden, and whether it is a picture
HIDDEN = (
    (0.1, False), (0.1, False), (0.5, False), (0.5, False), (0.9, False), (0.9, False), (0.1, True), (0.9, True),
)  # fmt: skip


def draw_long(seed: int | str, tile_px: int, sentences: Sequence[int]) -> list[Dialogue]:
    """A word or a picture hidden in a long text, as HIDDEN says; `sentences` of each text, in the same order."""
    chance = Chance(f"{seed} long")
    return [
        picture_needle(chance, _read(chance, tile_px), number, share) if is_picture else needle(chance, number, share)
        for (share, is_picture), number in zip(HIDDEN, sentences, strict=True)
    ]
