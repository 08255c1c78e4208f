"""A new profile from the folder of a model, or from an endpoint that serves one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.options import PROFILES
from vlm_acceptance.config.paths import output_file
from vlm_acceptance.config.profile import NAME, NAME_BYTES
from vlm_acceptance.config.profile_file import BASES, base_names, load_profile
from vlm_acceptance.config.yaml_file import read_data
from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem, nearest
from vlm_acceptance.core.files import expanded
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.engine.device import npu_sign
from vlm_acceptance.engine.endpoint import MODELS, obstacle
from vlm_acceptance.engine.readiness import in_short, listed_models, model_card
from vlm_acceptance.run.model_folder import read_folder
from vlm_acceptance.run.profile_draft import Draft

ASCEND, CUDA, CPU = "vllm-ascend", "vllm-cuda", "vllm-cpu"
NVIDIA = Path("/dev/nvidiactl")
DEADLINE_S = 10.0
# what no file of a model and no endpoint tells
OPEN = {
    "model.max_pictures": "the most pictures that the deployment takes in one request (--limit-mm-per-prompt)",
    "latency.default": "budgets in seconds: record them, and the right answers, from a run of a deployment known to be "
    "right (vlm_acceptance.run.calibrate)",
    "references, mmmu": "published scores and the accuracy run (docs/accuracy.md)",
}
OF_A_FOLDER = ("model.special_tokens", "model.prompt_start", "model.template", "model.video", "model.pictures")
BY_FILES = "an endpoint does not tell it; `vlm-acceptance profile new FOLDER` reads it from the model's files"


def is_url(source: str) -> bool:
    """Whether the source is the URL of an endpoint; any other is a folder."""
    return "://" in source


def drafted(source: str, ident: str | None, name: str | None, base: str | None, client: Client | None) -> Draft:
    """The profile of a folder, or of the endpoint of `client`. `ident` is the model's name in requests."""
    bases = base_names(PROFILES)
    if base is not None and base not in bases:
        raise UsageProblem(f"--base: there is no base {base!r}; there are: {', '.join(bases)}.{nearest(base, bases)}")
    if name is not None:
        _require_name(name)
    draft = Draft()
    if client is not None:
        draft.base = base or ""
        _read_endpoint(client, ident, draft)
    else:
        draft.base = base or _usual_base()
        read_folder(expanded(source), ident, draft)
    draft.name = name or _name_of(draft.values["model.id"][0])
    if draft.base == ASCEND:
        draft.lacks("device.name, device.memory_mb", "the card's name and memory (npu-smi info)")
    for key_, why in OPEN.items():
        draft.lacks(key_, why)
    return draft


def write(draft: Draft, out: str | None) -> Path:
    """Write the profile and load it again; UsageProblem when the file exists, or is not a valid profile."""
    path = output_file(out or f"{draft.name}.yaml", "--out")
    assert path is not None
    text = draft.text(_base_args(draft.base))
    try:
        path.write_text(text, "utf-8")
    except OSError as broken:
        raise UsageProblem(f"--out: {str(path)!r} cannot be written: {broken.strerror}") from None
    try:
        load_profile(str(path.resolve()), PROFILES)
    except UsageProblem:
        path.unlink(missing_ok=True)
        raise
    return path


def _require_name(name: str) -> None:
    if not name:
        raise UsageProblem("--name: the value is empty")
    if not re.fullmatch(NAME, name) or len(name.encode()) > NAME_BYTES:
        allowed = (
            f"it has letters, digits, '_', '.' and '-', begins with one of A-Z, a-z, 0-9, and has {NAME_BYTES} bytes"
        )
        raise UsageProblem(f"--name: {trimmed(name, 60)} is no name of a profile; {allowed} at most")


def _usual_base() -> str:
    """The platform of this machine."""
    if npu_sign():
        return ASCEND
    return CUDA if NVIDIA.exists() else CPU


def _base_args(base: str) -> list[Any]:
    engine = read_data(PROFILES / BASES / f"{base}.yaml").get("engine", {}) if base else {}
    args: list[Any] = engine.get("args", [])
    return args


def _name_of(ident: str) -> str:
    """A name for a profile, made of the model's."""
    name = re.sub(r"[^\w.-]+", "-", ident.rpartition("/")[2].lower(), flags=re.ASCII).strip("-._")
    return name or "model"


def _read_endpoint(client: Client, ident: str | None, draft: Draft) -> None:
    url = client.base_url
    exchange = client.send(get(MODELS, DEADLINE_S))
    if wrong := obstacle(client, exchange):
        raise UsageProblem(f"URL: {wrong}") if wrong.by_option else EnvironmentProblem(str(wrong))
    models = listed_models(exchange)
    if not models:
        raise EnvironmentProblem(f"{url} lists no model; see the log of its server")
    if ident is not None and ident not in models:
        raise UsageProblem(f"--id: {url} does not serve {ident!r}; it serves: {in_short(models)}")
    if ident is None and len(models) != 1:
        raise UsageProblem(f"{url} serves {len(models)} models; name one with --id: {in_short(models)}")
    chosen = ident or models[0]
    draft.add("model.id", chosen, f"{url}/v1/models: id")
    length = model_card(exchange, chosen, ("max_model_len",))["max_model_len"]
    if type(length) is int and length > 0:
        draft.add("model.max_model_len", length, f"{url}/v1/models: max_model_len")
    else:
        draft.lacks("model.max_model_len", f"{url}/v1/models does not tell it")
    for name in OF_A_FOLDER:
        draft.lacks(name, BY_FILES)
