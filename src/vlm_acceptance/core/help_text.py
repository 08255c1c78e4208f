"""The help of a command in the chosen language."""

from __future__ import annotations

import argparse
from typing import Any

from vlm_acceptance.core.language import tr


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Translates what argparse says itself and what it was given; lines of a description stay as they are."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        """The usage, behind its word."""
        super().add_usage(usage, actions, groups, tr("usage: ") if prefix is None else prefix)

    def start_section(self, heading: str | None) -> None:
        """A heading, such as that of the options."""
        super().start_section(tr(heading) if heading else heading)

    def add_text(self, text: str | None) -> None:
        """The description."""
        super().add_text(tr(text) if text else text)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return tr(action.help) if action.help else action.help
