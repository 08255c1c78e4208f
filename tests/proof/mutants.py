"""Copies of the control checkpoint, broken on purpose: `python mutants.py NAME OUT_DIR`.

Runs in the engine's interpreter (torch and safetensors) and imports nothing of this project. Mutants that change the
engine in place of files are in mutant_engine.py.
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
GROUP = 32  # inputs that share one scale
EMBED = "vision_model.embeddings.patch_embedding"
SEES, SPEAKS = "vision_model.encoder.layers.", "language_model.model.layers."
FOREIGN = "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
Weights = dict[str, "Tensor"]


def blind(folder: Path) -> None:
    """The patch embedding's weights are zero: every picture of one size looks the same."""

    def change(weights: Weights) -> None:
        weights[f"{EMBED}.weight"].zero_()

    _rewrite(folder, change)


def blind_mlp1(folder: Path) -> None:
    """The projection from vision to language is zero: every picture token is the same."""

    def change(weights: Weights) -> None:
        for name in ("mlp1.3.weight", "mlp1.3.bias"):
            weights[name].zero_()

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


def mean_std(folder: Path) -> None:
    """Pixels are normalised by mean and deviation 0.5, as other vision models have it, in place of ImageNet's."""

    def change(weights: Weights) -> None:
        kernel, bias = weights[f"{EMBED}.weight"], weights[f"{EMBED}.bias"]
        for channel, (mean, deviation) in enumerate(zip(MEAN, STD, strict=True)):
            # The engine's own figures are constants of its code; the first layer undoes them.
            bias += kernel[:, channel].sum((1, 2)) * (mean - 0.5) / 0.5
            kernel[:, channel] *= deviation / 0.5

    _rewrite(folder, change)


def no_thumbnail(folder: Path) -> None:
    """A picture of several tiles comes without the thumbnail."""
    _configured(folder, use_thumbnail=False)


def no_tiling(folder: Path) -> None:
    """Every picture is one tile, at any size."""
    _configured(folder, max_dynamic_patch=1)


def pixel_shuffle_v1(folder: Path) -> None:
    """Picture tokens come in the transposed order of the first pixel shuffle."""
    _configured(folder, ps_version="v1")


def rope_base(folder: Path) -> None:
    """The rotary embedding's base is half of what it was."""
    _configured(folder, "llm_config", rope_theta=5e5)


def norm_eps(folder: Path) -> None:
    """The language model's norms add 0.01 to the variance in place of 0.00001."""
    _configured(folder, "llm_config", rms_norm_eps=1e-2)


def norm_eps10(folder: Path) -> None:
    """The language model's norms add 0.0001 to the variance in place of 0.00001."""
    _configured(folder, "llm_config", rms_norm_eps=1e-4)


def int8(folder: Path) -> None:
    """Every linear layer is rounded to 8 bits, the inputs of an output sharing one scale."""
    _rewrite(folder, lambda weights: _round(weights, 127, group=None))


def fp8(folder: Path) -> None:
    """Every linear layer is rounded to numbers of 8 bits with an exponent (E4M3), one scale for each output."""

    def change(weights: Weights) -> None:
        import torch

        for matrix in _matrices(weights):
            scale = matrix.abs().amax(1, keepdim=True).clamp_min(1e-12) / torch.finfo(torch.float8_e4m3fn).max
            matrix.copy_((matrix / scale).to(torch.float8_e4m3fn).float() * scale)

    _rewrite(folder, change)


def int3(folder: Path) -> None:
    """Every linear layer is rounded to 3 bits, 32 inputs sharing one scale."""
    _rewrite(folder, lambda weights: _round(weights, 3))


def int4(folder: Path) -> None:
    """Every linear layer is rounded to 4 bits, 32 inputs sharing one scale."""
    _rewrite(folder, lambda weights: _round(weights, 7))


def noise1(folder: Path) -> None:
    """Every linear layer is off by 1 % of each weight, normally distributed, always the same."""
    _rewrite(folder, lambda weights: _shake(weights, 0.01))


def noise5(folder: Path) -> None:
    """Every linear layer is off by 5 % of each weight, normally distributed, always the same."""
    _rewrite(folder, lambda weights: _shake(weights, 0.05))


def layer_dropped(folder: Path) -> None:
    """The second layer of the language model is missing."""
    _drop_second_layer(folder, "llm_config", SPEAKS)


def vision_layer_dropped(folder: Path) -> None:
    """The second layer of the vision model is missing."""
    _drop_second_layer(folder, "vision_config", SEES)


def no_newline(folder: Path) -> None:
    """The chat template puts no newline behind `<|im_end|>`."""
    _template(folder, "<|im_end|>\\n", "<|im_end|>")


def no_role_newline(folder: Path) -> None:
    """The chat template puts no newline behind the role of a message."""
    _template(folder, "message['role'] + '\\n' +", "message['role'] +")


def no_bos(folder: Path) -> None:
    """The chat template puts no `<s>` before the conversation."""
    _template(folder, "{{ bos_token }}", "")


def no_generation_prompt(folder: Path) -> None:
    """The chat template does not begin the assistant's turn."""
    _template(folder, "{{ '<|im_start|>assistant\\n' }}", "")


def foreign_system(folder: Path) -> None:
    """The chat template puts another model's system message before the conversation."""
    _template(folder, "{{ bos_token }}", "{{ bos_token }}" + FOREIGN)


def tokenizer(folder: Path) -> None:
    """The tokenizer has the ids of two pieces, the digits 2 and 5, exchanged."""
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text("utf-8"))
    ids = whole["model"]["vocab"]
    ids["2"], ids["5"] = ids["5"], ids["2"]
    path.write_text(json.dumps(whole, ensure_ascii=False), "utf-8")


MAKERS: dict[str, Callable[[Path], None]] = {
    "blind": blind,
    "blind-mlp1": blind_mlp1,
    "bgr": bgr,
    "mean-std": mean_std,
    "no-thumbnail": no_thumbnail,
    "no-tiling": no_tiling,
    "pixel-shuffle-v1": pixel_shuffle_v1,
    "rope-base": rope_base,
    "layer-dropped": layer_dropped,
    "vision-layer-dropped": vision_layer_dropped,
    "norm-eps": norm_eps,
    "norm-eps-10": norm_eps10,
    "no-role-newline": no_role_newline,
    "no-newline": no_newline,
    "no-bos": no_bos,
    "no-generation-prompt": no_generation_prompt,
    "foreign-system": foreign_system,
    "int3": int3,
    "int4": int4,
    "int8": int8,
    "fp8": fp8,
    "noise1": noise1,
    "noise5": noise5,
    "tokenizer": tokenizer,
}
NAMES = {name: (maker.__doc__ or "").strip() for name, maker in MAKERS.items()}


def make(name: str, out: Path, model: Path = MODEL) -> None:
    """Write the mutant into `out`, which must not exist; KeyError for an unknown name.

    Give every mutant a folder of its own: the engine caches tokenizers by path.
    """
    maker = MAKERS[name]
    shutil.copytree(model, out)
    maker(out)


def _configured(folder: Path, part: str | None = None, **values: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    section = config[part] if part else config
    for name, value in values.items():
        if section[name] == value:
            raise ValueError(f"{path} has {name}={value!r} already")
        section[name] = value
    path.write_text(json.dumps(config, indent=2), "utf-8")


def _template(folder: Path, old: str, new: str) -> None:
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8"))
    whole = settings["chat_template"]
    settings["chat_template"] = whole.replace(old, new)
    if settings["chat_template"] == whole:
        raise ValueError(f"{path} has no {old!r} in its template")
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False), "utf-8")


def _drop_second_layer(folder: Path, part: str, prefix: str) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    kept = [layer for layer in range(config[part]["num_hidden_layers"]) if layer != 1]

    def change(weights: Weights) -> None:
        layers = {name: weights.pop(name) for name in list(weights) if name.startswith(prefix)}
        for place, layer in enumerate(kept):
            own = f"{prefix}{layer}."
            weights.update({f"{prefix}{place}.{n[len(own) :]}": w for n, w in layers.items() if n.startswith(own)})

    _rewrite(folder, change)
    _configured(folder, part, num_hidden_layers=len(kept))


def _shake(weights: Weights, share: float) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    for matrix in _matrices(weights):
        matrix *= 1 + share * torch.randn(matrix.shape, generator=generator)


def _round(weights: Weights, largest: int, group: int | None = GROUP) -> None:
    for matrix in _matrices(weights):
        groups = matrix.view(matrix.shape[0], -1, group or matrix.shape[1])
        scale = groups.abs().amax(-1, keepdim=True).clamp_min(1e-12) / largest
        groups.copy_((groups / scale).round() * scale)


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
    """Make the mutant named on the command line."""
    table = "\n".join(f"  {name:20} {line}" for name, line in NAMES.items())
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
