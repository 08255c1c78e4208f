"""What a version of vLLM makes of the same request: which versions serve a prompt in another form."""

from __future__ import annotations

from pathlib import Path

from packaging.version import InvalidVersion, Version

from vlm_acceptance.core.files import BadFile, parse_json, read_lines

# 0.18.0 puts the text of a picture into a decoded prompt, 0.32.0 the decoded tokens of that text. The change between
# them (vLLM's pull request 53372) was merged after 2026-08-22; its first release is not known
_DECODES_PICTURES = Version("0.30")
# 0.18.0 scales a dynamic rotary embedding at every length, 0.32.0 at none: pull request 41277, begun on 2026-04-29
_KEEPS_BASE = Version("0.20")
# the key of a row whose prompt or rotary embedding has two forms
OTHER_FORM = "other_form"


def decodes_pictures(vllm: str) -> bool:
    """Whether this version decodes the tokens of a picture when it has to put it into a prompt's text."""
    return Version(vllm) >= _DECODES_PICTURES


def keeps_base(vllm: str) -> bool:
    """Whether this version leaves the base of a dynamic rotary embedding as it is within the trained positions."""
    return Version(vllm) >= _KEEPS_BASE


def differ(first: str, second: str) -> bool:
    """Whether two versions serve such prompts in different forms; False for a text that is no version."""
    try:
        return decodes_pictures(first) != decodes_pictures(second) or keeps_base(first) != keeps_base(second)
    except InvalidVersion:
        return False


def has_two_forms(path: Path) -> bool:
    """Whether the prompts of a reference depend on the version: a row says how far its other form is."""
    for _, line in read_lines(path):
        try:
            row = parse_json(line)
        except BadFile:
            continue  # rows are judged where they are read
        if isinstance(row, dict) and OTHER_FORM in row:
            return True
    return False
