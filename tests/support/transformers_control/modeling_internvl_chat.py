"""The control's network in the style of Hugging Face, for folders that are loaded with trust_remote_code.

It was written from the published description of the architecture, and shares no code with the network that trained the
control, with ours, or with vLLM's: attention is written out, and layers are computed one sequence at a time.
"""

from types import SimpleNamespace

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_internvl_chat import InternLM2Config, InternVisionConfig, InternVLChatConfig


def attended(query, key, value, mask=None):
    """Scaled dot-product attention, (batch, heads, length, size) each; `mask` is True where nothing may be seen."""
    scores = torch.matmul(query, key.transpose(-1, -2)) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf"))
    return torch.matmul(torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), value)


class InternVisionEmbeddings(nn.Module):
    """A class token and the patches of a tile, with learnt positions."""

    def __init__(self, config):
        super().__init__()
        patches = (config.image_size // config.patch_size) ** 2
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.patch_embedding = nn.Conv2d(
            config.num_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.position_embedding = nn.Parameter(torch.zeros(1, patches + 1, config.hidden_size))

    def forward(self, pixel_values):
        patches = self.patch_embedding(pixel_values)
        patches = patches.reshape(*patches.shape[:2], -1).transpose(1, 2)
        first = self.class_embedding.repeat(len(pixel_values), 1, 1)
        return torch.cat((first, patches), dim=1) + self.position_embedding


class InternAttention(nn.Module):
    """Attention over the patches of one tile."""

    def __init__(self, config):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states):
        batch, length, width = hidden_states.shape
        parts = self.qkv(hidden_states).chunk(3, dim=-1)
        query, key, value = (
            part.reshape(batch, length, self.num_heads, width // self.num_heads).transpose(1, 2) for part in parts
        )
        return self.proj(attended(query, key, value).transpose(1, 2).reshape(batch, length, width))


class InternMLP(nn.Module):
    """Two linear layers around a GELU."""

    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states):
        return self.fc2(self.act(self.fc1(hidden_states)))


class InternVisionEncoderLayer(nn.Module):
    """A block whose branches are scaled."""

    def __init__(self, config):
        super().__init__()
        self.attn, self.mlp = InternAttention(config), InternMLP(config)
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.ls1 = nn.Parameter(torch.ones(config.hidden_size))
        self.ls2 = nn.Parameter(torch.ones(config.hidden_size))

    def forward(self, hidden_states):
        hidden_states = hidden_states + self.ls1 * self.attn(self.norm1(hidden_states))
        return hidden_states + self.ls2 * self.mlp(self.norm2(hidden_states))


class InternVisionEncoder(nn.Module):
    """The blocks."""

    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([InternVisionEncoderLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, hidden_states):
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


class InternVisionModel(PreTrainedModel):
    """The vision tower; the output of its last block."""

    config_class = InternVisionConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.embeddings, self.encoder = InternVisionEmbeddings(config), InternVisionEncoder(config)
        self.post_init()

    def _init_weights(self, module):
        """Every weight is in the checkpoint."""

    def forward(self, pixel_values):
        return SimpleNamespace(last_hidden_state=self.encoder(self.embeddings(pixel_values)))


class InternLM2RMSNorm(nn.Module):
    """Root mean square norm, in float32."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(width)), eps

    def forward(self, hidden_states):
        wide = hidden_states.to(torch.float32)
        wide = wide / torch.sqrt((wide * wide).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(hidden_states.dtype)


def rope_base(config, length):
    """The base of the rotary embedding for a sequence of this length, as the authors of InternLM2 scale it."""
    scaling = config.rope_scaling or {}
    # transformers 5 moves it there when there is a scaling
    theta = scaling.get("rope_theta") or config.rope_theta
    if scaling.get("type") != "dynamic" or length <= config.max_position_embeddings:
        return theta
    size, factor = config.hidden_size // config.num_attention_heads, scaling["factor"]
    stretch = factor * length / config.max_position_embeddings - (factor - 1)
    return theta * stretch ** (size / (size - 2))


def rotated(states, config, start):
    """Queries or keys, (batch, heads, length, size), turned by their positions, the first of which is `start`."""
    length, size = states.shape[-2:]
    powers = torch.arange(0, size, 2, dtype=torch.float32) / size
    frequencies = 1.0 / torch.pow(torch.tensor(rope_base(config, start + length), dtype=torch.float32), powers)
    angles = torch.outer(torch.arange(start, start + length, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    left, right = states[..., : size // 2], states[..., size // 2 :]
    return states * angles.cos().to(states.dtype) + torch.cat((-right, left), dim=-1) * angles.sin().to(states.dtype)


class InternLM2Attention(nn.Module):
    """Grouped attention; wqkv holds for each key head its queries, the key and the value."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.groups = config.num_attention_heads // config.num_key_value_heads
        self.size = config.hidden_size // config.num_attention_heads
        rows = (config.num_attention_heads + 2 * config.num_key_value_heads) * self.size
        self.wqkv = nn.Linear(config.hidden_size, rows, bias=config.bias)
        self.wo = nn.Linear(config.num_attention_heads * self.size, config.hidden_size, bias=config.bias)

    def forward(self, hidden_states, past):
        batch, length, width = hidden_states.shape
        start = past[0].shape[-2] if past is not None else 0
        states = self.wqkv(hidden_states).reshape(batch, length, -1, self.groups + 2, self.size).transpose(1, 2)
        query = states[..., : self.groups, :].transpose(2, 3).reshape(batch, -1, length, self.size)
        key, value = states[..., self.groups, :], states[..., self.groups + 1, :]
        query, key = rotated(query, self.config, start), rotated(key, self.config, start)
        if past is not None:
            key, value = torch.cat((past[0], key), dim=-2), torch.cat((past[1], value), dim=-2)
        present = (key, value)
        key, value = (part.repeat_interleave(self.groups, dim=1) for part in present)
        places = torch.arange(start, start + length)
        later = torch.arange(start + length)[None, :] > places[:, None]
        mixed = attended(query, key, value, later).transpose(1, 2).reshape(batch, length, width)
        return self.wo(mixed), present


class InternLM2MLP(nn.Module):
    """A gated feed-forward layer."""

    def __init__(self, config):
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = nn.SiLU()

    def forward(self, hidden_states):
        return self.w2(self.act_fn(self.w1(hidden_states)) * self.w3(hidden_states))


class InternLM2DecoderLayer(nn.Module):
    """A block of the language model."""

    def __init__(self, config):
        super().__init__()
        self.attention, self.feed_forward = InternLM2Attention(config), InternLM2MLP(config)
        self.attention_norm = InternLM2RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn_norm = InternLM2RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden_states, past):
        mixed, present = self.attention(self.attention_norm(hidden_states), past)
        hidden_states = hidden_states + mixed
        return hidden_states + self.feed_forward(self.ffn_norm(hidden_states)), present


class InternLM2Model(nn.Module):
    """Embeddings, blocks and the last norm."""

    def __init__(self, config):
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([InternLM2DecoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = InternLM2RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden_states, past_key_values):
        presents = []
        for number, layer in enumerate(self.layers):
            hidden_states, present = layer(hidden_states, past_key_values[number] if past_key_values else None)
            presents.append(present)
        return self.norm(hidden_states), tuple(presents)


class InternLM2ForCausalLM(PreTrainedModel):
    """The language model with its output layer."""

    config_class = InternLM2Config

    def __init__(self, config):
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module):
        """Every weight is in the checkpoint."""

    def get_input_embeddings(self):
        return self.model.tok_embeddings

    def forward(self, input_ids=None, inputs_embeds=None, past_key_values=None, use_cache=True, return_dict=True):
        if inputs_embeds is None:
            inputs_embeds = self.model.tok_embeddings(input_ids)
        hidden_states, presents = self.model(inputs_embeds, past_key_values)
        logits = self.output(hidden_states).float()
        return SimpleNamespace(logits=logits, past_key_values=presents if use_cache else None)


class InternVLChatModel(PreTrainedModel):
    """Vision tower, connector and language model."""

    config_class = InternVLChatConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        vision, language = config.vision_config, config.llm_config
        self.vision_model, self.language_model = InternVisionModel(vision), InternLM2ForCausalLM(language)
        self.shrink = round(1 / config.downsample_ratio)
        joined = vision.hidden_size * self.shrink**2
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(joined),
            nn.Linear(joined, language.hidden_size),
            nn.GELU(),
            nn.Linear(language.hidden_size, language.hidden_size),
        )
        self.img_context_token_id = None
        self.post_init()

    def _init_weights(self, module):
        """Every weight is in the checkpoint."""

    def extract_feature(self, pixel_values):
        """(tiles, tokens of a tile, width of the language model) of (tiles, 3, side, side)."""
        patches = self.vision_model(pixel_values).last_hidden_state[:, 1:]
        tiles, count, width = patches.shape
        side = round(count**0.5)
        few = side // self.shrink
        # neighbours of a square become one token; inside it rows come first, as ps_version v2 has it
        squares = patches.reshape(tiles, few, self.shrink, few, self.shrink, width).permute(0, 1, 3, 2, 4, 5)
        return self.mlp1(squares.reshape(tiles, few * few, -1))
