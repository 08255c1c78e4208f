"""Writes a checkpoint of InternVL2-2B's exact shape with random weights, to measure memory and time without the model.

    python scripts/random_checkpoint.py OUT [--seed 1] [--layers 24]

4.4 GB in files of 1 GB; memory for one tensor at a time. The same seed gives the same bytes. The tokenizer is the
control's: its ids are below the vocabulary's 92,553. Answers mean nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from vlm_acceptance.reference.parts import tensor_sizes  # noqa: E402
from vlm_acceptance.reference.shape import read_shape  # noqa: E402
from vlm_acceptance.reference.weights import INDEX  # noqa: E402

CONTROL = ROOT / "fixtures" / "control" / "model"
COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "configuration_internvl_chat.py")
SHARD_BYTES = 1 << 30
BYTES = 2  # of a number in bfloat16


def config(layers: int) -> dict[str, Any]:
    """The content of config.json: InternVL2-2B's, with so many layers in vision and language."""
    vision = {
        "model_type": "intern_vit_6b", "architectures": ["InternVisionModel"], "hidden_size": 1024,
        "intermediate_size": 4096, "num_hidden_layers": layers, "num_attention_heads": 16, "num_channels": 3,
        "patch_size": 14, "image_size": 448, "qkv_bias": True, "qk_normalization": False, "hidden_act": "gelu",
        "norm_type": "layer_norm", "layer_norm_eps": 1e-6, "initializer_factor": 1.0, "attention_dropout": 0.0,
        "dropout": 0.0, "drop_path_rate": 0.0, "use_flash_attn": False,
    }  # fmt: skip
    language = {
        "model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"], "hidden_size": 2048,
        "intermediate_size": 8192, "num_hidden_layers": layers, "num_attention_heads": 16, "num_key_value_heads": 8,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e6,
        "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 32768, "vocab_size": 92553,
        "bias": False, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
        "use_cache": True,
    }  # fmt: skip
    return {
        "model_type": "internvl_chat", "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"}, "torch_dtype": "bfloat16",
        "force_image_size": 448, "downsample_ratio": 0.5, "ps_version": "v2", "select_layer": -1,
        "dynamic_image_size": True, "use_thumbnail": True, "min_dynamic_patch": 1, "max_dynamic_patch": 12,
        "template": "internlm2-chat", "tie_word_embeddings": False, "vision_config": vision, "llm_config": language,
    }  # fmt: skip


def drawn(name: str, size: tuple[int, ...], seed: int) -> torch.Tensor:
    """A tensor of random numbers that keep what passes through a layer at its size; it depends on name and seed."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    if name.endswith(("ls1", "ls2")):
        return torch.full(size, 0.1, dtype=torch.bfloat16)
    if len(size) == 1:
        return torch.full(size, 0.0 if name.endswith("bias") else 1.0, dtype=torch.bfloat16)
    spread = 0.02 if "embed" in name else prod(size[1:]) ** -0.5
    return (torch.randn(size, generator=generator) * spread).to(torch.bfloat16)


def shards(sizes: Mapping[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """Names of tensors by file, in their order."""
    names: list[str] = []
    total = 0
    for name, size in sizes.items():
        if names and total + BYTES * prod(size) > SHARD_BYTES:
            yield names
            names, total = [], 0
        names.append(name)
        total += BYTES * prod(size)
    yield names


def write_shard(path: Path, names: list[str], sizes: Mapping[str, tuple[int, ...]], seed: int) -> None:
    """One safetensors file; each tensor is drawn when it is written."""
    header, place = {}, 0
    for name in names:
        end = place + BYTES * prod(sizes[name])
        header[name] = {"dtype": "BF16", "shape": list(sizes[name]), "data_offsets": [place, end]}
        place = end
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(memoryview(drawn(name, sizes[name], seed).flatten().view(torch.uint8).numpy()))


def write(out: Path, seed: int, layers: int) -> None:
    """The whole folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(CONTROL / name, out / name)
    (out / "config.json").write_text(json.dumps(config(layers), indent=2) + "\n", "utf-8")
    sizes = tensor_sizes(read_shape(out))
    parts = list(shards(sizes))
    placed = {}
    for number, names in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        write_shard(out / file, names, sizes, seed)
        placed |= dict.fromkeys(names, file)
        sys.stderr.write(f"{file}: {len(names)} tensors\n")
    total = BYTES * sum(map(prod, sizes.values()))
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def main() -> int:
    """Writes the folder; 0 when it is written."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--layers", type=int, default=24, help="of vision and of language (default: 24)")
    given = options.parse_args()
    write(given.out, given.seed, given.layers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
