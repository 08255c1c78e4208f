"""The seconds of whole tests, with setup and teardown, as the JUnit file of a run has them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from vlm_acceptance.core.files import MB, BadFile, read_bytes

NAME = "junit.xml"
MOST_BYTES = 64 * MB
LONGEST_S = 1e7


def wall_seconds(folder: Path) -> Mapping[str, float]:
    """Seconds by `key_of` the node id; empty when the file is absent or is not as pytest writes it."""
    try:
        content = read_bytes(folder / NAME, MOST_BYTES)
        # pytest declares no entities, and another file's could fill the memory
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            return {}
        cases = list(ET.fromstring(content).iter("testcase"))  # noqa: S314
    except (BadFile, ET.ParseError, ValueError):
        return {}
    found = {}
    for case in cases:
        try:
            seconds = float(case.get("time", ""))
        except ValueError:
            continue
        if 0 <= seconds < LONGEST_S:
            found[f"{case.get('classname')}::{case.get('name')}"] = seconds
    return found


def key_of(ident: str) -> str:
    """The name of a test in the JUnit file, from its node id."""
    module, _, name = ident.partition("::")
    return f"{module.removesuffix('.py').replace('/', '.')}::{name}"
