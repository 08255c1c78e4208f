"""Whether a text that was cut could have become JSON."""

from __future__ import annotations

from itertools import chain

from vlm_acceptance.core.numbers import read_json

# more brackets than any schema of ours has; a text is untrusted
_DEEPEST = 64
_LITERALS = ("true", "false", "null")
# what may be missing of an escape such as \\u00e9
_ESCAPES = ("", "\\", "0", "00", "000", "0000")
_ENDS = (
    *("", "0", '""', '"":0', ":0"),
    *(word[cut:] for word in _LITERALS for cut in range(1, len(word))),
    *chain.from_iterable((f'{escape}"', f'{escape}":0') for escape in _ESCAPES),
)


def is_start_of_json(text: str) -> bool:
    """Whether a text is JSON, or more text can make it JSON; also for blanks alone."""
    if not text.strip():
        return True
    closing = _closing(text)
    return closing is not None and any(_is_json(text + end + closing) for end in _ENDS)


def _closing(text: str) -> str | None:
    """The brackets that are missing at the end; None where they do not match or are too many."""
    missing: list[str] = []
    in_string = is_escaped = False
    for letter in text:
        if in_string:
            in_string = is_escaped or letter != '"'
            is_escaped = letter == "\\" and not is_escaped
        elif letter == '"':
            in_string = True
        elif letter in "{[":
            missing.append("}" if letter == "{" else "]")
        elif letter in "}]" and (not missing or missing.pop() != letter):
            return None
        if len(missing) > _DEEPEST:
            return None
    return "".join(reversed(missing))


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except ValueError:
        return False
    return True
