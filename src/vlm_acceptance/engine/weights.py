"""The model folder: find it, check that it is complete, and fingerprint it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import WeightsProblem
from vlm_acceptance.core.files import (
    MB,
    BadFile,
    expanded,
    inside,
    is_file,
    is_folder,
    opened,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    shown,
)
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.engine.tiling import config_problems

INDEX = "model.safetensors.index.json"
_VOCABULARIES: tuple[str, ...] = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_RELATIVE_IMPORT = re.compile(r"^\s*from \.(\w+) import", re.MULTILINE)
_BLOCK = 64 * 1024
_BLOCKS = 16
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 32 * MB  # that of the largest published models is 2 MB
_MAX_FILE_BYTES = 1 << 50
_MAX_INDEX_BYTES = 32 * MB
_MAX_CODE_BYTES = 8 * MB
_MAX_PARAMETERS, _MAX_DIMENSIONS = 1 << 60, 16
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identity of a model folder; a hash is None without its file. Of the weights, samples are hashed."""

    config_sha256: str | None
    chat_template_sha256: str | None
    generation_config_sha256: str | None
    weights_sampled_sha256: str
    weights_bytes: int
    parameters: int
    dtype: str


def locate(model_id: str, explicit: Path | None, env: Mapping[str, str], home: Path) -> Path | None:
    """The folder of a model or None: `explicit`, a folder given as id, or one in a ModelScope or Hugging Face cache."""
    if explicit is not None:
        return explicit
    plain = expanded(model_id)
    if plain.is_absolute() or is_file(plain / "config.json"):
        return plain if is_folder(plain) else None
    folders = list(filter(_holds_something, _cached(model_id, env, home)))
    return next((f for f in folders if is_file(f / "config.json")), folders[0] if folders else None)


def inspect(
    folder: Path, stop_ids: Sequence[int] = (), expected_bytes: float | None = None, tolerance: float = 0.1
) -> list[str]:
    """Problems of a model folder, with file and remedy; `stop_ids` must end generation, `tolerance` is a share."""
    if not is_folder(folder):
        return [f"the folder does not exist: {folder}"]
    try:
        return _problems(folder, stop_ids, expected_bytes, tolerance)
    except OSError as broken:
        return [f"the folder cannot be read: {broken.strerror}"]


def _problems(folder: Path, stop_ids: Sequence[int], expected_bytes: float | None, tolerance: float) -> list[str]:
    config, problems = _read_json(folder, "config.json")
    if not is_file(folder / "config.json"):
        problems = ["config.json is missing: this is not a model folder, or its download is incomplete"]
    elif not problems and not config.get("architectures"):
        problems = ["config.json names no architectures: take the one published with the model"]
    return [
        *problems,
        *config_problems(config),
        *_pointer_problems(folder),
        *_weight_problems(folder, expected_bytes, tolerance),
        *_stop_problems(folder, stop_ids),
        *_code_problems(folder),
        *_tokenizer_problems(folder),
    ]


def fingerprint(folder: Path) -> Fingerprint:
    """Identity of a model folder in a fraction of a second; WeightsProblem when a weight file cannot be read."""
    digest = hashlib.sha256()
    tensors: list[_Tensor] = []
    files = _weight_files(folder)
    if not files:
        raise WeightsProblem(f"{folder} holds no *.safetensors")
    for path in files:
        try:
            found, header = _read_header(path)
            digest.update(f"{path.name} {path.stat().st_size}\n".encode() + header)
            for block in _sampled(path):
                digest.update(block)
        except (OSError, BadFile) as broken:
            raise WeightsProblem(f"{path.name} {broken}") from broken
        tensors.extend(found)
    shares = Counter[str]()
    for tensor in tensors:
        shares[tensor.dtype] += tensor.parameters
    return Fingerprint(
        config_sha256=_sha256(folder / "config.json"),
        chat_template_sha256=_template_sha256(folder),
        generation_config_sha256=_sha256(folder / "generation_config.json"),
        weights_sampled_sha256=digest.hexdigest(),
        weights_bytes=sum(tensor.bytes for tensor in tensors),
        parameters=sum(shares.values()),
        dtype="+".join(dtype for dtype, _ in shares.most_common()),
    )


def _holds_something(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # does not exist, is no folder, or belongs to another user
        return any(folder.iterdir())
    return False


def _cached(model_id: str, env: Mapping[str, str], home: Path) -> Iterator[Path]:
    owner, _, name = model_id.rpartition("/")
    # ModelScope clients of 2024 wrote dots in names as three underscores.
    names = list(dict.fromkeys((name, name.replace(".", "___"))))
    bases = [home / ".cache/modelscope"]
    if env.get("MODELSCOPE_CACHE"):
        bases.insert(0, expanded(env["MODELSCOPE_CACHE"]))
    for base in bases:
        for middle in ("models", "hub/models", "hub", "."):
            flat = base / middle / "--".join(filter(None, (owner, name)))
            yield from _snapshots(flat, ("master", "main"))
            yield from (base / middle / owner / spelled for spelled in names)
    for base in _hugging_face_caches(env, home):
        flat = base / "--".join(filter(None, ("models", owner, name)))
        main = "main"
        with contextlib.suppress(BadFile):
            main = read_text(flat / "refs/main", 1000).strip()
        yield from _snapshots(flat, (main,))


def _hugging_face_caches(env: Mapping[str, str], home: Path) -> list[Path]:
    given = [env.get("HF_HUB_CACHE"), env.get("HUGGINGFACE_HUB_CACHE")]
    given += [f"{env['HF_HOME']}/hub"] if env.get("HF_HOME") else []
    given += [f"{env['XDG_CACHE_HOME']}/huggingface/hub"] if env.get("XDG_CACHE_HOME") else []
    return [*(expanded(path) for path in given if path), home / ".cache/huggingface/hub"]


def _snapshots(repository: Path, preferred: Sequence[str]) -> list[Path]:
    folders = [path for path in repository.glob("snapshots/*") if path.is_dir()]
    return sorted(folders, key=lambda path: (path.name not in preferred, -path.stat().st_mtime))


def _read_json(folder: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    path = folder / name
    if not is_file(path):
        return {}, []
    try:
        value = read_json(path, _MAX_INDEX_BYTES)
    except BadFile as broken:
        return {}, [f"{name} {broken}: download it again"]
    return (value, []) if isinstance(value, dict) else ({}, [f"{name} is not a JSON object: download it again"])


def _weight_files(folder: Path) -> list[Path]:
    index, _ = _read_json(folder, INDEX)
    weight_map = index.get("weight_map") or {}
    if not isinstance(weight_map, dict):
        raise WeightsProblem(f"{INDEX}: weight_map is not an object: download it again")
    try:
        # the clients of hubs link each file to one of another folder
        named = {inside(folder, name, links=True) for name in weight_map.values()}
    except (BadFile, TypeError) as broken:
        raise WeightsProblem(f"{INDEX} names a file that {broken}: download it again") from None
    return sorted(named) or sorted(folder.glob("*.safetensors"))


def _pointer_problems(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*")):
        # Pointers in place of weight files are reported elsewhere; other files can be pointers too.
        with contextlib.suppress(BadFile):
            if path.suffix != ".safetensors" and read_bytes(path, 1024).startswith(_LFS_POINTER):
                yield f"{path.name} is a git-lfs pointer, not the file: run `git lfs pull` or download it again"


def _weight_problems(folder: Path, expected_bytes: float | None, tolerance: float) -> Iterator[str]:
    index, problems = _read_json(folder, INDEX)
    yield from problems
    try:
        files = _weight_files(folder)
    except WeightsProblem as broken:
        yield str(broken)
        return
    if not files:
        yield "there is no *.safetensors: the weights were not downloaded"
        return
    total, damage = 0, []
    for path in files:
        try:
            total += sum(tensor.bytes for tensor in _read_header(path)[0])
        except FileNotFoundError:
            named = f"{path.name}, named by {INDEX}, is missing: download it"
            damage.append(named if index else f"{path.name} is a dead link")
        except (OSError, BadFile) as broken:
            damage.append(f"{path.name} {broken}")
    yield from damage
    if not damage and expected_bytes and abs(total - expected_bytes) > tolerance * expected_bytes:
        yield (
            f"the weights come to {total / 1e9:.3g} GB and {expected_bytes / 1e9:.3g} GB are expected: "
            "this is another or a quantised model"
        )


def stop_notes(folder: Path, more_ids: Sequence[int]) -> list[str]:
    """Ids at which generation_config.json does not stop, though others of the model's configurations do."""
    found, _ = _stops_at(folder)
    missing = [ident for ident in more_ids if ident not in found]
    listed = ", ".join(map(str, missing))
    return (
        [f"generation_config.json stops at {trimmed(found, 80)}, not at {listed} too, which is no fault"]
        if missing
        else []
    )


def _stops_at(folder: Path) -> tuple[list[Any], list[str]]:
    """The ids at which generation_config.json stops, and why it cannot be read."""
    generation, problems = _read_json(folder, "generation_config.json")
    found = generation.get("eos_token_id")
    return (found if isinstance(found, list) else [found]), problems


def _stop_problems(folder: Path, stop_ids: Sequence[int]) -> Iterator[str]:
    known, problems = _stops_at(folder)
    yield from problems
    if problems or not stop_ids:
        return
    listed = ", ".join(map(str, stop_ids))
    if not is_file(folder / "generation_config.json"):
        yield f"generation_config.json is missing: answers would not stop at {listed}; take the one of the model's hub"
    elif missing := [i for i in stop_ids if i not in known]:
        found = trimmed(known[0] if len(known) == 1 else known, 80)
        yield (
            f"generation_config.json stops at {found}, not at {', '.join(map(str, missing))}: answers would run on to "
            f"max_tokens; set eos_token_id to [{listed}]"
        )


def _code_problems(folder: Path) -> Iterator[str]:
    for source in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        content, _ = _read_json(folder, source)
        auto_map = content.get("auto_map")
        for name in _missing_modules(folder, auto_map if isinstance(auto_map, dict) else {}):
            yield f"{shown(name, 80)}, code that {source} needs, is missing: download it"


def _missing_modules(folder: Path, auto_map: Mapping[str, Any]) -> list[str]:
    # vLLM implements the model itself, so the modelling files may be missing.
    wanted = [classes for key, classes in auto_map.items() if not key.startswith("AutoModel")]
    flat = [c for classes in wanted for c in (classes if isinstance(classes, list) else [classes])]
    # "owner/name--module.Class" is code of another repository
    waiting = [c.partition(".")[0] for c in flat if isinstance(c, str) and "--" not in c]
    seen: dict[str, bool] = {}
    while waiting:
        module = waiting.pop()
        if module not in seen:
            code = _code_of(folder, f"{module}.py")
            seen[module] = code is not None
            waiting += _RELATIVE_IMPORT.findall(code or "")
    return sorted(f"{module}.py" for module, there in seen.items() if not there)


def _code_of(folder: Path, name: str) -> str | None:
    """The text of a module of the model folder; None when there is none."""
    try:
        return read_bytes(inside(folder, name, links=True), _MAX_CODE_BYTES).decode("utf-8", "replace")
    except BadFile:
        return None


def _tokenizer_problems(folder: Path) -> Iterator[str]:
    if not is_file(folder / "tokenizer_config.json"):
        yield "tokenizer_config.json is missing: download it"
        return
    config, problems = _read_json(folder, "tokenizer_config.json")
    yield from problems
    auto_map = config.get("auto_map")
    classes = auto_map.get("AutoTokenizer") if isinstance(auto_map, dict) else None
    slow_only = isinstance(classes, list) and classes and not any(classes[1:])
    wanted = _VOCABULARIES[1:] if slow_only else _VOCABULARIES
    if config.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        wanted = ("tokenizer.json",)
    if not problems and not any(is_file(folder / name) for name in wanted):
        yield f"there is no {' or '.join(wanted[:2])}, which tokenizer_config.json needs: download it"


def _sampled(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with opened(path, _MAX_FILE_BYTES) as file:
        for place in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK) * place // (_BLOCKS - 1))
            yield file.read(_BLOCK)


def _sha256(path: Path) -> str | None:
    if not is_file(path):
        return None
    try:
        return hashlib.sha256(read_bytes(path, _MAX_INDEX_BYTES)).hexdigest()
    except BadFile as broken:
        raise WeightsProblem(f"{path.name} {broken}") from None


def _template_sha256(folder: Path) -> str | None:
    # a template file takes precedence over tokenizer_config.json
    if is_file(folder / "chat_template.jinja"):
        return _sha256(folder / "chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if template := _read_json(folder, name)[0].get("chat_template"):
            text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
            return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return None


@dataclass(frozen=True, slots=True)
class _Tensor:
    dtype: str
    parameters: int
    bytes: int


def _read_header(path: Path) -> tuple[tuple[_Tensor, ...], bytes]:
    """The tensors of a safetensors file and the bytes of its header; BadFile when the file is not complete."""
    size = path.stat().st_size
    with opened(path, _MAX_FILE_BYTES) as file:
        start = file.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            raise BadFile("is a git-lfs pointer, not the weights: run `git lfs pull` or download it again")
        if size < _LENGTH_BYTES:
            raise BadFile(f"is {size} bytes long and holds no header: download it again")
        length = int.from_bytes(start[:_LENGTH_BYTES], "little")
        if length > _MAX_HEADER_BYTES:
            raise BadFile("does not begin like a safetensors file: download it again")
        if length > size - _LENGTH_BYTES:
            raise BadFile(f"ends inside its header ({size} bytes): download it again")
        file.seek(_LENGTH_BYTES)
        raw = file.read(length)
    try:
        tensors = tuple(_tensors(parse_json(raw)))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadFile("has a header that is not safetensors JSON: download it again") from None
    promised = _LENGTH_BYTES + length + sum(tensor.bytes for tensor in tensors)
    if size < promised:
        raise BadFile(f"holds {size} of {promised} bytes: the download was cut short, fetch it again")
    if size > promised:
        raise BadFile(f"holds {size} bytes where its header promises {promised}: download it again")
    return tensors, raw


def _tensors(header: dict[str, Any]) -> Iterator[_Tensor]:
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = map(_count, entry["data_offsets"])
            shape = entry["shape"]
            if begin > end or len(shape) > _MAX_DIMENSIONS or prod(map(_count, shape)) > _MAX_PARAMETERS:
                raise ValueError("no such tensor")
            yield _Tensor(_dtype(entry["dtype"]), prod(shape), end - begin)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _dtype(value: object) -> str:
    if not isinstance(value, str) or len(value) > 16 or not value.isidentifier():
        raise ValueError("not a type of numbers")
    return value
