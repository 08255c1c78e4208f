"""Secrets in texts: found in any spelling, and masked. Standard library only: the supervisor loads this file by path.

A text is first brought into one form, in which escapes (JSON, Python, URL, XML), line ends and the case of letters do
not count; in it the secret is searched plain, in base64 and in hexadecimal or decimal digits, whole and in parts.
"""

from __future__ import annotations

import base64
import bisect
import codecs
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

MASKS = ("[masked]", "***", "(hidden)", "###", "\u2588\u2588\u2588")
# Parts of so many characters are masked too; a shorter secret is masked as a whole only.
LONG = 8
# A part at the cut end of a text may be this short.
CUT = 4
# A text with more finds than this was made to cost time: it is masked as a whole.
MOST_FINDS = 50_000
# The key of an engine or of a tool, whatever its length.
OWN_VARIABLES = ("VLLM_API_KEY", "OPENAI_API_KEY")
_SECRET_NAME = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
# each branch begins with a plain character: `re` finds these much faster
_ESCAPE = (
    # what a line break puts between two parts of a secret: the line end, and what vLLM writes before each line
    r"\n(?P<line>(?:\([^()\n]{1,60}\) )?(?:[A-Z]{4,8} [^\]\n]{1,80}\] )?[ \t]*)"
    r"|\r(?P<return>)|\x1b(?P<colour>\[[0-9;]{0,16}m)"
    r"|%(?:25){0,8}(?P<byte>[0-9a-fA-F]{2})"
    r"|\\\\{0,31}(?:x(?P<python>[0-9a-fA-F]{2})|(?:u|U0000)(?P<code>[0-9a-fA-F]{4})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<end>[nr])|(?P<name>t)|(?P<slash>))"
    r"|&(?:amp;){0,8}(?:#0{0,4}(?P<number>[0-9]{1,5})|#[xX]0{0,4}(?P<hex>[0-9a-fA-F]{1,4})|(?P<entity>lt|gt|quot|apos|amp));"
)
_UNSEEN = "\\\r\n"
_NOTHING = ("line", "return", "colour", "end", "slash")
_OF_BYTES = ("byte", "python", "octal")
_BASES = {"byte": 16, "python": 16, "octal": 8, "code": 16, "hex": 16, "number": 10}
_NAMED = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&", "t": "\t"}
_OPEN_ESCAPE = re.compile(
    r"(?:%(?:25){0,8}[0-9a-fA-F]?|%2?|\\{1,32}(?:[uU][0-9a-fA-F]{0,7}|x[0-9a-fA-F]?|[0-3][0-7]?)?|&[#\w;]{0,16}|\r?\n[^\n]{0,150})$"
)
_CODEC = ("utf-8", "surrogateescape")  # bytes that are no text are kept
_SLASH = r"(?:\\|%(?:25){0,8}5c|&(?:amp;){0,8}#(?:0{0,4}92|x0{0,4}5c);)"
_ALONE = re.compile(r"[A-Za-z0-9+/=]")


def secrets_in(env: Mapping[str, str]) -> list[str]:
    """The values of variables that hold secrets by their names: `..._KEY`, `..._TOKEN` and the like."""
    found = {env[name] for name in OWN_VARIABLES if env.get(name)}
    found |= {value for name, value in env.items() if len(value) >= LONG and _SECRET_NAME.search(name)}
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Canonical:
    """A text in the one form; `starts` and `ends` are pairs (place here, place in the original) of its segments."""

    text: str
    places: Sequence[int]
    originals: Sequence[tuple[int, int]]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text for a span of this one that is not empty."""
        first = bisect.bisect_right(self.places, start) - 1
        last = bisect.bisect_right(self.places, end - 1) - 1
        begin, width = self.originals[first]
        stop, last_width = self.originals[last]
        return (
            begin if width else begin + start - self.places[first],
            stop + last_width if last_width else stop + end - self.places[last],
        )


@dataclass(frozen=True, slots=True)
class _Needle:
    """What is searched in one of the forms of a text; parts of it from `least` characters on are masked too."""

    text: str
    form: str
    least: int
    cut: int = 0  # parts of this length are masked at the ends of a text; 0: none
    alone: bool = False  # only if no letter or digit stands beside it
    edges: tuple[int, int] = (0, 0)  # characters beside it that hold a part of the secret


class Mask:
    """Masks secrets in a text; it changes nothing without a secret. Masking a second time changes nothing."""

    def __init__(self, *secrets: str | None) -> None:
        self.secrets = tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True))
        is_ascii = all(secret.isascii() for secret in self.secrets)
        self._escape = re.compile(_ESCAPE if is_ascii else rf"{_ESCAPE}|(?P<other>[^\x00-\x7f])")
        self._needles = [needle for secret in self.secrets for needle in _needles(self._canonical(secret).text, secret)]
        # in the one form, a line end and the letter of its escape count for nothing; short secrets may be such a letter
        short = [secret for secret in self.secrets if len(secret) < LONG]
        literal = [f"{_SLASH}+" if not secret.strip("\\") else re.escape(secret) for secret in short]
        self._literal = re.compile("|".join(literal), re.IGNORECASE) if literal else None
        self._digits = [pattern for secret in self.secrets for pattern in _digits(secret)]
        self.sign = next((sign for sign in MASKS if not self._touches(sign)), MASKS[-1])

    @cached_property
    def long(self) -> Mask:
        """The same for long secrets alone: texts of the suite hold a short one only by chance."""
        return Mask(*(secret for secret in self.secrets if len(secret) >= LONG))

    def __call__(self, text: str) -> str:
        """The text with every secret masked."""
        return self.replaced(text, self.spans(text)) if self.secrets else text

    def joined(self, texts: Sequence[str]) -> list[str]:
        """Texts that a reader may join, masked also where a secret is split over several of them."""
        if not self.secrets or not texts:
            return list(texts)
        whole = self.spans("".join(texts)) if len(texts) > 1 else []
        if not whole and not self.spans("\0".join(texts)):
            return list(texts)
        starts = [0]
        for text in texts:
            starts.append(starts[-1] + len(text))
        bounds = starts[1:-1]
        crossing = [(a, b) for a, b in whole if bisect.bisect_right(bounds, a) != bisect.bisect_left(bounds, b)]
        return [
            self.replaced(text, _merged([*self.spans(text), *_within(crossing, start, start + len(text))]))
            for text, start in zip(texts, starts[:-1], strict=True)
        ]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are in a text: ordered (start, end) without overlap."""
        if not text:
            return []
        canonical = self._canonical(text)
        forms = _forms(canonical.text)
        found: list[tuple[int, int]] = []
        for needle in self._needles:
            for start, end in _finds(forms[needle.form], needle):
                found.append(canonical.original(start, end))
                if len(found) > MOST_FINDS:
                    return [(0, len(text))]
        found += [match.span() for match in self._literal.finditer(text)] if self._literal else []
        for pattern in self._digits:
            found += [canonical.original(*match.span()) for match in pattern.finditer(forms["folded"])]
        return _merged(found)

    def open_at(self, text: str) -> int:
        """Where the end of a text begins that may be the beginning of a secret; its length if there is none."""
        tail = text[-(256 + 40 * max(map(len, self.secrets), default=0)) :]
        offset, escape = len(text) - len(tail), _OPEN_ESCAPE.search(tail)
        first = self._open_at(tail)
        if escape:
            before = self._open_at(tail[: escape.start()])
            if "\n" not in escape[0] or before < escape.start():  # a line end alone begins no secret
                first = min(first, before)
        return len(text) if first == len(tail) else offset + first

    def _open_at(self, tail: str) -> int:
        canonical = self._canonical(tail)
        forms, first = _forms(canonical.text), len(canonical.text)
        for needle in self._needles:
            form = forms[needle.form]
            longest = range(min(len(needle.text) - 1, len(form)), 0, -1)
            length = next((n for n in longest if form.endswith(needle.text[:n])), 0)
            first = min(first, len(form) - length)
        return len(tail) if first == len(canonical.text) else canonical.original(first, first + 1)[0]

    def replaced(self, text: str, spans: Iterable[tuple[int, int]]) -> str:
        """The text with the sign in place of these spans."""
        made, at = [], 0
        for start, end in spans:
            made += [text[at:start], self.sign]
            at = end
        return "".join([*made, text[at:]]) if made else text

    def _touches(self, sign: str) -> bool:
        """Whether a sign holds a secret, or a secret may begin or end in it."""
        folded = sign.lower()
        secrets = [secret.lower() for secret in self.secrets]
        ends = range(1, len(folded) + 1)
        overlaps = any(one.startswith(folded[-n:]) or one.endswith(folded[:n]) for one in secrets for n in ends)
        return overlaps or any(one in folded for one in secrets) or bool(self.spans(sign))

    def _canonical(self, text: str) -> _Canonical:
        pieces: list[str] = []
        places: list[int] = []
        originals: list[tuple[int, int]] = []
        at = length = 0

        def add(piece: str, start: int, width: int) -> None:
            nonlocal length
            if piece:
                pieces.append(piece)
                places.append(length)
                originals.append((start, width))
                length += len(piece)

        for match in self._escape.finditer(text):
            start, end = match.span()
            add(text[at:start], at, 0)
            add(_decoded(match), start, end - start)
            at = end
        add(text[at:], at, 0)
        return _Canonical("".join(pieces), places, originals)


class StreamMask:
    """Masks secrets in bytes that come in pieces: what may be the beginning of a secret waits for the next piece."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._mask = Mask(*secrets)
        self._decoder = codecs.getincrementaldecoder(_CODEC[0])(_CODEC[1])
        self._held = ""

    def feed(self, data: bytes) -> bytes:
        """What of the text so far may be shown."""
        text = self._held + self._decoder.decode(data)
        at, spans = self._mask.open_at(text), self._mask.spans(text)
        at = next((start for start, end in spans if start < at < end), at)
        self._held = text[at:]
        return self._mask.replaced(text[:at], [span for span in spans if span[1] <= at]).encode(*_CODEC)

    def flush(self, *, final: bool = False) -> bytes:
        """What waited; with `final` also the beginning of a character that never came."""
        text, self._held = self._held + self._decoder.decode(b"", final), ""
        return self._mask(text).encode(*_CODEC)


def _decoded(match: re.Match[str]) -> str:
    """The characters for which an escape stands; line ends and backslashes count for nothing."""
    kind, value = match.lastgroup or "", match[match.lastgroup or 0]
    if kind in _NOTHING:
        return ""
    char = chr(int(value, _BASES[kind]) & 0xFFFF) if kind in _BASES else _NAMED.get(value, value)
    if char in _UNSEEN:
        return ""
    return (
        char if char.isascii() or kind in _OF_BYTES else _as_bytes(char.upper().lower())
    )  # the two signs of micro are one, too


def _as_bytes(text: str) -> str:
    """One character for each byte in UTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _forms(text: str) -> dict[str, str]:
    """The forms of a canonical text in which needles are searched; all of one length."""
    folded = text.lower()
    if len(folded) != len(text):  # a few letters become two
        folded = "".join(c.lower() if c.isascii() else c for c in text)
    return {"folded": folded.replace("+", " "), "base64": text.replace("-", "+").replace("_", "/")}


def _needles(canonical: str, secret: str) -> Iterator[_Needle]:
    # a secret may look like an escape itself: it is also searched as it is
    plain = {canonical, "".join(char for char in _as_bytes(secret) if char not in _UNSEEN)}
    # a line break before a space in it takes the space, too
    plain |= {canonical[: space.start()] + canonical[space.end() :] for space in re.finditer("[ \t]+", canonical)}
    with contextlib.suppress(UnicodeError):  # in Latin-1 too, which headers are in
        plain.add(canonical.encode("latin-1").decode("utf-8"))
    for text in sorted(plain):
        if text:
            wanted = _forms(text)["folded"]
            yield _Needle(wanted, "folded", min(len(wanted), LONG), CUT if len(wanted) >= LONG else 0)
    for data in _encoded(secret):
        is_other_case = data.decode("latin-1") != secret and data.decode("utf-8", "replace") != secret
        yield from _base64_needles(data, whole=is_other_case)
        digits = data.hex()
        least = len(digits) if is_other_case else min(len(digits), 2 * LONG)
        yield _Needle(digits, "folded", least, alone=len(data) < 3)


def _encoded(secret: str) -> list[bytes]:
    """The bytes of a secret, in either encoding and in lower and upper case too."""
    found = set()
    for spelling in (secret, secret.lower(), secret.upper()):
        for encoding in ("utf-8", "latin-1"):
            with contextlib.suppress(UnicodeEncodeError):
                found.add(spelling.encode(encoding))
    return sorted(found)


def _base64_needles(data: bytes, *, whole: bool) -> Iterator[_Needle]:
    """The characters of base64 that depend on these bytes alone, if 0, 1 or 2 bytes stand before them."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode()
        first, last = (before * 8 + 5) // 6, (before + len(data)) * 8 // 6
        core = text[first:last]
        if len(core) >= 3:
            edges = (int(before > 0), int((before + len(data)) % 3 > 0))
            least = len(core) if whole else min(len(core), LONG * 4 // 3 + 1)
            yield _Needle(core, "base64", least, CUT + 2 if least < len(core) else 0, edges=edges)
    text = base64.b64encode(data).decode()
    if len(data) < 3:
        for shown in {text, text.rstrip("=")}:
            yield _Needle(shown, "base64", len(shown), alone=True)


def _digits(secret: str) -> Iterator[re.Pattern[str]]:
    """The bytes as hexadecimal digits with separators, and as a list of decimal numbers."""
    for data in _encoded(secret):
        if len(data) > 1:
            yield re.compile(r"(?:[\s,:_-]{1,2}(?:0x)?|0x)".join(f"{byte:02x}" for byte in data))
        if len(data) > 2:
            yield re.compile(r"[\s,;]{1,3}".join(map(str, data)) + r"(?!\d)")


def _finds(text: str, needle: _Needle) -> Iterator[tuple[int, int]]:
    """The spans of a needle in a text, whole or in parts, with its edges."""
    before, after = needle.edges
    for start, end in (*_parts(text, needle), *(_cut_parts(text, needle) if needle.cut else ())):
        if not needle.alone or not (_ALONE.match(text[start - 1 : start]) or _ALONE.match(text[end : end + 1])):
            yield max(0, start - before), min(len(text), end + after)


def _parts(text: str, needle: _Needle) -> Iterator[tuple[int, int]]:
    """Parts of at least `needle.least` characters: each of them holds a block of half of that."""
    wanted, least = needle.text, needle.least
    at = text.find(wanted)
    while at >= 0:
        yield at, at + len(wanted)
        at = text.find(wanted, at + len(wanted))
    if least == len(wanted):
        return
    text, step = text.replace(wanted, "\0" * len(wanted)), (least + 1) // 2
    for block in range(0, len(wanted) - step + 1, step):
        at = text.find(wanted[block : block + step])
        while at >= 0:
            start, end, first, last = at, at + step, block, block + step
            while start and first and text[start - 1] == wanted[first - 1]:
                start, first = start - 1, first - 1
            while end < len(text) and last < len(wanted) and text[end] == wanted[last]:
                end, last = end + 1, last + 1
            if end - start >= least:
                yield start, end
                at = text.find(wanted[block : block + step], end)
            else:
                at = text.find(wanted[block : block + step], at + 1)


def _cut_parts(text: str, needle: _Needle) -> Iterator[tuple[int, int]]:
    """A beginning of the needle before an ellipsis or at the end of the text, an end of it at the beginning."""
    ends = [match.start() for match, _ in zip(re.finditer("\u2026", text), range(1000), strict=False)]
    for end in (*ends, len(text)):
        for length in range(min(len(needle.text) - 1, end), needle.cut - 1, -1):
            if text.startswith(needle.text[:length], end - length):
                yield end - length, end
                break
    for length in range(min(len(needle.text) - 1, len(text)), needle.cut - 1, -1):
        if text.startswith(needle.text[-length:]):
            yield 0, length
            break


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        elif end > start:
            made.append((start, end))
    return made


def _within(spans: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """The parts of spans that lie between two places, counted from the first."""
    return [(max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start]
