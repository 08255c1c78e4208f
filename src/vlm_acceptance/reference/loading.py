"""What transformers loads from a folder: models, processors and tokenizers; nothing is fetched.

The import of this module prepares the process for transformers, which must not be imported before it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import shown

# operators live as long as the object that declared them
_DECLARED = torch.library.Library("torchvision", "FRAGMENT")


def _let_torchvision_import() -> None:
    """Beside a CPU torch, a torchvision built for CUDA lacks operators; transformers needs only its transforms."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            _DECLARED.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # remains of the failed import
        # CUDA builds too, whose import fails in ways that transformers does not expect
        for name in ("torchaudio", "torchcodec"):
            sys.modules[name] = None  # type: ignore[assignment]


_let_torchvision_import()

import transformers  # noqa: E402


def loaded(kind: str, folder: Path, dtype: torch.dtype | None = None) -> Any:
    """An AutoModel, AutoProcessor or the like of a folder, with the folder's own code.

    UsageProblem with transformers' reason when it cannot be loaded, EnvironmentProblem for a package that it needs.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    try:
        found = getattr(transformers, kind).from_pretrained(
            str(folder), trust_remote_code=True, local_files_only=True, **options
        )
    except ImportError as absent:
        raise EnvironmentProblem(f"{shown(folder)}: {_brief(absent)}") from None
    except MemoryError:
        raise EnvironmentProblem(f"{shown(folder)}: too little memory to load it") from None
    except Exception as broken:  # noqa: BLE001 - a folder's own code may raise anything
        raise UsageProblem(
            f"--model: transformers {transformers.__version__} cannot load {shown(folder)} as {kind}: {_brief(broken)}"
        ) from None
    return found.eval() if isinstance(found, torch.nn.Module) else found


def generation(**options: Any) -> Any:
    """How a model generates, from these options alone and not from the folder's."""
    return transformers.GenerationConfig(**options)


def _brief(broken: Exception) -> str:
    return shown(" ".join(str(broken).split()), 240) or type(broken).__name__
