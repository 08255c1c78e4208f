"""Finished English sentences in another language: they are matched against the msgids of a catalogue with their holes.

Stored findings, notes and reasons were made of f-strings; what filled a hole is kept, or translated if it is a message
itself. Answers of a model are quoted, and quoted texts are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

# texts of stored files and of servers may be hostile: what is longer, or takes more steps, is shown as it is
LONGEST_LINE, MOST_LINES, MOST_STEPS = 2000, 500, 1500
FEWEST_LETTERS = 4  # a pattern of fewer would match anything
BRACKET = "("
# between parts of a text; the first ones come before a place and its sentence, as in a text that is translated in part
OUTER, SEPARATORS = ("  ", "：", "；"), ("] ", "; ", BRACKET, ": ", "，", ", ", "（")
EXPECTED = "; expected "
# other single words are translated only where nothing stands beside them: they may be names
PLAIN_WORDS = frozenset({
    "ACCEPTED", "INCONCLUSIVE", "REJECTED", "accepted", "enough", "error", "expected", "failed", "fatal",
    "inconclusive", "launched", "no", "nothing", "observed", "passed", "rejected", "server", "skipped", "unknown",
    "unobserved", "warning", "yes",
})  # fmt: skip
BEFORE, MANY_LETTERS = (": ", "; ", "：", "；", "  "), 20
MOST_JOINED, MOST_BRACKETS, MOST_TIES = 3, 8, 3
# answers and names: what repr() makes of a text; no apostrophe inside of a word
_QUOTED = re.compile(r"""(?<!\w)b?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
_ENGLISH = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}")
_BRACKETS = re.compile("[()]")
_MASK = "\ue000"  # a private character
_MARK = re.compile(f"{_MASK}([0-9]+){_MASK}")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A msgid with holes: the literal pieces around them, their names, and the translation."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]
    translation: str
    letters: int

    @property
    def longest(self) -> str:
        """Its longest piece, which every sentence of it holds."""
        return max(self.pieces, key=len)

    @property
    def has_quote(self) -> bool:
        """Whether a piece holds a quoted word."""
        return any(_QUOTED.search(piece) for piece in self.pieces)

    @property
    def before(self) -> tuple[str, ...]:
        """What separates a sentence that begins with a hole from what stands before it."""
        return BEFORE if self.letters >= MANY_LETTERS else (*BEFORE, ", ")

    def holes(self, text: str) -> dict[str, str] | None:
        """What filled the holes, each piece taken where it comes first; None if the text is no such sentence."""
        first, *middle, last = self.pieces
        end = len(text) - len(last)
        if end < len(first) or not text.startswith(first) or not text.endswith(last):
            return None
        found: list[str] = []
        at = len(first)
        for piece in middle:
            next_at = _outside(text, piece, at, end)
            if next_at < 0:
                return None
            found.append(text[at:next_at])
            at = next_at + len(piece)
        found.append(text[at:end])
        if not any(map(str.isalpha, first)) and any(one in found[0] for one in self.before):
            return None  # a place before the sentence, or what comes before it in a list, is no part of it
        if any(_closes_early(value) for value in found):
            return None
        return dict(zip(self.names, found, strict=True))


def _outside(text: str, piece: str, at: int, end: int) -> int:
    """Where the piece is found first, but not within brackets that open before it; -1 if nowhere."""
    first = found = text.find(piece, at, end)
    for _ in range(MOST_BRACKETS):
        if found < 0 or text.count("(", at, found) <= text.count(")", at, found):
            return found
        found = text.find(piece, found + 1, end)
    return first


def _closes_early(text: str) -> bool:
    """Whether it closes a bracket that it did not open: it is more than one part of a sentence."""
    depth = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return True
    return False


def _last_bracket(text: str) -> int:
    """Where the bracket opens that closes at the very end of the text; -1 without one."""
    depth = 0
    for found in reversed(list(_BRACKETS.finditer(text))) if text.endswith(")") else ():
        depth += 1 if found[0] == ")" else -1
        if not depth:
            return found.start()
    return -1


def _parts(text: str, separator: str) -> list[str]:
    """The text split where the separator is in no brackets; anywhere if it was cut within some."""
    if text.count("(") != text.count(")"):
        return text.split(separator)
    found: list[str] = []
    for part in text.split(separator):
        is_inside = found and found[-1].count("(") > found[-1].count(")")
        if is_inside:
            found[-1] = f"{found[-1]}{separator}{part}"
        else:
            found.append(part)
    return found


class Catalogue:
    """The messages of a language, and those with holes by how they begin."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        self.messages = messages
        patterns = sorted(_patterns(messages), key=lambda one: (-one.letters, len(one.pieces)))
        self._open = [(one.longest, one) for one in patterns if not one.pieces[0]]
        self._by_start: dict[str, list[_Pattern]] = {}
        for one in patterns:
            if one.pieces[0]:
                self._by_start.setdefault(one.pieces[0][:3], []).append(one)

    def translated(self, text: str) -> str:
        """A stored text of one or many lines; what is not known stays as it is."""
        if text in self.messages:
            return self.messages[text]
        lines = text.split("\n")
        if len(lines) > MOST_LINES:
            return text
        if len(lines) > 1 and (whole := _Translation(self).lines(text)):
            return whole
        translation = _Translation(self)
        return "\n".join(translation.line(line) for line in lines)

    def matches(self, text: str, raw: str, separator: str, fewest: int) -> list[tuple[_Pattern, dict[str, str]]]:
        """The patterns with the most letters of those with this start, and of those that start with a hole.

        `raw` is the text with its quoted words, for patterns that have such; `fewest` of the separator are in the words
        of the pattern.
        """
        starts = (one for size in (3, 2, 1) for one in self._by_start.get(text[:size], ()))
        anywhere = (one for longest, one in self._open if longest in raw)
        found: list[tuple[_Pattern, dict[str, str]]] = []
        for candidates in (starts, anywhere):
            for one in candidates:
                if found and one.letters < found[-1][0].letters:
                    break
                if fewest and sum(piece.count(separator) for piece in one.pieces) < fewest:
                    continue
                holes = one.holes(raw if one.has_quote else text)
                if holes is not None:
                    found.append((one, holes))
        most = max((one.letters for one, _ in found), default=0)
        return [(one, holes) for one, holes in found if one.letters == most][:MOST_TIES]


def _patterns(messages: Mapping[str, str]) -> Iterator[_Pattern]:
    for msgid, translation in messages.items():
        pieces, names = split_holes(msgid)
        letters = sum(map(str.isalpha, "".join(pieces)))
        if names and letters >= FEWEST_LETTERS and all(pieces[1:-1]):
            yield _Pattern(pieces, names, translation, letters)


def split_holes(msgid: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The literal pieces of a msgid around its holes, and the names of the holes; ValueError for a wrong brace."""
    pieces, names, piece = [], [], ""
    for literal, name, _, _ in Formatter().parse(msgid):
        piece += literal
        if name is not None:
            pieces.append(piece)
            names.append(name)
            piece = ""
    return (*pieces, piece), tuple(names)


class _Translation:
    """The translation of one text, with a limited number of steps. Quoted texts, such as answers, are not touched."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._steps = MOST_STEPS
        self._quoted: list[str] = []

    def line(self, text: str) -> str:
        """One line, with the blanks around it; as it is if it is too long or nothing of it is known."""
        if len(text) > LONGEST_LINE or _MASK in text:
            return text
        return self._raw(self._part(self._masked(text)))

    def lines(self, text: str) -> str:
        """A message of several lines; '' if it is none."""
        if len(text) > LONGEST_LINE or _MASK in text:
            return ""
        return self._raw(self._known(self._masked(text), ("\n", text.count("\n"))))

    def _masked(self, text: str) -> str:
        """The text with a mark for each quoted text."""

        def mark(found: re.Match[str]) -> str:
            self._quoted.append(found[0])
            return f"{_MASK}{len(self._quoted) - 1}{_MASK}"

        return _QUOTED.sub(mark, text)

    def _raw(self, text: str) -> str:
        return _MARK.sub(lambda found: self._quoted[int(found[1])], text)

    def _part(self, text: str) -> str:
        """A sentence or a part of one."""
        known = self._known(text)
        if not known:
            return self._split(text)
        if "; " in text and _ENGLISH.search(known):  # a list that looks like one sentence: its last hole holds the rest
            return min(known, self._split(text), key=_english)
        return known

    def _known(self, text: str, parts: tuple[str, int] = ("", 0)) -> str:
        """The translation of a whole message, or of one between blanks; '' if it is none.

        `parts`: a separator, and how many of them the words of the message itself must hold.
        """
        core = text.strip()
        self._steps -= not parts[1]  # few messages hold a separator
        if self._steps < 0 or not any(map(str.isalpha, core)):
            return ""
        messages = self._catalogue.messages
        if core.isascii() and core.replace("_", "").isalpha() and core not in PLAIN_WORDS:
            return ""  # the name of a key, an area or an option
        for one in dict.fromkeys((text, core)):
            found = messages.get(self._raw(one)) or self._matched(one, *parts)
            if found:
                before, _, after = text.partition(one)
                return f"{before}{found}{after}"
        return ""

    def _matched(self, text: str, separator: str, fewest: int) -> str:
        before, parted, after = text.rpartition(EXPECTED)
        if parted:  # the head of a failure: what was found may hold anything
            both = {"0": self._part(before), "1": self._part(after)}
            return filled(self._catalogue.messages.get(f"{{0}}{EXPECTED}{{1}}", f"{{0}}{EXPECTED}{{1}}"), both)
        found = [
            filled(pattern.translation, {name: self._part(self._masked(value)) for name, value in holes.items()})
            for pattern, holes in self._catalogue.matches(text, self._raw(text), separator, fewest)
        ]
        # where several fit, what leaves the least English
        return min(found, key=_english, default="")

    def _split(self, text: str) -> str:
        """A place with a sentence behind it, a list, or a text with more in brackets: each part is translated alone."""
        for separator in OUTER:
            if separator in text:
                return self._joined(text.split(separator), separator)
        place, found, rest = text.partition(": ")
        if found and "; " not in place and (known := self._known(rest)):
            return f"{self._part(place)}: {known}"
        for separator in SEPARATORS:
            if separator == BRACKET:
                if (at := _last_bracket(text)) > 0:
                    return f"{self._part(text[:at])}({self._part(text[at + 1 : -1])})"
            elif separator in text and len(parts := _parts(text, separator)) > 1:
                return self._joined(parts, separator)
        return text

    def _joined(self, parts: Sequence[str], separator: str) -> str:
        """Parts of a list, of which up to MOST_JOINED in a row may be one message; it may begin with the separator."""
        done, at = "", 0
        while at < len(parts):
            ends = range(min(len(parts), at + MOST_JOINED), at, -1)
            exact = [
                end for end in ends if self._raw(separator.join(parts[at:end]).strip()) in self._catalogue.messages
            ]
            for end in exact[:1] or ends:
                whole = separator.join(parts[at:end])
                is_all = at == 0 and end == len(parts)  # known not to be a message
                within = end - at - 1
                found = "" if is_all or not at else self._known(f"{separator}{whole}", (separator, within + 1))
                if not found and not is_all:
                    found = self._known(whole, (separator, within))
                    found = f"{separator}{found}" if found and at else found
                if found:
                    break
            else:
                end = at + 1
                found = f"{separator if at else ''}{self._split(parts[at])}"
            done, at = done + found, end
        return done


def _english(text: str) -> int:
    """How many letters of English a text holds."""
    return sum(char.isascii() and char.isalpha() for char in text)


def filled(translation: str, values: Mapping[str, str]) -> str:
    """A translation with these values in its holes, whatever braces the values hold."""
    pieces, names = split_holes(translation)
    shown: Sequence[str] = [values.get(name, "") for name in names]
    return "".join(part for pair in zip(pieces, [*shown, ""], strict=True) for part in pair)
