"""Options of the commands of this package: a wrong one is one line with the nearest valid word."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from vlm_acceptance.core.errors import UsageProblem, nearest
from vlm_acceptance.core.files import shown
from vlm_acceptance.reference.told import tell

_INVALID_CHOICE = re.compile(r"invalid choice: '?(.*?)'? \(choose from")  # as argparse words it


class Parser(argparse.ArgumentParser):
    """Wrong arguments are a UsageProblem of one line."""

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ARG002 - as argparse calls it
        tell(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but an unknown option is named before a required one that it may be meant for."""
        known = {option for action in self._actions for option in action.option_strings}
        for word in args or ():
            if word == "--":
                break
            if word.startswith("--") and word.partition("=")[0] not in known:
                self.error(f"unrecognized arguments: {word}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        known = {option: action for action in self._actions for option in action.option_strings}
        words = [word.partition("=")[0].strip(":,") for word in message.split() if word.startswith("--")]
        raise UsageProblem(f"{message}.{self._hint(message, words, known)} See `{self.prog} --help`")

    @staticmethod
    def _hint(message: str, words: list[str], known: dict[str, argparse.Action]) -> str:
        if wrong_value := _INVALID_CHOICE.search(message):
            choices = known[words[0]].choices if words and words[0] in known else None
            return nearest(wrong_value[1], map(str, choices or ()))
        wrong = next((word for word in words if word not in known), "")
        return nearest(wrong, known) if wrong else ""


def counted(text: str) -> int:
    """A whole number from 1, as an option gives it."""
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:9]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{shown(text, 40)!r} is not a whole number from 1")
    return int(text)
