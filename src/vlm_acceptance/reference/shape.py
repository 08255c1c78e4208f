"""Every size and rule of an InternVL2 checkpoint, read from its folder.

Only what this package computes is understood: InternViT, the connector, and an InternLM2 or Qwen2 language model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlm_acceptance.core.tiles import MOST_TILE_PX, MOST_TILE_TOKENS, MOST_TILES, TileRule
from vlm_acceptance.reference.config_section import Section, read_object
from vlm_acceptance.reference.special_tokens import end_tokens, picture_token

INTERNLM2, QWEN2 = "internlm2", "qwen2"
LAYER_NORM, RMS_NORM = "layer_norm", "rms_norm"
# what vLLM takes when no key names it: the default of both models' config classes, and that of its get_rope
DEFAULT_THETA = 10000.0


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotary embedding: `scaling` none, linear or dynamic, and up to which position it was trained."""

    theta: float
    positions: int
    scaling: str = "none"
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class VisionShape:
    """InternViT; `layers` are the numbers of those that are computed, in order."""

    width: int
    heads: int
    mlp: int
    layers: tuple[int, ...]
    patch: int
    tile: int
    eps: float
    norm: str = LAYER_NORM
    qkv_bias: bool = True
    qk_norm: bool = False

    @property
    def side(self) -> int:
        """Patches along one side of a tile."""
        return self.tile // self.patch


@dataclass(frozen=True, slots=True)
class LanguageShape:
    """The decoder; `layers` are the numbers of those that are computed, in order."""

    kind: str
    width: int
    heads: int
    kv_heads: int
    head: int
    mlp: int
    layers: tuple[int, ...]
    eps: float
    vocab: int
    rope: Rope
    bias: bool = False
    tied: bool = False

    @property
    def group(self) -> int:
        """Query heads for each key and value head."""
        return self.heads // self.kv_heads


@dataclass(frozen=True, slots=True)
class Shape:
    """The whole model; `shrink` patches along a side become one token, `shuffle` is the connector's version."""

    vision: VisionShape
    language: LanguageShape
    rule: TileRule
    shrink: int
    shuffle: str
    picture_token: int
    ends: tuple[int, ...]

    @property
    def tile_tokens(self) -> int:
        """Tokens that one tile becomes."""
        return (self.vision.side // self.shrink) ** 2


def read_shape(folder: Path) -> Shape:
    """The shape of a checkpoint's folder; UsageProblem of one line names what this package does not compute."""
    config = Section(folder / "config.json", read_object(folder / "config.json"))
    config.choice("model_type", ("internvl_chat",))
    vision = _vision(config, config.section("vision_config"))
    ratio = config.number("downsample_ratio", 0.5)
    shrink = round(1 / ratio)
    if abs(shrink * ratio - 1) > 1e-6 or vision.side % shrink:
        raise config.refused("downsample_ratio", f"1 / n, with n a divisor of {vision.side} patches")
    most = config.whole("max_dynamic_patch", 6) if config.flag("dynamic_image_size", True) else 1
    fewest = config.whole("min_dynamic_patch", 1) if most > 1 else 1
    _require_size(config, "max_dynamic_patch", most, MOST_TILES)
    if fewest > most:
        raise config.refused("min_dynamic_patch", f"at most max_dynamic_patch, {most}")
    tokens = (vision.side // shrink) ** 2
    if tokens > MOST_TILE_TOKENS:
        raise config.refused("downsample_ratio", f"a tile of at most {MOST_TILE_TOKENS} tokens, not of {tokens}")
    rule = TileRule(vision.tile, tokens, fewest, most, config.flag("use_thumbnail", False))
    language = _language(config, config.section("llm_config"))
    ends = end_tokens(folder, config.section("llm_config").get("eos_token_id"))
    return Shape(
        vision, language, rule, shrink, config.choice("ps_version", ("v1", "v2"), "v1"), picture_token(folder), ends
    )


def _require_size(section: Section, key: str, value: int, most: int) -> None:
    if value > most:
        raise section.refused(key, f"at most {most}")


def _vision(config: Section, vision: Section) -> VisionShape:
    vision.choice("hidden_act", ("gelu",), "gelu")
    width, heads = vision.whole("hidden_size"), vision.whole("num_attention_heads")
    if width % heads:
        raise vision.refused("num_attention_heads", f"a divisor of hidden_size, {width}")
    tile, patch = vision.whole("image_size"), vision.whole("patch_size")
    _require_size(vision, "image_size", tile, MOST_TILE_PX)
    if tile % patch:
        raise vision.refused("patch_size", f"a divisor of image_size, {tile}")
    if config.whole("force_image_size", tile) != tile:
        raise config.refused("force_image_size", f"vision_config.image_size, {tile}")
    count = vision.whole("num_hidden_layers")
    return VisionShape(
        width,
        heads,
        vision.whole("intermediate_size"),
        tuple(range(_computed(config, count))),
        patch,
        tile,
        vision.number("layer_norm_eps", 1e-6),
        vision.choice("norm_type", (LAYER_NORM, RMS_NORM), RMS_NORM),
        vision.flag("qkv_bias", False),
        vision.flag("qk_normalization", True),
    )


def _computed(config: Section, layers: int) -> int:
    """Layers before the hidden state that select_layer chooses; state 0 is the embedding, state -1 the last."""
    chosen = config.integer("select_layer", -1)
    count = layers + chosen + 1 if chosen < 0 else chosen
    if not 1 <= count <= layers:
        raise config.refused("select_layer", f"-{layers} to -1, or 1 to {layers}")
    return count


def _language(config: Section, language: Section) -> LanguageShape:
    kind = language.choice("model_type", (INTERNLM2, QWEN2))
    language.choice("hidden_act", ("silu",), "silu")
    if kind == QWEN2 and language.flag("use_sliding_window", False):
        raise language.refused("use_sliding_window", "false")
    width, heads = language.whole("hidden_size"), language.whole("num_attention_heads")
    kv_heads = language.whole("num_key_value_heads", heads)
    if width % heads or heads % kv_heads:
        raise language.refused("num_attention_heads", f"a divisor of {width} and a multiple of {kv_heads}")
    tied = language.flag("tie_word_embeddings", config.flag("tie_word_embeddings", False))
    return LanguageShape(
        kind,
        width,
        heads,
        kv_heads,
        language.whole("head_dim", width // heads),
        language.whole("intermediate_size"),
        tuple(range(language.whole("num_hidden_layers"))),
        language.number("rms_norm_eps", 1e-6),
        language.whole("vocab_size"),
        _rope(language),
        kind == INTERNLM2 and language.flag("bias", False),
        tied,
    )


def _rope(language: Section) -> Rope:
    """By rope_theta and rope_scaling, or as transformers 5 writes it, by rope_parameters; both must say the same."""
    positions = language.whole("max_position_embeddings", 32768)
    theta = language.number("rope_theta", DEFAULT_THETA)
    old = _scaled(language, "rope_scaling", theta, positions)
    if language.get("rope_parameters") is None:
        return old
    inner = language.section("rope_parameters")
    new = _scaled(language, "rope_parameters", inner.number("rope_theta", theta), positions)
    if language.get("rope_theta") is not None and theta != new.theta:
        raise language.refused("rope_theta", f"that of {inner.place}rope_theta, {new.theta:g}")
    if language.get("rope_scaling") is not None and (old.scaling, old.factor) != (new.scaling, new.factor):
        raise language.refused("rope_scaling", f"what {inner.place[:-1]} says, {new.scaling} by {new.factor:g}")
    return new


def _scaled(language: Section, key: str, theta: float, positions: int) -> Rope:
    if language.get(key) is None:
        return Rope(theta, positions)
    section = language.section(key)
    name = "type" if key == "rope_scaling" and "rope_type" not in section.values else "rope_type"
    # rope_parameters may hold the base alone
    kind = section.choice(name, ("default", "linear", "dynamic"), "default" if key == "rope_parameters" else None)
    if kind == "default":
        return Rope(theta, positions)
    return Rope(theta, positions, kind, section.number("factor"))
