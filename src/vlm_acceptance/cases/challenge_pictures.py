"""Pictures and questions drawn anew for each run: a seed decides what they show, and no earlier run sent them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count
from pathlib import Path

from PIL import Image

from vlm_acceptance.cases.glyphs import Colour, columns, write
from vlm_acceptance.cases.large_pictures import MOST_TILES, USUAL
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.tiles import TileRule, picture_tokens, tiles

# a tile holds four lines of eight letters, for a model of any tile size
COLUMNS, LINES = 8, 4
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
PAPERS = (WHITE, (255, 246, 214), (226, 242, 255), (232, 250, 228))
INKS: dict[str, Colour] = {"red": (214, 26, 26), "green": (18, 140, 46), "blue": (28, 62, 214), "black": BLACK}
INKS_ZH = {"red": "红色", "green": "绿色", "blue": "蓝色", "black": "黑色"}
# a swap of channels turns one into the other
RED_BLUE = ("red", "blue")
# words of four to six letters; none of them is in another picture of the suite
WORDS = (
    "AMBER", "ANCHOR", "APRON", "ARROW", "BADGE", "BANJO", "BASKET", "BEACH", "BIRCH", "BOTTLE", "BRUSH", "BUCKET",
    "BUTTON", "CABIN", "CANDLE", "CANOE", "CARPET", "CEDAR", "CLOCK", "CLOUD", "COMET", "CORAL", "CROWN", "DAISY",
    "DESERT", "DONKEY", "DRUM", "FALCON", "FLUTE", "GINGER", "GLOVE", "HAMMER", "HARBOR", "HELMET", "HONEY", "ISLAND",
    "JACKET", "JUNGLE", "KETTLE", "LADDER", "LIZARD", "MAGNET", "MAPLE", "MIRROR", "NEEDLE", "OCEAN", "OLIVE",
    "ONION", "PANDA", "PARROT", "PENCIL", "PEPPER", "PIANO", "PILLOW", "PLANET", "POCKET", "QUEEN", "RABBIT",
    "RIBBON", "ROCKET", "SADDLE", "SALMON", "SHOVEL", "SPIDER", "SPOON", "SUGAR", "SUNSET", "TEMPLE", "TURTLE",
    "VALLEY", "VELVET", "VIOLIN", "WAGON", "WALNUT", "WINDOW", "WIZARD", "YOGURT", "ZIPPER",
)  # fmt: skip
WORDS_ZH = (
    "太阳", "月亮", "大海", "高山", "森林", "花园", "城市", "桥梁", "火车", "飞机", "电话", "书包", "铅笔", "米饭",
    "面包", "苹果", "西瓜", "老虎", "熊猫", "白马", "黑猫", "红旗", "绿茶", "冬天", "春风", "夏雨", "秋叶", "北京",
    "上海", "东南", "音乐", "雪人",
)  # fmt: skip
READ = "Which word and which number are in the picture? Answer with the word and the number only."
READ_ZH = "图中的词语和数字是什么？请只回答词语和数字。"
COLOURED = "Which number is in the picture, and which colour is it? Answer with the number and the colour only."
COLOURED_ZH = "图中的数字是什么？是什么颜色？请只回答数字和颜色。"
BESIDE = "Which word is in the picture, and which number is beside it? Answer with the word and the number only."
HIGHEST = "Which bar is the highest? Answer with its colour only."
HIGHEST_ZH = "哪种颜色的柱子最高？请只回答颜色。"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in a tile: columns and lines are counted from the tile's upper left corner."""

    tile: tuple[int, int]
    line: int
    column: int
    text: str
    ink: Colour


@dataclass(frozen=True, slots=True)
class Drawn:
    """A question about a new picture; `parts`: the texts that a right answer has, each in any of its spellings.

    `grid`: the tiles that the picture fills exactly, columns and rows. `texts`: what is written in it, and where.
    """

    kind: str
    prompt: str
    parts: tuple[tuple[str, ...], ...]
    image: Image.Image
    grid: tuple[int, int]
    language: str = "en"
    texts: tuple[Text, ...] = ()

    @property
    def answer(self) -> str:
        """The shortest right answer."""
        return " ".join(spellings[0] for spellings in self.parts)


@dataclass(frozen=True, slots=True)
class Sheet:
    """An empty picture of whole tiles; `unit` is the width of a letter in pixels."""

    image: Image.Image
    grid: tuple[int, int]
    unit: int
    texts: list[Text] = field(default_factory=list)

    def write(self, tile: tuple[int, int], line: int, column: int, text: str, ink: Colour) -> None:
        """Write a text into a tile, on one of its lines, from a column on."""
        left = (tile[0] * COLUMNS + column) * self.unit
        top = (tile[1] * LINES + line) * 2 * self.unit
        write(self.image, (left, top), text, self.unit, ink)
        self.texts.append(Text(tile, line, column, text, ink))

    def drawn(self, kind: str, prompt: str, parts: tuple[tuple[str, ...], ...], language: str) -> Drawn:
        """The question about this picture."""
        return Drawn(kind, prompt, parts, self.image, self.grid, language, tuple(self.texts))


def _sheet(chance: Chance, grid: tuple[int, int], tile_px: int, paper: Colour | None = None) -> Sheet:
    size = (grid[0] * tile_px, grid[1] * tile_px)
    return Sheet(Image.new("RGB", size, paper or chance.one(PAPERS)), grid, tile_px // COLUMNS)


def _column(chance: Chance, text: str) -> int:
    """A column where the text fits into a tile: an even one, so that letters stand in the same pairs everywhere."""
    return 2 * chance.below((COLUMNS - columns(text)) // 2 + 1)


def _tile(chance: Chance, grid: tuple[int, int]) -> tuple[int, int]:
    return chance.below(grid[0]), chance.below(grid[1])


def read(chance: Chance, grid: tuple[int, int], tile_px: int, language: str) -> Drawn:
    """A word and a number under it, somewhere in the picture."""
    sheet = _sheet(chance, grid, tile_px)
    word, number = chance.one(WORDS if language == "en" else WORDS_ZH), chance.number(4)
    first = chance.below(LINES - 1)
    second = first + 1 + chance.below(LINES - 1 - first)
    tile, ink = _tile(chance, grid), INKS[chance.one(tuple(INKS))]
    sheet.write(tile, first, _column(chance, word), word, ink)
    sheet.write(tile, second, _column(chance, number), number, ink)
    prompt = READ if language == "en" else READ_ZH
    return sheet.drawn("read", prompt, ((word,), (number,)), language)


def coloured(
    chance: Chance, grid: tuple[int, int], tile_px: int, language: str, inks: Sequence[str] = tuple(INKS)
) -> Drawn:
    """A number of one of the colours."""
    sheet = _sheet(chance, grid, tile_px)
    name, number = chance.one(inks), chance.number(4)
    sheet.write(_tile(chance, grid), chance.below(LINES), _column(chance, number), number, INKS[name])
    if language == "en":
        return sheet.drawn("coloured", COLOURED, ((number,), (name,)), language)
    return sheet.drawn("coloured", COLOURED_ZH, ((number,), names_zh(name)), language)


def coloured_numbers(seed: str, number: int, tile_px: int) -> list[Drawn]:
    """So many pictures of a red or blue number, in turn; no number can be taken for another one.

    A picture whose channels are swapped or inverted shows another colour.
    """
    for turn in count():
        chance = Chance(f"{seed} {turn}")
        drawn = [coloured(chance, (1, 1), tile_px, "en", (RED_BLUE[place % 2],)) for place in range(number)]
        if are_apart(drawn):
            return drawn
    raise AssertionError  # count() has no end


def names_zh(colour: str) -> tuple[str, str]:
    """The Chinese names of a colour, as an adjective and the bare character."""
    return INKS_ZH[colour], INKS_ZH[colour][0]


def _beside(chance: Chance, grid: tuple[int, int], tile_px: int) -> Drawn:
    """A word, and on the same line a number in the tile to its right."""
    sheet = _sheet(chance, grid, tile_px)
    word, number, ink = chance.one(WORDS), chance.number(4), INKS[chance.one(tuple(INKS))]
    left, row, line = chance.below(grid[0] - 1), chance.below(grid[1]), chance.below(LINES)
    sheet.write((left, row), line, _column(chance, word), word, ink)
    sheet.write((left + 1, row), line, _column(chance, number), number, ink)
    return sheet.drawn("beside", BESIDE, ((word,), (number,)), "en")


def chart(chance: Chance, grid: tuple[int, int], tile_px: int, language: str) -> Drawn:
    """Three bars of different colours and heights."""
    sheet = _sheet(chance, grid, tile_px)
    names = chance.some(tuple(INKS), 3)
    heights = chance.some(range(1, LINES + 1), 3)
    tile, unit = _tile(chance, grid), sheet.unit
    start = 2 * chance.below(2)
    for place, (name, height) in enumerate(zip(names, heights, strict=True)):
        left = (tile[0] * COLUMNS + start + 2 * place) * unit
        bottom = (tile[1] + 1) * LINES * 2 * unit
        sheet.image.paste(
            INKS[name], (left + unit // 4, bottom - height * 2 * unit, left + 2 * unit - unit // 4, bottom)
        )
    highest = names[heights.index(max(heights))]
    if language == "en":
        return sheet.drawn("chart", HIGHEST, ((highest,),), "en")
    return sheet.drawn("chart", HIGHEST_ZH, (names_zh(highest),), "zh")


Grid = tuple[int, int]
# of each run: what is drawn, in one tile or in the grid of many tiles
PLAN: tuple[tuple[Callable[[Chance, Grid, int], Drawn], bool], ...] = (
    (lambda chance, grid, side: read(chance, grid, side, "en"), False),
    (lambda chance, grid, side: read(chance, grid, side, "zh"), False),
    (lambda chance, grid, side: coloured(chance, grid, side, "en"), False),
    (lambda chance, grid, side: coloured(chance, grid, side, "zh"), False),
    (_beside, True),
    (lambda chance, grid, side: chart(chance, grid, side, chance.one(("en", "zh"))), False),
    (lambda chance, grid, side: read(chance, grid, side, "en"), True),
    (lambda chance, grid, side: read(chance, grid, side, "zh"), True),
)


# digits in which two numbers of one run differ at least: one that is misread is not taken for another
APART = 2
MAX_TOKENS = 64
# the form of many tiles for a model that cuts no picture
ONE_ROW: Grid = (2, 1)


def grids(rule: TileRule | None, most_tokens: int | None = None) -> list[Grid]:
    """Columns and rows of pictures that the model cuts into exactly so many tiles, 2 to 12; never empty.

    `most_tokens`: a picture may cost no more prompt tokens.
    """
    rule = rule or USUAL
    sides = range(1, MOST_TILES + 1)
    found = []
    for grid in ((wide, high) for wide in sides for high in sides if 2 <= wide * high <= MOST_TILES):
        size = (grid[0] * rule.tile_px, grid[1] * rule.tile_px)
        is_exact = tiles(*size, rule) == grid[0] * grid[1] + rule.thumbnail
        if is_exact and (most_tokens is None or picture_tokens(*size, rule) <= most_tokens):
            found.append(grid)
    return found or [ONE_ROW]


def draw(seed: int | str, tile_px: int, grids: Sequence[Grid]) -> list[Drawn]:
    """The eight questions of a seed, for tiles of this many pixels a side; `grids`: the forms of many tiles.

    No two of them share a word, and their numbers differ in at least two digits: an answer belongs to one picture.
    """
    for turn in count():
        drawn = _draw(Chance(f"{seed} {turn}" if turn else seed), tile_px, grids)
        if are_apart(drawn):
            return drawn
    raise AssertionError  # count() has no end


def _draw(chance: Chance, tile_px: int, grids: Sequence[Grid]) -> list[Drawn]:
    drawn = []
    for make, many in PLAN:
        possible = broad(grids) if make is _beside else grids
        drawn.append(make(chance, chance.one(possible) if many else (1, 1), tile_px))
    return drawn


def broad(grids: Sequence[Grid]) -> Sequence[Grid]:
    """The grids for a number beside a word: of two columns or more."""
    return [grid for grid in grids if grid[0] > 1] or [ONE_ROW]


def are_apart(drawn: Sequence[Drawn]) -> bool:
    """Whether no two texts of these pictures are the same, and any two numbers differ in APART digits."""
    texts = [text.text for one in drawn for text in one.texts]
    numbers = [text for text in texts if text.isdigit()]
    differ = (sum(a != b for a, b in zip(*pair, strict=True)) for pair in combinations(numbers, 2))
    return len(set(texts)) == len(texts) and all(digits >= APART for digits in differ)


def questions(drawn: Sequence[Drawn]) -> list[Question]:
    """The same for the checks: each question with its own picture first, then what the others must not lend it.

    Of the other pictures only numbers count: a word may also be a word of an answer.
    """
    pictures = [_picture(one, number) for number, one in enumerate(drawn, 1)]
    made = []
    for one, own in zip(drawn, pictures, strict=True):
        numbers = (text.text for other in drawn if other is not one for text in other.texts if text.text.isdigit())
        others = tuple(Picture(Path(f"{number}.png"), ((number,),), frozenset({number})) for number in numbers)
        made.append(Question(own.path.stem, one.prompt, one.language, (1, MAX_TOKENS), MAX_TOKENS, 0, (own, *others)))
    return made


def _picture(drawn: Drawn, number: int) -> Picture:
    """The picture as a case has it: with all texts that it shows, or the names of all colours of bars."""
    shown = {text.text for text in drawn.texts}
    if not drawn.texts:
        shown = {*INKS, *INKS_ZH.values(), *(name[0] for name in INKS_ZH.values())}
    return Picture(Path(f"{number}-{drawn.kind}-{drawn.language}.png"), drawn.parts, frozenset(shown))
