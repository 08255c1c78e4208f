#!/usr/bin/env python3
"""Check that the installation of the suite left the packages of a container unchanged. Exit code 0 or 1.

    python -m pip freeze > before.txt                      # before the suite is installed there
    python scripts/check_container.py --before before.txt  # afterwards, with the same interpreter

`--after FILE` compares with a stored list in place of this interpreter's packages. Only the suite, pytest,
pytest-timeout and their own dependencies may be new; no other package may change or be removed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

NEW = {"vlm-acceptance", "pytest", "pluggy", "iniconfig", "pytest-timeout"}
_EDITABLE_LOCAL = re.compile(r"# Editable .*\((?P<name>[\w.-]+)(==(?P<version>[^)]+))?\)")
_EDITABLE = re.compile(r"-e (?P<version>.*)#egg=(?P<name>[\w.-]+)")
_DIRECT = re.compile(r"(?P<name>[\w.-]+) @ (?P<version>.+)")
_PLAIN = re.compile(r"(?P<name>[\w.-]+)===?(?P<version>.+)")


def installed(lines: Iterable[str]) -> dict[str, str]:
    """Normalised name -> version or source, from the lines of `pip freeze`; editable installs included."""
    found = {}
    for line in lines:
        for form in (_EDITABLE_LOCAL, _EDITABLE, _DIRECT, _PLAIN):
            match = form.match(line.strip())
            if match:
                found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"] or "editable"
                break
    return found


def problems(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Forbidden changes, one sentence each."""
    found = []
    for name in sorted({*before, *after}):
        if name not in after:
            found.append(f"{name} {before[name]} is gone")
        elif name not in before and name not in NEW:
            found.append(f"{name} {after[name]} is new")
        elif name in before and before[name] != after[name]:
            found.append(f"{name} was {before[name]} and is {after[name]}")
    return found


def main() -> int:
    """Print the forbidden changes, or that there are none; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="FILE")
    parser.add_argument("--after", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.after:
        text = given.after.read_text("utf-8")
    else:
        freeze = [sys.executable, "-m", "pip", "freeze"]
        text = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    before, after = (installed(lines.splitlines()) for lines in (given.before.read_text("utf-8"), text))
    if not before or not after:
        sys.stdout.write("one of the two lists is empty: it is not the output of `pip freeze`\n")
        return 1
    wrong = problems(before, after)
    new = ", ".join(sorted(after.keys() - before.keys())) or "nothing"
    sys.stdout.write("".join(f"{problem}\n" for problem in wrong) or f"{len(before)} packages as before, new: {new}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
