"""Answers about pictures: they must hold the words planted in the picture, and none planted in another one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

from vlm_acceptance.checks.degeneracy import CJK, degenerate
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.capability import Picture, Question
from vlm_acceptance.core.exchange import NoReply, Reply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least, is_at_most
from vlm_acceptance.core.text import trimmed

LEAST_SIMILARITY = 0.8

_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_SPACE_BY_CJK = re.compile(rf"(?<=[{CJK}])\s+|\s+(?=[{CJK}])")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?!,?\d)")
_EMPTY_CENTS = re.compile(r"(?<=\d)\.00?(?![.,:]?\d)")
# 37.5 and 12:37 are one word each; otherwise 37 would be found in both.
_INSIDE_NUMBER = re.compile(r"(?<=\d)[.,:](?=\d)")
_JUDGED = 20_000
_LIST_NUMBER = re.compile(r"^[ \t]*\d{1,2}[.)、][ \t]+(?=\S)", re.MULTILINE)


@lru_cache(maxsize=256)
def fold(text: str) -> str:
    """Text for comparison, without differences in width, case, punctuation, spacing and number format.

    Of a text of more than _JUDGED characters only the beginning: one answer is compared with many planted ones.
    """
    plain = unicodedata.normalize("NFKC", text[:_JUDGED]).casefold()
    plain = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    plain = _SPACE_BY_CJK.sub("", plain)
    plain = _THOUSANDS.sub(lambda number: number[1].replace(",", ""), plain)
    plain = _EMPTY_CENTS.sub("", plain)
    kept = {match.start() for match in _INSIDE_NUMBER.finditer(plain)}
    spaced = (char if index in kept or _is_word_character(char) else " " for index, char in enumerate(plain))
    return " ".join("".join(spaced).split())


def holds(answer: str, alternatives: Iterable[str], foreign: Collection[str] = ()) -> bool:
    """Whether the answer holds one of the alternatives as whole words: digits exactly, letters nearly.

    Nearly: a similarity of at least LEAST_SIMILARITY, and higher than to any word of `foreign`.
    """
    folded = fold(answer)
    wanted = [word for word in map(fold, alternatives) if word]
    if any(_bounded(word).search(folded) for word in wanted):
        return True
    others = [word for word in map(fold, foreign) if word]
    return any(_nearly(folded, word, others) for word in wanted if not any(char.isdigit() for char in word))


def judge_picture(
    question: Question, picture: Picture, reply: Reply, special_tokens: Sequence[str] = ()
) -> list[Finding]:
    """All that is wrong with one answer; planted words of another picture and degenerate text are fatal."""
    if not reply.text or not reply.text.strip():
        return [Finding(kinds.ANSWER_EMPTY, "an answer", trimmed(reply.text))]
    foreign = question.foreign_to(picture)
    own = {word for part in picture.parts for word in part} | picture.visible
    found = _wrong(picture, reply.text, foreign)
    found += _foreign(reply.text, own, foreign)
    found += _ending(question, reply)
    found += _language(question.language, reply.text, own)
    return found + degenerate(reply.text, special_tokens)


def judge_question(
    question: Question,
    replies: Sequence[Reply | NoReply],
    min_correct: int,
    special_tokens: Sequence[str] = (),
    *,
    is_translated: bool = False,
) -> list[Finding]:
    """No finding if `min_correct` answers have none and none is fatal; otherwise a summary, then all findings.

    `replies` are in the order of the question's pictures; a NoReply is fatal, and so are answers without the words of
    the pictures, unless the question `is_translated`: then words may be translated, too. A starved one counts neither
    as right nor as wrong; it is the only finding where the others are not too few.
    """
    judged = [
        [Finding(kinds.ANSWER_MISSING, "an answer", str(reply))]
        if isinstance(reply, NoReply)
        else judge_picture(question, picture, reply, special_tokens)
        for picture, reply in zip(question.pictures, replies, strict=True)
    ]
    triples = list(zip(question.pictures, judged, replies, strict=True))
    placed = [(f"{question.id}/{picture.path.name}", reply, one) for picture, found, reply in triples for one in found]
    starved = [one.at(name).about(reply.exchange) for name, reply, one in placed if _is_starved(reply)]
    right = sum(not found for found in judged)
    unseen = [] if is_translated else _unseen(question, replies)
    fatal = bool(unseen) or any(one.fatal for _, reply, one in placed if not _is_starved(reply))
    if right + len(starved) >= min_correct and not fatal:
        return starved
    wrong = ", ".join(picture.path.stem for picture, found, _ in triples if found)
    expected = f"at least {min_correct} of {len(judged)} pictures right and nothing fatal"
    observed = f"{right} of {len(judged)} right, at least {min_correct} required; wrong: {wrong or 'none'}"
    observed += common_cause(replies, judged)
    summary = Finding(kinds.ANSWER_COUNT, expected, observed, question.id, graded=kinds.FATAL if fatal else None)
    return [summary, *unseen, *(one.at(name).about(reply.exchange) for name, reply, one in placed)]


def judge_blind(question: Question, replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Each answer given without a picture holds at most `question.blind_max` of the planted answers; fatal if more."""
    found = []
    for number, reply in enumerate(replies, 1):
        where = f"{question.id}: answer {number} without the picture"
        if isinstance(reply, NoReply):
            found.append(Finding(kinds.ANSWER_MISSING, "an answer", str(reply), where, reply.exchange))
            continue
        hit = [p.path.stem for p in question.pictures if all(holds(reply.text, part) for part in p.parts)]
        if len(hit) > question.blind_max:
            expected = f"at most {question.blind_max} planted answers"
            observed = f"{len(hit)} ({', '.join(hit)}) in {trimmed(reply.text)}"
            found.append(Finding(kinds.ANSWER_BLIND, expected, observed, where, reply.exchange))
    return found


def _is_starved(reply: Reply | NoReply) -> bool:
    return isinstance(reply, NoReply) and reply.is_starved


def _is_word_character(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _bounded(word: str) -> re.Pattern[str]:
    """A folded word that is not part of a longer one; each Chinese or Japanese character is a word."""
    inside = rf"[^\s{CJK}]"
    before = "" if _CJK.match(word[0]) else f"(?<!{inside})"
    after = "" if _CJK.match(word[-1]) else f"(?!{inside})"
    return re.compile(before + re.escape(word) + after)


def _nearly(folded: str, word: str, others: Sequence[str]) -> bool:
    spans, size = [match.span() for match in _WORD.finditer(folded)], len(_WORD.findall(word))
    for first, last in zip(spans, spans[size - 1 :], strict=False):
        window = folded[first[0] : last[1]]  # as many words in a row as in `word`
        similarity = _similarity(window, word)
        if similarity >= LEAST_SIMILARITY and all(_similarity(window, other) < similarity for other in others):
            return True
    return False


def _similarity(left: str, right: str) -> float:
    """1 minus the edit distance over the longer length: 1 for equal texts, 0 for texts that share nothing."""
    longest = max(len(left), len(right))
    if abs(len(left) - len(right)) > (1 - LEAST_SIMILARITY) * longest:
        return 0.0  # too different in length to matter here
    row = list(range(len(right) + 1))
    for place, char in enumerate(left, 1):
        corner, row[0] = row[0], place
        for column, other in enumerate(right, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (char != other))
    return 1 - row[-1] / longest


def _unseen(question: Question, replies: Sequence[Reply | NoReply]) -> list[Finding]:
    """Fatal if no more answers hold a word of their picture, right or not, than if one word answered all of them."""
    pictures, texts = question.pictures, [reply.text for reply in replies if isinstance(reply, Reply)]
    if len(texts) < len(pictures):
        return []  # a missing answer is fatal, too
    shown = [picture.visible | {word for part in picture.parts for word in part} for picture in pictures]
    by_chance = max(sum(word in words for words in shown) for word in frozenset().union(*shown))
    seen = sum(holds(text, words) for text, words in zip(texts, shown, strict=True))
    if seen > by_chance:
        return []
    expected = f"words of their own pictures in more than {by_chance} of {len(texts)} answers"
    return [Finding(kinds.ANSWER_UNSEEN, expected, f"in {seen}: the pictures were not seen", question.id)]


def _wrong(picture: Picture, text: str, foreign: Collection[str]) -> list[Finding]:
    missing = [part for part in picture.parts if not holds(text, part, foreign)]
    if not missing and len(picture.parts) == 1:
        # a list of all words of the picture is not an answer: the right one must come first
        folded, part = fold(text), picture.parts[0]
        right, others = _spans(folded, part), _spans(folded, picture.visible - set(part))
        missing = [part] if right and others and min(others)[0] < min(right)[0] else []
    expected = "; and ".join(" or ".join(map(repr, part)) for part in missing)
    return [Finding(kinds.ANSWER_WRONG, expected, trimmed(text))] if missing else []


def _foreign(text: str, own: Collection[str], foreign: Collection[str]) -> list[Finding]:
    folded = fold(_LIST_NUMBER.sub("", text))
    shown = _spans(folded, own)
    # "Hotel" as part of this picture's own "Grand Hotel" was not taken from another one.
    taken = sorted(
        word
        for word in foreign
        if any(not any(a <= start and end <= b for a, b in shown) for start, end in _spans(folded, [word]))
    )
    observed = f"{', '.join(map(repr, taken))} in {trimmed(text)}"
    return [Finding(kinds.ANSWER_FOREIGN, "nothing that only another picture shows", observed)] if taken else []


def _spans(folded: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """Start and end of each of the words in a folded text, as whole words."""
    patterns = [_bounded(word) for word in map(fold, words) if word]
    return [match.span() for pattern in patterns for match in pattern.finditer(folded)]


def _ending(question: Question, reply: Reply) -> list[Finding]:
    found = []
    if reply.finish_reason != "stop":
        found.append(Finding(kinds.ANSWER_FINISH, "finish_reason 'stop'", f"finish_reason {reply.finish_reason!r}"))
    least, most = question.tokens
    tokens = reply.usage.completion if reply.usage else None
    if not (is_at_least(tokens, least) and is_at_most(tokens, most)):
        seen = "no token count" if tokens is None else f"{tokens} tokens"
        found.append(Finding(kinds.ANSWER_LENGTH, f"{least} to {most} tokens", seen))
    return found


def _language(language: str, text: str, own: Collection[str]) -> list[Finding]:
    folded = fold(text)
    # Words read off the picture are in its language, not in that of the answer.
    read = {place for start, end in _spans(folded, own) for place in range(start, end)}
    letters = [char for place, char in enumerate(folded) if char.isalpha() and place not in read]
    chinese = sum(bool(_CJK.match(char)) for char in letters)
    is_chinese = 2 * chinese > len(letters)
    if not letters or language not in ("zh", "en") or is_chinese == (language == "zh"):
        return []
    wanted = {"zh": "Chinese", "en": "English"}[language]
    return [Finding(kinds.ANSWER_LANGUAGE, f"an answer in {wanted}", trimmed(text))]


def common_cause(replies: Sequence[Reply | NoReply], judged: Sequence[list[Finding]]) -> str:
    """The cause that the wrong answers of one question show together, after `; `; '' if none is wrong."""
    classes = [{finding.kind for finding in found} for found in judged]
    pairs = [(reply, found) for reply, found in zip(replies, classes, strict=True) if isinstance(reply, Reply)]
    wrong = [fold(reply.text) for reply, found in pairs if found & {kinds.ANSWER_WRONG, kinds.ANSWER_FOREIGN}]
    if not wrong:
        return ""
    # One answer to all pictures is right for one of them by chance: count that one, too.
    most = [fold(reply.text) for reply, _ in pairs].count(Counter(wrong).most_common(1)[0][0])
    if most > 1:
        return f"; the same answer for {most} different pictures: the picture was not seen"
    taken = sum(kinds.ANSWER_FOREIGN in found for found in classes)
    if taken:
        return f"; {taken} with the answer of another picture: the pictures were mixed up"
    return "; the picture was not rightly seen"
