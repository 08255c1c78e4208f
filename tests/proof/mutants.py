"""Copies of the control checkpoint, broken on purpose: `python mutants.py NAME OUT_DIR`.

Runs in the engine's interpreter (torch and safetensors) and imports nothing of ours. A mutant that is no change of
files, `tiles-reversed`, is a launcher beside this file: mutant_engine.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MODEL = Path(__file__).resolve().parents[2] / "fixtures" / "control" / "model"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GROUP = 32
EMBED = "vision_model.embeddings.patch_embedding"
LAYERS = "language_model.model.layers."
Weights = dict[str, "Tensor"]


def blind(folder: Path) -> None:
    """The patch embedding's weights are zero: every picture of one size looks the same."""

    def change(weights: Weights) -> None:
        weights[f"{EMBED}.weight"].zero_()

    _rewrite(folder, change)


def bgr(folder: Path) -> None:
    """Red and blue change places, exactly as if the pixels were fed in the order BGR."""

    def change(weights: Weights) -> None:
        kernel, bias = weights[f"{EMBED}.weight"], weights[f"{EMBED}.bias"]
        swapped = kernel.clone()
        for channel, fed in ((0, 2), (2, 0)):
            # The engine normalises each channel by its own mean and deviation; undo that for the channel fed instead.
            swapped[:, fed] = kernel[:, channel] * STD[fed] / STD[channel]
            bias += kernel[:, channel].sum((1, 2)) * (MEAN[fed] - MEAN[channel]) / STD[channel]
        kernel.copy_(swapped)

    _rewrite(folder, change)


def int4(folder: Path) -> None:
    """Every linear layer is rounded to 4 bits, 32 inputs sharing one scale."""

    def change(weights: Weights) -> None:
        for matrix in _matrices(weights):
            groups = matrix.view(matrix.shape[0], -1, GROUP)
            scale = groups.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 7
            groups.copy_((groups / scale).round() * scale)

    _rewrite(folder, change)


def noise5(folder: Path) -> None:
    """Every linear layer is off by 5 % of each weight, normally distributed, always the same."""

    def change(weights: Weights) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        for matrix in _matrices(weights):
            matrix *= 1 + 0.05 * torch.randn(matrix.shape, generator=generator)

    _rewrite(folder, change)


def layer_dropped(folder: Path) -> None:
    """The second layer of the language model is missing."""

    def change(weights: Weights) -> None:
        kept = [layer for layer in range(config["llm_config"]["num_hidden_layers"]) if layer != 1]
        layers = {name: weights.pop(name) for name in list(weights) if name.startswith(LAYERS)}
        for place, layer in enumerate(kept):
            own = f"{LAYERS}{layer}."
            weights.update({f"{LAYERS}{place}.{n[len(own) :]}": w for n, w in layers.items() if n.startswith(own)})
        config["llm_config"]["num_hidden_layers"] = len(kept)

    config = json.loads((folder / "config.json").read_text("utf-8"))
    _rewrite(folder, change)
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")


def no_newline(folder: Path) -> None:
    """The chat template puts no newline behind `<|im_end|>`."""
    _template_without(folder, "<|im_end|>\\n", "<|im_end|>")


def no_bos(folder: Path) -> None:
    """The chat template puts no `<s>` before the conversation."""
    _template_without(folder, "{{ bos_token }}", "")


MAKERS: dict[str, Callable[[Path], None]] = {
    "blind": blind,
    "bgr": bgr,
    "int4": int4,
    "noise5": noise5,
    "no-newline": no_newline,
    "no-bos": no_bos,
    "layer-dropped": layer_dropped,
}
NAMES = {name: (maker.__doc__ or "").strip() for name, maker in MAKERS.items()}


def make(name: str, out: Path, model: Path = MODEL) -> None:
    """Writes the mutant into `out`, which must not exist; KeyError for an unknown name.

    Give every mutant a folder of its own: the engine caches tokenizers by path.
    """
    maker = MAKERS[name]
    shutil.copytree(model, out)
    maker(out)


def _template_without(folder: Path, old: str, new: str) -> None:
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8"))
    whole = settings["chat_template"]
    settings["chat_template"] = whole.replace(old, new)
    if settings["chat_template"] == whole:
        raise ValueError(f"{path} has no {old!r} in its template")
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False), "utf-8")


def _matrices(weights: Weights) -> list[Tensor]:
    keep = ("tok_embeddings", "language_model.output", "position_embedding")
    return [w for name, w in sorted(weights.items()) if w.dim() == 2 and not any(k in name for k in keep)]


def _rewrite(folder: Path, change: Callable[[Weights], None]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {name: tensor.float() for name, tensor in load_file(str(path)).items()}
    change(weights)
    stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(stored, str(path), metadata={"format": "pt"})
    path.chmod(0o644)


def main() -> None:
    """Makes the mutant named on the command line."""
    table = "\n".join(f"  {name:14} {line}" for name, line in NAMES.items())
    options = argparse.ArgumentParser(
        description=f"Writes a broken copy of the control checkpoint.\n\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("name", choices=sorted(MAKERS))
    options.add_argument("out", type=Path)
    given = options.parse_args()
    make(given.name, given.out)


if __name__ == "__main__":
    main()
