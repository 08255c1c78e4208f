"""An InternVL2 network written once more, as plainly as possible, and tiny random checkpoints of every kind.

An oracle: one head, one token and one patch at a time, in float64, from the checkpoint's own names.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

PICTURE, END = 92, 93
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 7,
    "image_size": 28, "qkv_bias": True, "qk_normalization": False, "hidden_act": "gelu", "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
}  # fmt: skip
LANGUAGE: dict[str, Any] = {
    "model_type": "internlm2", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 1e4,
    "rope_scaling": None, "max_position_embeddings": 64, "vocab_size": 97, "bias": False, "eos_token_id": 2,
    "tie_word_embeddings": False,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "model_type": "internvl_chat", "force_image_size": 28, "downsample_ratio": 0.5, "ps_version": "v2",
    "select_layer": -1, "dynamic_image_size": True, "use_thumbnail": True, "min_dynamic_patch": 1,
    "max_dynamic_patch": 4,
}  # fmt: skip


def configured(vision: dict[str, Any] | None = None, language: dict[str, Any] | None = None, **own: Any) -> Any:
    """The content of a config.json with these values replaced."""
    return {
        **CONFIG,
        **own,
        "vision_config": {**VISION, **(vision or {})},
        "llm_config": {**LANGUAGE, **(language or {})},
    }


def write(folder: Path, config: Any, seed: int = 1) -> dict[str, Tensor]:
    """A checkpoint of random weights in float32, and its tensors in float64."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _drawn(name, size, generator) for name, size in _sizes(config).items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "added_tokens.json").write_text(json.dumps({"<IMG_CONTEXT>": PICTURE, "<|im_end|>": END}))
    return {name: tensor.double() for name, tensor in tensors.items()}


def _drawn(name: str, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    noise = torch.randn(size, generator=generator)
    return 1 + 0.2 * noise if len(size) == 1 and not name.endswith("bias") else 0.25 * noise


def _sizes(config: Any) -> dict[str, tuple[int, ...]]:
    v, t = config["vision_config"], config["llm_config"]
    width, mlp, patch = v["hidden_size"], v["intermediate_size"], v["patch_size"]
    e = "vision_model.embeddings."
    sizes: dict[str, tuple[int, ...]] = {
        e + "class_embedding": (1, 1, width),
        e + "patch_embedding.weight": (width, 3, patch, patch),
        e + "patch_embedding.bias": (width,),
        e + "position_embedding": (1, (v["image_size"] // patch) ** 2 + 1, width),
    }
    for n in range(v["num_hidden_layers"]):
        p = f"vision_model.encoder.layers.{n}."
        sizes |= {p + "attn.qkv.weight": (3 * width, width), p + "attn.proj.weight": (width, width)}
        sizes |= {p + "mlp.fc1.weight": (mlp, width), p + "mlp.fc2.weight": (width, mlp), p + "mlp.fc1.bias": (mlp,)}
        single = ["attn.proj.bias", "mlp.fc2.bias", "norm1.weight", "norm2.weight", "ls1", "ls2"]
        single += ["norm1.bias", "norm2.bias"] if v["norm_type"] == "layer_norm" else []
        single += ["attn.q_norm.weight", "attn.k_norm.weight"] if v["qk_normalization"] else []
        sizes |= {p + name: (width,) for name in single}
        if v["qkv_bias"]:
            sizes[p + "attn.qkv.bias"] = (3 * width,)
    hidden = t["hidden_size"]
    sizes |= {"mlp1.0.weight": (4 * width,), "mlp1.0.bias": (4 * width,), "mlp1.1.weight": (hidden, 4 * width)}
    sizes |= {"mlp1.1.bias": (hidden,), "mlp1.3.weight": (hidden, hidden), "mlp1.3.bias": (hidden,)}
    return sizes | _language_sizes(t)


def _language_sizes(t: Any) -> dict[str, tuple[int, ...]]:
    hidden, mlp, vocab = t["hidden_size"], t["intermediate_size"], t["vocab_size"]
    keys = hidden // t["num_attention_heads"] * t["num_key_value_heads"]
    is_qwen = t["model_type"] == "qwen2"
    m = "language_model.model."
    sizes: dict[str, tuple[int, ...]] = {m + "norm.weight": (hidden,)}
    sizes[m + ("embed_tokens" if is_qwen else "tok_embeddings") + ".weight"] = (vocab, hidden)
    if not t["tie_word_embeddings"]:
        sizes["language_model." + ("lm_head" if is_qwen else "output") + ".weight"] = (vocab, hidden)
    for n in range(t["num_hidden_layers"]):
        p = f"{m}layers.{n}."
        if is_qwen:
            for name, rows in (("q", hidden), ("k", keys), ("v", keys)):
                sizes |= {f"{p}self_attn.{name}_proj.weight": (rows, hidden), f"{p}self_attn.{name}_proj.bias": (rows,)}
            sizes |= {p + "self_attn.o_proj.weight": (hidden, hidden), p + "mlp.down_proj.weight": (hidden, mlp)}
            sizes |= {p + "mlp.gate_proj.weight": (mlp, hidden), p + "mlp.up_proj.weight": (mlp, hidden)}
            sizes |= {p + "input_layernorm.weight": (hidden,), p + "post_attention_layernorm.weight": (hidden,)}
            continue
        sizes |= {p + "attention.wqkv.weight": (hidden + 2 * keys, hidden), p + "attention.wo.weight": (hidden, hidden)}
        if t["bias"]:
            sizes |= {p + "attention.wqkv.bias": (hidden + 2 * keys,), p + "attention.wo.bias": (hidden,)}
        sizes |= {p + "feed_forward.w1.weight": (mlp, hidden), p + "feed_forward.w3.weight": (mlp, hidden)}
        sizes |= {p + "feed_forward.w2.weight": (hidden, mlp)}
        sizes |= {p + "attention_norm.weight": (hidden,), p + "ffn_norm.weight": (hidden,)}
    return sizes


def seen(tiles: Tensor, w: dict[str, Tensor], config: Any) -> Tensor:
    """(tiles · tokens a tile, width of the language model), computed patch by patch."""
    return torch.cat([_seen(tile.double(), w, config) for tile in tiles])


def _seen(tile: Tensor, w: dict[str, Tensor], config: Any) -> Tensor:
    v = config["vision_config"]
    patch, side = v["patch_size"], v["image_size"] // v["patch_size"]
    kernel, bias = (w[f"vision_model.embeddings.patch_embedding.{name}"] for name in ("weight", "bias"))
    rows = [w["vision_model.embeddings.class_embedding"][0, 0]]
    for y in range(side):
        for x in range(side):
            part = tile[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]
            rows.append((kernel * part).sum((1, 2, 3)) + bias)
    x = torch.stack(rows) + w["vision_model.embeddings.position_embedding"][0]
    select, layers = config["select_layer"], v["num_hidden_layers"]
    for n in range(layers + 1 + select if select < 0 else select):
        x = _vision_layer(x, {k.split(f"encoder.layers.{n}.")[-1]: t for k, t in w.items() if f"layers.{n}." in k}, v)
    joined = []
    for row in range(side // 2):
        for column in range(side // 2):
            # the four patches of a square, left to right and then downwards
            square = [1 + (2 * row + dy) * side + 2 * column + dx for dy in (0, 1) for dx in (0, 1)]
            joined.append(torch.cat([x[place] for place in square]))
    if config["ps_version"] == "v1":
        small = side // 2
        joined = [joined[column * small + row] for row in range(small) for column in range(small)]
    y = _layer_norm(torch.stack(joined), w["mlp1.0.weight"], w["mlp1.0.bias"], 1e-5)
    y = _gelu(y @ w["mlp1.1.weight"].T + w["mlp1.1.bias"])
    return y @ w["mlp1.3.weight"].T + w["mlp1.3.bias"]


def _vision_layer(x: Tensor, w: dict[str, Tensor], v: Any) -> Tensor:
    def norm(x: Tensor, name: str) -> Tensor:
        if v["norm_type"] == "rms_norm":
            return _rms(x, w[f"{name}.weight"], v["layer_norm_eps"])
        return _layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], v["layer_norm_eps"])

    q, k, value = (norm(x, "norm1") @ w["attn.qkv.weight"].T + w.get("attn.qkv.bias", 0)).chunk(3, -1)
    if v["qk_normalization"]:
        q, k = (_rms(each, w[f"attn.{n}_norm.weight"], v["layer_norm_eps"]) for n, each in (("q", q), ("k", k)))
    size = v["hidden_size"] // v["num_attention_heads"]
    heads = [slice(start, start + size) for start in range(0, v["hidden_size"], size)]
    mixed = torch.cat([_softmax(q[:, h] @ k[:, h].T / math.sqrt(size)) @ value[:, h] for h in heads], -1)
    x = x + (mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]) * w["ls1"]
    wide = _gelu(norm(x, "norm2") @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"])
    return x + (wide @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]) * w["ls2"]


def log_probabilities(tokens: list[int], vectors: Tensor, w: dict[str, Tensor], config: Any, base: float) -> Tensor:
    """(length, vocabulary) of a language model whose rotary embedding has this base; vectors stand for pictures."""
    t = config["llm_config"]
    names = QWEN2_NAMES if t["model_type"] == "qwen2" else INTERNLM2_NAMES
    embedding = w[f"language_model.model.{names['embedding']}.weight"]
    x = embedding[tokens].clone()
    x[torch.tensor(tokens) == PICTURE] = vectors
    for n in range(t["num_hidden_layers"]):
        prefix = f"language_model.model.layers.{n}."
        first, second, gate, up, down = (
            w[f"{prefix}{names[key]}.weight"] for key in ("first norm", "second norm", "gate", "up", "down")
        )
        x = x + _language_attention(_rms(x, first, t["rms_norm_eps"]), prefix, w, t, base)
        y = _rms(x, second, t["rms_norm_eps"])
        opened = y @ gate.T
        x = x + (opened / (1 + (-opened).exp()) * (y @ up.T)) @ down.T
    x = _rms(x, w["language_model.model.norm.weight"], t["rms_norm_eps"])
    return torch.log(_softmax(x @ w.get(f"language_model.{names['head']}.weight", embedding).T))


INTERNLM2_NAMES = {
    "embedding": "tok_embeddings", "head": "output", "first norm": "attention_norm", "second norm": "ffn_norm",
    "gate": "feed_forward.w1", "up": "feed_forward.w3", "down": "feed_forward.w2",
}  # fmt: skip
QWEN2_NAMES = {
    "embedding": "embed_tokens", "head": "lm_head", "first norm": "input_layernorm",
    "second norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip


def _language_attention(x: Tensor, prefix: str, w: dict[str, Tensor], t: Any, base: float) -> Tensor:
    """One head at a time."""
    size = t["hidden_size"] // t["num_attention_heads"]
    group = t["num_attention_heads"] // t["num_key_value_heads"]
    later = torch.full((len(x), len(x)), -math.inf, dtype=torch.float64).triu(1)
    mixed = []
    for head in range(t["num_attention_heads"]):
        query, key, value = _projected(x, head, group, size, prefix, w, t)
        scores = _turned(query, base, t) @ _turned(key, base, t).T / math.sqrt(size)
        mixed.append(_softmax(scores + later) @ value)
    out = prefix + ("self_attn.o_proj" if t["model_type"] == "qwen2" else "attention.wo")
    return torch.cat(mixed, -1) @ w[out + ".weight"].T + w.get(out + ".bias", 0)


def _projected(
    x: Tensor, head: int, group: int, size: int, prefix: str, w: dict[str, Tensor], t: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of one query head."""
    kv = head // group
    if t["model_type"] == "qwen2":
        parts = []
        for name, number in (("q", head), ("k", kv), ("v", kv)):
            rows = slice(number * size, (number + 1) * size)
            matrix, bias = (w[f"{prefix}self_attn.{name}_proj.{kind}"][rows] for kind in ("weight", "bias"))
            parts.append(x @ matrix.T + bias)
        return parts[0], parts[1], parts[2]
    rows = x @ w[prefix + "attention.wqkv.weight"].T + w.get(prefix + "attention.wqkv.bias", 0)
    # for each KV head its query heads, one key, one value
    block = rows.split((group + 2) * size, -1)[kv].split(size, -1)
    return block[head % group], block[group], block[group + 1]


def _turned(x: Tensor, base: float, t: Any) -> Tensor:
    """Each pair of one head's numbers as a complex number, turned by the angle of its place."""
    half = x.shape[1] // 2
    scaling = t["rope_scaling"] or {}
    slower = scaling["factor"] if scaling.get("type") == "linear" else 1
    rates = torch.tensor([base ** (-2 * i / x.shape[1]) for i in range(half)], dtype=torch.float64)
    angles = torch.arange(len(x), dtype=torch.float64)[:, None] / slower * rates
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def _softmax(x: Tensor) -> Tensor:
    powers = (x - x.max(-1, keepdim=True).values).exp()
    return powers / powers.sum(-1, keepdim=True)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    off = x - x.mean(-1, keepdim=True)
    return off / torch.sqrt((off * off).mean(-1, keepdim=True) + eps) * weight + bias


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def _gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2
