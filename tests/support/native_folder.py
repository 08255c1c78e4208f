"""A tiny model with random weights that transformers has a class for: InternVL as Hugging Face converted it."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def native_folder(to: Path, tokenizer_of: Path) -> Path:
    """Weights, configuration and processor of the model, with the tokenizer of another folder."""
    import torch
    from transformers import (
        AutoTokenizer,
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    names = {"start": "<img>", "end": "</img>", "context": "<IMG_CONTEXT>"}
    extra = {f"{name}_image_token": token for name, token in names.items()} | {"video_token": "<unk>"}
    tokenizer = AutoTokenizer.from_pretrained(
        str(tokenizer_of), local_files_only=True, trust_remote_code=True, extra_special_tokens=extra
    )
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": [56, 56], "patch_size": [14, 14],
        },
        text_config={
            "model_type": "qwen2", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"), "tie_word_embeddings": False,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.save_pretrained(str(to))
    pictures = GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=False)
    videos = InternVLVideoProcessor()
    InternVLProcessor(pictures, tokenizer, videos, image_seq_length=4, chat_template=TEMPLATE).save_pretrained(str(to))
    return to
