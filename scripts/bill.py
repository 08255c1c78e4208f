"""Finishes a bill of materials: adds version and hash of the wheel, and writes the licences that it names as a page.

python scripts/bill.py dist/NAME.cdx.json dist/NAME.whl docs/licences.md
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

HEAD = """# Licences

What the suite needs to run, by the bill of materials that `make release` writes: the version it is tested with and the
licence that the package itself names. What is only used beside it (the engine, `openai`, `pyarrow` and `openpyxl`, the
tools of `make`) is not part of the wheel. The suite itself is under Apache-2.0, see `LICENSE`.

| package | version | licence |
|---|---|---|
"""
UNKNOWN = "not named"


def licence_of(component: dict[str, Any]) -> str:
    """The licences of a component, the SPDX expression before names; UNKNOWN when it names none."""
    listed = component.get("licenses", [])
    expressions = [one["expression"] for one in listed if "expression" in one]
    licences = [one["license"] for one in listed if "license" in one]
    ids = [one["id"] for one in licences if "id" in one]
    names = [" ".join(one["name"].split())[:80] for one in licences if "name" in one]
    return " and ".join(dict.fromkeys(expressions or ids or names)) or UNKNOWN


def page_of(bill: dict[str, Any]) -> str:
    """The page of licences."""
    parts = sorted(bill.get("components", []), key=lambda one: one["name"].lower())
    return HEAD + "".join(f"| {one['name']} | {one['version']} | {licence_of(one)} |\n" for one in parts)


def main(bill_file: Path, wheel: Path, page: Path) -> None:
    """Rewrite the bill and the page."""
    bill = json.loads(bill_file.read_text("utf-8"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    itself = bill["metadata"]["component"]
    itself["version"] = wheel.name.split("-")[1]  # pyproject.toml does not hold it
    itself["hashes"] = [{"alg": "SHA-256", "content": digest}]
    bill_file.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", "utf-8")
    page.write_text(page_of(bill), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
