"""The files of a model folder, and where a reference of them comes from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path

from vlm_acceptance import __version__
from vlm_acceptance.core.errors import UsageProblem
from vlm_acceptance.core.files import BadFile, is_folder, read_json, shown
from vlm_acceptance.core.reference import Origin
from vlm_acceptance.reference.config_section import stands
from vlm_acceptance.reference.prompt_form import SERVED
from vlm_acceptance.reference.routes import Choice

# what decides a model's figures; a README and the like do not
KINDS = (".json", ".safetensors", ".py", ".jinja", ".model", ".txt", ".tiktoken")
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "pillow")
CHUNK = 1 << 22


def require_checkpoint(folder: Path) -> None:
    """UsageProblem when the folder is absent or is none of a checkpoint with safetensors."""
    if not is_folder(folder):
        raise UsageProblem(f"--model: the folder {shown(folder)!r} does not exist")
    names = _listed(folder)
    if not stands(folder / "config.json"):
        raise UsageProblem(f"--model: {shown(folder)} is not a checkpoint: it has no config.json")
    if not any(path.suffix == ".safetensors" for path in names):
        raise UsageProblem(f"--model: {shown(folder)} is not a checkpoint: it has no *.safetensors")


def origin_of(folder: Path, choice: Choice, top: int, say: Callable[[str], None] = lambda _: None) -> Origin:
    """Where a reference comes from; every byte of the checkpoint is read for it. `say` shows what is read."""
    versions = {"vlm-acceptance": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if choice.form == SERVED:
        versions["vllm"] = choice.vllm
    return Origin(
        model=name_of(folder),
        files=hashes(folder, say),
        code=code_hash(),
        route=choice.route,
        arithmetic=choice.arithmetic,
        form=choice.form,
        top=top,
        versions=versions,
        group=choice.group,
    )


def name_of(folder: Path) -> str:
    """The model's name by its config.json, else that of the folder."""
    try:
        value = read_json(folder / "config.json")
    except BadFile:
        value = None
    named = value.get("_name_or_path") if isinstance(value, dict) else None
    return named if isinstance(named, str) and named else folder.resolve().name


def hashes(folder: Path, say: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """SHA-256 of each file of the folder that decides the model's figures, by name."""
    found = {}
    for path in sorted(_files(folder)):
        say(f"reading {path.name}")
        found[path.name] = file_hash(path)
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.suffix in KINDS and stands(path)]


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as broken:
        raise UsageProblem(f"--model: the folder {shown(folder)} cannot be read: {broken.strerror}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file; UsageProblem when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as broken:
        raise UsageProblem(f"{shown(path)} cannot be read: {broken.strerror}") from None
    return digest.hexdigest()


def code_hash() -> str:
    """SHA-256 over the sources of this package: other code may give other figures."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
