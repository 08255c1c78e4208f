"""What the files of a model folder tell about the model: the values of a new profile, each with its file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import UsageProblem, WeightsProblem
from vlm_acceptance.core.files import MB, BadFile, is_file, is_folder, read_json, read_text, shown
from vlm_acceptance.core.tiles import MOST_TILES
from vlm_acceptance.engine import tiling, weights
from vlm_acceptance.run.profile_draft import Draft
from vlm_acceptance.run.prompt_template import start_of, turns_of

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
VOCABULARY, TEMPLATES = "tokenizer.json", ("chat_template.jinja", "chat_template.json", TOKENIZER)
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
VIDEO_PROCESSOR = "video_preprocessor_config.json"
# some vocabularies reserve thousands; a profile of them must stay within the bytes that are read of one
MOST_TOKENS, MOST_TOKEN_BYTES = 200, 8192
_VOCABULARY_BYTES, _INDEX_BYTES, _TEMPLATE_BYTES = 64 * MB, 32 * MB, MB
# where families keep the configuration of their language model; "" is the file itself
_LANGUAGE = ("text_config", "llm_config", "language_config", "")
_VIDEO_KEYS = ("video_token_id", "video_token_index")
_DTYPES = ("bfloat16", "float16", "float32")
# a folder of a hub's cache, such as models--OWNER--NAME/snapshots/REVISION
_SNAPSHOT = re.compile(r"(?:models--)?(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/[^/]+")


def read_folder(folder: Path, ident: str | None, draft: Draft) -> None:
    """Add to `draft` what the folder tells; UsageProblem when it is not the folder of a model."""
    if not is_folder(folder):
        raise UsageProblem(f"{shown(folder)}: the folder does not exist; the URL of an endpoint begins with http")
    if not is_file(folder / CONFIG):
        raise UsageProblem(f"{shown(folder)}: it holds no {CONFIG}, so it is not the folder of a model")
    _name(folder, ident, draft)
    config = _object(folder, CONFIG)
    _weights(folder, draft)
    _ends(folder, draft)
    _special_tokens(folder, draft)
    _videos(folder, config, draft)
    _prompts(folder, draft)
    _tiles(folder, config, draft)
    _arguments(folder, config, draft)


def _object(folder: Path, name: str, most: int = 8 * MB) -> dict[str, Any]:
    """The object in a file of the folder; empty without the file. UsageProblem for one that is damaged."""
    if not is_file(folder / name):
        return {}
    try:
        value = read_json(folder / name, most)
    except BadFile as broken:
        raise UsageProblem(f"{shown(folder / name)} {broken}: download it again") from None
    if name == CONFIG and not isinstance(value, dict):
        raise UsageProblem(f"{shown(folder / name)} is no JSON object: download it again")
    return value if isinstance(value, dict) else {}


def _name(folder: Path, ident: str | None, draft: Draft) -> None:
    path = folder.resolve()
    cached = _SNAPSHOT.fullmatch("/".join(path.parts[-3:]))
    # clients of ModelScope write dots in names as three underscores
    name = f"{cached['owner']}/{cached['name']}" if cached else path.name.replace("___", ".")
    draft.add("model.id", ident or name, "--id" if ident else "the name of the folder; requests must use it")
    draft.add("model.path", str(path), "the given folder")


def _weights(folder: Path, draft: Draft) -> None:
    try:
        draft.add("model.weights_bytes", weights.fingerprint(folder).weights_bytes, "the headers of *.safetensors")
        return
    except WeightsProblem as broken:
        why = str(broken).replace(str(folder), "the folder")
    metadata = _object(folder, weights.INDEX, _INDEX_BYTES).get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if type(size) is int and size > 0:
        draft.add("model.weights_bytes", size, f"{weights.INDEX}: metadata.total_size")
    else:
        draft.lacks("model.weights_bytes", why)


def _ends(folder: Path, draft: Draft) -> None:
    found = _object(folder, GENERATION).get("eos_token_id")
    listed = found if isinstance(found, list) else [found]
    ids = [one for one in listed if type(one) is not int or one >= 0]
    if ids and all(type(one) is int for one in ids):
        draft.add("model.stop_token_ids", ids, f"{GENERATION}: eos_token_id")
    else:
        draft.lacks("model.stop_token_ids", f"{GENERATION} names no eos_token_id")


def _special_tokens(folder: Path, draft: Draft) -> None:
    config = _object(folder, TOKENIZER)
    rows, source = config.get("added_tokens_decoder"), f"{TOKENIZER}: added_tokens_decoder"
    listed = list(rows.values()) if isinstance(rows, dict) else []
    if not listed:
        rows, source = _object(folder, VOCABULARY, _VOCABULARY_BYTES).get("added_tokens"), f"{VOCABULARY}: added_tokens"
        listed = rows if isinstance(rows, list) else []
    marked = [row for row in listed if isinstance(row, dict) and row.get("special") is True]
    found = [row["content"] for row in marked if isinstance(row.get("content"), str) and row["content"].strip()]
    texts = [text for text in dict.fromkeys(found) if not any("\ud800" <= char <= "\udfff" for char in text)]
    if taken := _bounded(texts):
        some = f"; the first {len(taken)} of {len(texts)}" if len(taken) < len(texts) else ""
        draft.add("model.special_tokens", taken, source + some)
    else:
        draft.lacks("model.special_tokens", f"{TOKENIZER} and {VOCABULARY} list no special tokens")


def _bounded(texts: list[str]) -> list[str]:
    """The first texts, within the limits on their number and on their bytes together."""
    sizes = accumulate(len(text.encode()) for text in texts)
    return [text for text, size in zip(texts, sizes, strict=True) if size <= MOST_TOKEN_BYTES][:MOST_TOKENS]


def _videos(folder: Path, config: Mapping[str, Any], draft: Draft) -> None:
    named = next((key for key in _VIDEO_KEYS if type(config.get(key)) is int), "")
    if named:
        draft.add("model.video", True, f"{CONFIG}: {named}")
    elif is_file(folder / VIDEO_PROCESSOR):
        draft.add("model.video", True, VIDEO_PROCESSOR)
    else:
        draft.lacks("model.video", f"{CONFIG} does not say whether the model takes videos")


def _prompts(folder: Path, draft: Draft) -> None:
    source = next((name for name in TEMPLATES if is_file(folder / name) and _template_text(folder / name)), "")
    text = _template_text(folder / source) if source else ""
    if not text:
        draft.lacks("model.prompt_start", "the folder has no chat template")
        draft.lacks("model.template", "the folder has no chat template: serve with --chat-template")
        return
    if "enable_thinking" in text:
        draft.add("model.thinking", True, f"{source}: enable_thinking")
    start, turns = start_of(folder), turns_of(folder)
    if start is not None:
        draft.add("model.prompt_start", start, f"{source}, rendered")
    else:
        draft.lacks("model.prompt_start", f"{source} cannot be rendered, or changes the text of a message")
    if turns is not None:
        draft.add("model.template", turns.model_dump(), f"{source}, rendered for four conversations")
    else:
        draft.lacks("model.template", f"{source} does more than put texts around each message")
    if "tools" in text:
        hint = "with --enable-auto-tool-choice --tool-call-parser NAME in engine.args, set it to true"
        draft.lacks("api.tools", f"{source} writes tools: {hint}")


def _template_text(path: Path) -> str:
    """A chat template as text; '' where a file has none."""
    try:
        text = read_text(path, _TEMPLATE_BYTES)
    except BadFile:
        return ""
    return text if path.suffix == ".jinja" or '"chat_template"' in text else ""


def _tiles(folder: Path, config: Mapping[str, Any], draft: Draft) -> None:
    try:
        served = tiling.served_tiling(folder)
    except WeightsProblem as broken:
        raise UsageProblem(str(broken)) from None
    if served and served["max_tiles"] <= MOST_TILES:
        names = "force_image_size, downsample_ratio, min_dynamic_patch, max_dynamic_patch, use_thumbnail"
        draft.add("model.pictures", {"oracle": "internvl", **served}, f"{CONFIG}: {names}")
    else:
        family = shown(config.get("model_type"), 40)
        draft.lacks("model.pictures", f"there is no formula for the prompt tokens of pictures of {family!r}")


def _arguments(folder: Path, config: Mapping[str, Any], draft: Draft) -> None:
    """Arguments of the engine: whether it may run the folder's code, the type of the weights, the context length."""
    coded = [name for name in (CONFIG, TOKENIZER, *PROCESSORS) if _object(folder, name).get("auto_map")]
    if coded:
        draft.argue("trust_remote_code", True, f"{', '.join(coded)}: auto_map names code of the folder")
    for where, part in _languages(config):
        named = next((key for key in ("torch_dtype", "dtype") if part.get(key) in _DTYPES), "")
        if named:
            draft.argue("dtype", part[named], f"{CONFIG}: {where}{named}")
            break
    for where, part in _languages(config):
        length = part.get("max_position_embeddings")
        if type(length) is int and length > 0:
            source = f"{CONFIG}: {where}max_position_embeddings"
            draft.add("model.max_model_len", length, f"{source}; lower it, and the arguments, if memory is short")
            draft.argue("max_model_len", length, source)
            return
    draft.lacks("model.max_model_len", f"{CONFIG} names no max_position_embeddings")


def _languages(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The configurations that describe the language model, each with its place in the file."""
    for name in _LANGUAGE:
        part = config.get(name) if name else config
        if isinstance(part, dict):
            yield f"{name}." if name else "", part
