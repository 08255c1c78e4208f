"""Text that no sound model writes: loops, runs, broken encoding, control characters, leaked special tokens.

Whether a text is right is not judged here. Receipts, tables, code and enumerations are within the bounds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.text import trimmed

_TURN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<s>", "</s>", "<unk>", "<pad>")
_PICTURE_TOKENS = ("<img>", "</img>", "<IMG_CONTEXT>", "<image>")
SPECIAL_TOKENS = (*_TURN_TOKENS, *_PICTURE_TOKENS, "[UNUSED_TOKEN_")

CJK = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_IS_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(rf"[{CJK}]|\d+|[^\W\d_{CJK}]+")

# (words, repeats): a phrase of at least so many words is a loop if it is repeated so often in a row.
# Nine red circles may be listed one by one.
_LOOP_REPEATS = ((20, 3), (10, 4), (3, 6), (2, 10), (1, 12))
# Columns of equal figures and of N/A are common.
_LOOP_REPEATS_OF_FIGURES = 24
# Separated only by a space or a full stop, repeats are neither a list nor a column; a sentence occurs once.
_LOOP_REPEATS_UNSEPARATED, _LOOP_REPEATS_OF_SENTENCES = 6, 4
_LONGEST_PHRASE = 100
_IS_PLAIN = re.compile(r"\w+")
_SENTENCE_ENDS = tuple(".!?。！？")
_UNIT = re.compile(r"([^\W\d_]{2,12}?)\1{7,}")

# Only table rules, leader dots, masked card numbers and zeros occur in long runs.
_RULE_CHARACTERS = frozenset(" \t\n-_=*#.~+|·…—–─━═│┃▪■□█░<>/\\")
_RUN_OF_RULE, _RUN_OF_MASK, _RUN = 120, 24, 8

# characters that are judged: no answer that is asked for is as long, and some hundred such texts take minutes
_JUDGED = 20_000
_WINDOW, _FEWEST_DISTINCT = 100, 0.2
_MOST_SCRIPTS = 3
_LEAST_PRINTABLE = 0.9

# The bytes 0x80 to 0xBF when read as Latin-1 or Windows-1252.
_TAIL = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
# Western letters (Ã¤), quotes (â€™), and two in a row of Cyrillic or Chinese: a single é before two quotes is valid.
_MISREAD = re.compile(rf"[ÂÃ]{_TAIL}|â€{_TAIL}|(?:[ÐÑ]{_TAIL}){{2}}|(?:[ãäåæçèéï]{_TAIL}{{2}}){{2}}")
_MISREAD_AS_GBK = re.compile("锟斤|烫烫烫|屯屯屯")
_TOKEN_SHAPE = re.compile(r"<\|[A-Za-z0-9_]{2,40}\|>|<0x[0-9A-Fa-f]{2}>")


def degenerate(text: str, special_tokens: Iterable[str] = ()) -> list[Finding]:
    """Fatal findings about a text, one per kind; `special_tokens` are added to SPECIAL_TOKENS.

    Of a text of more than _JUDGED characters only the beginning is judged.
    """
    text = text[:_JUDGED]
    words = _WORD.findall(text.casefold())
    rows = (
        (kinds.SPECIAL_TOKEN, "no special token in the text", _special_token(text, special_tokens)),
        (kinds.ENCODING, "text decoded once, with the right encoding", _misread(text)),
        (kinds.CONTROL_CHARACTERS, "no control characters", _control(text)),
        (kinds.UNPRINTABLE, f"at least {_LEAST_PRINTABLE:.0%} printable characters", _unprintable(text)),
        (kinds.REPEATED_CHARACTER, "no long run of one character", _run(text)),
        (kinds.REPEATED_PHRASE, "no repeated phrase", _loop(words) or _unseparated_loop(text) or _unit_loop(text)),
        (kinds.FEW_WORDS, f"at least {_FEWEST_DISTINCT:.0%} different words in {_WINDOW}", _monotony(words)),
        (kinds.MANY_SCRIPTS, f"at most {_MOST_SCRIPTS} scripts", _salad(text)),
    )
    return [Finding(kind, expected, seen) for kind, expected, seen in rows if seen]


def _special_token(text: str, own: Iterable[str]) -> str:
    leaked = [token for token in dict.fromkeys((*SPECIAL_TOKENS, *own)) if token and token in text]
    leaked += [shape for shape in dict.fromkeys(_TOKEN_SHAPE.findall(text)) if shape not in leaked]
    return f"{', '.join(leaked)} in {trimmed(text)}" if leaked else ""


def _misread(text: str) -> str:
    if "\ufffd" in text:
        return f"{text.count(chr(0xFFFD))} replacement characters in {trimmed(text)}"
    found = _MISREAD.search(text) or _MISREAD_AS_GBK.search(text)
    return f"{found[0]!r} in {trimmed(text)}" if found else ""


def _control(text: str) -> str:
    seen = [char for char in dict.fromkeys(text) if unicodedata.category(char) == "Cc" and char not in "\t\n\r"]
    return f"{', '.join(f'U+{ord(char):04X}' for char in seen[:5])} in {trimmed(text)}" if seen else ""


def _unprintable(text: str) -> str:
    # Cf holds the joiners of emoji and of several scripts.
    bad = sum(not (char.isprintable() or char.isspace() or unicodedata.category(char) == "Cf") for char in text)
    return f"{bad} of {len(text)} are not, in {trimmed(text)}" if bad > (1 - _LEAST_PRINTABLE) * len(text) else ""


def _run(text: str) -> str:
    for run in re.finditer(r"(.)\1{7,}", text, re.DOTALL):
        char, length = run[1], len(run[0])
        bound = _RUN_OF_RULE if char in _RULE_CHARACTERS else _RUN_OF_MASK if char.isdigit() or char in "xX" else _RUN
        if length >= bound:
            return f"{char!r} {length} times in a row"
    return ""


def _unit_loop(text: str) -> str:
    found = _UNIT.search(text.casefold())
    return f"{found[1]!r} {len(found[0]) // len(found[1])} times in a row" if found else ""


def _loop(words: list[str]) -> str:
    for phrase, repeats in _repeated(words):
        if repeats >= _repeats_of_a_loop(phrase):
            return f"{' '.join(phrase)!r} {repeats} times in a row"
    return ""


def _unseparated_loop(text: str) -> str:
    chunks = text.casefold().strip().split(" ")
    for phrase, repeats in _repeated(chunks):
        ends = phrase[-1].endswith(_SENTENCE_ENDS)
        least = _LOOP_REPEATS_OF_SENTENCES if ends and len(phrase) > 2 else _LOOP_REPEATS_UNSEPARATED
        if repeats < least or not all(phrase) or not (ends or _IS_PLAIN.fullmatch(phrase[-1])):
            continue
        # A row of figures may occur in a table, but is not a whole answer; single digits may be a matrix.
        figures = not any(re.search(r"[^\W\d_]{2}", chunk) for chunk in phrase)
        if not figures or (repeats * len(phrase) == len(chunks) and max(map(len, phrase)) > 1):
            return f"{' '.join(phrase)!r} {repeats} times in a row"
    return ""


def _repeated(words: list[str]) -> Iterator[tuple[list[str], int]]:
    """Phrases of up to _LONGEST_PHRASE words that are repeated in a row, and how often."""
    for size in range(1, min(_LONGEST_PHRASE, len(words) // 3) + 1):
        start = 0  # of a stretch in which each word equals the one `size` before it
        for place in range(size, len(words) + 1):
            if place == len(words) or words[place] != words[place - size]:
                if place - start > size:
                    yield words[start : start + size], (place - start) // size
                start = place - size + 1


def _repeats_of_a_loop(phrase: list[str]) -> int:
    if all(word.isdigit() or (len(word) == 1 and word.isascii()) for word in phrase):
        return _LOOP_REPEATS_OF_FIGURES
    # A Chinese word has about two characters, each counted as a word here.
    size = len(phrase) - sum(_IS_CJK.match(word) is not None for word in phrase) // 2
    return next(repeats for fewest, repeats in _LOOP_REPEATS if size >= fewest)


def _monotony(words: list[str]) -> str:
    for start in range(0, len(words) - _WINDOW + 1, _WINDOW // 4):
        window = words[start : start + _WINDOW]
        # A matrix of figures has few different ones and is not a loop.
        letters = sum(not word.isdigit() for word in window)
        distinct = len(set(window))
        if distinct < _FEWEST_DISTINCT * _WINDOW and letters > _WINDOW // 2:
            return f"{distinct} different words in {_WINDOW}: {trimmed(' '.join(window), 120)}"
    return ""


def _salad(text: str) -> str:
    # NFKC turns letters used as symbols (superscript, full width) into those of their script; any text may use Greek.
    letters = {char for char in unicodedata.normalize("NFKC", text) if char.isalpha()}
    scripts = {_script(char) for char in letters} - {"", "GREEK", "MODIFIER"}
    return f"{', '.join(sorted(scripts)).lower()} in {trimmed(text)}" if len(scripts) > _MOST_SCRIPTS else ""


def _script(char: str) -> str:
    """The script: the first word of the character's Unicode name; Japanese counts as CJK."""
    return "CJK" if _IS_CJK.match(char) else unicodedata.name(char, "").partition(" ")[0]
