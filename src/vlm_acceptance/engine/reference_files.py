"""Whether a model folder holds the files from which a reference was computed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from vlm_acceptance.core.files import MB, BadFile, is_file, read_bytes

# what is larger is not read again for this: wrong weights show in their numbers
_MOST_BYTES = 64 * MB
# it decides how answers are drawn and where they end, not the numbers of a token
_NO_MATTER = frozenset({"generation_config.json"})


def other_files(folder: Path, known: Mapping[str, str]) -> list[str]:
    """Names of files that are absent from the folder or have another SHA-256 than the known one, by name."""
    return [name for name, digest in known.items() if name not in _NO_MATTER and _is_other(folder / name, digest)]


def _is_other(path: Path, digest: str) -> bool:
    if not is_file(path):
        return True
    if path.stat().st_size > _MOST_BYTES:
        return False
    try:
        return hashlib.sha256(read_bytes(path, _MOST_BYTES)).hexdigest() != digest
    except BadFile:
        return True
